//! Cuts a pipe into bodies. Every way of cutting has one shape: it is fed what was read, and hands bodies out. Read sizes
//! make no difference to what comes out, a body leaves with its last byte, and memory stays bounded.

mod auto;
mod multipart;
mod picture;
mod text;

use bytes::Bytes;

use self::{
    auto::Auto,
    multipart::Multipart,
    picture::PictureSplitter,
    text::{Ends, Text},
};
use crate::format::{ImageClass, JpegScanner, Media, PngScanner};

/// Where a body ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// Wherever the first bytes suggest: as JPEG, PNG or multipart, otherwise at line ends.
    Auto,
    /// At each line end.
    Lines,
    /// At each NUL.
    Nul,
    /// At one or more empty lines.
    Blank,
    /// At a JPEG's end.
    Jpeg,
    /// At a PNG's end.
    Png,
    /// Where the parts of a multipart stream end.
    Multipart,
    /// At these bytes.
    Separator(Vec<u8>),
}

impl Split {
    /// Reads one of the words, or a separator with `\n`, `\r`, `\t`, `\0`, `\\` and `\x1e` in it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Auto,
            "lines" => Self::Lines,
            "nul" => Self::Nul,
            "blank" => Self::Blank,
            "jpeg" => Self::Jpeg,
            "png" => Self::Png,
            "multipart" => Self::Multipart,
            "" => return Err("a separator has at least one character".to_owned()),
            // A misspelt word would otherwise wait for ever for itself.
            _ if text.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                return Err(format!(
                    "it is none of auto, lines, nul, blank, jpeg, png and multipart; a word as a separator takes its line end \
                     along, as in '{text}\\n'"
                ));
            }
            _ => Self::Separator(unescape(text)?),
        })
    }

    /// What cuts so. Text of more than `limit` bytes is cut short, anything else of that size is refused. `is_text`:
    /// bytes of text that are not UTF-8 are to become U+FFFD.
    pub fn splitter(&self, limit: usize, is_text: bool) -> Splitter {
        let text = |ends| Box::new(Text::new(ends, limit, is_text));
        Splitter(match self {
            Self::Auto => Box::new(Auto::new(limit, is_text)),
            Self::Lines => text(Ends::Line),
            Self::Nul => text(Ends::Nul),
            Self::Blank => text(Ends::Blank),
            Self::Separator(separator) => text(Ends::separator(separator)),
            Self::Jpeg => Box::new(PictureSplitter::<JpegScanner>::new(limit)),
            Self::Png => Box::new(PictureSplitter::<PngScanner>::new(limit)),
            Self::Multipart => Box::new(Multipart::new(limit)),
        })
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let code = escape.chars().next();
        rest = code.map_or("", |code| &escape[code.len_utf8()..]);
        bytes.push(match code {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits = rest.get(..2).ok_or("\\x takes two hexadecimal digits")?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits} is no hexadecimal number"))?
            }
            Some(other) => return Err(format!("\\{other} is none of \\n \\r \\t \\0 \\\\ \\x1e")),
            None => return Err("a backslash at the end is written \\\\".to_owned()),
        });
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// One body that was cut out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPart {
    /// What it is, where the cutting told.
    pub media: Option<Media>,
    /// Its bytes, never none.
    pub bytes: Bytes,
    /// Which image decoder takes it, where finding its end told.
    pub class: Option<ImageClass>,
}

/// What a splitter makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// Frames, of which the newest counts.
    Frames,
    /// Text, of which every piece counts.
    Text,
}

/// The shape of everything that cuts.
trait Cut: std::fmt::Debug {
    fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>);
    fn finish(&mut self, bodies: &mut Vec<RawPart>);
    fn makes(&self) -> Option<Makes>;
    fn refused(&self) -> u64;
    fn pending(&self) -> usize;
}

/// Cuts one pipe.
#[derive(Debug)]
pub struct Splitter(Box<dyn Cut + Send>);

impl Splitter {
    /// Takes what was read and adds the bodies that it completes.
    pub fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>) {
        self.0.push(data, bodies);
    }

    /// Takes the end of the pipe, and adds the last body where it needs no end of its own.
    pub fn finish(&mut self, bodies: &mut Vec<RawPart>) {
        self.0.finish(bodies);
    }

    /// What it makes; nobody knows as long as the first bytes have not come that tell.
    pub fn makes(&self) -> Option<Makes> {
        self.0.makes()
    }

    /// Bodies that were too large, broken or cut off.
    pub fn refused(&self) -> u64 {
        self.0.refused()
    }

    /// Bytes in hand of a body whose end has not come.
    pub fn pending(&self) -> usize {
        self.0.pending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_separators_are_read() {
        assert_eq!(Split::parse("jpeg"), Ok(Split::Jpeg));
        let separator = |text: &str| {
            Split::parse(text).map(|split| if let Split::Separator(bytes) = split { bytes } else { panic!("{split:?}") })
        };
        assert_eq!(separator("\\n---\\n").unwrap(), b"\n---\n");
        assert_eq!(separator("\\x1e").unwrap(), b"\x1e");
        assert_eq!(separator("a\\0\\t\\\\n\\r").unwrap(), b"a\0\t\\n\r");
        assert_eq!(separator("END").unwrap(), b"END");
        for wrong in ["", "mjpeg", "\\", "\\q", "\\x1", "\\xzz", "\\xü"] {
            assert!(Split::parse(wrong).is_err(), "{wrong}");
        }
    }
}
