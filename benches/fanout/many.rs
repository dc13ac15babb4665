//! Ten thousand viewers: whether 5,000 a second can connect, the memory of each, and the time until the server has detected that all
//! have left.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    process::{Running, memory, pin},
    work::Work,
};

const VIEWERS: usize = 10_000;
const EACH: Duration = Duration::from_micros(200);

pub(crate) fn run() {
    println!("\n{VIEWERS} viewers of 1 KB lines, two a second:");
    for role in ["bare", "ours"] {
        let work = Work { size: 1_000, rate: 2, viewers: VIEWERS, time: Duration::ZERO, threads: 1 };
        let mut server = Running::role(role, work, &[]);
        let pid = server.child.id();
        let port: u16 = server.line().parse().expect("a port");
        pin(1);
        let (before, files) = (memory(pid), open_files(pid));
        let begin = Instant::now();
        let mut sockets: Vec<TcpStream> = (0..VIEWERS as u32).map(|n| connect(port, begin + EACH * n)).collect();
        let connected = begin.elapsed();
        let served = served(&mut sockets, begin);
        let cost = (memory(pid) - before) as f64 / VIEWERS as f64;
        let left_at = Instant::now();
        drop(sockets);
        // The bare sender never detects it.
        while role == "ours" && open_files(pid) > files && left_at.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let gone = left_at.elapsed();
        println!(
            "{role}: {:.0} connected a second, {served} have a part after {:.2} s, {cost:.2} KiB each{}",
            VIEWERS as f64 / connected.as_secs_f64(),
            (left_at - begin).as_secs_f64(),
            if role == "ours" { format!(", all gone {:.2} s after they left", gone.as_secs_f64()) } else { String::new() }
        );
    }
}

fn connect(port: u16, due: Instant) -> TcpStream {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    socket.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("request");
    socket.set_nonblocking(true).expect("nonblocking");
    socket
}

/// The number of viewers that got a part within 10 seconds.
fn served(sockets: &mut [TcpStream], begin: Instant) -> usize {
    let mut bytes = vec![0usize; sockets.len()];
    let mut scratch = vec![0; 64 << 10];
    loop {
        for (socket, bytes) in sockets.iter_mut().zip(&mut bytes) {
            match socket.read(&mut scratch) {
                Ok(read) => *bytes += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("a viewer was lost: {error}"),
            }
        }
        let served = bytes.iter().filter(|bytes| **bytes > 1_000).count();
        if served == sockets.len() || begin.elapsed() > Duration::from_secs(10) {
            return served;
        }
    }
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
