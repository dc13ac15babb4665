//! Formats: whether bytes are a complete document, where a picture ends, and which image decoder reads it. It reads structure
//! (chunks, markers, boxes), never pixels, and knows nothing of files, feeds or sources.

mod document;
mod media;
mod picture;

use std::ops::ControlFlow;

use self::document::{html_is_closed, is_complete_json, is_complete_pdf, is_consistent_tiff, xml_root};
pub use self::media::Media;
use self::picture::be32;
pub use self::picture::{JpegScanner, PictureScanner, PngScanner, Scan, Scanner, jpeg_end, png_end};

/// Whether a body is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// The end mark or the length of the format is certain proof that nothing is missing.
    Complete,
    /// The format has no end mark, and any beginning of it can be shown: plain text, CSV, Markdown.
    Readable,
    /// The bytes cannot prove that nothing is missing: binary formats without an end mark.
    Unknown,
    /// Something is missing, or the start does not match the type.
    Truncated,
}

/// The decoder of an `<img>` that reads a body. Chromium's tab crashes when they mix, so a viewer gets one class only
/// (docs/field.md, Browsers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageClass {
    /// PNG, JPEG, GIF, WebP, AVIF, BMP: these mix freely.
    Raster,
    /// SVG.
    Svg,
    /// Not for an `<img>`.
    Other,
}

/// The result of `inspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// Whether the body is complete.
    pub completeness: Completeness,
    /// Which image decoder reads it.
    pub class: ImageClass,
    /// Whether each chunk has a checksum, so that a complete structure means complete content.
    pub is_checksummed: bool,
    /// The format that a picture's type names, if its first bytes are not those of any raster picture.
    pub unlike: Option<&'static str>,
}

/// Examines a body once. The content of a picture counts, not its type: many `.png` files are JPEGs, and browsers sniff
/// (docs/field.md, Browsers).
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
        None if media.is_text() && media.essence() != "text/html" => Completeness::Readable,
        None => Completeness::Unknown,
    };
    Inspection { completeness, class: picture.class, is_checksummed: body.first() == Some(&0x89), unlike: unlike(media, body) }
}

/// Whether the bytes are a complete document of the type; `None` for types without an end mark.
fn document_is_complete(essence: &str, body: &[u8]) -> Option<bool> {
    match essence {
        "image/tiff" => Some(is_consistent_tiff(body)),
        "image/heic" | "image/heif" | "video/mp4" | "video/quicktime" | "audio/mp4" | "audio/x-m4a" => {
            Some(are_complete_boxes(body))
        }
        "application/pdf" => Some(is_complete_pdf(body)),
        "application/json" => Some(is_complete_json(body)),
        "text/html" => html_is_closed(body),
        _ if matches!(essence, "text/xml" | "application/xml") || essence.ends_with("+xml") => Some(xml_root(body).is_some()),
        _ => None,
    }
}

/// The image decoder that reads the body.
pub fn image_class(media: &Media, body: &[u8]) -> ImageClass {
    Picture::of(media, body).class
}

/// A body as an image decoder sees it.
struct Picture {
    class: ImageClass,
    /// Whether it begins like a raster picture.
    is_raster: bool,
    /// Whether it is a well-formed XML document.
    has_root: bool,
}

impl Picture {
    fn of(media: &Media, body: &[u8]) -> Self {
        let mut picture = Self { class: ImageClass::Other, is_raster: media.is_image() && starts_as_raster(body), has_root: false };
        if picture.is_raster {
            if is_complete_raster(body) {
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

fn is_complete_raster(body: &[u8]) -> bool {
    match body.first() {
        _ if !starts_as_raster(body) => false,
        Some(0x89) => png_end(body).is_some(),
        Some(0xff) => jpeg_end(body).is_some(),
        Some(b'G') => is_complete_gif(body),
        Some(b'R') => is_complete_webp(body),
        Some(b'B') => is_complete_bmp(body),
        _ => are_complete_boxes(body),
    }
}

fn le32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
}

/// Whether a GIF's blocks lead to the trailer (GIF89a, appendix A).
fn is_complete_gif(body: &[u8]) -> bool {
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
            Some(ControlFlow::Break(is_complete)) => return is_complete,
            None => return false,
        }
    }
    false
}

/// Whether a WebP has all bytes of its RIFF length (RFC 9649, section 2.4), and a chunk.
fn is_complete_webp(body: &[u8]) -> bool {
    let length = le32(body, 4).filter(|_| body.starts_with(b"RIFF") && body.get(8..12) == Some(b"WEBP"));
    length.is_some_and(|length| length >= 12 && body.len() >= length.saturating_add(8))
}

/// Whether a BMP has all bytes of the length in its file header. Some writers set 0 there: then it is enough that the pixels begin
/// inside.
fn is_complete_bmp(body: &[u8]) -> bool {
    let (Some(length), Some(pixels)) = (le32(body, 2), le32(body, 10)) else { return false };
    body.starts_with(b"BM") && pixels < body.len() && body.len() >= length
}

/// Whether ISO base media boxes (ISO 14496-12, section 4.2) end exactly at the last byte, and one of them holds data.
fn are_complete_boxes(body: &[u8]) -> bool {
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
    fn every_cut_of_a_gif_a_webp_and_boxes_is_truncated() {
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
    fn an_svg_is_complete_when_its_root_is_closed() {
        let svg = Media::from_known("image/svg+xml");
        let complete = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><g/></svg>\n";
        assert_eq!(inspect(&svg, complete).completeness, Completeness::Complete);
        assert_eq!(image_class(&svg, complete), ImageClass::Svg);
        assert!((0..complete.len() - 1).all(|n| inspect(&svg, &complete[..n]).completeness == Completeness::Truncated));
    }

    #[test]
    fn a_body_that_no_image_decoder_reads_has_no_class() {
        let png = Media::from_known("image/png");
        assert_eq!(image_class(&png, b""), ImageClass::Other);
        assert_eq!(image_class(&png, b"<html>"), ImageClass::Other);
        assert_eq!(image_class(&Media::from_known("text/plain"), JPEG), ImageClass::Other);
        assert_eq!(image_class(&png, JPEG), ImageClass::Raster);
        assert_eq!(inspect(&png, JPEG).completeness, Completeness::Complete, "the content counts");
    }
}
