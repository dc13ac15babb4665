//! Cuts what mxr sends into parts, and reads what the sources of this bench have written into them. It trusts its input: it is no
//! decoder for what others send.

use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem;

/// One part, as it came.
pub(crate) struct Part<'a> {
    pub(crate) headers: &'a [u8],
    /// From its first header to the delimiter behind it.
    pub(crate) bytes: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// The bytes of one connection.
#[derive(Default)]
pub(crate) struct Parts {
    rest: Vec<u8>,
    /// The head of the response and the first delimiter.
    pub(crate) head: Vec<u8>,
}

impl Parts {
    /// Takes bytes, and gives each part that ends in them.
    pub(crate) fn take(&mut self, bytes: &[u8], mut take: impl FnMut(Part<'_>)) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        if self.head.is_empty() {
            let Some(end) = first_part(&self.rest) else { return };
            self.head = self.rest[..end].to_vec();
            at = end;
        }
        while let Some(length) = memmem::find(&self.rest[at..], b"\r\n\r\n").map(|end| end + 4) {
            let headers = &self.rest[at..at + length];
            let body = at + length;
            let end = body + number(headers, b"Content-Length: ").expect("a length") as usize;
            // "\r\n--", the boundary, and "\r\n".
            let next = end + 2 + delimiter(&self.head).len();
            if next > self.rest.len() {
                break;
            }
            take(Part { headers, bytes: &self.rest[at..next], body: &self.rest[body..end] });
            at = next;
        }
        self.rest.drain(..at);
    }
}

impl Part<'_> {
    pub(crate) fn sequence(&self) -> u64 {
        number(self.headers, b"X-Sequence: ").expect("a sequence")
    }

    /// The parts that the sender says it dropped before this one.
    pub(crate) fn dropped(&self) -> u64 {
        number(self.headers, b"X-Dropped: ").unwrap_or(0)
    }

    pub(crate) fn is_line(&self) -> bool {
        memmem::find(self.headers, b"Content-Type: text/").is_some()
    }

    /// The number that its source gave it, and the time, in microseconds since 1970.
    pub(crate) fn stamp(&self) -> (u64, u64) {
        (number(self.body, b"<number ").expect("a number"), number(self.body, b"<at ").expect("a time"))
    }
}

/// A body of this size with this number, made now.
pub(crate) fn body(number: u64, size: usize) -> Vec<u8> {
    let mut body = format!("<number {number}> <at {}> ", micros()).into_bytes();
    body.resize(size.max(body.len()), b'.');
    body
}

pub(crate) fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

/// Where the first part begins: behind the head of the response and a delimiter.
fn first_part(bytes: &[u8]) -> Option<usize> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    Some(head + memmem::find(&bytes[head..], b"\r\n")? + 2)
}

/// `--`, the boundary and a line end, which end the head.
fn delimiter(head: &[u8]) -> &[u8] {
    let start = memmem::rfind(head, b"\r\n--").map_or(0, |start| start + 2);
    &head[start..]
}

/// The decimal number behind a name.
fn number(text: &[u8], name: &[u8]) -> Option<u64> {
    let start = memmem::find(text, name)? + name.len();
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
