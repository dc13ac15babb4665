//! `mxr relay`: when an upstream is asked, what becomes of its losses, and what viewers see of all that.

use std::{thread, time::Duration};

use serde_json::Value;

use crate::support::{A_WHILE, BLUE, GREEN, RED, SOON, Server, Upstream, jpeg, multipart, mxr, wait_until};

const MULTIPART: &str = "multipart/x-mixed-replace; boundary=B";

fn relay(url: &str, options: &[&str]) -> Server {
    mxr(["relay", url]).args(options).start()
}

fn source(server: &Server) -> Value {
    server.state()["feeds"][0]["source"].clone()
}

#[track_caller]
fn wait_for_state(server: &Server, state: &str) {
    wait_until(&format!("the source is {state}"), SOON, || source(server)["state"] == state);
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
    let server = relay(&upstream.url("/video"), &["--linger", "0.3"]);
    assert_eq!(source(&server)["state"], "idle");
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
    let server = relay(&upstream.url("/"), &[]);
    let mut viewer = server.view("/stream");
    for colour in [RED, GREEN, BLUE, RED] {
        assert_eq!(viewer.part_where(|part| part.body == jpeg(colour)).body, jpeg(colour));
    }
    assert_eq!(upstream.most_open(), 1);
}
