//! Knows where a format ends: whether bytes are a whole document, and whether an image decoder can
//! take them. It reads structure (chunks, markers, boxes), never pixels, and knows nothing of files.

mod document;
mod media;
mod picture;

use std::ops::ControlFlow;

use self::document::{html_is_closed, json_is_whole, pdf_is_whole, tiff_is_sane, xml_root};
pub use self::media::Media;
use self::picture::be32;
pub use self::picture::{JpegScanner, PictureScanner, PngScanner, Scan, Scanner, jpeg_end, png_end};

/// Whether the end of a document is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// The format's own end mark or length says that nothing is missing.
    Complete,
    /// Something is missing, or the start is not what the type says.
    Truncated,
    /// The format has no end mark.
    Unknown,
}

/// What one decoder of an `<img>` can take. Chromium's tab crashes when they mix, so a viewer gets one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageClass {
    /// PNG, JPEG, GIF, WebP, AVIF, BMP: these mix freely.
    Raster,
    /// SVG alone.
    Svg,
    /// Nothing for an `<img>`.
    Other,
}

/// What one look at a body tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// Whether its end is there.
    pub completeness: Completeness,
    /// Which image decoder takes it.
    pub class: ImageClass,
    /// Whether every piece of it carries a checksum: then a complete structure is complete content, too.
    pub is_checksummed: bool,
    /// The format that a picture ought to have and that its first bytes are not of, where a few bytes can tell.
    pub unlike: Option<&'static str>,
}

/// Looks at a body once. A picture is judged by what it is, not by its type: many a `.png` is a JPEG, and browsers sniff.
pub fn inspect(media: &Media, body: &[u8]) -> Inspection {
    let picture = Picture::of(media, body);
    let is_complete = match media.essence() {
        _ if picture.is_raster => Some(picture.class == ImageClass::Raster),
        "image/svg+xml" => Some(picture.has_root),
        "image/png" | "image/apng" | "image/jpeg" | "image/gif" | "image/webp" | "image/bmp" | "image/avif" => Some(false),
        essence => document_is_complete(essence, body),
    };
    let completeness = match is_complete {
        Some(true) => Completeness::Complete,
        Some(false) => Completeness::Truncated,
        None => Completeness::Unknown,
    };
    Inspection { completeness, class: picture.class, is_checksummed: body.first() == Some(&0x89), unlike: unlike(media, body) }
}

/// Whether the bytes are a whole document of the type; `None` for types without an end mark.
fn document_is_complete(essence: &str, body: &[u8]) -> Option<bool> {
    match essence {
        "image/tiff" => Some(tiff_is_sane(body)),
        "image/heic" | "image/heif" | "video/mp4" | "video/quicktime" | "audio/mp4" | "audio/x-m4a" => Some(boxes_are_whole(body)),
        "application/pdf" => Some(pdf_is_whole(body)),
        "application/json" => Some(json_is_whole(body)),
        "text/html" => html_is_closed(body),
        _ if matches!(essence, "text/xml" | "application/xml") || essence.ends_with("+xml") => Some(xml_root(body).is_some()),
        _ => None,
    }
}

/// Tells which image decoder takes the body.
pub fn image_class(media: &Media, body: &[u8]) -> ImageClass {
    Picture::of(media, body).class
}

/// What an image decoder would make of a body.
struct Picture {
    class: ImageClass,
    /// Whether it begins as a raster picture does.
    is_raster: bool,
    /// Whether it is a well-formed XML document.
    has_root: bool,
}

impl Picture {
    fn of(media: &Media, body: &[u8]) -> Self {
        let mut picture = Self { class: ImageClass::Other, is_raster: media.is_image() && starts_as_raster(body), has_root: false };
        if picture.is_raster {
            if raster_is_whole(body) {
                picture.class = ImageClass::Raster;
            }
        } else if media.is_image()
            && let Some(root) = xml_root(body)
        {
            picture.has_root = true;
            if root == "svg" {
                picture.class = ImageClass::Svg;
            }
        }
        picture
    }
}

fn unlike(media: &Media, body: &[u8]) -> Option<&'static str> {
    let name = match media.essence() {
        "image/png" | "image/apng" => "a PNG",
        "image/jpeg" => "a JPEG",
        "image/gif" => "a GIF",
        "image/webp" => "a WebP",
        "image/bmp" => "a BMP",
        "image/avif" => "an AVIF",
        _ => return None,
    };
    (!starts_as_raster(body)).then_some(name)
}

/// Whether the first bytes are those of a picture that every browser decodes.
fn starts_as_raster(body: &[u8]) -> bool {
    matches!(
        body,
        [0x89, b'P', b'N', b'G', ..]
            | [0xff, 0xd8, ..]
            | [b'G', b'I', b'F', b'8', ..]
            | [b'R', b'I', b'F', b'F', ..]
            | [b'B', b'M', ..]
            | [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..]
    )
}

fn raster_is_whole(body: &[u8]) -> bool {
    match body.first() {
        _ if !starts_as_raster(body) => false,
        Some(0x89) => png_end(body).is_some(),
        Some(0xff) => jpeg_end(body).is_some(),
        Some(b'G') => gif_is_whole(body),
        Some(b'R') => webp_is_whole(body),
        Some(b'B') => bmp_is_whole(body),
        _ => boxes_are_whole(body),
    }
}

fn le32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
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

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe1, 0, 8, 0xff, 0xd8, 0xff, 0xd9, 0, 0, 0xff, 0xff, 0xda, 0, 2, 1, 0xff, 0, 0xff, 0xd0, 2, 0xff, 0xd9,
    ];

    #[test]
    fn every_cut_of_a_gif_a_webp_and_boxes_is_torn() {
        let gif =
            [b"GIF89a".as_slice(), &[1, 0, 1, 0, 0x80, 0, 0], &[0; 6], &[0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x4c, 1, 0, 0x3b]]
                .concat();
        let webp = [b"RIFF".as_slice(), &16u32.to_le_bytes(), b"WEBPVP8L", &4u32.to_le_bytes(), &[0x2f, 0, 0, 0]].concat();
        let avif = [&12u32.to_be_bytes()[..], b"ftypavif", &9u32.to_be_bytes(), b"mdat", &[1]].concat();
        for (media, body) in [("image/gif", gif), ("image/webp", webp), ("image/avif", avif)] {
            let media = Media::from_known(media);
            assert_eq!(inspect(&media, &body).completeness, Completeness::Complete, "{media}");
            assert_eq!(image_class(&media, &body), ImageClass::Raster, "{media}");
            assert!((0..body.len()).all(|n| inspect(&media, &body[..n]).completeness == Completeness::Truncated), "{media}");
        }
    }

    #[test]
    fn an_svg_is_whole_when_its_root_is_closed() {
        let svg = Media::from_known("image/svg+xml");
        let whole = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><g/></svg>\n";
        assert_eq!(inspect(&svg, whole).completeness, Completeness::Complete);
        assert_eq!(image_class(&svg, whole), ImageClass::Svg);
        assert!((0..whole.len() - 1).all(|n| inspect(&svg, &whole[..n]).completeness == Completeness::Truncated));
    }

    #[test]
    fn what_no_image_decoder_takes_is_of_no_family() {
        let png = Media::from_known("image/png");
        assert_eq!(image_class(&png, b""), ImageClass::Other);
        assert_eq!(image_class(&png, b"<html>"), ImageClass::Other);
        assert_eq!(image_class(&Media::from_known("text/plain"), JPEG), ImageClass::Other);
        assert_eq!(image_class(&png, JPEG), ImageClass::Raster);
        assert_eq!(inspect(&png, JPEG).completeness, Completeness::Complete, "judged by what it is");
    }
}
