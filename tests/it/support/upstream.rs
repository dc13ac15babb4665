//! An upstream that sends the bytes that a test tells it: in pieces of any size, slowly, cut off, or not at all.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::{io::Errno, net::RecvFlags};
use slab::Slab;

use super::{SOON, Server, mxr, wait_until};

/// A server of raw bytes; its threads end with the test process.
pub struct Upstream {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<String>>,
    most_open: AtomicUsize,
    is_down: AtomicBool,
    /// Every connection that is not over, so that it can be counted and cut.
    sockets: Mutex<Slab<TcpStream>>,
}

/// One request, and the way to answer it.
pub struct Asked<'a> {
    /// The head of the request.
    pub head: &'a str,
    /// The number of the request, from 0.
    pub number: usize,
    pub socket: &'a mut TcpStream,
    is_down: &'a AtomicBool,
}

impl Upstream {
    /// Answers each request with this; the connection is closed when the answer is over.
    pub fn serve(answer: impl Fn(Asked<'_>) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    /// The same on a port that an earlier one had.
    pub fn serve_at(address: SocketAddr, answer: impl Fn(Asked<'_>) + Send + Sync + 'static) -> Self {
        Self::on(super::wait_for("the port is free", SOON, || TcpListener::bind(address).ok()), answer)
    }

    fn on(listener: TcpListener, answer: impl Fn(Asked<'_>) + Send + Sync + 'static) -> Self {
        let (shared, answer) = (Arc::<Shared>::default(), Arc::new(answer));
        let address = listener.local_addr().unwrap();
        let accepting = shared.clone();
        thread::spawn(move || {
            for socket in listener.incoming() {
                if accepting.is_down.load(SeqCst) {
                    return;
                }
                let (shared, answer) = (accepting.clone(), answer.clone());
                thread::spawn(move || shared.talk(socket.unwrap(), &*answer));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.sockets.lock().unwrap().iter().filter(|(_, socket)| !has_left(socket)).count()
    }

    /// The most connections that were open at once.
    pub fn most_open(&self) -> usize {
        self.shared.most_open.load(SeqCst)
    }

    /// Waits until this many requests have come.
    #[track_caller]
    pub fn expect_requests(&self, count: usize) {
        wait_until(&format!("{count} requests have come"), SOON, || self.requests().len() >= count);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        for (_, socket) in self.shared.sockets.lock().unwrap().iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Stops listening, and cuts every connection.
    pub fn go_down(&self) {
        self.shared.is_down.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        self.cut();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.go_down();
    }
}

impl Shared {
    fn talk(&self, mut socket: TcpStream, answer: &dyn Fn(Asked<'_>)) {
        let key = {
            let mut sockets = self.sockets.lock().unwrap();
            let key = sockets.insert(socket.try_clone().unwrap());
            let open = sockets.iter().filter(|(_, socket)| !has_left(socket)).count();
            self.most_open.fetch_max(open, SeqCst);
            key
        };
        if let Some(head) = head_of(&mut socket) {
            let number = {
                let mut requests = self.requests.lock().unwrap();
                requests.push(head.clone());
                requests.len() - 1
            };
            answer(Asked { head: &head, number, socket: &mut socket, is_down: &self.is_down });
        }
        let _ = socket.shutdown(Shutdown::Write);
        self.sockets.lock().unwrap().remove(key);
    }
}

/// Whether the peer has closed the connection.
fn has_left(socket: &TcpStream) -> bool {
    let (flags, mut byte) = (RecvFlags::PEEK | RecvFlags::DONTWAIT, [0]);
    !matches!(rustix::net::recv(socket, &mut byte, flags), Ok((1.., _)) | Err(Errno::AGAIN))
}

fn head_of(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match socket.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}

impl Asked<'_> {
    /// The path with its query.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Whether the request has this header line, whatever its letters' case.
    pub fn has(&self, line: &str) -> bool {
        self.head.lines().any(|own| own.eq_ignore_ascii_case(line))
    }

    /// Sends bytes. Returns whether the peer is still there.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends bytes in pieces of random sizes; the same for the same seed.
    pub fn send_in_pieces(&mut self, bytes: &[u8], longest: usize, seed: u64) -> bool {
        let (mut random, mut rest) = (StdRng::seed_from_u64(seed), bytes);
        let _ = self.socket.set_nodelay(true);
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(random.random_range(1..=longest).min(rest.len()));
            if !self.send(piece) {
                return false;
            }
            rest = more;
        }
        true
    }

    /// Sends bytes one by one, with a pause between them, until the peer leaves.
    pub fn drip(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes.iter().cycle() {
            if !self.send([*byte]) {
                return;
            }
            thread::sleep(pause);
        }
    }

    /// The head of a response with a body of this type, which goes on to the end of the connection.
    pub fn begin(&mut self, media: &str) -> bool {
        self.send(format!("HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nConnection: close\r\n\r\n"))
    }

    /// A whole response.
    pub fn reply(&mut self, status: &str, media: &str, body: impl AsRef<[u8]>) -> bool {
        self.reply_with(status, &[&format!("Content-Type: {media}")], body)
    }

    /// A whole response with these header lines.
    pub fn reply_with(&mut self, status: &str, lines: &[&str], body: impl AsRef<[u8]>) -> bool {
        let (body, lines) = (body.as_ref(), lines.iter().map(|line| format!("{line}\r\n")).collect::<String>());
        let head = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        self.send(head) && self.send(body)
    }

    /// Says nothing more, and waits until the peer leaves or the server goes down.
    pub fn hang(&mut self) {
        let _ = self.socket.set_read_timeout(Some(Duration::from_millis(20)));
        while !self.is_down.load(SeqCst) {
            match self.socket.read(&mut [0; 100]) {
                Ok(0) => return,
                Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                    return;
                }
                _ => {}
            }
        }
    }
}

/// The type of such a stream.
pub const MULTIPART: &str = "multipart/x-mixed-replace; boundary=B";

/// Relays this URL.
pub fn relay(url: &str, options: &[&str]) -> Server {
    mxr(["relay", url]).args(options).start()
}

/// A stream of these bodies in the dialect of mxr, without an end.
pub fn multipart(media: &str, bodies: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"--B\r\n".to_vec();
    for body in bodies {
        bytes.extend(format!("Content-Type: {media}\r\nContent-Length: {}\r\n\r\n", body.len()).bytes());
        bytes.extend_from_slice(body);
        bytes.extend(b"\r\n--B\r\n");
    }
    bytes
}
