//! Peers of a public server vanish, reset, stall, trickle and flood. Each costs a limited amount for a limited time, and a connected
//! viewer is not disturbed. docs/reliability.md lists these tests.

use std::{
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockRef, Socket, Type};

use crate::support::{Connection, Folder, RED, SOON, Server, Viewer, Watched, busy, mxr, noise, png, tool, wait_until};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

#[test]
fn a_viewer_that_resets_is_gone_within_a_second() {
    let mut watched = Watched::new(&[]);
    let leaves = watched.server.view("/stream");
    watched.server.wait_for_viewers(2);
    SockRef::from(leaves.connection.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(leaves);
    wait_until("it is gone", Duration::from_secs(1), || watched.server.viewers().len() == 1);
    assert_eq!(watched.count("mxr_viewers_gone_total{cause=\"broken\"}"), 1);
    watched.expect_undisturbed();
}

/// A separate network, in which packets stop at one moment: neither FIN nor RST reports the viewer's end.
#[test]
fn a_viewer_that_vanishes_is_disconnected_after_the_stall_time() {
    let (Some(unshare), Some(nsenter), Some(ip)) = (tool(&["unshare"]), tool(&["nsenter"]), tool(&["ip"])) else { return };
    if !Command::new(&unshare).args(["-n", "true"]).stderr(Stdio::null()).status().unwrap().success() {
        return eprintln!("skipped: no leave to make a network");
    }
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let code = format!("{} link set lo up && exec \"$0\" \"$@\"", ip.display());
    let mut server = mxr(["watch"])
        .arg(folder.file("a.png"))
        .args(["-v", "--keepalive", "0.2", "--stall-timeout", "1", "--port", "0"])
        .wrapped(&unshare, &["-n", "sh", "-c", &code])
        .spawn()
        .listening();
    let inside = |command: &[&str]| {
        let mut nsenter = Command::new(&nsenter);
        nsenter.arg(format!("--net=/proc/{}/ns/net", server.pid())).args(command);
        nsenter.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut viewer = inside(&["curl", "-sN", &server.url("/stream")]);
    wait_until("it has come", SOON, || server.stderr().contains("viewer came"));
    assert!(inside(&[ip.to_str().unwrap(), "link", "set", "lo", "down"]).wait().unwrap().success());
    viewer.kill().unwrap();
    viewer.wait().unwrap();
    let start = Instant::now();
    wait_until("it is cut", SOON, || server.stderr().contains("why=\"stalled\""));
    assert!(start.elapsed() < Duration::from_secs(5), "cut after {:?}", start.elapsed());
    server.host.clear();
}

#[test]
fn a_hundred_stuck_viewers_cost_less_than_64_kib_each() {
    let mut watched = Watched::new(&[]);
    let size = 200_000;
    watched.push(1..10, size);
    let before = watched.server.memory();
    let stuck: Vec<_> = (0..100).map(|_| watched.server.view_narrowly("/stream")).collect();
    watched.push(10..60, size);
    let grown = watched.server.memory().saturating_sub(before);
    let limit = 100 * 64 * KIB + 2 * size as u64;
    eprintln!("100 stuck viewers: {} KiB each", grown / 100 / KIB);
    assert!(grown < limit, "{grown} bytes, more than {limit}");
    assert_eq!(watched.server.viewers().len(), 101);
    drop(stuck);
    watched.server.wait_for_viewers(1);
}

/// The memory of a server when this many viewers each slowly read a different picture, and the number that it has disconnected.
fn slow_readers(args: &[&str], path: &str, cut: &str) -> (u64, u64) {
    const SIZE: usize = 3_000_000;
    busy();
    // None of them is to be cut because the machine is slow.
    let mut watched = Watched::new(&[&["--stall-timeout", "1h"], args].concat());
    watched.push(1..3, SIZE);
    let before = watched.server.memory();
    let slow: Vec<_> = (3..48)
        .map(|seed| {
            watched.push(seed..seed + 1, SIZE);
            let mut slow = watched.server.open_narrowly();
            slow.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            slow.exactly(1000);
            slow
        })
        .collect();
    watched.push(48..50, SIZE);
    let grown = watched.server.memory().saturating_sub(before);
    let cut = watched.count(cut);
    eprintln!("45 slow readers of {path}: {} MiB, {cut} cut", grown / MIB);
    drop(slow);
    watched.expect_undisturbed();
    (grown, cut)
}

#[test]
fn slow_viewers_keep_at_most_64_mib_of_old_parts() {
    let (grown, cut) = slow_readers(&[], "/stream", "mxr_viewers_gone_total{cause=\"crowded\"}");
    assert!(grown < 100 * MIB && cut > 10, "{grown} bytes, {cut} cut");
}

#[test]
fn slow_viewers_of_all_threads_together_keep_at_most_64_mib_of_old_parts() {
    let (grown, cut) = slow_readers(&["--threads", "8"], "/stream", "mxr_viewers_gone_total{cause=\"crowded\"}");
    assert!(grown < 100 * MIB && (11..35).contains(&cut), "{grown} bytes, {cut} cut");
}

#[test]
fn slow_readers_of_snapshots_keep_at_most_64_mib_of_them() {
    let (grown, cut) = slow_readers(&[], "/snapshot", "mxr_errors_total{cause=\"crowded\"}");
    assert!(grown < 100 * MIB && cut > 10, "{grown} bytes, {cut} cut");
}

#[test]
fn slow_viewers_of_short_lines_keep_little_more_than_they_are_to_be_sent() {
    // Each line is of one byte, and 200 times as much with its headers.
    let lines = "x\n".repeat(32 << 10);
    busy();
    let mut server = mxr(["stdin", "--stall-timeout", "1h"]).stdin(Stdio::piped()).start();
    let mut published = 0;
    let mut write = |server: &mut Server| {
        server.write(&lines);
        published += 32 << 10;
        wait_until("they are published", SOON, || server.state()["feeds"][0]["published"] == published);
    };
    (0..10).for_each(|_| write(&mut server));
    let before = server.memory();
    let slow: Vec<_> = (0..30)
        .map(|_| {
            let mut slow = server.open_narrowly();
            slow.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
            slow.exactly(300);
            write(&mut server);
            slow
        })
        .collect();
    (0..10).for_each(|_| write(&mut server));
    let grown = server.memory().saturating_sub(before);
    let cut = server.state()["gone"]["crowded"].as_u64().unwrap();
    eprintln!("30 slow viewers of short lines: {} MiB, {cut} cut", grown / MIB);
    drop(slow);
    assert!(grown < 50 * MIB && cut == 0, "{grown} bytes, {cut} cut");
}

/// The memory of `serve DIR --once` when this many viewers each slowly read a frame of 3 MB, and the number that it has
/// disconnected. Between two viewers the frame may change.
fn slow_runs(viewers: u32, changes: bool) -> (u64, u64) {
    busy();
    let folder = Folder::new();
    folder.put("1.png", noise(3_000_000, 0));
    let server = mxr(["serve"]).arg(folder.path()).args(["--once", "--stall-timeout", "1h"]).start();
    let before = server.memory();
    let slow: Vec<_> = (0..viewers)
        .map(|seed| {
            if changes {
                folder.put("1.png", noise(3_000_000, seed));
            }
            let mut slow = server.open_narrowly();
            slow.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
            slow.exactly(1000);
            slow
        })
        .collect();
    let mut last = server.view("/stream");
    assert_eq!(last.part().body.len(), folder.file("1.png").metadata().unwrap().len() as usize);
    let grown = server.memory().saturating_sub(before);
    let cut = server.state()["gone"]["crowded"].as_u64().unwrap();
    eprintln!("{viewers} slow runs: {} MiB, {cut} cut", grown / MIB);
    drop(slow);
    (grown, cut)
}

#[test]
fn slow_viewers_of_one_frame_share_it_in_all_runs() {
    let (grown, cut) = slow_runs(100, false);
    assert!(grown < 50 * MIB && cut == 0, "{grown} bytes, {cut} cut");
}

#[test]
fn slow_viewers_of_runs_keep_at_most_64_mib_of_frames() {
    let (grown, cut) = slow_runs(60, true);
    // 32 MiB are kept for runs to come.
    assert!(grown < 125 * MIB && cut > 10, "{grown} bytes, {cut} cut");
}

#[test]
fn a_client_that_sends_an_endless_body_is_disconnected_at_once() {
    let mut watched = Watched::new(&[]);
    for head in ["POST /stream HTTP/1.1\r\nContent-Length: 1000000", "GET /snapshot HTTP/1.1\r\nTransfer-Encoding: chunked"] {
        let mut slow = Connection::open(&watched.server.host);
        slow.send(format!("{head}\r\nHost: localhost\r\n\r\n"));
        let start = Instant::now();
        let closed = loop {
            slow.send("1\r\nx\r\n");
            match SockRef::from(slow.stream()).take_error() {
                Ok(None) if start.elapsed() < SOON => thread::sleep(Duration::from_millis(50)),
                _ => break start.elapsed(),
            }
        };
        assert!(closed < Duration::from_secs(3), "{head}: closed after {closed:?}");
    }
    watched.expect_undisturbed();
}

#[test]
fn a_client_that_does_not_read_a_reply_is_disconnected_in_time() {
    let mut watched = Watched::new(&["--stall-timeout", "1", "--max-part", "64MiB"]);
    let before = watched.server.open_files();
    let large = png(RED).into_iter().chain(std::iter::repeat_n(0, 32_000_000)).collect::<Vec<u8>>();
    watched.folder.put("a.png", &large);
    watched.part();
    let silent: Vec<_> = (0..10)
        .map(|_| {
            let mut silent = Connection::open(&watched.server.host);
            silent.send("GET /snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n");
            silent
        })
        .collect();
    wait_until("they are let in", SOON, || watched.server.open_files() >= before + 10);
    wait_until("they are closed", SOON, || watched.server.open_files() <= before + 1);
    // The last of them may still be open.
    let ended = || ["broken", "timeout"].map(|cause| watched.count(&format!("mxr_errors_total{{cause=\"{cause}\"}}")));
    wait_until("they are counted", SOON, || ended().iter().sum::<u64>() == 10);
    drop(silent);
    watched.expect_undisturbed();
}

#[test]
fn a_flood_of_huge_requests_costs_nothing() {
    let mut watched = Watched::new(&[]);
    let long = "x".repeat(40_000);
    let requests = [
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(500)),
    ];
    let flood = |watched: &Watched, times: usize| {
        for request in requests.iter().cycle().take(times) {
            let mut connection = Connection::open(&watched.server.host);
            connection.send(request);
            let status = connection.head().status;
            assert!([400, 414, 431].contains(&status), "{status}");
        }
    };
    flood(&watched, 100);
    let before = watched.server.memory();
    flood(&watched, 600);
    let grown = watched.server.memory().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes for 600 requests");
    watched.expect_undisturbed();
}

#[test]
fn many_connections_leave_descriptors_for_files() {
    let Some(prlimit) = tool(&["prlimit"]) else { return };
    let mut watched = Watched::wrapped(&[], |mxr| mxr.wrapped(&prlimit, &["--nofile=64"]));
    let _crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(&watched.server.host).unwrap()).collect();
    watched.push(1..20, 10_000);
    for _ in 0..5 {
        assert_eq!(watched.server.view("/stream").part().body, noise(10_000, 19));
    }
    assert!(!watched.server.stderr().contains("Too many open files"), "{}", watched.server.stderr());
    watched.expect_undisturbed();
}

#[test]
fn without_file_descriptors_it_waits_without_spinning_and_recovers() {
    let Some(prlimit) = tool(&["prlimit"]) else { return };
    let mut watched = Watched::new(&[]);
    // One descriptor is free, for the moment.
    let pid = watched.server.pid().to_string();
    let limit = |descriptors: usize| {
        let status = Command::new(&prlimit).args(["--pid", &pid, &format!("--nofile={descriptors}:10000")]).status().unwrap();
        assert!(status.success());
    };
    limit(watched.server.lowest_free_descriptor() + 1);
    let crowd: Vec<_> = (0..100).map(|_| TcpStream::connect(&watched.server.host).unwrap()).collect();
    wait_until("it says so", SOON, || watched.server.stderr().contains("cannot accept connections"));
    let (start, before) = (Instant::now(), watched.server.cpu_time());
    thread::sleep(Duration::from_secs(2));
    let (took, spent) = (start.elapsed(), watched.server.cpu_time() - before);
    eprintln!("without descriptors: {spent:?} of processor time in {took:?}");
    assert!(spent < took / 4, "{spent:?} of processor time in {took:?}");
    watched.server.expect_logs("cannot accept", 1);
    drop(crowd);
    let start = Instant::now();
    assert_eq!(watched.server.get("/healthz").head.status, 200);
    assert!(start.elapsed() < Duration::from_secs(8), "answered again after {:?}", start.elapsed());
    // The connection with the last descriptor keeps it while no other waits.
    for _ in 0..20 {
        assert_eq!(watched.server.get("/healthz").head.status, 200);
    }
    limit(1000);
    assert!(watched.count("mxr_errors_total{cause=\"accept\"}") > 0);
    watched.expect_undisturbed();
}

#[test]
fn many_silent_connections_keep_nobody_out() {
    let mut watched = Watched::new(&[]);
    let before = watched.server.memory();
    let start = Instant::now();
    let crowd: Vec<_> = (0..4000).map(|_| TcpStream::connect(&watched.server.host).unwrap()).collect();
    let answered = Instant::now();
    assert_eq!(watched.server.get("/healthz").head.status, 200);
    // Those are closed after ten seconds.
    assert!(answered.elapsed() < SOON / 2, "answered after {:?}", answered.elapsed());
    watched.push(1..5, 10_000);
    let grown = watched.server.memory().saturating_sub(before);
    eprintln!("4000 silent connections in {:?}: {} MiB", start.elapsed(), grown / MIB);
    assert!(grown < 64 * MIB, "{grown} bytes for 4000 silent connections");
    assert!(watched.count("mxr_errors_total{cause=\"crowded\"}") >= 1000, "the longest silent made room");
    drop(crowd);
    watched.expect_undisturbed();
}

/// A viewer from this address of the loopback network.
fn ask_from(server: &Server, address: [u8; 4]) -> Connection {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&server.host.parse::<SocketAddr>().unwrap().into()).unwrap();
    let mut connection = Connection::over(socket.into());
    connection.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection
}

#[test]
fn one_address_does_not_take_every_permit() {
    let mut watched = Watched::new(&["--max-viewers-per-address", "2", "--max-viewers", "4"]);
    let _second = Viewer::answered(ask_from(&watched.server, [127, 0, 0, 1]));
    let refused = ask_from(&watched.server, [127, 0, 0, 1]).head();
    assert_eq!(refused.status, 503);
    assert!(refused.want("Retry-After").parse::<u32>().unwrap() > 0);
    let others: Vec<_> = (0..2).map(|_| Viewer::answered(ask_from(&watched.server, [127, 0, 0, 2]))).collect();
    assert_eq!(ask_from(&watched.server, [127, 0, 0, 3]).head().status, 503, "all four are taken");
    drop(others);
    watched.server.wait_for_viewers(2);
    Viewer::answered(ask_from(&watched.server, [127, 0, 0, 2]));
    let [full, address] =
        ["full", "address"].map(|cause| watched.count(&format!("mxr_viewers_refused_total{{cause=\"{cause}\"}}")));
    assert_eq!((full, address), (1, 1));
    watched.expect_undisturbed();
}

/// The three classic slow attacks: slow heads (slowloris), slow bodies, slow reading.
#[test]
fn slow_attacks_hold_nothing_after_the_timeout() {
    let Some(slowhttptest) = tool(&["slowhttptest"]) else { return };
    let mut watched = Watched::new(&["--stall-timeout", "5"]);
    let before = watched.server.open_files();
    let url = watched.server.url("/view");
    let attack = |kind: &[&str]| {
        let common = ["-c", "200", "-r", "200", "-l", "16", "-p", "1", "-u", &url];
        let mut command = Command::new(&slowhttptest);
        command.args(kind).args(common).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        command.spawn().unwrap()
    };
    let attacks = [
        attack(&["-H", "-i", "1"]),
        attack(&["-B", "-i", "1", "-s", "8192"]),
        attack(&["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "5", "-k", "3"]),
    ];
    wait_until("they are there", SOON, || watched.server.open_files() > before + 100);
    let mut peak = 0;
    let start = Instant::now();
    wait_until("all are closed", SOON * 2, || {
        let held = watched.server.open_files() - before;
        peak = peak.max(held);
        held <= 1
    });
    eprintln!("slowhttptest held {peak} connections, none after {:?}", start.elapsed());
    for mut attack in attacks {
        let _ = attack.kill();
        attack.wait().unwrap();
    }
    watched.expect_undisturbed();
}
