//! `--publish mqtt://`: what one mxr shows is retained by a real broker, under topics that are a contract, with what the broker's limits,
//! ends and restarts do to it said or mended.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{A_WHILE, Broker, Ca, Folder, GREEN, Mxr, RED, SOON, Server, mxr, padded_png, png, wait_until};

/// A folder with a red picture.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    folder
}

fn watch(folder: &Folder, url: &str, args: &[&str]) -> Mxr {
    mxr(["watch"]).arg(folder.file("a.png")).args(["--publish", url]).args(args)
}

#[track_caller]
fn wait_for_retained(broker: &Broker, topic: &str, body: &[u8]) {
    wait_until(&format!("{topic} is retained"), SOON * 2, || broker.retained(topic).as_deref() == Some(body));
}

fn meta(broker: &Broker, topic: &str) -> Option<Value> {
    broker.retained(&format!("{topic}/meta")).map(|json| serde_json::from_slice(&json).unwrap())
}

#[track_caller]
fn wait_for_status(broker: &Broker, topic: &str, status: &str) {
    wait_until(&format!("{topic} is {status}"), SOON * 2, || broker.retained(topic).as_deref() == Some(status.as_bytes()));
}

fn published(server: &Server) -> Value {
    server.state()["publish"].clone()
}

#[track_caller]
fn wait_for_state(server: &Server, state: &str) {
    wait_until(&format!("publishing is {state}"), SOON * 2, || published(server)["state"] == state);
}

/// What `mosquitto_sub` prints, line by line.
struct Followed {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Followed {
    fn start(broker: &Broker, topic: &str, format: &str) -> Self {
        let mut child = broker.follow(topic, &["-t", "ready", "-F", format]);
        let (lines, out) = (Arc::<Mutex<Vec<String>>>::default(), child.stdout.take().unwrap());
        let seen = lines.clone();
        thread::spawn(move || BufReader::new(out).lines().for_each(|line| seen.lock().unwrap().push(line.unwrap())));
        // It says nothing when it has subscribed: what it shows of itself does.
        wait_until("it follows", SOON, || {
            broker.publish("ready", b"ready", &[]);
            !lines.lock().unwrap().is_empty()
        });
        Self { child, lines }
    }

    /// Without those about the start.
    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|line| !line.contains("ready")).cloned().collect()
    }

    #[track_caller]
    fn wait_for(&self, line: &str) {
        wait_until(&format!("{line} comes"), SOON * 2, || self.lines().iter().any(|known| known == line));
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_newest_picture_is_retained_byte_for_byte_with_what_is_to_be_known_about_it() {
    let Some(broker) = Broker::start("") else { return };
    let folder = folder();
    let server = watch(&folder, &broker.url("home/lab"), &[]).start();
    wait_for_retained(&broker, "home/lab/a.png", &png(RED));
    folder.put("a.png", png(GREEN));
    wait_for_retained(&broker, "home/lab/a.png", &png(GREEN));
    assert_eq!(broker.retained("home/lab/status").as_deref(), Some(&b"online"[..]));
    let (meta, own) = (meta(&broker, "home/lab/a.png").unwrap(), server.state());
    let time = own["feeds"][0]["newest"]["timestamp"].as_f64().unwrap();
    // Sent in microseconds.
    assert!((meta["time"].as_f64().unwrap() - time).abs() < 2e-6, "{meta} {time}");
    let expected = json!({
        "type": "image/png",
        "time": meta["time"],
        "sequence": 2,
        "bytes": png(GREEN).len(),
        "kind": "newest",
        "via": [own["process"]],
        "live": true,
    });
    assert_eq!(meta, expected);
    let state = published(&server);
    assert_eq!((&state["state"], &state["url"]), (&json!("live"), &json!(format!("mqtt://{}/home/lab", broker.host()))));
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("mxr_publish_live 1") && metrics.contains("mxr_publish_parts_total 2"), "{metrics}");
    assert_eq!(broker.retained("home/lab/a.png/%"), None);
}

#[test]
fn status_meta_and_part_come_in_this_order_under_topics_that_are_a_contract() {
    let Some(broker) = Broker::start("") else { return };
    let (folder, seen) = (folder(), Followed::start(&broker, "#", "%t %l"));
    let server = watch(&folder, &broker.url(""), &["--publish-name", "Garaż 2.5/c++/meta"]).start();
    let body = "mxr/Garaż 2.5/c%2B%2B/%6Deta";
    seen.wait_for(&format!("{body} {}", png(RED).len()));
    server.stop().success();
    seen.wait_for("mxr/status 7");
    let topics: Vec<String> = seen.lines().iter().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
    let meta = format!("{body}/meta");
    assert_eq!(topics, ["mxr/status", &meta, body, &meta, "mxr/status"]);
}

#[test]
fn each_line_is_a_message_that_is_not_retained() {
    let Some(broker) = Broker::start("") else { return };
    let seen = Followed::start(&broker, "lab/log", "%r %p");
    let url = broker.url("lab");
    let mut server = mxr(["stdin", "--split", "lines", "--publish", &url, "--publish-name", "log"]).stdin(Stdio::piped()).start();
    server.write("one\ntwo\n");
    seen.wait_for("0 two");
    server.write("three\n");
    seen.wait_for("0 three");
    assert_eq!(seen.lines(), ["0 one", "0 two", "0 three"]);
    assert_eq!(broker.retained("lab/log"), None);
    let meta = meta(&broker, "lab/log").unwrap();
    assert_eq!(
        (&meta["kind"], &meta["type"], &meta["sequence"], &meta["bytes"]),
        (&json!("lines"), &json!("text/plain; charset=utf-8"), &json!(3), &json!(5))
    );
}

#[test]
fn a_broker_that_is_killed_and_started_again_has_everything_again() {
    let Some(mut broker) = Broker::start("") else { return };
    let folder = folder();
    folder.put("b.png", png(GREEN));
    let url = broker.url("lab");
    let server = watch(&folder, &url, &["--mqtt-discovery"]).arg(folder.file("b.png")).start();
    let mut lines = mxr(["stdin", "--split", "lines", "--publish", &url, "--publish-name", "log"]).stdin(Stdio::piped()).start();
    lines.write("1\n2\n");
    wait_for_retained(&broker, "lab/a.png", &png(RED));
    wait_for_retained(&broker, "lab/b.png", &png(GREEN));
    wait_for_state(&lines, "live");
    broker.kill();
    wait_for_state(&server, "lost");
    wait_for_state(&lines, "lost");
    lines.write("3\n4\n");
    folder.put("b.png", png(RED));
    broker.start_again();
    let seen = Followed::start(&broker, "lab/log", "%p");
    for (topic, body) in [("lab/a.png", png(RED)), ("lab/b.png", png(RED)), ("lab/status", b"online".to_vec())] {
        wait_for_retained(&broker, topic, &body);
    }
    assert!(meta(&broker, "lab/a.png").is_some());
    assert!(broker.retained("homeassistant/camera/+/config").is_some());
    server.expect_log("publishing again");
    wait_for_state(&lines, "live");
    lines.write("5\n");
    seen.wait_for("5");
    // Those from before are not sent again; whether this reader was there for the next two is chance.
    assert!(!seen.lines().contains(&"2".to_owned()), "{:?}", seen.lines());
}

#[test]
fn a_feed_that_is_removed_is_emptied_at_the_broker() {
    let Some(broker) = Broker::start("") else { return };
    let folder = folder();
    let text = format!("[server]\npublish = '{}'\nmqtt-discovery = 'image'\n[feed.x]\nwatch = 'a.png'\n", broker.url("lab"));
    folder.put("mxr.toml", format!("{text}[feed.y]\nwatch = 'a.png'\n"));
    let server = mxr(["up"]).current_dir(&folder.path()).start();
    let all = || {
        let output = broker.subscribe("#", &["--retained-only", "-W", "1", "-F", "%t"]);
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // Status, and of each feed the body, the meta and what Home Assistant reads.
    wait_until("both are there", SOON * 2, || all().len() == 7);
    folder.put("mxr.toml", text);
    server.signal(Signal::HUP);
    wait_until("one is gone", SOON * 3, || all().len() == 4);
    assert!(all().contains(&"lab/x".to_owned()) && !all().iter().any(|topic| topic.starts_with("lab/y")), "{:?}", all());
    server.expect_log("the feed is gone here, and removed there");
}

#[test]
fn sigterm_and_sigkill_both_end_offline() {
    let Some(broker) = Broker::start("") else { return };
    for signal in [Signal::TERM, Signal::KILL] {
        let folder = folder();
        let server = watch(&folder, &broker.url("lab"), &[]).start();
        wait_for_status(&broker, "lab/status", "online");
        wait_for_retained(&broker, "lab/a.png", &png(RED));
        server.signal(signal);
        server.finish();
        wait_for_status(&broker, "lab/status", "offline");
        // The last picture stays. Only a process that ends by itself can say that its feed is no longer live.
        assert_eq!(broker.retained("lab/a.png"), Some(png(RED)));
        assert_eq!(meta(&broker, "lab/a.png").unwrap()["live"], signal == Signal::KILL);
    }
}

#[test]
fn two_publishers_below_one_prefix_do_not_throw_each_other_out_and_it_is_online_while_one_lives() {
    let Some(broker) = Broker::start("") else { return };
    let folder = folder();
    let first = watch(&folder, &broker.url("lab"), &["--publish-name", "first"]).start();
    let second = watch(&folder, &broker.url("lab"), &["--publish-name", "second"]).start();
    wait_for_retained(&broker, "lab/first", &png(RED));
    wait_for_retained(&broker, "lab/second", &png(RED));
    let seen = Followed::start(&broker, "lab/status", "%p");
    for signal in [Signal::TERM, Signal::KILL] {
        let third = watch(&folder, &broker.url("lab"), &["--publish-name", "third"]).start();
        wait_for_state(&third, "live");
        let before = seen.lines().len();
        third.signal(signal);
        third.finish();
        wait_until("it goes offline and online again", SOON * 2, || {
            let lines = seen.lines();
            let last = lines[before..].iter().position(|line| line == "offline");
            last.is_some_and(|at| lines[before + at..].iter().any(|line| line == "online"))
        });
        wait_for_status(&broker, "lab/status", "online");
    }
    for server in [&first, &second] {
        assert_eq!((&published(server)["connects"], &published(server)["state"]), (&json!(1), &json!("live")));
    }
}

#[test]
fn a_part_that_is_too_large_for_the_broker_is_named_and_the_others_flow() {
    let Some(broker) = Broker::start("max_packet_size 50000") else { return };
    let folder = Folder::new();
    let (small, large) = (|seed| padded_png(RED, 10_000, seed), |seed| padded_png(GREEN, 100_000, seed));
    folder.put("small.png", small(0));
    folder.put("large.png", large(0));
    let url = broker.url("lab");
    let files = [folder.file("small.png"), folder.file("large.png")];
    let server = mxr(["watch", "--publish", &url]).args(files).start();
    wait_for_retained(&broker, "lab/small.png", &small(0));
    server.expect_log("bytes of \"large.png\"");
    server.expect_log("max_packet_size");
    for seed in 1..6 {
        folder.put("large.png", large(seed));
        folder.put("small.png", small(seed));
        wait_for_retained(&broker, "lab/small.png", &small(seed));
    }
    assert_eq!(broker.retained("lab/large.png"), None);
    wait_for_state(&server, "live");
    let connects = published(&server)["connects"].as_u64().unwrap();
    assert!(connects <= 2, "{connects} connections: {}", server.stderr());
    server.expect_logs("a part is too large to be published", 1);
    // A smaller picture of that feed is published again.
    folder.put("large.png", small(9));
    wait_for_retained(&broker, "lab/large.png", &small(9));
}

#[test]
fn a_broker_that_swallows_large_parts_is_told_of() {
    let Some(broker) = Broker::start("message_size_limit 50000") else { return };
    let folder = folder();
    let server = watch(&folder, &broker.url("lab"), &[]).start();
    wait_for_retained(&broker, "lab/a.png", &png(RED));
    let large = padded_png(GREEN, 100_000, 1);
    folder.put("a.png", &large);
    wait_until("it is told of", SOON * 3, || server.stderr().contains("this part does not come back from the broker"));
    let log = server.stderr();
    assert!(log.contains(&format!("bytes={}", large.len())) && log.contains("message_size_limit"), "{log}");
    assert_eq!((&published(&server)["connects"], &published(&server)["state"]), (&json!(1), &json!("live")));
    folder.put("a.png", png(GREEN));
    wait_for_retained(&broker, "lab/a.png", &png(GREEN));
    server.expect_logs("this part does not come back from the broker", 1);
}

#[test]
fn a_broker_that_retains_nothing_is_told_of() {
    let Some(broker) = Broker::start("retain_available false") else { return };
    let folder = folder();
    let server = watch(&folder, &broker.url("lab"), &[]).start();
    server.expect_log("retain_available");
}

#[test]
fn pictures_are_announced_to_home_assistant_and_text_is_not() {
    let Some(broker) = Broker::start("") else { return };
    let folder = folder();
    folder.put("notes.txt", "hello\n");
    folder.put("drawing.svg", "<svg xmlns='http://www.w3.org/2000/svg'></svg>");
    let url = broker.url("lab");
    let files = [folder.file("notes.txt"), folder.file("drawing.svg")];
    let server = watch(&folder, &url, &["--mqtt-discovery", "--publish-name", "Garaż 2.5"]).args(files).start();
    for name in ["a.png", "notes.txt", "drawing.svg"] {
        wait_until("it is there", SOON * 2, || broker.retained(&format!("lab/Garaż 2.5/{name}")).is_some());
    }
    wait_until("it is announced", SOON, || broker.retained("homeassistant/camera/+/config").is_some());
    let output = broker.subscribe("homeassistant/#", &["--retained-only", "-W", "1", "-v"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    let (topic, config) = line.split_once(' ').unwrap();
    let id = topic.split('/').nth(2).unwrap();
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')), "{topic}");
    let config: Value = serde_json::from_str(config).unwrap();
    assert_eq!((&config["name"], &config["unique_id"]), (&json!("Garaż 2.5/a.png"), &json!(id)));
    assert_eq!((&config["topic"], &config["image_encoding"]), (&json!("lab/Garaż 2.5/a.png"), &Value::Null));
    assert_eq!(config["availability"][1]["topic"], "lab/Garaż 2.5/a.png/meta");
    drop(server);
}

#[test]
fn a_source_that_is_lost_and_comes_back_is_told_of_without_a_part() {
    let Some(broker) = Broker::start("") else { return };
    let upstream = folder();
    let origin = mxr(["watch"]).arg(upstream.file("a.png")).start();
    let (port, url) = (origin.port(), broker.url("lab"));
    let relay = mxr(["relay", &origin.url("/"), "--publish", &url]).start();
    wait_for_retained(&broker, "lab/a.png", &png(RED));
    let told = meta(&broker, "lab/a.png").unwrap();
    assert_eq!(told["via"], json!([origin.state()["process"], relay.state()["process"]]));
    drop(origin);
    wait_until("it is not live", SOON * 2, || meta(&broker, "lab/a.png").unwrap()["live"] == false);
    let _origin = mxr(["watch"]).arg(upstream.file("a.png")).start_at(port);
    wait_until("it is live again", SOON * 4, || meta(&broker, "lab/a.png").unwrap()["live"] == true);
}

#[test]
fn a_relayed_feed_is_not_published_to_the_topic_that_it_comes_from() {
    let Some(broker) = Broker::start("") else { return };
    let (folder, url) = (folder(), broker.url("lab"));
    let origin = watch(&folder, &url, &[]).start();
    wait_for_retained(&broker, "lab/a.png", &png(RED));
    let relay = mxr(["relay", &origin.url("/"), "--publish", &url]).start();
    relay.expect_log("it comes from this topic, and would go in a circle");
    let own = origin.state()["process"].clone();
    assert_eq!(meta(&broker, "lab/a.png").unwrap()["via"], json!([own]));
    folder.put("a.png", png(GREEN));
    wait_for_retained(&broker, "lab/a.png", &png(GREEN));
    assert_eq!(meta(&broker, "lab/a.png").unwrap()["via"], json!([own]));
}

#[test]
fn a_password_stands_in_the_url_or_beside_it_and_a_wrong_one_is_a_sentence_and_a_pause_of_minutes() {
    let passwords = Folder::new();
    // Of the user `camera`, with the password `secret`.
    let file = passwords.file("passwords");
    let made = std::process::Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&file).args(["camera", "secret"]).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let Some(broker) = Broker::start(&format!("allow_anonymous false\nuser root\npassword_file {}", file.display())) else {
        return;
    };
    let (folder, host) = (folder(), broker.host());
    for (user, token) in [("camera:secret@", ""), ("camera@", "secret"), ("", "camera:secret")] {
        let server = watch(&folder, &format!("mqtt://{user}{host}/lab"), &[]).env("MXR_PUBLISH_TOKEN", token).start();
        wait_for_state(&server, "live");
        assert!(!server.stderr().contains("secret") && !server.state().to_string().contains("secret"));
    }
    let server = watch(&folder, &format!("mqtt://camera:wrong@{host}/lab"), &[]).start();
    server.expect_log("the broker refuses the user and password");
    server.expect_log("pause=60s");
    assert!(!server.stderr().contains("wrong"), "{}", server.stderr());
    wait_for_state(&server, "lost");
}

#[test]
fn what_is_no_broker_is_a_sentence() {
    let (folder, other) = (folder(), mxr(["serve"]).start());
    let server = watch(&folder, &format!("mqtt://127.0.0.1:{}/lab", other.port()), &[]).start();
    server.expect_log("is it a broker for MQTT?");
    let closed = watch(&folder, &format!("mqtt://127.0.0.1:{}/lab", crate::support::free_port()), &[]).start();
    closed.expect_log("not publishing: ");
    wait_for_state(&closed, "lost");
}

#[test]
fn a_broker_with_tls_is_believed_by_its_own_authority_alone() {
    let (ca, other, folder) = (Ca::new(), Ca::new(), folder());
    ca.sign("broker");
    let lines = format!("user root\ncertfile {}\nkeyfile {}", ca.cert().display(), ca.key().display());
    let Some(broker) = Broker::start(&lines) else { return };
    let url = format!("mqtts://{}/lab", broker.host());
    let trusting = |file: &std::path::Path| watch(&folder, &url, &["--publish-ca", file.to_str().unwrap()]).start();
    let server = trusting(&ca.ca());
    wait_for_state(&server, "live");
    assert_eq!(published(&server)["url"], url);
    let wrong = trusting(&other.ca());
    wait_for_state(&wrong, "lost");
    wrong.expect_log("certificate");
    wrong.expect_log("--publish-ca FILE believes");
    watch(&folder, &url, &["--publish-ca", "/none.pem"]).run().failure().stderr("cannot use --publish-ca /none.pem: ");
    wait_for_state(&watch(&folder, &url, &["--publish-insecure"]).start(), "live");
}

#[test]
fn a_url_that_nothing_can_be_published_to_is_refused_at_the_start() {
    let folder = folder();
    for (url, reason) in [
        ("mqtt://broker/lab/#", "a wildcard"),
        ("mqtt://broker/+/lab", "a wildcard"),
        ("mqtt://broker/$SYS/lab", "$"),
        ("mqtt://broker/lab?qos=1", "in a topic ? is written as %3F"),
        ("mqt://broker/lab", "its scheme is mqt, not http, https, mqtt or mqtts"),
        ("mqtt:/broker/lab", "begin it with http://, https://, mqtt:// or mqtts://"),
    ] {
        watch(&folder, url, &[]).run().usage_error().stderr(reason);
    }
    let run = |url: &str, token: &str, args: &[&str]| watch(&folder, url, args).env("MXR_PUBLISH_TOKEN", token).run().usage_error();
    run("mqtt://user:pass@broker/", "secret", &[]).stderr("there can be only one").no_stderr("pass@").no_stderr("secret");
    run("mqtt://broker/", "secret", &[]).stderr("USER:PASSWORD").no_stderr("secret");
    run("mqtt://ann@broker/", "ann:secret", &[]).stderr("it is the password alone").no_stderr("secret");
    run("http://hub/", "", &["--mqtt-discovery"]).stderr("a hub announces nothing");
    mxr(["watch"]).arg(folder.file("a.png")).arg("--mqtt-discovery").run().usage_error().stderr("nothing is published");
}

/// A broker that accepts connections, and then does what a test says; it answers nothing but `CONNECT`.
fn raw_broker(mut serve: impl FnMut(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            packet(&mut stream).unwrap();
            stream.write_all(&[0x20, 2, 0, 0]).unwrap();
            serve(stream);
        }
    });
    host
}

/// The first byte and the rest of the next packet.
fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0; 1];
    stream.read_exact(&mut byte).ok()?;
    let (kind, mut length, mut shift) = (byte[0], 0usize, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).ok()?;
    Some((kind, rest))
}

/// Answers a subscription or its end, which begin with their number.
fn acknowledge(stream: &mut TcpStream, kind: u8, rest: &[u8]) {
    match kind >> 4 {
        8 => stream.write_all(&[0x90, 3, rest[0], rest[1], 0]).unwrap(),
        10 => stream.write_all(&[0xb0, 2, rest[0], rest[1]]).unwrap(),
        _ => {}
    }
}

#[test]
fn a_slow_broker_gets_the_newest_picture_next_and_none_that_was_replaced_meanwhile() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let bodies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let seen = bodies.clone();
    let host = raw_broker(move |mut stream| {
        while let Some((kind, rest)) = packet(&mut stream) {
            acknowledge(&mut stream, kind, &rest);
            if rest.len() > 1 << 20 {
                seen.lock().unwrap().push(rest[rest.len() - 8..].to_vec());
                // It reads on when the test says so.
                let _ = held.recv();
            }
        }
    });
    let folder = Folder::new();
    // Larger than what kernels hold on the way.
    let picture = |seed| padded_png(RED, 8 << 20, seed);
    folder.put("a.png", picture(0));
    let server = watch(&folder, &format!("mqtt://{host}/lab"), &[]).start();
    wait_until("it has the first", SOON * 3, || bodies.lock().unwrap().len() == 1);
    let mut last = Vec::new();
    for seed in 1..=6 {
        let bytes = picture(seed);
        folder.put("a.png", &bytes);
        wait_until("it is shown", SOON * 2, || server.state()["feeds"][0]["published"] == u64::from(seed) + 1);
        last = bytes[bytes.len() - 8..].to_vec();
    }
    drop(release);
    wait_until("it has the last", SOON * 3, || bodies.lock().unwrap().contains(&last));
    let count = bodies.lock().unwrap().len();
    assert!(count <= 3, "{count} pictures of 7");
}

#[test]
fn a_broker_that_accepts_and_closes_is_asked_at_most_eight_times_in_30_seconds() {
    let host = raw_broker(drop);
    let folder = folder();
    let server = watch(&folder, &format!("mqtt://{host}/lab"), &["-vv"]).start();
    wait_until("it has tried twice", SOON * 2, || pauses(&server.stderr()).len() >= 2);
    // No pause is shorter, and they grow.
    assert!(pauses(&server.stderr()).iter().all(|pause| *pause >= 4.0), "{}", server.stderr());
    wait_for_state(&server, "lost");
}

#[test]
fn a_topic_that_a_broker_cuts_the_connection_at_is_named_and_the_other_feeds_go_on() {
    let bodies = Arc::<Mutex<Vec<String>>>::default();
    let seen = bodies.clone();
    // As nats-server before 2.10.
    let host = raw_broker(move |mut stream| {
        while let Some((kind, rest)) = packet(&mut stream) {
            acknowledge(&mut stream, kind, &rest);
            if kind >> 4 == 3 {
                let topic = String::from_utf8(rest[2..2 + usize::from(rest[1])].to_vec()).unwrap();
                if topic.contains('.') {
                    return;
                }
                seen.lock().unwrap().push(topic);
            }
        }
    });
    let folder = folder();
    let files: Vec<_> = ["b.png", "plot"].iter().map(|name| folder.file(name)).collect();
    files.iter().for_each(|file| folder.put(file.file_name().unwrap().to_str().unwrap(), png(GREEN)));
    let server = watch(&folder, &format!("mqtt://{host}/lab"), &[]).args(&files).start();
    server.expect_log("at the topic \"lab/a.png\"");
    wait_until("the other is there", SOON, || bodies.lock().unwrap().contains(&"lab/plot".to_owned()));
    wait_for_state(&server, "live");
    // Both with a dot are left out at once.
    assert_eq!(published(&server)["connects"], 2, "{}", server.stderr());
}

/// The pauses that a log tells of, in seconds.
fn pauses(log: &str) -> Vec<f64> {
    let words = log.split_whitespace().filter_map(|word| word.strip_prefix("pause="));
    words
        .map(|pause| match pause.strip_suffix("ms") {
            Some(ms) => ms.parse::<f64>().unwrap() / 1000.0,
            None => pause.trim_end_matches('s').parse().unwrap(),
        })
        .collect()
}

#[test]
fn a_broker_that_takes_nothing_holds_the_end_up_for_a_limited_time() {
    let (_keep, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let host = raw_broker(move |mut stream| {
        let _ = packet(&mut stream);
        let _ = held.lock().unwrap().recv();
    });
    let folder = Folder::new();
    folder.put("a.png", padded_png(RED, 8 << 20, 1));
    let server = watch(&folder, &format!("mqtt://{host}/lab"), &[]).start();
    thread::sleep(A_WHILE);
    server.terminate();
    server.finish_within(SOON * 2).success().stderr("the last parts are not taken");
}

#[test]
fn a_broker_that_sends_without_end_gets_the_parts_all_the_same() {
    let bodies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let seen = bodies.clone();
    let message = |topic: &str, body: &[u8]| {
        let length = (2 + topic.len() + body.len()) as u8;
        [&[0x30, length, 0, topic.len() as u8], topic.as_bytes(), body].concat()
    };
    // Each answer to what it says asks for another thousand.
    let flood = [message("lab/status", b"offline"), message("lab/other", b"never asked for")].concat().repeat(1000);
    let host = raw_broker(move |mut stream| {
        while let Some((kind, rest)) = packet(&mut stream) {
            acknowledge(&mut stream, kind, &rest);
            match kind >> 4 {
                3 if rest.starts_with(b"\0\x09lab/a.png") && !rest.starts_with(b"\0\x0elab/a.png/meta") => {
                    seen.lock().unwrap().push(rest[11..].to_vec());
                }
                3 => stream.write_all(&flood).unwrap_or_default(),
                _ => {}
            }
        }
    });
    let folder = folder();
    let _server = watch(&folder, &format!("mqtt://{host}/lab"), &[]).start();
    for color in [RED, GREEN] {
        folder.put("a.png", png(color));
        wait_until("it has the part", SOON * 2, || bodies.lock().unwrap().contains(&png(color)));
    }
}
