//! Listening sockets: on an address, on a Unix socket, or passed in by systemd. It binds and accepts; it does not read or write
//! connections.

use std::{
    env, fs, io,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::UnixStream as StdUnixStream,
        },
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use listenfd::ListenFd;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, Mode, RawMode, flock},
    io::Errno,
    process::umask,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;
use tracing::warn;

use super::local::listening_program;
use crate::error::{Error, Result};

/// Connections that the kernel queues until they are accepted: nearly a second of 5,000 a second.
const BACKLOG: u32 = 4096;

/// How long a start waits for another one in the same folder.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to listen.
#[derive(Debug, Clone)]
pub enum ListenAddr {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A path, and the permission bits of the socket there.
    Unix(PathBuf, u32),
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// On an address and a port.
    Tcp(TcpListener),
    /// On a path. Where this program made the file there, it is removed first: a socket that no program listens on any more
    /// would be taken for stale.
    Unix(Option<OwnPath>, UnixListener),
}

/// Sockets that systemd may pass, at most: more is a mistake, and each would be looked at.
const MOST_PASSED: usize = 1024;

/// A connection that was accepted: from an address, or over a Unix socket.
pub type Socket = Either<TcpStream, UnixStream>;

impl ListenAddr {
    /// Listens here.
    ///
    /// # Errors
    /// Where the address or the path is in use or not ours.
    pub fn listen(&self) -> Result<Listener> {
        match self {
            Self::Tcp(address) => tcp(*address).map(Listener::Tcp).map_err(|error| cannot_listen(*address, &error)),
            Self::Unix(path, mode) => unix(path, *mode),
        }
    }
}

impl Listener {
    /// The next connection, and where it comes from.
    ///
    /// # Errors
    /// Those of accept(2), most of which are temporary.
    pub async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(socket, peer)| (Either::Left(socket), Some(peer))),
            Self::Unix(_, listener) => listener.accept().await.map(|(socket, _)| (Either::Right(socket), None)),
        }
    }

    /// Whether a connection waits to be accepted. Without a free file descriptor accept(2) fails either way.
    pub fn has_waiting(&self) -> bool {
        let socket = match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(_, listener) => listener.as_fd(),
        };
        is_ready(socket, PollFlags::IN)
    }

    /// The address, where it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// The path, where it has one.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(_, listener) => Some(listener.local_addr().ok()?.as_pathname()?.to_owned()),
        }
    }

    /// Whether other machines can reach it.
    pub fn is_exposed(&self) -> bool {
        self.address().is_some_and(|address| !address.ip().to_canonical().is_loopback())
    }
}

/// The file descriptor of a connection.
pub(crate) fn descriptor(socket: &Socket) -> BorrowedFd<'_> {
    match socket {
        Either::Left(tcp) => tcp.as_fd(),
        Either::Right(unix) => unix.as_fd(),
    }
}

/// The same connection, whose readiness the runtime of this thread reports from now on.
///
/// # Errors
/// Where the runtime cannot take it: out of memory or of watches.
pub(crate) fn into_this_runtime(socket: Socket) -> io::Result<Socket> {
    match socket {
        Either::Left(tcp) => TcpStream::from_std(tcp.into_std()?).map(Either::Left),
        Either::Right(unix) => UnixStream::from_std(unix.into_std()?).map(Either::Right),
    }
}

/// The listening sockets that systemd, or a program that does the same, passed to this process (sd_listen_fds(3)).
///
/// # Errors
/// Where one of them is not a listening socket.
pub fn passed() -> Result<Vec<Listener>> {
    let Some(count) = env::var_os("LISTEN_FDS").filter(|_| is_for_this_process()) else { return Ok(Vec::new()) };
    let count = count.to_str().and_then(|count| count.parse::<usize>().ok());
    if count.is_none_or(|count| count > MOST_PASSED) {
        let what = Error::new("use the sockets of systemd", "LISTEN_FDS is no number of sockets");
        return Err(what.hint("unset LISTEN_FDS if no program passes sockets"));
    }
    let mut sockets = ListenFd::from_env();
    (0..sockets.len())
        .map(|at| take(&mut sockets, at).map_err(|error| Error::new(format!("use socket {at} of systemd"), error)))
        .collect()
}

/// Whether `LISTEN_PID` names this process; without it any process may take them (systemfd).
fn is_for_this_process() -> bool {
    env::var_os("LISTEN_PID").is_none_or(|pid| pid.to_str() == Some(&std::process::id().to_string()))
}

fn take(sockets: &mut ListenFd, at: usize) -> io::Result<Listener> {
    // The wrong kind of socket stays in `sockets`, with an error.
    if let Ok(Some(listener)) = sockets.take_tcp_listener(at) {
        expect_listening(listener.as_fd())?;
        listener.set_nonblocking(true)?;
        return TcpListener::from_std(listener).map(Listener::Tcp);
    }
    match sockets.take_unix_listener(at)? {
        Some(listener) => {
            expect_listening(listener.as_fd())?;
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener).map(|listener| Listener::Unix(None, listener))
        }
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// On a socket that is bound or connected, accept(2) would fail for ever.
fn expect_listening(socket: BorrowedFd<'_>) -> io::Result<()> {
    // macOS does not tell, and has no systemd either.
    #[cfg(not(target_vendor = "apple"))]
    if !rustix::net::sockopt::socket_acceptconn(socket)? {
        return Err(io::Error::other("it does not listen"));
    }
    let _ = socket;
    Ok(())
}

/// Whether poll(2) reports these events for a socket now. An error of poll(2) counts as ready: the next call fails and says why.
pub(crate) fn is_ready(socket: BorrowedFd<'_>, events: PollFlags) -> bool {
    poll(&mut [PollFd::from_borrowed_fd(socket, events)], Some(&Timespec::default())) != Ok(0)
}

/// Binds a listener.
///
/// # Errors
/// Where the address is in use or not ours.
pub fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Error {
    let failure = Error::new(format!("listen on {address}"), error);
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = listening_program(address).unwrap_or_else(|| "another program".to_owned());
            let next = address.port().checked_add(1).unwrap_or(0);
            failure.hint(format!("{holder} has it; try --port {next}, or --port 0 for any free port"))
        }
        io::ErrorKind::AddrNotAvailable => failure.hint("--host takes an address of this machine, or 0.0.0.0 for all"),
        io::ErrorKind::PermissionDenied => failure.hint("ports below 1024 need privileges; try --port 8080"),
        _ => failure,
    }
}

fn unix(path: &Path, mode: u32) -> Result<Listener> {
    let cannot = |error: io::Error| Error::new(format!("listen on {}", path.display()), error);
    // Two starts that find one stale socket: without it the second would remove the socket of the first.
    let _lock = FolderLock::take(path);
    let listener = match bind(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            clear_stale(path)?;
            bind(path, mode)
        }
        result => result,
    };
    let listener = listener.map_err(cannot)?;
    let own = OwnPath::new(path).map_err(cannot)?;
    Ok(Listener::Unix(Some(own), listener))
}

/// A lock on the folder of a socket (flock(2)), which leaves no file behind. Released when it is dropped.
struct FolderLock(#[expect(dead_code, reason = "closing it releases the lock")] Option<fs::File>);

impl FolderLock {
    /// Waits a moment for another start. Where the folder cannot be opened or locked (some network file systems) there is no lock.
    fn take(path: &Path) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Ok(folder) = fs::File::open(folder) else { return Self(None) };
        let begin = Instant::now();
        while let Err(Errno::WOULDBLOCK) = flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            if begin.elapsed() > LOCK_TIMEOUT {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Self(Some(folder))
    }
}

/// Sets the umask for a moment, so that the socket has its permissions from the start.
fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let before = umask(Mode::from_raw_mode((!mode & 0o777) as RawMode));
    let listener = UnixListener::bind(path);
    umask(before);
    listener
}

/// Removes a socket file that no program listens on any more, and nothing else.
fn clear_stale(path: &Path) -> Result<()> {
    let cannot = |cause: String| Error::new(format!("listen on {}", path.display()), cause);
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Err(cannot("something that is no socket is there".to_owned()));
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(cannot("another program listens there".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| cannot(format!("an old socket is there, {error}")))
        }
        Err(error) => Err(cannot(error.to_string())),
    }
}

/// The path of a socket that this process made; the file is removed with it.
#[derive(Debug)]
pub struct OwnPath {
    path: PathBuf,
    /// Device and inode: the path may lead to the socket of a later start by now.
    made: (u64, u64),
}

impl OwnPath {
    fn new(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: std::path::absolute(path)?, made: (found.dev(), found.ino()) })
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.made);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            warn!(%error, path = %self.path.display(), "cannot remove the socket");
        }
    }
}
