//! Recognizes by its headers which kind of client sends a request: a browser, an `<img>`, a navigation. It decides nothing.

use hyper::header::{ACCEPT, HeaderMap, HeaderName, USER_AGENT};

pub(super) const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The value of a header, empty where it is missing or not ASCII.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether a browser asks: all of them have called themselves Mozilla since 1995.
pub(super) fn is_browser(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"))
}

/// Whether an `<img>` asks. Browsers send `Sec-Fetch-Dest` to localhost and over https only.
pub(super) fn is_img(headers: &HeaderMap) -> bool {
    match text(headers, SEC_FETCH_DEST) {
        "" => text(headers, ACCEPT).trim_start().starts_with("image/"),
        dest => dest == "image",
    }
}

/// Whether a browser navigates here, in a tab or in a frame.
pub(super) fn is_navigation(headers: &HeaderMap) -> bool {
    match text(headers, SEC_FETCH_DEST) {
        "" => accepts(headers, ACCEPT, "text/html"),
        dest => matches!(dest, "document" | "iframe" | "frame"),
    }
}

/// Whether the page goes into a frame. Over plain http browsers do not say, so there every page may where frames are allowed.
pub(super) fn may_be_framed(headers: &HeaderMap, frames_are_allowed: bool) -> bool {
    match text(headers, SEC_FETCH_DEST) {
        "" => frames_are_allowed,
        dest => dest != "document",
    }
}

/// Whether `Accept` or `Accept-Encoding` names a type or an encoding, and not with a weight of zero (RFC 9110, section 12.5).
pub(super) fn accepts(headers: &HeaderMap, header: HeaderName, name: &str) -> bool {
    text(headers, header).split(',').any(|range| {
        let mut parameters = range.split(';').map(str::trim);
        let is_named = parameters.next().is_some_and(|named| named.eq_ignore_ascii_case(name));
        let weight = parameters.find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")));
        is_named && weight.and_then(|weight| weight.parse().ok()) != Some(0.0)
    })
}
