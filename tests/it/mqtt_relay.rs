//! `mxr relay mqtt://…`: topics of a broker as feeds, of mxr and of other programs; what is retained is there at once, nothing older comes
//! after something newer, and one topic harms no other.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::support::{
    A_WHILE, Broker, Ca, Connection, Folder, GREEN, RED, SOON, Server, jpeg, mxr, noise, padded_png, png, relay, skip, tool,
    wait_until,
};

/// A client that publishes on one connection, in order.
struct Client(TcpStream);

impl Client {
    fn of(broker: &Broker) -> Self {
        let mut stream = TcpStream::connect(broker.host()).unwrap();
        stream.write_all(&packet(0x10, &[b"\0\x04MQTT\x04\x02\0\0", &text("test")[..]].concat())).unwrap();
        let mut accepted = [0; 4];
        stream.read_exact(&mut accepted).unwrap();
        assert_eq!(accepted, [0x20, 2, 0, 0]);
        Self(stream)
    }

    fn publish(&mut self, topic: &str, body: &[u8], is_retained: bool) {
        self.0.write_all(&publish(topic, body, is_retained)).unwrap();
    }

    fn retain(&mut self, topic: &str, body: &[u8]) {
        self.publish(topic, body, true);
    }

    fn send(&mut self, topic: &str, body: &[u8]) {
        self.publish(topic, body, false);
    }

    /// A part as mxr publishes it.
    fn part(&mut self, topic: &str, body: &[u8], told: &Value) {
        let mut meta = told.clone();
        meta["bytes"] = body.len().into();
        self.retain(&format!("{topic}/meta"), meta.to_string().as_bytes());
        self.publish(topic, body, told["kind"] == "newest");
    }
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let (mut bytes, mut length) = (vec![kind], body.len());
    loop {
        bytes.push((length % 128) as u8 | if length > 127 { 128 } else { 0 });
        length /= 128;
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn publish(topic: &str, body: &[u8], is_retained: bool) -> Vec<u8> {
    packet(0x30 | u8::from(is_retained), &[&text(topic)[..], body].concat())
}

/// What mxr tells of a part.
fn told(media: &str, kind: &str, run: &str, sequence: u64, time: f64) -> Value {
    json!({ "type": media, "time": time, "sequence": sequence, "bytes": 0, "kind": kind, "via": [run], "live": true })
}

fn picture(run: &str, sequence: u64, time: f64) -> Value {
    told("image/jpeg", "newest", run, sequence, time)
}

/// Sends these packets to the clients that subscribe, before it says that it has accepted the first subscription. All but the last are
/// for one client, whose connection ends then.
fn fake_broker(turns: &[Vec<u8>]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (host, turns) = (listener.local_addr().unwrap(), turns.to_vec());
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let (packets, is_last) = (turns[number.min(turns.len() - 1)].clone(), number + 1 >= turns.len());
            thread::spawn(move || serve(stream, packets, is_last));
        }
    });
    format!("mqtt://{host}")
}

fn serve(mut stream: TcpStream, mut packets: Vec<u8>, is_last: bool) {
    while let Some((kind, body)) = read_packet(&mut stream) {
        match kind {
            0x10 => stream.write_all(&[0x20, 2, 0, 0]).unwrap(),
            0x82 => {
                stream.write_all(&std::mem::take(&mut packets)).unwrap();
                stream.write_all(&[0x90, 3, body[0], body[1], 0]).unwrap();
                if !is_last {
                    return;
                }
            }
            _ => {}
        }
    }
}

fn read_packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let (kind, mut length, mut shift) = (byte[0], 0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 127) << shift;
        shift += 7;
        if byte[0] < 128 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((kind, body))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The feed of this name in `/state`.
fn feed(server: &Server, name: &str) -> Option<Value> {
    server.state()["feeds"].as_array().unwrap().iter().find(|feed| feed["name"] == name).cloned()
}

fn names(server: &Server) -> Vec<String> {
    let state = server.state();
    let mut names: Vec<String> =
        state["feeds"].as_array().unwrap().iter().map(|feed| feed["name"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

#[track_caller]
fn wait_for_part(server: &Server, name: &str, body: &[u8]) {
    wait_until(&format!("{name} has the part"), SOON * 2, || {
        let reply = server.get(&format!("/snapshot/{name}"));
        reply.head.status == 200 && reply.body == body
    });
}

#[track_caller]
fn wait_for_state(server: &Server, name: &str, state: &str) {
    wait_until(&format!("{name} is {state}"), SOON * 2, || feed(server, name).is_some_and(|feed| feed["source"]["state"] == state));
}

#[track_caller]
fn wait_for_published(server: &Server, name: &str, parts: u64) {
    wait_until(&format!("{name} has {parts} parts"), SOON * 2, || {
        feed(server, name).is_some_and(|feed| feed["published"] == parts)
    });
}

/// A broker and what relays all of its topics.
fn relayed(filter: &str, args: &[&str]) -> Option<(Broker, Client, Server)> {
    let Some(broker) = Broker::start("") else {
        skip("mosquitto is missing");
        return None;
    };
    let client = Client::of(&broker);
    let server = relay(&broker.url(filter), args);
    server.expect_log("subscribed");
    Some((broker, client, server))
}

#[test]
fn a_picture_that_another_program_retains_is_there_at_once_and_the_next_one_follows() {
    let Some(broker) = Broker::start("") else { return skip("mosquitto is missing") };
    broker.publish("frigate/front/person/snapshot", &jpeg(RED), &["-r"]);
    let server = relay(&broker.url("frigate/#"), &[]);
    wait_for_part(&server, "front/person/snapshot", &jpeg(RED));
    let mut viewer = server.view("/stream/front/person/snapshot");
    assert_eq!(viewer.part().media(), "image/jpeg");
    broker.publish("frigate/front/person/snapshot", &jpeg(GREEN), &["-r"]);
    assert_eq!(viewer.part_where(|part| part.body == jpeg(GREEN)).media(), "image/jpeg");
    assert_eq!(names(&server), ["front/person/snapshot"]);
}

#[test]
fn a_retained_text_and_json_are_documents_and_a_text_that_is_not_retained_is_lines() {
    let Some(broker) = Broker::start("") else { return skip("mosquitto is missing") };
    let mut client = Client::of(&broker);
    client.retain("home/temperature", b"21.5\n");
    let server = relay(&broker.url("home/#"), &[]);
    wait_for_part(&server, "temperature", b"21.5\n");
    for text in [&b"22"[..], b"23"] {
        client.retain("home/temperature", text);
        client.send("home/door", text);
    }
    client.send("home/door", b"open\n");
    client.send("home/plug/SENSOR", br#"{"power": 12}"#);
    client.send("home/blob", b"\x01\x02\xff\0");
    client.send("home/last", b"x");
    wait_for_published(&server, "last", 1);
    let kind = |name: &str| feed(&server, name).unwrap()["kind"].clone();
    assert_eq!([kind("temperature"), kind("door"), kind("plug/SENSOR")], ["newest", "lines", "newest"]);
    assert_eq!(server.get("/snapshot/temperature").text(), "23");
    assert_eq!(server.get("/snapshot/plug/SENSOR").head.want("Content-Type"), "application/json");
    let lines: Vec<String> = server.view("/stream/door?history=10&parts=3").parts_to_end().iter().map(|part| part.text()).collect();
    assert_eq!(lines, ["22", "23", "open"]);
    assert_eq!(feed(&server, "blob"), None);
    server.expect_log("home/blob");
}

#[test]
fn the_type_that_the_user_gives_wins() {
    let Some((_broker, mut client, server)) = relayed("#", &["--type", "application/x-measured"]) else { return };
    client.send("a/blob", b"\x01\x02\xff\0");
    wait_for_part(&server, "a/blob", b"\x01\x02\xff\0");
    assert_eq!(server.get("/snapshot/a/blob").head.want("Content-Type"), "application/x-measured");
}

#[test]
fn a_retained_part_has_the_time_that_mxr_tells_of_it_whichever_of_both_comes_first() {
    let body = publish("mxr/a.jpg", &jpeg(RED), true);
    let mut meta = picture("mxr-a", 7, 1_764_000_000.25);
    (meta["bytes"], meta["via"]) = (jpeg(RED).len().into(), json!(["mxr-a", "mxr-b"]));
    let meta = publish("mxr/a.jpg/meta", meta.to_string().as_bytes(), true);
    for packets in [[body.clone(), meta.clone()].concat(), [meta, body].concat()] {
        let server = relay(&format!("{}/mxr/#", fake_broker(&[packets])), &[]);
        wait_for_part(&server, "a.jpg", &jpeg(RED));
        let feed = feed(&server, "a.jpg").unwrap();
        assert_eq!((&feed["newest"]["timestamp"], &feed["published"]), (&json!(1_764_000_000.25), &json!(1)));
        assert_eq!(feed["via"], json!(["mxr-a", "mxr-b"]));
    }
}

#[test]
fn a_part_that_was_on_its_way_while_its_reader_came_has_what_is_told_of_it() {
    let mut meta = told("text/csv", "newest", "mxr-a", 7, 1_764_000_000.25);
    meta["bytes"] = 3.into();
    let packets = [publish("mxr/a/meta", meta.to_string().as_bytes(), true), publish("mxr/a", b"1,2", false)].concat();
    let server = relay(&format!("{}/mxr/#", fake_broker(&[packets])), &[]);
    wait_for_published(&server, "a", 1);
    let newest = feed(&server, "a").unwrap()["newest"].clone();
    assert_eq!((&newest["type"], &newest["timestamp"]), (&json!("text/csv"), &json!(1_764_000_000.25)));
}

#[test]
fn any_number_of_retained_messages_may_come_before_the_subscription_is_accepted() {
    let packets: Vec<u8> = (0..200).flat_map(|number| publish(&format!("a/{number}"), &jpeg(RED), true)).collect();
    let server = relay(&format!("{}/a/#", fake_broker(&[packets])), &[]);
    server.expect_log("subscribed");
    wait_until("all are there", SOON, || names(&server).len() == 200);
}

#[test]
fn a_topic_alone_is_one_feed_that_a_snapshot_waits_for() {
    let Some((_broker, mut client, server)) = relayed("lab/plot.png", &[]) else { return };
    assert_eq!(names(&server), ["plot.png"]);
    thread::scope(|scope| {
        let snapshot = scope.spawn(|| server.get("/snapshot"));
        client.send("lab/plot.png/more", b"x");
        client.part("lab/plot.png", &png(RED), &told("image/png", "newest", "mxr-a", 1, now()));
        let snapshot = snapshot.join().unwrap();
        assert_eq!((snapshot.head.status, snapshot.body), (200, png(RED)));
    });
    client.retain("lab/status", b"offline");
    wait_for_state(&server, "plot.png", "lost");
    assert_eq!(names(&server), ["plot.png"]);
}

#[test]
fn a_body_that_mxr_did_not_publish_keeps_the_last_type_and_has_no_number() {
    let Some((_broker, mut client, server)) = relayed("mxr/#", &[]) else { return };
    client.part("mxr/table", b"a,b\n1,2\n", &told("text/csv", "newest", "mxr-a", 1, 1_764_000_000.0));
    wait_for_published(&server, "table", 1);
    client.retain("mxr/table", b"a,b\n1,2\n3,4\n");
    wait_for_part(&server, "table", b"a,b\n1,2\n3,4\n");
    let newest = feed(&server, "table").unwrap()["newest"].clone();
    assert_eq!(newest["type"], "text/csv");
    assert!(newest["timestamp"].as_f64().unwrap() > now() - 60.0, "{newest}");
}

#[test]
fn lines_that_a_publisher_sends_again_come_once() {
    let Some((_broker, mut client, server)) = relayed("mxr/#", &[]) else { return };
    let line = |sequence| told("text/plain; charset=utf-8", "lines", "mxr-a", sequence, 1_764_000_000.0 + sequence as f64);
    client.part("mxr/log", b"1", &line(1));
    client.send("mxr/log", b"2");
    client.send("mxr/log", b"3");
    // As after a connection that was lost.
    client.part("mxr/log", b"2", &line(2));
    client.send("mxr/log", b"3");
    client.send("mxr/log", b"4");
    wait_for_published(&server, "log", 4);
    let lines: Vec<String> = server.view("/stream/log?history=10&parts=4").parts_to_end().iter().map(|part| part.text()).collect();
    assert_eq!(lines, ["1", "2", "3", "4"]);
}

#[test]
fn no_bytes_at_all_are_the_end_of_a_feed_unless_it_comes_back() {
    let Some((_broker, mut client, server)) = relayed("mxr/#", &[]) else { return };
    for name in ["a", "b", "c"] {
        client.part(&format!("mxr/{name}"), &jpeg(RED), &picture("mxr-a", 1, now()));
        wait_for_published(&server, name, 1);
    }
    let mut viewer = server.view("/stream/a");
    viewer.part();
    for name in ["a", "b"] {
        client.retain(&format!("mxr/{name}"), b"");
        client.retain(&format!("mxr/{name}/meta"), b"");
    }
    client.part("mxr/b", &jpeg(GREEN), &picture("mxr-a", 2, now()));
    viewer.parts_to_end();
    wait_until("the feed is gone", SOON * 2, || names(&server) == ["b", "c"]);
    assert_eq!(server.get("/snapshot/b").body, jpeg(GREEN));
}

#[test]
fn a_source_that_is_lost_at_its_publisher_is_lost_here_and_its_part_stays() {
    let Some((_broker, mut client, server)) = relayed("mxr/#", &[]) else { return };
    client.part("mxr/a", &jpeg(RED), &picture("mxr-a", 1, now()));
    wait_for_state(&server, "a", "live");
    let mut meta = picture("mxr-a", 1, now());
    (meta["bytes"], meta["live"]) = (jpeg(RED).len().into(), false.into());
    client.retain("mxr/a/meta", meta.to_string().as_bytes());
    wait_for_state(&server, "a", "lost");
    assert_eq!(server.get("/snapshot/a").body, jpeg(RED));
    meta["live"] = true.into();
    client.retain("mxr/a/meta", meta.to_string().as_bytes());
    wait_for_state(&server, "a", "live");
    assert_eq!(feed(&server, "a").unwrap()["published"], 1);
}

#[test]
fn feeds_of_a_publisher_that_is_offline_are_lost_and_those_of_other_programs_are_not() {
    let Some((_broker, mut client, server)) = relayed("#", &[]) else { return };
    for topic in ["mxr/a", "other/a"] {
        client.part(topic, &jpeg(RED), &picture("mxr-a", 1, now()));
    }
    client.retain("mxr/sensor", b"21.5");
    client.retain("mxr/status", b"online");
    // Another publisher of this prefix lives.
    client.retain("mxr/status", b"offline");
    client.retain("mxr/status", b"online");
    wait_for_state(&server, "mxr/sensor", "live");
    thread::sleep(Duration::from_millis(1500));
    wait_for_state(&server, "mxr/a", "live");
    client.retain("mxr/status", b"offline");
    wait_for_state(&server, "mxr/a", "lost");
    assert_eq!(feed(&server, "mxr/a").unwrap()["source"]["reason"], "its publisher is offline");
    for name in ["mxr/sensor", "other/a"] {
        assert_eq!(feed(&server, name).unwrap()["source"]["state"], "live", "{name}");
    }
    assert_eq!(names(&server), ["mxr/a", "mxr/sensor", "other/a"], "a status is no feed");
    client.part("mxr/a", &jpeg(GREEN), &picture("mxr-a", 2, now()));
    wait_for_state(&server, "mxr/a", "live");
}

#[test]
fn of_300_retained_topics_256_are_feeds_and_the_others_are_counted() {
    let Some(broker) = Broker::start("") else { return skip("mosquitto is missing") };
    let mut client = Client::of(&broker);
    (0..300).for_each(|number| client.retain(&format!("a/{number}"), b"x"));
    assert!(broker.retained("a/299").is_some());
    let server = relay(&broker.url("a/#"), &[]);
    wait_until("they are counted", SOON * 2, || server.state()["left_out_feeds"] == 44);
    wait_until("they are there", SOON * 2, || names(&server).len() == 256);
    // A topic counts once.
    (0..300).for_each(|number| client.retain(&format!("a/{number}"), b"y"));
    client.retain("a/last", b"y");
    wait_until("the last is counted", SOON, || server.state()["left_out_feeds"] == 45);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("mxr_feeds_left_out_total 45"), "{metrics}");
    server.expect_logs("there are more topics than feeds", 1);
}

#[test]
fn topics_that_hold_nothing_that_can_be_shown_are_counted_and_ten_of_them_told() {
    let Some(broker) = Broker::start("") else { return skip("mosquitto is missing") };
    let mut client = Client::of(&broker);
    (0..12).for_each(|number| client.retain(&format!("a/{number}"), b"\x00\xff\x01\xfe"));
    assert!(broker.retained("a/11").is_some());
    let server = relay(&broker.url("a/#"), &[]);
    wait_until("they are counted", SOON * 2, || server.state()["left_out_feeds"] == 12);
    server.expect_logs("it is neither a picture nor text", 10);
    server.expect_logs("further ones are not told", 1);
}

#[test]
fn five_megabytes_pass_and_what_is_larger_than_a_part_may_be_is_refused_with_a_sentence() {
    let Some((_broker, mut client, server)) = relayed("#", &["--max-part", "6MB"]) else { return };
    let large = padded_png(RED, 5_000_000, 0);
    client.retain("a/large.png", &large);
    wait_for_part(&server, "a/large.png", &large);
    for _ in 0..3 {
        client.retain("a/large.png", &padded_png(GREEN, 7_000_000, 0));
    }
    client.retain("a/small.png", &png(RED));
    wait_for_part(&server, "a/small.png", &png(RED));
    assert_eq!(server.get("/snapshot/a/large.png").body, large);
    assert_eq!(feed(&server, "a/large.png").unwrap()["refused"], 3);
    server.expect_logs("larger than --max-part", 1);
}

#[test]
fn a_feed_that_comes_from_here_is_not_relayed_back() {
    let Some((_broker, mut client, server)) = relayed("mxr/#", &[]) else { return };
    let own = server.state()["process"].as_str().unwrap().to_owned();
    let mut around = picture("mxr-b", 1, now());
    around["via"] = json!([own, "mxr-b"]);
    for _ in 0..2 {
        client.part("mxr/around", &jpeg(RED), &around);
    }
    client.part("mxr/other", &jpeg(RED), &picture("mxr-b", 1, now()));
    wait_for_published(&server, "other", 1);
    assert_eq!(names(&server), ["other"]);
    server.expect_logs("comes from here", 1);
}

#[test]
fn after_the_broker_was_killed_all_feeds_come_back_and_nothing_older_after_something_newer() {
    let Some((mut broker, mut client, server)) = relayed("#", &[]) else { return };
    let start = now();
    for sequence in 1..=3 {
        client.part("mxr/a", &jpeg(RED), &picture("mxr-a", sequence, start + sequence as f64));
    }
    client.part("mxr/log", b"one", &told("text/plain", "lines", "mxr-a", 1, start));
    client.retain("home/temperature", b"21.5");
    wait_for_published(&server, "home/temperature", 1);
    let mut viewer = server.view("/stream/mxr/a");
    let newest = viewer.part().timestamp();
    broker.kill();
    for name in ["mxr/a", "mxr/log", "home/temperature"] {
        wait_for_state(&server, name, "lost");
    }
    assert_eq!(server.get("/snapshot/mxr/a").body, jpeg(RED));
    server.expect_log(&format!("no connection to {}: ", broker.url("").trim_end_matches('/')));
    broker.start_again();
    let mut client = Client::of(&broker);
    // What the broker may have from before: of the same process, and of one before it.
    client.part("mxr/a", &jpeg(RED), &picture("mxr-a", 2, start + 2.0));
    client.part("mxr/log", b"one", &told("text/plain", "lines", "mxr-a", 1, start));
    wait_for_state(&server, "home/temperature", "live");
    wait_for_state(&server, "mxr/a", "live");
    wait_for_state(&server, "mxr/log", "live");
    client.part("mxr/a", &jpeg(GREEN), &picture("mxr-a", 4, start + 4.0));
    let part = viewer.part();
    assert_eq!(part.body, jpeg(GREEN));
    assert!(part.timestamp() > newest);
    assert_eq!(feed(&server, "mxr/log").unwrap()["published"], 1);
}

#[test]
fn what_a_broker_retained_long_ago_does_not_come_after_what_is_newer() {
    let part = |body: &[u8], run, time| {
        let mut meta = picture(run, 1, time);
        meta["bytes"] = body.len().into();
        [publish("mxr/a/meta", meta.to_string().as_bytes(), true), publish("mxr/a", body, true)].concat()
    };
    let value = |body: &[u8], is_retained| publish("other/a", body, is_retained);
    let first = [part(&jpeg(RED), "mxr-b", now()), value(&jpeg(RED), true), value(&jpeg(GREEN), false)].concat();
    // A broker that was started again with what it had saved before.
    let second = [part(&jpeg(GREEN), "mxr-a", now() - 100.0), value(&jpeg(RED), true), publish("z/last", b"x", true)].concat();
    let server = relay(&format!("{}/#", fake_broker(&[first, second])), &[]);
    wait_for_published(&server, "z/last", 1);
    wait_for_state(&server, "mxr/a", "live");
    assert!(server.get("/snapshot/mxr/a").body == jpeg(RED));
    assert!(server.get("/snapshot/other/a").body == jpeg(GREEN));
    assert_eq!(feed(&server, "other/a").unwrap()["published"], 1);
}

#[test]
fn a_viewer_that_does_not_read_holds_up_nobody() {
    let Some((_broker, mut client, server)) = relayed("#", &[]) else { return };
    client.send("cam", &noise(300_000, 0));
    wait_for_published(&server, "cam", 1);
    let mut stalled = Connection::open(&server.host);
    stalled.send("GET /stream/cam HTTP/1.1\r\nHost: x\r\n\r\n");
    let last = (1..60).map(|number| noise(300_000, number)).inspect(|body| client.send("cam", body)).last().unwrap();
    wait_for_part(&server, "cam", &last);
    assert_eq!(feed(&server, "cam").unwrap()["published"], 60);
}

#[test]
fn a_wrong_password_is_said_and_the_right_one_is_read_from_a_file() {
    let (Some(_), Some(passwords)) = (tool(&["mosquitto"]), tool(&["mosquitto_passwd"])) else {
        return skip("mosquitto is missing");
    };
    let folder = Folder::new();
    let file = folder.file("passwords");
    assert!(Command::new(passwords).args(["-c", "-b"]).arg(&file).args(["lab", "p@ss"]).status().unwrap().success());
    let lines = format!("user root\nallow_anonymous false\npassword_file {}", file.display());
    let Some(broker) = Broker::start(&lines) else { return skip("mosquitto is missing") };
    let server = relay(&format!("mqtt://lab:wrong@{}/#", broker.host()), &[]);
    server.expect_log("the broker refuses the user and password");
    assert!(!server.stderr().contains("wrong"), "{}", server.stderr());
    assert_eq!(server.source()["state"], "lost");
    let anonymous = relay(&broker.url("#"), &[]);
    anonymous.expect_log("the broker wants a user and a password; --upstream-auth-file FILE has a line USER:PASSWORD");
    let of_file = folder.file("auth");
    fs::write(&of_file, "lab:p@ss\n").unwrap();
    let args = ["--upstream-auth-file", of_file.to_str().unwrap()];
    mxr(["relay", "mqtt://ann@b/#"]).args(args).run().usage_error().stderr("use two users for a broker").no_stderr("p@ss");
    broker.publish("a", b"x", &["-r", "-u", "lab", "-P", "p@ss"]);
    for (server, name) in
        [(relay(&broker.url("#"), &args), "a"), (relay(&format!("mqtt://lab:p%40ss@{}/a", broker.host()), &[]), "a")]
    {
        wait_for_part(&server, name, b"x");
    }
}

#[test]
fn a_broker_is_reached_over_tls_with_its_certificate_alone() {
    let ca = Ca::new();
    ca.sign("broker");
    let lines = format!("user root\ncertfile {}\nkeyfile {}", ca.cert().display(), ca.key().display());
    let Some(broker) = Broker::start(&lines) else { return skip("mosquitto is missing") };
    let file = ca.ca();
    broker.publish("a", b"x", &["-r", "--cafile", file.to_str().unwrap()]);
    let url = format!("mqtts://{}/#", broker.host());
    let refused = relay(&url, &[]);
    refused.expect_log("certificate");
    mxr(["relay", &url, "--upstream-ca", "/none.pem"]).run().failure().stderr("cannot use --upstream-ca /none.pem: ");
    let plain = Broker::start("").unwrap();
    relay(&format!("mqtts://{}/#", plain.host()), &[]).expect_log("is it a port without TLS? That is for mqtt://");
    for args in [&["--upstream-ca", file.to_str().unwrap()][..], &["--upstream-insecure"]] {
        wait_for_part(&relay(&url, args), "a", b"x");
    }
}

#[test]
fn options_that_nothing_can_be_done_with_are_refused() {
    for (args, said) in [
        (&["mqtt://b/#", "--every", "2"][..], "use --every for a broker: a broker sends what is new by itself"),
        (&["mqtt://b/#", "--linger", "2"], "use --linger for a broker: a broker is read all the time"),
        (&["mqtt://b/#", "--upstream-header", "A: b"], "use --upstream-header for a broker: a topic has no headers"),
        (&["mqtt://b/a#"], "a wildcard stands for a whole level, between slashes"),
        (&["mqtt://u:secret@b/$SYS/#"], "topics that begin with $ are the broker's own"),
        (&["mqtt://u:sec/ret@b/#"], "the user or password in the URL cannot be read"),
        (&["mqtt://b/#", "mqtt://b/#"], "one of them is there twice"),
        (&["mqtt://b/lab?x=1"], "in a topic ? is written as %3F"),
        (&["tcp://b/lab"], "its scheme is tcp, not http, https, mqtt or mqtts"),
        (
            &["mqtt://b/mxr/#", "--publish", "mqtt://b/mxr/lab"],
            "publish below mxr/lab what is read from mxr/#: it would go in a circle",
        ),
    ] {
        mxr(["relay"]).args(args).run().usage_error().stderr(said).no_stderr("sec");
    }
}

#[test]
fn topics_stand_below_the_name_of_their_table_in_a_file() {
    let Some(broker) = Broker::start("") else { return skip("mosquitto is missing") };
    let folder = Folder::new();
    let (all, one) = (broker.url("home/#"), broker.url("home/temperature"));
    fs::write(folder.file("mxr.toml"), format!("[feed.lab]\nrelay = \"{all}\"\n[feed.warmth]\nrelay = \"{one}\"\n")).unwrap();
    let server = mxr(["up"]).arg(folder.file("mxr.toml")).start();
    assert_eq!(names(&server), ["lab", "warmth"]);
    broker.publish("home/temperature", b"21.5", &["-r"]);
    wait_until("the feeds are there", SOON, || names(&server) == ["lab/temperature", "warmth"]);
    wait_for_part(&server, "warmth", b"21.5");
    thread::sleep(A_WHILE);
    assert_eq!(server.get("/snapshot/lab/temperature").text(), "21.5");
}

#[test]
fn a_topic_that_no_feed_can_be_called_after_is_told_of_as_such() {
    let Some((_broker, mut client, server)) = relayed("lab/#", &[]) else { return };
    client.retain(&format!("lab/{}", "x".repeat(201)), &png(RED));
    client.retain("lab/a", &png(RED));
    server.expect_log("no feed can have its name");
    wait_for_part(&server, "a", &png(RED));
    assert!(!server.stderr().contains("more topics than feeds"), "{}", server.stderr());
    assert_eq!(server.state()["left_out_feeds"], 1);
}

#[test]
fn a_flood_of_publishers_that_are_offline_holds_up_no_topic() {
    let pictures = (0..200).flat_map(|number| publish(&format!("lab/{number}"), &png(RED), true));
    let offline = (0..50_000).flat_map(|number| publish(&format!("p{number}/status"), b"offline", number % 2 == 0));
    let host = fake_broker(&[pictures.chain(offline).chain(publish("last", &png(GREEN), false)).collect()]);
    let server = relay(&format!("{host}/#"), &[]);
    wait_for_part(&server, "last", &png(GREEN));
}

#[test]
fn a_large_message_on_a_slow_line_has_two_minutes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _server = relay(&format!("mqtt://{}/#", listener.local_addr().unwrap()), &[]);
    let (_, connect) = read_packet(&mut listener.accept().unwrap().0).unwrap();
    // Behind the name, the version and the flags: the silence after which the broker is asked for a sign of life.
    assert_eq!(connect[8..10], 120u16.to_be_bytes());
}
