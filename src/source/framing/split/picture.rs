//! Splits concatenated pictures at their own end marks: each is returned as soon as it is complete, without waiting for the next
//! (docs/field.md, Pipes). It knows scanners, not formats.

use bytes::{Buf, BytesMut};
use memchr::memmem;

use super::splitter::{Makes, PartStamp, RawPart, Splitter};
use crate::format::{ImageClass, Media, Scan, Scanner};

/// Splits pictures of one format.
#[derive(Debug)]
pub(super) struct PictureSplitter<W> {
    buffer: BytesMut,
    /// The scanner of the picture that the buffer begins with, if it begins with one.
    scanner: Option<W>,
    limit: usize,
    /// Offsets in the stream: of the buffer's first byte, and of the byte up to which a picture has proved broken.
    consumed: u64,
    broken: u64,
    refused: u64,
    media: Media,
}

impl<W: Scanner> PictureSplitter<W> {
    /// A splitter for pictures of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let media = Media::from_known(W::MEDIA);
        Self { buffer: BytesMut::new(), scanner: None, limit, consumed: 0, broken: 0, refused: 0, media }
    }

    fn discard(&mut self, bytes: usize) {
        self.buffer.advance(bytes);
        self.consumed += bytes as u64;
    }

    /// Searches for the start of a picture, and discards the bytes before it. Returns whether there is one.
    fn seek_start(&mut self) -> bool {
        let found = memmem::find(&self.buffer, W::START);
        self.discard(found.unwrap_or((self.buffer.len() + 1).saturating_sub(W::START.len())));
        self.scanner = found.map(|_| W::default());
        found.is_some()
    }

    /// Drops a picture that is broken or too long, and continues where the scanner says, since the next may have begun inside the
    /// last segment. It goes back over a byte only once, or junk would take quadratic time.
    fn drop_picture(&mut self, restart: usize, reached: usize) {
        let goes_back = self.consumed + restart as u64 >= self.broken;
        self.broken = self.broken.max(self.consumed + reached as u64);
        self.refused += 1;
        self.discard(if goes_back { restart.min(reached) } else { reached });
    }
}

impl<W: Scanner> Splitter for PictureSplitter<W> {
    fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>) {
        self.buffer.extend_from_slice(data);
        while self.scanner.is_some() || self.seek_start() {
            let Some(mut scanner) = self.scanner.take() else { return };
            let seen = self.buffer.len().min(self.limit);
            match scanner.advance(&self.buffer[..seen]) {
                Scan::End(end) => {
                    let bytes = self.buffer.split_to(end).freeze();
                    bodies.push(RawPart {
                        media: Some(self.media.clone()),
                        bytes,
                        class: Some(ImageClass::Raster),
                        stamp: PartStamp::default(),
                    });
                    self.consumed += end as u64;
                }
                Scan::More if self.buffer.len() <= self.limit => {
                    self.scanner = Some(scanner);
                    return;
                }
                Scan::More => self.drop_picture(scanner.restart(), seen),
                Scan::Broken => self.drop_picture(scanner.restart(), scanner.reached()),
            }
        }
    }

    fn finish(&mut self, _bodies: &mut Vec<RawPart>) {
        self.refused += u64::from(self.scanner.take().is_some());
    }

    fn makes(&self) -> Option<Makes> {
        Some(Makes::Frames)
    }

    fn refused(&self) -> u64 {
        self.refused
    }

    fn pending(&self) -> usize {
        if self.scanner.is_some() { self.buffer.len() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{JpegScanner, PngScanner};

    /// A JPEG whose data is `text`: fill bytes, a scan with a stuffed byte and a restart marker, a second scan.
    fn jpeg(text: &str) -> Vec<u8> {
        let scan = [b"\xff\xff\xda\x00\x03.", text.as_bytes(), b"\xff\x00\xff\xd0\xff\xc4\x00\x02\xff\xda\x00\x02~"].concat();
        [b"\xff\xd8\xff\xe0\x00\x04JF", &scan[..], b"\xff\xd9"].concat()
    }

    /// A JPEG with a thumbnail in its APP1, which is itself a JPEG.
    fn with_thumbnail(text: &str) -> Vec<u8> {
        let thumbnail = jpeg("thumb");
        let length = (thumbnail.len() as u16 + 2).to_be_bytes();
        [b"\xff\xd8\xff\xe1", &length[..], &thumbnail, &jpeg(text)[2..]].concat()
    }

    fn png(data: &[u8]) -> Vec<u8> {
        let chunk = |kind: &[u8], data: &[u8]| {
            let named = [kind, data].concat();
            [&(data.len() as u32).to_be_bytes()[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat()
        };
        [PngScanner::START, &chunk(b"IHDR", &[0; 13]), &chunk(b"IDAT", data), &chunk(b"IEND", b"")].concat()
    }

    /// Splits at several read sizes, and returns the result, which must be the same each time.
    #[track_caller]
    fn cut<W: Scanner>(input: &[u8], limit: usize) -> (Vec<Vec<u8>>, u64) {
        let cut = |read: usize| {
            let (mut frames, mut bodies) = (PictureSplitter::<W>::new(limit), Vec::new());
            for data in input.chunks(read) {
                frames.push(data, &mut bodies);
                assert!(frames.buffer.len() <= limit, "{} bytes are held", frames.buffer.len());
            }
            frames.finish(&mut bodies);
            assert!(bodies.iter().all(|body| body.media.as_ref().is_some_and(|media| media.as_str() == W::MEDIA)));
            (bodies.iter().map(|body| body.bytes.to_vec()).collect::<Vec<_>>(), frames.refused())
        };
        let expected = cut(input.len());
        for read in [1, 2, 3, 7] {
            assert_eq!(cut(read), expected, "in pieces of {read}");
        }
        expected
    }

    #[test]
    fn jpegs_are_split_at_their_own_ends() {
        let frames = [jpeg("one"), with_thumbnail("two"), jpeg("three")];
        assert_eq!(cut::<JpegScanner>(&frames.concat(), 1000), (frames.to_vec(), 0));
        let padded = [&b"junk\xff"[..], &frames[0], b"\0\0\xff", &frames[1], b"\xff\xd9\n", &frames[2], b"\xff"].concat();
        assert_eq!(cut::<JpegScanner>(&padded, 1000), (frames.to_vec(), 0));
    }

    #[test]
    fn a_jpeg_is_returned_with_its_last_byte() {
        let (mut frames, mut bodies) = (PictureSplitter::<JpegScanner>::new(1000), Vec::new());
        let (last, before) = (b"\xd9", with_thumbnail("one"));
        frames.push(&before[..before.len() - 1], &mut bodies);
        assert_eq!((bodies.len(), frames.pending()), (0, before.len() - 1));
        frames.push(last, &mut bodies);
        assert_eq!((bodies.len(), frames.pending()), (1, 0));
    }

    #[test]
    fn a_jpeg_that_was_cut_off_costs_only_itself() {
        let (one, two) = (jpeg("one"), jpeg("two"));
        // A length that was cut off may lead 64 KiB too far before the scan finds that it is wrong.
        let junk = vec![0; 1 << 16];
        // Not tested: where the truncated segment contains exactly the start of the next, the two are one valid JPEG.
        for at in (3..one.len()).filter(|at| ![6, 13].contains(at)) {
            let input = [&one[..at], &two, &junk, &two].concat();
            assert_eq!(cut::<JpegScanner>(&input, 1 << 20), (vec![two.clone(); 2], 1), "cut at {at}");
            assert_eq!(cut::<JpegScanner>(&[&two, &one[..at]].concat(), 1000), (vec![two.clone()], 1), "cut at {at}");
        }
    }

    #[test]
    fn a_jpeg_with_stray_bytes_before_a_marker_is_returned_and_each_cut_of_it_is_dropped() {
        let two = jpeg("two");
        // Behind APP0, and before the second scan.
        for (at, exact) in [(8, [6, 16]), (25, [6, 13])] {
            let one = [&jpeg("one")[..at], b"\0\0\0", &jpeg("one")[at..]].concat();
            assert_eq!(cut::<JpegScanner>(&[&one[..], &two].concat(), 1000), (vec![one.clone(), two.clone()], 0), "at {at}");
            // Not tested: where the truncated segment contains exactly the start of the next, as above.
            for end in (3..one.len()).filter(|end| !exact.contains(end)) {
                let input = [&one[..end], &two, &vec![0; 1 << 16], &two].concat();
                assert_eq!(cut::<JpegScanner>(&input, 1 << 20), (vec![two.clone(); 2], 1), "at {at}, cut at {end}");
            }
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_dropped_and_counted() {
        let (small, large, long) = (jpeg("small"), jpeg(&"x".repeat(100)), with_thumbnail(&"x".repeat(100)));
        let input = [&small[..], &large, &small, &long, &small].concat();
        assert_eq!(cut::<JpegScanner>(&input, large.len() - 1).1, 2);
        assert_eq!(cut::<JpegScanner>(&input, large.len() - 1).0.iter().filter(|body| **body == small).count(), 3);
        assert_eq!(cut::<JpegScanner>(&input, long.len()), (vec![small.clone(), large, small.clone(), long, small], 0));
    }

    #[test]
    fn pngs_are_split_at_iend_and_broken_ones_dropped() {
        let (one, two) = (png(b"one"), png(&png(b"inner")));
        let frames = [one.clone(), two.clone(), one.clone()];
        assert_eq!(cut::<PngScanner>(&frames.concat(), 1000), (frames.to_vec(), 0));
        assert_eq!(
            cut::<PngScanner>(&[b"junk", &one[..], b"\x89PNG\r\n", &two].concat(), 1000),
            (vec![one.clone(), two.clone()], 0)
        );
        for at in 8..one.len() {
            assert_eq!(
                cut::<PngScanner>(&[&one[..at], &two, &one].concat(), 1000),
                (vec![two.clone(), one.clone()], 1),
                "cut at {at}"
            );
        }
        let text = [&one[..33], b"\0\0\0\x03tEXta\0b\0\0\0\0", &one[33..]].concat();
        for at in 33..text.len() {
            assert_eq!(
                cut::<PngScanner>(&[&text[..at], &two, &text].concat(), 1000),
                (vec![two.clone(), text.clone()], 1),
                "cut at {at}"
            );
        }
        let mut flipped = one.clone();
        flipped[44] ^= 1;
        assert_eq!(cut::<PngScanner>(&[flipped, one.clone()].concat(), 1000), (vec![one.clone()], 1));
        assert_eq!(cut::<PngScanner>(&[&two[..], &one].concat(), one.len()).0.last(), Some(&one));
    }

    #[test]
    fn junk_that_looks_like_frames_takes_linear_time() {
        // Each start has a chunk of almost the whole limit, which proves broken only at its end.
        let limit = 1 << 20;
        let head = &png(b"")[..33];
        let start = [head, &(limit as u32 - 100).to_be_bytes(), b"IDAT"].concat();
        let (mut frames, mut bodies) = (PictureSplitter::<PngScanner>::new(limit), Vec::new());
        let before = std::time::Instant::now();
        for _ in 0..100 {
            frames.push(&start.repeat(4096), &mut bodies);
        }
        assert!(bodies.is_empty() && before.elapsed() < std::time::Duration::from_secs(20), "{:?}", before.elapsed());
    }
}
