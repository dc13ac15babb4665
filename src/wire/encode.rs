//! Turns parts into the bytes that viewers receive: once a part, contiguous, shared by all of them.
//!
//! ```text
//!   headers CRLF  body  CRLF--B CRLF  [headers of the next picture CRLF]
//!   ^start        ^body ^body_end     ^next                             ^end
//! ```
//!
//! The delimiter in front of a part has left with the part before it (or with the head), so that a
//! reader knows at once that the part is complete. The last piece is there for pictures alone and is sent
//! only to an `<img>` of Chromium or WebKit, which paint a part when they have read the headers of the
//! next (crbug 527446); such a viewer then gets `body..end` of each later part.

use std::{fmt, ops::Range, sync::Arc, time::SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;
use rand::Rng;

use crate::{format::Media, part::Part};

/// The boundary parameter: a bare token, so that every reader takes it without quotes.
#[derive(Clone)]
pub struct Boundary(Arc<BoundaryToken>);

struct BoundaryToken {
    text: String,
    finder: memmem::Finder<'static>,
}

impl Boundary {
    /// Draws 128 bits, as hexadecimal digits behind a readable start.
    pub fn random() -> Self {
        Self::of(format!("mxr-{:032x}", rand::rng().random::<u128>()))
    }

    /// Takes the user's own: 1 to 70 letters, digits and `-` (RFC 2046 allows more, readers do not).
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(token: &str) -> Result<Self, &'static str> {
        match token {
            "" => Err("it is empty"),
            _ if token.len() > 70 => Err("it is longer than 70 characters"),
            _ if !token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                Err("only letters, digits and '-' are understood by every reader")
            }
            _ => Ok(Self::of(token.to_owned())),
        }
    }

    fn of(token: String) -> Self {
        let finder = memmem::Finder::new(token.as_bytes()).into_owned();
        Self(Arc::new(BoundaryToken { text: token, finder }))
    }

    /// The token, for `boundary=`.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether the token stands anywhere in the bytes: Chromium's tab dies of that even in mid-line.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.finder.find(bytes).is_some()
    }

    /// `--B CRLF`: the first delimiter, without the CRLF in front that would be a preamble.
    pub fn first_delimiter(&self) -> Bytes {
        format!("--{}\r\n", self.0.text).into()
    }

    /// `CRLF--B-- CRLF`: what follows the last part's body.
    pub fn close_delimiter(&self) -> Bytes {
        format!("\r\n--{}--\r\n", self.0.text).into()
    }

    /// `--B-- CRLF`: the whole of a feed without a part.
    pub fn close_delimiter_alone(&self) -> Bytes {
        format!("--{}--\r\n", self.0.text).into()
    }

    fn delimiter_len(&self) -> usize {
        self.0.text.len() + 6
    }
}

impl fmt::Debug for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.text.fmt(f)
    }
}

/// Which of the bytes a viewer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Headers with `Content-Length`, body, delimiter.
    Plain,
    /// The `<img>` of Chromium and WebKit: the next headers are sent with the delimiter.
    EarlyHeaders,
}

/// A part as bytes, inside a block that it may share with its neighbours. Cloning copies no bytes.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Counts the parts of a feed, from 1.
    pub sequence: u64,
    /// The part's time.
    pub time: SystemTime,
    /// Whether no part before it is of the same second, so that a date of whole seconds names it.
    pub has_own_second: bool,
    /// The part's type.
    pub media: Media,
    block: Bytes,
    start: usize,
    body: usize,
    body_end: usize,
    next: usize,
    end: usize,
}

impl Encoded {
    /// The body alone, sharing the block.
    pub fn body(&self) -> Bytes {
        self.block.slice(self.body..self.body_end)
    }

    /// The body's length in bytes.
    pub fn body_len(&self) -> usize {
        self.body_end - self.body
    }

    /// The bytes that this part occupies.
    pub fn size(&self) -> usize {
        self.end - self.start
    }

    /// What a viewer gets for this part. `opened`: the headers have left with the part before.
    /// `last`: without the delimiter, for a close-delimiter to follow.
    pub fn bytes(&self, layout: Layout, opened: bool, last: bool) -> Bytes {
        self.block.slice(self.range(layout, opened, last))
    }

    fn range(&self, layout: Layout, opened: bool, last: bool) -> Range<usize> {
        let start = if opened { self.body } else { self.start };
        let end = match layout {
            _ if last => self.body_end,
            Layout::Plain => self.next,
            Layout::EarlyHeaders => self.end,
        };
        start..end
    }

    /// The plain bytes of this part and of `later`, which directly follow it in the same block; `None` where they do not.
    pub fn run_to(&self, later: &Encoded, last: bool) -> Option<Bytes> {
        (self.block.as_ptr() == later.block.as_ptr() && self.start <= later.start)
            .then(|| self.block.slice(self.start..later.range(Layout::Plain, false, last).end))
    }
}

/// Encodes parts that were published together into one block, numbered from `first`; the part before them was of `before`.
pub fn encode(parts: &[Part], first: u64, before: Option<SystemTime>, boundary: &Boundary) -> Vec<Encoded> {
    let room = parts.iter().map(|part| part.body.len() + 2 * (part.media.as_str().len() + 96) + boundary.delimiter_len());
    let mut block = BytesMut::with_capacity(room.sum());
    let ranges: Vec<[usize; 5]> =
        parts.iter().zip(first..).map(|(part, sequence)| put(&mut block, part, sequence, boundary)).collect();
    let block = block.freeze();
    let befores = std::iter::once(before).chain(parts.iter().map(|part| Some(part.time)));
    let encoded = parts.iter().zip(first..).zip(ranges).zip(befores);
    encoded
        .map(|(((part, sequence), [start, body, body_end, next, end]), before)| Encoded {
            sequence,
            time: part.time,
            has_own_second: before.is_none_or(|before| seconds(before) != seconds(part.time)),
            media: part.media.clone(),
            block: block.clone(),
            start,
            body,
            body_end,
            next,
            end,
        })
        .collect()
}

/// Whole seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn put(block: &mut BytesMut, part: &Part, sequence: u64, boundary: &Boundary) -> [usize; 5] {
    use std::fmt::Write;
    let start = block.len();
    let since = part.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Writing to a BytesMut cannot fail: it grows.
    let _ = write!(
        block,
        "Content-Type: {}\r\nContent-Length: {}\r\nX-Timestamp: {}.{:06}\r\nX-Sequence: {sequence}\r\n\r\n",
        part.media,
        part.body.len(),
        since.as_secs(),
        since.subsec_micros(),
    );
    let body = block.len();
    block.put_slice(&part.body);
    let body_end = block.len();
    let _ = write!(block, "\r\n--{}\r\n", boundary.0.text);
    let next = block.len();
    if part.media.is_image() {
        let _ = write!(block, "Content-Type: {}\r\n\r\n", part.media);
    }
    [start, body, body_end, next, block.len()]
}

/// Headers for one viewer alone, in front of the shared ones of a part.
#[derive(Debug, Default, Clone, Copy)]
pub struct Prefix<'a> {
    /// `X-Feed`: which feed the part is of, percent-encoded, where a stream carries several.
    pub feed: Option<&'a str>,
    /// `X-Dropped`: parts of this feed that this viewer missed just before, where lines were promised.
    pub dropped: u64,
}

impl Prefix<'_> {
    /// The header lines, empty where there is nothing to say.
    pub fn bytes(&self) -> Bytes {
        let feed = self.feed.map(|name| format!("X-Feed: {name}\r\n"));
        let dropped = (self.dropped > 0).then(|| format!("X-Dropped: {}\r\n", self.dropped));
        match (feed, dropped) {
            (None, None) => Bytes::new(),
            (feed, dropped) => (feed.unwrap_or_default() + &dropped.unwrap_or_default()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn part(media: &str, body: &'static str) -> Part {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_764_000_000_123_456);
        Part { time, ..Part::now(Media::from_known(media), Bytes::from_static(body.as_bytes())) }
    }

    #[test]
    fn a_part_leaves_with_its_headers_and_the_next_delimiter() {
        let boundary = Boundary::parse("B").unwrap();
        let encoded = encode(&[part("image/png", "12345")], 42, None, &boundary).remove(0);
        let plain = "Content-Type: image/png\r\nContent-Length: 5\r\nX-Timestamp: 1764000000.123456\r\nX-Sequence: 42\r\n\r\n\
                     12345\r\n--B\r\n";
        assert_eq!(encoded.bytes(Layout::Plain, false, false), plain);
        assert_eq!(encoded.bytes(Layout::Plain, false, true), plain.trim_end_matches("\r\n--B\r\n"));
        let early = "12345\r\n--B\r\nContent-Type: image/png\r\n\r\n";
        assert_eq!(encoded.bytes(Layout::EarlyHeaders, true, false), early);
        assert_eq!(encoded.bytes(Layout::EarlyHeaders, true, true), "12345");
        assert_eq!(encoded.body(), "12345");
    }

    #[test]
    fn lines_of_one_batch_leave_in_one_piece() {
        let boundary = Boundary::parse("B").unwrap();
        let encoded = encode(&[part("text/plain", "a"), part("text/plain", "b"), part("text/plain", "c")], 1, None, &boundary);
        let each: Vec<u8> = encoded.iter().flat_map(|e| e.bytes(Layout::Plain, false, false)).collect();
        assert_eq!(encoded[0].run_to(&encoded[2], false).unwrap(), each);
        let other = encode(&[part("text/plain", "d")], 4, None, &boundary);
        assert!(encoded[2].run_to(&other[0], false).is_none());
    }

    #[test]
    fn delimiters_are_those_of_rfc_2046() {
        let boundary = Boundary::parse("B-1").unwrap();
        assert_eq!(boundary.first_delimiter(), "--B-1\r\n");
        assert_eq!(boundary.close_delimiter(), "\r\n--B-1--\r\n");
        assert_eq!(boundary.close_delimiter_alone(), "--B-1--\r\n");
        assert!(boundary.is_in(b"xxB-1xx") && !boundary.is_in(b"B-2"));
        assert!(Boundary::parse("a b").is_err() && Boundary::parse("").is_err());
    }

    #[test]
    fn every_process_draws_its_own_boundary() {
        let (a, b) = (Boundary::random(), Boundary::random());
        assert_ne!(a.as_str(), b.as_str());
        assert!(Boundary::parse(a.as_str()).is_ok());
    }

    #[test]
    fn headers_for_one_viewer_stand_in_front() {
        assert_eq!(Prefix::default().bytes(), "");
        assert_eq!(Prefix { feed: Some("a.png"), dropped: 3 }.bytes(), "X-Feed: a.png\r\nX-Dropped: 3\r\n");
    }
}
