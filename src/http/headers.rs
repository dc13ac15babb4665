//! Recognizes by its headers which kind of client sends a request: a browser, an `<img>`, a navigation. It decides nothing.

use hyper::{
    Request, Version,
    header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, HeaderMap, HeaderName, USER_AGENT, VIA},
};

use crate::feed::Hops;

pub(super) const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The value of a header, empty where it is missing or not ASCII.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The processes that a request has passed.
pub(super) fn via(headers: &HeaderMap) -> Hops {
    Hops::of_via(headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok()))
}

/// Whether a browser asks: all of them have called themselves Mozilla since 1995.
pub(super) fn is_browser(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"))
}

/// Whether an `<img>` asks. Browsers send `Sec-Fetch-Dest` to localhost and over https only.
pub(super) fn is_img(headers: &HeaderMap) -> bool {
    match text(headers, SEC_FETCH_DEST) {
        "" => members(headers, ACCEPT).find(|range| weight_of(range) > 0.0).is_some_and(|range| range.starts_with("image/")),
        dest => dest == "image",
    }
}

/// Whether a browser navigates here, in a tab or in a frame.
pub(super) fn is_navigation(headers: &HeaderMap) -> bool {
    match text(headers, SEC_FETCH_DEST) {
        "" => prefers_page(headers),
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

/// Whether a client that reads HTML would rather have a page than a picture or a multipart body.
fn prefers_page(headers: &HeaderMap) -> bool {
    let best = |is_meant: fn(&str) -> bool| {
        members(headers, ACCEPT).filter(|range| is_meant(name_of(range))).map(weight_of).fold(0.0, f32::max)
    };
    let page = best(|name| matches!(name, "text/html" | "application/xhtml+xml"));
    weight(headers, ACCEPT, "text/html").is_some_and(|weight| weight > 0.0)
        && page >= best(|name| name.starts_with("image/") || name.starts_with("multipart/"))
}

/// Whether a stream is to be called `multipart/mixed`: the fetch of WebKit refuses x-mixed-replace, and jupyter-server-proxy passes a
/// reply on as it comes only where `text/event-stream` is asked for (docs/field.md, Proxies).
pub(super) fn prefers_mixed(headers: &HeaderMap) -> bool {
    let weight = |name| weight(headers, ACCEPT, name);
    let mixed = weight("multipart/mixed").unwrap_or(0.0).max(weight("text/event-stream").unwrap_or(0.0));
    let replace = ["multipart/x-mixed-replace", "multipart/*", "*/*"].into_iter().find_map(weight).unwrap_or(0.0);
    mixed > 0.0 && mixed >= replace
}

/// Whether a reply is to be compressed.
pub(super) fn prefers_gzip(headers: &HeaderMap) -> bool {
    let weight = |name| weight(headers, ACCEPT_ENCODING, name).unwrap_or(0.0);
    weight("gzip") > 0.0 && weight("gzip") >= weight("identity")
}

/// Whether the client closes the connection after the reply to this request (RFC 9112, section 9.3).
pub(super) fn is_last<B>(request: &Request<B>) -> bool {
    let says = |option: &str| members(request.headers(), CONNECTION).any(|said| said.eq_ignore_ascii_case(option));
    says("close") || request.version() == Version::HTTP_10 && !says("keep-alive")
}

/// The members of a list, which may be spread over several lines (RFC 9110, section 5.3), without empty ones.
pub(super) fn members(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|member| !member.is_empty())
}

/// The weight that the client gives to this type or encoding, if it names it (RFC 9110, section 12.4.2): from 0, which excludes it,
/// to 1.
fn weight(headers: &HeaderMap, header: HeaderName, name: &str) -> Option<f32> {
    members(headers, header).find(|range| name_of(range).eq_ignore_ascii_case(name)).map(weight_of)
}

/// A member of a list without its parameters.
fn name_of(range: &str) -> &str {
    range.split(';').next().unwrap_or_default().trim_end()
}

fn weight_of(range: &str) -> f32 {
    let parameters = range.split(';').skip(1).map(str::trim);
    let mut weights = parameters.filter_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")));
    weights.next().and_then(|weight| weight.trim().parse().ok()).filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn accepting(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (ACCEPT, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn what_a_client_prefers_is_sent_by_its_weights() {
        for (lines, page, mixed) in [
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"][..], true, false),
            (&["application/xml,application/xhtml+xml,text/html;q=0.9,text/plain;q=0.8,image/png,*/*;q=0.5"], true, false),
            (&["image/png", "text/html;q=0.5"], false, false),
            (&["text/html;q=0.5, multipart/x-mixed-replace"], false, false),
            (&["text/html; q=0", "text/html"], false, false),
            (&["*/*", "text/html"], true, false),
            (&["multipart/x-mixed-replace;q=0.2, multipart/mixed;q=0.9"], false, true),
            (&["multipart/x-mixed-replace, multipart/mixed;q=0.9"], false, false),
            (&["multipart/mixed;q=0.000"], false, false),
            (&["text/event-stream"], false, true),
            (&["text/event-stream;Q=0"], false, false),
            (&["*/*"], false, false),
            (&["multipart/mixed;q=0.001, */*;q=0.9"], false, false),
            (&["multipart/mixed, */*;q=0.9"], false, true),
        ] {
            let headers = accepting(lines);
            assert_eq!((prefers_page(&headers), prefers_mixed(&headers)), (page, mixed), "{lines:?}");
        }
    }

    #[test]
    fn a_list_over_several_lines_is_one_list() {
        assert!(is_img(&accepting(&["", "image/avif", "*/*"])));
        assert!(!is_img(&accepting(&["*/*", "image/avif"])));
        assert!(!is_img(&accepting(&["image/avif;q=0, */*"])));
        assert_eq!(members(&accepting(&["a, b,,", " ,c"]), ACCEPT).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
