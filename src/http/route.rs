//! Path, query and a few headers of a request become a `Route`. It answers nothing.

use std::{
    borrow::Cow,
    collections::HashMap,
    time::{Duration, SystemTime},
};

use hyper::{
    Request, Uri,
    header::{HeaderMap, USER_AGENT},
};
use percent_encoding::percent_decode_str;

use super::{
    headers::{is_browser, is_img, is_navigation, prefers_mixed, text},
    query::{Query, QueryNow, ShownQuery},
};
use crate::{fanout::Accepts, feed::interval_at, wire::Layout};

/// What a request asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Route {
    Page,
    /// The prefix without its slash, which is redirected.
    Slash,
    Stream {
        feeds: FeedSelector,
        query: StreamQuery,
    },
    Snapshot {
        feed: FeedSelector,
        after: Option<u64>,
    },
    /// The part that was shown at a time.
    Shown {
        feed: FeedSelector,
        shown: ShownQuery,
    },
    /// The list of what is recorded and held of a feed.
    Parts {
        feed: FeedSelector,
        stretch: (SystemTime, SystemTime),
        /// The most parts in the list.
        max: usize,
    },
    /// What is recorded and held, as a file.
    Recording {
        feed: FeedSelector,
        stretch: (SystemTime, SystemTime),
        /// The newest of them, so many.
        newest: Option<usize>,
    },
    State,
    Metrics,
    Health,
    Quit,
    /// No such path.
    NotFound,
    /// What a script of an allowed origin may ask for.
    Preflight,
    /// A query that makes no sense, and why.
    BadQuery(String),
}

/// Which feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FeedSelector {
    Number(usize),
    Named(String),
    /// By the name that go2rtc would know it under.
    Camera(String),
    All,
}

/// How a viewer wants its stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StreamQuery {
    pub(super) interval: Option<Duration>,
    pub(super) parts: Option<u64>,
    pub(super) history: Option<usize>,
    /// What it has from an earlier connection.
    pub(super) resume: Option<Resume>,
    /// Under `multipart/mixed`: the fetch of WebKit refuses x-mixed-replace.
    pub(super) mixed: bool,
    pub(super) accepts: Accepts,
    /// Firefox and WebKit do not push back and grow by gigabytes: browsers get at most 60 pictures a second.
    pub(super) is_browser: bool,
}

/// The parts that a viewer has from an earlier connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resume {
    /// The boundary of the process that numbered them.
    pub(super) run: String,
    /// The sequence of the last of them.
    pub(super) after: After,
}

/// The last part that a viewer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    /// Of one feed.
    One(u64),
    /// Of each feed, by name.
    Each(HashMap<String, u64>),
}

/// Reads a request for something below `prefix`.
pub(super) fn route<B>(request: &Request<B>, prefix: &str) -> Route {
    route_at(request, prefix, QueryNow::Clock(SystemTime::now()))
}

/// The same where times count back from this one.
pub(super) fn route_at<B>(request: &Request<B>, prefix: &str, now: QueryNow) -> Route {
    match normal(request.uri().path()).strip_prefix(prefix) {
        Some("") => Route::Slash,
        Some(path) if path.starts_with('/') => route_to(path, request, now),
        _ => Route::NotFound,
    }
}

/// An equivalent path: letters that need no encoding stand for themselves (RFC 3986, section 6.2.2.2), and slashes are single, which
/// they are not where a script puts `/snapshot` behind a URL that ends with a slash.
fn normal(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(letter) = rest.chars().next() {
        let encoded = rest.get(1..3).filter(|_| letter == '%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match encoded.map(char::from) {
            Some(plain) if plain.is_ascii_alphanumeric() || "-._~".contains(plain) => normal.push(plain),
            Some(_) => normal.push_str(&rest[..3]),
            // It stands for itself, also when the name is decoded.
            None if letter == '%' => normal.push_str("%25"),
            None if letter == '/' && normal.ends_with('/') => {}
            None => normal.push(letter),
        }
        rest = &rest[if encoded.is_some() { 3 } else { letter.len_utf8() }..];
    }
    Cow::Owned(normal)
}

fn route_to<B>(path: &str, request: &Request<B>, now: QueryNow) -> Route {
    let headers = request.headers();
    let query = Query(request.uri().query().unwrap_or_default());
    let stream = |feeds| match stream_query(headers, query, feeds == FeedSelector::All) {
        Ok(query) => Route::Stream { feeds, query },
        Err(why) => Route::BadQuery(why),
    };
    let snapshot = |feed| match query.shown(now) {
        Ok(Some(shown)) => Route::Shown { feed, shown },
        Ok(None) => match query.number("after") {
            Ok(after) => Route::Snapshot { feed, after },
            Err(why) => Route::BadQuery(why),
        },
        Err(why) => Route::BadQuery(why),
    };
    let parts = |feed| match query.stretch(now).and_then(|stretch| Ok((stretch, query.max()?))) {
        Ok((stretch, max)) => Route::Parts { feed, stretch, max },
        Err(why) => Route::BadQuery(why),
    };
    let recording = |feed| match query.stretch(now).and_then(|stretch| Ok((stretch, query.newest()?))) {
        Ok((stretch, newest)) => Route::Recording { feed, stretch, newest },
        Err(why) => Route::BadQuery(why),
    };
    let source = || query.get("src").map_or(FeedSelector::Number(0), |name| FeedSelector::Camera(name.into_owned()));
    match path {
        "/" => match action(query) {
            // mjpg-streamer, and with it OctoPrint, Mainsail and crowsnest.
            Ok(Some(("stream", number))) => stream(FeedSelector::Number(number)),
            Ok(Some((_, number))) => snapshot(FeedSelector::Number(number)),
            Err(why) => Route::BadQuery(why),
            _ if is_navigation(headers) => Route::Page,
            _ => stream(FeedSelector::Number(0)),
        },
        "/view" => Route::Page,
        // picamera2's examples, and go2rtc.
        "/stream" | "/stream.mjpg" => stream(FeedSelector::Number(0)),
        "/api/stream.mjpeg" => stream(source()),
        "/api/frame.jpeg" => snapshot(source()),
        "/streams" => stream(FeedSelector::All),
        "/snapshot" => snapshot(FeedSelector::Number(0)),
        "/parts" => parts(FeedSelector::Number(0)),
        "/recording" => recording(FeedSelector::All),
        "/state" => Route::State,
        "/metrics" => Route::Metrics,
        "/healthz" => Route::Health,
        "/quit" => Route::Quit,
        path => {
            let below = |under| named(path, under);
            let snapshot_or_past = || below("/snapshot/").map(snapshot).or_else(|| below("/parts/").map(parts));
            let found = below("/stream/").map(stream).or_else(snapshot_or_past).or_else(|| below("/recording/").map(recording));
            found.unwrap_or(Route::NotFound)
        }
    }
}

/// Whether `/state` is to list feeds alone: with thousands of viewers it is long, and other relays ask for it again and again.
pub(super) fn wants_feeds_alone(uri: &Uri) -> bool {
    Query(uri.query().unwrap_or_default()).get("viewers").is_some_and(|value| value == "0")
}

/// The run that a publisher asks about, if it asks how far its parts have come.
pub(super) fn received_run(uri: &Uri) -> Option<String> {
    Query(uri.query().unwrap_or_default()).get("received").map(Cow::into_owned)
}

fn named(path: &str, under: &str) -> Option<FeedSelector> {
    let name = path.strip_prefix(under).filter(|name| !name.is_empty())?;
    // A feed of a file whose name is not UTF-8 has replacement characters in the place of those bytes.
    Some(FeedSelector::Named(percent_decode_str(name).decode_utf8_lossy().into_owned()))
}

fn stream_query(headers: &HeaderMap, query: Query<'_>, of_all: bool) -> Result<StreamQuery, String> {
    let agent = text(headers, USER_AGENT);
    let interval = match query.number::<f64>("fps")? {
        None => None,
        Some(fps) => Some(interval_at(fps).ok_or("fps must be more than 0, and a part a day at least")?),
    };
    let parts = query.number("parts")?;
    if parts == Some(0) {
        return Err("parts must be at least 1".to_owned());
    }
    Ok(StreamQuery {
        interval,
        parts,
        history: query.number("history")?,
        // A browser that loads an <img> has no earlier picture of it.
        resume: resume(query, of_all)?.filter(|_| !is_img(headers)),
        mixed: prefers_mixed(headers),
        accepts: if !is_img(headers) {
            Accepts::All
        } else if agent.contains("AppleWebKit") {
            // Chromium and WebKit paint a part once they have the next part's headers (crbug 527446).
            Accepts::Pictures(Layout::EarlyHeaders)
        } else {
            Accepts::Pictures(Layout::Plain)
        },
        is_browser: is_browser(headers),
    })
}

/// Where a viewer resumes. Without `run` nothing tells whether this process gave the sequence, so there `after` only has to be readable.
fn resume(query: Query<'_>, of_all: bool) -> Result<Option<Resume>, String> {
    let after = if of_all {
        let each = query.all("after").map(|value| {
            // The name may have colons.
            let cursor = value.rsplit_once(':').and_then(|(name, sequence)| Some((name.to_owned(), sequence.parse().ok()?)));
            cursor.ok_or_else(|| format!("after is not NAME:SEQUENCE here: {value}"))
        });
        Some(After::Each(each.collect::<Result<_, _>>()?))
    } else {
        query.number("after")?.map(After::One)
    };
    let run = query.get("run").map(Cow::into_owned);
    Ok(run.zip(after).map(|(run, after)| Resume { run, after }))
}

/// The kind and the number of the feed in `action=stream_1`. mjpg-streamer ignores what follows, and its clients put a second `?`
/// there, a time or a path.
fn action(query: Query<'_>) -> Result<Option<(&'static str, usize)>, String> {
    let action = query.get("action").unwrap_or_default();
    let Some((what, rest)) = ["stream", "snapshot"].iter().find_map(|what| Some((*what, action.strip_prefix(what)?))) else {
        return Ok(None);
    };
    let Some(number) = rest.strip_prefix('_') else { return Ok(Some((what, 0))) };
    let digits = number.find(|letter: char| !letter.is_ascii_digit()).map_or(number, |end| &number[..end]);
    digits.parse().map(|number| Some((what, number))).map_err(|_| format!("no feed has the number {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route_of(target: &str, headers: &[(&str, &str)]) -> Route {
        let request = headers.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
        route(&request.body(()).unwrap(), "")
    }

    fn which(target: &str) -> FeedSelector {
        match route_of(target, &[]) {
            Route::Stream { feeds, .. } => feeds,
            Route::Snapshot { feed, .. } => feed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_root_is_a_page_for_a_browser_that_navigates_and_the_feed_for_all_else() {
        let navigates = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!(route_of("/", &[navigates]), Route::Page);
        assert_eq!(route_of("/", &[("accept", "*/*"), ("sec-fetch-dest", "document")]), Route::Page);
        assert!(matches!(route_of("/", &[navigates, ("sec-fetch-dest", "image")]), Route::Stream { .. }));
        assert!(matches!(route_of("/", &[("accept", "*/*")]), Route::Stream { .. }));
        assert!(matches!(route_of("/", &[]), Route::Stream { .. }));
        assert!(matches!(route_of("/", &[("accept", "text/html;q=0, */*")]), Route::Stream { .. }));
        assert_eq!(route_of("/", &[("accept", "application/xml, TEXT/HTML; q=0.5")]), Route::Page);
    }

    #[test]
    fn a_prefix_stands_in_front_of_every_route() {
        let below = |target: &str| route(&Request::get(target).body(()).unwrap(), "/cam/1");
        assert_eq!(below("/cam/1/state"), Route::State);
        assert!(matches!(below("/cam/1/"), Route::Stream { .. }));
        assert_eq!(below("/cam/1"), Route::Slash);
        for other in ["/state", "/cam/state", "/cam/12/state", "/cam/1state", "/"] {
            assert_eq!(below(other), Route::NotFound, "{other}");
        }
    }

    #[test]
    fn other_servers_paths_lead_to_ours() {
        assert_eq!(which("/?action=stream"), FeedSelector::Number(0));
        assert_eq!(which("/?action=snapshot_1"), FeedSelector::Number(1));
        assert_eq!(route_of("/?action=snapshot_-1", &[]), Route::BadQuery("no feed has the number -1".to_owned()));
        for glued in ["&x=1", "?ts=123", "?_=1", "/", "foo", "%3Fx", " HTTP"] {
            assert_eq!(which(&format!("/?action=snapshot{}", glued.replace(' ', "+"))), FeedSelector::Number(0), "{glued}");
            assert_eq!(which(&format!("/?action=stream_1{}", glued.replace(' ', "+"))), FeedSelector::Number(1), "{glued}");
        }
        assert!(matches!(route_of("/?action=snapshot_x", &[]), Route::BadQuery(_)));
        assert_eq!(which("/stream.mjpg"), FeedSelector::Number(0));
        assert_eq!(which("/api/stream.mjpeg?src=a%20b"), FeedSelector::Camera("a b".into()));
        assert_eq!(which("/api/frame.jpeg"), FeedSelector::Number(0));
        assert_eq!(which("/stream/a%2Fb.png"), FeedSelector::Named("a/b.png".into()));
        assert_eq!(which("/streams"), FeedSelector::All);
    }

    #[test]
    fn equivalent_paths_lead_to_one_route() {
        for state in ["/state", "//state", "/%73tate", "///%73%74%61te"] {
            assert_eq!(route_of(&format!("http://a{state}"), &[]), Route::State, "{state}");
        }
        assert_eq!(which("//stream//a%2Fb.png"), FeedSelector::Named("a/b.png".into()));
        assert_eq!(which("/%73napshot/%61.png"), FeedSelector::Named("a.png".into()));
        assert_eq!(which("/snapshot/100%25"), FeedSelector::Named("100%".into()));
        assert_eq!(which("/snapshot/100%"), FeedSelector::Named("100%".into()));
        assert_eq!(which("/snapshot/%2573"), FeedSelector::Named("%73".into()), "decoded once");
        assert_eq!(which("/snapshot/%%37%33"), FeedSelector::Named("%73".into()), "decoded once");
        for other in ["/%2fstate", "/state%2f", "/STATE", "/%25%73tate", "//evil.example/state"] {
            assert_eq!(route_of(&format!("http://a{other}"), &[]), Route::NotFound, "{other}");
        }
        let below = |target: &str| route(&Request::get(target).body(()).unwrap(), "/cam");
        assert_eq!(below("http://a//c%61m//view"), Route::Page);
        assert_eq!(below("http://a//cam"), Route::Slash);
    }

    #[test]
    fn queries_are_read_and_unknown_keys_ignored() {
        let Route::Stream { query, .. } = route_of("/stream?fps=4&parts=3&history=2&bypassCache=1", &[]) else { panic!() };
        assert_eq!((query.interval, query.parts, query.history), (Some(Duration::from_millis(250)), Some(3), Some(2)));
        for nonsense in [
            "fps=x",
            "fps=inf",
            "fps=-inf",
            "fps=Infinity",
            "fps=1e999",
            "fps=0",
            "fps=-1",
            "fps=NaN",
            "fps=1e-300",
            "parts=0",
            "history=-1",
        ] {
            assert!(matches!(route_of(&format!("/stream?{nonsense}"), &[]), Route::BadQuery(_)), "{nonsense}");
        }
    }

    #[test]
    fn a_stream_resumes_only_where_it_is_told_of_whose_parts_the_viewer_has() {
        let resume = |target: &str, headers: &[_]| match route_of(target, headers) {
            Route::Stream { query, .. } => Ok(query.resume.map(|Resume { run, after }| (run, after))),
            Route::BadQuery(why) => Err(why),
            other => panic!("{other:?}"),
        };
        let one = |run: &str, after| Ok(Some((run.to_owned(), After::One(after))));
        for path in ["/", "/stream", "/stream.mjpg", "/stream/a", "/api/stream.mjpeg", "/?action=stream&x=1"] {
            let query = if path.contains('?') { "&" } else { "?" };
            assert_eq!(resume(&format!("{path}{query}after=7&run=mxr-1"), &[]), one("mxr-1", 7), "{path}");
        }
        for target in ["/stream", "/stream?after=7", "/stream?run=mxr-1", "/streams?after=a:7"] {
            assert_eq!(resume(target, &[]), Ok(None), "{target}");
        }
        assert_eq!(resume("/stream?after=7&run=mxr-1", &[("accept", "image/*")]), Ok(None), "an <img> begins anew");
        for garbage in ["", "x", "-1", "1.5", "0x1", "18446744073709551616", "a:7"] {
            assert!(resume(&format!("/stream?after={garbage}&run=mxr-1"), &[]).is_err(), "{garbage}");
            assert!(resume(&format!("/stream?after={garbage}"), &[]).is_err(), "{garbage}");
        }
        let each = |list: &[(&str, u64)]| After::Each(list.iter().map(|(name, after)| ((*name).to_owned(), *after)).collect());
        let several = resume("/streams?run=B&after=a%3A1%20%25.log:7&after=b:0", &[]);
        assert_eq!(several, Ok(Some(("B".to_owned(), each(&[("a:1 %.log", 7), ("b", 0)])))));
        for garbage in ["7", "", "a:", "a:x", "a:-1", ":"] {
            assert!(resume(&format!("/streams?after=b:1&after={garbage}"), &[]).is_err(), "{garbage}");
        }
    }

    #[test]
    fn an_img_is_told_apart_and_the_browsers_that_need_early_headers() {
        let accepts = |headers: &[(&str, &str)]| match route_of("/stream", headers) {
            Route::Stream { query, .. } => query.accepts,
            other => panic!("{other:?}"),
        };
        let chromium =
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36");
        let firefox = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0");
        assert_eq!(accepts(&[chromium, ("accept", "image/avif,*/*")]), Accepts::Pictures(Layout::EarlyHeaders));
        assert_eq!(accepts(&[firefox, ("accept", "image/avif,*/*")]), Accepts::Pictures(Layout::Plain));
        assert_eq!(accepts(&[chromium, ("accept", "*/*"), ("sec-fetch-dest", "image")]), Accepts::Pictures(Layout::EarlyHeaders));
        assert_eq!(accepts(&[chromium, ("accept", "text/html,image/png")]), Accepts::All);
        assert_eq!(accepts(&[("accept", "*/*")]), Accepts::All);
    }
}
