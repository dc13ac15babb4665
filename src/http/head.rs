//! The heads of requests on their way to hyper: their length, and what hyper accepts or drops without a word (a fragment, bytes that
//! are not ASCII, a newer minor version). Of the headers it reads those alone that say where the body ends, and answers nothing.

use std::{
    io,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body_skip::BodySkip;
use crate::conn::pending::PendingConn;

/// The longest head in bytes: browsers send the cookies of all ports of a host to each of them, easily 8 KiB together.
pub(super) const MAX_BYTES: usize = 32 * 1024;
/// The most lines of a head.
pub(super) const MAX_LINES: usize = 256;
const VERSION: &[u8] = b"HTTP/1.";
/// The first bytes of a line that are kept: enough for the two headers about the length of the body.
const LINE_START: usize = 64;

/// Why a head is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadError {
    TooLong,
    TooManyLines,
    /// `#` in the target: it belongs to the browser (RFC 9110, section 4.2.5).
    Fragment,
    /// A byte in the target that has to be percent-encoded (RFC 3986, section 2.1).
    RawByte,
}

/// Passes a connection's bytes on to hyper until a head is refused; from there on hyper reads the end of the input, so that it
/// finishes the replies before it.
#[derive(Debug)]
pub(super) struct HeadReader<'a, T> {
    io: T,
    conn: &'a PendingConn,
    scan: HeadScan,
    /// The body that comes before the next head.
    body: Option<BodySkip>,
    refused: &'a OnceLock<HeadError>,
}

/// How far a head has been read.
#[derive(Debug, Default)]
struct HeadScan {
    place: HeadPlace,
    bytes: usize,
    lines: usize,
    /// The bytes of this line, without its end.
    in_line: usize,
    /// The first of them.
    line_start: Vec<u8>,
    /// What the headers say of the body.
    body: Option<BodySkip>,
}

#[derive(Debug, Default, Clone, Copy)]
enum HeadPlace {
    #[default]
    Method,
    Target,
    /// So many bytes of the version.
    Version(usize),
    Fields,
}

impl<'a, T> HeadReader<'a, T> {
    /// Notes in `refused` why a head was refused.
    pub(super) fn new(io: T, conn: &'a PendingConn, refused: &'a OnceLock<HeadError>) -> Self {
        Self { io, conn, scan: HeadScan::default(), body: None, refused }
    }

    /// How many of the bytes that were just read go to hyper.
    fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let (mut head_starts, mut at) = (0, 0);
        while at < bytes.len() {
            if let Some(body) = &mut self.body {
                let (skipped, is_over) = body.skip(&bytes[at..]);
                at += skipped;
                head_starts = at;
                self.body.take_if(|_| is_over);
                continue;
            }
            match self.scan.byte(&mut bytes[at]) {
                Ok(true) => {
                    self.body = self.scan.body.take();
                    head_starts = at + 1;
                }
                Ok(false) => {}
                Err(error) => {
                    let _ = self.refused.set(error);
                    return head_starts;
                }
            }
            at += 1;
        }
        self.conn.note_head(self.scan.bytes);
        bytes.len()
    }
}

impl HeadScan {
    /// Takes the next byte, and returns whether the head ends with it. The digit of a newer minor version becomes that of ours
    /// (RFC 9110, section 2.5).
    fn byte(&mut self, byte: &mut u8) -> Result<bool, HeadError> {
        self.bytes += 1;
        if self.bytes > MAX_BYTES {
            return Err(HeadError::TooLong);
        }
        if *byte == b'\n' {
            return self.line();
        }
        self.in_line += usize::from(*byte != b'\r');
        // However many spaces stand before a value.
        if self.line_start.len() < LINE_START && !matches!(*byte, b' ' | b'\t') {
            self.line_start.push(*byte);
        }
        self.place = match (self.place, *byte) {
            (HeadPlace::Method, b' ') => HeadPlace::Target,
            (HeadPlace::Target, b' ') => HeadPlace::Version(0),
            (HeadPlace::Target, b'#') => return Err(HeadError::Fragment),
            (HeadPlace::Target, 0x80..) => return Err(HeadError::RawByte),
            (HeadPlace::Version(at), letter) if VERSION.get(at) == Some(&letter) => HeadPlace::Version(at + 1),
            (HeadPlace::Version(at), digit) => {
                if at == VERSION.len() && matches!(digit, b'2'..=b'9') {
                    *byte = b'1';
                }
                HeadPlace::Fields
            }
            (place, _) => place,
        };
        Ok(false)
    }

    /// The end of a line. Empty lines before a request are skipped (RFC 9112, section 2.2).
    fn line(&mut self) -> Result<bool, HeadError> {
        let is_empty = std::mem::take(&mut self.in_line) == 0;
        if is_empty && self.lines == 0 {
            self.line_start.clear();
            return Ok(false);
        }
        if is_empty {
            *self = Self { body: self.body, ..Self::default() };
            return Ok(true);
        }
        // Chunks count where there is a length as well (RFC 9112, section 6.3).
        if !matches!(self.body, Some(BodySkip::Chunks(_))) {
            self.body = body_of(&self.line_start).or(self.body);
        }
        self.line_start.clear();
        self.lines += 1;
        self.place = HeadPlace::Fields;
        if self.lines > MAX_LINES { Err(HeadError::TooManyLines) } else { Ok(false) }
    }
}

/// What a line of a head says of the body. Where two lengths contradict each other, hyper refuses the request.
fn body_of(line: &[u8]) -> Option<BodySkip> {
    let (name, value) = str::from_utf8(line).ok()?.split_once(':')?;
    let value = value.trim();
    match name {
        _ if name.eq_ignore_ascii_case("transfer-encoding") => Some(BodySkip::CHUNKED),
        _ if name.eq_ignore_ascii_case("content-length") => value.parse().ok().filter(|length| *length > 0).map(BodySkip::Bytes),
        _ => None,
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HeadReader<'_, T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.refused.get().is_some() {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let passed = self.pass(&mut buf.filled_mut()[before..]);
        buf.set_filled(before + passed);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeadReader<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
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

    /// The heads that pass, and why the next one does not.
    fn scanned(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<HeadError>) {
        let (mut scan, mut heads, mut head) = (HeadScan::default(), Vec::new(), Vec::new());
        for mut byte in bytes.iter().copied() {
            match scan.byte(&mut byte) {
                Ok(ends) => {
                    head.push(byte);
                    if ends {
                        heads.push(std::mem::take(&mut head));
                    }
                }
                Err(error) => return (heads, Some(error)),
            }
        }
        (heads, None)
    }

    #[test]
    fn a_newer_minor_version_is_served_as_ours_and_no_other_byte_changes() {
        for (sent, passed) in [
            ("GET /a HTTP/1.2\r\n\r\n", "GET /a HTTP/1.1\r\n\r\n"),
            ("GET /a HTTP/1.9\n\n", "GET /a HTTP/1.1\n\n"),
            ("GET /HTTP/1.2 HTTP/1.0\r\nX: HTTP/1.2\r\n\r\n", "GET /HTTP/1.2 HTTP/1.0\r\nX: HTTP/1.2\r\n\r\n"),
            ("GET /a HTTP/2.2\r\n\r\n", "GET /a HTTP/2.2\r\n\r\n"),
            ("\r\n\r\nGET /a HTTP/1.1\r\nX: \u{e9}#\r\n\r\n", "\r\n\r\nGET /a HTTP/1.1\r\nX: \u{e9}#\r\n\r\n"),
        ] {
            let (heads, error) = scanned(sent.as_bytes());
            assert_eq!((heads.concat(), error), (passed.as_bytes().to_vec(), None), "{sent:?}");
        }
    }

    #[test]
    fn chunks_count_where_a_head_also_has_a_length() {
        let body = |lines: &str| {
            let mut scan = HeadScan::default();
            format!("PUT / HTTP/1.1\r\n{lines}\r\n").bytes().for_each(|mut byte| assert!(scan.byte(&mut byte).is_ok()));
            scan.body
        };
        let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
        assert_eq!((body(length), body("Content-Length: 0\r\n")), (Some(BodySkip::Bytes(5)), None));
        assert_eq!(body(&[length, chunked].concat()), Some(BodySkip::CHUNKED));
        assert_eq!(body(&[chunked, length].concat()), Some(BodySkip::CHUNKED));
    }

    #[test]
    fn each_head_on_a_connection_is_measured_by_itself() {
        let head = |bytes: usize| format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "a".repeat(bytes - 28));
        let (heads, error) = scanned([head(MAX_BYTES), head(MAX_BYTES), head(MAX_BYTES + 1)].concat().as_bytes());
        assert_eq!((heads.len(), error), (2, Some(HeadError::TooLong)));
        let lines = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
        let (heads, error) = scanned([lines(MAX_LINES), lines(MAX_LINES + 1)].concat().as_bytes());
        assert_eq!((heads.len(), error), (1, Some(HeadError::TooManyLines)));
    }

    #[test]
    fn what_hyper_would_drop_or_guess_in_a_target_is_refused() {
        for (sent, why) in [
            (&b"GET /a#b HTTP/1.1\r\n"[..], HeadError::Fragment),
            (b"GET /#", HeadError::Fragment),
            (b"GET /\xc3\xa9 HTTP/1.1\r\n", HeadError::RawByte),
            (b"GET /?\xff", HeadError::RawByte),
        ] {
            assert_eq!(scanned(sent), (vec![], Some(why)), "{}", sent.escape_ascii());
        }
    }
}
