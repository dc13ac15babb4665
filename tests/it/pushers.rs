//! Pushers that are hostile or unlucky: none of them holds memory without a bound, leaves anything behind, or harms another one.

use std::thread;

use rustix::process::Signal;
use serde_json::json;

use crate::{
    hub::{begin, chunk, feed, hub, push},
    support::{A_WHILE, Connection, Folder, GREEN, RED, SOON, Server, mxr, png, wait_until},
};

const CHUNKED: &str = "Transfer-Encoding: chunked";
const MULTIPART: &str = "Content-Type: multipart/x-mixed-replace; boundary=B";

#[test]
fn parts_that_are_not_whole_are_bounded_in_memory_together_and_a_small_one_still_comes() {
    let server = hub(&[]);
    let head = |feed: &str| format!("--B\r\n{feed}Content-Type: image/jpeg\r\nContent-Length: 60000000\r\n\r\n").into_bytes();
    let bytes = vec![b'x'; 1 << 20];
    let stalled: Vec<Connection> = (0..24)
        .map(|number| {
            let named = head(&format!("X-Feed: c{number}\r\n"));
            let (path, lines, first) = match number % 3 {
                0 => (format!("/stream/a{number}"), &[CHUNKED, MULTIPART][..], head("")),
                1 => (format!("/snapshot/b{number}"), &[CHUNKED][..], vec![b'x']),
                _ => ("/streams".to_owned(), &[CHUNKED, MULTIPART][..], named),
            };
            let mut pusher = begin(&server, "POST", &path, lines);
            chunk(&mut pusher, &first);
            (0..20).for_each(|_| chunk(&mut pusher, &bytes));
            pusher
        })
        .collect();
    // 480 MiB would be held.
    let memory = server.memory_at_most() >> 20;
    assert!(memory < 400, "{memory} MiB");
    let mut last = begin(&server, "POST", "/snapshot/more", &[CHUNKED]);
    (0..20).for_each(|_| chunk(&mut last, &bytes));
    let refused = last.reply("POST");
    assert_eq!(refused.head.status, 503);
    assert!(refused.text().contains("too many large parts"), "{}", refused.text());
    assert_eq!(push(&server, "PUT", "/snapshot/small", &[], &png(RED)).head.status, 201);
    drop(stalled);
    wait_until("there is room again", SOON, || {
        let large = [png(RED), bytes.clone()].concat();
        push(&server, "PUT", "/snapshot/large", &["Content-Type: image/png"], &large).head.status < 300
    });
}

#[test]
fn a_feed_that_is_deleted_while_others_push_it_leaves_nothing_behind() {
    let server = hub(&["--threads", "2"]);
    thread::scope(|scope| {
        for number in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for _ in 0..150 {
                    match number {
                        0 => _ = server.request("DELETE", "/stream/a", &[]),
                        _ => _ = push(server, "PUT", "/snapshot/a", &[], &png(RED)),
                    }
                }
            });
        }
    });
    push(&server, "PUT", "/snapshot/a", &[], &png(GREEN));
    assert_eq!(server.get("/snapshot/a").body, png(GREEN));
    assert_eq!(server.request("DELETE", "/stream/a", &[]).head.status, 204);
    assert_eq!(server.state()["feeds"], json!([]));
}

#[test]
fn pushers_are_told_when_the_hub_ends() {
    let server = hub(&[]);
    let mut lines = begin(&server, "POST", "/stream/log", &[CHUNKED, "Content-Type: text/plain"]);
    chunk(&mut lines, b"one\n");
    let mut part = begin(&server, "PUT", "/snapshot/a", &["Content-Length: 100"]);
    part.send("half");
    wait_until("the line is there", SOON, || feed(&server, "log").is_some_and(|feed| feed["published"] == 1));
    server.signal(Signal::TERM);
    for mut pusher in [lines, part] {
        let reply = pusher.reply("POST");
        assert_eq!((reply.head.status, reply.text().as_str()), (503, "mxr: the hub is about to end\n"));
    }
    server.finish().success();
}

/// The time of the newest part.
fn time(server: &Server, name: &str) -> f64 {
    feed(server, name).unwrap()["newest"]["timestamp"].as_f64().unwrap()
}

#[test]
fn the_time_of_a_part_is_believed_within_a_day_whatever_its_number_is() {
    let server = hub(&[]);
    push(&server, "PUT", "/snapshot/now", &[], &png(RED));
    let now = time(&server, "now");
    let put = |told: f64| {
        let lines = [&format!("X-Timestamp: {told}") as &str, "X-Sequence: 7"];
        assert!(push(&server, "PUT", "/snapshot/a", &lines, &png(RED)).head.status < 300);
        let time = time(&server, "a");
        server.request("DELETE", "/stream/a", &[]);
        time
    };
    assert!((put(now - 3600.0) - (now - 3600.0)).abs() < 0.001);
    for far in [1.0, now + 100_000.0, 1e300, -5.0, f64::NAN] {
        assert!((put(far) - now).abs() < 60.0, "{far}");
    }
}

/// A body with one part of this feed.
fn named(lines: &[&str], body: &[u8]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("--B\r\n{lines}Content-Type: image/png\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body, b"\r\n--B--\r\n"].concat()
}

#[test]
fn a_feed_that_would_go_in_a_circle_is_taken_from_nobody() {
    let server = hub(&[]);
    let own = server.state()["process"].as_str().unwrap().to_owned();
    let mut pusher = begin(&server, "POST", "/stream/log", &[CHUNKED, "Content-Type: text/plain"]);
    chunk(&mut pusher, b"one\n");
    wait_until("the line is there", SOON, || feed(&server, "log").is_some_and(|feed| feed["published"] == 1));
    let circle = named(&["X-Feed: log", &format!("X-Feed-Via: 1.1 mxr-a, 1.1 {own}")], &png(RED));
    assert_eq!(push(&server, "POST", "/streams", &[MULTIPART], &circle).head.status, 508);
    pusher.expect_silence(A_WHILE);
    chunk(&mut pusher, b"two\n");
    wait_until("it goes on", SOON, || feed(&server, "log").unwrap()["published"] == 2);
}

#[test]
fn two_spellings_of_a_name_are_one_feed() {
    let server = hub(&[]);
    let part = |name: &str, body: &[u8]| {
        let lines = format!("X-Feed: {name}\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n", body.len());
        [lines.as_bytes(), body, b"\r\n--B\r\n"].concat()
    };
    let body = [b"--B\r\n".to_vec(), part("a%20b", &png(RED)), part("%61%20b", &png(GREEN))].concat();
    assert_eq!(push(&server, "POST", "/streams", &[MULTIPART], &body).head.status, 201);
    assert_eq!(feed(&server, "a b").unwrap()["published"], 2);
}

#[test]
fn the_way_of_a_feed_is_that_of_its_newest_pusher() {
    let server = hub(&[]);
    let body = named(&["X-Feed: a", "X-Feed-Via: 1.1 mxr-there"], &png(RED));
    assert_eq!(push(&server, "POST", "/streams", &[MULTIPART], &body).head.status, 201);
    assert_eq!(feed(&server, "a").unwrap()["via"], json!(["mxr-there"]));
    assert_eq!(push(&server, "PUT", "/snapshot/a", &[], &png(GREEN)).head.status, 204);
    assert_eq!(feed(&server, "a").unwrap()["via"], json!(null), "a relay there may read it");
}

#[test]
fn a_type_that_no_reader_takes_is_none() {
    let server = hub(&[]);
    let long = format!("Content-Type: text/{}", "a".repeat(20_000));
    assert_eq!(push(&server, "PUT", "/snapshot/a", &[&long], &png(RED)).head.status, 201);
    assert_eq!(server.view("/stream/a").part().media(), "image/png");
}

#[test]
fn a_length_of_many_spaces_is_a_length() {
    let server = hub(&[]);
    let text = "GET /# HTTP/1.7\r\n1234";
    let length = format!("Content-Length:{}{}", " ".repeat(100), text.len());
    let mut pusher = begin(&server, "PUT", "/snapshot/a.txt", &[&length]);
    pusher.send(text);
    assert_eq!(pusher.reply("PUT").head.status, 201);
    assert_eq!(server.get("/snapshot/a.txt").text(), text);
}

#[test]
fn a_line_of_the_token_file_that_means_something_else_is_an_error() {
    let folder = Folder::new();
    for line in ["right-token-0123456789 lab/* den/*", "right-token-0123456789 # for all", "old-token-0\rright-token-0 lab/*"] {
        folder.put("tokens", format!("{line}\n"));
        let failed = mxr(["hub", "--push-token-file"]).arg(folder.file("tokens")).run();
        failed.failure().stderr("cannot use line 1 of --push-token-file").no_stderr("token-0");
    }
    folder.put("tokens", "\u{feff}right-token-0123456789\tlab/*\r\nright-token-0123456789 den/?*\r\n");
    let server = mxr(["hub", "--push-token-file"]).arg(folder.file("tokens")).start();
    for (name, status) in [("lab/a", 201), ("den/b%20c", 201), ("other", 403)] {
        let path = format!("/snapshot/{name}?token=right-token-0123456789");
        assert_eq!(push(&server, "PUT", &path, &[], &png(RED)).head.status, status, "{name}");
    }
}
