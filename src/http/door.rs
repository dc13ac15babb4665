//! Where connections come in, and which fan-out loop each is given to: in turn, a loop a thread. What is said on a
//! connection is `http`'s.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, thread, time::Duration};

use socket2::SockRef;
use tokio::{runtime, sync::mpsc, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Options, Server, connection, stream::Fanout, transport::Transport, viewer::Times};
use crate::{
    feed::{Feed, Offer},
    listen::{Listener, Socket},
    stats::Viewers,
};

/// Unsent bytes that the kernel may hold for a viewer: more than this and a slow link shows old pictures (FIELD: 0.3 s
/// instead of 7 s).
const NOTSENT_LOWAT: u32 = 16 * 1024;
/// The pause when connections cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection on its way to the thread that will have it.
type Arrival = (Socket, Option<SocketAddr>);
type Door = mpsc::UnboundedSender<Arrival>;

/// Serves `offers` on the listeners until `shutdown`, then says farewell to the viewers.
///
/// Connections go round over `options.threads` fan-out loops; the first is the caller's runtime, each other has a thread of
/// its own.
pub async fn serve(
    listeners: Vec<Listener>,
    offers: Arc<Vec<Offer>>,
    viewers: Arc<Viewers>,
    options: Options,
    shutdown: CancellationToken,
) {
    let options = Arc::new(options);
    let lane = |lane| Lane::new(lane, &offers, &viewers, &options, &shutdown);
    let first = lane(0);
    // Nothing is ever sent: it closes when the last thread has said farewell.
    let (done, mut others) = mpsc::channel::<Infallible>(1);
    let doors: Vec<Door> = (1..options.threads).filter_map(|number| lane(number).start(number, done.clone())).collect();
    let mut tasks = JoinSet::new();
    for listener in listeners {
        if let Listener::Tcp(listener) = &listener {
            tune(&SockRef::from(listener), options.stall);
        }
        tasks.spawn(accept(listener, first.server.clone(), doors.clone()));
    }
    if let Some(tls) = &options.tls {
        tasks.spawn(tls.clone().keep_fresh());
    }
    first.fanout.run(shutdown.clone()).await;
    tasks.shutdown().await;
    drop(done);
    others.recv().await;
}

/// Sets what accepted sockets inherit from the listener.
fn tune(socket: &SockRef<'_>, stall: Duration) {
    let set = [
        socket.set_tcp_nodelay(true),
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(stall)),
        #[cfg(target_os = "linux")]
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT),
    ];
    for error in set.into_iter().filter_map(Result::err) {
        warn!(%error, "cannot set a socket option; slow viewers may see older pictures");
    }
}

/// Lets connections in, in turn to the loop of this thread and through each of the doors.
async fn accept(listener: Listener, server: Arc<Server>, doors: Vec<Door>) {
    for turn in (0..=doors.len()).cycle() {
        match listener.accept().await {
            Ok((socket, peer)) => match doors.get(turn) {
                None => _ = tokio::spawn(connection(socket, peer, server.clone())),
                // A thread that is gone was told to end, as everything was.
                Some(door) => _ = door.send((socket, peer)),
            },
            // Out of file descriptors or memory: it passes, and trying at once would burn a core.
            Err(error) if !is_of_one_connection(&error) => {
                warn!(%error, "cannot accept connections for now");
                sleep(ACCEPT_PAUSE).await;
            }
            Err(_) => {}
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One fan-out loop, and what answers requests beside it.
struct Lane {
    server: Arc<Server>,
    fanout: Fanout<Transport>,
}

impl Lane {
    fn new(
        lane: usize,
        offers: &Arc<Vec<Offer>>,
        viewers: &Arc<Viewers>,
        options: &Arc<Options>,
        shutdown: &CancellationToken,
    ) -> Self {
        let times = Times { keepalive: options.keepalive, stall: options.stall };
        let live: Vec<Arc<Feed>> = offers.iter().filter_map(Offer::live).cloned().collect();
        let (entrance, fanout) = Fanout::new(&live, lane, times);
        let (offers, viewers, options, shutdown) = (offers.clone(), viewers.clone(), options.clone(), shutdown.clone());
        Self { server: Arc::new(Server { offers, viewers, options, lane, entrance, shutdown }), fanout }
    }

    /// Starts it on a thread of its own, which has the connections that come through the door. It holds `done` to its end.
    fn start(self, number: usize, done: mpsc::Sender<Infallible>) -> Option<Door> {
        let (door, arrivals) = mpsc::unbounded_channel();
        let body = move || {
            match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(self.run(arrivals)),
                Err(error) => warn!(%error, "a thread cannot serve"),
            }
            drop(done);
        };
        let started = thread::Builder::new().name(format!("fanout-{number}")).spawn(body);
        started.inspect_err(|error| warn!(%error, "cannot start more threads; those that run have to do")).ok()?;
        Some(door)
    }

    async fn run(self, mut arrivals: mpsc::UnboundedReceiver<Arrival>) {
        let server = self.server.clone();
        tokio::spawn(async move {
            while let Some((socket, peer)) = arrivals.recv().await {
                match socket.into_this_runtime() {
                    Ok(socket) => _ = tokio::spawn(connection(socket, peer, server.clone())),
                    Err(error) => warn!(%error, "cannot take a connection over"),
                }
            }
        });
        self.fanout.run(self.server.shutdown.clone()).await;
    }
}
