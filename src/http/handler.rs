//! The answers to the requests of one connection: refusals, finite replies, and the heads of streams with what the fan-out needs to go
//! on. It knows feeds, not the sources of their parts, and writes nothing to a socket.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use hyper::{Method, Request, StatusCode, Uri, body::Incoming, header};
use tokio_util::sync::CancellationToken;
use tracing::{Level, debug, enabled, info};

use super::{
    headers,
    history::{self, AskedFeed, ReplyContext},
    login::{self, without_token},
    metrics::{self, ViewerDetail},
    options::Options,
    origin, push,
    query::QueryNow,
    reads::Reads,
    request::{self, Rejection, Visitor},
    response::{self, Reply},
    route::{self, After, FeedSelector, Route, StreamQuery},
    snapshot,
};
use crate::{
    auth::Guesser,
    conn::{
        local::SocketPair,
        pending::{PendingConn, PendingConns},
        transport::{Connection, Transport},
    },
    escape::Escaped,
    fanout::{AllFeeds, Cursor, FanoutHandle, StreamOptions},
    feed::{Kind, Mount, Registry, StartAt},
    stats::{ViewerPermit, Viewers},
    sync::Mutex,
};

/// The longest wait of `/snapshot?after=`: some proxies give a silent server up after 30 seconds.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(25);
/// The longest wait of a snapshot for a source that begins to work only now.
const FIRST_PART_WAIT: Duration = Duration::from_secs(10);
/// The least time between two pictures for a browser: without it some grow by gigabytes (docs/field.md, Browsers).
const BROWSER_INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 60);

#[derive(Debug)]
pub(super) struct RequestHandler {
    pub(super) registry: Arc<Registry>,
    pub(super) viewers: Arc<Viewers>,
    pub(super) options: Arc<Options>,
    pub(super) pending: Arc<PendingConns>,
    /// The shard of the feeds for viewers of this thread.
    pub(super) shard: usize,
    pub(super) fanout: FanoutHandle<Transport>,
    pub(super) shutdown: CancellationToken,
    /// Shared by all threads.
    pub(super) reads: Arc<Reads>,
    /// Limits the warnings about heads that are too long.
    pub(super) head_warning: WarnPause,
}

/// A stream to hand over: hyper writes the response head, the fan-out the rest.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) cursors: Vec<Cursor>,
    pub(super) options: StreamOptions,
    pub(super) permit: ViewerPermit,
}

/// The connection that a request arrived on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) peer: Option<SocketAddr>,
    pub(super) ends: Option<SocketPair>,
    pub(super) is_tls: bool,
    pub(super) transport: &'a Mutex<Transport>,
    pub(super) conn: &'a PendingConn,
}

impl RequestHandler {
    /// Answers a request; one for a stream fills `handover`.
    pub(super) async fn answer(&self, request: Request<Incoming>, caller: Caller<'_>, handover: &Mutex<Option<Handover>>) -> Reply {
        let (request, body) = parted(request);
        let headers = request.headers();
        let mut visitor = Visitor::new(caller.peer, caller.is_tls, headers, self.options.trust_proxy);
        let mut is_body_read = false;
        let has_left = || caller.transport.lock().has_left();
        let answered = match login::answer_once(&request, &mut visitor, caller.ends, &self.options) {
            Some(reply) => Ok(reply),
            None if push::may_be(&request, &self.options) => {
                is_body_read = true;
                let mark_active = || caller.conn.mark_active();
                push::answer(&request, body, &mut visitor, &has_left, (&mark_active, &self.shutdown), &self.options).await
            }
            None if login::is_form(&request, &self.options) => {
                login::answer_form(&request, body, &mut visitor, &has_left, &self.options).await
            }
            None => match self.admit(&request, &mut visitor, caller.transport).await {
                Ok(route) => Ok(self.answer_route(&request, route, &visitor, caller.conn, handover).await),
                Err(rejection) => Err(rejection),
            },
        };
        if let Err(Rejection::ForeignHost(name)) = &answered {
            self.options.hosts.warn_of(&self.options.redacted(name));
        }
        let mut reply = answered
            .unwrap_or_else(|rejection| login::offer_form(response::reject(&rejection), &rejection, headers, &self.options));
        push::explain_methods(&mut reply, &request, &visitor, &self.options);
        if request::has_body(headers) && !is_body_read {
            response::close(&mut reply);
        }
        self.viewers.replies.count(reply.status().as_u16());
        let sites = &self.options.sites;
        let allowed = sites.allowed_origin(headers);
        let is_for_all = allowed.is_some() || headers::is_img(headers);
        response::allow_sites(&mut reply, allowed, is_for_all, &sites.frame_policy(&visitor));
        if sites.depends_on_origin() {
            response::vary(&mut reply, "Origin");
        }
        if enabled!(Level::DEBUG) {
            let target = self.options.redacted(&self.options.access.redacted_target(request.uri()));
            let method = self.options.redacted(request.method().as_str());
            let status = reply.status().as_u16();
            debug!(peer = visitor.source.map(display), method, target, status, "request");
        }
        reply
    }

    /// The route of a request that is allowed.
    async fn admit<B>(
        &self,
        request: &Request<B>,
        visitor: &mut Visitor,
        transport: &Mutex<Transport>,
    ) -> Result<Route, Rejection> {
        let Options { access, hosts, sites, prefix, .. } = &*self.options;
        request::check(request, hosts, visitor)?;
        if request.method() == Method::OPTIONS {
            // It has no secret, and gives away nothing.
            return sites.allowed_origin(request.headers()).map(|_| Route::Preflight).ok_or(Rejection::ForeignSite);
        }
        let route = route::route_at(request, prefix, self.now());
        // The reply reveals nothing, and the caller has no password: a container runtime, a load balancer.
        if route == Route::Health {
            return Ok(route);
        }
        sites.check(request.headers(), matches!(route, Route::Stream { .. } | Route::Snapshot { .. } | Route::Shown { .. }))?;
        let has_left = || transport.lock().has_left();
        let guesser = Guesser { address: visitor.address(), has_left: &has_left, site: self.options.site(visitor) };
        let admitted = access.check(request.uri(), request.headers(), guesser).await;
        admitted.map_err(|denial| login::denied(denial, visitor, &self.options))?;
        match headers::via(request.headers()).has(self.registry.process()) {
            true => Err(Rejection::Loop),
            false => Ok(route),
        }
    }

    /// The time from which queries count back: the one that plays, of a recording.
    fn now(&self) -> QueryNow {
        let playing = self.options.playing.as_ref().and_then(|playing| playing.get());
        playing.map_or_else(|| QueryNow::Clock(SystemTime::now()), QueryNow::Playing)
    }

    async fn answer_route<B>(
        &self,
        request: &Request<B>,
        route: Route,
        visitor: &Visitor,
        conn: &PendingConn,
        handover: &Mutex<Option<Handover>>,
    ) -> Reply {
        match route {
            Route::Page => self.page(request, visitor),
            Route::Slash => response::redirect(&with_slash(request.uri())),
            Route::Stream { feeds, query } => self.stream(request, &feeds, query, visitor.source, handover),
            Route::Snapshot { feed, after } => self.snapshot(&feed, after, request.headers(), conn).await,
            Route::Shown { feed, shown } => {
                let reply = history::shown(self.asked(&feed), shown, request.headers(), self.context(conn)).await;
                self.evict_slow_readers(reply.unwrap_or_else(|| self.unknown(&feed)))
            }
            Route::Parts { feed, stretch, max } => {
                let reply = history::parts(self.asked(&feed), stretch, max, self.context(conn)).await;
                self.evict_slow_readers(reply.unwrap_or_else(|| self.unknown(&feed)))
            }
            Route::Recording { feed, stretch, newest } => {
                let reply = history::recording(self.asked(&feed), stretch, newest, self.context(conn)).await;
                self.evict_slow_readers(reply.unwrap_or_else(|| self.unknown(&feed)))
            }
            Route::Preflight => response::preflight(request.headers()),
            Route::State => {
                let detail = if route::wants_feeds_alone(request.uri()) {
                    ViewerDetail::None
                } else if self.options.access.is_open() && !visitor.is_local() {
                    ViewerDetail::WithoutAddress
                } else {
                    ViewerDetail::Whole
                };
                response::json(&metrics::state(&self.registry, &self.viewers, &self.options, detail))
            }
            Route::Metrics => metrics::reply(&self.registry, &self.viewers, &self.options),
            Route::Health => response::text(StatusCode::OK, "ok"),
            Route::Quit if !self.options.may_quit => not_found(&self.options.prefix),
            Route::Quit if request.method() != Method::GET => response::reject(&Rejection::Method),
            Route::Quit if origin::is_cross_site(request.headers(), visitor) => {
                response::text(StatusCode::FORBIDDEN, "mxr: another site may not end this server")
            }
            Route::Quit => {
                info!(peer = visitor.source.map(display), "asked to quit");
                self.shutdown.cancel();
                let mut reply = response::text(StatusCode::ACCEPTED, "Accepted");
                response::close(&mut reply);
                reply
            }
            Route::BadQuery(why) => response::text(StatusCode::BAD_REQUEST, &format!("mxr: {why}")),
            Route::NotFound => not_found(&self.options.prefix),
        }
    }

    /// The page; if the token is in the URL, first a redirect to the same page with a cookie instead. A frame on another site gets
    /// no cookie, and has no address bar: there the page uses the token of its own URL.
    fn page<B>(&self, request: &Request<B>, visitor: &Visitor) -> Reply {
        let Options { access, sites, .. } = &*self.options;
        let cookie = access.cookie_instead(request.uri(), self.options.site(visitor));
        match cookie.filter(|_| !headers::may_be_framed(request.headers(), !sites.embedders.is_empty())) {
            Some((cookie, query)) => response::redirect_with_cookie(&without_token(request.uri(), &query), &cookie),
            None => response::page(headers::prefers_gzip(request.headers())),
        }
    }

    fn find(&self, selector: &FeedSelector) -> Option<Arc<Mount>> {
        let list = self.registry.list();
        match selector {
            FeedSelector::Number(number) => list.get(*number).map(|mounted| mounted.mount.clone()),
            FeedSelector::Named(name) => self.registry.find(name),
            // With only one feed its name in go2rtc does not matter.
            FeedSelector::Camera(name) => match &list[..] {
                [only] => Some(only.mount.clone()),
                _ => self.registry.find(name),
            },
            FeedSelector::All => None,
        }
    }

    fn context<'a>(&'a self, conn: &'a PendingConn) -> ReplyContext<'a> {
        ReplyContext { registry: &self.registry, reads: &self.reads, conn }
    }

    /// The same reply, whose memory counts from now on.
    fn evict_slow_readers(&self, reply: Reply) -> Reply {
        self.pending.evict_slowest(&self.registry.settings().memory, 0, None);
        reply
    }

    fn asked(&self, selector: &FeedSelector) -> AskedFeed {
        AskedFeed { archive: self.options.archive.clone(), mount: self.find(selector), selector: selector.clone() }
    }

    fn stream<B>(
        &self,
        request: &Request<B>,
        selector: &FeedSelector,
        query: StreamQuery,
        peer: Option<SocketAddr>,
        handover: &Mutex<Option<Handover>>,
    ) -> Reply {
        let mount = self.find(selector);
        if mount.is_none() && *selector != FeedSelector::All {
            return self.unknown(selector);
        }
        let mut reply = response::stream(self.registry.boundary().as_str(), query.mixed);
        let hops = headers::via(request.headers());
        let mut relay = None;
        if let Some(feed) = mount.as_ref().and_then(|mount| mount.shared()).filter(|_| !hops.is_empty()) {
            relay = feed.expect_relay(hops);
            if relay.is_none() {
                return response::reject(&Rejection::Loop);
            }
            response::tell_relays(&mut reply, feed);
        }
        if request.method() == Method::HEAD {
            return reply;
        }
        let permit = match self.viewers.enter(peer) {
            Ok(permit) => permit,
            Err(why) => return response::limited(why),
        };
        let StreamQuery { history, accepts, .. } = query;
        // Another process counts its parts anew.
        let resume = query.resume.filter(|resume| resume.run == self.registry.boundary().as_str());
        let (after, each) = match resume.map(|resume| resume.after) {
            Some(After::One(after)) => (Some(after), HashMap::default()),
            Some(After::Each(each)) => (None, each),
            None => Default::default(),
        };
        let start = StartAt { history, after };
        let subscriptions = mount.iter().map(|mount| mount.open().subscribe_from(self.shard, start).for_relay(relay.take()));
        let cursors = subscriptions.map(|subscription| Cursor::new(subscription, accepts)).collect();
        let all = mount.is_none().then(|| AllFeeds::new(self.registry.clone(), self.shard, history, accepts).after(each));
        let picture_interval = query.is_browser.then_some(BROWSER_INTERVAL);
        let options = StreamOptions { interval: query.interval, parts: query.parts, picture_interval, all };
        *handover.lock() = Some(Handover { cursors, options, permit });
        reply
    }

    async fn snapshot(
        &self,
        selector: &FeedSelector,
        after: Option<u64>,
        headers: &header::HeaderMap,
        conn: &PendingConn,
    ) -> Reply {
        let Some(mount) = self.find(selector) else { return self.unknown(selector) };
        let feed = mount.open();
        let hops = headers::via(headers);
        let is_relay = !hops.is_empty();
        if is_relay && feed.expect_relay(hops).is_none() {
            return response::reject(&Rejection::Loop);
        }
        // A run plays only while it has a viewer: this subscription is one, for the first part.
        let _viewer = (feed.kind() == Kind::Run).then(|| feed.subscribe(self.shard, None));
        let part = match after {
            None if feed.kind() != Kind::Run => feed.current(FIRST_PART_WAIT).await,
            after => match tokio::time::timeout(SNAPSHOT_WAIT, feed.newer_than(after.unwrap_or(0))).await {
                Ok(part) if part.as_ref().is_none_or(|part| Some(part.sequence()) > after) => part,
                _ => return response::text(StatusCode::NO_CONTENT, ""),
            },
        };
        let Some(part) = part else { return response::no_part(feed.state().source()) };
        let mut reply = snapshot::snapshot(&part, feed.boundary().as_str(), headers, |lease| conn.count_reply([lease]));
        if is_relay {
            response::tell_relays(&mut reply, &feed);
        }
        self.evict_slow_readers(reply)
    }

    fn unknown(&self, selector: &FeedSelector) -> Reply {
        let list = self.registry.list();
        let names: Vec<&str> = list.iter().map(|mounted| mounted.mount.name()).collect();
        if names.is_empty() {
            return response::text(StatusCode::NOT_FOUND, &self.options.without_feeds());
        }
        let asked = match selector {
            FeedSelector::Named(name) | FeedSelector::Camera(name) => name.clone(),
            FeedSelector::Number(number) => format!("number {number}"),
            FeedSelector::All => "any".to_owned(),
        };
        response::text(
            StatusCode::NOT_FOUND,
            &format!("mxr: there is no feed {asked:?}\nhint: there is {}", Escaped(names.join(", "))),
        )
    }
}

/// The request without its body, and the body.
fn parted<B>(request: Request<B>) -> (Request<()>, B) {
    let (parts, body) = request.into_parts();
    (Request::from_parts(parts, ()), body)
}

/// The pause between two warnings of one kind, which any client can cause.
#[derive(Debug, Default)]
pub(super) struct WarnPause(Mutex<Option<Instant>>);

impl WarnPause {
    const MINUTE: Duration = Duration::from_secs(60);

    /// Whether it is over; then the next one begins.
    pub(super) fn is_over(&self) -> bool {
        let mut last = self.0.lock();
        let is_over = last.is_none_or(|last| last.elapsed() > Self::MINUTE);
        if is_over {
            *last = Some(Instant::now());
        }
        is_over
    }
}

fn with_slash(uri: &Uri) -> String {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    uri.query().map_or_else(|| format!("{name}/"), |query| format!("{name}/?{query}"))
}

fn not_found(prefix: &str) -> Reply {
    let [page, others @ .., last] = ["/", "/stream", "/snapshot", "/view", "/state"].map(|path| format!("{prefix}{path}"));
    let text = format!("mxr: nothing is here\nhint: try {page}, {} or {last}", others.join(", "));
    response::text(StatusCode::NOT_FOUND, &text)
}
