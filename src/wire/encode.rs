//! Turns parts into the bytes that readers receive, once per part, and writes the headers that only one viewer gets. It knows
//! neither viewers nor sockets.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;

use super::{
    block::{Block, Placed},
    boundary::Boundary,
};
use crate::{
    part::{Part, Timestamp, unix_time},
    stats::Retained,
};

/// Encodes parts that were published together, at least one, into one block, numbered from `first`; `before` is the time of the
/// previous part.
pub fn encode(parts: Vec<Part>, first: u64, before: Option<SystemTime>, boundary: &Boundary, memory: &Arc<Retained>) -> Arc<Block> {
    let sizes = parts.iter().map(|part| part.body.len() + 2 * (part.media.as_str().len() + 96) + boundary.delimiter_len());
    let mut bytes = Vec::with_capacity(sizes.sum());
    let mut before = before;
    let parts: Vec<Placed> = parts
        .into_iter()
        .zip(first..)
        .map(|(part, sequence)| {
            let has_own_second = before.replace(part.time).is_none_or(|before| {
                let [before, now] = [before, part.time].map(|time| unix_time(time).as_secs());
                before != now
            });
            append_part(&mut bytes, part, sequence, has_own_second, boundary)
        })
        .collect();
    let charge = memory.charge(bytes.len());
    Arc::new(Block { bytes, parts, first, charge })
}

fn append_part(block: &mut Vec<u8>, part: Part, sequence: u64, has_own_second: bool, boundary: &Boundary) -> Placed {
    let Part { media, body: content, time, class } = part;
    let start = block.len();
    append(
        block,
        format_args!(
            "Content-Type: {media}\r\nContent-Length: {}\r\nX-Timestamp: {}\r\nX-Sequence: {sequence}\r\n\r\n",
            content.len(),
            Timestamp(time),
        ),
    );
    let body = block.len();
    block.extend_from_slice(&content);
    let body_end = block.len();
    append(block, format_args!("\r\n--{}\r\n", boundary.as_str()));
    let next = block.len();
    if media.is_image() {
        append(block, format_args!("Content-Type: {media}\r\n\r\n"));
    }
    Placed { media, class, time, has_own_second, start, body, body_end, next, end: block.len() }
}

fn append(block: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = std::io::Write::write_fmt(block, text);
}

/// Headers for one viewer only, before the shared ones of a part.
#[derive(Debug, Default, Clone, Copy)]
pub struct Prefix<'a> {
    /// `X-Feed`: the feed that the part belongs to, percent-encoded, if a stream carries several.
    pub feed: Option<&'a str>,
    /// `X-Dropped`: parts of a feed of lines that this viewer missed just before.
    pub dropped: u64,
}

impl Prefix<'_> {
    /// The header lines; empty without a feed and without dropped parts.
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
    use crate::{format::Media, wire::Layout};

    fn part(media: &str, body: &'static str) -> Part {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_764_000_000_123_456);
        Part { time, ..Part::now(Media::from_known(media), Bytes::from_static(body.as_bytes())) }
    }

    fn encode(parts: Vec<Part>, first: u64) -> Arc<Block> {
        super::encode(parts, first, None, &Boundary::parse("B").unwrap(), &Arc::default())
    }

    #[test]
    fn a_part_leaves_with_its_headers_and_the_next_delimiter() {
        let encoded = encode(vec![part("image/png", "12345")], 42).part(42);
        let plain = "Content-Type: image/png\r\nContent-Length: 5\r\nX-Timestamp: 1764000000.123456\r\nX-Sequence: 42\r\n\r\n\
                     12345\r\n--B\r\n";
        let bytes = |layout, opened, last| String::from_utf8(encoded.piece(layout, opened, last).bytes().to_vec()).unwrap();
        assert_eq!(bytes(Layout::Plain, false, false), plain);
        assert_eq!(bytes(Layout::Plain, false, true), plain.trim_end_matches("\r\n--B\r\n"));
        let early = "12345\r\n--B\r\nContent-Type: image/png\r\n\r\n";
        assert_eq!(bytes(Layout::EarlyHeaders, true, false), early);
        assert_eq!(bytes(Layout::EarlyHeaders, true, true), "12345");
        assert_eq!((encoded.sequence(), encoded.body()), (42, &b"12345"[..]));
    }

    #[test]
    fn lines_of_one_block_leave_in_one_piece() {
        let block = encode(["a", "b", "c"].map(|line| part("text/plain", line)).to_vec(), 1);
        let each: Vec<u8> =
            block.run(1, 3, usize::MAX).parts().flat_map(|part| part.piece(Layout::Plain, false, false).bytes().to_vec()).collect();
        assert_eq!(block.run(1, 3, usize::MAX).piece(Layout::Plain, false, false).bytes(), each);
        assert_eq!(
            (block.run(2, 99, usize::MAX).count(), block.run(1, 2, usize::MAX).count(), block.run(1, 3, 10).count()),
            (2, 2, 1)
        );
        assert_eq!(block.sequences(), 1..4);
    }

    #[test]
    fn headers_for_one_viewer_come_first() {
        assert_eq!(Prefix::default().bytes(), "");
        assert_eq!(Prefix { feed: Some("a.png"), dropped: 3 }.bytes(), "X-Feed: a.png\r\nX-Dropped: 3\r\n");
    }
}
