//! Formats: whether bytes are a complete document, where a picture ends, and which image decoder reads it. It reads structure
//! (chunks, markers, boxes), never pixels, and knows nothing of files, feeds or sources.

mod boxes;
mod completeness;
mod encoding;
mod json;
mod markup;
mod media;
mod names;
mod number;
mod pdf;
mod picture;
mod raster;
mod tiff;

use bytes::Bytes;

pub use self::completeness::Completeness;
pub use self::markup::{Tag, Tags};
pub use self::media::Media;
pub use self::picture::{JpegScanner, PictureScanner, PngScanner, Scan, Scanner};
use self::{
    boxes::{boxes, starts_with_box},
    encoding::{gunzip, narrow, unicode},
    json::json,
    markup::{html, xml},
    pdf::pdf,
    picture::{jpeg, png},
    raster::{bmp, gif, webp},
    tiff::{is_tiff, tiff},
};

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
    /// Whether each chunk has a checksum, and the right one, so that a complete structure means complete content.
    pub is_checksummed: bool,
    /// The format that a picture's type names, if its first bytes are not those of any raster picture.
    pub unlike: Option<&'static str>,
}

/// Examines a body once. The content of a picture counts, not its type: many `.png` files are JPEGs, and browsers sniff
/// (docs/field.md, Browsers).
pub fn inspect(media: &Media, body: &[u8]) -> Inspection {
    let (completeness, class) = judge(media, body);
    let unlike = if Raster::of(body).is_some() { None } else { raster_name(media) };
    let is_checksummed = body.first() == Some(&0x89) && picture::has_intact_extras(body);
    Inspection { completeness, class, is_checksummed, unlike }
}

/// The image decoder that reads the body.
pub fn image_class(media: &Media, body: &[u8]) -> ImageClass {
    if media.is_image() { judge(media, body).1 } else { ImageClass::Other }
}

/// The body without the compression that belongs to its format: an SVG may be gzipped (SVG 2, section 1.3), but viewers know that
/// only by a header, which no part of a stream has. A body that is not compressed, torn or larger than `limit` is returned as it is.
pub fn decompressed(media: &Media, body: Bytes, limit: usize) -> Bytes {
    if media.essence() != SVG {
        return body;
    }
    gunzip(&body, limit).map_or(body, Bytes::from)
}

const SVG: &str = "image/svg+xml";

fn judge(media: &Media, body: &[u8]) -> (Completeness, ImageClass) {
    let raster = Raster::of(body);
    if media.is_image()
        && let Some(raster) = raster
    {
        return raster.judge(body);
    }
    if media.is_xml() {
        let text = narrow(body);
        let xml = xml(&text);
        let may_be_svg = media.is_image() && xml.root == Some(b"svg") && xml.completeness == Completeness::Complete;
        return (xml.completeness, if may_be_svg && is_svg(body) { ImageClass::Svg } else { ImageClass::Other });
    }
    let completeness = match media.essence() {
        "text/html" => html(&narrow(body)),
        "application/pdf" => pdf(body),
        _ if media.is_json() => json(body),
        _ if media.is_text() => Completeness::Readable,
        "image/bmp" => bmp(body),
        // A line end before a JPEG, which some readers skip and browsers do not.
        "image/jpeg" => jpeg(body.trim_ascii_start()).0,
        _ if raster_name(media).is_some() => Completeness::Truncated,
        _ if is_tiff(body) => tiff(body),
        _ if starts_with_box(body) => boxes(body),
        // Not what its name says.
        "image/tiff" => Completeness::Truncated,
        _ => raster.map_or(Completeness::Unknown, |raster| raster.judge(body).0),
    };
    (completeness, ImageClass::Other)
}

/// Whether browsers draw it as an SVG: unlike other XML it has to be well-formed to the last attribute, in its namespace, and in
/// Unicode, or Chromium's `<img>` is dead from then on (docs/field.md, Browsers).
fn is_svg(body: &[u8]) -> bool {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let document = unicode(body);
    let document = document.as_deref().map(|text| roxmltree::Document::parse_with_options(text, options));
    matches!(document, Some(Ok(document)) if document.root_element().has_tag_name(("http://www.w3.org/2000/svg", "svg")))
}

/// The format that a type names, of those that every browser decodes.
fn raster_name(media: &Media) -> Option<&'static str> {
    Some(match media.essence() {
        "image/png" | "image/apng" => "a PNG",
        "image/jpeg" => "a JPEG",
        "image/gif" => "a GIF",
        "image/webp" => "a WebP",
        "image/bmp" => "a BMP",
        "image/avif" => "an AVIF",
        _ => return None,
    })
}

/// A picture format that every browser decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Raster {
    Png,
    Jpeg,
    Gif,
    Webp,
    Bmp,
    Avif,
}

impl Raster {
    /// The format that the first bytes show.
    fn of(body: &[u8]) -> Option<Self> {
        Some(match body {
            [0x89, b'P', b'N', b'G', ..] => Self::Png,
            [0xff, 0xd8, ..] => Self::Jpeg,
            [b'G', b'I', b'F', b'8', ..] => Self::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::Webp,
            [b'B', b'M', ..] => Self::Bmp,
            [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => Self::Avif,
            _ => return None,
        })
    }

    fn judge(self, body: &[u8]) -> (Completeness, ImageClass) {
        let (completeness, is_decodable) = match self {
            Self::Png => png(body),
            Self::Jpeg => jpeg(body),
            Self::Gif => gif(body),
            Self::Webp => webp(body),
            Self::Bmp => decodable_unless_truncated(bmp(body)),
            Self::Avif => decodable_unless_truncated(boxes(body)),
        };
        (completeness, if is_decodable { ImageClass::Raster } else { ImageClass::Other })
    }
}

fn decodable_unless_truncated(completeness: Completeness) -> (Completeness, bool) {
    (completeness, completeness != Completeness::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xda, 0, 2, 1, 0xff, 0, 0xff, 0xd0, 2, 0xff, 0xd9];

    #[test]
    fn an_svg_is_for_an_img_when_its_root_is_closed() {
        let svg = Media::from_known("image/svg+xml");
        let complete = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><g/></svg>\n";
        assert_eq!(inspect(&svg, complete).completeness, Completeness::Complete);
        assert_eq!(image_class(&svg, complete), ImageClass::Svg);
        assert!((0..complete.len() - 1).all(|n| image_class(&svg, &complete[..n]) == ImageClass::Other));
    }

    #[test]
    fn an_svg_that_would_kill_chromiums_img_is_not_for_an_img() {
        let svg = Media::from_known("image/svg+xml");
        let with = |inside: &str| format!("<svg xmlns='http://www.w3.org/2000/svg'>{inside}</svg>");
        let utf_16: Vec<u8> = ["\u{feff}", &with("ü")].concat().encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(image_class(&svg, &utf_16), ImageClass::Svg);
        let entity = format!("<!DOCTYPE svg [<!ENTITY a '<g/>'>]>{}", with("&a;"));
        assert_eq!(image_class(&svg, entity.as_bytes()), ImageClass::Svg);
        for text in ["a&nbsp;b", "a & b", "<g a=b/>", "<g a='1' a='2'/>", "<x:g/>", "<a xlink:href='x'/>", "\u{1}"].map(with) {
            assert_eq!(inspect(&svg, text.as_bytes()).completeness, Completeness::Complete, "{text}");
            assert_eq!(image_class(&svg, text.as_bytes()), ImageClass::Other, "{text}");
        }
        for body in [&b"<svg/>"[..], b"<svg/><svg/>", b"<html></html>", b"<svg xmlns='http://www.w3.org/2000/svg'>gr\xfcn</svg>"] {
            assert_eq!(image_class(&svg, body), ImageClass::Other, "{}", body.escape_ascii());
        }
        let deep = with(&["<g>".repeat(200_000), "</g>".repeat(200_000)].concat());
        let _ = image_class(&svg, deep.as_bytes());
    }

    #[test]
    fn a_gzipped_svg_is_an_svg() {
        let gzip = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, text).unwrap();
            Bytes::from(encoder.finish().unwrap())
        };
        let svg = Media::from_known("image/svg+xml");
        let body = gzip(b"<svg/>");
        assert_eq!(decompressed(&svg, body.clone(), 100), "<svg/>");
        for torn in (0..body.len()).map(|n| body.slice(..n)) {
            let body = decompressed(&svg, torn, 100);
            assert_eq!(inspect(&svg, &body).completeness, Completeness::Truncated);
        }
        assert_eq!(decompressed(&svg, gzip(&[b' '; 101]), 100), gzip(&[b' '; 101]), "it would be larger than a part may be");
        assert_eq!(decompressed(&Media::from_known("application/gzip"), body.clone(), 100), body);
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
