//! Bodies that contain the time at which they were published, independent of the framing: a stamp at the start, a mark at the end.

use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem;

const START: &[u8] = b"<published ";
const END: &[u8] = b"</part>";
/// Digits of microseconds since 1970.
const DIGITS: usize = 16;

/// A body of `size` bytes that is published now.
pub(crate) fn body(size: usize) -> Vec<u8> {
    let mut body = [START, format!("{:0DIGITS$}", micros()).as_bytes()].concat();
    body.resize(size - END.len(), b'.');
    body.extend_from_slice(END);
    body
}

pub(crate) fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

/// Finds stamps in a stream of bytes.
#[derive(Default)]
pub(crate) struct Finder {
    rest: Vec<u8>,
    published: Option<u64>,
}

impl Finder {
    /// Takes bytes, and returns the publishing times of the parts that end in them, in microseconds since 1970.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<u64> {
        self.rest.extend_from_slice(bytes);
        let (mut found, mut at) = (Vec::new(), 0);
        loop {
            let rest = &self.rest[at..];
            match self.published {
                None => {
                    let stamp = memmem::find(rest, START).map(|start| start + START.len());
                    let Some(digits) = stamp.and_then(|start| rest.get(start..start + DIGITS)) else { break };
                    self.published = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                    at += stamp.unwrap_or(0) + DIGITS;
                }
                Some(published) => {
                    let Some(end) = memmem::find(rest, END) else {
                        // Only the last bytes may still be the beginning of a mark.
                        at += rest.len().saturating_sub(END.len());
                        break;
                    };
                    found.push(published);
                    (self.published, at) = (None, at + end + END.len());
                }
            }
        }
        self.rest.drain(..at);
        found
    }
}
