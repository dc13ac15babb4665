//! The rule for the end of a body, as the argument of `--split`. It parses the rule, and splits nothing.

use crate::format::Media;

/// A format of text in which a document has an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    /// SVG and other XML.
    Xml,
    /// HTML.
    Html,
    /// JSON: objects and arrays.
    Json,
}

impl Markup {
    /// The format of documents of this type, if it is one of them.
    pub fn of(media: &Media) -> Option<Self> {
        match media.essence().to_ascii_lowercase().as_str() {
            "text/html" => Some(Self::Html),
            "application/json" | "text/json" => Some(Self::Json),
            essence if essence.ends_with("+json") => Some(Self::Json),
            essence if essence.ends_with("+xml") || essence.ends_with("/xml") => Some(Self::Xml),
            _ => None,
        }
    }
}

/// The rule for the end of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// By the first bytes: as JPEG, PNG, multipart, SVG or HTML, otherwise at line ends.
    Auto,
    /// At the end of each document. `is_recognized`: its first bytes show its type, not the user.
    Documents {
        /// The format of the documents.
        markup: Markup,
        /// As above.
        is_recognized: bool,
    },
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
    /// At the end of each part of a multipart stream, with this boundary if it is known.
    Multipart(Option<String>),
    /// At these bytes.
    Separator(Vec<u8>),
}

impl Split {
    /// Parses one of the words, or a separator with `\n`, `\r`, `\t`, `\0`, `\\` and `\x1e` in it.
    ///
    /// # Errors
    /// Describes the mistake.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Auto,
            "lines" => Self::Lines,
            "nul" => Self::Nul,
            "blank" => Self::Blank,
            "jpeg" => Self::Jpeg,
            "png" => Self::Png,
            "multipart" => Self::Multipart(None),
            "" => return Err("a separator has at least one character".to_owned()),
            // As a separator, a misspelt word would never occur in the input.
            _ if text.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                return Err(format!(
                    "it is none of auto, lines, nul, blank, jpeg, png and multipart; a word as a separator takes its line end \
                     along, as in '{text}\\n'"
                ));
            }
            _ => Self::Separator(unescape(text)?),
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
