//! The viewers: one epoll loop that throws bytes away in the kernel (`MSG_TRUNC`), and a few probes that read
//! each part and say how old it was.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
    net::{RecvFlags, recv},
};

use crate::Work;

/// Viewers that are read in full.
const PROBES: usize = 4;
static BYTES: AtomicU64 = AtomicU64::new(0);
static MEASURING: AtomicBool = AtomicBool::new(false);
static DONE: AtomicBool = AtomicBool::new(false);

/// Connects, says `ready`, waits for a line, measures, prints bytes a second and the ages of parts.
pub(crate) fn run(work: Work, port: u16) {
    crate::pin(1);
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let probes = PROBES.min(work.viewers);
    let threads: Vec<_> = (0..probes).map(|_| std::thread::spawn(move || probe(port))).collect();
    let started = Instant::now();
    let sockets: Vec<_> = (probes..work.viewers).map(|n| connect(port, n)).collect();
    let connecting = started.elapsed();
    let swallower = std::thread::spawn(move || swallow(&sockets));
    // Probes and swallowed viewers all have their first part before anything counts.
    std::thread::sleep(Duration::from_millis(500));
    println!("ready {}", connecting.as_micros());
    let mut line = String::new();
    let _ = std::io::stdin().lock().read_line(&mut line);
    BYTES.store(0, Relaxed);
    MEASURING.store(true, Relaxed);
    let begin = Instant::now();
    std::thread::sleep(work.time);
    MEASURING.store(false, Relaxed);
    let (bytes, elapsed) = (BYTES.load(Relaxed), begin.elapsed());
    DONE.store(true, Relaxed);
    let mut ages: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect();
    ages.sort_unstable();
    let quantile = |q: f64| ages.get(((ages.len() as f64 - 1.0) * q) as usize).copied().unwrap_or(0);
    println!("{} {} {} {} {}", bytes, elapsed.as_micros(), ages.len(), quantile(0.5), quantile(0.99));
    drop(swallower);
}

fn connect(port: u16, n: usize) -> TcpStream {
    // One source address holds 28,000 connections to one port.
    let from = Ipv4Addr::new(127, 0, 1 + (n / 20_000) as u8, 1);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("bind");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("connect");
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("request");
    stream
}

fn swallow(sockets: &[TcpStream]) {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    for (key, socket) in sockets.iter().enumerate() {
        socket.set_nonblocking(true).expect("nonblocking");
        epoll::add(&epoll, socket, EventData::new_u64(key as u64), EventFlags::IN).expect("add");
    }
    let mut events = Vec::with_capacity(1024);
    let mut scratch = vec![0; 4 << 20];
    while !DONE.load(Relaxed) {
        events.clear();
        let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let _ = epoll::wait(&epoll, spare_capacity(&mut events), Some(&timeout));
        for event in &events {
            if let Ok((_, bytes)) =
                recv(&sockets[event.data.u64() as usize], &mut scratch[..], RecvFlags::TRUNC | RecvFlags::DONTWAIT)
            {
                BYTES.fetch_add(bytes as u64, Relaxed);
            }
        }
    }
}

/// Reads parts and gives the ages of those that came while it counted, in microseconds from publishing to their last byte.
fn probe(port: u16) -> Vec<u64> {
    let mut reader = BufReader::with_capacity(256 * 1024, connect(port, 0));
    let (mut ages, mut line, mut body) = (Vec::new(), String::new(), Vec::new());
    while !DONE.load(Relaxed) {
        let (mut length, mut time) = (0, 0.0);
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return ages;
            }
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().unwrap_or(0),
                Some(("X-Timestamp", value)) => time = value.parse().unwrap_or(0.0),
                None if line == "\r\n" && length > 0 => break,
                _ => {}
            }
        }
        body.resize(length, 0);
        if reader.read_exact(&mut body).is_err() {
            return ages;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        if MEASURING.load(Relaxed) {
            BYTES.fetch_add(length as u64, Relaxed);
            ages.push(((now - time) * 1e6).max(0.0) as u64);
        }
    }
    ages
}
