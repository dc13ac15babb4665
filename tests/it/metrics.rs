//! `/metrics` has the format of Prometheus and the names that its users expect, and its numbers match the events. `/state` and the
//! log agree with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::support::{Connection, Folder, RED, SOON, Server, mxr, noise, png, wait_for, wait_until};

/// A scrape: help and type of each name, the value of each series.
#[derive(Debug, Default)]
struct Scrape {
    help: BTreeMap<String, String>,
    kind: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads the text format (prometheus.io/docs/instrumenting/exposition_formats), and accepts nothing else.
    fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut current = String::new();
        let mut done = BTreeSet::new();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let (word, rest) = comment.split_once(' ').unwrap();
                let (name, said) = rest.split_once(' ').unwrap();
                let table = match word {
                    "HELP" => &mut scrape.help,
                    "TYPE" => &mut scrape.kind,
                    _ => panic!("not HELP and not TYPE: {line}"),
                };
                assert_eq!(table.insert(name.to_owned(), said.to_owned()), None, "twice: {line}");
                if name != current {
                    assert!(done.insert(std::mem::replace(&mut current, name.to_owned())), "the lines of {name} are apart");
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            assert_eq!(series.split('{').next(), Some(current.as_str()), "a series under another's name: {line}");
            let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert_eq!(scrape.series.insert(series.to_owned(), value), None, "twice: {line}");
        }
        scrape
    }

    /// The problems that `promtool check metrics` would report.
    fn lint(&self) {
        for (name, kind) in &self.kind {
            assert!(self.help.get(name).is_some_and(|help| !help.is_empty()), "{name} has no help");
            assert!(name.starts_with("mxr_"), "{name} is in nobody's name");
            assert!(name.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'_'), "{name} is not in snake case");
            assert!(["counter", "gauge"].contains(&kind.as_str()), "{name} is a {kind}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            for word in name.split('_') {
                let scaled =
                    ["ms", "milliseconds", "minutes", "hours", "kb", "kilobytes", "megabytes", "percent", "gauge", "counter"];
                assert!(!scaled.contains(&word), "{name}: {word} is no base unit, or a type");
            }
            assert!(!["_count", "_sum", "_bucket"].iter().any(|suffix| name.ends_with(suffix)), "{name} looks like a histogram's");
            assert!(self.series.keys().any(|series| series.split('{').next() == Some(name)), "{name} has no value");
        }
        for (series, value) in &self.series {
            let name = series.split('{').next().unwrap();
            assert!(self.kind.contains_key(name), "{series} has no type");
            assert!(value.is_finite() && *value >= 0.0, "{series} is {value}");
        }
    }

    #[track_caller]
    fn get(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in {:?}", self.series.keys()))
    }
}

fn scrape(server: &Server) -> Scrape {
    let reply = server.get("/metrics");
    assert_eq!(reply.head.status, 200);
    assert_eq!(reply.head.want("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    let scrape = Scrape::read(&reply.text());
    scrape.lint();
    scrape
}

fn watched(args: &[&str]) -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0"]).args(args).start();
    (folder, server)
}

#[test]
fn every_name_and_cause_is_listed_from_the_start() {
    let (_folder, server) = watched(&[]);
    let scrape = scrape(&server);
    for cause in ["left", "broken", "stalled", "finished", "panicked"] {
        assert_eq!(scrape.get(&format!("mxr_viewers_gone_total{{cause=\"{cause}\"}}")), 0.0);
    }
    for cause in ["accept", "malformed", "timeout", "broken", "crowded"] {
        assert_eq!(scrape.get(&format!("mxr_errors_total{{cause=\"{cause}\"}}")), 0.0);
    }
    for place in ["viewer", "connection", "source", "recorder", "server"] {
        assert_eq!(scrape.get(&format!("mxr_panics_total{{place=\"{place}\"}}")), 0.0);
    }
    assert_eq!(scrape.get("mxr_viewers_refused_total{cause=\"full\"}"), 0.0);
    assert_eq!(scrape.get(&format!("mxr_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((0.0..600.0).contains(&(now - scrape.get("mxr_start_time_seconds"))));
}

#[test]
fn the_numbers_match_the_events() {
    let (folder, server) = watched(&["--max-viewers", "2"]);
    let (mut one, mut two) = (server.view("/stream"), server.view("/stream"));
    let pictures = [png(RED), noise(20_000, 1), noise(20_000, 2)];
    for picture in &pictures {
        folder.put("a.png", picture);
        assert_eq!((one.part().body, two.part().body), (picture.clone(), picture.clone()));
    }
    assert_eq!(server.get("/stream").head.status, 503);
    assert_eq!(server.get("/nowhere").head.status, 404);
    drop(two);
    server.wait_for_viewers(1);
    let scrape = scrape(&server);
    let bytes: usize = pictures.iter().map(Vec::len).sum();
    for (series, value) in [
        ("mxr_feed_published_total{feed=\"a.png\"}", 3),
        ("mxr_feed_published_bytes_total{feed=\"a.png\"}", bytes),
        ("mxr_feed_viewers{feed=\"a.png\"}", 1),
        ("mxr_feed_ended{feed=\"a.png\"}", 0),
        ("mxr_viewers", 1),
        ("mxr_viewers_limit", 2),
        ("mxr_viewers_came_total", 2),
        ("mxr_viewers_gone_total{cause=\"left\"}", 1),
        ("mxr_viewers_refused_total{cause=\"full\"}", 1),
        ("mxr_viewers_sent_parts_total", 6),
        ("mxr_viewers_dropped_parts_total", 0),
        ("mxr_http_requests_total{code=\"404\"}", 1),
        ("mxr_http_requests_total{code=\"503\"}", 1),
    ] {
        assert_eq!(scrape.get(series), value as f64, "{series}");
    }
    assert!(scrape.get("mxr_viewers_sent_bytes_total") > 2.0 * bytes as f64);
    assert!(scrape.get("mxr_feed_newest_age_seconds{feed=\"a.png\"}") < 60.0);
}

#[test]
fn the_state_has_no_list_of_viewers_for_those_that_do_not_want_it() {
    let (_folder, server) = watched(&[]);
    let mut viewer = server.view("/stream");
    viewer.part();
    assert_eq!(server.get("/state").json()["viewers"].as_array().unwrap().len(), 1);
    let state = server.get("/state?viewers=0").json();
    assert!(state["viewers"].is_null() && state["feeds"][0]["viewers"] == 1, "{state}");
}

#[test]
fn disconnected_viewers_and_malformed_requests_are_counted() {
    let (folder, server) = watched(&["--stall-timeout", "0.5"]);
    let _stuck = server.view_narrowly("/stream");
    let mut nonsense = Connection::open(&server.host);
    nonsense.send("nonsense\r\n\r\n");
    nonsense.rest();
    let mut seed = 0;
    let cut = "mxr_viewers_gone_total{cause=\"stalled\"}";
    wait_until("the viewer is cut and counted", SOON, || {
        seed += 1;
        folder.put("a.png", noise(200_000, seed));
        scrape(&server).get(cut) == 1.0
    });
    let scrape = scrape(&server);
    assert_eq!(scrape.get("mxr_errors_total{cause=\"malformed\"}"), 1.0);
    assert!(scrape.get("mxr_feed_dropped_total{feed=\"a.png\"}") > 0.0);
    let state = server.state();
    assert_eq!((&state["gone"]["stalled"], &state["faults"]["malformed"]), (&1.into(), &1.into()));
}

#[test]
fn the_history_of_all_feeds_has_a_stated_bound_and_says_what_it_keeps() {
    let folder = Folder::new();
    let (names, size) = (["a.png", "b.png", "c.png"], 20_000);
    names.iter().for_each(|name| folder.put(name, noise(size, 0)));
    let server = names.iter().fold(mxr(["watch"]), |server, name| server.arg(folder.file(name)));
    let server = server.args(["--history", "50", "--history-bytes", "200K"]).start();
    let published =
        || server.state()["feeds"].as_array().unwrap().iter().map(|feed| feed["published"].as_u64().unwrap()).sum::<u64>();
    wait_until("all are pushed", SOON, || published() == 3);
    for round in 1..=20 {
        for (at, name) in names.iter().enumerate() {
            folder.put(name, noise(size, 3 * round + at as u32));
            let expected = u64::from(3 * round) + at as u64 + 1;
            wait_until("it is pushed", SOON, || published() == expected);
        }
    }
    let state = server.state();
    let held: Vec<u64> = state["feeds"].as_array().unwrap().iter().map(|feed| feed["held"].as_u64().unwrap()).collect();
    let past = state["history"]["bytes"].as_u64().unwrap();
    assert_eq!((&state["history"]["limit"], &state["feeds"][0]["history"]), (&(200 << 10).into(), &50.into()));
    assert!((180_000..=200 << 10).contains(&past), "{past}");
    assert_eq!(held, [4; 3], "the newest of each, and nine past ones: {state}");
    let mut viewer = server.view("/stream/a.png?history=50");
    let parts: Vec<u64> = (0..4).map(|_| viewer.part().sequence()).collect();
    assert_eq!(parts, [18, 19, 20, 21]);
    let scrape = scrape(&server);
    assert_eq!((scrape.series["mxr_history_bytes"], scrape.series["mxr_history_bytes_limit"]), (past as f64, 204_800.0));
    assert_eq!(scrape.series["mxr_feed_held{feed=\"a.png\"}"], 4.0);
    server.expect_logs("filled --history-bytes", 1);
}

#[test]
fn a_name_with_quotes_breaks_nothing() {
    let folder = Folder::new();
    let name = "a \"b\"\\c.txt";
    folder.put(name, "text");
    let server = mxr(["watch"]).arg(folder.file(name)).start();
    server.view("/stream").part();
    let scrape = scrape(&server);
    assert_eq!(scrape.get("mxr_feed_published_total{feed=\"a \\\"b\\\"\\\\c.txt\"}"), 1.0);
}

#[test]
fn each_viewer_has_its_own_span_in_the_log() {
    let (_folder, server) = watched(&["-v", "--log-format", "json"]);
    let mut viewer = server.view("/stream");
    viewer.part();
    let peer = viewer.connection.stream().local_addr().unwrap().to_string();
    drop(viewer);
    let lines = wait_for("the log says that it left", SOON, || {
        let lines: Vec<serde_json::Value> =
            server.stderr().lines().map(|line| serde_json::from_str(line).expect("JSON, a line each")).collect();
        lines.iter().any(|line| line["message"] == "viewer left").then_some(lines)
    });
    for (message, why) in [("viewer came", None), ("viewer left", Some("left"))] {
        let line = lines.iter().find(|line| line["message"] == message).unwrap();
        let span = &line["span"];
        assert_eq!((&span["name"], &span["id"], &span["feed"]), (&"viewer".into(), &1.into(), &"a.png".into()), "{line}");
        assert_eq!(span["peer"], peer.as_str(), "{line}");
        assert_eq!(line["why"].as_str(), why, "{line}");
    }
    let left = lines.iter().find(|line| line["message"] == "viewer left").unwrap();
    assert_eq!((&left["sent"], &left["dropped"]), (&1.into(), &0.into()), "{left}");
}

#[test]
fn a_viewer_of_several_feeds_names_them_in_the_log() {
    let folder = Folder::new();
    folder.put("a.txt", "a");
    folder.put("b.txt", "b");
    let server = mxr(["watch"]).arg(folder.file("a.txt")).arg(folder.file("b.txt")).arg("-v").start();
    let _viewer = server.view("/streams");
    wait_until("the log names both", Duration::from_secs(5), || server.stderr().contains("feed=\"a.txt, b.txt\""));
}
