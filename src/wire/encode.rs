//! Turns parts into the bytes that readers receive, once per part, and writes the headers that only one viewer gets. It knows
//! neither viewers nor sockets.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use super::{
    block::{Block, Placed},
    boundary::Boundary,
};
use crate::{
    format::Media,
    part::{Part, Timestamp, unix_time},
    stats::Retained,
};

/// The most bytes of a part's headers besides its type, with numbers of 20 digits in two of them.
const HEADERS: usize = 130;

/// The most bytes of a block of several parts. A slow reader keeps the whole block that it is at.
const BLOCK_BYTES: usize = 256 << 10;

/// Encodes parts that were published together as `encode` does, into blocks so small that a slow reader of short lines keeps little.
pub fn encode_in_blocks(
    parts: Vec<Part>,
    first: u64,
    mut before: Option<SystemTime>,
    boundary: &Boundary,
    memory: &Arc<Retained>,
) -> Vec<Arc<Block>> {
    let (mut blocks, mut next, mut parts) = (Vec::new(), first, parts.into_iter().peekable());
    while let Some(part) = parts.next() {
        let mut bytes = size_at_most(&part, boundary);
        let mut group = vec![part];
        while let Some(part) = parts.next_if(|part| {
            bytes += size_at_most(part, boundary);
            bytes <= BLOCK_BYTES
        }) {
            group.push(part);
        }
        let (count, last) = (group.len() as u64, group.last().map(|part| part.time));
        blocks.push(encode(group, next, before, boundary, memory));
        (next, before) = (next + count, last);
    }
    blocks
}

/// Encodes parts that were published together, at least one, into one block, numbered from `first`; `before` is the time of the
/// previous part.
pub fn encode(parts: Vec<Part>, first: u64, before: Option<SystemTime>, boundary: &Boundary, memory: &Arc<Retained>) -> Arc<Block> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| size_at_most(part, boundary)).sum());
    let mut before = before;
    let parts: Vec<Placed> = parts
        .into_iter()
        .zip(first..)
        .map(|(part, sequence)| {
            let has_own_second = is_of_another_second(before.replace(part.time), part.time);
            append_part(&mut bytes, part, sequence, has_own_second, boundary)
        })
        .collect();
    // The places of short lines take about as much as the lines.
    let charge = memory.charge(bytes.capacity() + parts.capacity() * size_of::<Placed>());
    Arc::new(Block { bytes: bytes.into(), parts, first, made: Instant::now(), charge, renumbered: None })
}

/// The first part of a block under another number and time, for one of several feeds that send the same. It shares the body, and with
/// it the entry in the memory account. `before` is the time of the previous part.
pub fn renumber(block: &Arc<Block>, sequence: u64, time: SystemTime, before: Option<SystemTime>) -> Arc<Block> {
    let placed = &block.parts[0];
    let mut head = Vec::with_capacity(HEADERS + placed.media.as_str().len());
    append_headers(&mut head, &placed.media, placed.body_end - placed.body, time, sequence);
    let has_own_second = is_of_another_second(before, time);
    let parts = vec![Placed { start: placed.body, time, has_own_second, ..placed.clone() }];
    let (bytes, charge) = (block.bytes.clone(), block.charge.clone());
    let renumbered = Some((head.into(), block.clone()));
    Arc::new(Block { bytes, parts, first: sequence, made: Instant::now(), charge, renumbered })
}

/// The most bytes that `append_part` appends for a part.
fn size_at_most(part: &Part, boundary: &Boundary) -> usize {
    let heads = if part.media.is_image() { 2 } else { 1 };
    part.body.len() + heads * (HEADERS + part.media.as_str().len()) + boundary.delimiter_len()
}

fn is_of_another_second(before: Option<SystemTime>, now: SystemTime) -> bool {
    before.is_none_or(|before| unix_time(before).as_secs() != unix_time(now).as_secs())
}

fn append_part(block: &mut Vec<u8>, part: Part, sequence: u64, has_own_second: bool, boundary: &Boundary) -> Placed {
    let Part { media, body: content, time, class } = part;
    let start = block.len();
    append_headers(block, &media, content.len(), time, sequence);
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

/// The headers of a part with the empty line after them, and before that line these further ones, each with its line end.
pub fn part_headers(media: &Media, length: usize, time: SystemTime, sequence: u64, further: &str) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEADERS + media.as_str().len() + further.len());
    append_headers(&mut head, media, length, time, sequence);
    head.truncate(head.len() - 2);
    append(&mut head, format_args!("{further}\r\n"));
    head
}

fn append_headers(block: &mut Vec<u8>, media: &Media, length: usize, time: SystemTime, sequence: u64) {
    append(
        block,
        format_args!(
            "Content-Type: {media}\r\nContent-Length: {length}\r\nX-Timestamp: {}\r\nX-Sequence: {sequence}\r\n\r\n",
            Timestamp(time),
        ),
    );
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
    use crate::wire::{Layout, Piece};

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
        let bytes = |layout, opened, last| text(encoded.pieces(layout, opened, last));
        assert_eq!(bytes(Layout::Plain, false, false), plain);
        assert_eq!(bytes(Layout::Plain, false, true), plain.trim_end_matches("\r\n--B\r\n"));
        let early = "12345\r\n--B\r\nContent-Type: image/png\r\n\r\n";
        assert_eq!(bytes(Layout::EarlyHeaders, true, false), early);
        assert_eq!(bytes(Layout::EarlyHeaders, true, true), "12345");
        assert_eq!((encoded.sequence(), encoded.body()), (42, &b"12345"[..]));
    }

    fn text(pieces: [Piece; 2]) -> String {
        pieces.iter().map(|piece| String::from_utf8(piece.bytes().to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_part_under_another_number_is_the_same_bytes_as_one_encoded_with_it() {
        let memory = Arc::new(Retained::default());
        let boundary = Boundary::parse("B").unwrap();
        let picture = || part("image/png", "12345");
        let first = super::encode(vec![picture()], 1, None, &boundary, &memory);
        let counted = memory.alive();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let encoded = super::encode(vec![Part { time, ..picture() }], 77, Some(time), &boundary, &Arc::default()).part(77);
        let other = renumber(&first, 77, time, Some(time)).part(77);
        for layout in [Layout::Plain, Layout::EarlyHeaders] {
            for (opened, last) in [(false, false), (false, true), (true, false), (true, true)] {
                assert_eq!(text(other.pieces(layout, opened, last)), text(encoded.pieces(layout, opened, last)));
            }
        }
        assert_eq!((other.sequence(), other.time(), other.has_own_second(), other.body()), (77, time, false, encoded.body()));
        assert_eq!(memory.alive(), counted, "it counts once");
        drop(first);
        assert_eq!(memory.alive(), counted);
        drop(other);
        assert_eq!(memory.alive(), 0);
    }

    #[test]
    fn lines_of_one_block_leave_in_one_piece() {
        let block = encode(["a", "b", "c"].map(|line| part("text/plain", line)).to_vec(), 1);
        let all = || block.run(1, 3, usize::MAX);
        let each: String = all().parts().map(|part| text(part.pieces(Layout::Plain, false, false))).collect();
        assert_eq!(text(all().pieces(Layout::Plain, false, false)), each);
        assert_eq!(
            (block.run(2, 99, usize::MAX).count(), block.run(1, 2, usize::MAX).count(), block.run(1, 3, 10).count()),
            (2, 2, 1)
        );
        assert_eq!(block.sequences(), 1..4);
    }

    #[test]
    fn many_lines_lie_in_blocks_of_256_kib_that_count_with_all_that_they_take() {
        let memory = Arc::new(Retained::default());
        let lines = (0..10_000).map(|_| part("text/plain", "a")).collect();
        let blocks = encode_in_blocks(lines, 5, None, &Boundary::random(), &memory);
        let sizes: Vec<usize> = blocks.iter().map(|block| block.bytes.len()).collect();
        let (last, others) = sizes.split_last().unwrap();
        assert!(others.iter().all(|size| (BLOCK_BYTES * 3 / 4..=BLOCK_BYTES).contains(size)) && *last <= BLOCK_BYTES, "{sizes:?}");
        assert_eq!(blocks.iter().flat_map(|block| block.sequences()).collect::<Vec<_>>(), (5..10_005).collect::<Vec<_>>());
        assert_eq!(blocks.iter().map(|block| block.size()).sum::<usize>(), memory.alive());
        assert!(memory.alive() >= sizes.iter().sum::<usize>() + 10_000 * size_of::<Placed>());
        assert_eq!(encode_in_blocks(vec![part("text/plain", "a")], 1, None, &Boundary::random(), &memory).len(), 1);
    }

    #[test]
    fn further_headers_come_before_the_empty_line() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_764_000_000_123_456);
        let head = part_headers(&Media::from_known("image/png"), 5, time, 42, "X-Feed: a\r\n");
        let plain = "Content-Type: image/png\r\nContent-Length: 5\r\nX-Timestamp: 1764000000.123456\r\nX-Sequence: 42\r\n";
        assert_eq!(String::from_utf8(head).unwrap(), format!("{plain}X-Feed: a\r\n\r\n"));
    }

    #[test]
    fn headers_for_one_viewer_come_first() {
        assert_eq!(Prefix::default().bytes(), "");
        assert_eq!(Prefix { feed: Some("a.png"), dropped: 3 }.bytes(), "X-Feed: a.png\r\nX-Dropped: 3\r\n");
    }
}
