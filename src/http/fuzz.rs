//! What fuzzers ask of the reading of requests, and the replay of what they found: each function takes bytes from outside and
//! checks what has to hold whatever they are. Nothing else uses it.

use hyper::{
    Request, Uri,
    header::{ACCEPT, HOST, HeaderValue, USER_AGENT},
};

use super::{
    request::{self, Hosts},
    route::{self, FeedSelector, Route, SEC_FETCH_DEST},
};
use crate::{fanout::Accepts, wire::Layout};

const KNOWN: &str = "cam.example";

/// A Host header: who is let in is an address, a name that nobody else can have, or the one that is allowed.
pub fn host(value: &[u8]) {
    let Ok(host) = HeaderValue::from_bytes(value) else { return };
    let mut request = Request::new(());
    request.headers_mut().insert(HOST, host);
    let hosts = Hosts::new(&[KNOWN.to_owned()]);
    if request::check(&request, &hosts, &mut request::Visitor::default()).is_err() {
        return;
    }
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    assert!(!text.contains(['@', '/', '?', '#', ' ', '\\']), "let in: {text:?}");
    let name = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => text.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.');
    let own = hostname::get().ok().and_then(|own| own.into_string().ok()).unwrap_or_default().to_ascii_lowercase();
    let is_ours = name.parse::<std::net::IpAddr>().is_ok()
        || !name.contains('.')
        || name.ends_with(".localhost")
        || name == KNOWN
        || name == own
        || name == format!("{own}.local");
    assert!(is_ours, "let in: {text:?}");
}

/// A path and a query: names stay names, numbers make sense.
pub fn target(target: &[u8]) {
    let Ok(uri) = Uri::try_from(target) else { return };
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    let asked = route::route(&request, "");
    assert_eq!(asked, route::route(&request, ""), "read twice");
    let (which, query) = match asked {
        Route::Stream { feeds, query } => (feeds, Some(query)),
        Route::Snapshot { feed, .. } => (feed, None),
        _ => return,
    };
    if let FeedSelector::Named(name) = which {
        // Shorter than what it was decoded from.
        assert!(name.len() <= target.len(), "{name:?}");
    }
    if let Some(query) = query {
        assert!(query.interval.is_none_or(|interval| interval.as_secs_f64() >= 0.0));
        assert_ne!(query.parts, Some(0));
        assert_eq!(query.accepts, Accepts::All, "no header asked for pictures");
    }
}

/// Accept, Sec-Fetch-Dest and User-Agent, a line each: what is asked for depends on them, whether it is there does not.
pub fn accept(lines: &[u8]) {
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_static("/");
    let named = [ACCEPT, SEC_FETCH_DEST, USER_AGENT].into_iter().zip(lines.split(|byte| *byte == b'\n'));
    for (name, value) in named {
        match HeaderValue::from_bytes(value) {
            Ok(value) => _ = request.headers_mut().insert(name, value),
            Err(_) => return,
        }
    }
    let said = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (accept, dest) = (said(ACCEPT).to_ascii_lowercase(), said(SEC_FETCH_DEST));
    match route::route(&request, "") {
        Route::Page => assert!(accept.contains("text/html") || matches!(dest, "document" | "iframe" | "frame")),
        Route::Stream { feeds, query } => {
            assert_eq!(feeds, FeedSelector::Number(0));
            assert!(!query.mixed || accept.contains("multipart/mixed"));
            match query.accepts {
                Accepts::Pictures(layout) => {
                    assert!(dest == "image" || accept.trim_start().starts_with("image/"));
                    assert_eq!(layout == Layout::EarlyHeaders, said(USER_AGENT).contains("AppleWebKit"));
                }
                Accepts::All => assert_ne!(dest, "image"),
            }
        }
        other => assert_eq!(other, Route::Page, "neither the page nor the feed"),
    }
}
