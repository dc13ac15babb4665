//! Fuzz entry points for reading requests, also for the replay of the corpus: each function takes bytes from outside and asserts
//! properties that hold for all input. Nothing else uses it.

use hyper::{
    Request, Uri,
    header::{ACCEPT, HOST, HeaderValue, USER_AGENT},
};

use super::{
    headers::SEC_FETCH_DEST,
    host::Hosts,
    request,
    route::{self, FeedSelector, Route},
};
use crate::{fanout::Accepts, wire::Layout};

const KNOWN: &str = "cam.example";

/// A Host header: accepted are addresses, names that no other site can have, and the allowed one.
pub fn host(value: &[u8]) {
    let Ok(host) = HeaderValue::from_bytes(value) else { return };
    let mut request = Request::new(());
    request.headers_mut().insert(HOST, host);
    let hosts = Hosts::new(&[KNOWN.to_owned()]);
    if request::check(&request, &hosts, &mut request::Visitor::default()).is_err() {
        return;
    }
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    assert!(!text.contains(['@', '/', '?', '#', ' ', '\\']), "accepted: {text:?}");
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
        || own.split('.').next().is_some_and(|own| !own.is_empty() && name.starts_with(&format!("{own}.")));
    assert!(is_ours, "accepted: {text:?}");
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
        // Decoding makes it no longer.
        assert!(name.len() <= target.len(), "{name:?}");
    }
    if let Some(query) = query {
        assert!(query.interval.is_none_or(|interval| interval.as_secs_f64() >= 0.0));
        assert_ne!(query.parts, Some(0));
        assert_eq!(query.accepts, Accepts::All, "no header asked for pictures");
    }
}

/// Accept, Sec-Fetch-Dest and User-Agent, a line each: they choose between the page and the feed.
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
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (accept, dest) = (text(ACCEPT).to_ascii_lowercase(), text(SEC_FETCH_DEST));
    match route::route(&request, "") {
        Route::Page => assert!(accept.contains("text/html") || matches!(dest, "document" | "iframe" | "frame")),
        Route::Stream { feeds, query } => {
            assert_eq!(feeds, FeedSelector::Number(0));
            assert!(!query.mixed || accept.contains("multipart/mixed") || accept.contains("text/event-stream"));
            match query.accepts {
                Accepts::Pictures(layout) => {
                    assert!(dest == "image" || accept.contains("image/"));
                    assert_eq!(layout == Layout::EarlyHeaders, text(USER_AGENT).contains("AppleWebKit"));
                }
                Accepts::All => assert_ne!(dest, "image"),
            }
        }
        other => assert_eq!(other, Route::Page, "neither the page nor the feed"),
    }
}
