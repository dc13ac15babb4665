//! Whether JSON breaks off: brackets, strings and comments are followed, the grammar is not judged, since readers take NaN, comments,
//! trailing commas and much else. It knows neither media types nor files.

use super::{completeness::Completeness, encoding::narrow};

/// Whether something is open at the end of the text. Several values in a row, as in JSON lines, are a list of which any beginning
/// can be shown.
pub(super) fn json(body: &[u8]) -> Completeness {
    let text = &*narrow(body);
    let Some(end) = scan(text) else { return Completeness::Truncated };
    match end.values {
        0 => Completeness::Truncated,
        1 if end.is_closed => Completeness::Complete,
        1 => Completeness::Unknown,
        _ => Completeness::Readable,
    }
}

/// The end of a text in which nothing is open.
struct End {
    values: usize,
    /// Whether the last value cannot go on: a number can, unless a space is behind it.
    is_closed: bool,
}

/// `None` if a bracket, a string or a comment is open at the end, or a bracket closes what was not opened: the tail of an older
/// text is behind a shorter one.
fn scan(text: &[u8]) -> Option<End> {
    let (mut at, mut open, mut end) = (0, Vec::new(), End { values: 0, is_closed: true });
    while let Some(&byte) = text.get(at) {
        let rest = &text[at..];
        let is_outside = open.is_empty();
        at += match byte {
            b'{' | b'[' => {
                open.push(byte + 2);
                1
            }
            b'}' | b']' => {
                open.pop().filter(|bracket| *bracket == byte)?;
                1
            }
            // JSON5 has strings in single quotes; in a text that is no JSON they are apostrophes.
            b'"' => string(rest)?,
            b'\'' if !is_outside => string(rest)?,
            b'/' if rest.starts_with(b"/*") => memchr::memmem::find(rest, b"*/")? + 2,
            b'#' => line(rest),
            b'/' if rest.starts_with(b"//") => line(rest),
            _ if is_gap(byte) || !is_outside => {
                at += 1;
                continue;
            }
            _ => {
                let length = rest.iter().take_while(|byte| !is_gap(**byte) && !b"{}[]\"".contains(*byte)).count();
                let is_word = [&b"true"[..], b"false", b"null", b"NaN", b"Infinity", b"-Infinity"].contains(&&rest[..length]);
                end = End { values: end.values + 1, is_closed: is_word || length < rest.len() };
                at += length;
                continue;
            }
        };
        let is_value = matches!(byte, b'}' | b']') || (byte == b'"' && is_outside);
        if open.is_empty() && is_value {
            end = End { values: end.values + 1, is_closed: true };
        }
    }
    open.is_empty().then_some(end)
}

/// White space, separators of values (RFC 7464 has a control character), and zeros of a file that was made longer.
fn is_gap(byte: u8) -> bool {
    byte <= b' ' || byte == b',' || byte == b':'
}

fn line(rest: &[u8]) -> usize {
    memchr::memchr(b'\n', rest).unwrap_or(rest.len())
}

/// The length of a string with its quotes.
fn string(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(rest[0], b'\\', rest.get(at..)?)?;
        match rest[at] {
            b'\\' => at += 2,
            _ => return Some(at + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Completeness::{Complete, Readable, Truncated, Unknown};

    #[test]
    fn what_readers_take_for_json_is_complete() {
        for text in [
            &br#"{"a": NaN, "b": [Infinity, 1e999, "\ud83d", 'it"s', "\\"]}"#[..],
            b"// settings\n{\n  \"a\": 4, // {four\n /* [ */ }\n// end",
            b"\xef\xbb\xbf{\"a\": 1}\r\n",
            b"{\"a\": \"gr\xfcn\"}",
            b"\x1e{\"a\":1}\n",
            b"\"text\"",
            b"null",
            b"12\n",
            b"{}\0\0\0",
        ] {
            assert_eq!(json(text), Complete, "{}", text.escape_ascii());
        }
        assert_eq!(json(&[[b'['; 9000], [b']'; 9000]].concat()), Complete);
        let utf_16: Vec<u8> = "\u{feff}{\"ü\": 1}\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(json(&utf_16), Complete);
        assert_ne!(json(&utf_16[..utf_16.len() - 1]), Complete, "half of a character");
    }

    #[test]
    fn values_in_a_row_are_a_list_that_may_go_on() {
        assert_eq!(json(b"{}\n{}\n"), Readable);
        assert_eq!(json(b"\x1e{\"a\":1}\n\x1e{\"a\":2}\n"), Readable);
        assert_eq!(json(b"it is no JSON"), Readable);
        assert_eq!(json(b"12"), Unknown, "the number may have more digits");
    }

    #[test]
    fn a_text_that_breaks_off_or_has_the_tail_of_another_is_truncated() {
        let whole = br#"{"a": [1, "x\"]}", {}], "b": "//"}"#;
        assert!((0..whole.len()).all(|n| json(&whole[..n]) == Truncated));
        for text in [&b""[..], b" \n", b"{}\n{", b"{\"i\": 7}9}", b"[}", b"{} /* and"] {
            assert_eq!(json(text), Truncated, "{}", text.escape_ascii());
        }
    }
}
