//! Whether ISO base media files (ISO 14496-12) are complete: AVIF and HEIF by where their items lie, film and sound by their boxes.
//! It reads slices, and knows neither media types nor files.

use std::ops::Range;

use super::{
    completeness::Completeness::{self, Complete, Truncated, Unknown},
    number::{be32, big_endian, tail_is_empty},
};

/// Whether the first bytes are those of a box that such a file begins with: QuickTime's have no type.
pub(super) fn starts_with_box(body: &[u8]) -> bool {
    matches!(body.get(4..8), Some(b"ftyp" | b"moov" | b"mdat" | b"wide" | b"styp"))
}

/// Whether all boxes are there that hold data or say where data are. What is behind the last box does not count.
pub(super) fn boxes(body: &[u8]) -> Completeness {
    let mut seen = BoxesSeen::default();
    for piece in (Boxes { body, at: 0..body.len() }) {
        seen.add(&piece, body);
    }
    let is_short = seen.end > body.len();
    match seen.items {
        Some(items) if !seen.has_movie => match items_are_complete(items, &seen, body) {
            // Something else is missing, or is no box.
            Complete if is_short => Unknown,
            other => other,
        },
        _ if is_short || !seen.has_movie || seen.data.is_empty() => Truncated,
        // Another fragment may follow, unless an index of them does.
        _ if seen.is_open_ended || (seen.has_fragments && !seen.has_index) => Unknown,
        _ if tail_is_empty(&body[..seen.last]) => Unknown,
        _ => Complete,
    }
}

/// What the boxes of a file were.
#[derive(Default)]
struct BoxesSeen {
    /// Where the items of a picture end, and whether they could be located.
    items: Option<Option<usize>>,
    has_movie: bool,
    has_fragments: bool,
    has_index: bool,
    data: Range<usize>,
    /// The data go on to the end of the file, wherever that is.
    is_open_ended: bool,
    /// Where the last box with data or a table ends, and where the last one of all.
    last: usize,
    end: usize,
}

impl BoxesSeen {
    fn add(&mut self, piece: &MediaBox, body: &[u8]) {
        self.end = piece.content.end;
        match &piece.kind {
            b"mdat" => {
                self.data = piece.content.clone();
                self.is_open_ended = piece.is_open_ended;
            }
            b"meta" => self.items = Some(items_end(body, piece.content.start + 4..piece.content.end)),
            b"moov" => self.has_movie = true,
            b"moof" => self.has_fragments = true,
            b"mfra" => self.has_index = true,
            _ => return,
        }
        self.last = piece.content.end;
    }
}

/// A picture is complete when all items lie inside: in `mdat`, or in `idat` inside `meta`.
fn items_are_complete(items: Option<usize>, seen: &BoxesSeen, body: &[u8]) -> Completeness {
    match items {
        Some(end) if end > body.len() => Truncated,
        Some(end) if tail_is_empty(&body[..end]) => Unknown,
        Some(_) => Complete,
        None if seen.data.is_empty() => Truncated,
        None => Unknown,
    }
}

/// One box.
struct MediaBox {
    kind: [u8; 4],
    content: Range<usize>,
    is_open_ended: bool,
}

/// The boxes of a part of a file, up to bytes that are none.
struct Boxes<'a> {
    body: &'a [u8],
    at: Range<usize>,
}

impl Iterator for Boxes<'_> {
    type Item = MediaBox;

    fn next(&mut self) -> Option<MediaBox> {
        let start = self.at.start;
        let body = &self.body[..self.at.end.min(self.body.len())];
        let kind: [u8; 4] = body.get(start + 4..start + 8)?.try_into().ok()?;
        let (header, length) = match be32(body, start)? {
            0 => (8, self.at.end - start),
            1 => (16, big_endian(body, start + 8, 8)?),
            length => (8, length),
        };
        if length < header || !kind.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == 0xa9) {
            return None;
        }
        let end = start.saturating_add(length);
        self.at.start = end;
        Some(MediaBox { kind, content: start + header..end, is_open_ended: be32(body, start) == Some(0) })
    }
}

/// Where the items end that `iloc` locates in the file (ISO 14496-12, section 8.11.3); `None` if it cannot be read.
fn items_end(body: &[u8], meta: Range<usize>) -> Option<usize> {
    let mut end = meta.end;
    for piece in (Boxes { body, at: meta }) {
        if piece.kind == *b"iloc" {
            end = end.max(Locations { body, at: piece.content.start }.end()?);
            return Some(end);
        }
    }
    None
}

/// Reads `iloc`.
struct Locations<'a> {
    body: &'a [u8],
    at: usize,
}

impl Locations<'_> {
    fn take(&mut self, size: usize) -> Option<usize> {
        let number = big_endian(self.body, self.at, size)?;
        self.at += size;
        Some(number)
    }

    fn end(&mut self) -> Option<usize> {
        let version = self.take(4)? >> 24;
        let (sizes, bases) = (self.take(1)?, self.take(1)?);
        let (offset, length, base) = (sizes >> 4, sizes & 15, bases >> 4);
        let index = if version > 0 { bases & 15 } else { 0 };
        let wide = if version < 2 { 2 } else { 4 };
        let mut end = 0;
        for _ in 0..self.take(wide)? {
            self.take(wide)?;
            // Method 0 counts from the start of the file; 1 from that of `idat`, which lies in this box; 2 is made of other items.
            let method = if version > 0 { self.take(2)? & 15 } else { 0 };
            self.take(2)?;
            let base = self.take(base)?;
            for _ in 0..self.take(2)? {
                self.take(index)?;
                let (offset, length) = (self.take(offset)?, self.take(length)?);
                if method == 0 {
                    end = end.max(base.saturating_add(offset).saturating_add(length));
                }
            }
        }
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(kind: &[u8], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
    }

    /// A picture of one item of four bytes, `offset` bytes into the file (method 0) or into `idat` (method 1).
    fn meta(method: u8, offset: u8, more: &[u8]) -> Vec<u8> {
        let iloc = [1, 0, 0, 0, 0x44, 0, 0, 1, 0, 1, 0, method, 0, 0, 0, 1, 0, 0, 0, offset, 0, 0, 0, 4];
        piece(b"meta", &[&[0; 4][..], &piece(b"iloc", &iloc), more].concat())
    }

    #[test]
    fn a_picture_is_complete_when_its_items_are_there() {
        let start = [piece(b"ftyp", b"avif"), meta(0, 64, b"")].concat();
        assert_eq!(start.len(), 56);
        let whole = [&start[..], &piece(b"mdat", b"abcd")].concat();
        assert_eq!(boxes(&whole), Complete);
        assert_eq!(boxes(&[&whole[..], b"\n"].concat()), Complete);
        assert_eq!(boxes(&[&whole[..], &[0; 30]].concat()), Complete);
        assert!((0..whole.len()).all(|n| boxes(&whole[..n]) == Truncated));
        let open_ended = [&start[..], &[0, 0, 0, 0], b"mdatabcd"].concat();
        assert_eq!(boxes(&open_ended), Complete, "the items tell where the data end");
        assert!((0..open_ended.len()).all(|n| boxes(&open_ended[..n]) == Truncated));
        assert_eq!(boxes(&[&whole[..64], &[0; 4]].concat()), Unknown, "the data are still to be written");
    }

    #[test]
    fn a_picture_may_lie_in_its_own_table() {
        let whole = [piece(b"ftyp", b"avif"), meta(1, 0, &piece(b"idat", b"abcd"))].concat();
        assert_eq!(boxes(&whole), Complete);
        assert!((0..whole.len()).all(|n| boxes(&whole[..n]) == Truncated));
    }

    #[test]
    fn a_film_has_its_data_and_its_table_in_any_order() {
        let [kind, table, data] = [piece(b"ftyp", b"isom"), piece(b"moov", b"abc"), piece(b"mdat", b"def")];
        for film in [[&kind[..], &table, &data], [&kind[..], &data, &table]].map(|film| film.concat()) {
            assert_eq!(boxes(&film), Complete);
            assert!((0..film.len()).all(|n| boxes(&film[..n]) != Complete));
        }
        let open_ended = [&kind[..], &table, &[0, 0, 0, 0], b"mdatdef"].concat();
        assert_eq!(boxes(&open_ended), Unknown);
        let fragment = [piece(b"moof", b"x"), data].concat();
        assert_eq!(boxes(&[&kind[..], &table, &fragment, &fragment].concat()), Unknown);
        assert_eq!(boxes(&[&kind[..], &table, &fragment, &piece(b"mfra", b"x")].concat()), Complete);
    }
}
