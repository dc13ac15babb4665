//! The reply of each route.

use std::{
    io::Read,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    A_WHILE, BLUE, Connection, Folder, GREEN, NAVIGATION, PALETTE, RED, Reply, SOON, Server, Viewer, mxr, noise, png, wait_until,
};

/// Two watched pictures, a red one and a green one.
fn two_pictures() -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    folder.put("b.png", png(GREEN));
    let server = mxr(["watch"]).arg(folder.file("a.png")).arg(folder.file("b.png")).start();
    for path in ["/stream/a.png", "/stream/b.png"] {
        server.view(path).part();
    }
    (folder, server)
}

fn one_picture() -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).start();
    server.view("/stream").part();
    (folder, server)
}

#[track_caller]
fn expect_page(reply: &Reply) {
    assert_eq!(reply.head.status, 200);
    assert!(reply.head.want("Content-Type").starts_with("text/html"), "{:?}", reply.head);
    assert!(reply.text().trim_start().to_lowercase().starts_with("<!doctype html>"));
}

#[test]
fn the_root_is_the_page_for_a_navigating_browser() {
    let (_folder, server) = one_picture();
    expect_page(&server.request("GET", "/", &[NAVIGATION]));
    expect_page(&server.request("GET", "/", &["Accept: */*", "Sec-Fetch-Dest: document"]));
    expect_page(&server.request("GET", "/?bookmark=1", &[NAVIGATION]));
}

#[test]
fn the_root_is_the_feed_for_everything_else() {
    let (_folder, server) = one_picture();
    for lines in [
        &[][..],
        &["Accept: */*"],
        &["Accept: image/avif,image/webp,*/*"],
        &["Accept: text/html,*/*", "Sec-Fetch-Dest: image"],
        &["Accept: text/html,*/*", "Sec-Fetch-Dest: empty"],
        &["User-Agent: VLC/3.0.18 LibVLC/3.0.18", "Icy-MetaData: 1", "Range: bytes=0-"],
    ] {
        assert_eq!(server.view_with("/", lines).part().body, png(RED), "{lines:?}");
    }
}

#[test]
fn the_feed_is_the_feed_for_a_navigating_browser_too() {
    let (_folder, server) = one_picture();
    assert_eq!(server.view_with("/stream", &[NAVIGATION, "Sec-Fetch-Dest: document"]).part().body, png(RED));
}

#[test]
fn the_page_is_the_page_for_everything() {
    let (_folder, server) = one_picture();
    expect_page(&server.get("/view"));
    expect_page(&server.request("GET", "/view", &["Accept: image/*", "Sec-Fetch-Dest: image"]));
}

#[test]
fn the_page_is_compressed_for_a_browser_that_accepts_gzip() {
    let server = mxr(["serve", "--demo"]).start();
    let plain = server.get("/view");
    assert_eq!(plain.head.get("Content-Encoding"), None);
    for accepted in ["gzip", "deflate, GZIP;q=0.5, br", "gzip, deflate, br, zstd"] {
        let reply = server.request("GET", "/view", &[&format!("Accept-Encoding: {accepted}")]);
        assert_eq!(reply.head.want("Content-Encoding"), "gzip", "{accepted}");
        assert!(reply.head.want("Vary").contains("Accept-Encoding"), "{:?}", reply.head);
        let mut page = Vec::new();
        flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut page).unwrap();
        assert_eq!(page, plain.body, "{accepted}");
    }
    for refused in ["", "br", "gzip;q=0, br", "identity"] {
        let reply = server.request("GET", "/view", &[&format!("Accept-Encoding: {refused}")]);
        assert_eq!((reply.head.get("Content-Encoding"), reply.body), (None, plain.body.clone()), "{refused}");
    }
    assert!(plain.head.want("Vary").contains("Accept-Encoding"), "{:?}", plain.head);
}

#[test]
fn the_page_loads_nothing_else() {
    let (_folder, server) = one_picture();
    let page = server.get("/view").text();
    for foreign in ["src=\"http", "src='http", "href=\"http", "url(http", "src=\"//", "import "] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn feeds_are_selected_by_name() {
    let (_folder, server) = two_pictures();
    assert_eq!(server.view("/stream/a.png").part().body, png(RED));
    assert_eq!(server.view("/stream/b.png").part().body, png(GREEN));
    assert_eq!(server.get("/snapshot/a.png").body, png(RED));
    assert_eq!(server.get("/snapshot/b.png").body, png(GREEN));
    assert_eq!(server.view("/stream").part().body, png(RED), "the first where no name is given");
    for path in ["/stream/c.png", "/snapshot/c.png", "/stream/a.png/more", "/stream/../a.png"] {
        assert_eq!(server.get(path).head.status, 404, "{path}");
    }
}

#[test]
fn all_feeds_share_one_connection_under_their_names() {
    let (folder, server) = two_pictures();
    let mut viewer = server.view("/streams");
    let mut first = [viewer.part(), viewer.part()].map(|part| (part.header("X-Feed").to_owned(), part.body));
    first.sort();
    assert_eq!(first, [("a.png".to_owned(), png(RED)), ("b.png".to_owned(), png(GREEN))]);
    for (name, colour) in [("b.png", RED), ("a.png", GREEN)] {
        folder.put(name, png(colour));
        let part = viewer.part();
        assert_eq!((part.header("X-Feed"), part.body.clone()), (name, png(colour)));
    }
}

#[test]
fn the_urls_of_other_camera_servers_work() {
    let (_folder, server) = two_pictures();
    for path in ["/?action=stream", "/?action=stream_0", "/stream.mjpg", "/api/stream.mjpeg"] {
        assert_eq!(server.view_with(path, &[NAVIGATION]).part().body, png(RED), "{path}");
    }
    assert_eq!(server.view("/?action=stream_1").part().body, png(GREEN));
    for path in [
        "/?action=snapshot",
        "/?action=snapshot_0",
        "/api/frame.jpeg",
        "/?action=snapshot&bypassCache=17",
        "/?action=snapshot_0?ts=123",
        "/?action=snapshot?_=1",
        "/?action=snapshot/?x",
        "/?x=1&action=snapshot%3Fy",
    ] {
        assert_eq!(server.request("GET", path, &[NAVIGATION]).body, png(RED), "{path}");
    }
    assert_eq!(server.get("/?action=snapshot_1").body, png(GREEN));
    assert_eq!(server.get("/?action=snapshot_2").head.status, 404);
}

#[test]
fn a_snapshot_is_the_newest_part_as_it_is() {
    let (folder, server) = one_picture();
    let reply = server.get("/snapshot");
    let head = &reply.head;
    assert_eq!((head.status, &reply.body), (200, &png(RED)));
    assert_eq!(head.want("Content-Type"), "image/png");
    assert_eq!(head.want("Content-Length"), png(RED).len().to_string());
    assert_eq!(head.want("X-Sequence"), "1");
    assert_eq!(head.get("Age"), None, "a cache would take the part for stale, and a proxy subtract it");
    assert!(head.want("Last-Modified").ends_with(" GMT"));
    let etag = head.want("ETag").to_owned();
    folder.put("a.png", png(GREEN));
    wait_until("the new picture is there", SOON, || server.get("/snapshot").body == png(GREEN));
    assert_ne!(server.get("/snapshot").head.want("ETag"), etag);
}

#[test]
fn a_date_that_two_parts_share_does_not_pass_the_older_for_the_newer() {
    let (folder, server) = one_picture();
    wait_until("two parts are of one second", SOON, || {
        let before = server.get("/snapshot").head;
        folder.put("a.png", noise(1000, before.want("X-Sequence").parse().expect("a number")));
        let after = format!("/snapshot?after={}", before.want("X-Sequence"));
        let newer = server.get(&after).head;
        let since = format!("If-Modified-Since: {}", before.want("Last-Modified"));
        assert_eq!(server.request("GET", "/snapshot", &[&since]).head.status, 200);
        newer.want("Last-Modified") == before.want("Last-Modified")
    });
}

#[test]
fn a_snapshot_that_is_known_is_not_sent_again() {
    let (folder, server) = one_picture();
    let head = server.get("/snapshot").head;
    let known = format!("If-None-Match: \"other\", {}", head.want("ETag"));
    let since = format!("If-Modified-Since: {}", head.want("Last-Modified"));
    for lines in [&[known.as_str()][..], &[&since]] {
        let reply = server.request("GET", "/snapshot", lines);
        assert_eq!((reply.head.status, reply.body.len()), (304, 0), "{lines:?}");
        assert_eq!(reply.head.want("ETag"), head.want("ETag"));
    }
    assert_eq!(server.request("GET", "/snapshot", &["If-None-Match: \"other\""]).head.status, 200);
    folder.put("a.png", png(GREEN));
    server.view("/stream").part_where(|part| part.body == png(GREEN));
    assert_eq!(server.request("GET", "/snapshot", &[&known]).body, png(GREEN));
}

#[test]
fn conditions_over_several_lines_are_one_list() {
    let (_folder, server) = one_picture();
    let etag = server.get("/snapshot").head.want("ETag").to_owned();
    let (known, weak) = (format!("If-None-Match: {etag}"), format!("If-None-Match: \"b\", W/{etag}"));
    for lines in [&["If-None-Match: \"a\"", known.as_str()][..], &[&known, "If-None-Match: \"a\""], &[&weak], &["If-None-Match: *"]]
    {
        let head = server.request("GET", "/snapshot", lines).head;
        assert_eq!(head.status, 304, "{lines:?}");
        assert_eq!(head.want("ETag"), etag);
        assert!(head.want("Vary").contains("Sec-Fetch-Dest"), "{head:?}");
    }
    let accepts = ["Accept: text/html;q=0", "Accept: multipart/mixed;q=0.5", "Accept: multipart/x-mixed-replace;q=0.1"];
    let head = server.request("HEAD", "/", &accepts).head;
    assert!(head.want("Content-Type").starts_with("multipart/mixed"), "{head:?}");
}

#[test]
fn a_snapshot_is_412_where_another_one_is_wanted() {
    let (_folder, server) = one_picture();
    let head = server.get("/snapshot").head;
    let (etag, date) = (head.want("ETag"), head.want("Last-Modified"));
    let status = |line: String| server.request("GET", "/snapshot", &[&line]).head.status;
    for (line, expected) in [
        (format!("If-Match: {etag}"), 200),
        (format!("If-Match: \"other\", {etag}"), 200),
        ("If-Match: *".to_owned(), 200),
        ("If-Match: \"other\"".to_owned(), 412),
        (format!("If-Match: W/{etag}"), 412),
        (format!("If-Unmodified-Since: {date}"), 200),
        ("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), 412),
        ("If-Unmodified-Since: yesterday".to_owned(), 200),
    ] {
        assert_eq!(status(line.clone()), expected, "{line}");
    }
}

#[test]
fn a_date_passes_for_a_part_only_where_it_is_the_part_s_own() {
    let (_folder, server) = one_picture();
    let own = server.get("/snapshot").head.want("Last-Modified").to_owned();
    let status = |date: &str| server.request("GET", "/snapshot", &[&format!("If-Modified-Since: {date}")]).head.status;
    assert_eq!(status(&own), 304);
    // As after a step of the clock, when the newest part is older than the one that the client has.
    for other in ["Fri, 01 Jan 2100 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "yesterday"] {
        assert_eq!(status(other), 200, "{other}");
    }
}

#[test]
fn a_snapshot_after_a_sequence_waits_for_a_newer_one() {
    let (folder, server) = one_picture();
    assert_eq!(server.get("/snapshot?after=0").body, png(RED), "there already");
    let mut connection = Connection::open(&server.host);
    connection.send(format!("GET /snapshot?after=1 HTTP/1.1\r\nHost: {}\r\n\r\n", server.host));
    connection.expect_silence(A_WHILE);
    folder.put("a.png", png(GREEN));
    let reply = connection.reply("GET");
    assert_eq!((reply.head.status, reply.body), (200, png(GREEN)));
    assert_eq!(reply.head.want("X-Sequence"), "2");
}

#[test]
fn a_snapshot_before_the_first_part_tells_when_to_retry() {
    let folder = Folder::new();
    let server = mxr(["watch"]).arg(folder.file("later.png")).start();
    let reply = server.get("/snapshot");
    assert_eq!(reply.head.status, 503);
    assert!(reply.head.want("Retry-After").parse::<u32>().expect("seconds") > 0);
}

#[test]
fn head_is_get_without_the_body() {
    let (_folder, server) = one_picture();
    for path in ["/snapshot", "/view", "/state", "/healthz"] {
        let (get, head) = (server.get(path).head, server.request("HEAD", path, &[]).head);
        assert_eq!(head.status, 200, "{path}");
        for field in ["Content-Type", "ETag"] {
            assert_eq!(get.get(field), head.get(field), "{path}");
        }
        assert!(head.want("Content-Length").parse::<usize>().unwrap() > 0, "{path}");
    }
}

#[test]
fn head_of_a_feed_ends_after_the_head() {
    let (_folder, server) = one_picture();
    for path in ["/", "/stream"] {
        let mut connection = Connection::open(&server.host);
        connection.send(format!("HEAD {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.host));
        let head = connection.head();
        assert!(head.want("Content-Type").starts_with("multipart/x-mixed-replace; boundary="), "{head:?}");
        connection.finish();
        connection.expect_end();
    }
    assert_eq!(server.viewers().len(), 0);
}

#[test]
fn unknown_paths_are_404() {
    let (_folder, server) = one_picture();
    for path in ["/nothing", "/stream.png", "/%2e%2e/etc/passwd", "//stream//x", "/metrics/x", "/view/x"] {
        assert_eq!(server.get(path).head.status, 404, "{path}");
    }
}

#[test]
fn other_methods_are_405_with_the_allowed_ones() {
    let (_folder, server) = one_picture();
    for (method, path) in [("POST", "/"), ("PUT", "/stream"), ("DELETE", "/snapshot"), ("OPTIONS", "/view"), ("PATCH", "/healthz")]
    {
        let reply = server.request(method, path, &["Content-Length: 0"]);
        assert_eq!(reply.head.status, 405, "{method} {path}");
        let mut allowed: Vec<_> = reply.head.want("Allow").split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD"]);
    }
}

#[test]
fn unknown_query_keys_are_ignored() {
    let (_folder, server) = one_picture();
    assert_eq!(server.get("/snapshot?bypassCache=1700000000&x&=&%zz").body, png(RED));
    assert_eq!(server.view("/stream?timestamp=5&x[]=1&&action=none").part().body, png(RED));
}

#[test]
fn the_state_lists_feeds_and_viewers() {
    let (_folder, server) = two_pictures();
    let mut viewer = server.view("/stream/b.png");
    viewer.part();
    server.wait_for_viewers(1);
    let reply = server.get("/state");
    assert!(reply.head.want("Content-Type").starts_with("application/json"));
    let state = reply.json();
    assert_eq!(state["version"], env!("CARGO_PKG_VERSION"));
    assert!(state["uptime"].as_f64().expect("seconds") >= 0.0);
    let names: Vec<_> = state["feeds"].as_array().unwrap().iter().map(|feed| feed["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.png", "b.png"]);
    let newest = &state["feeds"][1]["newest"];
    assert_eq!(
        (&newest["sequence"], &newest["type"], &newest["bytes"]),
        (&1.into(), &"image/png".into(), &png(GREEN).len().into())
    );
    let viewer = &state["viewers"][0];
    assert_eq!((&viewer["sent"], &viewer["dropped"], &viewer["backlog"]), (&1.into(), &0.into(), &0.into()), "{state}");
}

#[test]
fn health_is_200_while_serving() {
    let (_folder, server) = one_picture();
    assert_eq!(server.get("/healthz").head.status, 200);
}

#[test]
fn finite_replies_share_a_connection() {
    let (_folder, server) = one_picture();
    let mut connection = Connection::open(&server.host);
    for path in ["/healthz", "/snapshot", "/state", "/nothing", "/snapshot"] {
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.host));
        assert_eq!(connection.reply("GET").head.status, if path == "/nothing" { 404 } else { 200 });
    }
}

#[test]
fn an_unknown_path_gets_hints_that_include_the_prefix() {
    for (args, told) in [(&[][..], "try /, /stream, "), (&["--route-prefix", "/cam"], "try /cam/, /cam/stream, ")] {
        let server = mxr(["serve", "--demo"]).args(args).start();
        for path in ["/nowhere", "/cam/nowhere"] {
            let reply = server.get(path);
            assert_eq!(reply.head.status, 404);
            assert!(reply.text().contains(told), "{path}: {}", reply.text());
        }
    }
}

#[test]
fn repeats_do_not_count_as_requested_parts() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0.1"]).start();
    let mut viewer = server.view("/stream?parts=2");
    let sequences = [viewer.part(), viewer.part(), viewer.part()].map(|part| part.sequence());
    assert_eq!(sequences, [1, 1, 1]);
    folder.put("a.png", png(GREEN));
    let rest: Vec<_> = viewer.parts_to_end().iter().map(|part| part.sequence()).filter(|sequence| *sequence > 1).collect();
    assert_eq!(rest, [2], "the second that is new, then the end");
}

#[test]
fn fps_thins_a_feed_for_one_viewer() {
    let folder = Folder::new();
    for (at, colour) in PALETTE.iter().enumerate() {
        folder.put(&format!("{at}.png"), png(*colour));
    }
    let server = mxr(["serve"]).arg(folder.path()).args(["--fps", "50"]).start();
    let count = |path: &str| {
        let mut viewer = server.view(path);
        let (start, mut sequences) = (Instant::now(), Vec::new());
        while start.elapsed() < Duration::from_secs(2) {
            sequences.push(viewer.part().sequence());
        }
        assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
        sequences.len()
    };
    thread::scope(|scope| {
        let thinned = scope.spawn(|| count("/stream?fps=5"));
        let all = count("/stream");
        let thinned = thinned.join().unwrap();
        assert!((7..=12).contains(&thinned), "{thinned} parts in two seconds at fps=5");
        assert!(all > 60, "{all} parts in two seconds at 50 a second");
    });
}

#[test]
fn a_client_that_closes_its_sending_side_is_answered() {
    let (_folder, server) = one_picture();
    for _ in 0..30 {
        for path in ["/healthz", "/snapshot", "/state", "/stream?parts=1"] {
            let mut connection = Connection::open(&server.host);
            connection.send(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", server.host));
            connection.finish();
            let reply = connection.rest();
            let (head, body) = reply.split_at(reply.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4);
            assert!(head.starts_with(b"HTTP/1.") && !body.is_empty(), "{path}: {}", String::from_utf8_lossy(&reply));
        }
    }
}

#[test]
fn a_viewer_that_closes_its_sending_side_gets_its_parts_and_the_close_delimiter() {
    for (path, parts) in [("/stream?parts=3", 3), ("/stream", 1)] {
        let (folder, server) = one_picture();
        let mut connection = Connection::open(&server.host);
        connection.send(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", server.host));
        connection.finish();
        let mut viewer = Viewer::answered(connection);
        let mut last = viewer.part();
        for colour in [GREEN, BLUE].iter().take(parts - 1) {
            folder.put("a.png", png(*colour));
            last = viewer.part();
            assert_eq!(last.body, png(*colour));
        }
        // A delimiter that was out already is followed by the newest part again.
        let rest = viewer.parts_to_end();
        assert!(rest.len() <= usize::from(parts == 1) && rest.iter().all(|part| part.body == last.body), "{path}");
    }
}
