//! One raw TCP connection and a parser of HTTP/1.1 without a library, which could hide a byte. It knows nothing of parts.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use super::SOON;

/// A connection; its methods take the received bytes in order.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// When the last bytes were received.
    pub arrival: Instant,
    /// The time that it waits for more before the test fails.
    pub patience: Duration,
}

/// The status line and the header fields of a reply.
#[derive(Debug, Clone)]
pub struct Head {
    pub version: String,
    pub status: u16,
    fields: Vec<(String, String)>,
}

/// A complete finite reply.
#[derive(Debug, Clone)]
pub struct Reply {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Connection {
    pub fn open(host: &str) -> Self {
        Self::over(TcpStream::connect(host).expect("the server accepts"))
    }

    /// Connects from this address, as another machine would.
    pub fn open_from(source: &str, host: &str) -> Self {
        let address: std::net::SocketAddr = host.parse().unwrap();
        let source: std::net::IpAddr = source.parse().unwrap();
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new(), arrival: Instant::now(), patience: 3 * SOON }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes; a peer that has closed already shows at the next read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Closes only the sending side.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The bytes of one `read` of the socket; empty at the end of the stream.
    pub fn read_once(&mut self, deadline: Duration) -> Option<Vec<u8>> {
        self.stream.set_read_timeout(Some(deadline.max(Duration::from_millis(1)))).unwrap();
        let mut buffer = vec![0; 1 << 20];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                buffer.truncate(count);
                self.arrival = Instant::now();
                Some(buffer)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("reading failed: {error}"),
        }
    }

    /// Reads more bytes; fails the test if none arrive in time. Returns false at the end of the stream.
    fn more(&mut self, wanted: &str) -> bool {
        let Some(bytes) = self.read_once(self.patience) else {
            panic!("waited {:?} in vain for {wanted}; unread: {}", self.patience, show(&self.received));
        };
        self.received.extend_from_slice(&bytes);
        !bytes.is_empty()
    }

    /// Takes exactly this many bytes.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            assert!(self.more("more bytes"), "the stream ended before {count} bytes: {}", show(&self.received));
        }
        self.received.drain(..count).collect()
    }

    /// Takes these bytes and no others.
    #[track_caller]
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let got = self.exactly(bytes.len());
        assert!(got == bytes, "expected {}, got {}", show(bytes), show(&got));
    }

    /// Takes everything up to the marker, and drops the marker.
    pub fn until(&mut self, marker: &[u8]) -> Vec<u8> {
        let mut looked = 0;
        loop {
            if let Some(at) = find(&self.received[looked..], marker) {
                let taken = self.received.drain(..looked + at).collect();
                self.received.drain(..marker.len());
                return taken;
            }
            looked = self.received.len().saturating_sub(marker.len());
            let wanted = format!("{:?}", String::from_utf8_lossy(marker));
            assert!(self.more(&wanted), "the stream ended before {wanted}: {}", show(&self.received));
        }
    }

    /// Takes all bytes until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more("the end of the stream") {}
        std::mem::take(&mut self.received)
    }

    /// Expects that the peer closes without further bytes.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "expected the end of the stream, got {}", show(&rest));
    }

    /// Expects no bytes for this long.
    #[track_caller]
    pub fn expect_silence(&mut self, duration: Duration) {
        assert!(self.received.is_empty(), "expected silence, {} lay unread", show(&self.received));
        if let Some(bytes) = self.read_once(duration) {
            panic!("expected silence, got {}", if bytes.is_empty() { "the end".into() } else { show(&bytes) });
        }
    }

    /// Takes the head of a reply.
    pub fn head(&mut self) -> Head {
        let text = String::from_utf8(self.until(b"\r\n\r\n")).expect("a head in UTF-8");
        let mut lines = text.split("\r\n");
        let (version, rest) = lines.next().unwrap().split_once(' ').expect("a status line");
        let status = rest.split(' ').next().unwrap().parse().expect("a status code");
        let fields = lines.map(field).collect();
        Head { version: version.to_owned(), status, fields }
    }

    /// Takes a complete reply: its head, then the body that the head announces.
    pub fn reply(&mut self, method: &str) -> Reply {
        let head = self.head();
        assert!(head.get("Transfer-Encoding").is_none(), "a finite reply says its length: {head:?}");
        let body = match head.get("Content-Length") {
            _ if method == "HEAD" || matches!(head.status, 204 | 304) => Vec::new(),
            Some(length) => self.exactly(length.parse().expect("a length")),
            None => self.rest(),
        };
        Reply { head, body }
    }
}

impl Head {
    /// The value of the field, which must not occur twice.
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// The value of a required field.
    #[track_caller]
    pub fn want(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body in JSON")
    }
}

/// Splits one header line.
pub fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("not a header line: {line:?}"));
    assert!(!name.contains(char::is_whitespace), "not a header line: {line:?}");
    (name.to_owned(), value.to_owned())
}

/// The offset of the marker.
fn find(bytes: &[u8], marker: &[u8]) -> Option<usize> {
    bytes.windows(marker.len()).position(|window| window == marker)
}

/// Bytes as a person can read them, shortened.
fn show(bytes: &[u8]) -> String {
    let end = bytes.len().min(300);
    format!("{} bytes \"{}\"", bytes.len(), bytes[..end].escape_ascii())
}
