//! `mxr relay` of another mxr: its lines, its times, all its feeds, and no circles.

use std::{process::Stdio, thread, time::Duration};

use rustix::process::Signal;

use crate::support::{
    A_WHILE, Ca, Folder, GREEN, Passes, Proxy, RED, SOON, Server, Upstream, Viewer, free_port, jpeg, multipart, mxr, png,
    wait_until,
};

fn names(server: &Server) -> Vec<String> {
    let state = server.state();
    state["feeds"].as_array().unwrap().iter().map(|feed| feed["name"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn wait_for_names(server: &Server, expected: &[&str]) {
    wait_until(&format!("the feeds are {expected:?}"), SOON * 2, || names(server) == expected);
}

#[test]
fn lines_go_over_two_edges_whose_connections_are_cut_each_once_and_in_order() {
    let mut origin = mxr(["stdin", "--split", "lines"]).stdin(Stdio::piped()).start();
    origin.write("begin\n");
    let first_cut = Proxy::before(&origin.host, Passes::Pieces);
    let edge = mxr(["relay", &format!("{}stream", first_cut.url)]).start();
    let second_cut = Proxy::before(&edge.host, Passes::Pieces);
    let leaf = mxr(["relay", &format!("{}stream", second_cut.url)]).start();
    let mut viewer = leaf.view("/stream");
    assert_eq!(viewer.part().text(), "begin");
    for number in 0..500 {
        origin.write(format!("line {number}\n"));
        if number % 50 == 0 {
            thread::sleep(Duration::from_millis(20));
        }
    }
    let mut last = viewer.part().sequence();
    assert_eq!(last, 2);
    for number in 1..500 {
        // The newest one is repeated while a connection is away.
        let line = viewer.part_where(|part| part.sequence() != last);
        last = line.sequence();
        assert_eq!((line.text(), last), (format!("line {number}"), number + 2));
        assert!(!line.headers.iter().any(|(name, _)| name == "X-Dropped"));
    }
    let cuts = first_cut.asked().len() + second_cut.asked().len();
    assert!(cuts > 10, "{cuts} connections");
    assert!(first_cut.asked()[1].contains("?after=") && first_cut.asked()[1].contains("&run="), "{:?}", first_cut.asked());
    assert_eq!(leaf.state()["feeds"][0]["kind"], "lines");
}

#[test]
fn an_edge_that_rested_goes_on_behind_the_line_that_it_had_last() {
    let mut origin = mxr(["stdin", "--split", "lines"]).stdin(Stdio::piped()).start();
    origin.write("one\n");
    let edge = mxr(["relay", &origin.url("/stream/stdin"), "--linger", "0"]).start();
    assert_eq!(names(&edge), ["stdin"]);
    assert_eq!(edge.view("/stream").part().text(), "one");
    origin.wait_for_viewers(0);
    origin.write("two\nthree\n");
    wait_until("they are there", SOON, || origin.state()["feeds"][0]["published"] == 3);
    let mut viewer = edge.view("/stream?history=9");
    let lines: Vec<_> = (0..3).map(|_| viewer.part().text()).collect();
    assert_eq!(lines, ["one", "two", "three"]);
}

#[test]
fn the_time_of_a_part_is_that_of_its_origin_over_any_number_of_edges() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let origin = mxr(["watch", folder.file("a.png").to_str().unwrap()]).start();
    let edge = mxr(["relay", &origin.url("/")]).start();
    wait_for_names(&edge, &["a.png"]);
    let leaf = mxr(["relay", &edge.url("/stream/a.png")]).start();
    thread::sleep(A_WHILE);
    let part = leaf.view("/stream").part();
    assert_eq!((part.body.clone(), part.timestamp()), (png(RED), origin.view("/stream").part().timestamp()));
    // A camera that sends the time since it was started is not believed.
    let camera = Upstream::serve(|mut asked| {
        asked.begin("multipart/x-mixed-replace; boundary=B");
        let parts =
            String::from_utf8_lossy(&multipart("text/plain", &[b"x"])).replace("\r\n\r\n", "\r\nX-Timestamp: 3600.5\r\n\r\n");
        asked.send(parts);
        asked.hang();
    });
    let relay = mxr(["relay", &camera.url("/video")]).start();
    assert!(relay.view("/stream").part().timestamp() > 1_000_000_000.0);
}

#[test]
fn a_snapshot_of_another_mxr_is_asked_for_when_there_is_a_newer_one() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let origin = mxr(["watch", folder.file("a.png").to_str().unwrap(), "-vv"]).start();
    let relay = mxr(["relay", &origin.url("/snapshot/a.png"), "--every", "50ms"]).start();
    let mut viewer = relay.view("/stream");
    assert_eq!(viewer.part().body, png(RED));
    thread::sleep(A_WHILE);
    folder.put("a.png", png(GREEN));
    assert_eq!(viewer.part_where(|part| part.body != png(RED)).body, png(GREEN));
    assert_eq!(viewer.part_where(|_| true).timestamp(), origin.view("/stream").part().timestamp());
    let asked = origin.stderr().matches("/snapshot/a.png").count();
    assert!(asked <= 5, "{asked} requests: it waits for a newer one");
}

#[test]
fn the_root_of_another_mxr_gives_all_its_feeds_those_that_come_and_go_too() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    folder.put("b.png", png(GREEN));
    folder.put("c.log", "one\ntwo\n");
    let tables = |names: &[&str]| {
        let table = |name: &&str| format!("[feed.\"{name}\"]\nwatch = '{}'\n", name.trim_start_matches("x/"));
        names.iter().map(table).collect::<String>()
    };
    folder.put("mxr.toml", tables(&["a.png", "c.log"]));
    let origin = mxr(["up"]).current_dir(&folder.path()).start();
    let edge = mxr(["relay", &origin.url("/"), "--linger", "0.1"]).start();
    wait_for_names(&edge, &["a.png", "c.log"]);
    let mut viewer = edge.view("/stream/c.log?history=9");
    assert_eq!((viewer.part().text(), viewer.part().text()), ("one".to_owned(), "two".to_owned()), "the lines that it holds");
    assert_eq!(edge.state()["feeds"][1]["kind"], "lines");
    assert_eq!(origin.state()["viewers"].as_array().unwrap().len(), 1, "a feed that nobody watches is not read");
    let mut all = edge.view("/streams");
    folder.put("mxr.toml", tables(&["a.png", "c.log", "x/b.png"]));
    origin.signal(Signal::HUP);
    wait_for_names(&edge, &["a.png", "c.log", "x/b.png"]);
    assert_eq!(all.part_where(|part| part.header("X-Feed") == "x%2Fb.png").body, png(GREEN));
    assert_eq!(edge.get("/snapshot/x%2Fb.png").body, png(GREEN));
    folder.put("mxr.toml", tables(&["c.log", "x/b.png"]));
    origin.signal(Signal::HUP);
    wait_for_names(&edge, &["c.log", "x/b.png"]);
    folder.put("c.log", "one\ntwo\nthree\n");
    assert_eq!(viewer.part_where(|part| part.text() == "three").text(), "three", "the others go on");
}

#[test]
fn a_root_that_is_no_mxr_is_one_feed_and_one_that_is_not_there_yet_is_waited_for() {
    let camera = Upstream::serve(|mut asked| {
        match asked.path() {
            "/" => asked.reply("200 OK", "image/jpeg", jpeg(RED)),
            _ => asked.reply("404 Not Found", "text/html", "no"),
        };
    });
    let relay = mxr(["relay", &camera.url("/")]).start();
    wait_for_names(&relay, &["127.0.0.1"]);
    assert_eq!(relay.get("/snapshot").body, jpeg(RED));
    let port = free_port();
    let edge = mxr(["relay", &format!("http://127.0.0.1:{port}/"), "--name", "far"]).start();
    wait_until("it says so", SOON, || edge.stderr().contains("lost: no connection to"));
    let _origin = mxr(["serve", "--demo"]).start_at(port);
    wait_until("it is found", SOON * 3, || edge.get("/snapshot/far").head.status == 200);
    assert_eq!(names(&edge), ["far"]);
}

#[test]
fn a_feed_without_a_name_is_left_out() {
    let feeds = r#"{"version":"1","feeds":[{"name":"","kind":"lines"},{"name":"a","kind":"lines"}]}"#;
    let upstream = Upstream::serve(move |mut asked| _ = asked.reply("200 OK", "application/json", feeds));
    let edge = mxr(["relay", &upstream.url("/")]).start();
    wait_for_names(&edge, &["a"]);
}

#[test]
fn a_feed_that_is_relayed_in_a_circle_is_refused() {
    // To itself.
    let port = free_port();
    let own = mxr(["relay", &format!("http://127.0.0.1:{port}/stream"), "--always"]).start_at(port);
    wait_until("it is refused", SOON, || {
        own.state()["feeds"][0]["source"]["reason"].as_str().is_some_and(|why| why.contains("508"))
    });
    // To one that relays it.
    let port = free_port();
    let one = mxr(["relay", &format!("http://127.0.0.1:{port}/stream/circle"), "--name", "circle"]).start();
    let two = mxr(["relay", &one.url("/stream/circle")]).start_at(port);
    let _viewer = one.view("/stream");
    let is_refused = |server: &Server| {
        server.state()["feeds"][0]["source"]["reason"].as_str().is_some_and(|why| why.contains("508") || why.contains("circle"))
    };
    wait_until("one of them refuses it", SOON * 2, || is_refused(&one) || is_refused(&two));
    // By the roots of both: neither relays its own feeds.
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let port = free_port();
    folder.put("mxr.toml", format!("[feed.'a.png']\nwatch = 'a.png'\n[feed.other]\nrelay = 'http://127.0.0.1:{port}/'\n"));
    let one = mxr(["up"]).current_dir(&folder.path()).start();
    let two = mxr(["relay", &one.url("/")]).start_at(port);
    let both = || (names(&one), names(&two));
    let feeds = vec!["a.png".to_owned(), "other".to_owned()];
    wait_until("both have their feeds", SOON, || both() == (feeds.clone(), feeds.clone()));
    thread::sleep(Duration::from_secs(5));
    assert_eq!(both(), (feeds.clone(), feeds), "they grow no further");
    assert_eq!(two.get("/snapshot/a.png").body, png(RED));
}

#[test]
fn a_relay_is_a_feed_of_mxr_up() {
    let camera = Upstream::serve(|mut asked| {
        let is_right = asked.has("Authorization: Basic dXNlcjpnZWhlaW0=");
        match is_right {
            true => asked.reply("200 OK", "image/jpeg", jpeg(RED)),
            false => asked.reply_with("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"x\""], ""),
        };
    });
    let folder = Folder::new();
    let host = camera.address;
    folder.put("mxr.toml", format!("[feed.door]\nrelay = 'http://user:${{DOOR_PASSWORD}}@{host}/video'\nevery = '50ms'\n"));
    let server = mxr(["up"]).current_dir(&folder.path()).env("DOOR_PASSWORD", "geheim").start();
    assert_eq!(server.get("/snapshot/door").body, jpeg(RED));
    assert!(!server.stderr().contains("geheim"));
    folder.put("mxr.toml", "[feed.door]\nrelay = ['http://a/', 'http://b/']\n");
    mxr(["up", "--check"]).current_dir(&folder.path()).run().usage_error().stderr("'relay' takes one URL here");
}

/// A feed of pictures as multipart, as a program writes it.
fn numbered_picture(number: usize) -> String {
    format!("Content-Type: image/x-test\r\nContent-Length: 4\r\n\r\n{number:04}\r\n--B\r\n")
}

/// Reads both feeds of a leaf until the last line and the last picture, each line once and in order, and pictures in order.
fn follow(mut viewer: Viewer, last: usize) {
    let (mut line, mut line_sequence, mut picture) = (0, 0, 0);
    while (line, picture) != (last, last) {
        let part = viewer.part();
        let number: usize = part.text().parse().unwrap();
        if part.header("X-Feed") == "cam" {
            // The newest part is repeated, as a sign of life.
            assert!(number >= picture, "picture {number} after {picture}");
            picture = number;
        } else if part.sequence() != line_sequence {
            assert!(line == 0 || number == line + 1, "line {number} after {line}");
            (line, line_sequence) = (number, part.sequence());
        }
    }
}

#[test]
fn a_tree_of_relays_whose_links_are_cut_gives_each_viewer_each_line_once_and_pictures_in_order() {
    const LAST: usize = 300;
    let mut lines = mxr(["stdin", "--split", "lines", "--name", "log"]).stdin(Stdio::piped()).start();
    let mut pictures = mxr(["stdin", "--split", "multipart", "--name", "cam"]).stdin(Stdio::piped()).start();
    lines.write("1\n");
    pictures.write(format!("--B\r\n{}", numbered_picture(1)));
    let (mut servers, mut proxies, mut viewers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..2 {
        let upstreams = [(&lines, "log"), (&pictures, "cam")].map(|(origin, feed)| {
            let proxy = Proxy::before(&origin.host, Passes::Pieces);
            let url = format!("{}stream/{feed}", proxy.url);
            proxies.push(proxy);
            url
        });
        let edge = mxr(["relay", &upstreams[0], &upstreams[1]]).start();
        for _ in 0..2 {
            let proxy = Proxy::before(&edge.host, Passes::Pieces);
            let leaf = mxr(["relay", &proxy.url]).start();
            wait_for_names(&leaf, &["log", "cam"]);
            for _ in 0..3 {
                let viewer = leaf.view("/streams");
                viewers.push(thread::spawn(move || follow(viewer, LAST)));
            }
            servers.push(leaf);
            proxies.push(proxy);
        }
        servers.push(edge);
    }
    for server in &servers {
        wait_until("the first parts are there", SOON, || {
            server.state()["feeds"].as_array().unwrap().iter().all(|feed| feed["published"] != 0)
        });
    }
    for number in 2..=LAST {
        lines.write(format!("{number}\n"));
        pictures.write(numbered_picture(number));
        thread::sleep(Duration::from_millis(2));
    }
    for viewer in viewers {
        viewer.join().unwrap();
    }
    let cuts: usize = proxies.iter().map(|proxy| proxy.asked().iter().filter(|target| target.contains("after=")).count()).sum();
    assert!(cuts > 10, "{cuts} times a feed went on where its connection was cut");
}

#[test]
fn another_mxr_is_relayed_over_https_with_a_token_and_over_a_unix_socket() {
    let (ca, folder) = (Ca::new(), Folder::new());
    ca.sign("origin");
    folder.put("a.png", png(RED));
    let origin = mxr(["watch"]).arg(folder.file("a.png")).arg("--tls-cert").arg(ca.cert()).arg("--tls-key").arg(ca.key());
    let origin = origin.args(["--token", "abcdefghijklmnopqrstuvwxyz"]).start();
    let url = format!("https://{}/?token=abcdefghijklmnopqrstuvwxyz", origin.host);
    for trust in [&["--upstream-ca", ca.ca().to_str().unwrap()][..], &["--upstream-insecure"]] {
        let edge = mxr(["relay", &url, "-vv"]).args(trust).start();
        wait_for_names(&edge, &["a.png"]);
        wait_until("its picture is there", SOON, || edge.get("/snapshot").body == png(RED));
        assert!(!edge.stderr().contains("abcdefgh"), "{}", edge.stderr());
    }
    let edge = mxr(["relay", &url]).start();
    wait_until("its certificate is not believed", SOON, || edge.stderr().contains("lost: TLS: "));
    let header = format!("Authorization: Bearer {}\n", "abcdefghijklmnopqrstuvwxyz");
    folder.put("headers", header);
    let of_file = format!("@{}", folder.file("headers").display());
    let stream = format!("https://{}/stream/a.png", origin.host);
    let edge = mxr(["relay", &stream, "--upstream-insecure", "--upstream-header", &of_file]).start();
    wait_until("its picture is there", SOON, || edge.get("/snapshot/a.png").body == png(RED));
    let socket = folder.file("mxr.sock");
    let _origin = mxr(["watch"]).arg(folder.file("a.png")).arg("--unix").arg(&socket).spawn().listening();
    let edge = mxr(["relay", "http://localhost/", "--upstream-unix"]).arg(&socket).start();
    wait_for_names(&edge, &["a.png"]);
    wait_until("its picture is there", SOON, || edge.get("/snapshot").body == png(RED));
}

#[test]
fn streams_is_the_root_too_and_a_wrong_token_is_not_tried_again() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let origin = mxr(["watch"]).arg(folder.file("a.png")).args(["--token", "abcdefghijklmnopqrstuvwxyz"]).start();
    let edge = mxr(["relay", &origin.url("/streams?token=abcdefghijklmnopqrstuvwxyz")]).start();
    wait_for_names(&edge, &["a.png"]);
    let denied = || origin.get("/state?token=abcdefghijklmnopqrstuvwxyz").json()["denied"].as_u64().unwrap();
    let wrong = mxr(["relay", &origin.url("/stream/a.png?token=wrong-wrong-wrong-wrong"), "--linger", "0"]).start();
    for _ in 0..10 {
        assert_eq!(wrong.get("/snapshot").head.status, 503);
        drop(wrong.view("/stream"));
    }
    thread::sleep(Duration::from_secs(1));
    assert_eq!(denied(), 1);
}

#[test]
fn an_edge_that_is_killed_and_started_again_gives_its_leaves_each_line_once() {
    let mut origin = mxr(["stdin", "--split", "lines"]).stdin(Stdio::piped()).start();
    origin.write("1\n");
    let port = free_port();
    let url = origin.url("/");
    let edge = || mxr(["relay", &url]).start_at(port);
    let first = edge();
    wait_for_names(&first, &["stdin"]);
    let leaf = mxr(["relay", &first.url("/stream/stdin")]).start();
    let mut viewer = leaf.view("/stream");
    let part = viewer.part();
    assert_eq!(part.text(), "1");
    let mut last = part.sequence();
    let mut expect = |number: usize| {
        let part = viewer.part_where(|part| part.sequence() != last);
        last = part.sequence();
        assert_eq!(part.text(), number.to_string());
    };
    origin.write((2..=50).map(|number| format!("{number}\n")).collect::<String>());
    (2..=50).for_each(&mut expect);
    drop(first);
    origin.write((51..=99).map(|number| format!("{number}\n")).collect::<String>());
    let second = edge();
    // Somebody else makes it read the lines, perhaps before the leaf is back.
    wait_for_names(&second, &["stdin"]);
    assert!(second.get("/snapshot").head.status == 200);
    origin.write("100\n");
    (51..=100).for_each(&mut expect);
}

#[test]
fn a_feed_that_has_no_part_yet_is_waited_for_and_not_lost() {
    let folder = Folder::new();
    let origin = mxr(["watch"]).arg(folder.file("a.png")).start();
    let edge = mxr(["relay", &origin.url("/stream"), "--upstream-timeout", "0.3"]).start();
    let mut viewer = edge.view("/stream");
    origin.wait_for_viewers(1);
    thread::sleep(Duration::from_secs(1));
    let source = &edge.state()["feeds"][0]["source"];
    assert_eq!((source["state"].as_str(), source["connects"].as_u64()), (Some("starting"), Some(1)), "{source}");
    folder.put("a.png", png(RED));
    assert_eq!(viewer.part().body, png(RED));
}

#[test]
fn a_token_that_another_mxr_requires_is_asked_for_by_the_log_and_a_snapshot() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let origin = mxr(["watch"]).arg(folder.file("a.png")).args(["--token", "abcdefghijklmnopqrstuvwxyz"]).start();
    for path in ["/", "/stream/a.png"] {
        let edge = mxr(["relay", &origin.url(path)]).start();
        let reply = edge.get("/snapshot");
        assert_eq!(reply.head.status, 503);
        assert!(String::from_utf8_lossy(&reply.body).contains("the server asks for a token"), "{path}");
        wait_until("the log says how to give the token", SOON, || edge.stderr().contains("?token=TOKEN"));
    }
}
