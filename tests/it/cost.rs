//! What a part costs, counted: one system call a viewer (with io_uring one for all), and a few wake-ups.

use std::fs;

use crate::support::{Folder, alone, mxr, tool};

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
    let table = fs::read_to_string(&counts).unwrap();
    ["sendto", "io_uring_enter", "epoll_wait", "total"].map(|name| {
        let line = table.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap_or_default();
        line.split_whitespace().nth(3).and_then(|calls| calls.parse().ok()).unwrap_or(0.0)
    })
}

#[test]
fn a_part_costs_one_system_call_a_viewer_or_with_io_uring_one_for_all() {
    // How often a loop wakes up depends on what else there is to do.
    alone();
    let Some(strace) = tool(&["strace"]) else { return };
    let (few, many) = (calls(strace.to_str().unwrap(), 10), calls(strace.to_str().unwrap(), 60));
    let [sends, enters, wakes, all] = [0, 1, 2, 3].map(|kind| (many[kind] - few[kind]) / 50.0);
    // With io_uring a viewer whose own bell rings just then has a send of its own.
    let (own, shared) = match cfg!(feature = "io-uring") {
        true if enters > 0.0 => (0.0, 1.0),
        // Without the feature, and where the kernel gives no io_uring.
        _ => (40.0, 0.0),
    };
    assert!((sends - own).abs() < if shared > 0.0 { 8.0 } else { 1.0 }, "{sends} sends a part for 40 viewers");
    assert!((enters - shared).abs() < 0.5, "{enters} submissions a part for 40 viewers");
    eprintln!("a part for 40 viewers: {sends} sends, {enters} submissions, {wakes} waits, {all} system calls");
    assert!(wakes < 8.0, "{wakes} wake-ups a part");
    assert!(all < own + 45.0, "{all} system calls a part");
}
