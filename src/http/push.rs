//! Pushing: who may, what is refused before a byte of the body is read, and how the body is read. The words of the refusals are for
//! people who see them in a terminal. What becomes of the bytes is decided behind `intake`.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    login,
    options::{Options, PushOptions},
    origin,
    refusals::Sentence,
    request::{self, Rejection, Visitor},
    response::{self, Reply},
    route::{self, FeedSelector, Route, route},
};
use crate::{
    auth::{Guesser, HasLeft, PushDenial, PushRight},
    escape::Escaped,
    feed::url_name,
    intake::{Push, PushHead, PushOutcome, PushRefusal, PushShape, ReceivedRun, SeveralHead},
};

/// Names the feed that a refusal is about, where several are pushed.
const FEED: HeaderName = HeaderName::from_static("x-feed");
/// The least pace of a body whose part does not end, in bytes a second: a modem's.
const MIN_PACE: f64 = 1024.0;
/// The methods of the paths that can be pushed to.
const METHODS: &str = "GET, HEAD, PUT, POST, DELETE";

/// What a request wants to change.
#[derive(Debug, PartialEq, Eq)]
enum PushRequest {
    Push(PushShape, String),
    PushSeveral,
    /// How far this run has come.
    Received(String),
    Remove(String),
}

impl PushRequest {
    /// The one feed that it is about.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Push(_, name) | Self::Remove(name) => Some(name),
            Self::PushSeveral | Self::Received(_) => None,
        }
    }
}

/// Whether a request may want to push: it is not one to read, and pushing is possible here at all.
pub(super) fn may_be<B>(request: &Request<B>, options: &Options) -> bool {
    options.push.is_some()
        && matches!(*request.method(), Method::PUT | Method::POST | Method::DELETE)
        && !matches!(route(request, &options.prefix), Route::NotFound | Route::Page | Route::Slash | Route::Quit)
}

/// Answers a request to push, and tells the log if it is refused.
pub(super) async fn answer(
    request: &Request<()>,
    body: Incoming,
    visitor: &mut Visitor,
    has_left: HasLeft<'_>,
    (mark_active, shutdown): (&(dyn Fn() + Sync), &CancellationToken),
    options: &Options,
) -> Result<Reply, Rejection> {
    let reply = decide(request, body, visitor, has_left, (mark_active, shutdown), options).await?;
    if let Some(push) = &options.push {
        push.refusals.tell(&reply, visitor.address(), &options.redacted(request.uri().path()));
    }
    Ok(reply)
}

async fn decide(
    request: &Request<()>,
    body: Incoming,
    visitor: &mut Visitor,
    has_left: HasLeft<'_>,
    (mark_active, shutdown): (&(dyn Fn() + Sync), &CancellationToken),
    options: &Options,
) -> Result<Reply, Rejection> {
    let Some(push) = &options.push else { return Err(Rejection::Method) };
    request::check_target(request, &options.hosts, visitor)?;
    if origin::is_cross_site(request.headers(), visitor) {
        return Ok(refuse(StatusCode::FORBIDDEN, "mxr: a page of another site may not push"));
    }
    let wanted = match read_request(request, options) {
        Ok(wanted) => wanted,
        Err(reply) => return Ok(*reply),
    };
    let guesser = Guesser { address: visitor.address(), has_left, site: options.site(visitor) };
    let right = match admit(request, visitor, guesser, push, options).await? {
        Ok(right) => right,
        Err(refused) => return Ok(*refused),
    };
    if wanted.name().is_some_and(|name| !right.covers(name)) {
        return Ok(refused(&PushRefusal::OtherFeeds));
    }
    let headers = request.headers();
    Ok(match wanted {
        PushRequest::Remove(name) => {
            push.intake.remove(&name).map_or_else(|why| refused(&why), |()| response::empty(StatusCode::NO_CONTENT))
        }
        PushRequest::Received(run) => push.intake.received(&run, headers).map_or_else(|why| refused(&why), |have| received(&have)),
        PushRequest::Push(..) | PushRequest::PushSeveral => match begin(headers, wanted, right, push) {
            Ok(begun) => read(begun, body, (mark_active, shutdown), options.stall).await,
            Err(reply) => *reply,
        },
    })
}

/// What a request wants, or why it wants nothing that can be done.
fn read_request(request: &Request<()>, options: &Options) -> Result<PushRequest, Box<Reply>> {
    let (shape, feed) = match route(request, &options.prefix) {
        Route::Snapshot { feed, .. } => (PushShape::Part, feed),
        Route::Stream { feeds, .. } => (PushShape::Stream, feeds),
        Route::BadQuery(why) => return Err(Box::new(refuse(StatusCode::BAD_REQUEST, &format!("mxr: {why}")))),
        _ => {
            return Err(Box::new(astray(options)));
        }
    };
    let name = match feed {
        FeedSelector::All if request.method() != Method::DELETE => {
            return Ok(route::received_run(request.uri()).map_or(PushRequest::PushSeveral, PushRequest::Received));
        }
        FeedSelector::Named(name) => name,
        _ => {
            let text = format!("mxr: a name is missing\nhint: {}", options.how_to_push());
            return Err(Box::new(refuse(StatusCode::BAD_REQUEST, &text)));
        }
    };
    if name.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Box::new(refuse(StatusCode::BAD_REQUEST, "mxr: the name is not in UTF-8")));
    }
    Ok(if request.method() == Method::DELETE { PushRequest::Remove(name) } else { PushRequest::Push(shape, name) })
}

/// The right to push, or the refusal, if it is none that the viewers' access gives.
async fn admit(
    request: &Request<()>,
    visitor: &Visitor,
    guesser: Guesser<'_>,
    push: &PushOptions,
    options: &Options,
) -> Result<Result<PushRight, Box<Reply>>, Rejection> {
    if push.tokens.is_empty() {
        if !visitor.is_local() {
            let text = "mxr: from another machine a token is needed to push, and there is none\nhint: --push-token sets one";
            return Ok(Err(Box::new(refuse(StatusCode::FORBIDDEN, text))));
        }
        let admitted = options.access.check(request.uri(), request.headers(), guesser).await;
        return admitted.map(|()| Ok(PushRight::to_all())).map_err(|denial| login::denied(denial, visitor, options));
    }
    let denial = match push.tokens.right(request.uri(), request.headers(), guesser.address).await {
        Ok(right) => return Ok(Ok(right)),
        Err(denial) => denial,
    };
    Ok(Err(Box::new(deny(&denial))))
}

fn deny(denial: &PushDenial) -> Reply {
    let (status, text) = match denial {
        PushDenial::Nothing => (
            StatusCode::UNAUTHORIZED,
            "mxr: a token is needed to push\n\
             hint: curl -H 'Authorization: Bearer TOKEN', or ?token=TOKEN behind the URL, or http://any:TOKEN@…",
        ),
        // A program that asks with user and password, such as ffmpeg, understands this status alone.
        PushDenial::Wrong => (StatusCode::UNAUTHORIZED, "mxr: that is not a token to push; the token to look is another one"),
        PushDenial::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "mxr: too many wrong tokens came from your address"),
    };
    let mut reply = refuse(status, text);
    match denial {
        PushDenial::TooMany(wait) => {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        _ => {
            let challenge = HeaderValue::from_static("Basic realm=\"mxr push\", charset=\"UTF-8\"");
            reply.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
    reply
}

/// Begins to take a body, of which nothing has been read.
fn begin(headers: &HeaderMap, wanted: PushRequest, right: PushRight, push: &PushOptions) -> Result<Box<dyn Push>, Box<Reply>> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_none() && !headers.contains_key(header::TRANSFER_ENCODING) {
        let text = "mxr: nothing says where the body ends\nhint: send it chunked, or with its Content-Length";
        return Err(Box::new(refuse(StatusCode::LENGTH_REQUIRED, text)));
    }
    let headers = headers.clone();
    let begun = match wanted {
        PushRequest::Push(shape, name) => push.intake.begin(PushHead { name, shape, headers, length }),
        _ => push.intake.begin_several(SeveralHead { headers, length, may_push: Box::new(move |name| right.covers(name)) }),
    };
    begun.map_err(|why| Box::new(refused(&why)))
}

/// Reads a body to its end. A pusher that is too slow, or whose feed is another's now, is answered before.
async fn read(
    mut push: Box<dyn Push>,
    mut body: Incoming,
    (mark_active, shutdown): (&(dyn Fn() + Sync), &CancellationToken),
    stall: Duration,
) -> Reply {
    let replaced = push.replaced();
    let mut pace = BodyPace::new(stall);
    loop {
        let frame = tokio::select! {
            biased;
            () = replaced.cancelled() => return refused(&push.push(&[]).err().unwrap_or(PushRefusal::Replaced)),
            () = shutdown.cancelled() => {
                push.note_end("the hub ends");
                return refused(&PushRefusal::Ending);
            }
            frame = timeout_at(pace.due(), body.frame()) => frame,
        };
        let bytes = match frame {
            Err(_) => return too_slow(push, stall),
            Ok(None) => return push.finish().map_or_else(|why| refused(&why), accepted),
            Ok(Some(Err(error))) => {
                debug!(%error, "a pusher has left in the middle of its body");
                return refuse(StatusCode::BAD_REQUEST, "mxr: the body is cut off");
            }
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        mark_active();
        match push.push(&bytes) {
            Ok(whole) if pace.take(bytes.len(), whole > 0) => {}
            Ok(_) => return too_slow(push, stall),
            Err(why) => return refused(&why),
        }
    }
}

/// The pace of a body: there have to be bytes within the timeout, and a part that takes longer has to come at a modem's pace.
struct BodyPace {
    stall: Duration,
    last: Instant,
    part_since: Instant,
    part_bytes: usize,
}

impl BodyPace {
    fn new(stall: Duration) -> Self {
        let now = Instant::now();
        Self { stall, last: now, part_since: now, part_bytes: 0 }
    }

    /// When the next bytes have to be there.
    fn due(&self) -> Instant {
        self.last + self.stall
    }

    /// Notes bytes, and whether they complete a part. Returns whether they come fast enough.
    fn take(&mut self, bytes: usize, is_whole: bool) -> bool {
        self.last = Instant::now();
        if is_whole {
            (self.part_since, self.part_bytes) = (self.last, 0);
            return true;
        }
        self.part_bytes += bytes;
        let elapsed = self.last - self.part_since;
        elapsed < self.stall || self.part_bytes as f64 >= MIN_PACE * elapsed.as_secs_f64()
    }
}

fn too_slow(mut push: Box<dyn Push>, stall: Duration) -> Reply {
    push.note_end("its pusher was silent for too long, or too slow");
    let text = format!(
        "mxr: nothing came for {}, or too little\nhint: --stall-timeout of the hub allows longer pauses",
        humantime::format_duration(stall)
    );
    refuse(StatusCode::REQUEST_TIMEOUT, &text)
}

fn accepted(outcome: PushOutcome) -> Reply {
    response::empty(if outcome.is_new_feed { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
}

/// A refusal, after which the connection is closed: bytes of the body may still be on the way.
fn refuse(status: StatusCode, text: &str) -> Reply {
    let mut reply = response::text(status, text);
    reply.extensions_mut().insert(Sentence::of(text));
    response::close(&mut reply);
    reply
}

/// Refuses a push to a path that is no feed's.
fn astray(options: &Options) -> Reply {
    let text = format!("mxr: nothing can be pushed to this path\nhint: {}", options.how_to_push());
    let mut reply = refuse(StatusCode::METHOD_NOT_ALLOWED, &text);
    reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    reply
}

/// The reply to a publisher that asks how far its parts have come.
fn received(received: &ReceivedRun) -> Reply {
    let feeds = received.feeds.iter().map(|(name, sequence)| json!({"name": name, "sequence": sequence}));
    response::json(&json!({"process": received.process, "max_part": received.part_bytes, "feeds": feeds.collect::<Vec<_>>()}))
}

fn refused(why: &PushRefusal) -> Reply {
    let (status, text) = in_words(why);
    let mut reply = refuse(status, &text);
    let is_for_now = matches!(why, PushRefusal::Busy | PushRefusal::TooManyFeeds(_));
    if is_for_now {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if let PushRefusal::OfFeed(name, _) = why
        && let Ok(name) = HeaderValue::from_str(&url_name(name))
    {
        reply.headers_mut().insert(FEED, name);
    }
    reply
}

fn in_words(why: &PushRefusal) -> (StatusCode, String) {
    match why {
        PushRefusal::Name(why) => (StatusCode::BAD_REQUEST, format!("mxr: that cannot be the name of a feed: {why}")),
        PushRefusal::NotAllowed => {
            (StatusCode::FORBIDDEN, "mxr: no feed of this name may be made here\nhint: --allow of the hub says which".to_owned())
        }
        PushRefusal::TooManyFeeds(most) => (
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "mxr: there are {most} feeds already\nhint: DELETE /stream/NAME removes one, --max-feeds of the hub allows more"
            ),
        ),
        PushRefusal::NoFeed => (StatusCode::NOT_FOUND, "mxr: there is no such feed".to_owned()),
        PushRefusal::Type(why) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("mxr: it cannot be shown: {}", Escaped(why))),
        PushRefusal::TooLarge(most) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("mxr: a part has at most {most} bytes\nhint: --max-part of the hub allows more"),
        ),
        PushRefusal::Empty => {
            (StatusCode::BAD_REQUEST, "mxr: the body is empty\nhint: a proxy or a redirect may have dropped it".to_owned())
        }
        PushRefusal::NoPart(bytes) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("mxr: there is no whole part among its {bytes} bytes"))
        }
        PushRefusal::Replaced => (
            StatusCode::CONFLICT,
            "mxr: another pusher has taken this feed over, or it was deleted\nhint: only one can push a feed at a time".to_owned(),
        ),
        PushRefusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "mxr: too many large parts are on their way".to_owned()),
        PushRefusal::Ending => (StatusCode::SERVICE_UNAVAILABLE, "mxr: the hub is about to end".to_owned()),
        PushRefusal::OtherFeeds => (StatusCode::FORBIDDEN, "mxr: that token is for feeds of other names".to_owned()),
        PushRefusal::Loop => (StatusCode::LOOP_DETECTED, "mxr: it comes from here, and would go in a circle".to_owned()),
        PushRefusal::OfFeed(name, why) => {
            let (status, text) = in_words(why);
            (status, format!("mxr: the feed {:?}: {}", Escaped(name), text.trim_start_matches("mxr: ")))
        }
    }
}

/// Says in the refusal of a method how to push: which methods the path of a feed has, and that any other path is none to push to.
pub(super) fn explain_methods<B>(reply: &mut Reply, request: &Request<B>, visitor: &Visitor, options: &Options) {
    let Some(push) = options.push.as_ref().filter(|_| reply.status() == StatusCode::METHOD_NOT_ALLOWED) else { return };
    let is_feed = matches!(route(request, &options.prefix), Route::Stream { .. } | Route::Snapshot { .. });
    match *request.method() {
        Method::PUT | Method::POST if !is_feed => {
            *reply = astray(options);
            push.refusals.tell(reply, visitor.address(), &options.redacted(request.uri().path()));
        }
        _ if is_feed => drop(reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(METHODS))),
        _ => {}
    }
}
