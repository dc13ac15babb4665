//! Accepts connections and hands them out to the threads that serve them, in turn. It keeps file descriptors back for the
//! sources and evicts a silent connection where one more would not fit. It does not read or write connections.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::{sync::mpsc::UnboundedSender, task::yield_now, time::sleep};
use tracing::{debug, warn};

use super::{
    listen::{Listener, Socket, descriptor},
    pending::{PendingConn, PendingConns},
};
use crate::stats::{ConnError, Viewers};

/// Unsent bytes that the kernel may hold for a viewer: more than this and a slow link shows old pictures (docs/field.md, Sockets:
/// 0.3 s instead of 7 s).
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT: u32 = 16 * 1024;
/// The pause when connections cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// File descriptors that connections leave to everything else.
const RESERVED_DESCRIPTORS: i32 = 32;
/// Connections that are not viewers, at most: hyper holds 13 KiB for each.
const PENDING_CONNS: usize = 2000;
/// The time between two warnings that connections cannot be accepted.
const WARN_AGAIN: Duration = Duration::from_secs(60);

/// A connection on its way to the thread that serves it.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    /// Where it comes from; nothing over a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) conn: PendingConn,
}

/// Accepts the connections of one listener.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) listener: Listener,
    pub(crate) pending: Arc<PendingConns>,
    pub(crate) viewers: Arc<Viewers>,
    /// The time after which the kernel gives up a peer that acknowledges nothing.
    pub(crate) stall: Duration,
    /// The threads that serve connections: each gets the next one in turn.
    pub(crate) workers: Vec<UnboundedSender<Accepted>>,
}

/// The bound on connections that are not viewers, by the limit on file descriptors.
pub(crate) fn pending_conns() -> Arc<PendingConns> {
    PendingConns::new(PENDING_CONNS, usize::try_from(Descriptors::of_process().evict_from).unwrap_or(0))
}

/// The numbers from which on a new descriptor is one too many. The kernel gives out the lowest number that is free.
#[derive(Debug, Clone, Copy)]
struct Descriptors {
    /// From here on a connection takes the place of another one.
    evict_from: i32,
    /// From here on it is closed at once: the rest is for the source's files, so that viewers go on seeing something.
    refuse_from: i32,
}

impl Descriptors {
    fn of_process() -> Self {
        let limit = rlimit::Resource::NOFILE.get_soft().unwrap_or(1024).min(i32::MAX as u64) as i32;
        // Of a small limit a quarter.
        let reserved = (limit / 4).min(RESERVED_DESCRIPTORS);
        Self { evict_from: limit - reserved, refuse_from: limit - reserved + reserved / 2 }
    }
}

impl Acceptor {
    /// Accepts for as long as it is polled.
    pub(crate) async fn run(self) {
        let (descriptors, mut warned) = (Descriptors::of_process(), None);
        for worker in self.workers.iter().cycle() {
            let mut has_evicted = false;
            match self.listener.accept().await {
                Ok((socket, _)) if number(&socket) >= descriptors.refuse_from => {
                    self.cannot_accept(&"too few file descriptors are left", &mut warned);
                }
                Ok((socket, peer)) => {
                    // A peer that may ask at once takes the place of the one that has been silent longest.
                    has_evicted = number(&socket) >= descriptors.evict_from;
                    if has_evicted {
                        self.pending.make_room();
                    }
                    tune(&socket, self.stall);
                    let conn = self.pending.enter(self.viewers.count());
                    // A thread that has ended was told to, as everything was.
                    let _ = worker.send(Accepted { socket, peer, conn });
                }
                // Out of file descriptors or memory: it passes, and trying at once would burn a core. The newest connections
                // have the pause to ask in. They make room only where a peer waits: accept(2) fails the same where none does.
                Err(error) if !is_of_one_connection(&error) => {
                    sleep(ACCEPT_PAUSE).await;
                    if self.listener.has_waiting() {
                        self.cannot_accept(&error, &mut warned);
                        yield_now().await;
                    }
                }
                Err(_) => {}
            }
            if has_evicted || self.pending.is_full(self.viewers.count()) {
                // Evicted connections close before the next one is accepted.
                yield_now().await;
            }
        }
    }

    /// Counts a connection that was not accepted, evicts a silent one, and warns, not too often.
    fn cannot_accept(&self, why: &dyn fmt::Display, warned: &mut Option<Instant>) {
        self.viewers.conn_errors.count(ConnError::Accept);
        self.pending.make_room();
        if warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN) {
            warn!(%why, hint = "raise the limit with ulimit -n", "cannot accept connections for now");
            *warned = Some(Instant::now());
        }
    }
}

fn number(socket: &Socket) -> i32 {
    descriptor(socket).as_raw_fd()
}

/// Keeps a slow viewer's pictures new, and ends a vanished one soon. Set on each socket: one that was accepted while the
/// listener was young would not inherit it.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "socket2 sets no such timeout on macOS"))]
fn tune(socket: &Socket, stall: Duration) {
    let Socket::Left(tcp) = socket else { return };
    let socket = SockRef::from(tcp);
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

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpStream, sync::mpsc};

    use super::*;
    use crate::conn::listen;

    fn listener() -> Listener {
        Listener::Tcp(listen::tcp(([127, 0, 0, 1], 0).into()).unwrap())
    }

    #[tokio::test]
    async fn a_connection_has_its_options_whenever_it_came() {
        let listener = listener();
        let _peer = TcpStream::connect(listener.address().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        tune(&socket, Duration::from_secs(7));
        let Socket::Left(socket) = socket else { panic!("it is TCP") };
        assert!(socket.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            let socket = SockRef::from(&socket);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOTSENT_LOWAT);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
        }
    }

    #[tokio::test]
    async fn workers_get_connections_in_turn() {
        let listener = listener();
        let address = listener.address().unwrap();
        let (workers, mut arrivals): (Vec<_>, Vec<_>) = [(); 3].map(|()| mpsc::unbounded_channel()).into_iter().unzip();
        let acceptor =
            Acceptor { listener, pending: pending_conns(), viewers: Viewers::new(1), stall: Duration::from_secs(7), workers };
        let accepting = tokio::spawn(acceptor.run());
        for turn in 0..6 {
            let peer = TcpStream::connect(address).await.unwrap();
            let accepted = arrivals[turn % 3].recv().await.unwrap();
            assert_eq!(accepted.peer, peer.local_addr().ok());
        }
        accepting.abort();
    }
}
