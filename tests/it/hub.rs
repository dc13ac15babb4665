//! `mxr hub`: what is pushed in becomes a feed byte for byte, under a name that its pusher chooses; and what is refused is refused with
//! a sentence, before its body is read.

use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    A_WHILE, Browser, Connection, Folder, GREEN, Kind, Page, RED, Reply, SOON, Server, jpeg, multipart, mxr, noise, png, tool,
    wait_until,
};

pub(crate) fn hub(args: &[&str]) -> Server {
    mxr(["hub"]).args(args).start()
}

/// Sends a request with this body on a connection of its own.
pub(crate) fn push(server: &Server, method: &str, path: &str, lines: &[&str], body: &[u8]) -> Reply {
    let mut connection = begin(server, method, path, &[lines, &[&format!("Content-Length: {}", body.len())]].concat());
    connection.send(body);
    connection.reply(method)
}

/// Sends the head of a request.
pub(crate) fn begin(server: &Server, method: &str, path: &str, lines: &[&str]) -> Connection {
    let host = server.url("/").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut connection = Connection::open(&host);
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    connection.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"));
    connection
}

/// Sends a chunk.
pub(crate) fn chunk(connection: &mut Connection, bytes: &[u8]) {
    connection.send([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
}

/// The feed of this name in `/state`.
pub(crate) fn feed(server: &Server, name: &str) -> Option<Value> {
    server.state()["feeds"].as_array().unwrap().iter().find(|feed| feed["name"] == name).cloned()
}

#[test]
fn the_tiles_of_a_hub_are_in_the_order_of_their_names() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let server = hub(&[]);
        let put = |name: &str| push(&server, "PUT", &format!("/snapshot/{name}"), &[], &png(RED));
        put("m10");
        put("m9");
        browser.go(&server.url("/"));
        let names = || browser.run("return [...document.querySelectorAll('main .name')].map(name => name.textContent)", json!([]));
        wait_until("two tiles", SOON, || names() == json!(["m9", "m10"]));
        put("m1");
        wait_until("a third is the first", SOON, || names() == json!(["m1", "m9", "m10"]));
        put("z");
        wait_until("a fourth is the last", SOON, || names() == json!(["m1", "m9", "m10", "z"]));
        assert_eq!(server.request("DELETE", "/stream/m9", &[]).head.status, 204);
        wait_until("one is gone", SOON, || names() == json!(["m1", "m10", "z"]));
    }
}

#[test]
fn a_part_that_is_put_is_the_feed_of_its_name() {
    let server = hub(&[]);
    let made = push(&server, "PUT", "/snapshot/lab/a%20b.png", &[], &png(RED));
    assert_eq!((made.head.status, made.body.len()), (201, 0));
    let mut viewer = server.view("/stream/lab/a%20b.png");
    let part = viewer.part();
    assert_eq!((part.media(), &part.body), ("image/png", &png(RED)));
    assert_eq!(push(&server, "PUT", "/snapshot/lab/a%20b.png", &["Content-Type: image/jpeg"], &jpeg(GREEN)).head.status, 204);
    let part = viewer.part_where(|part| part.media() == "image/jpeg");
    assert_eq!(part.body, jpeg(GREEN));
    assert_eq!(server.get("/snapshot/lab/a%20b.png").body, jpeg(GREEN));
    // It is the same part, and no viewer gets it again.
    assert_eq!(push(&server, "PUT", "/snapshot/lab/a%20b.png", &["Content-Type: image/jpeg"], &jpeg(GREEN)).head.status, 204);
    assert_eq!(feed(&server, "lab/a b.png").unwrap()["published"], 2);
}

#[test]
fn the_type_comes_from_the_header_or_the_name_or_the_content() {
    let server = hub(&[]);
    for (name, lines, body, media) in [
        ("a", &["Content-Type: text/html"][..], &b"<p>x"[..], "text/html"),
        ("a.csv", &[], b"1,2\n", "text/csv"),
        ("b", &["Content-Type: application/x-www-form-urlencoded"], &png(RED), "image/png"),
        ("c", &["Content-Type: application/octet-stream"], &png(RED), "image/png"),
        ("d", &["Content-Type: text/plain"], &png(RED), "image/png"),
    ] {
        assert_eq!(push(&server, "PUT", &format!("/snapshot/{name}"), lines, body).head.status, 201, "{name}");
        let shown = server.get(&format!("/snapshot/{name}"));
        assert_eq!(shown.head.want("Content-Type").split(';').next(), Some(media), "{name}");
        assert_eq!(shown.body, body, "{name}");
    }
}

#[test]
fn a_stream_that_is_posted_is_a_live_feed_as_long_as_it_lasts() {
    let server = hub(&[]);
    let kind = "Content-Type: multipart/x-mixed-replace; boundary=B";
    let mut pusher = begin(&server, "POST", "/stream/cam", &["Transfer-Encoding: chunked", kind]);
    chunk(&mut pusher, &multipart("image/jpeg", &[&jpeg(RED)]));
    wait_until("the feed is there", SOON, || feed(&server, "cam").is_some());
    let mut viewer = server.view("/stream/cam");
    assert_eq!(viewer.part().body, jpeg(RED));
    chunk(&mut pusher, &multipart("image/jpeg", &[&jpeg(GREEN)]));
    assert_eq!(viewer.part_where(|part| part.body != jpeg(RED)).body, jpeg(GREEN));
    assert_eq!(feed(&server, "cam").unwrap()["source"]["state"], "live");
    pusher.expect_silence(A_WHILE);
    chunk(&mut pusher, b"");
    assert_eq!(pusher.reply("POST").head.status, 201);
    let source = feed(&server, "cam").unwrap()["source"].clone();
    assert_eq!((&source["state"], &source["reason"]), (&json!("lost"), &json!("its pusher has ended")));
    assert_eq!(server.get("/snapshot/cam").body, jpeg(GREEN), "the feed stays");
}

#[test]
fn lines_are_pushed_as_they_come_and_each_reaches_every_viewer() {
    let server = hub(&[]);
    let mut pusher = begin(&server, "POST", "/stream/log", &["Transfer-Encoding: chunked", "Content-Type: text/plain"]);
    chunk(&mut pusher, b"one\ntwo\nthr");
    wait_until("two lines are there", SOON, || feed(&server, "log").is_some_and(|feed| feed["published"] == 2));
    let mut viewer = server.view("/stream/log?history=10");
    chunk(&mut pusher, b"ee\nfour\n");
    let lines: Vec<String> = (0..4).map(|_| viewer.part().text()).collect();
    assert_eq!(lines, ["one", "two", "three", "four"]);
    // What has no end when its pusher is cut off is no line.
    chunk(&mut pusher, b"fi");
    drop(pusher);
    wait_until("its pusher is gone", SOON, || feed(&server, "log").unwrap()["source"]["reason"] == "its pusher is gone");
    assert_eq!(feed(&server, "log").unwrap()["published"], 4);
}

#[test]
fn a_viewer_of_all_feeds_gets_the_first_lines_of_a_new_one_too() {
    let server = hub(&[]);
    push(&server, "PUT", "/snapshot/a", &[], &png(RED));
    let mut viewer = server.view("/streams?history=1");
    assert_eq!(viewer.part().body, png(RED));
    push(&server, "POST", "/stream/log", &["Content-Type: text/plain"], b"one\ntwo\nthree\n");
    let mut line = || viewer.part_where(|part| part.media() == "text/plain").text();
    assert_eq!([line(), line(), line()], ["one", "two", "three"]);
}

#[test]
fn a_pusher_takes_the_feed_over_from_another_one_which_is_told() {
    let server = hub(&[]);
    let begin = || begin(&server, "POST", "/stream/log", &["Transfer-Encoding: chunked", "Content-Type: text/plain"]);
    let mut first = begin();
    chunk(&mut first, b"first\n");
    wait_until("the first has it", SOON, || feed(&server, "log").is_some_and(|feed| feed["published"] == 1));
    let mut second = begin();
    // A connection that sends nothing takes nothing over.
    first.expect_silence(A_WHILE);
    chunk(&mut second, b"second\n");
    let reply = first.reply("POST");
    assert_eq!(reply.head.status, 409);
    assert!(reply.text().contains("another pusher has taken this feed over"), "{}", reply.text());
    assert_eq!(feed(&server, "log").unwrap()["source"]["state"], "live");
    assert_eq!(server.get("/snapshot/log").text(), "second");
}

#[test]
fn a_feed_is_removed_on_request_or_when_nobody_pushes_any_more() {
    let server = hub(&["--expire", "500ms"]);
    let mut pusher = begin(&server, "POST", "/stream/log", &["Transfer-Encoding: chunked", "Content-Type: text/plain"]);
    chunk(&mut pusher, b"x\n");
    push(&server, "PUT", "/snapshot/a", &[], &png(RED));
    wait_until("the part has expired", SOON, || feed(&server, "a").is_none());
    assert!(feed(&server, "log").is_some(), "somebody pushes it");
    assert_eq!(server.request("DELETE", "/stream/log", &[]).head.status, 204);
    assert_eq!(pusher.reply("POST").head.status, 409);
    assert!(feed(&server, "log").is_none());
    assert_eq!(server.request("DELETE", "/stream/log", &[]).head.status, 404);
}

#[test]
fn what_is_refused_is_refused_with_a_sentence_before_its_body_is_read() {
    let server = hub(&["--allow", "lab/*", "--allow", "?", "--max-feeds", "2", "--max-part", "1K"]);
    let asks = ["Expect: 100-continue", "Content-Length: 100"];
    let cases: &[(&str, &str, &[&str], u16, &str)] = &[
        ("PUT", "/snapshot/other", &asks, 403, "no feed of this name may be made here"),
        ("PUT", "/snapshot/a", &["Content-Length: 5000"], 413, "a part has at most 1024 bytes"),
        ("PUT", "/snapshot/a", &["Content-Length: 0"], 400, "the body is empty"),
        ("POST", "/stream/a", &[], 411, "nothing says where the body ends"),
        ("POST", "/stream/a", &["Content-Length: 0"], 400, "the body is empty"),
        ("PUT", "/snapshot/a", &["Content-Type: multipart/form-data; boundary=x", "Content-Length: 9"], 415, "a form is not taken"),
        ("PUT", "/snapshot/a", &["Content-Encoding: gzip", "Content-Length: 9"], 415, "compressed as gzip"),
        ("PUT", "/snapshot/a%2F..%2Fb", &asks, 400, "cannot be the name of a feed"),
        ("PUT", "/snapshot/%FF", &asks, 400, "not in UTF-8"),
        ("PUT", "/snapshot", &asks, 400, "a name is missing"),
        ("PUT", "/state", &asks, 405, "nothing can be pushed to this path"),
        ("PATCH", "/stream/a", &asks, 405, "only GET and HEAD"),
        ("DELETE", "/stream/nothing", &[], 404, "no such feed"),
        ("PUT", "/snapshot/a", &["Content-Length: 9", "Origin: http://evil.example"], 403, "another site may not push"),
        ("PUT", "/snapshot/a", &["Content-Length: 9", "Sec-Fetch-Site: cross-site"], 403, "another site may not push"),
        ("PUT", "/snapshot/a", &["Content-Length: 9", "Sec-Fetch-Site: same-site"], 403, "another site may not push"),
    ];
    for (method, path, lines, status, text) in cases {
        let mut connection = begin(&server, method, path, lines);
        let reply = connection.reply(method);
        assert_eq!(reply.head.status, *status, "{method} {path} {lines:?}: {}", reply.text());
        assert!(reply.text().contains(text), "{method} {path} {lines:?}: {}", reply.text());
    }
    assert_eq!(server.state()["feeds"], json!([]));
    assert_eq!(push(&server, "PUT", "/snapshot/a", &[], b"\0\x01\x02\xff").head.status, 415, "nothing says what it is");
    assert_eq!(push(&server, "POST", "/stream/a", &["Content-Type: multipart/mixed; boundary=B"], b"--C").head.status, 422);
    for (name, status) in [("a", 204), ("lab/b", 201), ("lab/c", 429)] {
        assert_eq!(push(&server, "PUT", &format!("/snapshot/{name}"), &[], &png(RED)[..]).head.status, status, "{name}");
    }
}

#[test]
fn a_body_is_asked_for_where_its_sender_waits() {
    let server = hub(&[]);
    let body = png(RED);
    let lines = ["Expect: 100-continue", &format!("Content-Length: {}", body.len())];
    let mut connection = begin(&server, "PUT", "/snapshot/a", &lines);
    connection.expect("HTTP/1.1 100 Continue\r\n\r\n");
    connection.send(&body);
    assert_eq!(connection.reply("PUT").head.status, 201);
}

#[test]
fn one_connection_pushes_part_after_part_whatever_their_bytes_are() {
    let server = hub(&[]);
    let host = server.url("/").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut connection = Connection::open(&host);
    // Bytes that would be refused in a head, and more of them than a head may have.
    let texts = ["GET /# HTTP/1.7\r\n".to_owned(), "\r\n".repeat(50_000), "é".repeat(50_000)];
    for (number, text) in texts.iter().enumerate() {
        let head = format!("PUT /snapshot/a.txt HTTP/1.1\r\nHost: {host}\r\n");
        match number % 2 {
            0 => connection.send(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len())),
            _ => {
                connection.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
                text.as_bytes().chunks(7000).for_each(|piece| chunk(&mut connection, piece));
                chunk(&mut connection, b"");
            }
        }
        let status = connection.reply("PUT").head.status;
        assert_eq!(status, if number == 0 { 201 } else { 204 }, "{number}");
        assert_eq!(server.get("/snapshot/a.txt").text(), *text, "{number}");
    }
    connection.send(format!("GET /healthz HTTP/1.7\r\nHost: {host}\r\n\r\n"));
    assert_eq!(connection.reply("GET").head.status, 200, "the next head is looked at again");
}

#[test]
fn a_silent_and_a_dripping_pusher_are_cut_and_told() {
    let server = hub(&["--stall-timeout", "1s"]);
    let mut silent = begin(&server, "POST", "/stream/log", &["Transfer-Encoding: chunked", "Content-Type: text/plain"]);
    for _ in 0..4 {
        chunk(&mut silent, b"alive\n");
        thread::sleep(Duration::from_millis(600));
    }
    let reply = silent.reply("POST");
    assert_eq!(reply.head.status, 408);
    assert!(reply.text().contains("--stall-timeout"), "{}", reply.text());
    assert_eq!(feed(&server, "log").unwrap()["source"]["reason"], "its pusher was silent for too long, or too slow");
    assert_eq!(server.get("/snapshot/log").text(), "alive", "the feed stays");
    let mut drips = begin(&server, "PUT", "/snapshot/a", &["Content-Length: 1000"]);
    let mut answered = None;
    wait_until("it is cut", SOON, || {
        drips.send("x");
        answered = drips.read_once(Duration::from_millis(200));
        answered.is_some()
    });
    let answered = String::from_utf8(answered.unwrap()).unwrap();
    assert!(answered.starts_with("HTTP/1.1 408"), "{answered}");
}

#[test]
fn pushing_is_a_right_of_its_own() {
    let folder = Folder::new();
    folder.put("tokens", "# of the lab\nWholePushToken16 \nLabPushTokenOf16 lab/*\n");
    let file = folder.file("tokens");
    let server = hub(&["--token", "LookTokenOf16abc", "--push-token-file", file.to_str().unwrap()]);
    let put = |path: &str, lines: &[&str]| push(&server, "PUT", path, lines, &png(RED)).head.status;
    assert_eq!(put("/snapshot/a", &[]), 401);
    assert_eq!(put("/snapshot/a?token=LookTokenOf16abc", &[]), 401, "that is the token to look");
    assert_eq!(put("/snapshot/a?token=LabPushTokenOf16", &[]), 403, "for other names");
    assert_eq!(put("/snapshot/lab/a?token=LabPushTokenOf16", &[]), 201);
    assert_eq!(put("/snapshot/a", &["Authorization: Bearer WholePushToken16"]), 201);
    // any:WholePushToken16
    assert_eq!(put("/snapshot/b", &["Authorization: Basic YW55Oldob2xlUHVzaFRva2VuMTY="]), 201);
    assert_eq!(server.get("/snapshot/a?token=WholePushToken16").head.status, 403, "it is no token to look");
    assert_eq!(server.get("/snapshot/a?token=LookTokenOf16abc").head.status, 200);
    let challenge = push(&server, "PUT", "/snapshot/a", &[], b"x").head;
    assert!(challenge.want("WWW-Authenticate").starts_with("Basic"), "ffmpeg answers no other one");
    let log = server.stderr();
    assert!(!log.contains("PushToken"), "{log}");
}

#[test]
fn beyond_loopback_a_token_to_push_is_generated_and_printed_apart() {
    let server = mxr(["hub", "--host", "0.0.0.0"]).spawn().listening();
    let look = String::from_utf8(server.stdout()).unwrap();
    // The end of the example.
    server.expect_log("'\n");
    let log = server.stderr();
    let token = log.split("the token to push: ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
    assert!(!look.contains(&token), "the URL has the token to look: {look}");
    assert_eq!(push(&server, "PUT", "/snapshot/a", &[], &png(RED)).head.status, 401);
    assert_eq!(push(&server, "PUT", &format!("/snapshot/a?token={token}"), &[], &png(RED)).head.status, 201);
    let Some(curl) = tool(&["curl"]) else { return };
    let folder = Folder::new();
    folder.put("plot.png", png(GREEN));
    let example = log.lines().find_map(|line| line.strip_prefix("to try it: ")).unwrap();
    let with_curl = example.replacen("curl", curl.to_str().unwrap(), 1);
    let done = Command::new("sh").args(["-c", &with_curl]).current_dir(folder.path()).stderr(Stdio::null()).status().unwrap();
    assert!(done.success(), "{example}");
    assert_eq!(server.get(&format!("{}&after=0", look_at(&look, "plot.png"))).body, png(GREEN));
}

/// The path of a snapshot, with the token of the printed URLs.
fn look_at(printed: &str, name: &str) -> String {
    let (_, query) = printed.trim().rsplit_once('?').unwrap();
    format!("/snapshot/{name}?{query}")
}

#[test]
fn a_refused_push_is_told_to_the_log_once_a_minute_without_its_secrets() {
    let server = hub(&["--push-token", "WholePushToken16", "--max-part", "1K"]);
    let put = |path: &str, lines: &[&str], body: &[u8]| push(&server, "PUT", path, lines, body).head.status;
    for _ in 0..3 {
        assert_eq!(put("/snapshot/plot.png", &[], b"x"), 401);
    }
    server.expect_logs("a push is refused", 1);
    server.expect_log("path=\"/snapshot/plot.png\" reason=\"a token is needed to push\"");
    assert_eq!(put("/snapshot/WholePushToken16?token=WholePushToken16", &[], &noise(2000, 1)), 413);
    server.expect_log("reason=\"a part has at most 1024 bytes\"");
    let mut foreign = Connection::open(&server.host);
    foreign.send("PUT /snapshot/a HTTP/1.1\r\nHost: hub.example\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(foreign.reply("PUT").head.status, 403);
    server.expect_log("--allow-host hub.example lets it pass");
    let log = server.stderr();
    assert!(!log.contains("PushToken"), "{log}");
}

#[test]
fn a_push_to_a_path_of_no_feed_is_told_where_to_push() {
    let server = hub(&["--route-prefix", "/lab"]);
    for (method, path) in [("PUT", "/lab/plot.png"), ("POST", "/lab/upload"), ("POST", "/lab/view"), ("PUT", "/plot.png")] {
        let reply = push(&server, method, path, &[], &png(RED));
        assert_eq!(reply.head.status, 405, "{method} {path}");
        assert!(reply.text().contains("PUT /lab/snapshot/NAME is one part, POST /lab/stream/NAME"), "{}", reply.text());
    }
    server.expect_logs("nothing can be pushed to this path", 1);
}

#[test]
fn a_hub_without_feeds_says_so() {
    let server = hub(&[]);
    for path in ["/", "/stream", "/snapshot", "/snapshot/a", "/parts"] {
        let reply = server.get(path);
        assert_eq!(reply.head.status, 404, "{path}");
        assert!(reply.text().starts_with("mxr: there is no feed yet\nhint: PUT /snapshot/NAME"), "{path}: {}", reply.text());
    }
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        browser.go(&server.url("/"));
        let says = || browser.run("return document.querySelector('main').textContent", json!([]));
        wait_until("the page says so", SOON, || says() == json!("There is no feed yet."));
        push(&server, "PUT", "/snapshot/a", &[], &png(RED));
        wait_until("the first feed fills the page", SOON, || browser.run("return document.title", json!([])) == json!("a · live"));
        assert_eq!(server.request("DELETE", "/stream/a", &[]).head.status, 204);
    }
}

#[test]
fn without_a_token_nobody_pushes_from_another_machine_through_a_proxy() {
    let server = hub(&["--trust-proxy"]);
    let from =
        |address: &str| push(&server, "PUT", "/snapshot/a", &[&format!("X-Forwarded-For: {address}")], &png(RED)).head.status;
    assert_eq!((from("192.0.2.7"), from("127.0.0.1")), (403, 201));
}

#[test]
fn a_page_of_another_site_pushes_nothing_by_any_method() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let server = hub(&["--allow-origin", "*"]);
        let (here, there) = (server.url(""), format!("http://localhost:{}", server.port()));
        let page = Page::serve(&format!(
            "<!doctype html><title>tries</title>
             <form id=f method=post enctype=text/plain action='{there}/stream/form' target=frame><input name=a value=b></form>
             <form id=g method=post enctype=multipart/form-data action='{here}/stream/form2' target=frame><input name=a value=b></form>
             <iframe name=frame></iframe>
             <script>
             const tries = [];
             for (const base of ['{here}', '{there}'])
                 for (const mode of ['cors', 'no-cors'])
                     for (const [method, path] of [['PUT', 'snapshot'], ['POST', 'snapshot'], ['POST', 'stream'], ['DELETE', 'stream']])
                         for (const type of ['text/plain', 'image/png', 'application/x-www-form-urlencoded', ''])
                             try {{
                                 tries.push(fetch(`${{base}}/${{path}}/x`, {{method, mode, body: 'x', headers: type ? {{'Content-Type': type}} : {{}}}})
                                     .then(reply => reply.status, () => 0));
                             }} catch (error) {{}}
             for (const base of ['{here}', '{there}']) navigator.sendBeacon(`${{base}}/stream/beacon`, 'x\\n');
             f.submit(); g.submit();
             Promise.all(tries).then(all => document.title = 'tried ' + all.every(status => status == 0 || status == 403));
             </script>"
        ));
        browser.go(&page.url);
        wait_until("it has tried", SOON, || browser.run("return document.title", json!([])) == json!("tried true"));
        thread::sleep(A_WHILE);
        assert_eq!(server.state()["feeds"], json!([]), "{kind:?}");
    }
}

#[test]
fn a_cut_pusher_leaves_no_torn_part_and_the_next_one_goes_on() {
    let server = hub(&[]);
    let kind = "Content-Type: multipart/x-mixed-replace; boundary=B";
    let pictures: Vec<Vec<u8>> = (0..5).map(|seed| noise(20_000, seed)).collect();
    let body = multipart("image/png", &pictures.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for cut in 0..20 {
        let mut pusher = begin(&server, "POST", "/stream/cam", &["Transfer-Encoding: chunked", kind]);
        chunk(&mut pusher, &body[..body.len() * (cut + 1) / 21]);
        drop(pusher);
    }
    wait_until("the last has gone", SOON, || {
        feed(&server, "cam").is_some_and(|feed| feed["source"]["reason"] == "its pusher is gone")
    });
    assert_eq!(push(&server, "POST", "/stream/cam", &[kind], &body).head.status, 204);
    assert!(pictures.contains(&server.get("/snapshot/cam").body));
    assert_eq!(feed(&server, "cam").unwrap()["refused"], 0);
}

#[test]
fn programs_that_people_have_push_byte_for_byte() {
    let server = hub(&[]);
    let folder = Folder::new();
    folder.put("a.png", noise(150_000, 1));
    let file = folder.file("a.png");
    let file = file.to_str().unwrap();
    let url = |name: &str| server.url(&format!("/snapshot/{name}"));
    let python = "import sys, urllib.request as r; r.urlopen(r.Request(sys.argv[2], open(sys.argv[1], 'rb').read(), method='PUT'))";
    let programs: &[(&str, &[&str])] = &[
        ("curl", &["-sSf", "-T", file]),
        ("curl", &["-sSf", "-X", "POST", "-H", "Content-Type:", "--data-binary", &format!("@{file}")]),
        ("curl", &["-sSf", "-0", "-T", file]),
        ("curl", &["-sSf", "-H", "Transfer-Encoding: chunked", "-T", file]),
        ("wget", &["-qO-", "--post-file", file]),
        ("wget", &["-qO-", "--method=PUT", "--body-file", file]),
        ("python3", &["-c", python, file]),
    ];
    for (number, (program, args)) in programs.iter().enumerate() {
        let Some(path) = tool(&[program]) else { continue };
        let name = number.to_string();
        let done = Command::new(path).args(*args).arg(url(&name)).status().unwrap();
        assert!(done.success(), "{program} {args:?}");
        assert_eq!(server.get(&format!("/snapshot/{name}")).body, noise(150_000, 1), "{program} {args:?}");
    }
    let Some(ffmpeg) = tool(&["ffmpeg"]) else { return };
    for (number, args) in [&["-f", "mpjpeg"][..], &["-f", "mjpeg"], &["-f", "image2pipe", "-c:v", "png"]].iter().enumerate() {
        for method in ["POST", "PUT"] {
            let url = server.url(&format!("/stream/ff{number}{method}"));
            let film = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=1"];
            let done = Command::new(&ffmpeg).args(film).args(*args).args(["-method", method, &url]).status().unwrap();
            assert!(done.success(), "{args:?} {method}");
            // It does not wait for the reply.
            wait_until(&format!("all of {args:?} {method} is there"), SOON, || {
                let made = feed(&server, &format!("ff{number}{method}")).unwrap_or_default();
                (&made["published"], &made["kind"]) == (&json!(10), &json!("newest"))
            });
        }
    }
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    for (args, text) in [
        (&["--max-feeds", "0"][..], "cannot use --max-feeds 0: nobody could push"),
        (&["--name", "x"], "cannot use --name: the feeds of a hub are called as they are pushed"),
        (&["--allow", "["], "cannot use --allow"),
        (&["--allow", ""], "cannot use --allow \"\": no name is empty"),
        (&["--push-token", "a b"], "cannot use --push-token"),
    ] {
        mxr(["hub"]).args(args).run().usage_error().stderr(text);
    }
    let help = mxr(["hub", "--help"]).run().success().printed();
    assert!(!help.contains("--name"), "{help}");
    let folder = Folder::new();
    folder.put("tokens", "ok\nso [\n");
    let failed = mxr(["hub", "--push-token-file"]).arg(folder.file("tokens")).run();
    failed.failure().stderr("cannot use line 2 of --push-token-file");
}

/// A part of several feeds, with the delimiter behind it.
fn named_part(feed: &str, lines: &str, sequence: u64, body: &str) -> String {
    let length = body.len();
    format!(
        "X-Feed: {feed}\r\n{lines}Content-Type: text/plain\r\nContent-Length: {length}\r\nX-Timestamp: {sequence}.5\r\n\
         X-Sequence: {sequence}\r\n\r\n{body}\r\n--B\r\n"
    )
}

#[test]
fn parts_that_name_their_feeds_come_over_one_connection_and_a_repeated_one_is_no_new_part() {
    let server = hub(&[]);
    let begin = || {
        let kind = "Content-Type: multipart/mixed; boundary=B";
        let mut pusher = begin(&server, "POST", "/streams", &["Transfer-Encoding: chunked", kind]);
        chunk(&mut pusher, b"--B\r\n");
        pusher
    };
    let mut pusher = begin();
    let lines = "X-Feed-Kind: lines\r\nX-Feed-Via: 1.1 mxr-there\r\n";
    let parts = [named_part("a%20b", lines, 1, "one"), named_part("a%20b", "", 2, "two"), named_part("lab%2Fc", "", 7, "seven\n7")];
    chunk(&mut pusher, parts.concat().as_bytes());
    let published = |name: &str| feed(&server, name).map_or(0, |feed| feed["published"].as_u64().unwrap());
    wait_until("they are there", SOON, || published("a b") == 2 && published("lab/c") == 1);
    assert_eq!(
        (&feed(&server, "a b").unwrap()["kind"], &feed(&server, "lab/c").unwrap()["kind"]),
        (&json!("lines"), &json!("newest"))
    );
    assert_eq!(feed(&server, "a b").unwrap()["via"], json!(["mxr-there"]));
    let received = |run: &str| push(&server, "POST", &format!("/streams?received={run}"), &[], b"").json();
    let mut feeds = received("B")["feeds"].as_array().unwrap().clone();
    feeds.sort_by_key(|feed| feed["name"].to_string());
    assert_eq!(feeds, [json!({"name": "a b", "sequence": 2}), json!({"name": "lab/c", "sequence": 7})]);
    assert_eq!((&received("C")["feeds"], &received("B")["process"]), (&json!([]), &server.state()["process"]));
    // Another connection of the same process, which sends again what it does not know to have come.
    drop(pusher);
    let mut pusher = begin();
    let parts = [named_part("a%20b", "X-Feed-Kind: lines\r\n", 2, "two"), named_part("a%20b", "", 3, "three")];
    chunk(&mut pusher, parts.concat().as_bytes());
    wait_until("the third is there", SOON, || published("a b") == 3);
    assert_eq!(server.view("/stream/a%20b?history=9&parts=3").part().text(), "one");
    // What is held back by nobody, but deleted, is told when its next part comes; the other feed goes on until then.
    assert_eq!(server.request("DELETE", "/stream/a%20b", &[]).head.status, 204);
    chunk(&mut pusher, named_part("lab%2Fc", "", 8, "eight\n8").as_bytes());
    wait_until("the other goes on", SOON, || published("lab/c") == 2);
    chunk(&mut pusher, named_part("a%20b", "", 4, "four").as_bytes());
    let reply = pusher.reply("POST");
    assert_eq!((reply.head.status, reply.head.want("X-Feed")), (409, "a%20b"));
    assert!(reply.text().starts_with("mxr: the feed \"a b\": another pusher has taken this feed over"), "{}", reply.text());
}

#[test]
fn a_body_of_several_feeds_is_refused_with_the_name_of_the_feed() {
    let folder = Folder::new();
    folder.put("tokens", "right-token-0123456789 lab/*\n");
    let server = mxr(["hub", "--push-token-file"]).arg(folder.file("tokens")).start();
    let own = server.state()["process"].as_str().unwrap().to_owned();
    let token = "Authorization: Bearer right-token-0123456789";
    let post = |part: &str| {
        let body = format!("--B\r\n{part}");
        push(&server, "POST", "/streams", &[token, "Content-Type: multipart/mixed; boundary=B"], body.as_bytes())
    };
    let circle = format!("X-Feed-Via: 1.1 mxr-a, 1.1 {own}\r\n");
    for (part, status, feed, text) in [
        (named_part("lab%2Fa", "", 1, "x"), 201, None, ""),
        (named_part("den", "", 1, "x"), 403, Some("den"), "that token is for feeds of other names"),
        (named_part("lab%2F..", "", 1, "x"), 400, Some("lab%2F.."), "that cannot be the name of a feed"),
        (named_part("lab%2F%ff", "", 1, "x"), 400, Some("lab%2F%EF%BF%BD"), "it is not in UTF-8"),
        (named_part("lab%2Fb", &circle, 1, "x"), 508, Some("lab%2Fb"), "it comes from here"),
        (named_part("lab%2Fa", "", 1, "x").replace("X-Feed", "X-Other"), 415, None, "a part does not name its feed by X-Feed"),
        (String::new(), 422, None, "there is no whole part"),
    ] {
        let reply = post(&part);
        assert_eq!((reply.head.status, reply.head.get("X-Feed")), (status, feed), "{part}");
        assert!(reply.text().contains(text), "{}", reply.text());
    }
    assert_eq!(push(&server, "POST", "/streams?received=B", &[], b"").head.status, 401);
    assert_eq!(push(&server, "POST", "/streams", &[token, "Content-Type: text/plain"], b"x\n").head.status, 415);
}
