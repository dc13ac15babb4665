//! Media types: parsed, guessed from a file's name and content, and spelt as readers want them (docs/field.md, Players and readers).
//! It knows nothing of completeness.

use std::{fmt, path::Path, sync::Arc};

use super::names::{charset_of, type_of};

/// A media type that is safe in `Content-Type`, spelt as readers want it.
#[derive(Clone, PartialEq, Eq)]
pub struct Media(Arc<str>);

/// The longest type in bytes: it stands in the head of each part, which readers bound.
const MOST_BYTES: usize = 1000;

impl Media {
    /// The type of a line of text.
    pub const TEXT: &'static str = "text/plain; charset=utf-8";

    /// Parses a type such as `image/png` or `text/plain; charset=utf-8` (RFC 9110, section 8.3.1).
    ///
    /// # Errors
    /// Describes the mistake: not `type/subtype`, or characters that a header cannot hold.
    pub fn parse(text: &str) -> Result<Self, String> {
        let media: mime_guess::Mime = text.trim().parse().map_err(|_| "it is not of the form type/subtype".to_owned())?;
        if media.type_().as_str().is_empty() || media.subtype().as_str().is_empty() {
            return Err("it is not of the form type/subtype".to_owned());
        }
        if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err("it has characters that a header cannot hold".to_owned());
        }
        if text.len() > MOST_BYTES {
            return Err(format!("it is longer than {MOST_BYTES} bytes"));
        }
        Ok(Self::from_known(if media.params().next().is_some() { text.trim() } else { media.essence_str() }))
    }

    /// A type that is known to be well-formed. `image/jpg` becomes `image/jpeg`: ffmpeg and OpenCV accept no other.
    pub fn from_known(text: &str) -> Self {
        match text {
            "image/jpg" | "image/pjpeg" => Self("image/jpeg".into()),
            "image/x-ms-bmp" => Self("image/bmp".into()),
            _ => Self(text.into()),
        }
    }

    /// Guesses the type of a file from its name and its content. Text gets a charset if its bytes show one.
    pub fn guess(path: &Path, body: &[u8]) -> Self {
        let media = type_of(path, body);
        match charset_of(body).filter(|_| media.starts_with("text/")) {
            Some(charset) => Self(format!("{media}; charset={charset}").into()),
            None => Self::from_known(media),
        }
    }

    /// The type as in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type without its parameters: `text/plain` of `text/plain; charset=utf-8`.
    pub fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim_end()
    }

    /// Whether it is text without a charset other than UTF-8.
    pub fn is_utf8_text(&self) -> bool {
        let charset = self.0.to_ascii_lowercase().split_once("charset=").map(|(_, charset)| charset.trim_matches('"').to_owned());
        self.0.starts_with("text/") && charset.is_none_or(|charset| charset.starts_with("utf-8"))
    }

    /// Whether it is a `text/` type, in whatever charset.
    pub fn is_text(&self) -> bool {
        self.0.starts_with("text/")
    }

    /// Whether it is JSON, or a format made of JSON.
    pub(super) fn is_json(&self) -> bool {
        matches!(self.essence(), "application/json" | "text/json") || self.essence().ends_with("+json")
    }

    /// Whether it is XML, or a format made of XML; SVG, too.
    pub(super) fn is_xml(&self) -> bool {
        matches!(self.essence(), "application/xml" | "text/xml") || self.essence().ends_with("+xml")
    }

    /// Whether it is a `multipart/` type.
    pub fn is_multipart(&self) -> bool {
        self.0.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"))
    }

    /// Whether it is an `image/` type.
    pub fn is_image(&self) -> bool {
        self.0.starts_with("image/")
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_gives_the_type_otherwise_the_content() {
        let guess = |name: &str, body: &[u8]| Media::guess(Path::new(name), body).to_string();
        assert_eq!(guess("a.png", b""), "image/png");
        assert_eq!(guess("a.jpg", b""), "image/jpeg");
        assert_eq!(guess("a.svg", b"<svg/>"), "image/svg+xml");
        assert_eq!(guess("a.txt", "grün".as_bytes()), "text/plain; charset=utf-8");
        assert_eq!(guess("a.txt", b"gr\xfcn"), "text/plain");
        assert_eq!(guess("frame", b"\x89PNG\r\n\x1a\n"), "image/png");
        assert_eq!(guess("frame", b"<?xml version='1.0'?>\n<svg xmlns='x'/>"), "image/svg+xml");
        assert_eq!(guess("notes", b"hello"), "text/plain; charset=utf-8");
        assert_eq!(guess("blob", b"a\0b"), "application/octet-stream");
    }

    #[test]
    fn text_of_another_encoding_is_not_taken_for_utf_8() {
        let is_utf8_text = |media| Media::parse(media).unwrap().is_utf8_text();
        assert!(is_utf8_text("text/plain") && is_utf8_text("text/html; charset=\"UTF-8\"") && is_utf8_text(Media::TEXT));
        assert!(!is_utf8_text("text/plain; charset=iso-8859-1") && !is_utf8_text("image/png"));
    }

    #[test]
    fn a_type_that_a_header_cannot_hold_is_refused() {
        assert!(Media::parse("image/png\r\nX: y").is_err());
        assert!(Media::parse("png").is_err() && Media::parse("text/").is_err() && Media::parse("/png").is_err());
        assert!(Media::parse("text/plain; charset=\u{fc}").is_err());
        assert_eq!(Media::parse("image/jpg").unwrap().as_str(), "image/jpeg");
        assert_eq!(Media::parse("text/plain; charset=latin1").unwrap().as_str(), "text/plain; charset=latin1");
    }
}
