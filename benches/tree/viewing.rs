//! Connections that read feeds, all in one loop, and their quantiles. It does not know what is looked for.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
};

use crate::parts::{Part, Parts};

/// The key of standard input.
const INPUT: u64 = u64::MAX;

/// The files that have something to read.
pub(crate) struct Poll {
    epoll: std::os::fd::OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    pub(crate) fn new() -> Self {
        Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll"), events: Vec::with_capacity(1024) }
    }

    pub(crate) fn add(&mut self, file: impl AsFd, key: u64) {
        epoll::add(&self.epoll, file, EventData::new_u64(key), EventFlags::IN).expect("add");
    }

    /// The keys of those that can be read.
    pub(crate) fn wait(&mut self) -> Vec<u64> {
        self.events.clear();
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut self.events), None);
        self.events.iter().map(|event| event.data.u64()).collect()
    }
}

/// Asks a server for a feed; it may still be about to listen.
pub(crate) fn connect(server: &str, target: &str) -> TcpStream {
    let until = Instant::now() + Duration::from_secs(10);
    let mut stream = loop {
        match TcpStream::connect(server) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < until, "{server}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {server}\r\nAccept: multipart/mixed\r\n\r\n").expect("request");
    stream.set_nonblocking(true).expect("nonblocking");
    stream
}

/// What is done with parts.
pub(crate) trait Reader {
    /// Takes a part of this connection; `is_measured` is between the lines `go` and `halt` of standard input.
    fn take(&mut self, connection: usize, part: &Part<'_>, is_measured: bool);
    /// How far it is, for the line `progress`.
    fn progress(&self) -> u64 {
        0
    }
}

/// Reads all connections until the line `stop` comes on standard input. Prints `ready` once each has a part. A connection that ends
/// fails the bench.
pub(crate) fn read_all(mut streams: Vec<TcpStream>, reader: &mut impl Reader) {
    let mut poll = Poll::new();
    poll.add(std::io::stdin(), INPUT);
    for (key, stream) in streams.iter().enumerate() {
        poll.add(stream, key as u64);
    }
    let mut parts: Vec<Parts> = streams.iter().map(|_| Parts::default()).collect();
    let (mut begun, mut waiting, mut is_measured) = (vec![false; streams.len()], streams.len(), false);
    let mut buffer = vec![0; 256 << 10];
    loop {
        for key in poll.wait() {
            if key == INPUT {
                match line().as_str() {
                    "go" => is_measured = true,
                    "halt" => is_measured = false,
                    "progress" => println!("{}", reader.progress()),
                    _ => return,
                }
                continue;
            }
            let at = key as usize;
            let count = match streams[at].read(&mut buffer) {
                Ok(0) => panic!("the server ended connection {at}"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => panic!("connection {at}: {error}"),
            };
            parts[at].take(&buffer[..count], |part| {
                if !std::mem::replace(&mut begun[at], true) {
                    waiting -= 1;
                    if waiting == 0 {
                        println!("ready");
                    }
                }
                reader.take(at, &part, is_measured);
            });
        }
    }
}

/// A line of standard input, without a buffer that would hide the next one.
fn line() -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while matches!(rustix::io::read(std::io::stdin(), &mut byte), Ok(1)) && byte[0] != b'\n' {
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The value below which this share of the values lies.
pub(crate) fn quantile<T: Ord + Copy + Default>(values: &mut [T], share: f64) -> T {
    values.sort_unstable();
    values.get(((values.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default()
}
