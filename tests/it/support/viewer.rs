//! A viewer that parses a feed byte by byte and accepts only the exact format: no preamble, CRLF, four headers in their order, the
//! delimiter directly after the body.

use std::time::{Duration, Instant};

use super::connection::{Connection, Head, field};

pub struct Viewer {
    pub connection: Connection,
    pub head: Head,
    pub boundary: String,
    place: Place,
    /// Headers that were taken before their part came.
    early: Option<Vec<(String, String)>>,
}

/// The position of the next unread byte in the stream.
#[derive(Debug, PartialEq)]
enum Place {
    /// Before the first delimiter.
    Start,
    /// After a delimiter.
    Part,
    /// After the close-delimiter.
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// When the delimiter after it was received.
    pub arrived: Instant,
}

impl Viewer {
    /// Sends a request for a feed and reads the head; `lines` are further header lines.
    pub fn open(host: &str, path: &str, lines: &[&str]) -> Self {
        Self::over(Connection::open(host), host, path, lines)
    }

    /// The same on an existing connection.
    pub fn over(mut connection: Connection, host: &str, path: &str, lines: &[&str]) -> Self {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
        for line in lines {
            request += &format!("{line}\r\n");
        }
        connection.send(request + "\r\n");
        Self::answered(connection)
    }

    /// Reads the head of a requested feed.
    pub fn answered(mut connection: Connection) -> Self {
        let head = connection.head();
        assert_eq!(head.status, 200, "{head:?}");
        let (_, boundary) = head.want("Content-Type").split_once("; boundary=").expect("a boundary");
        let boundary = boundary.to_owned();
        Self { connection, head, boundary, place: Place::Start, early: None }
    }

    /// The next part; fails the test when the feed ends instead.
    #[track_caller]
    pub fn part(&mut self) -> Part {
        self.next().expect("the feed ended where a part was expected")
    }

    /// The next part, or `None` after the close-delimiter and the end of the connection.
    pub fn next(&mut self) -> Option<Part> {
        if self.place == Place::Start {
            self.connection.expect(format!("--{}", self.boundary));
            self.behind_delimiter();
        }
        if self.place == Place::End {
            self.connection.expect_end();
            return None;
        }
        let headers = self.early.take().unwrap_or_else(|| self.headers());
        let marker = format!("\r\n--{}", self.boundary);
        let length = headers.iter().find(|(name, _)| name == "Content-Length").map(|(_, value)| value.parse());
        let body = match length {
            Some(length) => {
                let body = self.connection.exactly(length.expect("a length"));
                self.connection.expect(marker);
                body
            }
            None => self.connection.until(marker.as_bytes()),
        };
        self.behind_delimiter();
        Some(Part { headers, body, arrived: self.connection.arrival })
    }

    /// Skips parts until the expected one, and returns that.
    pub fn part_where(&mut self, mut wanted: impl FnMut(&Part) -> bool) -> Part {
        loop {
            let part = self.part();
            if wanted(&part) {
                return part;
            }
        }
    }

    /// Every part up to the end of the feed.
    pub fn parts_to_end(&mut self) -> Vec<Part> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// The bytes up to the end of the connection, however it ends.
    pub fn rest(&mut self) -> Vec<u8> {
        self.connection.rest()
    }

    /// The early headers of the next part, as an `<img>` gets them.
    pub fn early_headers(&mut self) -> &[(String, String)] {
        assert_eq!(self.place, Place::Part);
        let headers = self.headers();
        self.early.insert(headers)
    }

    /// Expects that the feed ends here: with the close-delimiter, unless that was read already, and the end of the connection.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(self.next(), None, "expected the end of the feed");
    }

    /// Expects no bytes for this long.
    #[track_caller]
    pub fn expect_silence(&mut self, duration: Duration) {
        self.connection.expect_silence(duration);
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        let text = String::from_utf8(self.connection.until(b"\r\n\r\n")).expect("headers in UTF-8");
        text.split("\r\n").map(field).collect()
    }

    fn behind_delimiter(&mut self) {
        self.place = match self.connection.exactly(2).as_slice() {
            b"\r\n" => Place::Part,
            b"--" => {
                self.connection.expect("\r\n");
                Place::End
            }
            other => panic!("behind a delimiter stands \"{}\"", other.escape_ascii()),
        };
    }
}

impl Part {
    pub fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(header, _)| header == name);
        header.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    /// The media type without its parameters.
    pub fn media(&self) -> &str {
        self.header("Content-Type").split(';').next().unwrap()
    }

    pub fn sequence(&self) -> u64 {
        self.header("X-Sequence").parse().expect("a sequence number")
    }

    /// Seconds since 1970.
    pub fn timestamp(&self) -> f64 {
        self.header("X-Timestamp").parse().expect("a time")
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }
}
