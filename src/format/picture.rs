//! Walks through a picture while its bytes come, to the byte behind its own end mark. A walk can be taken up
//! again when there are more bytes, and never looks at a byte twice.

use super::be32;

/// How far a walk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To the end of the bytes; the picture goes on.
    More,
    /// To the picture's end, which is this many bytes behind its start.
    End(usize),
    /// To something that cannot stand there: the picture was cut off, or never was one.
    Broken,
}

/// A format whose end is found by walking.
pub trait Walk: Default + std::fmt::Debug + Send {
    /// What every picture of the format begins with.
    const START: &'static [u8];
    /// Its media type.
    const MEDIA: &'static str;

    /// Goes on through `body`, which begins with `START` and is what the last call had, or more.
    fn go(&mut self, body: &[u8]) -> Step;

    /// Where the next picture may begin when this one has proved broken or too long: in front of this offset all
    /// belonged to the broken one.
    fn restart(&self) -> usize;

    /// The offset that a broken walk came to. It is behind `restart` where a length led there.
    fn reached(&self) -> usize;
}

/// The offset behind the picture that `body` begins with.
fn end_of<W: Walk>(body: &[u8]) -> Option<usize> {
    match W::default().go(body) {
        Step::End(end) if body.starts_with(W::START) => Some(end),
        _ => None,
    }
}

/// The offset behind `IEND` (PNG specification, section 5.3), if every chunk before it is there, has its
/// checksum, and one of them holds pixels.
pub fn png_end(body: &[u8]) -> Option<usize> {
    end_of::<PngWalk>(body)
}

/// The offset behind a JPEG's own EOI (ITU T.81, annex B): markers are walked, so that a thumbnail's EOI inside
/// an APP segment does not count.
pub fn jpeg_end(body: &[u8]) -> Option<usize> {
    end_of::<JpegWalk>(body)
}

/// Through the markers of a JPEG.
#[derive(Debug)]
pub struct JpegWalk {
    at: usize,
    restart: usize,
    in_scan: bool,
    has_scan: bool,
}

impl Default for JpegWalk {
    fn default() -> Self {
        Self { at: 2, restart: 2, in_scan: false, has_scan: false }
    }
}

impl Walk for JpegWalk {
    /// SOI and the beginning of the next marker.
    const START: &'static [u8] = &[0xff, 0xd8, 0xff];
    const MEDIA: &'static str = "image/jpeg";

    fn go(&mut self, body: &[u8]) -> Step {
        loop {
            let Some(rest) = body.get(self.at..) else { return Step::More };
            if self.in_scan {
                // Entropy-coded data goes on to the next marker.
                let ahead = memchr::memchr(0xff, rest);
                self.at += ahead.unwrap_or(rest.len());
                self.restart = self.at;
            }
            // Any number of fill bytes may stand in front of a marker.
            let fill = body[self.at..].iter().take_while(|byte| **byte == 0xff).count();
            match fill {
                0 if self.at == body.len() => return Step::More,
                0 => return Step::Broken,
                _ => self.at += fill - 1,
            }
            let Some(&marker) = body.get(self.at + 1) else { return Step::More };
            match marker {
                0x01 | 0xd0..=0xd7 => self.at += 2,
                0x00 if self.in_scan => self.at += 2,
                0xd9 if self.has_scan => return Step::End(self.at + 2),
                0x00 | 0xd8 | 0xd9 => {
                    self.restart = self.at;
                    return Step::Broken;
                }
                _ => {
                    let Some(&[high, low]) = body.get(self.at + 2..self.at + 4) else { return Step::More };
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    self.restart = self.at;
                    // A scan has four components at the most (B.2.3).
                    if length < 2 || (marker == 0xda && length > 14) {
                        return Step::Broken;
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

/// Through the chunks of a PNG.
#[derive(Debug)]
pub struct PngWalk {
    at: usize,
    reached: usize,
    has_pixels: bool,
}

impl Default for PngWalk {
    fn default() -> Self {
        Self { at: Self::START.len(), reached: Self::START.len(), has_pixels: false }
    }
}

impl Walk for PngWalk {
    const START: &'static [u8] = b"\x89PNG\r\n\x1a\n";
    const MEDIA: &'static str = "image/png";

    fn go(&mut self, body: &[u8]) -> Step {
        loop {
            let (Some(length), Some(kind)) = (be32(body, self.at), body.get(self.at + 4..self.at + 8)) else { return Step::More };
            let begins = kind == b"IHDR" && length == 13;
            if length > i32::MAX as usize || !kind.iter().all(u8::is_ascii_alphabetic) || (self.at == Self::START.len() && !begins)
            {
                return Step::Broken;
            }
            let end = self.at + 12 + length;
            let Some(checked) = body.get(self.at + 4..end - 4) else { return Step::More };
            let Some(sum) = be32(body, end - 4) else { return Step::More };
            self.reached = end;
            if crc32fast::hash(checked) as usize != sum {
                return Step::Broken;
            }
            self.at = end;
            match kind {
                b"IDAT" => self.has_pixels = true,
                b"IEND" => return if self.has_pixels { Step::End(self.at) } else { Step::Broken },
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

/// A walk through whichever of these formats it turns out to be.
#[derive(Debug)]
pub enum PictureWalk {
    /// It begins as a JPEG does.
    Jpeg(JpegWalk),
    /// It begins as a PNG does.
    Png(PngWalk),
}

impl PictureWalk {
    /// Bytes that are enough to tell.
    pub const ENOUGH: usize = PngWalk::START.len();

    /// The walk for a body that begins with these bytes.
    pub fn of(start: &[u8]) -> Option<Self> {
        match () {
            () if start.starts_with(JpegWalk::START) => Some(Self::Jpeg(JpegWalk::default())),
            () if start.starts_with(PngWalk::START) => Some(Self::Png(PngWalk::default())),
            () => None,
        }
    }

    /// As `Walk::go`.
    pub fn go(&mut self, body: &[u8]) -> Step {
        match self {
            Self::Jpeg(walk) => walk.go(body),
            Self::Png(walk) => walk.go(body),
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

    fn png() -> Vec<u8> {
        let mut png = PngWalk::START.to_vec();
        for (kind, data) in [(b"IHDR", &[0u8; 13][..]), (b"IDAT", &[1, 2, 3]), (b"IEND", &[])] {
            let checked = [&kind[..], data].concat();
            png.extend((data.len() as u32).to_be_bytes());
            png.extend(&checked);
            png.extend(crc32fast::hash(&checked).to_be_bytes());
        }
        png
    }

    /// Walks with a byte more each time, as slowly as a pipe can be.
    fn slowly<W: Walk>(body: &[u8]) -> Vec<Step> {
        let mut walk = W::default();
        (W::START.len()..=body.len()).map(|n| walk.go(&body[..n])).collect()
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
    fn a_walk_that_is_taken_up_byte_by_byte_comes_to_the_same_end() {
        let (last, before) = slowly::<JpegWalk>(JPEG).split_last().map(|(last, before)| (*last, before.to_vec())).unwrap();
        assert_eq!(last, Step::End(JPEG.len()));
        assert!(before.iter().all(|step| *step == Step::More));
        let png = png();
        let steps = slowly::<PngWalk>(&png);
        assert_eq!(*steps.last().unwrap(), Step::End(png.len()));
        assert!(steps[..steps.len() - 1].iter().all(|step| *step == Step::More));
    }

    #[test]
    fn a_jpeg_that_was_cut_off_breaks_where_the_next_begins() {
        let cut = [&JPEG[..28], JPEG].concat();
        let mut walk = JpegWalk::default();
        assert_eq!(walk.go(&cut), Step::Broken);
        assert_eq!(walk.restart(), 28);
    }

    #[test]
    fn what_only_begins_like_a_jpeg_is_broken() {
        for body in [
            &[0xff, 0xd8, 0xff, 0xd9][..],
            &[0xff, 0xd8, 0xff, 0xe0, 0, 1],
            &[0xff, 0xd8, 0xff, 0x00],
            &[0xff, 0xd8, 0xff, 0xe0, 0, 2, 7],
        ] {
            assert_eq!(JpegWalk::default().go(body), Step::Broken, "{body:x?}");
        }
    }

    #[test]
    fn a_png_ends_with_iend_and_every_checksum_counts() {
        let whole = png();
        assert_eq!(png_end(&whole), Some(whole.len()));
        assert!((0..whole.len()).all(|n| png_end(&whole[..n]).is_none()));
        let mut flipped = whole.clone();
        flipped[42] ^= 1;
        assert_eq!(png_end(&flipped), None);
    }
}
