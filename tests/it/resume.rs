//! A viewer that lost its connection goes on where it was, with `after` and `run`: no line that is held is lost, and none repeated.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    process::Stdio,
    time::Duration,
};

use serde_json::json;

use crate::support::{A_WHILE, Browser, Folder, GREEN, Kind, Passes, Proxy, RED, SOON, Server, Viewer, mxr, png, wait_until};

/// A server whose standard input the test writes.
fn stdin(args: &[&str]) -> Server {
    mxr(["stdin"]).args(args).stdin(Stdio::piped()).start()
}

fn wait_for_published(server: &Server, count: u64) {
    wait_until(&format!("{count} parts are published"), SOON, || server.state()["feeds"][0]["published"] == count);
}

/// Lines with these numbers.
fn lines(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(|number| format!("line {number}\n")).collect()
}

/// The boundary of the process.
fn run_of(server: &Server) -> String {
    server.view("/stream?history=0").boundary
}

fn dropped(part: &crate::support::Part) -> Option<&str> {
    part.headers.iter().find(|(name, _)| name == "X-Dropped").map(|(_, count)| count.as_str())
}

/// Numbers without a pattern, always the same for one seed (splitmix64).
struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 31) % bound
    }
}

/// The first bytes of a reply, after which the connection is reset; fewer if no more come for a while.
fn first_bytes(server: &Server, path: &str, count: usize) -> Vec<u8> {
    let mut viewer = crate::support::Connection::open(&server.host);
    viewer.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.host));
    let mut stream: &TcpStream = viewer.stream();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => break,
            Err(error) => panic!("{error}"),
        }
    }
    bytes.truncate(filled);
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    bytes
}

/// The parts that are whole in the first bytes of a reply: their sequences, bodies and `X-Dropped`.
fn whole_parts(reply: &[u8]) -> Vec<(u64, String, Option<String>)> {
    let mut parts = Vec::new();
    // The bodies of these tests have no empty line.
    let mut rest = std::str::from_utf8(reply).unwrap();
    let mut is_reply_head = true;
    while let Some((head, behind)) = rest.split_once("\r\n\r\n") {
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
        rest = behind;
        if std::mem::take(&mut is_reply_head) {
            assert!(head.starts_with("HTTP/1.0 200"), "{head}");
            continue;
        }
        let length: usize = field("Content-Length:").expect("a length").parse().unwrap();
        let Some((body, behind)) = rest.split_at_checked(length) else { break };
        parts.push((field("X-Sequence:").expect("a sequence").parse().unwrap(), body.to_owned(), field("X-Dropped:")));
        rest = behind;
    }
    parts
}

/// Has a connection for 1,000 lines reset over and over.
fn a_feed_whose_connection_is_reset_loses_no_line(threads: &str, seed: u64) {
    let mut server = stdin(&["--threads", threads]);
    server.write(lines(1..=100));
    wait_for_published(&server, 100);
    let (run, mut lots) = (run_of(&server), Lots(seed));
    let (mut got, mut written, mut cuts) = (Vec::new(), 100, 0);
    while got.len() < 1000 {
        if written < 1000 && written < got.len() as u64 + 300 {
            let more = (lots.below(60) + 1).min(1000 - written);
            server.write(lines(written + 1..=written + more));
            written += more;
        }
        let path = format!("/stream?after={}&run={run}", got.len());
        let reply = first_bytes(&server, &path, lots.below(3000) as usize + 1);
        for (sequence, line, dropped) in whole_parts(&reply) {
            // A keepalive would repeat the newest; it is not due yet.
            assert_eq!((sequence, line, dropped), (got.len() as u64 + 1, format!("line {}", got.len() + 1), None));
            got.push(sequence);
        }
        cuts += 1;
    }
    println!("{cuts} connections");
    assert!(cuts > 50, "{cuts} connections");
}

#[test]
fn a_connection_that_is_reset_at_any_byte_loses_no_line_and_repeats_none() {
    for seed in [1, 2] {
        a_feed_whose_connection_is_reset_loses_no_line("1", seed);
    }
}

#[test]
fn a_viewer_may_resume_in_another_fan_out_loop() {
    a_feed_whose_connection_is_reset_loses_no_line("2", 3);
}

#[test]
fn a_viewer_that_was_away_for_longer_than_lines_are_held_is_told_how_many_it_missed() {
    let mut server = stdin(&[]);
    server.write(lines(1..=10));
    wait_for_published(&server, 10);
    let run = run_of(&server);
    server.write(lines(11..=150_000));
    wait_for_published(&server, 150_000);
    let held = server.state()["feeds"][0]["held"].as_u64().unwrap();
    let mut viewer = server.view(&format!("/stream?after=10&run={run}"));
    let first = viewer.part();
    assert_eq!((first.sequence(), first.text()), (150_001 - held, format!("line {}", 150_001 - held)));
    assert_eq!(first.header("X-Dropped"), (150_000 - held - 10).to_string());
    assert_eq!(server.state()["feeds"][0]["dropped"], 0, "it was away, not slow");
    let second = viewer.part();
    assert_eq!((second.sequence(), dropped(&second)), (first.sequence() + 1, None));
    // `history` bounds how far back it goes.
    let first = server.view(&format!("/stream?after=10&run={run}&history=5")).part();
    assert_eq!((first.sequence(), first.header("X-Dropped")), (149_996, "149985"));
}

#[test]
fn what_another_process_counted_is_no_place_to_go_on_from() {
    let mut server = stdin(&[]);
    server.write(lines(1..=9));
    wait_for_published(&server, 9);
    let run = run_of(&server);
    for query in ["after=3&run=mxr-0", "after=3", "after=10&run=RUN", "after=18446744073709551615&run=RUN", "run=RUN"] {
        let part = server.view(&format!("/stream?{}", query.replace("RUN", &run))).part();
        assert_eq!((part.sequence(), dropped(&part)), (9, None), "{query}");
    }
    for query in ["after=", "after=x", "after=-1", "after=18446744073709551616", "after=stdin:3"] {
        let reply = server.get(&format!("/stream?{query}&run={run}"));
        assert_eq!((reply.head.status, reply.text().starts_with("mxr: after is not")), (400, true), "{query}: {}", reply.text());
    }
    assert_eq!(server.get(&format!("/streams?after=3&run={run}")).head.status, 400);
    drop(server.take_stdin());
    wait_until("the feed has ended", SOON, || server.state()["feeds"][0]["ended"] == true);
    let rest = |path: &str| server.view(path).parts_to_end().iter().map(|part| part.sequence()).collect::<Vec<_>>();
    assert_eq!(rest(&format!("/stream?after=7&run={run}")), [8, 9], "an ended feed has an end");
    assert_eq!(rest(&format!("/stream?after=9&run={run}")), [0; 0], "it has all");
    assert_eq!(rest("/stream?after=7&run=mxr-0"), (1..=9).collect::<Vec<_>>());
}

#[test]
fn every_path_of_a_stream_resumes() {
    let mut server = stdin(&["--name", "log"]);
    server.write(lines(1..=5));
    wait_for_published(&server, 5);
    let run = run_of(&server);
    for path in ["/?", "/stream?", "/stream/log?", "/stream.mjpg?", "/api/stream.mjpeg?src=log&", "/?action=stream&"] {
        let mut viewer = server.view(&format!("{path}after=2&run={run}"));
        let sequences = [viewer.part(), viewer.part(), viewer.part()].map(|part| part.sequence());
        assert_eq!(sequences, [3, 4, 5], "{path}");
    }
    let part = server.view(&format!("/streams?after=log:4&run={run}")).part();
    assert_eq!((part.sequence(), part.header("X-Feed")), (5, "log"));
}

#[test]
fn a_viewer_that_has_the_picture_waits_for_the_next() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0"]).start();
    let Viewer { boundary: run, .. } = server.view("/stream");
    let mut viewer = server.view(&format!("/stream?after=1&run={run}"));
    viewer.connection.expect(format!("--{run}\r\n"));
    viewer.expect_silence(A_WHILE);
    folder.put("a.png", png(GREEN));
    viewer.connection.expect("Content-Type: image/png\r\n");
    viewer.connection.until(b"X-Sequence: 2\r\n\r\n");
    viewer.connection.expect(png(GREEN));
    let part = server.view(&format!("/stream?after=0&run={run}")).part();
    assert_eq!((part.sequence(), part.header("X-Dropped")), (2, "1"));
    let image = server.view_with(&format!("/stream?after=2&run={run}"), &["Accept: image/avif,*/*"]).part();
    assert_eq!(image.sequence(), 2, "an <img> that is loaded shows nothing yet");
}

#[test]
fn a_run_of_a_viewers_own_begins_at_its_start() {
    let server = mxr(["serve", "--demo"]).start();
    let viewer = server.view("/stream");
    let again = server.view(&format!("/stream?after=1&run={}", viewer.boundary)).part();
    assert_eq!((again.sequence(), dropped(&again)), (1, None));
}

/// Lets the page of a feed lose its connection over and over, at any byte.
fn the_page_shows_each_line_once(kind: Kind) {
    let mut server = stdin(&[]);
    let Some(browser) = Browser::start(kind) else { return };
    server.write(lines(1..=100));
    wait_for_published(&server, 100);
    let proxy = Proxy::before(&server.host, Passes::Pieces);
    browser.go(&proxy.url);
    // The shortest pause before it tries again.
    browser.run("Math.random = () => 0", json!([]));
    let shown = "return [...document.querySelectorAll('.log .line, .log .mark')].map(line => line.textContent.trim())";
    for burst in 1..=10 {
        server.write(lines(burst * 90 + 11..=burst * 90 + 100));
        let last = format!("line {}", burst * 90 + 100);
        wait_until(&format!("{last} is there"), 3 * SOON, || browser.run(shown, json!([])).to_string().contains(&last));
    }
    let expected: Vec<String> = (1..=1000).map(|number| format!("line {number}")).collect();
    assert_eq!(browser.run(shown, json!([])), json!(expected));
    let asked = proxy.asked();
    let streams = asked.iter().filter(|target| target.starts_with("/streams?"));
    println!("{} connections", streams.clone().count());
    assert!(streams.clone().count() > 10, "{asked:?}");
    assert!(streams.skip(1).all(|target| target.contains("&after=stdin:") && target.contains("&run=mxr-")), "{asked:?}");
}

#[test]
fn the_page_loses_no_line_and_repeats_none_when_its_connection_is_cut_in_chromium() {
    the_page_shows_each_line_once(Kind::Chromium);
}

#[test]
fn the_page_loses_no_line_and_repeats_none_when_its_connection_is_cut_in_firefox() {
    the_page_shows_each_line_once(Kind::Firefox);
}
