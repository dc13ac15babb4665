//! Where connections come in, and which fan-out loop each is given to: in turn, a loop a thread. What is said on a
//! connection is `http`'s.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, thread, time::Duration};

use socket2::SockRef;
use tokio::{
    runtime,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

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

/// File descriptors that connections leave to everything else.
const KEPT_BACK: i32 = 32;
/// How long nothing more is said of connections that cannot be accepted.
const COMPLAIN_AGAIN: Duration = Duration::from_secs(60);

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

/// Lets connections in, in turn to the loop of this thread and through each of the doors.
async fn accept(listener: Listener, server: Arc<Server>, doors: Vec<Door>) {
    let (most, mut said) = (most_descriptor(), None);
    for turn in (0..=doors.len()).cycle() {
        match listener.accept().await {
            // Kept back for the source's files, so that those who are in go on seeing something.
            Ok((socket, _)) if socket.descriptor() >= most => complain(&mut said, &"too few file descriptors are left"),
            Ok((socket, peer)) => {
                tune(&socket, server.options.stall);
                match doors.get(turn) {
                    None => _ = tokio::spawn(connection(socket, peer, server.clone())),
                    // A thread that is gone was told to end, as everything was.
                    Some(door) => _ = door.send((socket, peer)),
                }
            }
            // Out of file descriptors or memory: it passes, and trying at once would burn a core.
            Err(error) if !is_of_one_connection(&error) => {
                complain(&mut said, &error);
                sleep(ACCEPT_PAUSE).await;
            }
            Err(_) => {}
        }
    }
}

/// Sets what makes a slow viewer's pictures new, and a vanished one's end soon. On each socket: one that was accepted while
/// the listener was young would not inherit it.
fn tune(socket: &Socket, stall: Duration) {
    let Socket::Tcp(socket) = socket else { return };
    let socket = SockRef::from(socket);
    let set = [
        socket.set_tcp_nodelay(true),
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(stall)),
        #[cfg(target_os = "linux")]
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT),
    ];
    for error in set.into_iter().filter_map(Result::err) {
        debug!(%error, "cannot set a socket option; a slow viewer may see older pictures");
    }
}

/// The file descriptor from which on connections are turned away: a few are kept back, of a small number a quarter.
fn most_descriptor() -> i32 {
    let most = rlimit::Resource::NOFILE.get_soft().unwrap_or(1024).min(i32::MAX as u64) as i32;
    most - (most / 4).min(KEPT_BACK)
}

fn complain(said: &mut Option<Instant>, why: &dyn std::fmt::Display) {
    if said.is_none_or(|at| at.elapsed() >= COMPLAIN_AGAIN) {
        warn!(%why, hint = "raise the limit with ulimit -n", "cannot accept connections for now");
        *said = Some(Instant::now());
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::listen;

    #[tokio::test]
    async fn a_connection_has_its_options_whenever_it_came() {
        let listener = Listener::Tcp(listen::tcp(([127, 0, 0, 1], 0).into()).unwrap());
        let _peer = TcpStream::connect(listener.address().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        tune(&socket, Duration::from_secs(7));
        let Socket::Tcp(socket) = socket else { panic!("it is TCP") };
        assert!(socket.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            let socket = SockRef::from(&socket);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOTSENT_LOWAT);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
        }
    }
}
