//! How the text of a log is encoded, by its first bytes, and UTF-16 made into UTF-8. Windows programs write it, and PowerShell's
//! `>`. It knows no file.

use std::borrow::Cow;

/// How text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8, or whatever else has lines that end with the byte 10.
    Utf8,
    /// UTF-16, the low byte first.
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
}

impl Encoding {
    /// Of a file that begins with these bytes, and how many of them are a byte order mark; `None` if more are needed.
    pub(super) fn of(first: &[u8]) -> Option<(Self, usize)> {
        Some(match first {
            [] | [0xff | 0xfe] | [0xef] | [0xef, 0xbb] => return None,
            [0xff, 0xfe, ..] => (Self::Utf16Le, 2),
            [0xfe, 0xff, ..] => (Self::Utf16Be, 2),
            [0xef, 0xbb, 0xbf, ..] => (Self::Utf8, 3),
            _ => (Self::Utf8, 0),
        })
    }

    /// The place behind the newline whose byte is at this place; `None` if it is no newline. `bytes` begin at an even offset of
    /// the file.
    pub(super) fn line_start(self, bytes: &[u8], at: usize) -> Option<usize> {
        match self {
            Self::Utf8 => Some(at + 1),
            Self::Utf16Le => (at.is_multiple_of(2) && bytes.get(at + 1) == Some(&0)).then_some(at + 2),
            Self::Utf16Be => (!at.is_multiple_of(2) && bytes[at - 1] == 0).then_some(at + 1),
        }
    }
}

/// Makes UTF-8 of the bytes of a file, read by read.
#[derive(Debug)]
pub(super) struct TextDecoder {
    encoding: Encoding,
    /// The beginning of a character whose rest has not come.
    rest: Vec<u8>,
}

impl TextDecoder {
    /// A decoder from the beginning of a character on.
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, rest: Vec::new() }
    }

    /// The text of the bytes of one read. UTF-8 stays as it is, right or wrong.
    pub(super) fn decode<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let unit: fn([u8; 2]) -> u16 = match self.encoding {
            Encoding::Utf8 => return Cow::Borrowed(bytes),
            Encoding::Utf16Le => u16::from_le_bytes,
            Encoding::Utf16Be => u16::from_be_bytes,
        };
        self.rest.extend_from_slice(bytes);
        let mut units: Vec<u16> = self.rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        // The first half of a character outside the basic plane waits for the second.
        units.pop_if(|last| (0xd800..0xdc00).contains(last));
        self.rest.drain(..2 * units.len());
        let characters = char::decode_utf16(units).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER));
        Cow::Owned(characters.collect::<String>().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_encoding() {
        assert_eq!(Encoding::of(b"\xff\xfea\0"), Some((Encoding::Utf16Le, 2)));
        assert_eq!(Encoding::of(b"\xfe\xff\0a"), Some((Encoding::Utf16Be, 2)));
        assert_eq!(Encoding::of("\u{feff}a".as_bytes()), Some((Encoding::Utf8, 3)));
        for first in [&b"a"[..], b"\n", b"\xffa", b"\xef\xbba", b"caf\xe9"] {
            assert_eq!(Encoding::of(first), Some((Encoding::Utf8, 0)));
        }
        for first in [&b""[..], b"\xff", b"\xfe", b"\xef", b"\xef\xbb"] {
            assert_eq!(Encoding::of(first), None);
        }
    }

    #[test]
    fn utf16_becomes_utf8_whatever_the_sizes_of_reads() {
        let text = "grün, \u{1f600} and 漢字\r\n";
        for (encoding, bytes) in [
            (Encoding::Utf16Le, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
            (Encoding::Utf16Be, text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            (Encoding::Utf8, text.as_bytes().to_vec()),
        ] {
            for read in [1, 2, 3, 5, 100] {
                let mut decoder = TextDecoder::new(encoding);
                let decoded: Vec<u8> = bytes.chunks(read).flat_map(|bytes| decoder.decode(bytes).into_owned()).collect();
                assert_eq!(String::from_utf8(decoded).unwrap(), text, "{encoding:?} in reads of {read}");
            }
        }
    }

    #[test]
    fn half_a_character_that_is_alone_is_replaced() {
        let mut decoder = TextDecoder::new(Encoding::Utf16Le);
        let text = [&decoder.decode(b"\x00\xd8")[..], &decoder.decode(b"a\0")].concat();
        assert_eq!(String::from_utf8(text).unwrap(), "\u{fffd}a");
    }
}
