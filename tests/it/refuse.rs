//! Malformed, foreign and excessive requests are refused, and a connected viewer is not disturbed.

use std::time::{Duration, Instant};

use crate::support::{Connection, GREEN, RED, SOON, Server, Watched, busy, mxr, noise, png, wait_until};

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
    let long = "x".repeat(40_000);
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
fn cookies_of_other_ports_up_to_32_kib_are_taken() {
    let mut watched = Watched::new(&[]);
    for length in [4000, 8000, 8140, 8200, 16_000, 32_000] {
        let cookies = format!("Cookie: {}", "a".repeat(length));
        for path in ["/view", "/snapshot", "/state"] {
            assert_eq!(watched.server.request("GET", path, &[&cookies]).head.status, 200, "{path} with {length} bytes");
        }
        assert_eq!(watched.server.view_with("/stream", &[&cookies]).part().body, png(RED), "{length} bytes");
    }
    let many: Vec<_> = (0..240).map(|number| format!("X-{number}: 1")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(watched.server.request("GET", "/snapshot", &many).head.status, 200, "240 lines");
    watched.expect_undisturbed();
}

#[test]
fn a_head_that_is_too_long_is_refused_with_a_sentence_and_logged() {
    let mut watched = Watched::new(&[]);
    let cookies = format!("Cookie: {}", "a".repeat(40_000));
    let reply = watched.server.request("GET", "/view", &[&cookies]);
    assert_eq!((reply.head.status, reply.head.want("Connection")), (431, "close"));
    assert!(reply.text().contains("more than 32 KiB") && reply.text().contains("cookies"), "{}", reply.text());
    wait_until("it is logged", SOON, || watched.server.stderr().contains("head of a request was too long"));
    (0..50).for_each(|_| assert_eq!(watched.server.request("GET", "/view", &[&cookies]).head.status, 431));
    watched.server.expect_logs("too long", 1);
    let many: Vec<_> = (0..300).map(|number| format!("X-{number}: 1")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let reply = watched.server.request("GET", "/snapshot", &many);
    assert!(reply.head.status == 431 && reply.text().contains("more than 256 lines"), "{}", reply.text());
    assert!(watched.server.get("/metrics").text().contains("mxr_http_requests_total{code=\"431\"} 52"));
    watched.expect_undisturbed();
}

#[test]
fn a_head_that_is_refused_does_not_cost_the_replies_before_it() {
    let mut watched = Watched::new(&[]);
    let good = format!("GET /snapshot HTTP/1.1\r\nHost: {}\r\n", watched.server.host);
    for (bad, status) in [(format!("{good}Cookie: {}", "a".repeat(40_000)), 431), ("GET /# HTTP/1.1\r\n".to_owned(), 400)] {
        let mut connection = Connection::open(&watched.server.host);
        connection.send(format!("{good}\r\n{good}\r\n{bad}"));
        for expected in [200, 200, status] {
            let reply = connection.reply("GET");
            assert_eq!(reply.head.status, expected);
            assert!(expected == 200 || reply.text().starts_with("mxr: "), "{}", reply.text());
        }
        connection.expect_end();
    }
    // What follows the last request is not one.
    let mut connection = Connection::open(&watched.server.host);
    connection.send(format!("{good}Connection: close\r\n\r\nGET /# HTTP/1.1\r\n"));
    assert_eq!(connection.reply("GET").head.status, 200);
    connection.expect_end();
    watched.expect_undisturbed();
}

#[test]
fn a_crowd_with_long_heads_costs_little_memory_and_keeps_nobody_out() {
    busy();
    let mut watched = Watched::new(&[]);
    let begin = format!("GET /snapshot HTTP/1.1\r\nHost: {}\r\nCookie: {}", watched.server.host, "a".repeat(31 << 10));
    let before = watched.server.memory();
    let mut crowd: Vec<_> = (0..900).map(|_| Connection::open(&watched.server.host)).collect();
    crowd.iter_mut().for_each(|connection| connection.send(&begin));
    let evicted = || {
        let text = watched.server.get("/metrics").text();
        let line = text.lines().find(|line| line.starts_with("mxr_errors_total{cause=\"crowded\"}")).expect("a counter").to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap()
    };
    wait_until("those that have been silent longest are evicted", SOON, || evicted() >= 500);
    let kept = watched.server.memory().saturating_sub(before);
    assert!(kept < 48 << 20, "{} MiB", kept >> 20);
    let newest = crowd.last_mut().unwrap();
    newest.send("\r\n\r\n");
    assert_eq!(newest.reply("GET").head.status, 200, "one that goes on is answered");
    watched.expect_undisturbed();
}

#[test]
fn a_foreign_name_is_told_once_in_the_log_with_the_flag_that_lets_it_pass() {
    let mut watched = Watched::new(&[]);
    let ask = |host: &str| {
        watched.server.request("GET", "/snapshot", &[]).head.status == 200 && {
            let mut connection = Connection::open(&watched.server.host);
            connection.send(format!("GET /snapshot HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            connection.reply("GET").head.status == 403
        }
    };
    for host in ["octopi.example", "octopi.example:80", "OctoPi.example."] {
        assert!(ask(host), "{host}");
    }
    let told = || watched.server.stderr().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect::<Vec<_>>();
    wait_until("it is logged", SOON, || !told().is_empty());
    for number in 0..100 {
        assert!(ask(&format!("a{number}.example")));
    }
    wait_until("the end of it is logged", SOON, || told().last().is_some_and(|line| line.contains("not logged any more")));
    let told = told();
    assert!(told[0].contains("octopi.example") && told[0].contains("--allow-host octopi.example"), "{}", told[0]);
    assert_eq!(told.iter().filter(|line| line.contains("octopi")).count(), 1);
    assert!(told.len() < 20, "{} lines", told.len());
    watched.expect_undisturbed();
}

#[test]
fn addresses_of_viewers_are_shown_to_this_machine_and_to_those_who_have_a_secret() {
    let watched = Watched::new(&["--trust-proxy"]);
    let peers = |server: &Server, lines: &[&str]| {
        let viewers = server.request("GET", "/state", lines).json()["viewers"].as_array().unwrap().clone();
        assert_eq!(viewers.len(), 1);
        viewers[0]["peer"].as_str().map(str::to_owned)
    };
    assert!(peers(&watched.server, &[]).is_some());
    for there in ["192.0.2.7", "10.0.0.9:80", "2001:db8::1"] {
        assert_eq!(peers(&watched.server, &[&format!("X-Forwarded-For: {there}")]), None, "{there}");
    }
    assert!(peers(&watched.server, &["X-Forwarded-For: ::ffff:127.0.0.1"]).is_some());
    let secret = &["X-Forwarded-For: 192.0.2.7", "Authorization: Bearer T0ken"];
    let server = mxr(["serve", "--demo", "--trust-proxy", "--token", "T0ken"]).start();
    let mut viewer = server.view_with("/stream", secret);
    viewer.part();
    assert!(peers(&server, secret).is_some());
}

#[test]
fn a_body_is_not_waited_for() {
    let mut watched = Watched::new(&[]);
    let start = Instant::now();
    let request = "POST /stream HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000000\r\n\r\nbegin";
    assert_eq!(watched.answer(request), 405);
    assert!(start.elapsed() < SOON / 2, "less than a body that does not come may take");
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
    for path in ["/snapshot", "/state", "/view", "/nothing", "/stream"] {
        for lines in [&[][..], &["Origin: http://printer.example"], &["Origin: http://evil.example"]] {
            let vary = watched.server.request("HEAD", path, lines).head.want("Vary").to_owned();
            assert!(vary.split(", ").any(|name| name == "Origin"), "{path} with {lines:?}: {vary}");
        }
    }
    let read = watched.server.request("GET", "/snapshot", &["Origin: http://printer.example"]).head;
    for name in ["ETag", "X-Sequence", "X-Timestamp", "X-Dropped"] {
        assert!(read.want("Access-Control-Expose-Headers").split(", ").any(|exposed| exposed == name), "{read:?}");
    }
    let viewer = watched.server.view_with("/stream", &["Origin: http://printer.example"]);
    assert_eq!(viewer.head.want("Access-Control-Allow-Origin"), "http://printer.example");
    watched.expect_undisturbed();
}

#[test]
fn a_browser_that_asks_for_a_script_of_an_allowed_origin_gets_leave_and_no_other_does() {
    let server = mxr(["serve", "--demo", "--allow-origin", "http://o.example", "--token", "T0ken"]).start();
    let ask = |path: &str, lines: &[&str]| server.request("OPTIONS", path, lines).head;
    let method = "Access-Control-Request-Method: GET";
    for path in ["/stream", "/snapshot", "/state"] {
        let asked = "Access-Control-Request-Headers: authorization, x-other";
        let head = ask(path, &["Origin: http://o.example", method, asked, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: empty"]);
        assert_eq!((head.status, head.want("Access-Control-Allow-Origin")), (204, "http://o.example"), "{path}");
        assert_eq!(head.want("Access-Control-Allow-Methods"), "GET, HEAD");
        assert_eq!(head.want("Access-Control-Allow-Headers"), "authorization, x-other");
        assert!(head.want("Vary").contains("Origin") && head.get("Content-Length").is_none(), "{head:?}");
        assert_eq!(ask(path, &["Origin: http://evil.example", method]).status, 403);
        assert_eq!(ask(path, &["Origin: http://o.example"]).status, 405, "no browser's question");
    }
    let mut foreign = Connection::open(&server.host);
    foreign.send(format!("OPTIONS / HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://o.example\r\n{method}\r\n\r\n"));
    assert_eq!(foreign.reply("OPTIONS").head.status, 403);
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
