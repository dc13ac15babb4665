//! Words the replies: heads of streams, snapshots, the page, JSON, refusals. Every finite reply is made here.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode, Version,
    body::{Body, Frame, SizeHint},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    http::response::Builder,
};
use prometheus_client::encoding::prometheus_text;

use super::{
    page::{PAGE, Page},
    request::Rejection,
};
use crate::{
    auth::Denial,
    part::{Timestamp, unix_time},
    stats::{Lease, Limit},
    wire::Encoded,
};

/// Parts are shown, never run: scripts of an HTML or SVG part would otherwise run with the server's origin in Firefox and WebKit.
const SANDBOX: &str = "sandbox";
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const X_TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
const X_SEQUENCE: HeaderName = HeaderName::from_static("x-sequence");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The body of a reply: finite, or a stream that begins where hyper stops.
#[derive(Debug)]
pub(super) enum ReplyBody {
    Finite(Full<Bytes>),
    /// Nothing from hyper, and its end unknown, so that hyper writes no length: the fan-out loop goes on.
    Open,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Finite(body) => Pin::new(body).poll_frame(cx),
            Self::Open => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Finite(body) => body.is_end_stream(),
            Self::Open => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Finite(body) => body.size_hint(),
            Self::Open => SizeHint::default(),
        }
    }
}

pub(super) type Reply = Response<ReplyBody>;

fn finish(builder: Builder, body: impl Into<Bytes>) -> Reply {
    let body = ReplyBody::Finite(Full::new(body.into()));
    // Every header is a constant or was checked where it came in; if one is not, the reply says so instead of panicking.
    builder.body(body).unwrap_or_else(|error| {
        let mut reply = Response::new(ReplyBody::Finite(Full::new(format!("mxr: {error}\n").into())));
        *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        reply
    })
}

fn reply(status: StatusCode) -> Builder {
    let builder = Response::builder().status(status).header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // A URL may hold the token.
    builder.header(header::REFERRER_POLICY, "no-referrer")
}

/// A line of text.
pub(super) fn say(status: StatusCode, text: &str) -> Reply {
    let builder = reply(status).header(header::CONTENT_TYPE, "text/plain; charset=utf-8").header(header::CACHE_CONTROL, "no-store");
    finish(builder, format!("{text}\n"))
}

/// The head of a stream. HTTP/1.0 is the version under which hyper writes a body without a length that ends with the
/// connection; many camera clients cannot take chunks off.
pub(super) fn stream(boundary: &str, mixed: bool) -> Reply {
    let kind = if mixed { "mixed" } else { "x-mixed-replace" };
    let builder = reply(StatusCode::OK)
        .version(Version::HTTP_10)
        .header(header::CONTENT_TYPE, format!("multipart/{kind}; boundary={boundary}"))
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONNECTION, "close")
        .header(X_ACCEL_BUFFERING, "no")
        .header(header::CONTENT_SECURITY_POLICY, SANDBOX)
        .header(header::VARY, "Accept, Sec-Fetch-Dest");
    finish(builder, "").map(|_| ReplyBody::Open)
}

/// A part as it is, or 304 where the asker has it. What it keeps in memory goes to `lend`.
pub(super) fn snapshot(part: &Encoded, boundary: &str, asked: &HeaderMap, lend: impl FnOnce(Weak<Lease>)) -> Reply {
    // The boundary is the process's own: sequences of another start do not match.
    let etag = format!("\"{boundary}-{}\"", part.sequence());
    let status = if has_it(asked, &etag, part) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let builder = reply(status)
        .header(header::ETAG, &etag)
        .header(header::LAST_MODIFIED, httpdate::fmt_http_date(part.time()))
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::AGE, part.time().elapsed().unwrap_or_default().as_secs())
        .header(X_TIMESTAMP, Timestamp(part.time()).to_string())
        .header(X_SEQUENCE, part.sequence())
        .header(header::CONTENT_SECURITY_POLICY, SANDBOX);
    if status == StatusCode::NOT_MODIFIED {
        return finish(builder, "");
    }
    let (body, lease) = part.lend_body();
    lend(lease);
    finish(builder.header(header::CONTENT_TYPE, part.media().as_str()), body)
}

/// RFC 9110, section 13.2.2: the tag decides where one is sent, the date otherwise.
fn has_it(asked: &HeaderMap, etag: &str, part: &Encoded) -> bool {
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(tags) = text(header::IF_NONE_MATCH) {
        return tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*");
    }
    let seconds = |time| unix_time(time).as_secs();
    let date = text(header::IF_MODIFIED_SINCE).and_then(|date| httpdate::parse_http_date(date).ok());
    // A date that names two parts may be that of the older one.
    part.has_own_second() && date.is_some_and(|date| seconds(part.time()) <= seconds(date))
}

/// 503 before there is a part.
pub(super) fn not_yet() -> Reply {
    let mut reply = say(StatusCode::SERVICE_UNAVAILABLE, "mxr: there is no part yet");
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

/// 503 where there is no permit.
pub(super) fn full(why: Limit) -> Reply {
    let words = match why {
        Limit::Full => "mxr: too many viewers\nhint: --max-viewers allows more",
        Limit::Address => "mxr: too many viewers of your address\nhint: --max-viewers-per-address allows more",
    };
    let mut reply = say(StatusCode::SERVICE_UNAVAILABLE, words);
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    reply
}

/// The viewer page, compressed where the browser takes that.
pub(super) fn page(takes_gzip: bool) -> Reply {
    let Page { html, gzip, policy } = &*PAGE;
    let builder = reply(StatusCode::OK)
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_SECURITY_POLICY, policy)
        .header(header::VARY, "Accept, Accept-Encoding, Sec-Fetch-Dest");
    match takes_gzip && !gzip.is_empty() {
        true => finish(builder.header(header::CONTENT_ENCODING, "gzip"), gzip.clone()),
        false => finish(builder, html.clone()),
    }
}

/// A JSON document.
pub(super) fn json(value: &impl serde::Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, "application/json");
            finish(builder.header(header::CACHE_CONTROL, "no-store"), body)
        }
        Err(error) => say(StatusCode::INTERNAL_SERVER_ERROR, &format!("mxr: {error}")),
    }
}

/// Metrics in the text format that Prometheus reads.
pub(super) fn metrics(text: String) -> Reply {
    let builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE);
    finish(builder.header(header::CACHE_CONTROL, "no-store"), text)
}

/// The words for a refusal. The connection ends with it: what else is in it may not be what it seems.
pub(super) fn refuse(refusal: &Rejection) -> Reply {
    let mut reply = match refusal {
        Rejection::Malformed(why) => say(StatusCode::BAD_REQUEST, &format!("mxr: bad request: {why}")),
        Rejection::ForeignHost(host) => {
            let text = format!("mxr: this server is not known as {}\nhint: --allow-host lets a name pass", host.escape_default());
            say(StatusCode::FORBIDDEN, &text)
        }
        Rejection::ForeignSite => say(
            StatusCode::FORBIDDEN,
            "mxr: another site may show pictures of this server, and no more\n\
             hint: --allow-embed lets its pages frame it, --allow-origin lets its scripts read",
        ),
        Rejection::Denied { denial, wants_password } => deny(denial, *wants_password),
        Rejection::Method => {
            let mut reply = say(StatusCode::METHOD_NOT_ALLOWED, "mxr: only GET and HEAD are answered");
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            reply
        }
    };
    close(&mut reply);
    reply
}

/// 401 where a browser can ask its user for a password, or where nothing was shown; 403 for a wrong token.
fn deny(denial: &Denial, wants_password: bool) -> Reply {
    let (status, text) = match denial {
        Denial::Nothing if wants_password => (StatusCode::UNAUTHORIZED, "mxr: this feed has a password"),
        Denial::Nothing => (
            StatusCode::UNAUTHORIZED,
            "mxr: this feed has a token\n\
             hint: put ?token=... behind the URL, with the token that mxr printed as it started, or that was chosen for it",
        ),
        Denial::Wrong if wants_password => (StatusCode::UNAUTHORIZED, "mxr: that is not the password"),
        Denial::Wrong => (StatusCode::FORBIDDEN, "mxr: that is not the token"),
        Denial::PeerLeft => (StatusCode::BAD_REQUEST, "mxr: the connection was closed before the password was checked"),
        Denial::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "mxr: too many wrong passwords or tokens came from your address"),
    };
    let mut reply = say(status, text);
    let headers = reply.headers_mut();
    if let Denial::TooMany(wait) = denial {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenge = if wants_password { "Basic realm=\"mxr\", charset=\"UTF-8\"" } else { "Bearer realm=\"mxr\"" };
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    reply
}

/// To another URL, relative to the one that was asked for.
pub(super) fn redirect(location: &str) -> Reply {
    finish(reply(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, location).header(header::CACHE_CONTROL, "no-store"), "")
}

/// The same, for a browser that takes a cookie on the way.
pub(super) fn redirect_with_cookie(location: &str, cookie: &str) -> Reply {
    let mut reply = redirect(location);
    match HeaderValue::from_str(cookie) {
        Ok(cookie) => drop(reply.headers_mut().insert(header::SET_COOKIE, cookie)),
        Err(error) => return say(StatusCode::INTERNAL_SERVER_ERROR, &format!("mxr: {error}")),
    }
    reply
}

/// Tells browsers what pages of other sites may do with a reply: show it, where that is for all of them, read it, where their
/// origin is allowed, put it into a frame, where the policy says so.
pub(super) fn tell_sites(reply: &mut Reply, allowed_origin: Option<HeaderValue>, is_for_all: bool, frame_policy: &str) {
    let headers = reply.headers_mut();
    let shown_to = HeaderValue::from_static(if is_for_all { "cross-origin" } else { "same-site" });
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, shown_to);
    let policy = headers.get(header::CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok());
    let policy = policy.map_or_else(|| frame_policy.to_owned(), |policy| format!("{policy}; {frame_policy}"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if let Some(origin) = allowed_origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

/// Ends the connection with this reply.
pub(super) fn close(reply: &mut Reply) {
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}
