//! Where connections come in, and which fan-out loop each is given to: in turn, a loop a thread. What is said on a
//! connection is `http`'s.

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use socket2::SockRef;
use tokio::{
    runtime,
    sync::mpsc,
    task::{JoinSet, yield_now},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    options::Options,
    server::{RequestHandler, connection},
};
use crate::{
    conn::listen::{Listener, Socket},
    feed::Registry,
    panic::{PanicScope, Panicked, catch_async},
    stats::{ConnError, Viewers},
};
use crate::{
    conn::{pending::PendingConns, transport::Transport},
    fanout::{Fanout, Times},
};

/// Unsent bytes that the kernel may hold for a viewer: more than this and a slow link shows old pictures (FIELD: 0.3 s
/// instead of 7 s).
const NOTSENT_LOWAT: u32 = 16 * 1024;
/// The pause when connections cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// File descriptors that connections leave to everything else.
const KEPT_BACK: i32 = 32;
/// Connections that are no viewers, at most: hyper holds 13 KiB for each.
const PENDING_CONNS: usize = 2000;
/// How long nothing more is said of connections that cannot be accepted.
const COMPLAIN_AGAIN: Duration = Duration::from_secs(60);

/// A connection on its way to the thread that will have it.
type Incoming = (Socket, Option<SocketAddr>);
type ConnSender = mpsc::UnboundedSender<Incoming>;

/// Serves the feeds of the registry on the listeners until `shutdown`, then says farewell to the viewers.
///
/// Connections go round over `options.threads` fan-out loops; the first is the caller's runtime, each other has a thread of
/// its own.
///
/// # Errors
/// Where a loop or the acceptor itself broke down: then it shuts down as well.
pub async fn serve(
    listeners: Vec<Listener>,
    registry: Arc<Registry>,
    viewers: Arc<Viewers>,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), Panicked> {
    let shared = Shared {
        registry,
        viewers,
        options: Arc::new(options),
        pending: PendingConns::new(PENDING_CONNS, most_connections()),
        shutdown,
    };
    let (first, shutdown) = (shared.shard(0), &shared.shutdown);
    // A loop that is over says how; the last of them to be gone closes it.
    let (done, mut others) = mpsc::channel(shared.options.threads + listeners.len());
    let start = |number| shared.shard(number).start(number, done.clone());
    let workers: Vec<ConnSender> = (1..shared.options.threads).filter_map(start).collect();
    let mut tasks = JoinSet::new();
    for listener in listeners {
        let accept = accept(listener, first.server.clone(), workers.clone());
        let (told, broken) = (done.clone(), shutdown.clone());
        tasks.spawn(async move { report_panic(catch_async(PanicScope::Server, accept).await, &told, &broken) });
    }
    if let Some(tls) = &shared.options.tls {
        tasks.spawn(tls.clone().keep_fresh());
    }
    report_panic(run(first.fanout, shutdown.clone()).await, &done, shutdown);
    tasks.shutdown().await;
    drop(done);
    others.recv().await.map_or(Ok(()), Err)
}

/// Runs a loop to its end, as a task of its own: what a runtime was started with, it wakes by a system call each time.
async fn run(fanout: Fanout<Transport>, shutdown: CancellationToken) -> Result<(), Panicked> {
    let ended = tokio::spawn(catch_async(PanicScope::Server, fanout.run(shutdown))).await;
    // Only the end of the runtime ends the task from without.
    ended.unwrap_or(Ok(()))
}

/// A loop without which some would wait for ever: the others end as well, with its error.
fn report_panic(ended: Result<(), Panicked>, told: &mpsc::Sender<Panicked>, shutdown: &CancellationToken) {
    if let Err(panicked) = ended {
        // There is room for the error of each.
        let _ = told.try_send(panicked);
        shutdown.cancel();
    }
}

/// Lets connections in, in turn to the loop of this thread and to each of the workers.
async fn accept(listener: Listener, server: Arc<RequestHandler>, workers: Vec<ConnSender>) {
    let (most, kept_back, mut said) = (most_descriptor(), kept_back(), None);
    for turn in (0..=workers.len()).cycle() {
        let mut makes_room = false;
        match listener.accept().await {
            // Kept back for the source's files, so that those who are in go on seeing something.
            Ok((socket, _)) if socket.descriptor() >= most + kept_back / 2 => {
                complain(&mut said, &"too few file descriptors are left", &server);
            }
            Ok((socket, peer)) => {
                // One who may ask at once takes the place of one who has said nothing for longest.
                makes_room = socket.descriptor() >= most;
                if makes_room {
                    server.pending.make_room();
                }
                tune(&socket, server.options.stall);
                match workers.get(turn) {
                    None => let_in(socket, peer, &server),
                    // A thread that is gone was told to end, as everything was.
                    Some(conn_sender) => _ = conn_sender.send((socket, peer)),
                }
            }
            // Out of file descriptors or memory: it passes, and trying at once would burn a core. Whoever came last has the
            // pause to ask in, and makes room only where somebody waits: the kernel says the same where nobody does.
            Err(error) if !is_of_one_connection(&error) => {
                sleep(ACCEPT_PAUSE).await;
                if listener.is_called() {
                    complain(&mut said, &error, &server);
                    yield_now().await;
                }
            }
            Err(_) => {}
        }
        if makes_room || server.pending.is_full(server.viewers.count()) {
            // Whoever was asked to go does so first.
            yield_now().await;
        }
    }
}

fn let_in(socket: Socket, peer: Option<SocketAddr>, server: &Arc<RequestHandler>) {
    let conn = server.pending.enter(server.viewers.count());
    tokio::spawn(catch_async(PanicScope::Connection, connection(socket, peer, conn, server.clone())));
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

/// The file descriptor from which on a connection has to take another's place.
fn most_descriptor() -> i32 {
    limit() - kept_back()
}

/// File descriptors that are kept back, of a small number a quarter.
fn kept_back() -> i32 {
    (limit() / 4).min(KEPT_BACK)
}

fn limit() -> i32 {
    rlimit::Resource::NOFILE.get_soft().unwrap_or(1024).min(i32::MAX as u64) as i32
}

/// What the limit on file descriptors leaves.
fn most_connections() -> usize {
    usize::try_from(most_descriptor()).unwrap_or(0)
}

/// Counts that somebody was not let in, has one who says nothing make room, and says so, not too often.
fn complain(said: &mut Option<Instant>, why: &dyn std::fmt::Display, server: &RequestHandler) {
    server.viewers.conn_errors.count(ConnError::Accept);
    server.pending.make_room();
    if said.is_none_or(|at| at.elapsed() >= COMPLAIN_AGAIN) {
        warn!(%why, hint = "raise the limit with ulimit -n", "cannot accept connections for now");
        *said = Some(Instant::now());
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What all loops share.
struct Shared {
    registry: Arc<Registry>,
    viewers: Arc<Viewers>,
    options: Arc<Options>,
    pending: Arc<PendingConns>,
    shutdown: CancellationToken,
}

impl Shared {
    fn shard(&self, shard: usize) -> Worker {
        let times = Times { keepalive: self.options.keepalive, stall: self.options.stall };
        let (handle, fanout) = Fanout::new(self.registry.clone(), shard, times);
        let (registry, viewers, options) = (self.registry.clone(), self.viewers.clone(), self.options.clone());
        let (pending, shutdown) = (self.pending.clone(), self.shutdown.clone());
        Worker { server: Arc::new(RequestHandler { registry, viewers, options, pending, shard, fanout: handle, shutdown }), fanout }
    }
}

/// One fan-out loop, and what answers requests beside it.
struct Worker {
    server: Arc<RequestHandler>,
    fanout: Fanout<Transport>,
}

impl Worker {
    /// Starts it on a thread of its own, which has the connections that come through its channel. It holds `done` to its end.
    fn start(self, number: usize, done: mpsc::Sender<Panicked>) -> Option<ConnSender> {
        let (conn_sender, arrivals) = mpsc::unbounded_channel();
        let shutdown = self.server.shutdown.clone();
        let started = runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            let body = move || report_panic(runtime.block_on(self.run(arrivals)), &done, &shutdown);
            thread::Builder::new().name(format!("fanout-{number}")).spawn(body)
        });
        started.inspect_err(|error| warn!(%error, "cannot start more threads; those that run have to do")).ok()?;
        Some(conn_sender)
    }

    async fn run(self, mut arrivals: mpsc::UnboundedReceiver<Incoming>) -> Result<(), Panicked> {
        let server = self.server.clone();
        tokio::spawn(async move {
            while let Some((socket, peer)) = arrivals.recv().await {
                match socket.into_this_runtime() {
                    Ok(socket) => let_in(socket, peer, &server),
                    Err(error) => warn!(%error, "cannot take a connection over"),
                }
            }
        });
        run(self.fanout, self.server.shutdown.clone()).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::conn::listen;

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
