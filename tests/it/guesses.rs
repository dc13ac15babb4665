//! Guesses at secrets: they cost their own address time, and never somebody who has the right secret.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::{
    access::{BEARER, RIGHT, WRONG, status, watched},
    support::{A_WHILE, Connection, Folder, NAVIGATION, SOON, Server, busy, mxr, wait_until},
};

/// A password file with a bcrypt hash of this cost for `me:secret`.
fn hashed(folder: &Folder, cost: u32) -> String {
    folder.put("users", format!("me:{}\n", bcrypt::hash("secret", cost).unwrap()));
    folder.file("users").to_str().unwrap().to_owned()
}

/// A wrong password, from this address.
fn guess(server: &Server, source: &str, behind: &str) -> Connection {
    let mut connection = Connection::open_from(source, &server.host);
    connection.send(format!("GET /state HTTP/1.1\r\nHost: {}\r\n{WRONG}\r\n\r\n{behind}", server.host));
    connection
}

#[test]
fn a_guesser_waits_and_nobody_else_does() {
    let (_folder, server) = watched(&["--token", "T0ken"], BEARER);
    let guess = || {
        let mut connection = Connection::open_from("127.0.0.2", &server.host);
        connection.send(format!("GET /snapshot?token=guess HTTP/1.1\r\nHost: {}\r\n\r\n", server.host));
        connection
    };
    // The first few are answered at once; the tenth in a row waits five seconds.
    let mut guesses: Vec<_> = (0..10).map(|_| guess()).collect();
    for first in &mut guesses[..5] {
        assert_eq!(first.reply("GET").head.status, 403);
    }
    for _ in 0..3 {
        assert_eq!(status(&server, "/snapshot?token=T0ken", &[]), 200, "another source");
    }
    guesses[9].expect_silence(A_WHILE);
    // A guesser that continues gets 429 for a while.
    guesses.extend((0..10).map(|_| guess()));
    let refused = guesses[19].reply("GET").head;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.want("Retry-After").parse().unwrap();
    assert!((1..60).contains(&wait), "{wait}");
    assert_eq!(status(&server, "/snapshot?token=T0ken", &[]), 200, "another source");
    assert_eq!(guesses[5].reply("GET").head.status, 403, "in its turn");
}

#[test]
fn hashing_a_password_does_not_delay_the_shutdown() {
    for threads in ["1", "3"] {
        let folder = Folder::new();
        let users = hashed(&folder, 4);
        // A hash of this cost takes longer than the test.
        let dear = std::fs::read_to_string(&users).unwrap().replace("$04$", "$15$");
        folder.put("users", dear);
        let server = mxr(["serve", "--demo", "--threads", threads, "--auth-file", &users]).start();
        let guesses: Vec<_> = (2..6).map(|host| guess(&server, &format!("127.0.0.{host}"), "")).collect();
        let idle = server.cpu_time();
        wait_until("it is at work", SOON, || server.cpu_time() > idle + A_WHILE);
        server.terminate();
        server.finish_within(SOON / 2).success();
        drop(guesses);
    }
}

#[test]
fn guesses_of_peers_that_left_are_not_hashed() {
    let folder = Folder::new();
    let users = hashed(&folder, 9);
    let server = mxr(["serve", "--demo", "--auth-file", &users]).start();
    let one = {
        let before = server.cpu_time();
        assert_eq!(guess(&server, "127.0.0.2", "").reply("GET").head.status, 401);
        server.cpu_time() - before
    };
    let before = server.cpu_time();
    for source in 3..43 {
        for _ in 0..5 {
            // Unread bytes after a request hide from hyper that the peer has left (docs/field.md, hyper).
            drop(guess(&server, &format!("127.0.0.{source}"), "GET / HTTP"));
        }
    }
    assert_eq!(status(&server, "/state", &[RIGHT]), 200);
    let all = server.cpu_time() - before;
    assert!(all < one * 15, "{all:?} for 200 guesses and a right one, {one:?} for one");
}

#[test]
fn a_correct_password_is_never_throttled() {
    let (_folder, server) = watched(&["--token", "T0ken"], BEARER);
    for _ in 0..100 {
        assert_eq!(status(&server, "/snapshot?token=T0ken", &[]), 200);
    }
}

#[test]
fn many_correct_passwords_from_one_address_at_once_are_all_accepted() {
    let folder = Folder::new();
    let users = hashed(&folder, 9);
    let server = mxr(["serve", "--demo", "--auth-file", &users]).start();
    let mut asked: Vec<_> = (0..32).map(|_| Connection::open(&server.host)).collect();
    let start = std::time::Instant::now();
    for connection in &mut asked {
        connection.send(format!("GET /state HTTP/1.1\r\nHost: {}\r\n{RIGHT}\r\n\r\n", server.host));
    }
    for connection in &mut asked {
        assert_eq!(connection.reply("GET").head.status, 200);
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

/// Runs this beside somebody who sends wrong secrets from the same address, on 60 connections.
fn beside_a_guesser(server: &Server, wrong: impl Fn(usize) -> String + Sync, work: impl FnOnce()) {
    let ask = |number| {
        let mut connection = Connection::open(&server.host);
        let target = wrong(number);
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{WRONG}\r\n\r\n", server.host));
        connection
    };
    let (is_done, all_asked) = (AtomicBool::new(false), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut asked: Vec<_> = (0..60).map(ask).collect();
            all_asked.wait();
            for number in (0..60).cycle().take_while(|_| !is_done.load(Relaxed)) {
                asked[number] = ask(number);
                thread::sleep(Duration::from_millis(5));
            }
        });
        all_asked.wait();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_done.store(true, Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn a_right_secret_is_answered_beside_one_who_guesses_at_its_address() {
    let (_folder, server) = watched(&["--token", "T0ken", "--auth", "me:secret"], BEARER);
    let head = server.request("GET", "/view?token=T0ken", &[NAVIGATION]).head;
    let cookie = format!("Cookie: {}", head.want("Set-Cookie").split(';').next().unwrap());
    beside_a_guesser(
        &server,
        |number| format!("/snapshot?token=guess{number}"),
        || {
            wait_until("the guesser is over its limit", SOON, || status(&server, "/snapshot?token=guess", &[]) == 429);
            for _ in 0..12 {
                for (target, line) in
                    [("/snapshot", BEARER), ("/snapshot", RIGHT), ("/snapshot", &cookie), ("/snapshot?token=T0ken", WRONG)]
                {
                    assert_eq!(status(&server, target, &[line]), 200, "{target} {line}");
                }
            }
        },
    );
}

#[test]
fn a_right_password_that_has_to_be_hashed_gets_in_beside_one_who_guesses_at_its_address() {
    busy();
    let folder = Folder::new();
    let users = hashed(&folder, 4);
    let server = mxr(["serve", "--demo", "--auth-file", &users]).start();
    beside_a_guesser(&server, |_| "/state".to_owned(), || assert_eq!(status(&server, "/state", &[RIGHT]), 200));
}
