//! `--publish`: what one mxr shows goes to a hub over a connection from here: every picture's newest, every line once, through proxies, and
//! with a sentence where it is refused.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    A_WHILE, Ca, Folder, GREEN, Mxr, Nginx, RED, SOON, Server, Upstream, free_port, mxr, padded_png, png, wait_for, wait_until,
};

fn hub(args: &[&str]) -> Server {
    mxr(["hub"]).args(args).start()
}

pub(crate) fn watch(folder: &Folder, url: &str, args: &[&str]) -> Mxr {
    mxr(["watch"]).arg(folder.file("a.png")).args(["--publish", url]).args(args)
}

/// A folder with a red picture.
pub(crate) fn folder() -> Folder {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    folder
}

/// Lines that are published under this name.
fn lines(hub: &Server, args: &[&str]) -> Server {
    let url = hub.url("/");
    mxr(["stdin", "--split", "lines", "--publish", &url]).args(args).stdin(Stdio::piped()).start()
}

/// The feed of this name in `/state`.
fn feed(server: &Server, name: &str) -> Option<Value> {
    server.state()["feeds"].as_array().unwrap().iter().find(|feed| feed["name"] == name).cloned()
}

pub(crate) fn names(server: &Server) -> Vec<String> {
    let state = server.state();
    let mut names: Vec<String> =
        state["feeds"].as_array().unwrap().iter().map(|feed| feed["name"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

pub(crate) fn publish(server: &Server) -> Value {
    server.state()["publish"].clone()
}

#[track_caller]
fn wait_for_state(server: &Server, state: &str) {
    wait_until(&format!("publishing is {state}"), SOON * 2, || publish(server)["state"] == state);
}

#[track_caller]
fn wait_for_part(hub: &Server, name: &str, body: &[u8]) {
    wait_until("the hub has the part", SOON * 2, || {
        let reply = hub.get(&format!("/snapshot/{name}"));
        reply.head.status == 200 && reply.body == body
    });
}

/// All lines that a hub has of a feed.
fn held_lines(hub: &Server, name: &str) -> Vec<String> {
    let count = feed(hub, name).map_or(0, |feed| feed["published"].as_u64().unwrap());
    let mut viewer = hub.view(&format!("/stream/{name}?history=100000&parts={count}"));
    (0..count).map(|_| viewer.part().text()).collect()
}

#[test]
fn a_watched_picture_is_shown_at_the_hub_byte_for_byte() {
    let (hub, folder) = (hub(&[]), folder());
    let server = watch(&folder, &hub.url(""), &[]).start();
    wait_for_part(&hub, "a.png", &png(RED));
    folder.put("a.png", png(GREEN));
    wait_for_part(&hub, "a.png", &png(GREEN));
    let shown = feed(&hub, "a.png").unwrap();
    let own = feed(&server, "a.png").unwrap();
    assert_eq!((&shown["kind"], &shown["source"]["state"]), (&json!("newest"), &json!("live")));
    let time = |feed: &Value| feed["newest"]["timestamp"].as_f64().unwrap();
    // Sent in microseconds.
    assert!((time(&shown) - time(&own)).abs() < 2e-6, "{shown} {own}");
    assert_eq!(shown["via"], json!([server.state()["process"]]));
    let publish = publish(&server);
    assert_eq!((&publish["state"], &publish["url"]), (&json!("live"), &json!(hub.url("/"))));
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("mxr_publish_live 1") && metrics.contains("mxr_publish_parts_total 2"), "{metrics}");
    server.stop().success();
    wait_until("the feed stays, lost", SOON, || feed(&hub, "a.png").unwrap()["source"]["reason"] == "its pusher has ended");
}

#[test]
fn no_line_is_lost_and_none_comes_twice_when_the_hub_is_killed_and_started_again() {
    let first = hub(&[]);
    let port = first.port();
    let mut server = lines(&first, &["--publish-name", "log"]);
    server.write("1\n2\n3\n");
    wait_until("they are there", SOON, || feed(&first, "log").is_some_and(|feed| feed["published"] == 3));
    first.signal(Signal::KILL);
    first.finish();
    server.write("4\n5\n");
    wait_for_state(&server, "lost");
    let second = mxr(["hub"]).start_at(port);
    wait_until("they are there again", SOON * 2, || feed(&second, "log").is_some_and(|feed| feed["published"] == 5));
    server.write("6\n");
    wait_until("it goes on", SOON, || feed(&second, "log").is_some_and(|feed| feed["published"] == 6));
    assert_eq!(held_lines(&second, "log"), ["1", "2", "3", "4", "5", "6"]);
    server.expect_log("publishing again");
}

#[test]
fn lines_that_the_hub_has_are_not_sent_again_after_a_cut() {
    let hub = hub(&[]);
    let (relay, cut) = cutting_relay(&hub.host);
    let url = format!("http://{relay}/");
    let mut server = mxr(["stdin", "--split", "lines", "--publish", &url]).stdin(Stdio::piped()).start();
    for round in 0..5 {
        server.write((0..200).map(|line| format!("{round} {line}\n")).collect::<String>());
        let expected = (round + 1) * 200;
        wait_until("they are there", SOON * 2, || feed(&hub, "stdin").is_some_and(|feed| feed["published"] == expected));
        cut();
    }
    let expected: Vec<String> = (0..5).flat_map(|round| (0..200).map(move |line| format!("{round} {line}"))).collect();
    assert_eq!(held_lines(&hub, "stdin"), expected);
    // All that are held on each connection would be 3,000; what is on its way when one is cut is sent again.
    assert!(publish(&server)["published"].as_u64().unwrap() < 2100, "{}", publish(&server));
}

#[test]
fn what_has_come_before_the_end_of_the_input_is_at_the_hub_when_the_program_ends() {
    let hub = hub(&[]);
    let mut server = lines(&hub, &["--exit-on-eof", "--publish-name", "build/log"]);
    server.write((0..1000).map(|line| format!("{line}\n")).collect::<String>());
    drop(server.take_stdin());
    server.finish().success();
    assert_eq!(held_lines(&hub, "build/log"), (0..1000).map(|line| line.to_string()).collect::<Vec<_>>());
}

#[test]
fn several_feeds_go_over_one_connection_and_their_names_begin_with_the_one_that_is_given() {
    let (hub, folder) = (hub(&[]), folder());
    folder.put("b.png", png(GREEN));
    let url = hub.url("/");
    let server = watch(&folder, &url, &["--publish-name", "lab/ä"]).arg(folder.file("b.png")).start();
    wait_until("both are there", SOON, || names(&hub) == ["lab/ä/a.png", "lab/ä/b.png"]);
    wait_for_part(&hub, "lab/%C3%A4/b.png", &png(GREEN));
    assert_eq!(publish(&server)["connects"], 1);
    folder.put("mxr.toml", format!("[server]\npublish = '{url}'\npublish-name = 'up'\n[feed.x]\nwatch = 'a.png'\n"));
    let _server = mxr(["up"]).current_dir(&folder.path()).start();
    wait_until("those of a file too", SOON, || names(&hub).contains(&"up/x".to_owned()));
}

#[test]
fn what_is_published_does_not_rest() {
    let hub = hub(&[]);
    let url = hub.url("/");
    let args = ["exec", "--port", "0", "--linger", "0", "--publish", &url, "--", "sh", "-c", "echo begun; sleep 100"];
    let _server = mxr(args).spawn().listening();
    wait_until("it runs", SOON, || feed(&hub, "sh").is_some_and(|feed| feed["published"] == 1));
}

#[test]
fn a_picture_that_stays_the_same_keeps_the_connection_alive() {
    let (hub, folder) = (hub(&["--stall-timeout", "500ms"]), folder());
    let server = watch(&folder, &hub.url("/"), &["--keepalive", "100ms"]).start();
    wait_for_state(&server, "live");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(publish(&server), json!({"url": hub.url("/"), "state": "live", "reason": null, "published": 1, "connects": 1}));
    assert_eq!(feed(&hub, "a.png").unwrap()["published"], 1, "a repeat is no new part");
}

#[test]
fn a_publisher_whose_feed_another_one_takes_over_leaves_it_alone_for_minutes() {
    let (hub, folder) = (hub(&[]), folder());
    folder.put("b.png", png(RED));
    let args = ["--keepalive", "50ms"];
    let first = watch(&folder, &hub.url("/"), &args).arg(folder.file("b.png")).start();
    wait_until("both are there", SOON, || names(&hub) == ["a.png", "b.png"]);
    let second = watch(&folder, &hub.url("/"), &args).start();
    first.expect_log("not publishing this feed: the hub answers 409: the feed \"a.png\": another pusher has taken this feed over");
    wait_for_state(&first, "live");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(hub.stderr().matches("another pusher takes the feed over").count(), 1, "{}", hub.stderr());
    assert_eq!(publish(&second)["state"], "live");
    // The other feed goes on.
    folder.put("b.png", png(GREEN));
    wait_for_part(&hub, "b.png", &png(GREEN));
}

#[test]
fn a_wrong_token_is_told_and_not_tried_again_and_again() {
    let (hub, folder) = (hub(&["--push-token", "right-token-0123456789"]), folder());
    let secret = "wrong-token-0123456789";
    let server = watch(&folder, &hub.url("/"), &["-v"]).env("MXR_PUBLISH_TOKEN", secret).start();
    server.expect_log("not publishing: the hub answers 401: that is not a token to push");
    assert!(server.stderr().contains("MXR_PUBLISH_TOKEN gives the token"), "{}", server.stderr());
    thread::sleep(A_WHILE * 5);
    server.expect_logs("the hub answers 401", 1);
    assert_eq!(publish(&server)["state"], "lost");
    assert!(!format!("{}{}", server.stderr(), server.state()).contains(secret));
    let url = hub.url("/").replace("://", "://any:right-token-0123456789@");
    let server = watch(&folder, &url, &["-v"]).start();
    wait_for_part(&hub, "a.png", &png(RED));
    assert!(!format!("{}{}", server.stderr(), server.state()).contains("right-token"));
}

#[test]
fn a_token_for_other_names_is_told_and_the_feeds_that_it_is_for_go_on() {
    let (folder, secrets) = (folder(), Folder::new());
    folder.put("b.png", png(GREEN));
    secrets.put("tokens", "secret-of-b-0123456789 b*\n");
    secrets.put("token", "secret-of-b-0123456789\n");
    let hub = mxr(["hub", "--push-token-file"]).arg(secrets.file("tokens")).start();
    let server = watch(&folder, &hub.url("/"), &["--publish-token-file"]).arg(secrets.file("token")).arg(folder.file("b.png"));
    let server = server.start();
    server.expect_log("not publishing this feed: the hub answers 403: the feed \"a.png\": that token is for feeds of other names");
    wait_for_part(&hub, "b.png", &png(GREEN));
    assert_eq!(names(&hub), ["b.png"]);
}

#[test]
fn what_is_no_hub_is_told() {
    let folder = folder();
    let plain = mxr(["serve", "--demo"]).start();
    let server = watch(&folder, &plain.url("/"), &[]).start();
    server.expect_log("not publishing: the hub answers 405");
    let redirecting = Upstream::serve(|mut asked| {
        asked.reply_with("301 Moved", &["Location: http://127.0.0.1:1/"], "");
    });
    let server = watch(&folder, &redirecting.url("/"), &[]).start();
    server.expect_log("give that URL");
    assert_eq!(redirecting.requests().len(), 1);
}

/// A hub of raw bytes: it answers questions, and calls this with each stream.
pub(crate) fn raw_hub(stream: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Upstream {
    Upstream::serve(move |mut asked| match asked.path().contains("?received=") {
        true => _ = asked.reply("200 OK", "application/json", r#"{"process": "mxr-other", "feeds": []}"#),
        false => stream(asked.socket),
    })
}

#[test]
fn a_hub_that_refuses_sees_no_byte_of_a_body_and_one_that_says_nothing_gets_it_after_a_second() {
    let folder = folder();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let refusing = raw_hub(move |socket| {
        thread::sleep(A_WHILE);
        socket.set_nonblocking(true).unwrap();
        let mut byte = [0];
        sink.lock().unwrap().push(matches!(socket.read(&mut byte), Ok(1..)));
        socket.set_nonblocking(false).unwrap();
        let text = "mxr: no\n";
        let _ =
            write!(socket, "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\r\n{text}", text.len());
        // Behind the refusal neither.
        socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
        sink.lock().unwrap().push(matches!(socket.read(&mut byte), Ok(1..)));
    });
    let server = watch(&folder, &refusing.url("/"), &[]).start();
    server.expect_log("not publishing: the hub answers 403: no");
    wait_until("both looks are over", SOON, || seen.lock().unwrap().len() == 2);
    assert_eq!(*seen.lock().unwrap(), [false, false]);
    let head = refusing.requests().pop().unwrap();
    assert!(head.starts_with("POST /streams HTTP/1.1\r\n") && head.to_ascii_lowercase().contains("expect: 100-continue"), "{head}");
    let got = Arc::new(Mutex::new(Vec::new()));
    let sink = got.clone();
    let silent = raw_hub(move |socket| {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = socket.read(&mut buffer) {
            sink.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
    let _server = watch(&folder, &silent.url("/lab"), &[]).start();
    wait_until("the body comes", SOON, || {
        let got = got.lock().unwrap();
        got.windows(15).any(|bytes| bytes == b"X-Feed: a.png\r\n") && got.windows(png(RED).len()).any(|bytes| bytes == png(RED))
    });
    assert!(silent.requests().iter().all(|head| head.starts_with("POST /lab/streams")), "the path stays before the routes");
}

#[test]
fn nginx_with_its_defaults_is_noticed_and_pictures_come_nevertheless() {
    let (hub, folder) = (hub(&[]), folder());
    let Some(nginx) = Nginx::start(&format!("location /lab/ {{ proxy_pass http://{}/; }}", hub.host)) else { return };
    let server = watch(&folder, &nginx.url("/lab/"), &[]).start();
    wait_until("the hint comes", SOON * 2, || server.stderr().contains("a proxy holds the upload back"));
    assert!(server.stderr().contains("proxy_request_buffering off"), "{}", server.stderr());
    wait_for_part(&hub, "a.png", &png(RED));
    let connects = publish(&server)["connects"].clone();
    for colour in [GREEN, RED, GREEN] {
        folder.put("a.png", png(colour));
        wait_for_part(&hub, "a.png", &png(colour));
    }
    assert_eq!(feed(&hub, "a.png").unwrap()["source"]["state"], "live");
    assert_eq!((&publish(&server)["state"], &publish(&server)["connects"]), (&json!("live"), &connects));
}

#[test]
fn nginx_that_passes_bodies_on_delays_no_part() {
    let (hub, folder) = (hub(&[]), folder());
    let lines = "proxy_request_buffering off; client_max_body_size 0; proxy_http_version 1.1; proxy_read_timeout 1h;";
    let Some(nginx) = Nginx::start(&format!("location / {{ proxy_pass http://{}; {lines} }}", hub.host)) else { return };
    let server = watch(&folder, &nginx.url("/"), &[]).start();
    wait_for_part(&hub, "a.png", &png(RED));
    folder.put("a.png", png(GREEN));
    wait_for_part(&hub, "a.png", &png(GREEN));
    assert!(!server.stderr().contains("holds the upload back"), "{}", server.stderr());
}

#[test]
fn a_hub_of_tls_is_believed_by_its_certificate() {
    let (ca, folder) = (Ca::new(), folder());
    ca.sign("hub");
    let hub = mxr(["hub", "--tls-cert"]).arg(ca.cert()).arg("--tls-key").arg(ca.key()).start();
    let doubting = watch(&folder, &hub.url("/"), &[]).start();
    doubting.expect_log("--publish-ca FILE believes");
    let server = watch(&folder, &hub.url("/"), &["--publish-ca"]).arg(ca.ca()).start();
    wait_for_state(&server, "live");
    wait_for("the hub has it", SOON, || hub.stderr().contains("a pusher has come feed=\"a.png\"").then_some(()));
}

#[test]
fn a_hub_is_reached_through_the_proxy_of_the_environment() {
    let (ca, folder) = (Ca::new(), folder());
    ca.sign("hub");
    let hub = mxr(["hub", "--allow-host", "hub.test", "--tls-cert"]).arg(ca.cert()).arg("--tls-key").arg(ca.key()).start();
    let (proxy, asked) = connect_proxy(&hub.host);
    // Only the proxy knows the name.
    let by_proxy =
        |url: &str| watch(&folder, url, &["--publish-insecure"]).env("HTTPS_PROXY", &format!("http://user:s3cret@{proxy}")).start();
    let server = by_proxy("https://hub.test:8443/");
    wait_for_state(&server, "live");
    let head = asked.lock().unwrap()[0].clone();
    assert!(head.starts_with("CONNECT hub.test:8443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpzM2NyZXQ="), "{head}");
    assert!(!format!("{}{}", server.stderr(), server.state()).contains("s3cret"));
    let count = asked.lock().unwrap().len();
    let direct = watch(&folder, &hub.url("/"), &["--publish-insecure"]).env("HTTPS_PROXY", &format!("http://{proxy}")).start();
    wait_for_state(&direct, "live");
    assert_eq!(asked.lock().unwrap().len(), count, "this machine is reached without it");
    // A proxy for plain http takes the requests themselves.
    let plain = Upstream::serve(|mut asked| _ = asked.reply("403 Forbidden", "text/plain", "no"));
    let _server = watch(&folder, "http://hub.test/lab", &[]).env("http_proxy", &plain.url("")).start();
    plain.expect_requests(1);
    let head = plain.requests()[0].clone();
    assert!(head.starts_with("POST http://hub.test/lab/streams?received=mxr-") && head.contains("hub.test\r\n"), "{head}");
}

#[test]
fn nothing_is_published_in_a_circle() {
    let port = free_port();
    let own = format!("http://127.0.0.1:{port}/");
    let itself = mxr(["hub", "--publish", &own]).start_at(port);
    itself.expect_log("not publishing: the hub answers 508");
    // Two that publish to each other: each feed goes once.
    let port = free_port();
    let first = mxr(["hub", "--publish", &format!("http://127.0.0.1:{port}/")]).start();
    let second = mxr(["hub", "--publish", &first.url("/")]).start_at(port);
    let folder = folder();
    let _origin = watch(&folder, &first.url("/"), &["--keepalive", "50ms"]).start();
    wait_for_part(&second, "a.png", &png(RED));
    folder.put("a.png", png(GREEN));
    wait_for_part(&second, "a.png", &png(GREEN));
    thread::sleep(A_WHILE);
    assert_eq!((&feed(&first, "a.png").unwrap()["published"], names(&first)), (&json!(2), vec!["a.png".to_owned()]));
    assert!(!first.stderr().contains("another pusher takes the feed over"), "{}", first.stderr());
}

#[test]
fn mistakes_in_the_options_are_told_before_anything_is_published() {
    let watch = |args: &[&str]| mxr(["watch", "."]).args(args).run().usage_error();
    watch(&["--publish-name", "x"]).stderr("cannot use --publish-name: nothing is published");
    watch(&["--publish", "ftp://u:s3cret@hub/"]).stderr("its scheme is ftp").no_stderr("s3cret");
    watch(&["--publish", "http://hub/", "--publish-name", "a//b"]).stderr("cannot use --publish-name");
    mxr(["watch", ".", "--publish", "https://hub/"]).env("https_proxy", "socks5://x").run().usage_error().stderr("https_proxy");
}

/// A proxy that makes a tunnel to this host, whatever it is asked for. Returns its address and the heads.
fn connect_proxy(host: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (listener, host, asked) = (TcpListener::bind("127.0.0.1:0").unwrap(), host.to_owned(), heads.clone());
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, host, asked) = (client.unwrap(), host.clone(), asked.clone());
            thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                }
                asked.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                let server = TcpStream::connect(host).unwrap();
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
                join(&client, &server);
            });
        }
    });
    (address, heads)
}

/// A host before another one whose connections the returned function cuts.
fn cutting_relay(host: &str) -> (String, impl Fn()) {
    let sockets = Arc::new(Mutex::new(Vec::<TcpStream>::new()));
    let (listener, host, open) = (TcpListener::bind("127.0.0.1:0").unwrap(), host.to_owned(), sockets.clone());
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&host).unwrap());
            open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
            thread::spawn(move || join(&client, &server));
        }
    });
    (address, move || {
        sockets.lock().unwrap().drain(..).for_each(|socket| drop(socket.shutdown(std::net::Shutdown::Both)));
    })
}

/// Copies both ways until both are over.
fn join(client: &TcpStream, server: &TcpStream) {
    thread::scope(|scope| {
        let copy = |mut from: &TcpStream, mut to: &TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        };
        scope.spawn(move || copy(client, server));
        copy(server, client);
    });
}

#[test]
fn a_feed_that_is_removed_here_is_removed_there_and_no_viewer_is_counted_for_it() {
    let (hub, folder) = (hub(&[]), folder());
    let text = format!("[server]\npublish = '{}'\n[feed.x]\nwatch = 'a.png'\n", hub.url("/"));
    folder.put("mxr.toml", format!("{text}[feed.y]\nwatch = 'a.png'\n"));
    let server = mxr(["up"]).current_dir(&folder.path()).start();
    wait_until("both are there", SOON, || names(&hub) == ["x", "y"]);
    assert_eq!(feed(&server, "x").unwrap()["viewers"], 0);
    folder.put("mxr.toml", text);
    server.signal(Signal::HUP);
    wait_until("one is gone", SOON * 2, || names(&hub) == ["x"]);
    folder.put("a.png", png(GREEN));
    wait_for_part(&hub, "x", &png(GREEN));
    assert_eq!(publish(&server)["connects"], 1);
}

#[test]
fn a_part_that_is_too_large_for_the_hub_is_told_and_smaller_ones_go_on() {
    let (hub, folder) = (hub(&["--max-part", "2K"]), folder());
    folder.put("a.png", padded_png(RED, 4000, 1));
    folder.put("b.png", png(GREEN));
    let server = watch(&folder, &hub.url("/"), &[]).arg(folder.file("b.png")).start();
    server.expect_log("a part is too large to be published");
    wait_for_part(&hub, "b.png", &png(GREEN));
    folder.put("a.png", png(RED));
    wait_for_part(&hub, "a.png", &png(RED));
    assert_eq!(publish(&server)["connects"], 1);
}
