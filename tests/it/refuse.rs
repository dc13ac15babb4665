//! Malformed, foreign and excessive requests are refused, and a connected viewer is not disturbed.

use std::time::{Duration, Instant};

use crate::support::{Connection, GREEN, RED, Watched, noise, png};

#[test]
fn malformed_requests_are_400() {
    let mut watched = Watched::new(&[]);
    for request in [
        "GET /stream HTTP/1.1\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: {host}/path\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET stream HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /stream\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: {host}\r\nBad Header: 1\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: {host}\r\nContent-Length: a\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ] {
        assert_eq!(watched.answer(request), 400, "{request:?}");
    }
    watched.expect_undisturbed();
}

#[test]
fn connect_is_refused() {
    let mut watched = Watched::new(&[]);
    for request in
        ["CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n"]
    {
        let status = watched.answer(request);
        assert!((400..500).contains(&status), "{status}");
    }
    watched.expect_undisturbed();
}

#[test]
fn a_foreign_host_is_refused() {
    let mut watched = Watched::new(&[]);
    let port = watched.server.port();
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80"] {
        for path in ["/stream", "/snapshot", "/view", "/state", "/"] {
            let status = watched.answer(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert!([400, 403, 421].contains(&status), "{status} for {host}{path}");
        }
    }
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"] {
        for host in [host.to_owned(), format!("{host}:{port}"), format!("{host}:1")] {
            let status = watched.answer(&format!("GET /snapshot HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(status, 200, "{host}");
        }
    }
    watched.expect_undisturbed();
}

#[test]
fn an_allowed_host_is_served() {
    let mut watched = Watched::new(&["--allow-host", "camera.example"]);
    for (host, expected) in [("camera.example", true), ("Camera.Example:8080", true), ("evil.example", false)] {
        let status = watched.answer(&format!("GET /snapshot HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(status == 200, expected, "{status} for {host}");
    }
    watched.expect_undisturbed();
}

#[test]
fn huge_headers_are_refused() {
    let mut watched = Watched::new(&[]);
    let long = "x".repeat(30_000);
    let many = "X-Many: 1\r\n".repeat(300);
    for request in [
        format!("GET /stream HTTP/1.1\r\nHost: {{host}}\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /stream?{long} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"),
        format!("GET /stream HTTP/1.1\r\nHost: {{host}}\r\n{many}\r\n"),
    ] {
        let status = watched.answer(&request);
        assert!([400, 414, 431].contains(&status), "{status} for {} bytes", request.len());
    }
    watched.expect_undisturbed();
}

#[test]
fn a_body_is_not_waited_for() {
    let mut watched = Watched::new(&[]);
    let start = Instant::now();
    let request = "POST /stream HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000000\r\n\r\nbegin";
    assert_eq!(watched.answer(request), 405);
    assert!(start.elapsed() < Duration::from_secs(1));
    watched.expect_undisturbed();
}

#[test]
fn a_silent_connection_is_closed() {
    let mut watched = Watched::new(&[]);
    let start = Instant::now();
    let mut silent = Connection::open(&watched.server.host);
    let mut slow = Connection::open(&watched.server.host);
    slow.send("GET /stream HTTP/1.1\r\nHost: ");
    for connection in [&mut silent, &mut slow] {
        let left = Duration::from_secs(20).saturating_sub(start.elapsed());
        // A reply such as 408 may come first.
        while !connection.read_once(left).expect("closed within 20 seconds").is_empty() {}
    }
    watched.expect_undisturbed();
}

#[test]
fn many_clients_that_connect_and_leave_cost_nothing() {
    let mut watched = Watched::new(&[]);
    for round in 0..200 {
        let mut connection = Connection::open(&watched.server.host);
        match round % 4 {
            0 => {}
            1 => connection.send("GET /str"),
            2 => connection.send("GET /snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            _ => connection.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\nGET /str"),
        }
    }
    watched.server.wait_for_viewers(1);
    watched.expect_undisturbed();
}

#[test]
fn a_viewer_over_the_limit_is_told_to_retry() {
    let mut watched = Watched::new(&["--max-viewers", "2"]);
    let mut second = watched.server.view("/stream");
    assert_eq!(second.part().body, png(RED));
    let third = watched.server.get("/stream");
    assert_eq!(third.head.status, 503);
    assert!(third.head.want("Retry-After").parse::<u32>().expect("seconds") > 0);
    assert_eq!(watched.server.get("/snapshot").head.status, 200, "a snapshot is no viewer");
    drop(second);
    watched.server.wait_for_viewers(1);
    assert_eq!(watched.server.view("/stream").part().body, png(RED));
    watched.expect_undisturbed();
}

#[test]
fn a_stalled_viewer_is_disconnected_in_time() {
    let mut watched = Watched::new(&["--stall-timeout", "1"]);
    let _stalled = watched.server.view_narrowly("/stream");
    watched.server.wait_for_viewers(2);
    let start = Instant::now();
    let mut seed = 0;
    while watched.server.viewers().len() > 1 {
        assert!(start.elapsed() < Duration::from_secs(8), "still there: {}", watched.server.state());
        seed += 1;
        let picture = noise(200_000, seed);
        watched.folder.put("a.png", &picture);
        assert_eq!(watched.part().body, picture);
    }
    watched.folder.put("a.png", png(GREEN));
    assert_eq!(watched.part().body, png(GREEN));
}

#[test]
fn a_script_of_another_origin_may_read_only_where_allowed() {
    let mut watched = Watched::new(&["--allow-origin", "http://printer.example"]);
    let cors = |origin: &str| {
        let reply = watched.server.request("GET", "/snapshot", &[&format!("Origin: {origin}")]);
        reply.head.get("Access-Control-Allow-Origin").map(str::to_owned)
    };
    assert_eq!(cors("http://printer.example").as_deref(), Some("http://printer.example"));
    assert_eq!(cors("http://evil.example"), None);
    let viewer = watched.server.view_with("/stream", &["Origin: http://printer.example"]);
    assert_eq!(viewer.head.want("Access-Control-Allow-Origin"), "http://printer.example");
    watched.expect_undisturbed();
}

#[test]
fn a_refused_connection_is_not_held_open() {
    let mut watched = Watched::new(&[]);
    let mut foreign = Connection::open(&watched.server.host);
    foreign.send("GET /stream HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    foreign.reply("GET");
    foreign.expect_end();
    let mut other = Connection::open(&watched.server.host);
    other.send("nonsense\r\n\r\n");
    assert_eq!(other.reply("GET").head.status, 400);
    other.expect_end();
    watched.expect_undisturbed();
}
