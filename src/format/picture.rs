//! Scans a picture while its bytes arrive, up to the byte after its end mark. A scan continues when there are more bytes, and never
//! examines a byte twice. It knows nothing of delimiters or streams.

use super::{completeness::Completeness, number::be32};

/// How far a scan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// To the end of the bytes; the picture goes on.
    More,
    /// To the picture's end, this many bytes after its start.
    End(usize),
    /// To bytes that are invalid there: the picture was cut off, or is not a picture.
    Broken,
}

/// A format whose end is found by scanning.
pub trait Scanner: Default + std::fmt::Debug + Send {
    /// The first bytes of every picture of the format.
    const START: &'static [u8];
    /// Its media type.
    const MEDIA: &'static str;

    /// Continues through `body`, which begins with `START` and with the bytes of the last call.
    fn advance(&mut self, body: &[u8]) -> Scan;

    /// The offset from which the next picture may begin, once this one has proved broken or too long: all bytes before it belong
    /// to this one.
    fn restart(&self) -> usize;

    /// The offset that a broken scan came to. It is past `restart` if a length led there.
    fn reached(&self) -> usize;
}

/// Whether a PNG in a file of its own is complete, and whether browsers decode it, as they do from its first pixels on. `CgBI` is
/// Apple's variant, which they do not know.
pub(super) fn png(body: &[u8]) -> (Completeness, bool) {
    let mut scanner = PngScanner { is_alone: true, ..PngScanner::default() };
    let is_complete = body.starts_with(PngScanner::START) && matches!(scanner.advance(body), Scan::End(_));
    let has_pixels = scanner.has_pixels || body.get(scanner.at + 4..scanner.at + 8) == Some(b"IDAT");
    let is_decodable = has_pixels && body.get(12..16) == Some(b"IHDR");
    (if is_complete { Completeness::Complete } else { Completeness::Truncated }, is_decodable)
}

/// Whether a JPEG in a file of its own is complete, and whether decoders make a picture of it: they need no end mark. What is behind
/// it does not count, unless it is another picture (CIPA DC-007) that has not come to its end.
pub(super) fn jpeg(body: &[u8]) -> (Completeness, bool) {
    let (mut rest, mut has_scan) = (body, false);
    // Each picture begins with its own start.
    while rest.starts_with(JpegScanner::START) {
        let mut scanner = JpegScanner { is_alone: true, ..JpegScanner::default() };
        let scan = scanner.advance(rest);
        let is_first = rest.len() == body.len();
        // Not if it breaks off in the header of the scan.
        has_scan |= is_first && scanner.has_scan && scanner.at <= rest.len();
        let Scan::End(end) = scan else {
            return (if is_first { Completeness::Truncated } else { Completeness::Unknown }, has_scan);
        };
        match memchr::memmem::find(&rest[end..], JpegScanner::START) {
            Some(next) => rest = &rest[end + next..],
            None => return (Completeness::Complete, has_scan),
        }
    }
    (Completeness::Truncated, false)
}

/// Scans the markers of a JPEG up to its own EOI (ITU T.81, annex B): a thumbnail's EOI inside an APP segment does not count. Bytes
/// that are no marker, where one should be, are passed over, as decoders do.
#[derive(Debug)]
pub struct JpegScanner {
    at: usize,
    restart: usize,
    in_scan: bool,
    has_scan: bool,
    /// Bytes were passed over since the last segment began.
    has_strays: bool,
    /// No other picture follows, so that the last segment cannot hold the start of one.
    is_alone: bool,
}

impl Default for JpegScanner {
    fn default() -> Self {
        Self { at: 2, restart: 2, in_scan: false, has_scan: false, has_strays: false, is_alone: false }
    }
}

impl Scanner for JpegScanner {
    /// SOI and the beginning of the next marker.
    const START: &'static [u8] = &[0xff, 0xd8, 0xff];
    const MEDIA: &'static str = "image/jpeg";

    fn advance(&mut self, body: &[u8]) -> Scan {
        loop {
            let Some(rest) = body.get(self.at..) else { return Scan::More };
            let before_marker = memchr::memchr(0xff, rest).unwrap_or(rest.len());
            self.at += before_marker;
            if self.in_scan {
                self.restart = self.at;
            } else {
                self.has_strays |= before_marker > 0;
            }
            // Any number of fill bytes may precede a marker.
            match body[self.at..].iter().take_while(|byte| **byte == 0xff).count() {
                0 => return Scan::More,
                fill => self.at += fill - 1,
            }
            let Some(&marker) = body.get(self.at + 1) else { return Scan::More };
            if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd7) {
                self.has_strays |= marker == 0 && !self.in_scan;
                self.at += 2;
                continue;
            }
            if std::mem::take(&mut self.has_strays) && self.holds_a_start(body) {
                return Scan::Broken;
            }
            self.restart = self.at;
            match marker {
                0xd9 if self.has_scan => return Scan::End(self.at + 2),
                0xd8 | 0xd9 => return Scan::Broken,
                _ => {
                    let Some(&[high, low]) = body.get(self.at + 2..self.at + 4) else { return Scan::More };
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    // A scan has at most four components (B.2.3).
                    if length < 2 || (marker == 0xda && length > 14) {
                        return Scan::Broken;
                    }
                    self.at += 2 + length;
                    self.in_scan = marker == 0xda;
                    self.has_scan |= self.in_scan;
                }
            }
        }
    }

    fn restart(&self) -> usize {
        self.restart
    }

    fn reached(&self) -> usize {
        self.at
    }
}

impl JpegScanner {
    /// Whether another picture begins in the last segment or in the stray bytes behind it: this one was cut off inside the segment,
    /// whose length led into the next.
    fn holds_a_start(&self, body: &[u8]) -> bool {
        !self.is_alone && memchr::memmem::find(&body[self.restart + 2..self.at + 1], Self::START).is_some()
    }
}

/// Scans the chunks of a PNG up to the one after `IEND` (PNG specification, section 5.3). Those that a decoder needs must have the
/// right checksum, and one of them must hold pixels; it skips others that are damaged.
#[derive(Debug)]
pub struct PngScanner {
    at: usize,
    reached: usize,
    /// The first chunk with a wrong checksum: the picture may have been cut off in it.
    damaged: Option<usize>,
    has_pixels: bool,
    /// No other picture follows.
    is_alone: bool,
}

impl Default for PngScanner {
    fn default() -> Self {
        Self { at: Self::START.len(), reached: Self::START.len(), damaged: None, has_pixels: false, is_alone: false }
    }
}

impl Scanner for PngScanner {
    const START: &'static [u8] = b"\x89PNG\r\n\x1a\n";
    const MEDIA: &'static str = "image/png";

    fn advance(&mut self, body: &[u8]) -> Scan {
        loop {
            let (Some(length), Some(kind)) = (be32(body, self.at), body.get(self.at + 4..self.at + 8)) else { return Scan::More };
            let begins = (kind == b"IHDR" && length == 13) || (kind == b"CgBI" && self.is_alone);
            if length > i32::MAX as usize || !kind.iter().all(u8::is_ascii_alphabetic) || (self.at == Self::START.len() && !begins)
            {
                return Scan::Broken;
            }
            let end = self.at + 12 + length;
            let Some(checked) = body.get(self.at + 4..end - 4) else { return Scan::More };
            let Some(sum) = be32(body, end - 4) else { return Scan::More };
            self.reached = end;
            if crc32fast::hash(checked) as usize != sum {
                let is_needed = kind[0].is_ascii_uppercase();
                if is_needed {
                    return Scan::Broken;
                }
                self.damaged.get_or_insert(self.at);
            }
            self.at = end;
            match kind {
                b"IDAT" => self.has_pixels = true,
                b"IEND" => return if self.has_pixels { Scan::End(self.at) } else { Scan::Broken },
                _ => {}
            }
        }
    }

    fn restart(&self) -> usize {
        self.damaged.unwrap_or(self.at)
    }

    fn reached(&self) -> usize {
        self.reached
    }
}

/// Whether the chunks of a complete PNG that a decoder can do without are intact as well: then none of its bytes is one of another
/// picture, over which this one is being written.
pub(super) fn has_intact_extras(png: &[u8]) -> bool {
    let mut at = PngScanner::START.len();
    while let (Some(length), Some(kind)) = (be32(png, at), png.get(at + 4..at + 8)) {
        let Some(end) = at.checked_add(length).and_then(|end| end.checked_add(12)) else { return false };
        let (Some(checked), Some(sum)) = (png.get(at + 4..end - 4), be32(png, end - 4)) else { return false };
        if kind[0].is_ascii_lowercase() && crc32fast::hash(checked) as usize != sum {
            return false;
        }
        if kind == b"IEND" {
            return true;
        }
        at = end;
    }
    false
}

/// The scanner for the format that a body's first bytes show.
#[derive(Debug)]
pub enum PictureScanner {
    /// The body begins like a JPEG.
    Jpeg(JpegScanner),
    /// The body begins like a PNG.
    Png(PngScanner),
}

impl PictureScanner {
    /// The number of first bytes that show the format.
    pub const ENOUGH: usize = PngScanner::START.len();

    /// The scanner for a body that begins with these bytes; `None` for another format.
    pub fn of(start: &[u8]) -> Option<Self> {
        if start.starts_with(JpegScanner::START) {
            Some(Self::Jpeg(JpegScanner::default()))
        } else if start.starts_with(PngScanner::START) {
            Some(Self::Png(PngScanner::default()))
        } else {
            None
        }
    }

    /// As `Scanner::advance`.
    pub fn advance(&mut self, body: &[u8]) -> Scan {
        match self {
            Self::Jpeg(scanner) => scanner.advance(body),
            Self::Png(scanner) => scanner.advance(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SOI, an APP1 with a thumbnail inside, fill bytes, a scan with a stuffed zero and restarts, a second scan, EOI.
    const JPEG: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe1, 0, 8, 0xff, 0xd8, 0xff, 0xd9, 0, 0, 0xff, 0xff, 0xff, 0xda, 0, 2, 1, 0xff, 0, 0xff, 0xd0, 2, 0xff,
        0xff, 0xd1, 7, 0xff, 0xc4, 0, 3, 0xd9, 0xff, 0xda, 0, 4, 0xff, 0xd9, 3, 0xff, 0xd9,
    ];

    fn png_of(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut png = PngScanner::START.to_vec();
        for (kind, data) in chunks {
            let checked = [&kind[..], data].concat();
            png.extend((data.len() as u32).to_be_bytes());
            png.extend(&checked);
            png.extend(crc32fast::hash(&checked).to_be_bytes());
        }
        png
    }

    /// Scans with one more byte each time, as slowly as a pipe can be.
    fn slowly<W: Scanner>(body: &[u8]) -> Vec<Scan> {
        let mut scanner = W::default();
        (W::START.len()..=body.len()).map(|n| scanner.advance(&body[..n])).collect()
    }

    #[test]
    fn a_jpeg_ends_at_its_own_eoi_not_at_that_of_its_thumbnail() {
        assert_eq!(jpeg(JPEG), (Completeness::Complete, true));
        assert!((0..JPEG.len()).all(|n| jpeg(&JPEG[..n]).0 == Completeness::Truncated));
        let two = [JPEG, JPEG].concat();
        assert_eq!(JpegScanner::default().advance(&two), Scan::End(JPEG.len()));
        assert_eq!(jpeg(&two), (Completeness::Complete, true));
        assert_eq!(jpeg(&two[..two.len() - 1]), (Completeness::Unknown, true), "the second picture is still to be written");
    }

    #[test]
    fn a_jpeg_may_have_stray_bytes_before_its_markers() {
        // Behind the segment with the thumbnail, and between the two scans.
        for (strays, at) in [(&[0, 0, 0][..], 12), (&[1, 0xff, 0, 2], 12), (b"\n", 33)] {
            let stray = [&JPEG[..at], strays, &JPEG[at..]].concat();
            assert_eq!(jpeg(&stray).0, Completeness::Complete, "{strays:x?} at {at}");
            assert!((0..stray.len()).all(|n| jpeg(&stray[..n]).0 == Completeness::Truncated));
        }
    }

    #[test]
    fn a_jpeg_without_its_eoi_is_decodable_from_its_scan_on() {
        assert_eq!(jpeg(&JPEG[..JPEG.len() - 2]), (Completeness::Truncated, true));
        assert_eq!(jpeg(&JPEG[..14]), (Completeness::Truncated, false));
    }

    #[test]
    fn a_scan_byte_by_byte_comes_to_the_same_end() {
        let (last, before) = slowly::<JpegScanner>(JPEG).split_last().map(|(last, before)| (*last, before.to_vec())).unwrap();
        assert_eq!(last, Scan::End(JPEG.len()));
        assert!(before.iter().all(|step| *step == Scan::More));
        let png = png_of(&[(b"IHDR", &[0; 13]), (b"IDAT", &[1, 2, 3]), (b"IEND", b"")]);
        let steps = slowly::<PngScanner>(&png);
        assert_eq!(*steps.last().unwrap(), Scan::End(png.len()));
        assert!(steps[..steps.len() - 1].iter().all(|step| *step == Scan::More));
    }

    #[test]
    fn a_jpeg_that_was_cut_off_breaks_where_the_next_begins() {
        let cut = [&JPEG[..28], JPEG].concat();
        let mut scanner = JpegScanner::default();
        assert_eq!(scanner.advance(&cut), Scan::Broken);
        assert_eq!(scanner.restart(), 28);
    }

    #[test]
    fn bytes_that_only_begin_like_a_jpeg_are_broken() {
        for body in [
            &[0xff, 0xd8, 0xff, 0xd9][..],
            &[0xff, 0xd8, 0xff, 0xe0, 0, 1],
            &[0xff, 0xd8, 0xff, 0xe0, 0, 4, 0xff, 0xd8, 0xff, 0xff, 0, 0, 0xff, 0xc0],
        ] {
            assert_eq!(JpegScanner::default().advance(body), Scan::Broken, "{body:x?}");
        }
    }

    #[test]
    fn a_png_ends_with_iend_and_every_checksum_counts_that_a_decoder_needs() {
        let complete = png_of(&[(b"IHDR", &[0; 13]), (b"tEXt", b"a\0b"), (b"IDAT", &[1, 2, 3]), (b"IEND", b"")]);
        assert_eq!(png(&complete), (Completeness::Complete, true));
        assert!((0..complete.len()).all(|n| png(&complete[..n]) == (Completeness::Truncated, n >= 56)), "pixels begin");
        for (at, is_complete) in [(43, true), (58, false)] {
            let mut flipped = complete.clone();
            flipped[at] ^= 1;
            assert_eq!(png(&flipped).0 == Completeness::Complete, is_complete, "a bit at {at}");
        }
        assert!(has_intact_extras(&complete));
        let mut flipped = complete.clone();
        flipped[43] ^= 1;
        assert!(!has_intact_extras(&flipped), "it may be half of another picture");
        let apple = png_of(&[(b"CgBI", &[0; 4]), (b"IHDR", &[0; 13]), (b"IDAT", b"x"), (b"IEND", b"")]);
        assert_eq!(png(&apple), (Completeness::Complete, false));
    }
}
