//! The replies: heads of streams, snapshots, the page, JSON, rejections, and their texts. It decides nothing: its callers choose the
//! reply.

use std::{
    io,
    pin::Pin,
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
    head::{self, HeadError},
    page::{PAGE, Page},
    reads::ReadBody,
    request::Rejection,
};
use crate::{
    auth::Denial,
    escape::Escaped,
    feed::{Feed, Kind, SourceState},
    stats::Limit,
};

/// Parts are shown, never run: otherwise Firefox and WebKit run the scripts of HTML and SVG parts with the server's origin
/// (docs/field.md, Browsers).
pub(super) const SANDBOX: &str = "sandbox";
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// What scripts of other sites may read, beside what they always may (Fetch Standard, section 2.2.2).
const EXPOSED: HeaderValue = HeaderValue::from_static("Date, ETag, Retry-After, X-Dropped, X-Feed, X-Sequence, X-Timestamp");
/// What makes the head of a request long.
pub(super) const COOKIES_HINT: &str =
    "browsers send the cookies of all ports of a host to each of them; delete some of its cookies";

/// The body of a reply: in memory, read from a disk while it is sent, or a stream that the fan-out writes after hyper.
#[derive(Debug)]
pub(super) enum ReplyBody {
    Finite(Full<Bytes>),
    Read(ReadBody),
    /// Empty for hyper, with an unknown end, so that hyper writes no length; the fan-out loop writes the stream.
    Open,
}

impl ReplyBody {
    /// These bytes.
    pub(super) fn finite(body: impl Into<Bytes>) -> Self {
        Self::Finite(Full::new(body.into()))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Finite(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Read(body) => Pin::new(body).poll_frame(cx),
            Self::Open => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Finite(body) => body.is_end_stream(),
            Self::Read(body) => body.is_end_stream(),
            Self::Open => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Finite(body) => body.size_hint(),
            Self::Read(body) => body.size_hint(),
            Self::Open => SizeHint::default(),
        }
    }
}

pub(super) type Reply = Response<ReplyBody>;

pub(super) fn finish(builder: Builder, body: impl Into<Bytes>) -> Reply {
    finish_with(builder, ReplyBody::finite(body))
}

/// A reply with this body.
pub(super) fn finish_with(builder: Builder, body: ReplyBody) -> Reply {
    // Every header is a constant or was validated; if one is invalid after all, the reply is an error instead of a panic.
    builder.body(body).unwrap_or_else(|error| {
        let mut reply = Response::new(ReplyBody::finite(format!("mxr: {error}\n")));
        *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        reply
    })
}

/// The head of a reply with what all have in common.
pub(super) fn reply(status: StatusCode) -> Builder {
    let builder = Response::builder().status(status).header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // A URL may contain the token.
    builder.header(header::REFERRER_POLICY, "no-referrer")
}

/// A line of text.
pub(super) fn text(status: StatusCode, message: &str) -> Reply {
    let builder = reply(status).header(header::CONTENT_TYPE, "text/plain; charset=utf-8").header(header::CACHE_CONTROL, "no-store");
    finish(builder, format!("{message}\n"))
}

/// A status that says everything.
pub(super) fn empty(status: StatusCode) -> Reply {
    finish(reply(status).header(header::CACHE_CONTROL, "no-store"), "")
}

/// The head of a stream. For HTTP/1.0 hyper writes a body without a length, up to the end of the connection: many camera clients
/// cannot read chunked replies (docs/field.md, Players and readers).
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

/// Says what a relay needs to know of a feed: the processes that it has passed, and, once it is certain, its kind.
pub(super) fn tell_relays(reply: &mut Reply, feed: &Feed) {
    if let Ok(via) = HeaderValue::try_from(feed.hops().with(feed.process()).to_string()) {
        reply.headers_mut().insert(header::VIA, via);
    }
    if let Some(kind) = feed.kind().header_value().filter(|_| feed.newest().is_some()) {
        reply.headers_mut().insert(HeaderName::from_static(Kind::HEADER), HeaderValue::from_static(kind));
    }
}

/// 503 without a part, with the reason if the source gives one.
pub(super) fn no_part(source: &SourceState) -> Reply {
    let why = match source {
        SourceState::Ended { reason: Some(reason) } => format!(": {reason}"),
        SourceState::Lost { reason } => format!(" yet: {reason}"),
        _ => " yet".to_owned(),
    };
    let mut reply = text(StatusCode::SERVICE_UNAVAILABLE, &format!("mxr: there is no part{}", Escaped(why)));
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

/// 503 for a viewer over a limit.
pub(super) fn limited(why: Limit) -> Reply {
    let message = match why {
        Limit::Full => "mxr: too many viewers\nhint: --max-viewers allows more",
        Limit::Address => "mxr: too many viewers of your address\nhint: --max-viewers-per-address allows more",
    };
    let mut reply = text(StatusCode::SERVICE_UNAVAILABLE, message);
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    reply
}

/// The viewer page, compressed if the browser accepts gzip.
pub(super) fn page(accepts_gzip: bool) -> Reply {
    let Page { html, gzip, policy } = &*PAGE;
    let builder = reply(StatusCode::OK)
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_SECURITY_POLICY, policy)
        .header(header::VARY, "Accept, Accept-Encoding, Sec-Fetch-Dest");
    if accepts_gzip && !gzip.is_empty() {
        finish(builder.header(header::CONTENT_ENCODING, "gzip"), gzip.clone())
    } else {
        finish(builder, html.clone())
    }
}

/// A JSON document.
pub(super) fn json(value: &impl serde::Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, "application/json");
            finish(builder.header(header::CACHE_CONTROL, "no-store"), body)
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("mxr: {error}")),
    }
}

/// Metrics in the text format that Prometheus reads.
pub(super) fn metrics(text: String) -> Reply {
    let builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE);
    finish(builder.header(header::CACHE_CONTROL, "no-store"), text)
}

/// The reply to a rejected request. It ends the connection, whose further bytes may be part of an attack.
pub(super) fn reject(rejection: &Rejection) -> Reply {
    let mut reply = match rejection {
        Rejection::Insecure => text(
            StatusCode::MISDIRECTED_REQUEST,
            "mxr: an https URL came without TLS\nhint: --trust-proxy believes X-Forwarded-Proto",
        ),
        Rejection::Malformed(why) => text(StatusCode::BAD_REQUEST, &format!("mxr: bad request: {why}")),
        Rejection::ForeignHost(host) => {
            let message =
                format!("mxr: this server is not known as {}\nhint: --allow-host lets a name pass", host.escape_default());
            text(StatusCode::FORBIDDEN, &message)
        }
        Rejection::ForeignSite => text(
            StatusCode::FORBIDDEN,
            "mxr: another site may show pictures of this server, and no more\n\
             hint: --allow-embed lets its pages frame it, --allow-origin lets its scripts read",
        ),
        Rejection::Denied { denial, wants_password } => deny(denial, *wants_password),
        Rejection::Loop => text(
            StatusCode::LOOP_DETECTED,
            "mxr: this feed is relayed in a circle: Via names this process\nhint: relay it from where it is made",
        ),
        Rejection::Method => {
            let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "mxr: only GET and HEAD are answered");
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            reply
        }
    };
    close(&mut reply);
    reply
}

/// 401 if there is a password, which a browser can ask for, or if the request had no token; 403 for a wrong token.
fn deny(denial: &Denial, wants_password: bool) -> Reply {
    let (status, message) = match denial {
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
    let mut reply = text(status, message);
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

/// The status and the text for a head that hyper does not get.
pub(super) fn head_refusal(error: HeadError) -> (StatusCode, String) {
    match error {
        HeadError::TooLong => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("mxr: the head of the request has more than {} KiB\nhint: {COOKIES_HINT}", head::MAX_BYTES >> 10),
        ),
        HeadError::TooManyLines => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("mxr: the head of the request has more than {} lines", head::MAX_LINES),
        ),
        HeadError::Fragment => (StatusCode::BAD_REQUEST, "mxr: bad request: a '#' in the target has to be %23".to_owned()),
        HeadError::RawByte => {
            (StatusCode::BAD_REQUEST, "mxr: bad request: a byte in the target has to be percent-encoded".to_owned())
        }
    }
}

/// The bytes of a reply that hyper does not write; it ends the connection.
pub(super) fn unframed(status: StatusCode, message: &str) -> Vec<u8> {
    let (reason, length) = (status.canonical_reason().unwrap_or_default(), message.len() + 1);
    format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
         Cache-Control: no-store\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{message}\n",
        status.as_u16()
    )
    .into_bytes()
}

/// The reply to a browser that asks for a script of an allowed origin: it may read with the headers that it asks for.
pub(super) fn preflight(request: &HeaderMap) -> Reply {
    let builder = reply(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD")
        .header(header::ACCESS_CONTROL_MAX_AGE, "600");
    let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    finish(asked.into_iter().fold(builder, |builder, asked| builder.header(header::ACCESS_CONTROL_ALLOW_HEADERS, asked)), "")
}

/// A redirect to a URL relative to the requested one.
pub(super) fn redirect(location: &str) -> Reply {
    finish(reply(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, location).header(header::CACHE_CONTROL, "no-store"), "")
}

/// A redirect that sets a cookie.
pub(super) fn redirect_with_cookie(location: &str, cookie: &str) -> Reply {
    let mut reply = redirect(location);
    match HeaderValue::from_str(cookie) {
        Ok(cookie) => drop(reply.headers_mut().insert(header::SET_COOKIE, cookie)),
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, &format!("mxr: {error}")),
    }
    reply
}

/// A redirect to a page, which sets a cookie, in reply to a form.
pub(super) fn see_other(location: &str, cookie: &str) -> Reply {
    let mut reply = redirect_with_cookie(location, cookie);
    if reply.status() == StatusCode::TEMPORARY_REDIRECT {
        *reply.status_mut() = StatusCode::SEE_OTHER;
    }
    reply
}

/// The same reply with a page as its body, under this policy.
pub(super) fn with_page(reply: Reply, html: String, policy: &str) -> Reply {
    let (mut parts, _) = reply.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    parts.headers.insert(header::VARY, HeaderValue::from_static("Accept, Sec-Fetch-Dest"));
    match HeaderValue::from_str(policy) {
        Ok(policy) => drop(parts.headers.insert(header::CONTENT_SECURITY_POLICY, policy)),
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, &format!("mxr: {error}")),
    }
    Response::from_parts(parts, ReplyBody::finite(html))
}

/// Sets the headers for pages of other sites: they may show the reply if `is_for_all`, read it if their origin is allowed, and frame
/// it if the policy allows them to.
pub(super) fn allow_sites(reply: &mut Reply, allowed_origin: Option<HeaderValue>, is_for_all: bool, frame_policy: &str) {
    let headers = reply.headers_mut();
    let resource_policy = HeaderValue::from_static(if is_for_all { "cross-origin" } else { "same-site" });
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, resource_policy);
    let policy = headers.get(header::CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok());
    let policy = policy.map_or_else(|| frame_policy.to_owned(), |policy| format!("{policy}; {frame_policy}"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if let Some(origin) = allowed_origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// Notes that the reply depends on this header of the request (RFC 9110, section 12.5.5).
pub(super) fn vary(reply: &mut Reply, name: &str) {
    let headers = reply.headers_mut();
    let before = headers.get(header::VARY).and_then(|names| names.to_str().ok());
    let names = before.map_or_else(|| name.to_owned(), |before| format!("{before}, {name}"));
    if let Ok(names) = HeaderValue::from_str(&names) {
        headers.insert(header::VARY, names);
    }
}

/// Has hyper close the connection after this reply.
pub(super) fn close(reply: &mut Reply) {
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}
