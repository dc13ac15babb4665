//! Scans a picture while its bytes arrive, up to the byte after its end mark. A scan continues when there are more bytes, and never
//! examines a byte twice. It knows nothing of delimiters or streams.

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

/// The offset after the picture that `body` begins with.
fn end_of<W: Scanner>(body: &[u8]) -> Option<usize> {
    match W::default().advance(body) {
        Scan::End(end) if body.starts_with(W::START) => Some(end),
        _ => None,
    }
}

/// The offset after `IEND` (PNG specification, section 5.3), if every chunk before it has the right checksum, and one of them holds
/// pixels.
pub fn png_end(body: &[u8]) -> Option<usize> {
    end_of::<PngScanner>(body)
}

/// The offset after a JPEG's own EOI (ITU T.81, annex B): the scan follows the markers, so that a thumbnail's EOI inside an APP
/// segment does not count.
pub fn jpeg_end(body: &[u8]) -> Option<usize> {
    end_of::<JpegScanner>(body)
}

/// Scans the markers of a JPEG.
#[derive(Debug)]
pub struct JpegScanner {
    at: usize,
    restart: usize,
    in_scan: bool,
    has_scan: bool,
}

impl Default for JpegScanner {
    fn default() -> Self {
        Self { at: 2, restart: 2, in_scan: false, has_scan: false }
    }
}

impl Scanner for JpegScanner {
    /// SOI and the beginning of the next marker.
    const START: &'static [u8] = &[0xff, 0xd8, 0xff];
    const MEDIA: &'static str = "image/jpeg";

    fn advance(&mut self, body: &[u8]) -> Scan {
        loop {
            let Some(rest) = body.get(self.at..) else { return Scan::More };
            if self.in_scan {
                // Entropy-coded data ends at the next marker.
                let ahead = memchr::memchr(0xff, rest);
                self.at += ahead.unwrap_or(rest.len());
                self.restart = self.at;
            }
            // Any number of fill bytes may precede a marker.
            let fill = body[self.at..].iter().take_while(|byte| **byte == 0xff).count();
            match fill {
                0 if self.at == body.len() => return Scan::More,
                0 => return Scan::Broken,
                _ => self.at += fill - 1,
            }
            let Some(&marker) = body.get(self.at + 1) else { return Scan::More };
            match marker {
                0x01 | 0xd0..=0xd7 => self.at += 2,
                0x00 if self.in_scan => self.at += 2,
                0xd9 if self.has_scan => return Scan::End(self.at + 2),
                0x00 | 0xd8 | 0xd9 => {
                    self.restart = self.at;
                    return Scan::Broken;
                }
                _ => {
                    let Some(&[high, low]) = body.get(self.at + 2..self.at + 4) else { return Scan::More };
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    self.restart = self.at;
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

/// Scans the chunks of a PNG.
#[derive(Debug)]
pub struct PngScanner {
    at: usize,
    reached: usize,
    has_pixels: bool,
}

impl Default for PngScanner {
    fn default() -> Self {
        Self { at: Self::START.len(), reached: Self::START.len(), has_pixels: false }
    }
}

impl Scanner for PngScanner {
    const START: &'static [u8] = b"\x89PNG\r\n\x1a\n";
    const MEDIA: &'static str = "image/png";

    fn advance(&mut self, body: &[u8]) -> Scan {
        loop {
            let (Some(length), Some(kind)) = (be32(body, self.at), body.get(self.at + 4..self.at + 8)) else { return Scan::More };
            let begins = kind == b"IHDR" && length == 13;
            if length > i32::MAX as usize || !kind.iter().all(u8::is_ascii_alphabetic) || (self.at == Self::START.len() && !begins)
            {
                return Scan::Broken;
            }
            let end = self.at + 12 + length;
            let Some(checked) = body.get(self.at + 4..end - 4) else { return Scan::More };
            let Some(sum) = be32(body, end - 4) else { return Scan::More };
            self.reached = end;
            if crc32fast::hash(checked) as usize != sum {
                return Scan::Broken;
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
        self.at
    }

    fn reached(&self) -> usize {
        self.reached
    }
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

/// The big-endian number of four bytes at this offset.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SOI, an APP1 with a thumbnail inside, fill bytes, a scan with a stuffed zero and restarts, a second scan, EOI.
    const JPEG: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe1, 0, 8, 0xff, 0xd8, 0xff, 0xd9, 0, 0, 0xff, 0xff, 0xff, 0xda, 0, 2, 1, 0xff, 0, 0xff, 0xd0, 2, 0xff,
        0xff, 0xd1, 7, 0xff, 0xc4, 0, 3, 0xd9, 0xff, 0xda, 0, 4, 0xff, 0xd9, 3, 0xff, 0xd9,
    ];

    fn png() -> Vec<u8> {
        let mut png = PngScanner::START.to_vec();
        for (kind, data) in [(b"IHDR", &[0u8; 13][..]), (b"IDAT", &[1, 2, 3]), (b"IEND", &[])] {
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
        assert_eq!(jpeg_end(JPEG), Some(JPEG.len()));
        assert!((0..JPEG.len()).all(|n| jpeg_end(&JPEG[..n]).is_none()));
        let mut longer = JPEG.to_vec();
        longer.extend(JPEG);
        assert_eq!(jpeg_end(&longer), Some(JPEG.len()));
    }

    #[test]
    fn a_scan_byte_by_byte_comes_to_the_same_end() {
        let (last, before) = slowly::<JpegScanner>(JPEG).split_last().map(|(last, before)| (*last, before.to_vec())).unwrap();
        assert_eq!(last, Scan::End(JPEG.len()));
        assert!(before.iter().all(|step| *step == Scan::More));
        let png = png();
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
            &[0xff, 0xd8, 0xff, 0x00],
            &[0xff, 0xd8, 0xff, 0xe0, 0, 2, 7],
        ] {
            assert_eq!(JpegScanner::default().advance(body), Scan::Broken, "{body:x?}");
        }
    }

    #[test]
    fn a_png_ends_with_iend_and_every_checksum_counts() {
        let complete = png();
        assert_eq!(png_end(&complete), Some(complete.len()));
        assert!((0..complete.len()).all(|n| png_end(&complete[..n]).is_none()));
        let mut flipped = complete.clone();
        flipped[42] ^= 1;
        assert_eq!(png_end(&flipped), None);
    }
}
