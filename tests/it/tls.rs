//! HTTPS, with certificates of a test authority and with real clients.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};
use serde_json::json;

use crate::support::{
    Browser, Ca, Connection, Folder, GREEN, RED, SOON, Server, mxr, near, noise, png, printed_by, tool, wait_until,
};

/// A watched red picture over https.
fn watched(ca: &Ca, args: &[&str]) -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).arg("--tls-cert").arg(ca.cert()).arg("--tls-key").arg(ca.key());
    (folder, server.args(args).start())
}

fn curl(program: &Path, ca: &Ca, url: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["-sf", "--retry", "20", "--retry-delay", "1", "--cacert"]).arg(ca.ca()).arg(url);
    command
}

/// A curl that reads a stream until it is dropped.
struct Reader(Child);

impl Reader {
    fn start(mut command: Command) -> (Self, BufReader<impl Read>) {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        (Self(child), BufReader::new(stdout))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a part's headers and body.
fn part(reader: &mut impl BufRead) -> Vec<u8> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" && length > 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    body
}

#[test]
fn curl_reads_snapshots_and_streams_over_https() {
    let Some(program) = tool(&["curl"]) else { return };
    let ca = Ca::new();
    ca.sign("one");
    let (folder, server) = watched(&ca, &["--keepalive", "0"]);
    assert!(server.url("/").starts_with("https://127.0.0.1:"));
    assert_eq!(printed_by(&mut curl(&program, &ca, &server.url("/snapshot"))), png(RED));
    let mut command = curl(&program, &ca, &server.url("/stream"));
    command.arg("-N");
    let (_reader, mut stream) = Reader::start(command);
    assert_eq!(part(&mut stream), png(RED));
    // Small and large parts are sent completely and at once, though no later bytes push them out.
    for seed in 1..20 {
        let picture = noise(if seed % 2 == 0 { 300 } else { 900_000 }, seed);
        folder.put("a.png", &picture);
        assert!(part(&mut stream) == picture, "{seed}");
    }
    server.terminate();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"--\r\n"), "the close-delimiter");
    server.finish().success();
}

#[test]
fn a_slow_reader_over_https_gets_complete_and_newest_parts() {
    let Some(program) = tool(&["curl"]) else { return };
    let ca = Ca::new();
    ca.sign("one");
    let (folder, server) = watched(&ca, &["--keepalive", "0"]);
    let mut command = curl(&program, &ca, &server.url("/stream"));
    command.args(["-N", "--limit-rate", "3M"]);
    let (_reader, mut stream) = Reader::start(command);
    assert_eq!(part(&mut stream), png(RED));
    let pictures: Vec<_> = (1..=12).map(|seed| noise(1_000_000, seed)).collect();
    for (at, picture) in pictures.iter().enumerate() {
        folder.put("a.png", picture);
        wait_until("it is pushed", SOON, || {
            let state: serde_json::Value =
                serde_json::from_slice(&printed_by(&mut curl(&program, &ca, &server.url("/state")))).unwrap();
            state["feeds"][0]["newest"]["sequence"] == json!(at + 2)
        });
    }
    let mut last = 0;
    while last + 1 < pictures.len() {
        let body = part(&mut stream);
        let at = pictures.iter().position(|picture| *picture == body).expect("a whole picture");
        assert!(at >= last, "in order");
        last = at;
    }
}

#[test]
fn chromium_shows_the_page_over_https() {
    let ca = Ca::new();
    let key = ca.sign("one");
    let pin = BASE64_STANDARD.encode(sha256(&key));
    let Some(browser) = Browser::start_trusting(&pin) else { return };
    let (folder, server) = watched(&ca, &["--token", "T0ken"]);
    browser.go_by_way_of(&server.url("/?token=T0ken"), &server.url("/"));
    wait_until("the picture is on the screen", SOON, || browser.screenshot().pixels().any(|pixel| near(pixel.0, RED)));
    folder.put("a.png", png(GREEN));
    wait_until("the next picture is on the screen", SOON, || browser.screenshot().pixels().any(|pixel| near(pixel.0, GREEN)));
    assert_eq!(browser.run("return isSecureContext", json!([])), json!(true));
}

/// Uses the system's own program, since one hash does not justify a crate.
fn sha256(bytes: &[u8]) -> Vec<u8> {
    let folder = Folder::new();
    folder.put("key", bytes);
    let printed = printed_by(Command::new("sha256sum").arg(folder.file("key")));
    let hex = std::str::from_utf8(&printed[..64]).unwrap();
    (0..64).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_new_certificate_is_used_and_a_broken_one_is_not() {
    let Some(program) = tool(&["curl"]) else { return };
    let ca = Ca::new();
    ca.sign("first");
    let (_folder, server) = watched(&ca, &[]);
    let subject = || {
        let output = curl(&program, &ca, &server.url("/healthz")).arg("-v").output().unwrap();
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = output.lines().find(|line| line.contains("subject: CN=")).unwrap_or_else(|| panic!("{output}")).to_owned();
        line.rsplit_once('=').unwrap().1.to_owned()
    };
    assert_eq!(subject(), "first");
    let mut stream = curl(&program, &ca, &server.url("/stream"));
    stream.arg("-N");
    let (_reader, mut stream) = Reader::start(stream);
    assert_eq!(part(&mut stream), png(RED));
    ca.sign("second");
    wait_until("the changed files are seen", SOON, || subject() == "second");
    std::fs::write(ca.cert(), "no certificate").unwrap();
    server.signal(Signal::HUP);
    wait_until("it says so", SOON, || server.stderr().contains("the certificate stays as it was"));
    assert_eq!(subject(), "second");
    ca.sign("third");
    server.signal(Signal::HUP);
    wait_until("the good one is taken", SOON, || subject() == "third");
    // An earlier viewer stays connected: the keepalive repeats the part.
    assert_eq!(part(&mut stream), png(RED));
}

#[test]
fn a_fifo_in_place_of_a_certificate_delays_neither_the_next_one_nor_the_shutdown() {
    let Some(program) = tool(&["curl"]) else { return };
    let ca = Ca::new();
    ca.sign("first");
    let (_folder, server) = watched(&ca, &[]);
    for (place, name) in [(ca.cert(), "second"), (ca.key(), "third")] {
        std::fs::remove_file(&place).unwrap();
        mknodat(CWD, &place, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let refused = || server.stderr().matches("it is not a regular file").count();
        let before = refused();
        wait_until("it is not used", SOON, || refused() > before);
        ca.sign(name);
        server.signal(Signal::HUP);
        wait_until("the next is taken", SOON, || {
            let output = curl(&program, &ca, &server.url("/healthz")).arg("-v").output().unwrap();
            String::from_utf8_lossy(&output.stderr).contains(&format!("CN={name}"))
        });
    }
    server.stop().success();
}

#[test]
fn a_key_that_becomes_readable_by_everybody_causes_a_warning() {
    let ca = Ca::new();
    ca.sign("one");
    let (_folder, server) = watched(&ca, &[]);
    ca.allow(0o604);
    wait_until("it says so", SOON, || server.stderr().contains("every user of this machine can read or change it; hint: chmod"));
    ca.allow(0o600);
    wait_until("it is used again", SOON, || server.stderr().contains("certificate read again"));
}

#[test]
fn plain_http_and_silence_on_the_https_port_harm_nobody() {
    let Some(program) = tool(&["curl"]) else { return };
    let ca = Ca::new();
    ca.sign("one");
    let (_folder, server) = watched(&ca, &[]);
    let mut plain = Connection::open(&server.host);
    plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let reply = plain.reply("GET");
    assert_eq!(reply.head.status, 400);
    assert!(reply.text().contains("https://"), "{}", reply.text());
    plain.expect_end();
    let mut garbled = Connection::open(&server.host);
    garbled.send([22, 3, 1, 0, 5, 1, 2, 3, 4, 5]);
    garbled.rest();
    let _silent: Vec<_> = (0..50).map(|_| Connection::open(&server.host)).collect();
    assert_eq!(printed_by(&mut curl(&program, &ca, &server.url("/snapshot"))), png(RED));
}

#[test]
fn connections_that_never_begin_a_handshake_are_bounded_and_keep_nobody_out() {
    let Some(program) = tool(&["curl"]) else { return };
    rlimit::increase_nofile_limit(1 << 16).unwrap();
    let ca = Ca::new();
    ca.sign("one");
    for (begin, limit) in [(&b""[..], None), (b"", Some("512")), (&[22, 3, 1, 2, 0], None)] {
        let folder = Folder::new();
        folder.put("a.png", png(RED));
        let mut mxr = mxr(["watch"]).arg(folder.file("a.png")).arg("--tls-cert").arg(ca.cert()).arg("--tls-key").arg(ca.key());
        if let Some(limit) = limit {
            let Some(prlimit) = tool(&["prlimit"]) else { return };
            mxr = mxr.args(["--port", "0"]).wrapped(&prlimit, &[&format!("--nofile={limit}")]);
        }
        let server = if limit.is_some() { mxr.spawn().listening() } else { mxr.start() };
        let crowd: Vec<_> = (0..4000)
            .map(|_| {
                let mut silent = Connection::open(&server.host);
                silent.send(begin);
                silent
            })
            .collect();
        // Without a retry: an honest client gets in at once.
        let snapshot =
            Command::new(&program).args(["-sSf", "--cacert"]).arg(ca.ca()).arg(server.url("/snapshot")).output().unwrap();
        assert_eq!(snapshot.stdout, png(RED), "{}", String::from_utf8_lossy(&snapshot.stderr));
        // A handshake has ten seconds, after which all would be gone anyway.
        wait_until("the silent ones made room", Duration::from_secs(5), || server.open_files() < 2100);
        drop(crowd);
    }
}

#[test]
fn an_encrypted_key_is_distinguished_from_an_invalid_one() {
    let Some(openssl) = tool(&["openssl"]) else { return };
    let (ca, folder) = (Ca::new(), Folder::new());
    ca.sign("one");
    for form in [&["pkey"][..], &["ec"]] {
        let key = folder.file("key.pem");
        let mut command = Command::new(&openssl);
        printed_by(command.args(form).args(["-aes256", "-passout", "pass:secret", "-in"]).arg(ca.key()).arg("-out").arg(&key));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let run = mxr(["serve", "--demo", "--port", "0", "--tls-cert"]).arg(ca.cert()).arg("--tls-key").arg(&key).run();
        run.failure().stderr("it is encrypted").stderr("hint: openssl pkey -in ");
    }
}

#[test]
fn unusable_certificates_are_errors() {
    let ca = Ca::new();
    ca.sign("one");
    let other = Ca::new();
    other.sign("two");
    let run = |cert: &Path, key: &Path| {
        mxr(["serve", "--demo", "--port", "0", "--tls-cert"]).arg(cert).arg("--tls-key").arg(key).run().failure()
    };
    run(&ca.cert(), Path::new("/nowhere")).stderr("/nowhere");
    run(Path::new("/nowhere"), &ca.key()).stderr("/nowhere");
    run(&ca.key(), &ca.key()).stderr("no certificate in it");
    run(&ca.cert(), &ca.cert()).stderr("mxr: cannot use --tls-key");
    run(&ca.cert(), &other.key()).stderr("it belongs to another key\nhint: is --tls-key the key of this certificate?");
    for mode in [0o644, 0o606, 0o604] {
        ca.allow(mode);
        run(&ca.cert(), &ca.key()).stderr("every user of this machine").stderr("hint: chmod o= ");
    }
    ca.allow(0o640);
    assert!(!mxr(["serve", "--demo", "--tls-cert"]).arg(ca.cert()).arg("--tls-key").arg(ca.key()).start().stdout().is_empty());
    mxr(["serve", "--demo", "--tls-cert", "x"]).run().usage_error().stderr("--tls-key");
}

#[test]
fn a_viewer_that_leaves_or_stalls_over_https_is_gone() {
    let Some(program) = tool(&["curl"]) else { return };
    let ca = Ca::new();
    ca.sign("one");
    let (folder, server) = watched(&ca, &["--stall-timeout", "1", "--keepalive", "0.3"]);
    let viewers = || {
        let state = printed_by(&mut curl(&program, &ca, &server.url("/state")));
        serde_json::from_slice::<serde_json::Value>(&state).unwrap()["viewers"].as_array().unwrap().len()
    };
    let mut command = curl(&program, &ca, &server.url("/stream"));
    command.arg("-N");
    let (reader, mut stream) = Reader::start(command);
    part(&mut stream);
    assert_eq!(viewers(), 1);
    drop(reader);
    wait_until("it is gone", SOON, || viewers() == 0);
    // A curl whose output nobody reads stops reading.
    let mut command = curl(&program, &ca, &server.url("/stream"));
    command.arg("-N");
    let (_stalled, _unread) = Reader::start(command);
    wait_until("it is there", SOON, || viewers() == 1);
    let mut seed = 0;
    wait_until("it is cut", Duration::from_secs(30), || {
        seed += 1;
        folder.put("a.png", noise(1_000_000, seed));
        viewers() == 0
    });
}

#[test]
fn over_https_the_cookie_is_bound_to_the_host() {
    let Some(program) = tool(&["curl"]) else { return };
    let ca = Ca::new();
    ca.sign("one");
    for (prefix, is_bound) in [("", true), ("/cam", false)] {
        let (_folder, server) = watched(&ca, &["--token", "T0ken", "--route-prefix", prefix]);
        let mut command = curl(&program, &ca, &server.url(&format!("{prefix}/view?token=T0ken")));
        let head = String::from_utf8(printed_by(command.args(["-o", "/dev/null", "-D", "-"]))).unwrap();
        let cookie = head.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).expect(&head);
        assert!(cookie.contains("; Secure") && !cookie.contains("T0ken"), "{cookie}");
        let bound = (format!("__Host-mxr-{}=", server.port()), "; Path=/");
        assert_eq!(cookie.starts_with(&bound.0), is_bound, "{cookie}");
        assert_eq!(cookie.contains(bound.1), is_bound, "{cookie}");
    }
}
