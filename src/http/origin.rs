//! What pages of other sites may do: show pictures, and read or frame what the user allows (CORS, `frame-ancestors`), but not
//! act in a browser's name (CSRF). `response` writes the headers that browsers obey.

use hyper::{
    Uri,
    header::{HeaderMap, HeaderValue, ORIGIN, REFERER},
    http::uri::Authority,
};

use super::{
    headers::{SEC_FETCH_DEST, SEC_FETCH_SITE, is_browser, text},
    request::{Rejection, Visitor},
};

/// What pages of other sites may do.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    /// Origins whose scripts may read; `*` for all.
    pub origins: Vec<String>,
    /// Origins that may put the viewer page and feeds into frames; `*` for all.
    pub embedders: Vec<String>,
}

impl Sites {
    /// Pictures may be shown by any site, and links may lead here; all else has to come from this site, or from one that is
    /// allowed. Browsers say `Sec-Fetch-*` to localhost and over https; elsewhere they obey the headers that `response` sets.
    pub(super) fn check(&self, headers: &HeaderMap, is_picture: bool) -> Result<(), Rejection> {
        let is_allowed = text(headers, SEC_FETCH_SITE) != "cross-site"
            || match text(headers, SEC_FETCH_DEST) {
                "image" => is_picture,
                "document" => true,
                "iframe" | "frame" | "object" | "embed" => !self.embedders.is_empty(),
                "empty" => self.allowed_origin(headers).is_some(),
                _ => false,
            };
        if is_allowed { Ok(()) } else { Err(Rejection::ForeignSite) }
    }

    /// The value of `Access-Control-Allow-Origin`.
    pub(super) fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.iter().any(|origin| origin == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let asked = headers.get(ORIGIN)?;
        self.origins.iter().any(|origin| origin.as_bytes() == asked.as_bytes()).then(|| asked.clone())
    }

    /// Whether replies differ by the origin that asks.
    pub(super) fn depends_on_origin(&self) -> bool {
        !self.origins.is_empty() && !self.origins.iter().any(|origin| origin == "*")
    }

    /// The policy for framing: pages of this host, on any port, and the allowed origins may.
    pub(super) fn frame_policy(&self, visitor: &Visitor) -> String {
        let own = visitor.host().map(|host| format!(" http://{host}:* https://{host}:*")).unwrap_or_default();
        let others: String = self.embedders.iter().flat_map(|origin| [" ", origin]).collect();
        format!("frame-ancestors 'self'{own}{others}")
    }
}

/// Whether a page of another site may have caused a request, by `Sec-Fetch-Site`, or else by `Origin` and `Referer`. A browser that
/// sends none of them (over plain http beyond localhost, from a page that forbids the Referer) counts as cross-site; a program does
/// not.
pub(super) fn is_cross_site(headers: &HeaderMap, visitor: &Visitor) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let host = visitor.authority.as_ref().map(Authority::as_str).unwrap_or_default();
    let is_foreign = |value: &HeaderValue| {
        let from = value.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        from.as_ref().and_then(Uri::authority).is_none_or(|from| !from.as_str().eq_ignore_ascii_case(host))
    };
    let mut origins = [ORIGIN, REFERER].into_iter().filter_map(|name| headers.get(name)).peekable();
    match origins.peek() {
        Some(_) => origins.any(is_foreign),
        None => headers.contains_key(SEC_FETCH_DEST) || is_browser(headers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn requests_that_another_site_caused_are_recognized() {
        let is_cross_site = |pairs: &[(&'static str, &str)]| {
            let visitor = Visitor { authority: Some("localhost:1".parse().unwrap()), ..Visitor::default() };
            is_cross_site(&headers(pairs), &visitor)
        };
        assert!(!is_cross_site(&[]));
        assert!(!is_cross_site(&[("sec-fetch-site", "same-origin")]));
        assert!(is_cross_site(&[("sec-fetch-site", "cross-site")]));
        assert!(is_cross_site(&[("sec-fetch-site", "same-site")]));
        assert!(is_cross_site(&[("origin", "http://evil.example")]));
        assert!(is_cross_site(&[("origin", "null")]));
        assert!(!is_cross_site(&[("referer", "http://localhost:1/view")]));
    }

    #[test]
    fn another_site_may_show_pictures_and_link_here() {
        let check = |sites: &Sites, dest: &str, is_picture| {
            let headers = headers(&[("sec-fetch-site", "cross-site"), ("sec-fetch-dest", dest), ("origin", "http://a.example")]);
            sites.check(&headers, is_picture).is_ok()
        };
        let strict = Sites::default();
        assert!(check(&strict, "image", true) && check(&strict, "document", true));
        assert!(!check(&strict, "image", false));
        for dest in ["empty", "iframe", "object", "embed", "script", "style", "video", "", "new-thing"] {
            assert!(!check(&strict, dest, true), "{dest}");
        }
        let list = |origin: &str| vec![origin.to_owned()];
        let reads = Sites { origins: list("http://a.example"), ..Sites::default() };
        assert!(check(&reads, "empty", true) && !check(&reads, "iframe", true));
        assert!(!check(&Sites { origins: list("http://b.example"), ..Sites::default() }, "empty", true));
        let frames = Sites { embedders: list("*"), ..Sites::default() };
        assert!(check(&frames, "iframe", false) && !check(&frames, "empty", true));
        for site in ["same-origin", "same-site", "none"] {
            let headers = headers(&[("sec-fetch-site", site), ("sec-fetch-dest", "empty")]);
            assert_eq!(strict.check(&headers, false), Ok(()), "{site}");
        }
    }

    #[test]
    fn a_frame_policy_holds_nothing_that_a_host_header_brought() {
        let policy = |host: &str| {
            let visitor = Visitor { authority: Some(host.parse().unwrap()), ..Visitor::default() };
            Sites { embedders: vec!["https://a.example".to_owned()], ..Sites::default() }.frame_policy(&visitor)
        };
        assert_eq!(policy("cam:80"), "frame-ancestors 'self' http://cam:* https://cam:* https://a.example");
        for host in ["a;script-src", "[::1]:80", "a,b", "a'b"] {
            assert_eq!(policy(host), "frame-ancestors 'self' https://a.example", "{host}");
        }
    }
}
