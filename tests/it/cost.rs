//! What a part costs, counted: one system call a viewer (with io_uring one for all), and a few wake-ups.

use std::{fs, path::Path};

use crate::support::{Folder, PALETTE, Server, alone, mxr, png, tool};

/// Bytes of a body.
const SIZE: usize = 1000;

/// Calls that a server makes in all for so many parts and 40 viewers: of `sendto`, of `io_uring_enter`, of `epoll_wait`, and of every kind.
fn calls(strace: &str, parts: u32) -> [f64; 4] {
    let folder = Folder::new();
    folder.put("a.txt", "0".repeat(SIZE));
    let counts = folder.beside("counts");
    let server = mxr(["watch"])
        .arg(folder.file("a.txt"))
        .args(["--keepalive", "0"])
        .wrapped(strace, &["-f", "-c", "-qq", "-I2", "-o", counts.to_str().unwrap()])
        .start();
    let mut viewers: Vec<_> = (0..40).map(|_| server.view("/stream")).collect();
    viewers.iter_mut().for_each(|viewer| drop(viewer.part()));
    for n in 1..=parts {
        let text = format!("{n:0SIZE$}");
        folder.put("a.txt", &text);
        viewers.iter_mut().for_each(|viewer| assert_eq!(viewer.part().text(), text));
    }
    drop(viewers);
    server.stop();
    ["sendto", "io_uring_enter", "epoll_wait", "total"].map(|name| count(&counts, name))
}

/// How often a call was made, as strace counted.
fn count(counts: &Path, name: &str) -> f64 {
    let table = fs::read_to_string(counts).unwrap();
    let line = table.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap_or_default();
    line.split_whitespace().nth(3).and_then(|calls| calls.parse().ok()).unwrap_or(0.0)
}

#[test]
fn a_part_costs_one_system_call_a_viewer_or_with_io_uring_one_for_all() {
    // How often a loop wakes up depends on what else there is to do.
    alone();
    let Some(strace) = tool(&["strace"]) else { return };
    let (few, many) = (calls(strace.to_str().unwrap(), 10), calls(strace.to_str().unwrap(), 60));
    let [sends, enters, wakes, all] = [0, 1, 2, 3].map(|kind| (many[kind] - few[kind]) / 50.0);
    // With io_uring a viewer that is woken at that moment has a separate send.
    let (own, shared) = match cfg!(feature = "io-uring") {
        true if enters > 0.0 => (0.0, 1.0),
        // Without the feature, or without io_uring in the kernel.
        _ => (40.0, 0.0),
    };
    assert!((sends - own).abs() < if shared > 0.0 { 8.0 } else { 1.0 }, "{sends} sends a part for 40 viewers");
    assert!((enters - shared).abs() < 0.5, "{enters} submissions a part for 40 viewers");
    eprintln!("a part for 40 viewers: {sends} sends, {enters} submissions, {wakes} waits, {all} system calls");
    assert!(wakes < 8.0, "{wakes} wake-ups a part");
    assert!(all < own + 45.0, "{all} system calls a part");
}

/// How often the thread that watches a picture waits, and how often it reads, where so many pictures are renamed into its place.
fn waits_and_reads(strace: &str, renames: usize) -> [f64; 2] {
    let folder = Folder::new();
    folder.put("a.png", png(PALETTE[0]));
    fs::create_dir(folder.beside("calls")).unwrap();
    let calls = folder.beside("calls/of");
    let flags = ["-ff", "-qq", "-I2", "-e", "trace=epoll_wait,epoll_pwait,read,inotify_init1", "-o", calls.to_str().unwrap()];
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0"]).wrapped(strace, &flags).start();
    let mut viewer = server.view("/stream");
    viewer.part();
    for colour in PALETTE.iter().cycle().skip(1).take(renames) {
        folder.put("a.png", png(*colour));
        assert_eq!(viewer.part().body, png(*colour));
    }
    drop(viewer);
    server.terminate();
    server.finish();
    let log = calls_that_watch(&folder.beside("calls"));
    ["epoll", "read("].map(|call| log.lines().filter(|line| line.starts_with(call)).count() as f64)
}

/// What strace wrote of the thread that has inotify.
fn calls_that_watch(logs: &Path) -> String {
    let logs = fs::read_dir(logs).unwrap().map(|log| fs::read_to_string(log.unwrap().path()).unwrap());
    logs.into_iter().find(|log| log.contains("inotify_init1(")).unwrap()
}

#[test]
fn a_renamed_picture_wakes_its_watcher_once_though_reading_it_raises_events_too() {
    let Some(strace) = tool(&["strace"]) else { return };
    alone();
    let (few, many) = (waits_and_reads(strace.to_str().unwrap(), 10), waits_and_reads(strace.to_str().unwrap(), 110));
    let [waits, reads] = [0, 1].map(|kind| (many[kind] - few[kind]) / 100.0);
    eprintln!("a renamed picture: {waits} waits and {reads} reads");
    // Beside that there is a look every 700 ms.
    assert!(waits < 1.7, "{waits} waits a rename");
    // The event, the picture, the events of our own reading.
    assert!(reads < 3.7, "{reads} reads a rename");
}

/// How often a directory of a thousand frames is read.
fn directory_reads(strace: &str, mode: &str, act: impl FnOnce(&Folder, &Server)) -> f64 {
    let folder = Folder::new();
    (0..1000).for_each(|number| folder.write(&format!("{number}.txt"), number.to_string()));
    let counts = folder.beside("counts");
    let flags = ["-f", "-c", "-qq", "-I2", "-e", "trace=getdents64", "-o", counts.to_str().unwrap()];
    let server =
        mxr(["serve"]).arg(folder.path()).args([mode, "--fps", "1000", "--keepalive", "0"]).wrapped(strace, &flags).start();
    act(&folder, &server);
    server.stop();
    count(&counts, "getdents64")
}

#[test]
fn neither_a_new_frame_nor_a_new_run_costs_a_listing_of_the_directory() {
    let Some(strace) = tool(&["strace"]) else { return };
    let strace = strace.to_str().unwrap();
    let frames = directory_reads(strace, "--follow", |folder, server| {
        let mut viewer = server.view("/stream");
        viewer.part_where(|part| part.text() == "999");
        for number in 1000..1100 {
            folder.put(&format!("{number}.txt"), number.to_string());
            assert_eq!(viewer.part().text(), number.to_string());
        }
    });
    let runs = directory_reads(strace, "--once", |folder, server| {
        for number in 0..50 {
            folder.put("0.txt", format!("begin {number}"));
            assert_eq!(server.view("/stream").part().text(), format!("begin {number}"), "what is there is shown");
        }
        folder.put("-1.txt", "a new one");
        assert_eq!(server.view("/stream").part().text(), "a new one");
    });
    eprintln!("a hundred new frames: {frames} reads of the directory; fifty runs: {runs}");
    // A listing is two of them, and the first may be made twice.
    assert!(frames < 10.0 && runs < 10.0, "{frames} and {runs} reads");
}
