//! Knows where a format ends: whether bytes are a whole document, and whether an image decoder can
//! take them. It reads structure (chunks, markers, boxes), never pixels, and knows nothing of files.

use std::ops::ControlFlow;

use crate::part::Media;

/// Whether the end of a document is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The format's own end mark or length says that nothing is missing.
    Whole,
    /// Something is missing, or the start is not what the type says.
    Torn,
    /// The format has no end mark.
    Unmarked,
}

/// What one decoder of an `<img>` can take. Chromium's tab crashes when they mix, so a viewer gets one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// PNG, JPEG, GIF, WebP, AVIF, BMP: these mix freely.
    Raster,
    /// SVG alone.
    Svg,
    /// Nothing for an `<img>`.
    Other,
}

/// Tells whether `body` is a whole document of the type.
pub fn ending(media: &Media, body: &[u8]) -> Ending {
    let whole = match media.essence() {
        "image/png" | "image/apng" => png_end(body).is_some(),
        "image/jpeg" => jpeg_end(body).is_some(),
        "image/gif" => gif_is_whole(body),
        "image/webp" => webp_is_whole(body),
        "image/bmp" => bmp_is_whole(body),
        "image/avif" | "image/heic" | "image/heif" | "video/mp4" => boxes_are_whole(body),
        "image/svg+xml" => xml_root(body).is_some(),
        _ => return Ending::Unmarked,
    };
    if whole { Ending::Whole } else { Ending::Torn }
}

/// Tells which image decoder takes the body. What counts is the content: browsers sniff pictures, whatever their type says.
pub fn family(media: &Media, body: &[u8]) -> Family {
    if !media.is_image() {
        return Family::Other;
    }
    let raster = match body {
        [0x89, b'P', b'N', b'G', ..] => png_end(body).is_some(),
        [0xff, 0xd8, 0xff, ..] => jpeg_end(body).is_some(),
        [b'G', b'I', b'F', ..] => gif_is_whole(body),
        [b'R', b'I', b'F', b'F', ..] => webp_is_whole(body),
        [b'B', b'M', ..] => bmp_is_whole(body),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => boxes_are_whole(body),
        _ => false,
    };
    match raster {
        true => Family::Raster,
        false if xml_root(body).as_deref() == Some("svg") => Family::Svg,
        false => Family::Other,
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?) as usize)
}

fn le32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
}

/// The offset behind `IEND` (PNG specification, section 5.3), if every chunk before it is there, has its
/// checksum, and one of them holds pixels.
pub fn png_end(body: &[u8]) -> Option<usize> {
    if !body.starts_with(b"\x89PNG\r\n\x1a\n") || body.get(12..16)? != b"IHDR" {
        return None;
    }
    let (mut at, mut pixels) = (8, false);
    loop {
        let length = be32(body, at)?;
        let checked = body.get(at + 4..(at + 8).checked_add(length)?)?;
        let sum = be32(body, at + 8 + length)?;
        if crc32fast::hash(checked) as usize != sum {
            return None;
        }
        at += 12 + length;
        match &checked[..4] {
            b"IDAT" => pixels = true,
            b"IEND" => return pixels.then_some(at),
            _ => {}
        }
    }
}

/// The offset behind a JPEG's own EOI (ITU T.81, annex B): markers are walked, so that a thumbnail's EOI inside
/// an APP segment does not count.
pub fn jpeg_end(body: &[u8]) -> Option<usize> {
    if !body.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    let (mut at, mut scans) = (2, 0);
    loop {
        let fill = body.get(at..)?.iter().take_while(|b| **b == 0xff).count();
        let marker = *body.get(at + fill)?;
        if fill == 0 {
            return None;
        }
        at += fill + 1;
        match marker {
            0xd9 => return (scans > 0).then_some(at),
            0x01 | 0xd0..=0xd7 => {}
            0x00 | 0xd8 => return None,
            _ => {
                let length = usize::from(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
                if length < 2 {
                    return None;
                }
                at += length;
                if marker == 0xda {
                    scans += 1;
                    at = scan_end(body, at)?;
                }
            }
        }
    }
}

/// Behind entropy-coded data: the next marker that is neither a stuffed zero nor a restart.
fn scan_end(body: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr(0xff, body.get(at..)?)?;
        match body.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            _ => return Some(at),
        }
    }
}

/// GIF89a, appendix A: blocks to the trailer.
fn gif_is_whole(body: &[u8]) -> bool {
    let color_table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let sub_blocks = |mut at: usize| loop {
        match *body.get(at)? {
            0 => return Some(at + 1),
            length => at += usize::from(length) + 1,
        }
    };
    let step = |at: usize, images: usize| -> Option<ControlFlow<bool, (usize, usize)>> {
        Some(match *body.get(at)? {
            0x21 => ControlFlow::Continue((sub_blocks(at + 2)?, images)),
            0x2c => {
                let pixels = at + 10 + color_table(*body.get(at + 9)?) + 1;
                ControlFlow::Continue((sub_blocks(pixels)?, images + 1))
            }
            0x3b => ControlFlow::Break(images > 0),
            _ => ControlFlow::Break(false),
        })
    };
    let Some(flags) = body.get(10) else { return false };
    let mut state = (13 + color_table(*flags), 0);
    while body.starts_with(b"GIF8") {
        match step(state.0, state.1) {
            Some(ControlFlow::Continue(next)) => state = next,
            Some(ControlFlow::Break(whole)) => return whole,
            None => return false,
        }
    }
    false
}

/// The RIFF length of a WebP (RFC 9649, section 2.4) is reached, and there is a chunk with pixels.
fn webp_is_whole(body: &[u8]) -> bool {
    let length = le32(body, 4).filter(|_| body.starts_with(b"RIFF") && body.get(8..12) == Some(b"WEBP"));
    length.is_some_and(|length| length >= 12 && body.len() >= length.saturating_add(8))
}

/// The length in a BMP's file header; 0 or nonsense (some writers leave it out) is taken as whole if the pixels begin inside.
fn bmp_is_whole(body: &[u8]) -> bool {
    let (Some(length), Some(pixels)) = (le32(body, 2), le32(body, 10)) else { return false };
    body.starts_with(b"BM") && pixels < body.len() && body.len() >= length
}

/// ISO base media boxes (ISO 14496-12, section 4.2) end exactly where the bytes do, and hold data.
fn boxes_are_whole(body: &[u8]) -> bool {
    let (mut at, mut data) = (0, false);
    while at < body.len() {
        let (Some(short), Some(kind)) = (be32(body, at), body.get(at + 4..at + 8)) else { return false };
        let length = match short {
            0 => body.len() - at,
            1 => match (be32(body, at + 8), be32(body, at + 12)) {
                (Some(0), Some(low)) if low >= 16 => low,
                _ => return false,
            },
            2..=7 => return false,
            length => length,
        };
        data |= kind == b"mdat" || kind == b"idat";
        at = at.saturating_add(length);
    }
    at == body.len() && data
}

/// The local name of the root element, if the document is well-formed to its end.
fn xml_root(body: &[u8]) -> Option<String> {
    use quick_xml::events::Event;
    let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}');
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut root, mut depth) = (None, 0usize);
    loop {
        let event = reader.read_event().ok()?;
        if let (Event::Start(tag) | Event::Empty(tag), 0) = (&event, depth) {
            let second_root = root.replace(String::from_utf8_lossy(tag.local_name().as_ref()).into_owned());
            if second_root.is_some() {
                return None;
            }
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.checked_sub(1)?,
            Event::Eof => return root.filter(|_| depth == 0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe1, 0, 8, 0xff, 0xd8, 0xff, 0xd9, 0, 0, 0xff, 0xff, 0xda, 0, 2, 1, 0xff, 0, 0xff, 0xd0, 2, 0xff, 0xd9,
    ];

    fn png() -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in [(b"IHDR", &[0u8; 13][..]), (b"IDAT", &[1, 2, 3]), (b"IEND", &[])] {
            let checked = [&kind[..], data].concat();
            png.extend((data.len() as u32).to_be_bytes());
            png.extend(&checked);
            png.extend(crc32fast::hash(&checked).to_be_bytes());
        }
        png
    }

    #[test]
    fn a_jpeg_ends_at_its_own_eoi_not_at_that_of_its_thumbnail() {
        assert_eq!(jpeg_end(JPEG), Some(JPEG.len()));
        assert!((0..JPEG.len()).all(|n| jpeg_end(&JPEG[..n]).is_none()));
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

    #[test]
    fn every_cut_of_a_gif_a_webp_and_boxes_is_torn() {
        let gif =
            [b"GIF89a".as_slice(), &[1, 0, 1, 0, 0x80, 0, 0], &[0; 6], &[0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x4c, 1, 0, 0x3b]]
                .concat();
        let webp = [b"RIFF".as_slice(), &16u32.to_le_bytes(), b"WEBPVP8L", &4u32.to_le_bytes(), &[0x2f, 0, 0, 0]].concat();
        let avif = [&12u32.to_be_bytes()[..], b"ftypavif", &9u32.to_be_bytes(), b"mdat", &[1]].concat();
        for (media, body) in [("image/gif", gif), ("image/webp", webp), ("image/avif", avif)] {
            let media = Media::from_known(media);
            assert_eq!(ending(&media, &body), Ending::Whole, "{media}");
            assert_eq!(family(&media, &body), Family::Raster, "{media}");
            assert!((0..body.len()).all(|n| ending(&media, &body[..n]) == Ending::Torn), "{media}");
        }
    }

    #[test]
    fn an_svg_is_whole_when_its_root_is_closed() {
        let svg = Media::from_known("image/svg+xml");
        let whole = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><g/></svg>\n";
        assert_eq!(ending(&svg, whole), Ending::Whole);
        assert_eq!(family(&svg, whole), Family::Svg);
        assert!((0..whole.len() - 1).all(|n| ending(&svg, &whole[..n]) == Ending::Torn));
    }

    #[test]
    fn what_no_image_decoder_takes_is_of_no_family() {
        let png = Media::from_known("image/png");
        assert_eq!(family(&png, b""), Family::Other);
        assert_eq!(family(&png, b"<html>"), Family::Other);
        assert_eq!(family(&Media::from_known("text/plain"), JPEG), Family::Other);
        assert_eq!(family(&png, JPEG), Family::Raster);
    }
}
