//! Text in wide encodings as the ASCII that markup is made of, the question whether bytes are text at all, and SVG that was
//! compressed. It knows neither markup nor media types.

use std::{borrow::Cow, io::Read};

use flate2::read::MultiGzDecoder;

/// The first bytes of a gzip file (RFC 1952, section 2.3.1).
const GZIP: &[u8] = b"\x1f\x8b";

/// How many bytes a character has, and which of them is the low one.
#[derive(Clone, Copy)]
struct Wide {
    bytes: usize,
    low: usize,
}

/// The encoding that the first bytes show: by a byte order mark, or by the zeros beside the first character, which is ASCII in
/// every kind of markup (RFC 4627, section 3; XML 1.0, appendix F).
fn wide(body: &[u8]) -> Option<Wide> {
    let (bytes, low) = match body {
        [0xff, 0xfe, 0, 0, ..] | [1..=0x7f, 0, 0, 0, ..] => (4, 0),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=0x7f, ..] => (4, 3),
        [0xff, 0xfe, ..] | [1..=0x7f, 0, ..] => (2, 0),
        [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] => (2, 1),
        _ => return None,
    };
    Some(Wide { bytes, low })
}

/// The text with one byte for each character of ASCII, and without a byte order mark. Characters beyond ASCII of UTF-16 and UTF-32
/// become DEL; in other encodings they stay as they are.
pub(super) fn narrow(body: &[u8]) -> Cow<'_, [u8]> {
    let Some(Wide { bytes, low }) = wide(body) else {
        return Cow::Borrowed(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    };
    let narrow = |character: &[u8]| {
        let is_ascii = character.iter().enumerate().all(|(at, byte)| if at == low { *byte < 0x80 } else { *byte == 0 });
        // At the end a character may be cut off.
        if is_ascii && character.len() == bytes { character[low] } else { 0x7f }
    };
    let has_mark = matches!(body, [0xff | 0xfe, ..] | [0, 0, 0xfe, 0xff, ..]);
    Cow::Owned(body.chunks(bytes).skip(usize::from(has_mark)).map(narrow).collect())
}

/// The text of UTF-8, or of UTF-16 with a byte order mark; `None` in other encodings.
pub(super) fn unicode(body: &[u8]) -> Option<Cow<'_, str>> {
    let of_utf_16 = |units: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = units.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok().map(Cow::Owned)
    };
    match body {
        [0xff, 0xfe, units @ ..] => of_utf_16(units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => of_utf_16(units, u16::from_be_bytes),
        _ => std::str::from_utf8(body).ok().map(Cow::Borrowed),
    }
}

/// Whether bytes are text: UTF-8, UTF-16 with a byte order mark, or an encoding that extends ASCII, such as Latin-1.
pub(super) fn is_text(body: &[u8]) -> bool {
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 14..=26 | 28..=31);
    if matches!(body, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return !narrow(body).iter().any(is_control);
    }
    if body.iter().any(is_control) {
        return false;
    }
    match std::str::from_utf8(body) {
        Ok(_) => true,
        // A character may be cut off at the end.
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => true,
        Err(_) => body.iter().filter(|byte| byte.is_ascii()).count() > body.len() / 2,
    }
}

/// What a gzip file holds, if it is whole and holds at most `limit` bytes; `None` for other bytes too.
pub(super) fn gunzip(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    body.starts_with(GZIP).then(|| MultiGzDecoder::new(body).take(limit as u64 + 1).read_to_end(&mut content))?.ok()?;
    (content.len() <= limit).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_text_is_read_as_ascii() {
        let utf_16: Vec<u8> = "\u{feff}<ä/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(&*narrow(&utf_16), b"<\x7f/>");
        let utf_32: Vec<u8> = "<a/>".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        assert_eq!(&*narrow(&utf_32), b"<a/>");
        assert_eq!(&*narrow(b"\xef\xbb\xbf{}"), b"{}");
        assert_eq!(&*narrow(b"\xfc{}"), b"\xfc{}");
    }

    #[test]
    fn text_is_told_from_binary_formats() {
        let utf_16: Vec<u8> = "\u{feff}text\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(is_text("grün".as_bytes()) && is_text(b"gr\xfcn\n") && is_text(b"\x1b[1mred") && is_text(&utf_16) && is_text(b""));
        assert!(!is_text(b"a\0b") && !is_text(b"PK\x03\x04") && !is_text(b"\xff\xfb\x90\x64"));
    }
}
