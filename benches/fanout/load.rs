//! The viewers: one epoll loop that discards bytes in the kernel (`MSG_TRUNC`), and a few probes that read each part and measure its
//! age.

use std::{
    io::{BufRead, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
    net::{RecvFlags, recv},
};

use crate::{
    process::pin,
    stamp::{self, Finder},
    work::Work,
};

/// The number of viewers whose parts are read.
const PROBES: usize = 4;
/// Bytes that the other viewers received.
static DISCARDED: AtomicU64 = AtomicU64::new(0);
static MEASURING: AtomicBool = AtomicBool::new(false);
static DONE: AtomicBool = AtomicBool::new(false);

/// The parts that one probe read during the measurement.
#[derive(Default)]
struct Probed {
    /// Microseconds from publishing to the last byte.
    ages: Vec<u64>,
    bytes: u64,
}

/// Connects, prints `ready`, waits for a line, measures, prints parts, microseconds, and the ages of parts at p50 and p99.
pub(crate) fn run(work: Work, port: u16, target: &str) {
    pin(1);
    let probes = PROBES.min(work.viewers);
    let threads: Vec<_> =
        (0..probes).map(|_| connect(port, target)).map(|socket| std::thread::spawn(move || probe(socket))).collect();
    let sockets: Vec<_> = (probes..work.viewers).map(|_| connect(port, target)).collect();
    let discarder = std::thread::spawn(move || discard(&sockets));
    // Every viewer has its first part before the measurement begins.
    std::thread::sleep(Duration::from_millis(700));
    println!("ready");
    let mut line = String::new();
    let _ = std::io::stdin().lock().read_line(&mut line);
    DISCARDED.store(0, Relaxed);
    MEASURING.store(true, Relaxed);
    let begin = Instant::now();
    std::thread::sleep(work.time);
    MEASURING.store(false, Relaxed);
    let (discarded, elapsed) = (DISCARDED.load(Relaxed), begin.elapsed());
    DONE.store(true, Relaxed);
    let seen: Vec<Probed> = threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect();
    let mut ages: Vec<u64> = seen.iter().flat_map(|seen| seen.ages.iter().copied()).collect();
    // The size of a part on the wire, with its headers, as the probes received it.
    let wire = seen.iter().map(|seen| seen.bytes).sum::<u64>() as f64 / ages.len().max(1) as f64;
    let parts = ages.len() as f64 + if wire > 0.0 { discarded as f64 / wire } else { 0.0 };
    println!("{parts} {} {} {}", elapsed.as_micros(), quantile(&mut ages, 0.5), quantile(&mut ages, 0.99));
    drop(discarder);
}

/// The value below which this share of the values lies.
pub(crate) fn quantile(values: &mut [u64], share: f64) -> u64 {
    values.sort_unstable();
    values.get(((values.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(0)
}

fn connect(port: u16, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: multipart/mixed\r\n\r\n").expect("request");
    stream
}

fn discard(sockets: &[TcpStream]) {
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
            let socket = &sockets[event.data.u64() as usize];
            if let Ok((_, bytes)) = recv(socket, &mut scratch[..], RecvFlags::TRUNC | RecvFlags::DONTWAIT) {
                DISCARDED.fetch_add(bytes as u64, Relaxed);
            }
        }
    }
}

fn probe(mut socket: TcpStream) -> Probed {
    let (mut seen, mut finder, mut buffer) = (Probed::default(), Finder::default(), vec![0; 256 << 10]);
    while !DONE.load(Relaxed) {
        let Ok(read @ 1..) = socket.read(&mut buffer) else { return seen };
        let published = finder.take(&buffer[..read]);
        if MEASURING.load(Relaxed) {
            let now = stamp::micros();
            seen.bytes += read as u64;
            seen.ages.extend(published.iter().map(|then| now.saturating_sub(*then)));
        }
    }
    seen
}
