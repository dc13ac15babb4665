//! No viewer waits for another or delays another, and none leaves resources behind.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{Connection, Folder, RED, SOON, Server, Viewer, mxr, noise, png, wait_until};

fn watched_picture(args: &[&str]) -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0"]).args(args).start();
    (folder, server)
}

/// Publishes pictures of 200 KB, each when all these viewers have the previous one.
fn push(folder: &Folder, viewers: &mut [Viewer], seeds: std::ops::Range<u32>) {
    for seed in seeds {
        let picture = noise(200_000, seed);
        folder.put("a.png", &picture);
        for viewer in viewers.iter_mut() {
            assert_eq!(viewer.part().body, picture);
        }
    }
}

#[test]
fn viewers_get_everything_beside_one_that_never_reads() {
    let (folder, server) = watched_picture(&[]);
    let mut viewers: Vec<_> = (0..5).map(|_| server.view("/stream")).collect();
    for viewer in &mut viewers {
        assert_eq!(viewer.part().body, png(RED));
    }
    let _stalled = server.view_narrowly("/stream");
    push(&folder, &mut viewers, 1..40);
    let state = server.viewers();
    assert_eq!(state.len(), 6);
    for viewer in &state[..5] {
        assert_eq!((&viewer["sent"], &viewer["dropped"]), (&40.into(), &0.into()), "{viewer}");
    }
    assert!(state[5]["dropped"].as_u64().unwrap() > 20, "{}", state[5]);
    assert!(state[5]["backlog"].as_u64().unwrap() <= 400_000, "{}", state[5]);
}

#[test]
fn a_viewer_that_stalled_soon_sees_the_newest_picture() {
    let (folder, server) = watched_picture(&[]);
    let mut viewers = [server.view("/stream")];
    viewers[0].part();
    let mut stalled = server.view_narrowly("/stream");
    push(&folder, &mut viewers, 1..40);
    let newest = noise(200_000, 39);
    let mut old = 0;
    while stalled.part().body != newest {
        old += 1;
    }
    assert!(old <= 3, "{old} old pictures before the newest");
}

#[test]
fn memory_is_bounded_whatever_viewers_do() {
    let (folder, server) = watched_picture(&[]);
    let mut viewers = [server.view("/stream")];
    viewers[0].part();
    push(&folder, &mut viewers, 1..10);
    let before = server.memory();
    let _stalled: Vec<_> = (0..50).map(|_| server.view_narrowly("/stream")).collect();
    push(&folder, &mut viewers, 10..60);
    let grown = server.memory().saturating_sub(before) >> 10;
    assert!(grown < 12 << 10, "{grown} KiB for fifty stalled viewers");
}

#[test]
fn a_viewer_that_leaves_is_gone_within_a_second() {
    let (_folder, server) = watched_picture(&[]);
    let mut stays = server.view("/stream");
    stays.part();
    let leave = |what: &str, leaves: Viewer| {
        server.wait_for_viewers(2);
        drop(leaves);
        wait_until(&format!("{what} is gone"), Duration::from_secs(1), || server.viewers().len() == 1);
    };
    let mut reader = server.view("/stream");
    reader.part();
    leave("one who read", reader);
    leave("one who did not read", server.view("/stream"));
    let mut pipelining = Connection::open(&server.host);
    pipelining.send(format!("GET /stream HTTP/1.1\r\nHost: {}\r\n\r\nGET /stre", server.host));
    leave("one with half a request behind", Viewer::answered(pipelining));
    let mut pipelining = server.view("/stream");
    pipelining.part();
    pipelining.connection.send("x".repeat(100_000));
    leave("one with much behind", pipelining);
}

#[test]
fn bytes_that_a_viewer_sends_are_ignored() {
    let (folder, server) = watched_picture(&[]);
    let mut viewers = [server.view("/stream")];
    viewers[0].part();
    viewers[0].connection.send(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.host));
    push(&folder, &mut viewers, 1..5);
}

#[test]
fn two_hundred_viewers_get_every_picture() {
    let (folder, server) = watched_picture(&[]);
    let mut viewers: Vec<_> = (0..200).map(|_| server.view("/stream")).collect();
    for viewer in &mut viewers {
        viewer.part();
    }
    push(&folder, &mut viewers, 1..6);
    drop(viewers);
    server.wait_for_viewers(0);
}

#[test]
fn a_slow_reader_gets_complete_pictures() {
    let (folder, server) = watched_picture(&[]);
    let mut slow = server.view_narrowly("/stream");
    let writer = thread::spawn(move || {
        for seed in 1..60 {
            folder.put("a.png", noise(100_000, seed));
            // A picture every 10 ms, as a camera would.
            thread::sleep(Duration::from_millis(10));
        }
        folder
    });
    let (start, newest) = (Instant::now(), noise(100_000, 59));
    loop {
        let part = slow.part();
        assert!(image::load_from_memory(&part.body).is_ok(), "part {} is incomplete", part.sequence());
        if part.body == newest {
            break;
        }
        assert!(start.elapsed() < SOON, "the newest picture never came");
        thread::sleep(Duration::from_millis(50));
    }
    writer.join().unwrap();
}

#[test]
fn viewers_on_several_threads_get_the_same_and_the_end() {
    let (folder, server) = watched_picture(&["--threads", "3"]);
    let mut viewers: Vec<_> = (0..10).map(|_| server.view("/stream")).collect();
    for viewer in &mut viewers {
        viewer.part();
    }
    push(&folder, &mut viewers, 1..10);
    let state = server.viewers();
    assert!(state.len() == 10 && state.iter().all(|viewer| viewer["sent"] == 10), "{state:?}");
    assert_eq!(server.get("/state").json()["feeds"][0]["viewers"], 10);
    server.terminate();
    for viewer in &mut viewers {
        assert_eq!(viewer.parts_to_end().len(), 1, "the newest once more, and the close-delimiter");
    }
    server.finish().success();
}

#[test]
fn connected_viewers_continue_when_descriptors_run_out() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let command = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0"]);
    let server = command.wrapped("prlimit", &["--nofile=48"]).start();
    let mut viewers = [server.view("/stream")];
    viewers[0].part();
    let crowd: Vec<_> = (0..100).map(|_| Connection::open(&server.host)).collect();
    push(&folder, &mut viewers, 1..10);
    drop(crowd);
    wait_until("there is room again", SOON, || {
        let mut late = Connection::open(&server.host);
        late.send(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.host));
        late.read_once(SOON).is_some_and(|reply| reply.starts_with(b"HTTP/1.1 200"))
    });
    push(&folder, &mut viewers, 10..12);
}
