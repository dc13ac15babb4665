//! Whether a GIF, a WebP or a BMP is complete. It reads slices, and knows neither media types nor files.

use super::{
    completeness::Completeness::{self, Complete, Truncated, Unknown},
    number::{le16, le32, tail_is_empty},
};

/// Whether a GIF's blocks lead to the trailer (GIF89a, appendix A), and whether it has a whole image. Readers pass over zeros between
/// blocks, and show the images that come before anything else that is wrong.
pub(super) fn gif(body: &[u8]) -> (Completeness, bool) {
    let color_table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let Some(flags) = body.get(10) else { return (Truncated, false) };
    let (mut at, mut has_image, mut has_gap) = (13 + color_table(*flags), false, false);
    loop {
        let next = match body.get(at) {
            Some(0x3b) => return (if has_image { Complete } else { Truncated }, has_image),
            Some(0) => Some(at + 1),
            Some(0x21) => sub_blocks(body, at + 2),
            Some(0x2c) => body.get(at + 9).and_then(|flags| sub_blocks(body, at + 10 + color_table(*flags) + 1)),
            // Between two blocks: only the trailer is missing, unless zeros stand for what is still to be written.
            None if at == body.len() && has_image && !has_gap => return (Unknown, true),
            Some(_) if has_image => return (Unknown, true),
            _ => None,
        };
        let Some(next) = next else { return (Truncated, has_image) };
        has_gap = body[at] == 0;
        has_image |= body[at] == 0x2c;
        at = next;
    }
}

/// The offset behind the sub-blocks that begin here.
fn sub_blocks(body: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *body.get(at)? {
            0 => return Some(at + 1),
            length => at += usize::from(length) + 1,
        }
    }
}

/// Whether a WebP has all bytes of its RIFF length and of its chunks (RFC 9649, section 2.4), and whether browsers decode it: some
/// readers do not mind a wrong length, but for Chromium it is a picture that breaks off.
pub(super) fn webp(body: &[u8]) -> (Completeness, bool) {
    let Some(end) = le32(body, 4).map(|length| length.saturating_add(8)) else { return (Truncated, false) };
    let (mut at, mut has_pixels, mut is_written) = (12, false, true);
    while at < end.min(body.len()) {
        let (Some(kind), Some(length)) = (body.get(at..at + 4), le32(body, at + 4)) else { break };
        let Some(data) = body.get(at + 8..(at + 8).saturating_add(length)) else { return (Truncated, false) };
        if matches!(kind, b"VP8 " | b"VP8L" | b"ANMF") {
            has_pixels = true;
            is_written &= !tail_is_empty(data);
        }
        at += 8 + length + length % 2;
    }
    let has_length = (at..=body.len()).contains(&end);
    match (has_pixels, has_length && is_written) {
        (false, _) => (Truncated, false),
        (true, true) => (Complete, true),
        (true, false) => (Unknown, has_length),
    }
}

/// Whether a BMP, or a DIB, which has no file header, has all its pixels. The length in the file header is 0 or wrong in many files:
/// the pixels tell.
pub(super) fn bmp(body: &[u8]) -> Completeness {
    let has_file_header = body.starts_with(b"BM");
    let header = if has_file_header { 14 } else { 0 };
    let Some(bitmap) = Bitmap::of(&body[header.min(body.len())..]) else { return Truncated };
    let pixels = if has_file_header { le32(body, 10) } else { Some(bitmap.header + bitmap.palette) };
    let end = pixels.and_then(|pixels| pixels.checked_add(bitmap.bytes)).filter(|_| pixels >= Some(12));
    let length = if has_file_header { le32(body, 2) } else { end };
    match (end, length) {
        (Some(end), _) if body.len() < end => Truncated,
        (Some(end), _) if tail_is_empty(&body[..end]) => Unknown,
        (_, Some(length)) if length > body.len() => Unknown,
        // Without a length, only pixels that are not compressed prove the end.
        (Some(_), Some(length)) if bitmap.bytes > 0 || length > 14 => Complete,
        _ => Unknown,
    }
}

/// The header of a bitmap.
struct Bitmap {
    header: usize,
    palette: usize,
    /// The bytes of the pixels; 0 if they are compressed and the header does not say.
    bytes: usize,
}

impl Bitmap {
    fn of(header: &[u8]) -> Option<Self> {
        let size = le32(header, 0).filter(|size| (12..=256).contains(size))?;
        if size == 12 {
            let (width, height, depth) = (le16(header, 4)?, le16(header, 6)?, le16(header, 10)?);
            let palette = if depth <= 8 { 3 << depth } else { 0 };
            return Some(Self { header: size, palette, bytes: Self::rows(width, height, depth)? });
        }
        let (width, height, depth) = (le32(header, 4)?, le32(header, 8)? as u32 as i32, le16(header, 14)?);
        let (compression, bytes, colors) =
            (le32(header, 16).unwrap_or(0), le32(header, 20).unwrap_or(0), le32(header, 32).unwrap_or(0));
        let palette = match colors {
            0 if depth <= 8 => 4 << depth,
            colors => colors.min(256) * 4,
        };
        let masks = if size == 40 && matches!(compression, 3 | 6) { 12 } else { 0 };
        let rows = Self::rows(width, height.unsigned_abs() as usize, depth)?;
        // Uncompressed: as they are, with masks, with masks and alpha.
        let bytes = if matches!(compression, 0 | 3 | 6) { rows } else { bytes };
        Some(Self { header: size, palette: palette + masks, bytes })
    }

    /// Each row is filled up to a multiple of four bytes.
    fn rows(width: usize, height: usize, depth: usize) -> Option<usize> {
        width.checked_mul(depth)?.checked_add(31)?.checked_div(32)?.checked_mul(4)?.checked_mul(height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIF: &[u8] = &[
        b'G', b'I', b'F', b'8', b'9', b'a', 1, 0, 1, 0, 0x80, 0, 0, 9, 9, 9, 9, 9, 9, 0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x4c,
        1, 0, 0x3b,
    ];

    #[test]
    fn a_gif_without_its_trailer_or_with_bytes_behind_it_shows_its_images() {
        let (end, before) = (GIF.len(), GIF.len() - 1);
        assert_eq!(gif(GIF), (Complete, true));
        assert_eq!(gif(&[GIF, &[0; 9]].concat()), (Complete, true));
        assert_eq!(gif(&[&GIF[..before], &[0, 0x3b]].concat()), (Complete, true));
        assert_eq!(gif(&GIF[..before]), (Unknown, true));
        assert_eq!(gif(&[&GIF[..before], &[7, 7]].concat()), (Unknown, true));
        assert_eq!(gif(&[&GIF[..before], &[0; 100]].concat()).0, Truncated, "its writer has made the file longer in advance");
        assert!((0..end - 1).all(|n| gif(&GIF[..n]) == (Truncated, false)));
    }

    #[test]
    fn a_webp_has_all_its_chunks() {
        let webp_of =
            |length: u32| [b"RIFF", &length.to_le_bytes()[..], b"WEBPVP8L", &5u32.to_le_bytes(), &[0x2f, 0, 0, 0, 1, 0]].concat();
        let whole = webp_of(18);
        assert_eq!(webp(&whole), (Complete, true));
        assert_eq!(webp(&[&whole[..], b"more"].concat()), (Complete, true));
        assert!((0..whole.len()).all(|n| webp(&whole[..n]).0 != Complete));
        assert_eq!((webp(&webp_of(19)), webp(&webp_of(16))), ((Unknown, false), (Unknown, false)));
        assert_eq!(webp(&[&whole[..20], &[0; 6]].concat()), (Unknown, true), "the pixels are still to be written");
    }

    fn bmp_of(length: u32, bytes: &[u8]) -> Vec<u8> {
        let header: Vec<u8> = [40u32, 2, 2, 24 << 16 | 1, 0, 0, 0, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect();
        [b"BM", &length.to_le_bytes()[..], &[0; 4], &54u32.to_le_bytes(), &header, bytes].concat()
    }

    #[test]
    fn a_bmp_has_all_its_pixels_whatever_its_length_says() {
        let whole = bmp_of(70, &[7; 16]);
        assert_eq!(bmp(&whole), Complete);
        assert_eq!(bmp(&whole[14..]), Complete, "a DIB");
        assert_eq!(bmp(&bmp_of(0, &[7; 16])), Complete);
        assert_eq!(bmp(&bmp_of(72, &[7; 16])), Unknown);
        assert_eq!(bmp(&bmp_of(70, &[0; 16])), Unknown, "black, or still to be written");
        assert!((0..whole.len()).all(|n| bmp(&whole[..n]) == Truncated));
        assert!((0..16).all(|n| bmp(&bmp_of(0, &[7; 16][..n])) == Truncated));
    }
}
