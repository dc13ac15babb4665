//! One connection to an upstream: the addresses tried, a proxy on the way, TLS, and hyper's side of it. Its owner drops it to close it.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    Request,
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout_at},
};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::{
    failure::{Awaited, ClientError},
    head::{Copied, HeadCopy},
    proxy,
    settings::ClientSettings,
    target::{Origin, Target},
    trust::Trust,
};
use crate::sync::Mutex;

/// How long one address is alone before the next is tried beside it (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// What hyper buffers of a connection at most: a head, and the chunks that a body comes in.
const MAX_BUFFER: usize = 128 * 1024;
/// The same of a connection that sends what is newest: what waits in a buffer grows old. A head of more bytes is refused.
const SMALL_BUFFER: usize = 16 * 1024;
/// Bytes that wait unsent in the kernel for such a connection, about, and how long it may hear nothing.
const UNSENT: (u32, Duration) = (16 * 1024, Duration::from_secs(30));
/// How often the other end is asked then whether it is there.
const PROBE: Duration = Duration::from_secs(10);
/// Headers in one response at most.
const MAX_HEADERS: usize = 256;

/// The body of a request. A GET has none; one that streams fits as well.
pub(super) type RequestBody = UnsyncBoxBody<Bytes, io::Error>;
/// Where a connection waits for the next request.
pub(super) type Idle = Arc<Mutex<Option<Connected>>>;

type Plain = Either<TcpStream, UnixStream>;
/// What is read from a server and written to it, with TLS or without.
pub type StreamIo = Either<Plain, TlsStream<Plain>>;

/// A connection that is ready for requests, one after the other.
pub(super) struct Connected {
    sender: SendRequest<RequestBody>,
    /// The heads that arrive on it.
    pub(super) head: Arc<HeadCopy>,
    origin: Origin,
    pub(super) peer: Option<SocketAddr>,
    /// A proxy that takes the requests themselves.
    pub(super) proxy: Option<Target>,
    pub(super) tls: Option<String>,
    /// Reads and writes; it ends with this.
    _driver: Driver,
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The bytes to and from a server.
pub(super) struct Stream {
    pub(super) io: StreamIo,
    pub(super) peer: Option<SocketAddr>,
}

impl Stream {
    /// Opens one, within the time that the settings give. `sends`: what is sent goes out of date.
    pub(super) async fn open(
        origin: &Origin,
        settings: &ClientSettings,
        trust: &mut Trust,
        sends: bool,
    ) -> Result<Self, ClientError> {
        let (within, proxy) = (settings.connect_timeout, settings.proxies.way_to(origin));
        let deadline = Instant::now() + within;
        let late = |waiting_for| ClientError::Timeout { waiting_for, after: within };
        let (mut socket, peer) = match &settings.unix {
            Some(path) => {
                let socket = timeout_at(deadline, UnixStream::connect(path)).await.map_err(|_| late(Awaited::Connection))?;
                let socket = socket.map_err(|cause| ClientError::Connect { to: path.display().to_string(), cause })?;
                (Plain::Right(socket), None)
            }
            None => {
                let next = proxy.map_or(origin, Target::origin);
                let named = |name: &str| if proxy.is_some() { format!("the proxy {name}") } else { name.to_owned() };
                let found = timeout_at(deadline, lookup_host((next.host.as_str(), next.port))).await;
                let found = found.map_err(|_| late(Awaited::Address))?;
                let addresses = found.map_err(|cause| ClientError::Resolve { host: named(&next.host), cause })?;
                let dialled = timeout_at(deadline, dial(in_turns(addresses), ATTEMPT_DELAY)).await;
                let socket = dialled.map_err(|_| late(Awaited::Connection))?;
                let socket = socket.map_err(|cause| ClientError::Connect { to: named(&next.to_string()), cause })?;
                let _ = socket.set_nodelay(true);
                if sends {
                    keep_new(&socket);
                }
                let peer = socket.peer_addr().ok();
                (Plain::Left(socket), peer)
            }
        };
        if let Some(proxy) = proxy.filter(|_| origin.is_tls) {
            let tunnel = timeout_at(deadline, proxy::tunnel(&mut socket, origin, proxy)).await;
            tunnel.map_err(|_| late(Awaited::Connection))??;
        }
        let io = if origin.is_tls {
            let session = timeout_at(deadline, trust.handshake(&origin.host, socket)).await;
            Either::Right(session.map_err(|_| late(Awaited::Handshake))??)
        } else {
            Either::Left(socket)
        };
        Ok(Self { io, peer })
    }
}

impl Connected {
    /// Opens a connection. `sends`: for a body that goes on, of which the newest counts.
    pub(super) async fn open(
        origin: &Origin,
        settings: &ClientSettings,
        trust: &mut Trust,
        sends: bool,
    ) -> Result<Self, ClientError> {
        let Stream { io, peer } = Stream::open(origin, settings, trust, sends).await?;
        let proxy = settings.proxies.way_to(origin);
        let proxy = proxy.filter(|_| !origin.is_tls).cloned();
        Self::new(io, origin.clone(), (peer, proxy), if sends { SMALL_BUFFER } else { MAX_BUFFER }).await
    }

    async fn new(
        io: StreamIo,
        origin: Origin,
        (peer, proxy): (Option<SocketAddr>, Option<Target>),
        buffer: usize,
    ) -> Result<Self, ClientError> {
        let tls = match &io {
            Either::Right(session) => session.get_ref().1.protocol_version().and_then(|version| Some(version.as_str()?.to_owned())),
            Either::Left(_) => None,
        };
        let head = Arc::<HeadCopy>::default();
        let io = TokioIo::new(Copied { io, head: head.clone() });
        let shaken = Builder::new()
            // Some cameras compare names of headers byte for byte (hyperium/hyper#1492).
            .title_case_headers(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .max_headers(MAX_HEADERS)
            .max_buf_size(buffer)
            .handshake(io)
            .await;
        let (sender, connection) = shaken.map_err(|_| ClientError::Closed)?;
        let driver = Driver(tokio::spawn(async move {
            // The request learns of an error.
            let _ = connection.await;
        }));
        Ok(Self { sender, head, origin, peer, proxy, tls, _driver: driver })
    }

    /// Whether it leads to this server and is still open.
    pub(super) fn is_for(&self, origin: &Origin) -> bool {
        self.origin == *origin && !self.sender.is_closed()
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(&mut self, request: Request<RequestBody>) -> hyper::Result<hyper::Response<Incoming>> {
        self.head.restart();
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

/// Lets little wait in the kernel, and ends a connection whose other end has vanished, also while nothing is sent.
fn keep_new(socket: &TcpStream) {
    let socket = SockRef::from(socket);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(UNSENT.1).with_interval(PROBE));
    // socket2 sets no such options on macOS.
    #[cfg(target_os = "linux")]
    {
        let _ = socket.set_tcp_notsent_lowat(UNSENT.0);
        let _ = socket.set_tcp_user_timeout(Some(UNSENT.1));
    }
}

/// The addresses with their families in turns, beginning with the resolver's first choice (RFC 8305, section 4).
pub(super) fn in_turns(addresses: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut addresses = addresses.peekable();
    let is_ipv6 = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (VecDeque<_>, VecDeque<_>) = addresses.partition(|address| address.is_ipv6() == is_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = VecDeque::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

/// The first connection that is made: the next address is tried as soon as one has failed, or beside it after `delay`.
pub(super) async fn dial(mut addresses: VecDeque<SocketAddr>, delay: Duration) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut first_error = None;
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(TcpStream::connect(address));
        }
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = sleep(delay), if !addresses.is_empty() => continue,
        };
        match ended {
            Some(Ok(Ok(socket))) => return Ok(socket),
            Some(Ok(Err(error))) => drop(first_error.get_or_insert(error)),
            Some(Err(panicked)) => drop(first_error.get_or_insert(io::Error::other(panicked))),
            None => return Err(first_error.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
        }
    }
}
