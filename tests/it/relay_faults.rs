//! `mxr relay` of upstreams that fail: each fault has its reason in `/state` and in the log, no viewer loses its connection, and
//! nothing is a part but what came whole.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{A_WHILE, BLUE, GREEN, MULTIPART, RED, SOON, Upstream, jpeg, multipart, mxr, relay, wait_until};
use rustix::process::Signal;

/// A picture in a part of a camera that writes no length.
fn without_length(picture: &[u8]) -> Vec<u8> {
    [b"Content-Type: image/jpeg\r\n\r\n", picture, b"\r\n--B\r\n"].concat()
}

#[test]
fn a_part_that_is_cut_off_is_no_part_however_the_connection_ends() {
    for (has_length, is_reset) in [(true, false), (true, true), (false, false), (false, true)] {
        let upstream = Upstream::serve(move |mut asked| {
            asked.begin(MULTIPART);
            asked.send(multipart("image/jpeg", &[&jpeg(RED)]));
            if asked.number == 0 {
                let next =
                    if has_length { multipart("image/jpeg", &[&jpeg(GREEN)])[5..].to_vec() } else { without_length(&jpeg(GREEN)) };
                asked.send(&next[..next.len() / 2]);
                thread::sleep(A_WHILE);
                if is_reset {
                    socket2::SockRef::from(&*asked.socket).set_linger(Some(Duration::ZERO)).unwrap();
                }
                return;
            }
            asked.send(without_length(&jpeg(BLUE)));
            asked.hang();
        });
        let server = relay(&upstream.url("/video"), &[]);
        let mut viewer = server.view("/stream");
        let mut bodies = vec![viewer.part().body];
        while bodies.last() != Some(&jpeg(BLUE)) {
            bodies.push(viewer.part().body);
        }
        let is_known = |body: &Vec<u8>| [jpeg(RED), jpeg(BLUE)].contains(body);
        assert!(bodies.iter().all(is_known), "{has_length} {is_reset}: {:?}", bodies.iter().map(Vec::len).collect::<Vec<_>>());
        assert!(server.stderr().contains("lost"), "{}", server.stderr());
        assert!(server.stderr().contains("live again"), "{}", server.stderr());
    }
}

#[test]
fn headers_of_a_part_without_an_end_are_a_loss_and_take_no_memory() {
    let upstream = Upstream::serve(|mut asked| {
        asked.begin(MULTIPART);
        asked.send(multipart("image/jpeg", &[&jpeg(RED)]));
        if asked.number > 0 {
            return asked.hang();
        }
        asked.send("X-Long: ");
        let sent = (0..1 << 14).take_while(|_| asked.send([b'x'; 65536])).count();
        assert!(sent < 1 << 14, "1 GB was read");
    });
    let server = relay(&upstream.url("/video"), &["--upstream-timeout", "2"]);
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().body, jpeg(RED));
    server.wait_for_loss("");
    assert!(server.memory_at_most() < 100 << 20, "{} bytes", server.memory_at_most());
    upstream.expect_requests(2);
    assert_eq!(viewer.part().body, jpeg(RED));
    wait_until("it is live again", SOON, || server.source()["state"] == "live");
}

#[test]
fn heads_and_pictures_that_come_byte_by_byte_have_one_deadline_each() {
    for path in ["/head", "/picture.jpg"] {
        let upstream = Upstream::serve(|mut asked| match (asked.number, asked.path()) {
            (0, "/head") => asked.drip(b"HTTP/1.1 200 OK\r\nX: ", Duration::from_millis(50)),
            (0, _) => {
                asked.send("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n");
                asked.drip(b"x", Duration::from_millis(50));
            }
            _ => {
                asked.reply("200 OK", "image/jpeg", jpeg(GREEN));
            }
        });
        let server = relay(&upstream.url(path), &["--upstream-timeout", "1"]);
        let mut viewer = server.view("/stream");
        assert_eq!(viewer.part().body, jpeg(GREEN), "{path}");
        assert!(server.stderr().contains("within 1s"), "{}", server.stderr());
    }
}

#[test]
fn a_password_is_given_when_it_is_asked_for_and_pictures_come_after_the_401() {
    let upstream = Upstream::serve(|mut asked| {
        if !asked.has("Authorization: Basic dXNlcjpnZWhlaW0=") {
            let body = multipart("image/jpeg", &[&jpeg(BLUE)]);
            let challenge = ["WWW-Authenticate: Basic realm=\"camera\"", "Content-Type: multipart/x-mixed-replace; boundary=B"];
            asked.reply_with("401 Unauthorized", &challenge, body);
            return;
        }
        asked.begin(MULTIPART);
        asked.send(multipart("image/jpeg", &[&jpeg(RED)]));
        asked.hang();
    });
    let server = relay(&upstream.url("/video").replace("http://", "http://user:geheim@"), &[]);
    assert_eq!(server.view("/stream").part().body, jpeg(RED));
    let state = server.state();
    assert_eq!((&state["feeds"][0]["published"], &state["feeds"][0]["source"]["connect_failures"]), (&1.into(), &0.into()));
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn a_certificate_that_has_expired_is_a_loss_until_it_is_renewed() {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::CertifiedIssuer::self_signed(params, authority).unwrap();
    let folder = crate::support::Folder::new();
    folder.put("ca.pem", issuer.pem());
    let signed = |until: i32| {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(until, 1, 1));
        let key = rcgen::KeyPair::generate().unwrap();
        folder.put("cert.pem", params.signed_by(&key, &issuer).unwrap().pem());
        folder.put("key.pem", key.serialize_pem());
        fs::set_permissions(folder.file("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    };
    signed(2002);
    folder.put("a.jpg", jpeg(RED));
    // mxr warns of such a certificate, and serves with it.
    let origin = mxr(["watch"]).arg(folder.file("a.jpg")).arg("--tls-cert").arg(folder.file("cert.pem"));
    let origin = origin.arg("--tls-key").arg(folder.file("key.pem")).start();
    let url = format!("https://localhost:{}/stream/a.jpg", origin.port());
    let server = relay(&url, &["--upstream-ca", folder.file("ca.pem").to_str().unwrap()]);
    let mut viewer = server.view("/stream");
    server.wait_for_loss("the certificate expired on Tue, 01 Jan 2002");
    assert!(server.stderr().contains("renew the server's certificate"), "{}", server.stderr());
    signed(2099);
    origin.signal(Signal::HUP);
    assert_eq!(viewer.part().body, jpeg(RED));
    wait_until("it is live", SOON, || server.source()["state"] == "live");
}

#[test]
fn a_thousand_viewers_that_race_to_a_relay_at_rest_open_one_connection_which_ends_after_them() {
    let upstream = Upstream::serve(|mut asked| {
        thread::sleep(A_WHILE);
        asked.begin(MULTIPART);
        asked.send(multipart("image/jpeg", &[&jpeg(RED)]));
        asked.hang();
    });
    let server = relay(&upstream.url("/video"), &["--linger", "1"]);
    for round in 1..=2 {
        // All are connected before the first asks.
        let mut sockets: Vec<_> = (0..1000).map(|_| TcpStream::connect(&server.host).unwrap()).collect();
        thread::scope(|scope| {
            for some in sockets.chunks_mut(125) {
                scope.spawn(|| some.iter_mut().for_each(|one| one.write_all(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").unwrap()));
            }
        });
        let picture = jpeg(RED);
        for socket in &mut sockets {
            socket.set_read_timeout(Some(SOON)).unwrap();
            let (mut reply, mut piece) = (Vec::new(), [0; 4096]);
            while !reply.windows(picture.len()).any(|bytes| bytes == picture) {
                let count = socket.read(&mut piece).unwrap();
                assert!(count > 0, "it ended");
                reply.extend_from_slice(&piece[..count]);
            }
        }
        assert_eq!((upstream.requests().len(), upstream.open(), upstream.most_open()), (round, 1, 1));
        drop(sockets);
        let left = Instant::now();
        wait_until("the upstream is left", SOON, || upstream.open() == 0);
        assert!(left.elapsed() >= Duration::from_millis(900), "{:?}", left.elapsed());
        wait_until("it rests", SOON, || server.source()["state"] == "idle");
    }
}

#[test]
fn pollers_of_snapshots_alone_keep_one_connection_open() {
    let upstream = Upstream::serve(|mut asked| {
        asked.begin(MULTIPART);
        let part = multipart("image/jpeg", &[&jpeg(RED)]);
        while asked.send(&part) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let picture = jpeg(RED);
    let server = relay(&upstream.url("/video"), &["--linger", "3"]);
    let polled = AtomicUsize::new(0);
    let until = Instant::now() + Duration::from_secs(4);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                while Instant::now() < until {
                    assert_eq!(server.get("/snapshot").body, picture);
                    polled.fetch_add(1, SeqCst);
                    thread::sleep(Duration::from_millis(100));
                }
            });
        }
    });
    println!("{} snapshots in 4 s", polled.load(SeqCst));
    assert_eq!((upstream.requests().len(), upstream.most_open()), (1, 1));
    wait_until("the upstream is left", SOON, || upstream.open() == 0);
}

#[test]
fn an_upstream_that_accepts_and_says_nothing_is_asked_by_one_connection_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/video", listener.local_addr().unwrap());
    let open = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = open.clone();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, counted) = (socket.unwrap(), counted.clone());
            thread::spawn(move || {
                let now = counted.0.fetch_add(1, SeqCst) + 1;
                counted.1.fetch_max(now, SeqCst);
                while socket.read(&mut [0; 1000]).is_ok_and(|count| count > 0) {}
                counted.0.fetch_sub(1, SeqCst);
            });
        }
    });
    let server = relay(&url, &["--upstream-timeout", "0.5"]);
    let _viewers: Vec<_> = (0..20).map(|_| server.view("/stream")).collect();
    server.wait_for_loss("no response within 500ms");
    wait_until("it was asked several times", SOON, || server.source()["connects"].as_u64() >= Some(3));
    assert_eq!(open.1.load(SeqCst), 1);
    assert_eq!(server.viewers().len(), 20);
}

#[test]
fn viewers_that_leave_before_the_answer_are_no_reason_to_try_a_wrong_password_again() {
    let upstream = Upstream::serve(|mut asked| {
        thread::sleep(A_WHILE);
        asked.reply_with("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"camera\""], "");
    });
    let server = relay(&upstream.url("/video").replace("http://", "http://user:wrong@"), &["--linger", "0"]);
    for _ in 0..20 {
        drop(server.view("/stream"));
        thread::sleep(Duration::from_millis(50));
    }
    server.wait_for_loss("the server refuses the user or password");
    let guesses = upstream.requests().iter().filter(|head| head.contains("Authorization: ")).count();
    assert_eq!(guesses, 1);
}
