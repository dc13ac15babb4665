//! The HTTP side: accepts connections, lets hyper parse and answer, and takes the connection back where a
//! stream was asked for. It knows feeds, not where their parts come from.

mod doorbell;
mod guard;
mod lobby;
mod metrics;
mod page;
#[doc(hidden)]
pub mod probe;
mod prompt;
mod reply;
mod route;
mod stream;
#[cfg(test)]
mod tests;
mod viewer;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use hyper::{
    Method, Request, StatusCode,
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime,
    sync::mpsc,
    task::yield_now,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use guard::Hosts;

use self::{
    lobby::{Guest, Lobby},
    prompt::Prompt,
    reply::Reply,
    route::{Route, Which, Wish},
    stream::{Entrance, Fanout},
    viewer::{Times, Viewer, Wishes},
};
use crate::{
    contain::{Panicked, Place, contain, contained},
    feed::{Accepts, Feed, Kind, Offer, Subscription},
    stats::{Fault, Seat, Viewers},
};

/// Unsent bytes that the kernel may hold for a viewer: more than this and a slow link shows old pictures (FIELD: 0.3 s
/// instead of 7 s).
const NOTSENT_LOWAT: u32 = 16 * 1024;
/// The time for a request's head, from the first byte of silence.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head, the smallest that hyper allows.
const HEAD_BYTES: usize = 8192;
/// The pause when connections cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Connections that are no viewers, at most: hyper holds 13 KiB for each.
const LOBBY: usize = 2000;
/// File descriptors that are left for everything but connections: files to read, above all.
const SPARE: u64 = 32;
/// The log says no more often that connections cannot be accepted.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How long `/snapshot?after=` waits.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(30);
/// What browsers are sent at most (FIELD: they grow by gigabytes otherwise).
const BROWSER_INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 60);

/// How viewers are served.
#[derive(Debug, Clone)]
pub struct Options {
    /// The names that Host may carry.
    pub hosts: Hosts,
    /// Origins whose scripts may read; `*` for all.
    pub origins: Vec<String>,
    /// The silence after which the newest part is repeated.
    pub keepalive: Option<Duration>,
    /// The time after which a viewer that takes nothing is cut.
    pub stall: Duration,
    /// Whether `/quit` ends the program.
    pub may_quit: bool,
    /// Fan-out loops, each on a thread of its own, at least 1.
    pub threads: usize,
}

/// Binds a listener whose queue holds what 5,000 connections a second bring in a moment.
///
/// # Errors
/// Where the address is taken or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(cfg!(unix))?;
    socket.bind(address)?;
    socket.listen(4096)
}

/// Serves `offers` on `listener` until `shutdown`, then says farewell to the viewers.
///
/// Connections go round over `options.threads` loops; the first is the caller's runtime, each other has a thread of its own.
///
/// # Errors
/// Where a loop or the door itself broke down: then it shuts down as well.
pub async fn serve(
    listener: TcpListener,
    offers: Arc<Vec<Offer>>,
    viewers: Arc<Viewers>,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), Panicked> {
    tune(&SockRef::from(&listener), options.stall);
    let threads = options.threads.max(1);
    let lobby = Lobby::new(LOBBY, most_connections());
    let lane = |lane| Lane::new(lane, &offers, &viewers, &options, &lobby, &shutdown);
    // A loop that is over says how; the last of them to be gone closes it.
    let (done, mut others) = mpsc::channel(threads + 1);
    let (mut doors, first) = (Vec::new(), lane(0));
    for number in 1..threads {
        let (door, lane, done, shutdown) = (mpsc::unbounded_channel(), lane(number), done.clone(), shutdown.clone());
        let body = move || tell_if_it_broke(contained(Place::Server, || lane.run_alone(door.1)), &done, &shutdown);
        match thread::Builder::new().name(format!("fanout-{number}")).spawn(body) {
            Ok(_) => doors.push(door.0),
            Err(error) => warn!(%error, threads = number, "cannot start more threads; these have to do"),
        }
    }
    let (told, accept, broken) = (done.clone(), accept(listener, first.server.clone(), doors), shutdown.clone());
    let accepting = tokio::spawn(async move { tell_if_it_broke(contain(Place::Server, accept).await, &told, &broken) });
    tell_if_it_broke(contain(Place::Server, first.fanout.run(shutdown.clone())).await, &done, &shutdown);
    accepting.abort();
    let _ = accepting.await;
    drop(done);
    others.recv().await.map_or(Ok(()), Err)
}

/// A loop without which some would wait for ever: the others end as well, with its error.
fn tell_if_it_broke<T>(ended: Result<T, Panicked>, told: &mpsc::Sender<Panicked>, shutdown: &CancellationToken) {
    if let Err(panicked) = ended {
        // There is room for the error of each.
        let _ = told.try_send(panicked);
        shutdown.cancel();
    }
}

/// A connection on its way to the thread that will have it.
type Arrival = (std::net::TcpStream, SocketAddr);
type Door = mpsc::UnboundedSender<Arrival>;

/// One fan-out loop, and what answers requests beside it.
struct Lane {
    server: Arc<Server>,
    fanout: Fanout<TcpStream>,
}

impl Lane {
    fn new(
        lane: usize,
        offers: &Arc<Vec<Offer>>,
        viewers: &Arc<Viewers>,
        options: &Options,
        lobby: &Arc<Lobby>,
        shutdown: &CancellationToken,
    ) -> Self {
        let times = Times { keepalive: options.keepalive, stall: options.stall };
        let live: Vec<Arc<Feed>> = offers.iter().filter_map(Offer::live).cloned().collect();
        let (entrance, fanout) = Fanout::new(&live, lane, times);
        let (offers, viewers, options) = (offers.clone(), viewers.clone(), options.clone());
        let (lobby, shutdown) = (lobby.clone(), shutdown.clone());
        Self { server: Arc::new(Server { offers, viewers, options, lobby, lane, entrance, shutdown }), fanout }
    }

    /// Runs on this thread, which is its own, with the connections that come through the door.
    fn run_alone(self, mut door: mpsc::UnboundedReceiver<Arrival>) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let server = self.server.clone();
            tokio::spawn(async move {
                while let Some((socket, peer)) = door.recv().await {
                    match TcpStream::from_std(socket) {
                        Ok(socket) => let_in(socket, peer, &server),
                        Err(error) => warn!(%peer, %error, "cannot take a connection"),
                    }
                }
            });
            self.fanout.run(self.server.shutdown.clone()).await;
        });
        Ok(())
    }
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

/// What the limit on file descriptors leaves.
fn most_connections() -> usize {
    #[cfg(unix)]
    let descriptors = rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
    #[cfg(not(unix))]
    let descriptors = u64::MAX;
    usize::try_from(descriptors.saturating_sub(SPARE)).unwrap_or(usize::MAX)
}

/// Lets connections in, in turn here and through each of the doors.
async fn accept(listener: TcpListener, server: Arc<Server>, doors: Vec<Door>) {
    let mut said: Option<Instant> = None;
    for turn in (0..=doors.len()).cycle() {
        let accepted = listener.accept().await;
        match accepted {
            Ok((socket, peer)) => match doors.get(turn) {
                None => let_in(socket, peer, &server),
                // A thread that is gone was told to end, as everything was.
                Some(door) => _ = socket.into_std().map(|socket| door.send((socket, peer))),
            },
            // Out of file descriptors or memory: it passes, and trying at once would burn a core.
            Err(error) if !is_of_one_connection(&error) => {
                server.viewers.faults.count(Fault::Accept);
                if said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
                    warn!(%error, "cannot accept connections for now");
                    said = Some(Instant::now());
                }
                server.lobby.make_room();
                sleep(ACCEPT_PAUSE).await;
            }
            Err(_) => {}
        }
        if server.lobby.is_full(server.viewers.count()) {
            // Whoever was asked to go does so first.
            yield_now().await;
        }
    }
}

fn let_in(socket: TcpStream, peer: SocketAddr, server: &Arc<Server>) {
    let guest = server.lobby.enter(server.viewers.count());
    tokio::spawn(contain(Place::Connection, connection(socket, peer, guest, server.clone())));
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[derive(Debug)]
struct Server {
    offers: Arc<Vec<Offer>>,
    viewers: Arc<Viewers>,
    options: Options,
    lobby: Arc<Lobby>,
    /// The lane of the feeds that viewers of this thread are on.
    lane: usize,
    entrance: Entrance<TcpStream>,
    shutdown: CancellationToken,
}

/// A stream that was promised: hyper has written the head, the rest is ours.
#[derive(Debug)]
struct Promise {
    cursors: Vec<Subscription>,
    wishes: Wishes,
    seat: Seat,
}

/// Lets hyper answer requests until one asks for a stream, then takes the socket from it.
async fn connection(socket: TcpStream, peer: SocketAddr, guest: Guest, server: Arc<Server>) {
    let promised = Mutex::new(None);
    let service = service_fn(|request| {
        let (server, promised) = (&server, &promised);
        guest.has_asked();
        async move { Ok::<_, Infallible>(server.answer(request, peer, promised).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .title_case_headers(true)
            .serve_connection(TokioIo::new(Prompt::new(socket, server.options.stall)), service)
            .without_shutdown()
    );
    let parts = tokio::select! {
        parts = &mut connection => parts,
        () = guest.is_called_away() => return server.viewers.faults.count(Fault::Crowded),
        () = server.shutdown.cancelled() => {
            // A reply that is on its way (the one to /quit) still gets out.
            match tokio::time::timeout(Duration::from_millis(200), connection).await {
                Ok(parts) => parts,
                Err(_) => return,
            }
        }
    };
    let socket = match parts {
        Ok(parts) => parts.io.into_inner().into_inner(),
        Err(error) => {
            server.viewers.faults.count(fault_of(&error));
            return debug!(%peer, %error, "connection ended");
        }
    };
    let promised = promised.lock().unwrap_or_else(PoisonError::into_inner).take();
    match promised {
        Some(Promise { cursors, wishes, seat }) if !cursors.is_empty() => {
            let boundary = cursors[0].feed().boundary().clone();
            server.entrance.admit(Viewer::new(socket, cursors, boundary, wishes, seat));
        }
        _ => part_company(socket).await,
    }
}

fn fault_of(error: &hyper::Error) -> Fault {
    match () {
        () if error.is_parse() => Fault::Malformed,
        () if error.is_timeout() => Fault::TimedOut,
        () => Fault::Broken,
    }
}

/// Closes without a reset, which could overtake the reply: first our side, then, for a moment, what the peer still sends.
async fn part_company(mut socket: TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let drain = async {
        socket.shutdown().await?;
        let mut scratch = [0; 1024];
        while socket.read(&mut scratch).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), drain).await;
}

impl Server {
    async fn answer<B>(&self, request: Request<B>, peer: SocketAddr, promised: &Mutex<Option<Promise>>) -> Reply {
        let mut reply = match guard::check(&request, &self.options.hosts) {
            Ok(()) => self.answer_route(&request, peer, promised).await,
            Err(refusal) => reply::refuse(&refusal),
        };
        if guard::has_body(request.headers()) {
            reply::close(&mut reply);
        }
        self.allow_origin(&request, &mut reply);
        self.viewers.replies.count(reply.status().as_u16());
        debug!(%peer, method = %request.method(), target = %request.uri(), status = reply.status().as_u16(), "request");
        reply
    }

    async fn answer_route<B>(&self, request: &Request<B>, peer: SocketAddr, promised: &Mutex<Option<Promise>>) -> Reply {
        match route::route(request) {
            Route::Page => reply::page(),
            Route::Stream { feeds, wish } => self.stream(request.method(), &feeds, wish, peer, promised),
            Route::Snapshot { feed, after } => self.snapshot(&feed, after, request.headers()).await,
            Route::State => reply::json(&metrics::state(&self.offers, &self.viewers)),
            Route::Metrics => metrics::reply(&self.offers, &self.viewers),
            Route::Health => reply::say(StatusCode::OK, "ok"),
            Route::Quit if !self.options.may_quit => nowhere(),
            Route::Quit if guard::is_cross_site(request.headers()) => {
                reply::say(StatusCode::FORBIDDEN, "mxr: another site may not end this server")
            }
            Route::Quit => {
                info!(%peer, "asked to quit");
                self.shutdown.cancel();
                let mut reply = reply::say(StatusCode::ACCEPTED, "Accepted");
                reply::close(&mut reply);
                reply
            }
            Route::Nonsense(why) => reply::say(StatusCode::BAD_REQUEST, &format!("mxr: {why}")),
            Route::Nowhere => nowhere(),
        }
    }

    fn find(&self, which: &Which) -> Vec<&Offer> {
        match which {
            Which::Number(number) => self.offers.get(*number).into_iter().collect(),
            Which::Named(name) => self.offers.iter().filter(|offer| offer.name() == name).take(1).collect(),
            Which::All => self.offers.iter().collect(),
        }
    }

    fn stream(&self, method: &Method, which: &Which, wish: Wish, peer: SocketAddr, promised: &Mutex<Option<Promise>>) -> Reply {
        let offers = self.find(which);
        let Some(first) = offers.first() else { return self.unknown(which) };
        let reply = reply::stream(first.boundary().as_str(), wish.mixed);
        if method == Method::HEAD {
            return reply;
        }
        let seat = match self.viewers.enter(Some(peer)) {
            Ok(seat) => seat,
            Err(why) => return reply::full(why),
        };
        let feeds: Vec<Arc<Feed>> = offers.iter().map(|offer| offer.open()).collect();
        let slowest = wish.is_browser && feeds.iter().all(|feed| feed.kind() == Kind::Newest);
        let interval = wish.interval.max(slowest.then_some(BROWSER_INTERVAL));
        let cursors = feeds.iter().map(|feed| feed.subscribe(self.lane, wish.history, wish.accepts)).collect();
        let wishes = Wishes { interval, parts: wish.parts, named: *which == Which::All };
        *promised.lock().unwrap_or_else(PoisonError::into_inner) = Some(Promise { cursors, wishes, seat });
        reply
    }

    async fn snapshot(&self, which: &Which, after: Option<u64>, asked: &header::HeaderMap) -> Reply {
        let Some(offer) = self.find(which).into_iter().next() else { return self.unknown(which) };
        let feed = offer.open();
        // A run plays while it has a viewer: this is one, for its first part.
        let _viewer = (feed.kind() == Kind::Run).then(|| feed.subscribe(self.lane, None, Accepts::All));
        let part = match after {
            None if feed.kind() != Kind::Run => feed.newest(),
            after => match tokio::time::timeout(SNAPSHOT_WAIT, feed.newer_than(after.unwrap_or(0))).await {
                Ok(part) if part.as_ref().is_none_or(|part| Some(part.sequence) > after) => part,
                _ => return reply::say(StatusCode::NO_CONTENT, ""),
            },
        };
        part.map_or_else(reply::not_yet, |part| reply::snapshot(&part, feed.boundary().as_str(), asked))
    }

    fn unknown(&self, which: &Which) -> Reply {
        let names: Vec<&str> = self.offers.iter().map(Offer::name).collect();
        let asked = match which {
            Which::Named(name) => name.clone(),
            Which::Number(number) => format!("number {number}"),
            Which::All => "any".to_owned(),
        };
        reply::say(StatusCode::NOT_FOUND, &format!("mxr: there is no feed {asked:?}\nhint: there is {}", names.join(", ")))
    }

    fn allow_origin<B>(&self, request: &Request<B>, reply: &mut Reply) {
        let origins = &self.options.origins;
        let asked = request.headers().get(header::ORIGIN);
        let allowed = match asked {
            _ if origins.iter().any(|origin| origin == "*") => Some(HeaderValue::from_static("*")),
            Some(asked) if origins.iter().any(|origin| origin.as_bytes() == asked.as_bytes()) => Some(asked.clone()),
            _ => None,
        };
        if let Some(allowed) = allowed {
            reply.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            reply.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

fn nowhere() -> Reply {
    reply::say(StatusCode::NOT_FOUND, "mxr: nothing is here\nhint: try /, /stream, /snapshot, /view or /state")
}
