//! Replies with one part as it is, of now or of the past, and their conditions. It decides nothing: its callers choose the part.

use std::{
    sync::Weak,
    time::{Duration, SystemTime},
};

use hyper::{
    StatusCode,
    header::{self, HeaderMap, HeaderName},
};

use super::{
    headers::members,
    response::{Reply, ReplyBody, SANDBOX, finish, finish_with, reply, text},
};
use crate::{
    format::Media,
    part::{Timestamp, unix_time},
    stats::Lease,
    wire::Encoded,
};

const X_TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
const X_SEQUENCE: HeaderName = HeaderName::from_static("x-sequence");

/// What the head of a reply with a part says.
#[derive(Debug)]
pub(super) struct ShownPart<'a> {
    pub(super) media: &'a Media,
    pub(super) time: SystemTime,
    /// None of a stream that another program saved.
    pub(super) sequence: Option<u64>,
    pub(super) etag: String,
    /// Whether no other part has its date, which is in whole seconds.
    pub(super) has_own_second: bool,
    /// The value of `Cache-Control`.
    pub(super) caching: &'static str,
}

/// As the value of `Last-Modified`. `httpdate` knows no date after the year 9999, and a file or a part of another machine may have one.
fn http_date(time: SystemTime) -> String {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(time.clamp(SystemTime::UNIX_EPOCH, latest))
}

/// The newest part. `lend` gets a handle on the memory that the reply keeps.
pub(super) fn snapshot(part: &Encoded, boundary: &str, request: &HeaderMap, lend: impl FnOnce(Weak<Lease>)) -> Reply {
    let shown = ShownPart {
        media: part.media(),
        time: part.time(),
        sequence: Some(part.sequence()),
        // The boundary is unique to the process, so that the tag does not match a sequence of an earlier process.
        etag: format!("\"{boundary}-{}\"", part.sequence()),
        has_own_second: part.has_own_second(),
        caching: "no-cache",
    };
    shown.reply(request, || lent(part, lend))
}

/// The body of a part that a feed holds or has held.
pub(super) fn lent(part: &Encoded, lend: impl FnOnce(Weak<Lease>)) -> ReplyBody {
    let (body, lease) = part.lend_body();
    lend(lease);
    ReplyBody::finite(body)
}

impl ShownPart<'_> {
    /// The part as it is, 304 if the client has it, or 412 if it wants another one.
    pub(super) fn reply(&self, request: &HeaderMap, body: impl FnOnce() -> ReplyBody) -> Reply {
        if wants_another(request, self) {
            return text(StatusCode::PRECONDITION_FAILED, "mxr: the part is another one");
        }
        let status = if client_has(request, self) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let mut builder = reply(status)
            .header(header::ETAG, &self.etag)
            .header(header::LAST_MODIFIED, http_date(self.time))
            .header(header::CACHE_CONTROL, self.caching)
            .header(X_TIMESTAMP, Timestamp(self.time).to_string())
            .header(header::CONTENT_SECURITY_POLICY, SANDBOX)
            // By them `allow_sites` knows an `<img>`.
            .header(header::VARY, "Accept, Sec-Fetch-Dest");
        if let Some(sequence) = self.sequence {
            builder = builder.header(X_SEQUENCE, sequence);
        }
        if status == StatusCode::NOT_MODIFIED {
            return finish(builder, "");
        }
        finish_with(builder.header(header::CONTENT_TYPE, self.media.as_str()), body())
    }
}

/// Whether a precondition fails (RFC 9110, sections 13.1.1 and 13.1.4): no tag is that of this part, or it is newer than the date.
fn wants_another(request: &HeaderMap, part: &ShownPart<'_>) -> bool {
    if request.contains_key(header::IF_MATCH) {
        return !members(request, header::IF_MATCH).any(|tag| *tag == part.etag || tag == "*");
    }
    date(request, header::IF_UNMODIFIED_SINCE).is_some_and(|date| unix_time(part.time).as_secs() > date)
}

/// Whether the client has this part already: by the tag if it sent one, otherwise by the date (RFC 9110, section 13.2.2).
fn client_has(request: &HeaderMap, part: &ShownPart<'_>) -> bool {
    if request.contains_key(header::IF_NONE_MATCH) {
        let mut tags = members(request, header::IF_NONE_MATCH).map(|tag| tag.strip_prefix("W/").unwrap_or(tag));
        return tags.any(|tag| *tag == part.etag || tag == "*");
    }
    // A clock may step back: only the part's own date identifies it, and not one that two parts share.
    part.has_own_second && date(request, header::IF_MODIFIED_SINCE) == Some(unix_time(part.time).as_secs())
}

/// A date of the request in seconds since 1970.
fn date(request: &HeaderMap, name: HeaderName) -> Option<u64> {
    let date = request.get(name)?.to_str().ok()?;
    Some(unix_time(httpdate::parse_http_date(date).ok()?).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_any_time_has_a_date() {
        let after = |seconds| http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(after(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(after(253_402_300_800), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(after(i64::MAX as u64), after(253_402_300_800));
        assert_eq!(http_date(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), after(0));
    }
}
