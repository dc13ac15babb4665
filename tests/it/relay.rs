//! `mxr relay`: when an upstream is asked, what becomes of its losses, and what viewers see of all that.

use std::{net::SocketAddr, thread, time::Duration};

use serde_json::Value;

use crate::support::{
    A_WHILE, BLUE, GREEN, MULTIPART, RED, SOON, Server, Upstream, free_port, jpeg, multipart, mxr, relay, wait_until,
};

#[track_caller]
fn wait_for_state(server: &Server, state: &str) {
    wait_until(&format!("the source is {state}"), SOON, || server.source()["state"] == state);
}

/// Sends a picture, and nothing more.
fn still() -> Upstream {
    Upstream::serve(|mut asked| {
        asked.begin(MULTIPART);
        asked.send(multipart("image/jpeg", &[&jpeg(RED)]));
        asked.hang();
    })
}

#[test]
fn one_connection_serves_all_viewers_and_is_closed_after_the_last() {
    let upstream = still();
    let server = relay(&upstream.url("/video"), &["--linger", "0.3", "--upstream-timeout", "5m"]);
    assert_eq!(server.source()["state"], "idle");
    thread::sleep(A_WHILE);
    assert_eq!(upstream.requests().len(), 0, "nobody watches");
    let mut viewers: Vec<_> = (0..50).map(|_| server.view("/stream")).collect();
    for viewer in &mut viewers {
        assert_eq!(viewer.part().body, jpeg(RED));
    }
    assert_eq!((upstream.requests().len(), upstream.open()), (1, 1));
    wait_for_state(&server, "live");
    drop(viewers);
    wait_until("the upstream is left", SOON, || upstream.open() == 0);
    wait_for_state(&server, "idle");
    assert_eq!(server.get("/snapshot").body, jpeg(RED));
    assert_eq!((upstream.requests().len(), upstream.most_open()), (2, 1));
}

#[test]
fn viewers_do_not_notice_that_an_upstream_ends_and_is_asked_again() {
    let upstream = Upstream::serve(|mut asked| {
        let colour = [RED, GREEN, BLUE][asked.number % 3];
        asked.begin(MULTIPART);
        asked.send(multipart("image/jpeg", &[&jpeg(colour)]));
    });
    let server = relay(&upstream.url("/video"), &[]);
    let mut viewer = server.view("/stream");
    for colour in [RED, GREEN, BLUE, RED] {
        assert_eq!(viewer.part_where(|part| part.body == jpeg(colour)).body, jpeg(colour));
    }
    assert_eq!(upstream.most_open(), 1);
}

#[test]
fn a_thousand_that_ask_at_once_open_one_connection() {
    let upstream = Upstream::serve(|mut asked| {
        thread::sleep(A_WHILE);
        asked.begin(MULTIPART);
        asked.send(multipart("image/jpeg", &[&jpeg(RED)]));
        asked.hang();
    });
    let server = relay(&upstream.url("/video"), &["--linger", "0.5", "--upstream-timeout", "5m"]);
    let viewers: Vec<_> = (0..1000).map(|_| server.view("/stream")).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(server.get("/snapshot").body, jpeg(RED))));
        }
    });
    assert_eq!((upstream.requests().len(), upstream.most_open()), (1, 1));
    drop(viewers);
    wait_until("the upstream is left", SOON, || upstream.open() == 0);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_snapshot_waits_for_an_upstream_that_wakes_slowly() {
    let upstream = Upstream::serve(|mut asked| {
        thread::sleep(Duration::from_secs(2));
        asked.begin(MULTIPART);
        asked.send(multipart("image/jpeg", &[&jpeg(GREEN)]));
        asked.hang();
    });
    for options in [&[][..], &["--always"]] {
        let server = relay(&upstream.url("/video"), options);
        let snapshot = server.get("/snapshot");
        assert_eq!((snapshot.head.status, snapshot.body), (200, jpeg(GREEN)), "{options:?}");
    }
}

#[test]
fn an_upstream_that_comes_late_is_found_without_a_viewer_doing_anything() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let server = relay(&format!("http://{address}/video"), &[]);
    let mut viewer = server.view("/stream");
    wait_for_state(&server, "lost");
    let reason = server.source()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("refused"), "{reason}");
    let snapshot = server.get("/snapshot");
    assert_eq!(snapshot.head.status, 503);
    assert!(snapshot.text().contains(&reason), "{}", snapshot.text());
    let _upstream = Upstream::serve_at(address, |mut asked| {
        asked.begin(MULTIPART);
        asked.send(multipart("image/jpeg", &[&jpeg(RED)]));
        asked.hang();
    });
    assert_eq!(viewer.part().body, jpeg(RED));
    wait_for_state(&server, "live");
    assert!(server.source()["connect_failures"].as_u64() >= Some(1), "{}", server.source());
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("mxr_upstream_connects_total{feed=\"127.0.0.1\"}"), "{metrics}");
    assert!(metrics.contains("mxr_upstream_failures_total{feed=\"127.0.0.1\"}"), "{metrics}");
}

#[test]
fn the_last_part_stays_with_its_age_while_an_upstream_is_lost_and_viewers_stay_connected() {
    let upstream = still();
    let server = relay(&upstream.url("/video"), &[]);
    let mut viewer = server.view("/stream");
    let time = viewer.part().timestamp();
    let address = upstream.address;
    upstream.go_down();
    wait_for_state(&server, "lost");
    let snapshot = server.get("/snapshot");
    assert_eq!(snapshot.body, jpeg(RED));
    assert_eq!(snapshot.head.want("X-Timestamp").parse::<f64>().unwrap(), time);
    let _upstream = Upstream::serve_at(address, |mut asked| {
        asked.begin("multipart/x-mixed-replace; boundary=another");
        asked.send(String::from_utf8_lossy(&multipart("text/html", &[b"<p>"])).replace("--B", "--another"));
        asked.hang();
    });
    assert_eq!(viewer.part_where(|part| part.body != jpeg(RED)).text(), "<p>");
}

#[test]
fn somebody_who_comes_has_a_lost_upstream_asked_again_soon() {
    let upstream = Upstream::serve(|mut asked| {
        asked.reply("503 Service Unavailable", "text/plain", "busy");
    });
    let server = relay(&upstream.url("/video"), &["--linger", "60"]);
    let _viewer = server.view("/stream");
    // By now the pauses are long.
    wait_until("the upstream was asked 5 times", SOON * 6, || upstream.requests().len() >= 5);
    for _ in 0..3 {
        let asked = upstream.requests().len();
        let _other = server.view("/stream");
        wait_until("it is asked again", Duration::from_secs(3), || upstream.requests().len() > asked);
    }
    // Many that ask are no reason to ask it all the time.
    let asked = upstream.requests().len();
    (0..200).for_each(|_| assert_eq!(server.get("/snapshot").head.status, 503));
    thread::sleep(Duration::from_secs(1));
    let more = upstream.requests().len() - asked;
    assert!(more <= 8, "{more} requests");
}

#[test]
fn a_silent_upstream_and_one_that_drips_are_lost_and_found_again() {
    for is_dripping in [false, true] {
        let upstream = Upstream::serve(move |mut asked| {
            asked.begin(MULTIPART);
            let colour = if asked.number == 0 { RED } else { GREEN };
            asked.send(multipart("image/jpeg", &[&jpeg(colour)]));
            match is_dripping {
                true if asked.number == 0 => asked.drip(b"Content-Type: image/jpeg\r\nX-A: ", Duration::from_millis(50)),
                _ => asked.hang(),
            }
        });
        let server = relay(&upstream.url("/video"), &["--upstream-timeout", "1"]);
        let mut viewer = server.view("/stream");
        assert_eq!(viewer.part().body, jpeg(RED));
        // The next upstream is silent and lost, too.
        server.expect_log(if is_dripping { "no whole part within 1s" } else { "no data within 1s" });
        assert_eq!(viewer.part_where(|part| part.body != jpeg(RED)).body, jpeg(GREEN));
        assert_eq!(upstream.most_open(), 1, "never two at once");
    }
}

#[test]
fn what_comes_with_an_error_is_no_part() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "500 Internal Server Error", "206 Partial Content"] {
        let upstream = Upstream::serve(move |mut asked| {
            let body = multipart("image/jpeg", &[&jpeg(RED)]);
            let media = if asked.number % 2 == 0 { MULTIPART } else { "image/jpeg" };
            asked.reply(status, media, if asked.number % 2 == 0 { &body } else { &body[60..] });
        });
        let server = relay(&upstream.url("/video"), &["--always"]);
        wait_for_state(&server, "lost");
        upstream.expect_requests(1);
        let state = server.state();
        assert_eq!((&state["feeds"][0]["published"], &state["feeds"][0]["newest"]), (&0.into(), &Value::Null), "{status}");
        let reason = server.source()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(&status[..3]), "{status}: {reason}");
    }
}

#[test]
fn a_refused_password_is_not_tried_again_for_a_minute_whoever_comes() {
    let upstream = Upstream::serve(|mut asked| {
        let challenge = "WWW-Authenticate: Basic realm=\"camera\"";
        asked.reply_with("401 Unauthorized", &[challenge, "Content-Type: image/jpeg"], jpeg(RED));
    });
    let url = upstream.url("/video").replace("http://", "http://user:wrong@");
    let server = relay(&url, &["--linger", "0"]);
    for _ in 0..20 {
        drop(server.view("/stream"));
        server.get("/snapshot");
        thread::sleep(Duration::from_millis(100));
    }
    wait_for_state(&server, "lost");
    assert_eq!(upstream.requests().len(), 2, "the challenge and the answer");
    assert_eq!(server.state()["feeds"][0]["published"], 0);
    let snapshot = server.get("/snapshot");
    assert_eq!(snapshot.head.status, 503);
    assert!(snapshot.text().contains("refuses the user or password"), "{}", snapshot.text());
}

#[test]
fn a_401_without_a_challenge_is_an_ordinary_loss() {
    let upstream = Upstream::serve(|mut asked| match asked.number {
        1 => {
            asked.reply("401 Unauthorized", "image/jpeg", jpeg(BLUE));
        }
        number => {
            asked.begin(MULTIPART);
            asked.send(multipart("image/jpeg", &[&jpeg(if number == 0 { RED } else { GREEN })]));
            if number > 0 {
                asked.hang();
            }
        }
    });
    let server = relay(&upstream.url("/video").replace("http://", "http://user:right@"), &[]);
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().body, jpeg(RED));
    assert_eq!(viewer.part_where(|part| part.body != jpeg(RED)).body, jpeg(GREEN));
    assert!(!server.stderr().contains("refuses"), "{}", server.stderr());
}

#[test]
fn once_there_were_pictures_a_text_is_the_error_of_the_upstream() {
    let upstream = Upstream::serve(|mut asked| match asked.number {
        0 => {
            asked.begin(MULTIPART);
            asked.send(multipart("image/jpeg", &[&jpeg(RED)]));
        }
        1 => {
            asked.reply("200 OK", "text/html", "<html><title>Too many\r\nviewers</title>");
        }
        2 => {
            asked.reply("200 OK", "application/json", "{\"error\": \"busy\"}");
        }
        3 => {
            asked.begin("text/plain");
            asked.send("busy\nbusy\n");
            asked.hang();
        }
        _ => {
            asked.reply("200 OK", "image/jpeg", jpeg(GREEN));
        }
    });
    let server = relay(&upstream.url("/video"), &[]);
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().body, jpeg(RED));
    let is_said = || server.stderr().contains("text in place of a picture: \"Too many viewers\"");
    wait_until("the log says so", SOON, is_said);
    let mut parts = Vec::new();
    while parts.last() != Some(&jpeg(GREEN)) {
        parts.push(viewer.part().body);
    }
    assert!(parts.iter().all(|body| [jpeg(RED), jpeg(GREEN)].contains(body)));
}

#[test]
fn a_plain_picture_is_asked_for_again_and_pushed_when_it_has_changed() {
    let upstream = Upstream::serve(|mut asked| {
        let etag = format!("\"{}\"", asked.number / 4);
        assert!(asked.number == 0 || asked.has("Cache-Control: no-cache"), "{}", asked.head);
        if asked.has(&format!("If-None-Match: {etag}")) {
            asked.reply_with("304 Not Modified", &[&format!("ETag: {etag}")], "");
            return;
        }
        // A server may also send the same again.
        let colour = [RED, GREEN, BLUE][asked.number / 4 % 3];
        asked.reply_with("200 OK", &["Content-Type: image/jpeg", &format!("ETag: {etag}")], jpeg(colour));
    });
    let server = relay(&upstream.url("/snapshot.jpg"), &["--every", "50ms"]);
    let mut viewer = server.view("/stream");
    for colour in [RED, GREEN, BLUE] {
        assert_eq!(
            viewer.part_where(|part| part.body == jpeg(colour)).sequence() % 3,
            [RED, GREEN, BLUE].iter().position(|own| *own == colour).map(|at| (at as u64 + 1) % 3).unwrap()
        );
    }
    assert_eq!((server.source()["state"].as_str(), upstream.most_open()), (Some("live"), 1));
    drop(viewer);
}

#[test]
fn a_picture_that_stays_the_same_is_one_part() {
    let upstream = Upstream::serve(|mut asked| {
        asked.reply("200 OK", "image/jpeg", jpeg(RED));
    });
    let server = relay(&upstream.url("/snapshot.jpg"), &["--every", "20ms"]);
    let _viewer = server.view("/stream");
    upstream.expect_requests(20);
    assert_eq!(server.state()["feeds"][0]["published"], 1);
    // The socket of a picture that is not whole ends early.
    let cut = Upstream::serve(|mut asked| {
        asked.begin("image/jpeg");
        let picture = jpeg(if asked.number == 0 { RED } else { GREEN });
        asked.send(if asked.number == 0 { &picture[..picture.len() / 2] } else { &picture });
    });
    let server = relay(&cut.url("/snapshot.jpg"), &[]);
    assert_eq!(server.view("/stream").part().body, jpeg(GREEN));
    assert_eq!(server.state()["feeds"][0]["published"], 1);
}

#[test]
fn a_picture_is_one_whatever_its_type_is_called() {
    for (path, media) in [("/a.jpg", "application/octet-stream"), ("/a", "text/plain"), ("/a.cgi", "image/jpg"), ("/a", "nonsense")]
    {
        let upstream = Upstream::serve(move |mut asked| {
            asked.reply("200 OK", media, jpeg(RED));
        });
        let snapshot = relay(&upstream.url(path), &[]).get("/snapshot");
        assert_eq!((snapshot.head.want("Content-Type"), snapshot.body.clone()), ("image/jpeg", jpeg(RED)), "{media}");
    }
}

#[test]
fn a_text_that_goes_on_is_lines_and_one_that_ends_is_a_document() {
    let upstream = Upstream::serve(|mut asked| {
        asked.begin("text/plain");
        for number in 0..100 {
            asked.send(format!("line {number}\nli"));
            asked.send("ne half\n");
        }
        asked.hang();
    });
    let server = relay(&upstream.url("/log"), &[]);
    let mut viewer = server.view("/stream?history=1000");
    for number in 0..100 {
        assert_eq!((viewer.part().text(), viewer.part().text()), (format!("line {number}"), "line half".to_owned()));
    }
    assert_eq!(server.state()["feeds"][0]["kind"], "lines");
    let upstream = Upstream::serve(|mut asked| {
        asked.reply("200 OK", "text/plain", "one\ntwo\n");
    });
    let server = relay(&upstream.url("/report"), &[]);
    assert_eq!(server.view("/stream").part().text(), "one\ntwo\n");
    assert_eq!(server.state()["feeds"][0]["kind"], "newest");
}

#[test]
fn a_camera_that_calls_its_multipart_text_is_found_again() {
    let upstream = Upstream::serve(|mut asked| {
        let colours = [[RED, GREEN], [GREEN, BLUE]][asked.number.min(1)];
        asked.begin("text/plain");
        asked.send(multipart("image/jpeg", &colours.map(jpeg).each_ref().map(Vec::as_slice)));
        asked.hang();
    });
    let server = relay(&upstream.url("/video"), &["--always"]);
    let mut viewer = server.view("/stream");
    wait_until("it is read", SOON, || server.state()["feeds"][0]["published"] == 2);
    upstream.cut();
    while viewer.part().body != jpeg(BLUE) {}
    wait_for_state(&server, "live");
}

#[test]
fn what_comes_slowly_and_is_no_part_is_a_loss() {
    let upstream = Upstream::serve(|mut asked| {
        asked.begin("image/jpeg");
        // Longer than a document takes.
        thread::sleep(Duration::from_millis(1500));
    });
    let server = relay(&upstream.url("/picture"), &[]);
    assert_eq!(server.get("/snapshot").head.status, 503);
    wait_for_state(&server, "lost");
}

#[test]
fn several_urls_are_several_feeds_named_after_their_hosts() {
    let picture = |colour| {
        Upstream::serve(move |mut asked| {
            asked.reply("200 OK", "image/jpeg", jpeg(colour));
        })
    };
    let (red, green) = (picture(RED), picture(GREEN));
    let urls = [
        red.url("/cam/1.jpg?key=secret"),
        red.url("/cam/2.jpg"),
        green.url("/x").replace("127.0.0.1", "localhost"),
        red.url("/cam/1.jpg"),
    ];
    let server = mxr(["relay"]).args(&urls).start();
    let state = server.state();
    let names: Vec<_> = state["feeds"].as_array().unwrap().iter().map(|feed| feed["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["127.0.0.1/1.jpg", "127.0.0.1/2.jpg", "localhost", "127.0.0.1/1.jpg-2"]);
    assert_eq!(server.get("/snapshot/localhost").body, jpeg(GREEN));
    assert_eq!(server.get("/snapshot/127.0.0.1%2F2.jpg").body, jpeg(RED));
    let named = relay(&red.url("/cam/1.jpg"), &["--name", "door"]);
    assert_eq!(named.get("/snapshot/door").body, jpeg(RED));
}

#[test]
fn no_secret_of_an_upstream_is_in_the_log_or_in_the_state() {
    let upstream = Upstream::serve(|mut asked| {
        assert!(asked.has("X-Key: geheim3"), "{}", asked.head);
        if asked.number < 3 {
            asked.reply("500 Internal Server Error", "text/plain", "");
        } else if asked.has(&format!("Authorization: Basic {}", "dXNlcjpnZWhlaW0x")) {
            asked.reply("200 OK", "image/jpeg", jpeg(RED));
        } else {
            asked.reply_with("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"x\""], "");
        }
    });
    let url = upstream.url("/video?key=geheim2").replace("http://", "http://user:geheim1@");
    let server = mxr(["relay", &url, "-vv"]).env("MXR_UPSTREAM_HEADER", "X-Key: geheim3").start();
    assert_eq!(server.view("/stream").part().body, jpeg(RED));
    let texts = [server.stderr(), server.get("/state").text(), server.get("/metrics").text()];
    assert!(texts.iter().all(|text| !text.contains("geheim")), "{texts:?}");
    assert!(texts[0].contains("/video?key=…"), "{}", texts[0]);
}

#[test]
fn redirects_in_a_circle_and_heads_without_end_are_losses_with_a_reason() {
    let upstream = Upstream::serve(|mut asked| {
        match asked.path() {
            "/a" => asked.reply_with("302 Found", &["Location: /b"], ""),
            "/b" => asked.reply_with("302 Found", &["Location: /a"], ""),
            _ => {
                asked.send("HTTP/1.1 200 OK\r\nX-Long: ");
                while asked.send([b'x'; 65536]) {}
                true
            }
        };
    });
    for (path, why) in [("/a", "in a circle"), ("/endless", "head")] {
        let server = relay(&upstream.url(path), &["--always"]);
        wait_for_state(&server, "lost");
        let reason = server.source()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(why), "{reason}");
        assert!(server.memory() < 100 << 20);
    }
}

#[test]
fn http_proxy_in_the_environment_is_ignored() {
    let upstream = still();
    let server = mxr(["relay", &upstream.url("/video")])
        .env("http_proxy", "http://127.0.0.1:1")
        .env("ALL_PROXY", "http://127.0.0.1:1")
        .start();
    assert_eq!(server.view("/stream").part().body, jpeg(RED));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let refused = |args: &[&str], why: &str| drop(mxr(["relay"]).args(args).run().usage_error().stderr(why));
    refused(&["http://a/", "--always", "--linger", "1"], "cannot use --linger with --always");
    refused(&["http://a/", "http://b/", "--name", "x"], "cannot use --name with several URLs");
    refused(&["http://a/", "--every", "1ms"], "cannot use --every");
    refused(&["http://a/", "--upstream-timeout", "10ms"], "cannot use --upstream-timeout");
    refused(&["http://a/x", "http://a/x"], "cannot use the URLs");
    refused(&["camera/video"], "cannot use the URL");
    refused(&["http://a/", "--upstream-header", "no colon"], "cannot use --upstream-header");
    refused(&[], "<URL>");
}

#[test]
fn an_upstream_that_stays_lost_is_logged_once_however_many_ask_for_a_snapshot() {
    let edge = relay(&format!("http://127.0.0.1:{}/still.jpg", free_port()), &[]);
    wait_until("the upstream was asked four times", SOON * 2, || {
        assert_eq!(edge.get("/snapshot").head.status, 503);
        edge.source()["connect_failures"].as_u64() >= Some(4)
    });
    let lost = || edge.stderr().matches("lost: no connection").count();
    wait_until("the log says it", SOON, || lost() > 0);
    assert_eq!(lost(), 1, "{}", edge.stderr());
}
