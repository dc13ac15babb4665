//! The faults of a machine on which a program runs for months: disks that fail or are full, paths that are no files, lack of memory,
//! a clock that jumps, a terminal that disappears. The feed continues, and docs/reliability.md lists these tests.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};

use crate::support::{A_WHILE, Folder, Mxr, SOON, Server, Viewer, mxr, noise, tool, wait_for, wait_until};

const MIB: u64 = 1 << 20;

fn watch(folder: &Folder, name: &str) -> Mxr {
    mxr(["watch"]).arg(folder.file(name)).args(["--keepalive", "0"])
}

/// A watched text and a viewer that has had it.
fn watched(wrapper: impl FnOnce(Mxr) -> Mxr) -> (Folder, Server, Viewer) {
    let folder = Folder::new();
    folder.put("a.txt", "before");
    let server = wrapper(watch(&folder, "a.txt").args(["--port", "0"])).spawn().listening();
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().text(), "before");
    (folder, server, viewer)
}

fn expect_alive(folder: &Folder, server: &Server, viewer: &mut Viewer) {
    let text = format!("alive at {:?}", Instant::now());
    folder.put("a.txt", &text);
    assert_eq!(viewer.part().text(), text);
    assert_eq!(server.get("/healthz").head.status, 200);
}

#[test]
fn a_path_that_is_no_file_or_too_large_is_skipped() {
    let (folder, server, mut viewer) = watched(|mxr| mxr);
    let before = server.memory();
    let put = |odd: &dyn Fn(&Path)| {
        let made = folder.beside("odd");
        odd(&made);
        fs::rename(&made, folder.file("a.txt")).unwrap();
    };
    type Odd<'a> = (&'a str, &'a dyn Fn(&Path));
    let cases: [Odd<'_>; 5] = [
        ("larger than --max-part", &|path| File::create(path).unwrap().set_len(1 << 40).unwrap()),
        ("not a regular file", &|path| mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap()),
        ("not a regular file", &|path| symlink("/dev/zero", path).unwrap()),
        ("cannot read it", &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ("cannot read it", &|path| symlink("a.txt", path).unwrap()),
    ];
    for (words, odd) in cases {
        let last = server.get("/snapshot").text();
        put(odd);
        // The log repeats no warning within a minute.
        wait_until(words, SOON, || server.stderr().contains(words));
        assert_eq!(server.get("/snapshot").text(), last, "the last one stays");
        viewer.expect_silence(A_WHILE);
        expect_alive(&folder, &server, &mut viewer);
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes for what was not read");
}

#[test]
fn a_failing_disk_affects_only_its_own_feed() {
    let Some(strace) = tool(&["strace"]) else { return };
    let folder = Folder::new();
    folder.put("a.txt", "before");
    folder.put("bad.txt", "on a bad disk");
    let bad = folder.file("bad.txt");
    let args = ["-f", "-qq", "-I2", "-o", "/dev/null", "-P", bad.to_str().unwrap(), "-e", "inject=read:error=EIO"];
    let server = watch(&folder, "a.txt").arg(&bad).wrapped(&strace, &args).start();
    let mut viewer = server.view("/stream/a.txt");
    assert_eq!(viewer.part().text(), "before");
    wait_until("the log says why", SOON, || server.stderr().contains("Input/output error"));
    for n in 0..5 {
        folder.put("bad.txt", n.to_string());
        expect_alive(&folder, &server, &mut viewer);
    }
    assert_eq!(server.get("/snapshot/bad.txt").head.status, 503);
    let warnings = server.stderr().matches("Input/output error").count();
    assert!(warnings < 3, "{warnings} warnings");
}

#[test]
fn a_part_without_memory_for_it_is_skipped() {
    let Some(prlimit) = tool(&["prlimit"]) else { return };
    // Both kinds of lack of memory: for reading the file, and for the copy in the feed.
    for megabytes in [400, 120] {
        let limit = format!("--as={}", 300 * MIB);
        let (folder, server, mut viewer) = watched(|mxr| mxr.args(["--max-part", "2GiB"]).wrapped(&prlimit, &[&limit]));
        let large = folder.beside("large");
        File::create(&large).unwrap().set_len(megabytes * 1_000_000).unwrap();
        fs::rename(&large, folder.file("a.txt")).unwrap();
        wait_until("the log says so", SOON, || server.stderr().contains("memory"));
        expect_alive(&folder, &server, &mut viewer);
    }
}

#[test]
fn it_continues_without_a_log_that_cannot_be_written() {
    for stderr in ["/dev/full", "&-"] {
        let code = format!("exec \"$0\" \"$@\" 2>{stderr}");
        let (folder, server, mut viewer) = watched(|mxr| mxr.args(["-vv", "--log-format", "json"]).wrapped("sh", &["-c", &code]));
        expect_alive(&folder, &server, &mut viewer);
        server.terminate();
        viewer.parts_to_end();
        server.finish().success();
    }
}

#[test]
fn it_continues_without_an_output_that_nobody_reads() {
    for (stdout, told) in [(">&-", ""), (">/dev/full", "cannot print the URL"), ("| true", "")] {
        let folder = Folder::new();
        folder.put("a.txt", "before");
        let code = format!("{} \"$0\" \"$@\" {stdout}", if stdout.starts_with('>') { "exec" } else { "sleep 0.2;" });
        let server = watch(&folder, "a.txt").wrapped("sh", &["-c", &code]).start_unseen();
        let mut viewer = server.view("/stream");
        viewer.part();
        expect_alive(&folder, &server, &mut viewer);
        wait_until("it says so", SOON, || server.stderr().contains(told));
    }
}

#[test]
fn a_pipe_continues_when_its_copy_has_no_reader() {
    let code = "{ seq 3; sleep 1; seq 4 6; sleep 60; } | \"$0\" \"$@\" --tee | true";
    let server = mxr(["stdin"]).wrapped("sh", &["-c", code]).start_unseen();
    let mut viewer = server.view("/stream?history=10");
    for n in 1..=6 {
        assert_eq!(viewer.part().text(), n.to_string());
    }
}

#[test]
fn a_hangup_ends_only_a_program_with_a_terminal() {
    let (folder, server, mut viewer) = watched(|mxr| mxr);
    server.signal(Signal::HUP);
    wait_until("the log says so", SOON, || server.stderr().contains("SIGHUP"));
    expect_alive(&folder, &server, &mut viewer);
    let Some(script) = tool(&["script"]) else { return };
    let (_folder, server, mut viewer) = watched(|mxr| mxr.in_terminal(&script));
    // The terminal disappears with its program.
    server.signal(Signal::KILL);
    assert_eq!(viewer.parts_to_end().len(), 1, "the newest once more, and the close-delimiter");
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn a_clock_jump_changes_timestamps_and_no_deadline() {
    if tool(&["faketime"]).is_none() {
        return;
    }
    let library = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"));
    let library = library.into_iter().find(|library| library.exists()).expect("the library of faketime");
    let folder = Folder::new();
    folder.put("a.txt", "zero");
    let clock = folder.beside("clock");
    // Renamed into place: faketime reads the file whenever the program asks for the time.
    let set = |offset: &str| {
        fs::write(folder.beside("new"), offset).unwrap();
        fs::rename(folder.beside("new"), &clock).unwrap();
    };
    set("+0");
    let server = mxr(["watch"])
        .arg(folder.file("a.txt"))
        .args(["--keepalive", "0.5", "--stall-timeout", "1"])
        .env("LD_PRELOAD", library.to_str().unwrap())
        .env("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap())
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .start();
    let mut viewer = server.view("/stream");
    viewer.part();
    for (step, offset) in [("+3600", 3600.0), ("-3600", -3600.0), ("+0", 0.0)] {
        set(step);
        folder.put("a.txt", step);
        let part = viewer.part_where(|part| part.body == step.as_bytes());
        assert!((part.timestamp() - now() - offset).abs() < 60.0, "{step}: {}", part.timestamp());
        let arrivals: Vec<_> = (0..3).map(|_| viewer.part().arrived).collect();
        for pause in arrivals.windows(2).map(|pair| pair[1] - pair[0]) {
            assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&pause), "{step}: repeated after {pause:?}");
        }
        // A viewer that takes no byte is disconnected in time, independently of the clock.
        let _stuck = server.view_narrowly("/stream");
        server.wait_for_viewers(2);
        let mut seed = 0;
        wait_until("the stuck viewer is cut", SOON, || {
            seed += 1;
            folder.put("a.txt", noise(100_000, seed));
            viewer.part();
            server.viewers().len() == 1
        });
        let age = server.get("/metrics").text();
        let age = age.lines().find_map(|line| line.strip_prefix("mxr_feed_newest_age_seconds{feed=\"a.txt\"} ")).unwrap();
        assert!((0.0..10.0).contains(&age.parse::<f64>().unwrap()), "{age}");
    }
}

#[test]
fn a_watch_queue_overflow_loses_no_file_that_still_exists() {
    let folder = Folder::new();
    folder.put("a.txt", "before");
    let server = mxr(["watch"]).arg(folder.path()).args(["--keepalive", "0"]).start();
    let mut viewer = server.view("/stream");
    viewer.part();
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    server.signal(Signal::STOP);
    // Each is created, opened, written and closed: four events, and a reader that stands still.
    for n in 0..limit / 3 {
        folder.write(&format!("{n}.txt"), "noise");
    }
    // Its file time is certainly the newest.
    let newest = wait_for("the clock of files moves", SOON, || {
        folder.write("newest.txt", "newest");
        let modified = |name: &str| fs::metadata(folder.file(name)).unwrap().modified().unwrap();
        (modified("newest.txt") > modified(&format!("{}.txt", limit / 3 - 1))).then_some("newest")
    });
    server.signal(Signal::CONT);
    let part = viewer.part_where(|part| part.body == newest.as_bytes());
    assert_eq!(part.text(), newest);
    folder.put("a.txt", "and on");
    viewer.part_where(|part| part.body == b"and on");
}
