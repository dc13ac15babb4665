//! `mxr serve RECORDING`: what was recorded comes again, byte for byte, with its times, whoever wrote the file.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    A_WHILE, BLUE, Connection, Folder, GREEN, Part, RED, SOON, Server, jpeg, mxr, png, printed_by, python, recorded, tool,
    wait_for, wait_until,
};

const BOUNDARY: &str = "mxr-0123456789abcdef0123456789abcdef";

/// When recordings begin, in seconds since 1970.
const BEGIN: f64 = 1_764_000_000.0;

/// A recording as mxr writes it, in a folder of its own.
struct Tape {
    folder: Folder,
    bytes: Vec<u8>,
    sequence: u64,
}

impl Tape {
    fn new() -> Self {
        let head = format!("Content-Type: multipart/mixed; boundary={BOUNDARY}\r\nX-Recording: mxr 1\r\n");
        Self { folder: Folder::new(), bytes: head.into(), sequence: 0 }
    }

    /// Adds a part of this second.
    fn part(mut self, feed: &str, second: f64, media: &str, body: impl AsRef<[u8]>) -> Self {
        self.sequence += 1;
        let (stamp, sequence, length) = (BEGIN + second, self.sequence, body.as_ref().len());
        let head = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\nX-Timestamp: {stamp:.6}\r\n\
             X-Sequence: {sequence}\r\nX-Feed: {feed}\r\nX-Clock: 0000002a {second:.6}\r\n\r\n"
        );
        self.bytes.extend([head.as_bytes(), body.as_ref()].concat());
        self
    }

    fn line(self, second: f64, text: &str) -> Self {
        self.part("log", second, "text/plain; charset=utf-8", text)
    }

    fn whole(&self) -> Vec<u8> {
        [&self.bytes[..], format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat()
    }

    /// Writes the file, and returns its path.
    fn saved(&self) -> PathBuf {
        self.folder.put("day.mxr", self.whole());
        self.folder.file("day.mxr")
    }

    fn serve(&self, args: &[&str]) -> Server {
        mxr(["serve"]).arg(self.saved()).args(args).start()
    }
}

/// A file of these bytes, served once.
fn serve_bytes(folder: &Folder, bytes: impl AsRef<[u8]>, args: &[&str]) -> Server {
    folder.put("cam", bytes);
    mxr(["serve"]).arg(folder.file("cam")).args(["--once"]).args(args).start()
}

fn texts(parts: &[Part]) -> Vec<String> {
    parts.iter().map(Part::text).collect()
}

fn has_feed(part: &Part, feed: &str) -> bool {
    part.headers.iter().any(|(name, value)| name == "X-Feed" && value == feed)
}

/// Lets a recording play to its end, and returns its parts as they are held then: on the way a viewer may miss some.
fn played(server: &Server, path: &str) -> Vec<Part> {
    server.view(path).parts_to_end();
    let mut parts = without_repeats(server.view(&format!("{path}?history=1000")).parts_to_end());
    parts.sort_by(|one, other| one.timestamp().total_cmp(&other.timestamp()));
    parts
}

/// The parts of a run without what is sent once more before the end.
fn without_repeats(parts: Vec<Part>) -> Vec<Part> {
    let mut kept: Vec<Part> = Vec::new();
    for part in parts {
        let feed = part.headers.iter().find(|(name, _)| name == "X-Feed").map(|(_, feed)| feed.clone());
        let is_repeat =
            |before: &Part| before.sequence() == part.sequence() && feed.as_ref().is_none_or(|feed| has_feed(before, feed));
        if !kept.iter().any(is_repeat) {
            kept.push(part);
        }
    }
    kept
}

#[test]
fn eight_feeds_come_again_byte_for_byte_with_their_times() {
    let types = ["image/png", "image/jpeg", "text/plain", "text/html", "application/json", "image/svg+xml", "audio/aac", "x-a/b"];
    let (mut recorded, mut expected) = (Tape::new(), Vec::new());
    for number in 0..160_u32 {
        let (feed, second) = (number as usize % 8, f64::from(number) / 100.0);
        let body = [number.to_string().as_bytes(), &vec![b'x'; number as usize * 31 % 3000]].concat();
        recorded = recorded.part(&format!("feed%20{feed}"), second, types[feed], &body);
        expected.push((format!("feed%20{feed}"), types[feed], format!("{:.6}", BEGIN + second), body));
    }
    let server = recorded.serve(&["--once", "--history", "1000"]);
    let parts = played(&server, "/streams");
    let came: Vec<_> = parts
        .iter()
        .map(|part| (part.header("X-Feed").to_owned(), part.media(), part.header("X-Timestamp").to_owned(), part.body.clone()))
        .collect();
    assert_eq!(came.len(), expected.len());
    assert!(came.iter().zip(&expected).all(|(came, expected)| *came == *expected));
    let names: Vec<Value> = server.state()["feeds"].as_array().unwrap().iter().map(|feed| feed["name"].clone()).collect();
    assert_eq!(names, (0..8).map(|feed| format!("feed {feed}")).collect::<Vec<_>>());
}

#[test]
fn what_is_played_and_recorded_again_has_the_same_parts() {
    let types = ["image/png", "image/jpeg", "text/plain", "text/html", "application/json", "image/svg+xml", "audio/aac", "x-a/b"];
    for (rate, count) in [(8.0, 16), (240.0, 240), (1000.0, 500)] {
        let (mut tape, mut lines) = (Tape::new(), Vec::new());
        for number in 0..count {
            let (feed, second) = (number as usize % 8, f64::from(number) / rate);
            let body = [number.to_string().as_bytes(), &vec![b'x'; number as usize * 31 % 3000]].concat();
            tape = tape.part(&format!("feed%20{feed}"), second, types[feed], &body);
            lines.push((format!("feed {feed}"), types[feed].to_owned(), format!("{:.6}", BEGIN + second), body));
        }
        let mut path = tape.saved();
        for again in ["again.mxr", "and again.mxr"] {
            let copy = tape.folder.beside(again);
            let server = mxr(["serve"]).arg(&path).args(["--once", "--record"]).arg(&copy).start();
            wait_until("all is played", SOON, || {
                server.state()["feeds"].as_array().unwrap().iter().all(|feed| feed["ended"] == true)
            });
            server.stop().success();
            // Parts of two feeds may change places in a recorder that is late; their times tell.
            let mut parts = recorded(&copy);
            parts.sort_by(|one, other| one.time.total_cmp(&other.time));
            let parts = parts.into_iter().map(|part| (part.feed, part.media, format!("{:.6}", part.time), part.body));
            assert!(parts.collect::<Vec<_>>() == lines, "at {rate} a second, {again}");
            path = copy;
        }
    }
}

#[test]
fn equal_pictures_that_follow_each_other_all_come() {
    let mut tape = Tape::new();
    for at in 0..5 {
        tape = tape.part("cam", f64::from(at) / 100.0, "image/png", png(RED));
    }
    assert_eq!(played(&tape.serve(&["--once", "--history", "9"]), "/stream").len(), 5);
}

#[test]
fn a_recording_is_not_recorded_into_itself() {
    let tape = Tape::new().line(0.0, "one");
    let segments = Folder::new();
    segments.put("20251124T160000.000Z.mxr", tape.whole());
    for played in [tape.saved(), segments.path()] {
        mxr(["serve"]).arg(&played).arg("--record").arg(&played).run().usage_error().stderr("is what is pushed");
    }
}

#[test]
fn once_waits_for_the_first_viewer_and_then_ends_for_all() {
    let server = Tape::new().line(0.0, "one").line(0.2, "two").line(0.4, "three").serve(&["--once"]);
    thread::sleep(A_WHILE);
    assert_eq!((&server.source()["state"], &server.state()["feeds"][0]["published"]), (&Value::from("idle"), &Value::from(0)));
    let mut viewer = server.view("/stream");
    let mut other = server.view("/stream?history=10");
    assert_eq!(texts(&viewer.parts_to_end()), ["one", "two", "three"], "the close-delimiter follows the last part");
    assert_eq!(texts(&other.parts_to_end()), ["one", "two", "three"]);
    assert_eq!(server.view("/stream?history=1").parts_to_end().last().unwrap().text(), "three", "the server goes on");
    wait_until("its state tells of the end", SOON, || server.source()["state"] == "ended");
}

#[test]
fn the_first_part_of_once_comes_when_others_were_waited_for_so_that_the_pause_behind_it_is_the_recorded_one() {
    let tape = Tape::new().line(0.0, "one").line(0.1, "two");
    for path in ["/stream", "/snapshot"] {
        let server = tape.serve(&["--once"]);
        let start = Instant::now();
        match path {
            "/stream" => assert_eq!(server.view(path).part().text(), "one"),
            _ => assert!(["one", "two"].contains(&server.get(path).text().as_str())),
        }
        assert!(start.elapsed() >= Duration::from_millis(500), "{path}: after {:?}", start.elapsed());
    }
}

#[test]
fn a_loop_begins_again_and_its_numbers_go_on() {
    let server = Tape::new().line(0.0, "one").line(0.1, "two").serve(&[]);
    let parts: Vec<_> = (0..6).map(|_| ()).scan(server.view("/stream?history=100"), |viewer, ()| viewer.next()).collect();
    let first = usize::from(parts[0].text() == "two");
    assert!(parts.iter().enumerate().all(|(at, part)| part.text() == ["one", "two"][(at + first) % 2]), "{:?}", texts(&parts));
    assert!(parts.windows(2).all(|pair| pair[1].sequence() == pair[0].sequence() + 1));
}

#[test]
fn a_replay_tells_the_recorded_time_and_its_age_is_no_alarm() {
    let server = Tape::new().line(0.0, "one").line(0.2, "two").serve(&["--on-stale", "echo stale >&2", "--stale-after", "1m"]);
    let feed = server.state()["feeds"][0].clone();
    assert_eq!((&feed["source"]["state"], &feed["source"]["replay"]), (&Value::from("live"), &Value::from(true)));
    assert!(feed["newest"]["timestamp"].as_f64().unwrap() < BEGIN + 1.0);
    assert!(server.get("/snapshot").head.want("X-Timestamp").starts_with("176400000"));
    assert!(!server.get("/metrics").text().contains("mxr_feed_newest_age_seconds{"));
    assert!(!server.stderr().contains("stale"));
}

#[test]
fn the_slider_of_the_page_goes_over_all_that_is_played() {
    let recorded = Tape::new().line(0.0, "one").line(100.0, "two").line(200.0, "three");
    let server = recorded.serve(&[]);
    let parts = server.get("/parts/log").json();
    assert_eq!(
        (parts["count"].as_u64(), parts["first"].as_f64(), parts["last"].as_f64()),
        (Some(3), Some(BEGIN), Some(BEGIN + 200.0))
    );
    assert_eq!(server.get(&format!("/snapshot/log?at={}", BEGIN + 150.0)).text(), "two");
}

#[test]
fn what_counts_back_does_so_from_the_time_that_plays() {
    let recorded = Tape::new().line(0.0, "one").line(100.0, "two").line(101.0, "three").line(10_000.0, "four");
    let server = recorded.serve(&["--from", "+101s"]);
    let text = |path: &str| String::from_utf8(server.get(path).body).unwrap();
    let has = |path: &str| {
        let mut connection = Connection::open(&server.host);
        connection.send(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", server.host));
        let copy = String::from_utf8(connection.reply("GET").body).unwrap();
        ["one", "two", "three", "four"].map(|line| copy.contains(&format!("\r\n\r\n{line}\r\n")))
    };
    assert_eq!(has("/recording?last=30s"), [true, true, true, false], "what was shown then, and no part of later");
    assert_eq!(has("/recording/log?last=500ms"), [false, true, true, false]);
    assert_eq!([text("/snapshot/log?at=-0s"), text("/snapshot/log?at=-1s"), text("/snapshot/log?at=-1m")], ["three", "two", "one"]);
    assert_eq!(server.get("/parts/log?from=-30s&to=-0s").json()["parts"].as_array().unwrap().len(), 2);
}

#[test]
fn a_time_shows_the_right_part_also_while_what_plays_is_being_indexed() {
    let mut recorded = Tape::new();
    for second in 0..20_000 {
        recorded = recorded.line(f64::from(second), &second.to_string());
    }
    let path = recorded.saved();
    for (query, text) in [("", "15000"), ("&step=-1", "14999"), ("&step=1", "15001")] {
        let server = mxr(["serve"]).arg(&path).args(["--history", "10"]).start();
        // A slow machine is told to come again.
        let reply = wait_for("the index", SOON, || {
            let reply = server.get(&format!("/snapshot/log?at={}{query}", BEGIN + 15_000.5));
            (reply.head.status != 503).then_some(reply)
        });
        assert_eq!((reply.head.status, reply.text()), (200, text.to_owned()), "{query}");
    }
}

#[test]
fn parts_without_a_time_are_listed_once() {
    let folder = Folder::new();
    let part = |text: &str| format!("--B\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n{text}\r\n");
    folder.put("cam", format!("{}{}{}--B--\r\n", part("a"), part("b"), part("c")));
    let server = mxr(["serve"]).arg(folder.file("cam")).args(["--fps", "20", "--history", "10"]).start();
    wait_until("all are played", SOON, || server.state()["feeds"][0]["published"].as_u64() >= Some(3));
    let parts = server.get("/parts/cam").json();
    assert_eq!((parts["count"].as_u64(), parts["parts"].as_array().map(Vec::len)), (Some(3), Some(3)));
    let mut connection = Connection::open(&server.host);
    connection.send(format!("GET /recording/cam HTTP/1.0\r\nHost: {}\r\n\r\n", server.host));
    assert_eq!(connection.reply("GET").text().matches("Content-Length: 1\r\n").count(), 3);
}

#[test]
fn a_name_that_is_not_taken_and_a_segment_that_is_not_played_are_told_once() {
    let folder = Folder::new();
    let odd = Tape::new().part("..", 0.0, "text/plain", "one").line(0.01, "two").part("a%00b", 0.02, "text/plain", "three");
    folder.put("20251124T160000.000Z.mxr", odd.whole());
    folder.put("20251124T160000.050Z.mxr", "torn");
    folder.put("20251124T160000.060Z.mxr", "no recording\n");
    let server = mxr(["serve"]).arg(folder.path()).args(["--speed", "1000"]).start();
    wait_until("three rounds", SOON, || {
        let feeds = server.state()["feeds"].as_array().unwrap().clone();
        feeds.iter().any(|feed| feed["name"] == "log" && feed["published"].as_u64() >= Some(3))
    });
    server.expect_logs("no URL can have this name", 1);
    server.expect_logs("not played", 2);
}

#[test]
fn speed_idle_limit_and_a_stretch_go_together() {
    let recorded = Tape::new().line(0.0, "a").line(1.0, "b").line(61.0, "c").line(62.0, "d");
    let run = |args: &[&str]| {
        let server = recorded.serve(&[&["--once"], args].concat());
        texts(&without_repeats(server.view("/stream").parts_to_end()))
    };
    // Nobody waits for a minute.
    assert_eq!(run(&["--idle-limit", "0"]), ["a", "b", "c", "d"]);
    assert_eq!(run(&["--idle-limit", "2s", "--speed", "20"]), ["a", "b", "c", "d"]);
    assert_eq!(run(&["--from", "-31s", "--speed", "500"]), ["b", "c", "d"], "what was shown then, in a pause, is there at once");
    assert_eq!(run(&["--from", "+1s", "--to", "-1s", "--speed", "500"]), ["b", "c"]);
    assert_eq!(run(&["--from", "2025-11-24T17:00:01+01:00", "--to", "1764000001.5"]), ["b"]);
}

#[test]
fn a_part_without_a_body_and_one_with_the_boundary_do_no_harm() {
    let body = format!("a\r\n--{BOUNDARY}\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx\r\n--{BOUNDARY}--\r\n");
    let mut recorded = Tape::new().line(0.0, "one").line(0.01, "");
    recorded = recorded.part("log", 0.02, "text/plain", &body);
    // What a later version may write.
    recorded.bytes = String::from_utf8(recorded.bytes)
        .unwrap()
        .replace("X-Recording: mxr 1\r\n", "X-Recording: mxr 1 and more\r\nX-Later: 2\r\n")
        .into();
    let extended = format!(
        "\r\n--{BOUNDARY}\r\nX-Later: a\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nX-Feed: log\r\nX-Timestamp: {BEGIN:.2}\r\n\r\ntwo"
    );
    recorded.bytes.extend(extended.into_bytes());
    let server = recorded.line(0.03, "three").serve(&["--once"]);
    assert_eq!(texts(&server.view("/stream").parts_to_end()), ["one", body.as_str(), "two", "three"]);
    assert_eq!(server.state()["feeds"][0]["refused"], 1, "the empty one");
}

#[test]
fn a_stream_that_curl_saved_from_mxr_is_played() {
    let Some(curl) = tool(&["curl"]) else { return };
    let lines = Tape::new().line(0.0, "one").line(0.05, "two").line(0.1, "three");
    let pictures = Tape::new().part("cam", 0.0, "image/png", png(RED)).part("b", 0.0, "text/plain", "x").part(
        "cam",
        0.1,
        "image/png",
        png(BLUE),
    );
    for (recorded, count) in [(&lines, 3), (&pictures, 2)] {
        for options in [["-sN", "--http1.1"], ["-sNi", "--http1.1"]] {
            for (path, accept) in [("/streams", "*/*"), ("/stream", "*/*"), ("/stream", "multipart/mixed")] {
                let origin = recorded.serve(&["--once"]);
                let accept = format!("Accept: {accept}");
                let saved =
                    printed_by(Command::new(&curl).args(options).args(["-H", &accept, "--max-time", "20", &origin.url(path)]));
                // As if Ctrl-C had ended it in a part.
                let cut = [&saved[..saved.len() - 50], b"\r\n--x"].concat();
                let folder = Folder::new();
                for (bytes, least) in [(&saved, count), (&cut, count - 1)] {
                    let server = serve_bytes(&folder, bytes, &["--history", "100"]);
                    let parts = played(&server, "/stream");
                    assert!(
                        parts.len() >= least && parts[0].header("X-Timestamp").starts_with("176400000"),
                        "{options:?} {path}: {parts:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_stream_that_curl_saved_from_a_camera_is_played() {
    let pictures = [jpeg(RED), jpeg(GREEN), jpeg(BLUE)];
    let stream = |head: &str, before: &str, after: &str| {
        let part = |(number, picture): (usize, &Vec<u8>)| {
            let before = before.replace("LENGTH", &picture.len().to_string()).replace("NUMBER", &number.to_string());
            [before.as_bytes(), picture, after.as_bytes()].concat()
        };
        [head.as_bytes(), &pictures.iter().enumerate().flat_map(part).collect::<Vec<_>>()].concat()
    };
    let response = "HTTP/1.0 200 OK\r\nServer: MJPG-Streamer/0.2\r\nContent-Type: multipart/x-mixed-replace;boundary=boundarydonotcross\r\n\r\n";
    let files = [
        (
            "mjpg-streamer",
            stream(
                &format!("{response}--boundarydonotcross\r\n"),
                "Content-Type: image/jpeg\r\nContent-Length: LENGTH\r\nX-Timestamp: 5.0NUMBER\r\n\r\n",
                "\r\n--boundarydonotcross\r\n",
            ),
        ),
        ("motion", stream("", "--BoundaryString\r\nContent-type: image/jpeg\r\nContent-Length: LENGTH\r\n\r\n", "\r\n\r\n")),
        ("ffmpeg", stream("--ffmpeg\r\n", "Content-type: image/jpeg\r\nContent-length: LENGTH\r\n\r\n", "\r\n--ffmpeg\r\n")),
        ("no length", stream("--frame\r\n", "Content-Type: image/jpeg\r\n\r\n", "\r\n--frame\r\n")),
        ("line feeds alone", stream("--frame\n", "Content-Type: image/jpeg\nContent-Length: LENGTH\n\n", "\n--frame\n")),
        ("no first delimiter", stream("", "Content-Type: image/jpeg\r\nContent-Length: LENGTH\r\n\r\n", "\r\n--123456789\r\n")),
        (
            "dashes in the boundary",
            stream(
                "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=--myboundary\r\n\r\n",
                "--myboundary\r\nContent-Type: image/jpeg\r\nContent-Length: LENGTH\r\n\r\n",
                "\r\n",
            ),
        ),
        ("pictures alone", pictures.concat()),
        ("png alone", Vec::new()),
    ];
    let folder = Folder::new();
    for (name, bytes) in files {
        let pngs = [png(RED), png(GREEN), png(BLUE)];
        let (bytes, expected) = if name == "png alone" { (pngs.concat(), &pngs) } else { (bytes, &pictures) };
        let server = serve_bytes(&folder, bytes, &["--fps", "50", "--history", "10"]);
        let bodies: Vec<_> = played(&server, "/stream").into_iter().map(|part| part.body).collect();
        assert!(bodies == *expected, "{name}: {} parts", bodies.len());
        assert_eq!(server.state()["feeds"][0]["name"], "cam", "{name}");
    }
}

#[test]
fn parts_without_times_come_at_the_rate_that_is_asked_for() {
    let folder = Folder::new();
    let frames: Vec<u8> = (0..21).flat_map(|at: u8| jpeg([at, at, 255 - at])).collect();
    let server = serve_bytes(&folder, &frames, &["--fps", "50", "--speed", "2", "--history", "100"]);
    let start = Instant::now();
    server.view("/stream").parts_to_end();
    assert!(start.elapsed() >= Duration::from_millis(199), "it took {:?}", start.elapsed());
    assert_eq!(played(&server, "/stream").len(), 21);
}

#[test]
fn a_file_that_cannot_be_played_is_refused_with_the_reason() {
    let folder = Folder::new();
    let recorded = Tape::new().line(0.0, "one");
    let long = Tape::new().line(0.0, "one").line(60.0, "two");
    let newer = String::from_utf8(recorded.whole()).unwrap().replace("mxr 1", "mxr 2");
    for (bytes, why) in [
        (&b""[..], "it is empty"),
        (b"hello, world\n", "it is no recording"),
        (&recorded.bytes[..60], "it ends in its own head"),
        (&recorded.bytes[..100], "there is no part in it"),
        (newer.as_bytes(), "it was made by a newer mxr"),
        (&jpeg(RED), "hint: to push one file, use `mxr watch FILE`"),
        (&jpeg(RED)[..50], "there is no whole picture in it"),
        (&[0; 5000], "it is no recording"),
    ] {
        folder.put("x", bytes);
        mxr(["serve"]).arg(folder.file("x")).run().failure().stderr("mxr: cannot serve ").stderr(why);
    }
    mxr(["serve"]).arg(recorded.saved()).args(["--from", "-1s", "--to", "+0s"]).args(["--port", "1x"]).run().usage_error();
    mxr(["serve"])
        .arg(recorded.saved())
        .args(["--from", "2030-01-01T00:00:00Z"])
        .run()
        .failure()
        .stderr("hint: it goes from 2025-11-24");
    // Neither is said before both are counted from the parts.
    mxr(["serve"])
        .arg(long.saved())
        .args(["--from", "+30s", "--to", "+10s"])
        .run()
        .failure()
        .stderr("is later than --to, 2025-11-24T16:00:10");
    mxr(["serve"]).arg(long.saved()).args(["--from", "-1s", "--to", "+1s"]).run().failure().stderr("is later than --to");
    folder.put("mjpeg", [jpeg(RED), jpeg(BLUE)].concat());
    mxr(["serve"]).arg(folder.file("mjpeg")).args(["--to", "-1m"]).run().failure().stderr("have no times");
    for (args, why) in [
        (&["--speed", "0"][..], "cannot use --speed 0"),
        (&["--speed", "1e308"], "cannot use --speed 1e308:"),
        (&["--fps", "1e308"], "cannot use --fps 1e308:"),
        (&["--follow"], "cannot use --follow with a recording"),
        (&["--from", "yesterday"], "a time looks like"),
        (&["--from", "3", "--to", "2"], "it is the later one"),
        (&["--idle-limit", "-1"], "from 0 to a year"),
    ] {
        mxr(["serve"]).arg(recorded.saved()).args(args).run().usage_error().stderr(why);
    }
    let frames = Folder::new();
    frames.put("1.png", png(RED));
    mxr(["serve"]).arg(frames.path()).args(["--speed", "2"]).run().usage_error().stderr("frames have no times");
    mxr(["serve", "--speed", "2"]).run().usage_error().stderr("there is no RECORDING");
}

#[test]
fn what_is_no_recording_here_is_told_with_the_command_for_it() {
    let recorded = Tape::new().line(0.0, "one");
    let path = recorded.saved();
    for args in [&["nope.mxr"][..], &["nope.mxr", "--speed", "2"]] {
        mxr(["serve"]).args(args).run().failure().stderr("cannot serve nope.mxr: there is no such file or directory");
    }
    mxr(["serve", "http://camera:8080/"]).run().failure().stderr("hint: mxr relay http://camera:8080/");
    mxr(["serve", "--glob", "*.png"]).arg(&path).run().failure().stderr("--glob selects from a directory of frames");
    mxr(["serve"]).arg(&path).arg(&path).run().usage_error().stderr("one directory of frames or one recording");
    mxr(["play"]).arg(&path).run().usage_error().stderr("'mxr serve RECORDING' plays").no_stderr("relay");
    let watched = mxr(["watch"]).arg(&path).start();
    watched.expect_log("this is a recording");
    watched.expect_log(&format!("mxr serve {}", path.display()));
    let found = String::from_utf8(mxr(["doctor"]).arg(&path).run().stdout).unwrap();
    assert!(found.contains("It is a recording") && found.contains("mxr serve") && !found.contains("octet-stream"), "{found}");
}

#[test]
fn a_directory_of_segments_is_one_recording_and_one_with_frames_is_refused() {
    let folder = Folder::new();
    folder.put("20251124T160000.000Z.mxr", Tape::new().line(0.0, "one").line(0.05, "two").whole());
    folder.put("20251124T160000.100Z.mxr", Tape::new().line(0.1, "three").whole());
    folder.put("20251124T160000.050Z.mxr", "torn");
    let serve = |args: &[&str]| mxr(["serve"]).arg(folder.path()).args(args);
    let server = serve(&["--once"]).start();
    assert_eq!(texts(&server.view("/stream").parts_to_end()), ["one", "two", "three"]);
    server.expect_logs("not played", 1);
    folder.put("1.png", png(RED));
    serve(&[]).run().failure().stderr("it holds both frames and the segments of a recording").stderr("--glob");
    let server = serve(&["--glob", "*.png"]).start();
    assert_eq!(server.view("/stream").part().body, png(RED));
    let foreign = Folder::new();
    foreign.put("20251124T160000.000Z.mxr", "a text");
    let server = mxr(["serve"]).arg(foreign.path()).start();
    assert_eq!(server.view("/stream").part().text(), "a text", "a file of that name alone is a frame");
    foreign.remove("20251124T160000.000Z.mxr");
    foreign.put("day.mxr", Tape::new().line(0.0, "one").whole());
    mxr(["serve"]).arg(foreign.path()).run().failure().stderr("are not named as the segments of one are").stderr("day.mxr");
}

#[test]
fn a_recording_that_grows_or_goes_while_it_plays_is_played_on() {
    let mut recorded = Tape::new().line(0.0, "one").line(0.05, "two");
    let server = recorded.serve(&[]);
    let mut viewer = server.view("/stream");
    viewer.part_where(|part| part.text() == "two");
    recorded = recorded.line(0.1, "three");
    fs::write(recorded.folder.file("day.mxr"), recorded.whole()).unwrap();
    viewer.part_where(|part| part.text() == "three");
    recorded.folder.remove("day.mxr");
    server.expect_log("it is gone, and what was opened is played on");
    viewer.part_where(|part| part.text() == "one");
    viewer.part_where(|part| part.text() == "three");
    recorded.folder.put("day.mxr", "something else");
    server.wait_for_loss("it is no recording, no multipart stream and no series of JPEGs");
    recorded.folder.put("day.mxr", Tape::new().line(5.0, "another").whole());
    viewer.part_where(|part| part.text() == "another");
    wait_until("it is live again", SOON, || server.source()["state"] == "live");
}

#[test]
fn names_of_feeds_are_those_of_the_recording_or_of_the_file_unless_a_name_is_set() {
    let names = |server: &Server| {
        let feeds = server.state()["feeds"].as_array().unwrap().clone();
        feeds.iter().map(|feed| feed["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let one = Tape::new().line(0.0, "one");
    assert_eq!(names(&one.serve(&[])), ["log"]);
    assert_eq!(names(&one.serve(&["--name", "x"])), ["x"]);
    let mut two = Tape::new().line(0.0, "one").part("gr%C3%BCn", 0.1, "text/plain", "two").part("..", 0.2, "text/plain", "three");
    assert_eq!(names(&two.serve(&[])), ["log", "grün", "day"]);
    assert_eq!(names(&two.serve(&["--name", "x"])), ["x/log", "x/grün", "x/day"]);
    two.bytes = String::from_utf8(two.bytes).unwrap().replace("X-Feed: log\r\n", "").into();
    assert_eq!(names(&two.serve(&[])), ["day", "grün"]);
    let file = two.folder.beside("mxr.toml");
    fs::write(&file, format!("[feed.replay]\nserve = \"{}\"\nspeed = 2\nfrom = \"-10m\"\n", two.saved().display())).unwrap();
    assert_eq!(names(&mxr(["up"]).arg(file).start()), ["replay/day", "replay/grün"]);
}

#[test]
fn pythons_email_reads_a_recording() {
    let Some(python) = python("email") else { return };
    let body = "with\r\n--another\r\nboundary\n";
    let recorded = Tape::new().part("a", 0.0, "image/png", png(RED)).line(1.0, "grün").line(2.0, "").line(3.0, body);
    let script = "import email.policy, sys\n\
        parts = email.message_from_bytes(open(sys.argv[1], 'rb').read()).get_payload()\n\
        for part in parts: print(part['X-Feed'], part['X-Timestamp'], part.get_content_type(), \
        len(part.get_payload(decode=True)))";
    let printed = printed_by(Command::new(python).args(["-c", script]).arg(recorded.saved()));
    let lines = String::from_utf8(printed).unwrap();
    let expected = format!(
        "a 1764000000.000000 image/png {}\nlog 1764000001.000000 text/plain 5\nlog 1764000002.000000 text/plain 0\n\
         log 1764000003.000000 text/plain {}\n",
        png(RED).len(),
        body.len()
    );
    assert_eq!(lines, expected);
}

#[test]
fn ffmpeg_reads_a_recording_of_jpegs() {
    let Some(ffmpeg) = tool(&["ffmpeg"]) else { return };
    let mut recorded = Tape::new();
    for at in 0..10 {
        recorded = recorded.part("cam", f64::from(at), "image/jpeg", jpeg([RED, GREEN, BLUE][at as usize % 3]));
    }
    let path = recorded.saved();
    let args = ["-v", "error", "-skip_initial_bytes", "100", "-f", "mpjpeg", "-i", path.to_str().unwrap(), "-f", "framemd5", "-"];
    let printed = String::from_utf8(printed_by(Command::new(ffmpeg).args(args))).unwrap();
    assert_eq!(printed.lines().filter(|line| !line.starts_with('#')).count(), 10, "{printed}");
}
