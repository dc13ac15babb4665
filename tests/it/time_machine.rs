//! Back in time: the part that was shown at a moment, lists of parts, and stretches as files.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{Connection, Folder, GREEN, RED, Reply, SOON, Server, mxr, padded_png, png, wait_until};

/// A server of lines that the test writes.
fn stdin(args: &[&str]) -> Server {
    mxr(["stdin", "--name", "log"]).args(args).stdin(Stdio::piped()).start()
}

/// Writes lines one after the other, each with a time of its own.
fn write_lines(server: &mut Server, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let before = server.state()["feeds"][0]["published"].as_u64().unwrap();
        server.write(format!("line {number}\n"));
        wait_until("the line is published", SOON, || server.state()["feeds"][0]["published"].as_u64().unwrap() > before);
    }
}

fn lines(args: &[&str], numbers: std::ops::RangeInclusive<u64>) -> Server {
    let mut server = stdin(args);
    write_lines(&mut server, numbers);
    server
}

/// The times in a list of parts, as they are written.
fn times(list: &Reply) -> Vec<String> {
    let text = list.text();
    text.split("\"time\":").skip(1).map(|rest| rest.split(',').next().unwrap().to_owned()).collect()
}

/// The reply to a client of HTTP/1.0, which gets no chunks.
fn download(server: &Server, path: &str) -> Reply {
    let mut connection = Connection::open(&server.host);
    connection.send(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", server.host));
    connection.reply("GET")
}

/// The bodies of a recording.
fn bodies(recording: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(recording);
    let boundary = text.lines().next().unwrap().split_once("boundary=").expect("a head").1;
    let body = text.strip_suffix(&format!("\r\n--{boundary}--\r\n")).expect("a close-delimiter");
    let delimiter = format!("\r\n--{boundary}\r\n");
    let parts = body.split(&delimiter).skip(1);
    parts.map(|part| part.split_once("\r\n\r\n").expect("headers").1.to_owned()).collect()
}

#[test]
fn a_time_shows_the_part_that_was_shown_then() {
    let server = lines(&["--history", "10"], 1..=4);
    let list = server.get("/parts/log");
    let times = times(&list);
    let shown = |query: &str| server.get(&format!("/snapshot/log?{query}"));
    for (time, number) in times.iter().zip(1..) {
        let reply = shown(&format!("at={time}"));
        assert_eq!((reply.head.status, reply.text()), (200, format!("line {number}")));
        assert_eq!(reply.head.want("X-Timestamp"), time);
        assert_eq!(reply.head.want("X-Sequence"), number.to_string());
        assert_eq!(reply.head.want("Content-Type"), "text/plain; charset=utf-8");
        assert_eq!(reply.head.want("Cache-Control"), "no-store");
        assert!(reply.head.get("ETag").is_some() && reply.head.get("Last-Modified").is_some());
    }
    let seconds: Vec<f64> = times.iter().map(|time| time.parse().unwrap()).collect();
    assert_eq!(shown(&format!("at={:.6}", (seconds[1] + seconds[2]) / 2.0)).text(), "line 2", "between two");
    assert_eq!(shown("at=-0s").text(), "line 4");
    assert_eq!(shown("at=99999999999").text(), "line 4", "of the future is the newest");
    assert_eq!(shown("at=2999-01-01T00:00:00Z").text(), "line 4");
    let before = shown(&format!("at={:.6}", seconds[0] - 1.0));
    assert_eq!(before.head.status, 404);
    assert!(before.text().contains(&times[0]), "{}", before.text());
    assert_eq!(shown("at=-1year&after=nonsense").head.status, 404, "after does not count");
}

#[test]
fn a_step_leads_to_the_part_before_or_after() {
    let server = lines(&["--history", "10"], 1..=3);
    let times = times(&server.get("/parts"));
    let shown = |query: &str| {
        let reply = server.get(&format!("/snapshot?{query}"));
        if reply.head.status == 200 { reply.text() } else { format!("{}", reply.head.status) }
    };
    assert_eq!(shown(&format!("at={}&step=1", times[0])), "line 2");
    assert_eq!(shown(&format!("at={}&step=+1", times[1])), "line 3");
    assert_eq!(shown(&format!("at={}&step=-1", times[1])), "line 1");
    assert_eq!(shown("at=-0s&step=-1"), "line 2");
    assert_eq!([shown("at=-0s&step=1"), shown(&format!("at={}&step=-1", times[0]))], ["404", "404"]);
    assert_eq!(shown("at=0&step=1"), "line 1", "after a time before all");
    assert_eq!(shown("at=0&step=-1"), "404");
}

#[test]
fn a_client_that_has_the_part_gets_it_once() {
    let server = lines(&["--history", "10"], 1..=2);
    let time = &times(&server.get("/parts"))[0];
    let path = format!("/snapshot?at={time}");
    let tag = server.get(&path).head.want("ETag").to_owned();
    let again = server.request("GET", &path, &[&format!("If-None-Match: {tag}")]);
    assert_eq!((again.head.status, again.body.len()), (304, 0));
    assert_eq!(server.request("GET", "/snapshot?at=-0s", &[&format!("If-None-Match: {tag}")]).head.status, 200);
}

#[test]
fn a_list_tells_of_all_parts_and_shows_some_evenly() {
    let server = lines(&["--history", "100"], 1..=21);
    let reply = server.get("/parts/log?max=5");
    assert_eq!((reply.head.want("Content-Type"), reply.head.want("Cache-Control")), ("application/json", "no-store"));
    let all = times(&server.get("/parts/log"));
    assert_eq!(all.len(), 21);
    assert!(all.iter().all(|time| time.split_once('.').unwrap().1.len() == 6), "{all:?}");
    let list = reply.json();
    assert_eq!((&list["name"], &list["count"]), (&"log".into(), &21.into()));
    let sequences = |list: &Value| -> Vec<u64> {
        list["parts"].as_array().unwrap().iter().map(|part| part["sequence"].as_u64().unwrap()).collect()
    };
    assert_eq!(sequences(&list), [1, 6, 11, 16, 21]);
    assert_eq!(list["parts"][1]["size"], "line 6".len());
    assert_eq!(list["parts"][1]["type"], "text/plain; charset=utf-8");
    let some = server.get(&format!("/parts/log?from={}&to={}", all[3], all[5])).json();
    assert_eq!((sequences(&some), &some["count"], &some["first"]), (vec![4, 5, 6], &21.into(), &list["first"]));
    assert_eq!(sequences(&server.get("/parts?max=1").json()), [21]);
    assert_eq!(sequences(&server.get("/parts?to=5").json()), [] as [u64; 0]);
}

#[test]
fn a_feed_without_a_part_has_an_empty_past() {
    let server = stdin(&[]);
    assert_eq!(server.get("/parts").text(), r#"{"name":"log","first":null,"last":null,"count":0,"parts":[]}"#);
    for path in ["/snapshot?at=-0s", "/snapshot?at=0&step=1", "/recording", "/recording/log?last=30s"] {
        assert_eq!(server.get(path).head.status, 404, "{path}");
    }
    let demo = mxr(["serve", "--demo"]).start();
    assert_eq!(demo.get("/parts").json()["count"], 0, "each viewer has a run of its own");
    assert_eq!(demo.get("/snapshot?at=-0s").head.status, 404);
}

#[test]
fn a_stretch_is_downloaded_as_a_recording() {
    let server = lines(&["--history", "100"], 1..=5);
    let all = times(&server.get("/parts"));
    let reply = download(&server, "/recording/log");
    assert_eq!((reply.head.status, reply.head.get("Transfer-Encoding")), (200, None));
    assert_eq!(bodies(&reply.body), ["line 1", "line 2", "line 3", "line 4", "line 5"]);
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.starts_with("Content-Type: multipart/mixed; boundary=mxr-") && text.find("--mxr-") == Some(100), "{text}");
    assert!(text.contains(&format!("X-Timestamp: {}\r\nX-Sequence: 3\r\nX-Feed: log\r\n\r\nline 3", all[2])), "{text}");
    let disposition = reply.head.want("Content-Disposition");
    let name = disposition.strip_prefix("attachment; filename=\"log-").and_then(|rest| rest.strip_suffix("Z.mxr\""));
    assert!(name.is_some_and(|time| time.len() == "20261129T133400.123".len()), "{disposition}");
    let some = |query: &str| bodies(&download(&server, &format!("/recording/log?{query}")).body);
    assert_eq!(some(&format!("from={}&to={}", all[1], all[3])), ["line 2", "line 3", "line 4"]);
    assert_eq!(some("parts=2"), ["line 4", "line 5"]);
    assert_eq!(some("last=1h").len(), 5);
    assert_eq!(server.get("/recording?to=5").head.status, 404);
}

#[test]
fn all_feeds_are_in_one_recording_in_the_order_of_their_times() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch", "--history", "9"]).arg(folder.file("a.png")).arg(folder.file("b.png")).start();
    for (name, colour) in [("b.png", GREEN), ("a.png", GREEN), ("b.png", RED)] {
        let published =
            || -> u64 { server.state()["feeds"].as_array().unwrap().iter().map(|feed| feed["published"].as_u64().unwrap()).sum() };
        let before = published();
        folder.put(name, png(colour));
        wait_until("it is published", SOON, || published() > before);
    }
    let reply = download(&server, "/recording");
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let feeds: Vec<_> = text.split("X-Feed: ").skip(1).map(|rest| &rest[..5]).collect();
    assert_eq!(feeds, ["a.png", "b.png", "a.png", "b.png"]);
    assert!(reply.head.want("Content-Disposition").contains("filename=\"mxr-2"));
}

#[test]
fn a_new_client_gets_chunks_and_a_head_alone_where_it_asks_for_it() {
    let server = lines(&["--history", "100"], 1..=3);
    let mut connection = Connection::open(&server.host);
    connection.send(format!("GET /recording HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.host));
    let head = connection.head();
    assert_eq!((head.status, head.get("Transfer-Encoding"), head.get("Content-Length")), (200, Some("chunked"), None));
    assert!(connection.rest().ends_with(b"--\r\n\r\n0\r\n\r\n"), "with an end that tells a whole one from one that broke off");
    let mut connection = Connection::open(&server.host);
    connection.send(format!(
        "HEAD /recording HTTP/1.1\r\nHost: {0}\r\n\r\nHEAD /snapshot?at=-0s HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n",
        server.host
    ));
    assert_eq!(connection.head().status, 200);
    let head = connection.head();
    assert_eq!((head.status, head.get("Content-Length")), (200, Some("6")));
    connection.expect_end();
}

#[test]
fn nonsense_is_refused_in_words() {
    let server = lines(&["--history", "10"], 1..=2);
    for path in [
        "/snapshot?at=",
        "/snapshot?at=NaN",
        "/snapshot?at=1e300",
        "/snapshot?at=-5",
        "/snapshot?at=inf",
        "/snapshot?at=yesterday",
        "/snapshot?at=-0s&step=2",
        "/snapshot?at=-0s&step=x",
        "/snapshot/log?at=%00",
        "/parts?from=2&to=1",
        "/parts?max=0",
        "/parts?max=-1",
        "/parts?max=99999999999999999999999",
        "/parts?from=x",
        "/recording?from=-0s&to=-10m",
        "/recording?last=x",
        "/recording?parts=0",
        "/recording/log?to=",
        "/recording?last=-1s",
        "/?action=snapshot&at=x",
        "/api/frame.jpeg?at=x",
    ] {
        let reply = server.get(path);
        assert_eq!(reply.head.status, 400, "{path}: {}", reply.text());
        assert!(reply.text().starts_with("mxr: ") && !reply.text().contains('\0'), "{path}: {:?}", reply.text());
    }
    for path in
        ["/snapshot/no?at=-0s", "/parts/no", "/recording/no", "/parts/..%2f..%2fetc%2fpasswd", "/recording/%2e%2e/x", "/parts/"]
    {
        assert_eq!(server.get(path).head.status, 404, "{path}");
    }
    for path in ["/parts?max=18446744073709551615", "/parts?from=0&to=999999999999999999999999999999", "/parts/%6cog"] {
        assert_eq!(server.get(path).json()["count"], 2, "{path}");
    }
}

#[test]
fn a_name_with_slashes_and_percents_has_a_past() {
    let mut server = mxr(["stdin", "--name", "a/b 100%", "--history", "5"]).stdin(Stdio::piped()).start();
    write_lines(&mut server, 1..=2);
    let path = "a%2Fb%20100%25";
    assert_eq!(server.get(&format!("/parts/{path}")).json()["name"], "a/b 100%");
    assert_eq!(server.get(&format!("/snapshot/{path}?at=-0s")).text(), "line 2");
    let reply = download(&server, &format!("/recording/{path}"));
    assert!(reply.head.want("Content-Disposition").contains("\"a_b_100_-2"), "{:?}", reply.head);
    assert!(String::from_utf8_lossy(&reply.body).contains("X-Feed: a%2Fb%20100%25\r\n"));
}

#[test]
fn other_servers_paths_lead_to_the_past_too() {
    let server = lines(&["--history", "10"], 1..=2);
    let time = &times(&server.get("/parts"))[0];
    for path in
        ["/snapshot", "/snapshot/log", "/?action=snapshot", "/?action=snapshot_0", "/api/frame.jpeg", "/api/frame.jpeg?src=x"]
    {
        let and = if path.contains('?') { '&' } else { '?' };
        assert_eq!(server.get(&format!("{path}{and}at={time}")).text(), "line 1", "{path}");
    }
}

#[test]
fn the_past_is_as_well_guarded_as_the_present() {
    let mut server = stdin(&["--history", "10", "--token", "averysecrettoken"]);
    server.write("line 1\n");
    wait_until("it is there", SOON, || server.get("/snapshot?token=averysecrettoken").head.status == 200);
    let routes = ["/snapshot?at=-0s", "/parts", "/parts/log", "/recording", "/recording/log"];
    for path in routes {
        let and = if path.contains('?') { '&' } else { '?' };
        assert_eq!(server.get(path).head.status, 401, "{path}");
        assert_eq!(server.get(&format!("{path}{and}token=wrongwrongwrongwrong")).head.status, 403, "{path}");
        assert_eq!(download(&server, &format!("{path}{and}token=averysecrettoken")).head.status, 200, "{path}");
    }
    let server = lines(&["--history", "10"], 1..=1);
    for path in routes {
        let mut rebound = Connection::open(&server.host);
        rebound.send(format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
        assert_eq!(rebound.reply("GET").head.status, 403, "{path}");
        let script = server.request("GET", path, &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: empty"]);
        assert_eq!(script.head.status, 403, "{path}");
        let reply = server.request("POST", path, &["Content-Length: 0"]);
        assert_eq!((reply.head.status, reply.head.get("Allow")), (405, Some("GET, HEAD")), "{path}");
    }
    let image = |path| server.request("GET", path, &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"]).head.status;
    assert_eq!([image("/snapshot?at=-0s"), image("/parts"), image("/recording")], [200, 403, 403], "a picture as any other");
}

#[test]
fn a_crowd_that_asks_for_the_past_gets_answers_and_holds_up_no_viewer() {
    let mut server = lines(&["--history", "1000"], 1..=3);
    let mut viewer = server.view("/stream?history=1");
    viewer.part();
    let mut crowd: Vec<_> = (0..400).map(|_| Connection::open(&server.host)).collect();
    for connection in &mut crowd {
        connection.send(format!("GET /snapshot?at=-0s HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.host));
    }
    server.write("line 4\n");
    assert_eq!(viewer.part_where(|part| part.text().contains('4')).text(), "line 4");
    for connection in &mut crowd {
        let reply = connection.reply("GET");
        let is_told = reply.head.status == 503 && reply.head.get("Retry-After") == Some("1");
        assert!(reply.head.status == 200 || is_told, "{:?}", reply.head);
    }
    assert_eq!(server.get("/snapshot?at=-0s").text(), "line 4");
}

#[test]
fn downloads_that_stand_still_are_few_and_then_told_to_come_again() {
    let folder = Folder::new();
    folder.put("a.png", padded_png(RED, 12 << 20, 1));
    let server = mxr(["watch"]).arg(folder.file("a.png")).start();
    wait_until("it is there", SOON, || server.state()["feeds"][0]["published"] == 1);
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let mut slow = server.open_narrowly();
            slow.send(format!("GET /recording HTTP/1.1\r\nHost: {}\r\n\r\n", server.host));
            assert_eq!(slow.head().status, 200);
            slow
        })
        .collect();
    let refused = server.get("/recording");
    assert_eq!((refused.head.status, refused.head.get("Retry-After")), (503, Some("1")), "{}", refused.text());
    assert_eq!(server.get("/snapshot?at=-0s").head.status, 200, "parts are still shown");
    drop(slow);
    wait_until("there is room again", SOON, || server.request("HEAD", "/recording", &[]).head.status == 200);
}

#[test]
fn held_parts_that_a_slow_download_keeps_are_counted_and_let_go() {
    let server = lines(&["--history", "10"], 1..=3);
    let state = || server.state()["history"]["bytes"].as_u64().unwrap();
    let before = state();
    for _ in 0..50 {
        assert_eq!(bodies(&download(&server, "/recording").body).len(), 3);
    }
    assert_eq!(state(), before);
}

/// A recording with these parts: feed, seconds, body.
fn crafted(folder: &Folder, name: &str, parts: &[(&str, f64, &[u8])]) -> std::path::PathBuf {
    let boundary = "mxr-00000000000000000000000000000001";
    let mut bytes = format!("Content-Type: multipart/mixed; boundary={boundary}\r\nX-Recording: mxr 1\r\n").into_bytes();
    for ((feed, time, body), sequence) in parts.iter().zip(1..) {
        let length = body.len();
        bytes.extend_from_slice(
            format!(
                "\r\n--{boundary}\r\nContent-Type: image/png\r\nContent-Length: {length}\r\nX-Timestamp: {time:.6}\r\n\
                 X-Sequence: {sequence}\r\nX-Feed: {feed}\r\nX-Clock: 00000001 {sequence}.000000\r\n\r\n"
            )
            .as_bytes(),
        );
        bytes.extend_from_slice(body);
    }
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    folder.put(name, bytes);
    folder.file(name)
}

#[test]
fn a_recording_reaches_back_beyond_what_is_held() {
    let (folder, records) = (Folder::new(), Folder::new());
    folder.put("a.png", png(RED));
    for to in ["one.mxr", "segments/"] {
        let server = mxr(["watch", "--record"]).arg(records.file(to)).arg(folder.file("a.png")).start();
        for colour in [GREEN, RED, GREEN] {
            let before = server.state()["feeds"][0]["published"].as_u64().unwrap();
            folder.put("a.png", png(colour));
            wait_until("it is published", SOON, || server.state()["feeds"][0]["published"].as_u64().unwrap() > before);
            // A part that was recorded a moment ago, or is about to be.
            assert_eq!(server.get("/snapshot?at=-0s").body, png(colour), "{to}");
        }
        wait_until("all are recorded", SOON, || server.get("/parts").json()["parts"].as_array().unwrap().len() >= 4);
        let list = server.get("/parts");
        let times = times(&list);
        assert_eq!(list.json()["count"], times.len(), "{to}: none counts twice");
        let at = |time: &str, step: &str| server.get(&format!("/snapshot/a.png?at={time}{step}"));
        let old = at(&times[times.len() - 3], "");
        assert_eq!((old.body.clone(), old.head.want("Content-Type")), (png(GREEN), "image/png"), "{to}");
        assert_eq!(old.head.want("X-Timestamp"), times[times.len() - 3]);
        assert_eq!((old.head.want("Cache-Control"), old.head.want("Content-Length")), ("no-store", &*png(GREEN).len().to_string()));
        assert_eq!(at(&times[times.len() - 3], "&step=1").body, png(RED));
        assert_eq!(at(&times[times.len() - 1], "&step=-1").body, png(RED));
        let copy = download(&server, &format!("/recording?from={}", times[times.len() - 2]));
        let text = String::from_utf8_lossy(&copy.body);
        assert_eq!(text.matches("X-Feed: a.png\r\n").count(), 2, "up to now");
        assert_ne!(server.state()["recording"], Value::Bool(false));
        folder.put("a.png", png(RED));
    }
}

#[test]
fn earlier_runs_and_feeds_that_are_gone_have_a_past() {
    let folder = Folder::new();
    for (name, number) in [("one", 1), ("two", 2)] {
        let mut server = mxr(["stdin", "--name", name, "--record"]).arg(folder.file("all.mxr")).stdin(Stdio::piped()).start();
        write_lines(&mut server, number..=number);
        wait_until("it is recorded", SOON, || server.state()["recording"]["parts"] == 1);
        if name == "two" {
            assert_eq!(server.get("/snapshot/one?at=-0s").text(), "line 1");
            assert_eq!(server.get("/parts/one").json()["count"], 1);
            assert_eq!(server.get("/parts").json()["name"], "two", "the first that is served");
            assert_eq!(bodies(&download(&server, "/recording").body), ["line 1", "line 2"]);
            assert_eq!(bodies(&download(&server, "/recording/one").body), ["line 1"]);
            assert_eq!(server.get("/snapshot/three?at=-0s").head.status, 404);
        }
        server.stop().success();
    }
}

#[test]
fn a_download_is_a_recording_that_is_served_again() {
    let server = lines(&["--history", "10"], 1..=4);
    let (folder, times) = (Folder::new(), times(&server.get("/parts")));
    folder.put("copy.mxr", download(&server, "/recording").body);
    let again = mxr(["serve"]).arg(folder.file("copy.mxr")).start();
    for (time, number) in times.iter().zip(1..) {
        let reply = again.get(&format!("/snapshot/log?at={time}"));
        assert_eq!((reply.text(), reply.head.want("X-Sequence")), (format!("line {number}"), &*number.to_string()));
    }
    assert_eq!(again.get("/parts/log").json()["first"], server.get("/parts/log").json()["first"]);
    let (one, two) = (download(&server, "/recording").body, download(&again, "/recording/log?parts=4").body);
    assert_eq!(bodies(&one), bodies(&two));
}

#[test]
fn both_sides_of_a_clock_that_jumped_are_shown() {
    const DAY: f64 = 86_400.0;
    let folder = Folder::new();
    let start = 1_764_000_000.0;
    let times = [60.0, start, start + DAY, start + DAY + 1.0, start + 2.0, start + 3.0];
    let bodies: Vec<String> = (1..=times.len()).map(|number| number.to_string()).collect();
    let parts: Vec<_> = times.iter().zip(&bodies).map(|(time, body)| ("a", *time, body.as_bytes())).collect();
    let server = mxr(["serve"]).arg(crafted(&folder, "a.mxr", &parts)).start();
    let shown = |at: f64| server.get(&format!("/snapshot/a?at={at}")).text();
    let shown = [61.0, start + 1.0, start + 2.5, start + 3.0, start + DAY - 1.0, start + DAY, start + DAY + 0.5].map(shown);
    assert_eq!(shown, ["1", "2", "5", "6", "6", "3", "3"]);
    let list = server.get("/parts/a").json();
    assert_eq!((&list["first"], &list["last"], &list["count"]), (&60.0.into(), &(start + DAY + 1.0).into(), &6.into()));
    let sequences: Vec<_> = list["parts"].as_array().unwrap().iter().map(|part| part["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, [1, 2, 5, 6, 3, 4], "in the order of their times");
    assert!(server.get("/snapshot/a?at=59").text().contains("1970-01-01T00:01:00"));
}

#[test]
fn empty_parts_and_those_with_the_boundary_do_no_harm() {
    let folder = Folder::new();
    let nasty = b"x\r\n--mxr-00000000000000000000000000000001\r\n\r\n--mxr-00000000000000000000000000000001--\r\n";
    let parts: [(&str, f64, &[u8]); 4] = [("a", 1.0, b"first"), ("a", 2.0, b""), ("a", 3.0, nasty), ("a", 4.0, b"last")];
    let server = mxr(["serve"]).arg(crafted(&folder, "a.mxr", &parts)).start();
    for (_, time, body) in parts {
        let reply = server.get(&format!("/snapshot/a?at={time}"));
        assert_eq!((reply.head.status, &*reply.body), (200, body), "{time}");
        assert_eq!(reply.head.want("Content-Length"), body.len().to_string());
    }
    let reply = download(&server, "/recording/a?to=4");
    assert_eq!(bodies(&reply.body), parts.map(|(.., body)| String::from_utf8_lossy(body).into_owned()));
    let sizes: Vec<_> =
        server.get("/parts/a").json()["parts"].as_array().unwrap().iter().map(|part| part["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, parts.map(|(.., body)| body.len() as u64));
}

#[test]
fn segments_that_are_deleted_have_no_past_and_do_no_harm() {
    let folder = Folder::new();
    let starts = [1_764_000_000.0, 1_764_000_060.0, 1_764_000_120.0];
    let names = ["20251124T160000.000Z.mxr", "20251124T160100.000Z.mxr", "20251124T160200.000Z.mxr"];
    for ((name, start), body) in names.iter().zip(starts).zip([b"1", b"2", b"3"]) {
        crafted(&folder, name, &[("a", start, body)]);
    }
    let server = mxr(["serve"]).arg(folder.path()).start();
    let at = |time: f64| server.get(&format!("/snapshot/a?at={time}")).text();
    assert_eq!([at(starts[0]), at(starts[1]), at(starts[2])], ["1", "2", "3"]);
    std::fs::remove_file(folder.file(names[1])).unwrap();
    assert_eq!([at(starts[1]), at(starts[2])], ["1", "3"]);
    assert_eq!(bodies(&download(&server, "/recording/a").body), ["1", "3"]);
}

#[test]
fn lists_and_the_newest_parts_go_by_time_where_what_is_held_is_older_than_what_is_recorded() {
    let folder = Folder::new();
    let mut server = stdin(&["--history", "100", "--segment", "64K", "--record", &folder.file("days/").display().to_string()]);
    for number in 1..=40 {
        server.write(format!("line {number} {}\n", "x".repeat(10_000)));
        wait_until("the line is published", SOON, || server.state()["feeds"][0]["published"] == number);
    }
    let segments = || {
        let names = std::fs::read_dir(folder.file("days")).into_iter().flatten().flatten();
        let mut paths: Vec<_> = names.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    wait_until("all are recorded", SOON, || {
        segments()
            .iter()
            .map(|path| std::fs::read(path).map_or(0, |bytes| bytes.windows(5).filter(|at| at == b"line ").count()))
            .sum::<usize>()
            == 40
    });
    let paths = segments();
    assert!(paths.len() >= 4, "{paths:?}");
    // As --keep does: the lines of these are held and not recorded.
    paths[..paths.len() / 2].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let sequences = |query: &str| -> Vec<u64> {
        let list = server.get(&format!("/parts/log?{query}")).json();
        assert_eq!(list["count"], 40);
        list["parts"].as_array().unwrap().iter().map(|part| part["sequence"].as_u64().unwrap()).collect()
    };
    assert_eq!(sequences("max=4"), [1, 14, 27, 40]);
    assert_eq!(sequences("max=1"), [40]);
    assert_eq!(sequences("max=100"), (1..=40).collect::<Vec<_>>());
    for (path, number) in [("/recording/log?parts=5", 5), ("/recording?parts=3", 3), ("/recording/log?parts=39", 39)] {
        let numbers = bodies(&download(&server, path).body);
        let numbers: Vec<u64> = numbers.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (41 - number..=40).collect::<Vec<_>>(), "{path}");
    }
}

#[test]
fn a_stretch_begins_with_what_each_feed_showed_then() {
    let folder = Folder::new();
    let begin = 1_764_000_000.0;
    let parts: [(&str, f64, &[u8]); 5] = [
        ("plot", 0.0, b"old plot"),
        ("plot", 5.0, b"plot"),
        ("log", 6.0, b"one"),
        ("log", 3600.0, b"two"),
        ("log", 3601.0, b"three"),
    ];
    let path = crafted(&folder, "all.mxr", &parts.map(|(feed, time, body)| (feed, begin + time, body)));
    // Nothing that plays has a part in it: all comes from the recording.
    let server = mxr(["stdin", "--name", "other", "--record"]).arg(&path).stdin(Stdio::piped()).start();
    let of = |query: &str| {
        let reply = download(&server, &format!("/recording{query}"));
        if reply.head.status == 200 { bodies(&reply.body) } else { vec![reply.head.status.to_string()] }
    };
    let second = |second: f64| format!("{}", begin + second);
    assert_eq!(of(&format!("?from={}", second(3600.0))), ["plot", "two", "three"], "of log there is a part of that very time");
    assert_eq!(of(&format!("?from={}&to={}", second(3599.0), second(3600.0))), ["plot", "one", "two"]);
    assert_eq!(of(&format!("/plot?from={}", second(100.0))), ["plot"], "what stands still");
    assert_eq!(of(&format!("?from={}&to={}", second(4.0), second(4.5))), ["old plot"]);
    assert_eq!(of("?last=30s"), ["plot", "three"]);
    assert_eq!(of(&format!("?to={}", second(-1.0))), ["404"]);
    assert_eq!(of(&format!("?from={}&to={}", second(-9.0), second(-1.0))), ["404"], "nothing up to its end");
    // They count as parts of it, and the newest go before.
    assert_eq!(of(&format!("?from={}&parts=3", second(3599.0))), ["one", "two", "three"]);
    assert_eq!(of(&format!("?from={}&parts=1", second(3599.0))), ["three"]);
    assert_eq!(of("?parts=4"), ["plot", "one", "two", "three"]);
    let copy = String::from_utf8(download(&server, &format!("/recording?from={}", second(3600.0))).body).unwrap();
    let (time, shown) = (format!("X-Timestamp: {:.6}\r\n", begin + 5.0), format!("X-Shown: {:.6}\r\n", begin + 3600.0));
    assert!(copy.contains(&time) && copy.matches(&shown).count() == 1, "it keeps its time: {copy}");
    // It is played without the hour in which nothing came.
    folder.put("copy.mxr", copy);
    let played = mxr(["serve", "--once"]).arg(folder.file("copy.mxr")).start();
    let parts = played.view("/streams").parts_to_end();
    assert_eq!(parts.last().map(|part| String::from_utf8_lossy(&part.body).into_owned()).as_deref(), Some("three"));
}

#[test]
fn a_stretch_in_which_nothing_changed_has_what_is_held() {
    let server = lines(&["--history", "10"], 1..=2);
    let last = times(&server.get("/parts")).pop().unwrap();
    let after = format!("{:.6}", last.parse::<f64>().unwrap() + 5.0);
    assert_eq!(bodies(&download(&server, &format!("/recording?from={after}")).body), ["line 2"]);
    assert_eq!(bodies(&download(&server, &format!("/recording/log?from={after}&parts=7")).body), ["line 2"]);
}

#[test]
fn a_long_stretch_is_downloaded_in_little_memory_and_ends_with_its_client() {
    let folder = Folder::new();
    let body = vec![b'x'; 3 << 20];
    let parts: Vec<_> = (0..100).map(|number| ("a", 1_764_000_000.0 + f64::from(number), &*body)).collect();
    let server = mxr(["serve"]).arg(crafted(&folder, "a.mxr", &parts)).start();
    assert_eq!(server.get("/snapshot/a?at=1764000050").body.len(), body.len(), "in pieces as well");
    let before = server.memory_at_most();
    let mut slow = server.open_narrowly();
    slow.send(format!("GET /recording/a HTTP/1.1\r\nHost: {}\r\n\r\n", server.host));
    assert_eq!(slow.head().status, 200);
    let files = server.open_files();
    let mut connection = Connection::open(&server.host);
    connection.send(format!("GET /recording/a HTTP/1.0\r\nHost: {}\r\n\r\n", server.host));
    assert_eq!(connection.head().status, 200);
    let (mut count, mut end) = (0, Vec::new());
    while let Some(bytes) = connection.read_once(SOON).filter(|bytes| !bytes.is_empty()) {
        count += bytes.len();
        end = bytes;
    }
    // The first of it came with the head.
    assert!(count > 298 << 20 && end.ends_with(b"--\r\n"), "{count}");
    let more = server.memory_at_most() - before;
    assert!(more < 40 << 20, "{} MiB more for {} MiB", more >> 20, count >> 20);
    drop(slow);
    wait_until("the file of the slow one is closed", SOON, || server.open_files() < files);
}
