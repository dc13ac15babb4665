//! Keeps the head of each response as it was received, within a bound, and says what is wrong with one that hyper does not take.
//! It changes no byte that hyper reads.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{escape::Escaped, sync::Mutex};

/// The head of a response, with informational ones before it, in bytes at most.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// The characters of a line that a message repeats.
const SHOWN: usize = 60;

/// What is wrong with the head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadFault {
    /// It has not ended after 64 KiB.
    TooLarge,
    /// It has more headers than hyper takes.
    TooManyHeaders,
    /// The connection was closed in the middle of it.
    CutOff,
    /// It came before the request was sent.
    Unasked,
    /// The server speaks TLS, and the URL says http.
    Tls,
    /// The status line is Shoutcast's `ICY 200 OK`.
    Icy,
    /// The server speaks RTSP.
    Rtsp,
    /// It begins with no HTTP/1 status line, but with this.
    NotHttp(String),
    /// The status line has no valid status.
    Status(String),
    /// `Content-Length` has these values, of which none can be used, or which contradict each other.
    ContentLength(String),
    /// `Transfer-Encoding` has this value, which is not allowed here.
    TransferEncoding(String),
    /// This line is no header.
    Line(String),
}

impl fmt::Display for HeadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the head of the response has not ended after {} KiB", MAX_HEAD / 1024),
            Self::TooManyHeaders => f.write_str("the response has too many headers"),
            Self::CutOff => f.write_str("the connection was closed in the middle of the response's head"),
            Self::Unasked => f.write_str("the server sends a response before it is asked"),
            Self::Tls => f.write_str("the server speaks TLS"),
            Self::Icy => f.write_str("the server speaks Shoutcast (ICY), not HTTP"),
            Self::Rtsp => f.write_str("the server speaks RTSP, not HTTP"),
            Self::NotHttp(line) => write!(f, "the response is not HTTP/1; it begins with \"{}\"", Escaped(line)),
            Self::Status(line) => write!(f, "the response has no valid status: \"{}\"", Escaped(line)),
            Self::ContentLength(values) => write!(f, "the response has a Content-Length of \"{}\"", Escaped(values)),
            Self::TransferEncoding(value) => write!(f, "the response has a Transfer-Encoding of \"{}\"", Escaped(value)),
            Self::Line(line) => write!(f, "the response has a line that is no header: \"{}\"", Escaped(line)),
        }
    }
}

/// The head that arrives on a connection, shared by the connection and the client.
#[derive(Debug, Default)]
pub(super) struct HeadCopy(Mutex<Received>);

#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    /// Those of informational responses, which are no longer in `bytes`.
    informational: usize,
    is_complete: bool,
    is_too_large: bool,
}

impl HeadCopy {
    /// Forgets everything: another response is expected.
    pub(super) fn restart(&self) {
        *self.0.lock() = Received::default();
    }

    /// The head, or what there is of it.
    pub(super) fn take(&self) -> Bytes {
        std::mem::take(&mut self.0.lock().bytes).into()
    }

    /// Whether nothing has come.
    pub(super) fn is_empty(&self) -> bool {
        let received = self.0.lock();
        received.bytes.is_empty() && received.informational == 0
    }

    /// What hyper has not taken, as far as it can be told.
    pub(super) fn fault(&self, error: &hyper::Error) -> HeadFault {
        let received = self.0.lock();
        if received.is_too_large { HeadFault::TooLarge } else { fault(&received.bytes, received.is_complete, error) }
    }

    fn record(&self, read: &[u8]) -> io::Result<()> {
        let mut received = self.0.lock();
        if received.is_complete {
            return Ok(());
        }
        received.record(read);
        if received.is_too_large { Err(io::Error::other(HeadFault::TooLarge.to_string())) } else { Ok(()) }
    }
}

impl Received {
    fn record(&mut self, read: &[u8]) {
        let mut searched = self.bytes.len();
        self.bytes.extend_from_slice(read);
        while let Some(end) = end(&self.bytes, searched) {
            if !is_informational(&self.bytes) {
                self.bytes.truncate(end);
                self.is_complete = true;
                break;
            }
            self.bytes.drain(..end);
            self.informational += end;
            searched = 0;
        }
        self.is_too_large = self.informational + self.bytes.len() > MAX_HEAD;
        if self.is_too_large {
            self.bytes.truncate(MAX_HEAD);
        }
    }
}

/// Where the head ends: behind its first empty line. Lines may end in LF alone, and empty ones may come first, as for httparse.
/// Up to `searched` there is no end.
fn end(bytes: &[u8], searched: usize) -> Option<usize> {
    let first = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    // The line end before an empty line may be among what was searched.
    let mut at = searched.saturating_sub(3).max(first);
    while let Some(found) = memchr(b'\n', &bytes[at..]) {
        at += found + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// `HTTP/1.1 100 Continue`: another head follows. After 101 none does.
fn is_informational(head: &[u8]) -> bool {
    let status = lines(head).next().and_then(|line| line.split(|byte| *byte == b' ').nth(1));
    status.is_some_and(|status| status.len() == 3 && status[0] == b'1' && status != b"101")
}

/// The lines without their ends and without empty ones.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty())
}

fn fault(head: &[u8], is_complete: bool, error: &hyper::Error) -> HeadFault {
    let first = lines(head).next().unwrap_or_default();
    // A TLS alert, which OpenSSL sends to those that speak HTTP.
    if head.starts_with(&[0x15, 3]) {
        return HeadFault::Tls;
    }
    if first.starts_with(b"ICY ") {
        return HeadFault::Icy;
    }
    if first.starts_with(b"RTSP/") {
        return HeadFault::Rtsp;
    }
    let is_cut_off = !is_complete && !error.is_parse();
    let begins_well = first.starts_with(b"HTTP/1.") || (is_cut_off && b"HTTP/1.".starts_with(first));
    if !begins_well {
        return HeadFault::NotHttp(shown(first));
    }
    if is_cut_off {
        // hyper ends a connection on which something comes while nothing is asked.
        let is_unasked = error.is_closed() || error.is_canceled();
        return if is_unasked { HeadFault::Unasked } else { HeadFault::CutOff };
    }
    if error.is_parse_too_large() {
        return HeadFault::TooManyHeaders;
    }
    if error.is_parse_status() || !has_status(first) {
        return HeadFault::Status(shown(first));
    }
    of_headers(head, first)
}

fn of_headers(head: &[u8], first: &[u8]) -> HeadFault {
    let lengths = values(head, "content-length");
    let is_length = |value: &String| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if lengths.iter().any(|value| !is_length(value) || *value != lengths[0] || value.parse::<u64>().is_err()) {
        return HeadFault::ContentLength(lengths.join(", "));
    }
    let encodings = values(head, "transfer-encoding");
    if let Some(last) = encodings.last()
        && (first.starts_with(b"HTTP/1.0") || !last.to_ascii_lowercase().ends_with("chunked"))
    {
        return HeadFault::TransferEncoding(encodings.join(", "));
    }
    let has_control = |line: &[u8]| line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    let has_name = |line: &[u8]| line.starts_with(b" ") || line.starts_with(b"\t") || memchr(b':', line).is_some_and(|at| at > 0);
    let line = lines(head).skip(1).find(|line| has_control(line) || !has_name(line)).unwrap_or(first);
    HeadFault::Line(shown(line))
}

fn has_status(line: &[u8]) -> bool {
    let status = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    status.len() == 3 && status.iter().all(u8::is_ascii_digit)
}

fn values(head: &[u8], name: &str) -> Vec<String> {
    let value = |line: &[u8]| {
        let (found, value) = line.split_at_checked(memchr(b':', line)?)?;
        found.trim_ascii().eq_ignore_ascii_case(name.as_bytes()).then(|| shown(value[1..].trim_ascii()))
    };
    lines(head).skip(1).filter_map(value).collect()
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(SHOWN).collect()
}

/// A connection whose incoming heads are copied.
#[derive(Debug)]
pub(super) struct Copied<T> {
    pub(super) io: T,
    pub(super) head: Arc<HeadCopy>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Copied<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match ready!(Pin::new(&mut this.io).poll_read(cx, buf)) {
            Ok(()) => Poll::Ready(this.head.record(&buf.filled()[before..])),
            // A TLS peer that closes without saying so, as cameras do: where it is too early, HTTP knows.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Copied<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_the_same_byte_whatever_the_reads() {
        for (before, head, after) in [
            ("", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "body\r\n\r\n"),
            ("", "HTTP/1.1 200 OK\nA: b\n\n", "\n\nbody"),
            ("", "HTTP/1.1 200 OK\r\nA: b\n\r\n", ""),
            ("", "\r\n\nHTTP/1.1 200 OK\n\r\n", "\r\n"),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \n\n", "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 200\r\n\r\n"),
        ] {
            let bytes = [before, head, after].concat();
            for size in [1, 2, 3, bytes.len()] {
                let copy = HeadCopy::default();
                bytes.as_bytes().chunks(size).for_each(|read| copy.record(read).unwrap());
                assert_eq!(copy.take(), head, "{size}");
            }
        }
    }

    #[test]
    fn a_head_of_64_kib_is_taken_and_one_byte_more_is_not() {
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(length - 24));
        for size in [1000, usize::MAX] {
            let read = |head: String| {
                head.as_bytes().chunks(size.min(head.len())).try_for_each({
                    let copy = HeadCopy::default();
                    move |read| copy.record(read)
                })
            };
            read(head(MAX_HEAD)).unwrap();
            read(head(MAX_HEAD + 1)).unwrap_err();
        }
    }
}
