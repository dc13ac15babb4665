//! Finds delimiters as cameras write them. RFC 2046 has `CRLF--B`; in practice `B` comes with two dashes more or fewer than its
//! `boundary=` says, after a bare LF, with padding, or with the first header on the same line (docs/field.md, Players and readers).
//! It works on slices, and knows neither header values nor bodies.

use memchr::memmem;

use super::{
    headers::{Start, starts_with_name},
    oddity::{Marks, Oddity},
};

/// The most dashes before the token, and the most white space after it.
const MAX_PADDING: usize = 64;
/// The longest line, in bytes, that can be a delimiter whose token is not known.
const MAX_LINE: usize = 200;

/// The delimiter of one stream.
#[derive(Debug)]
pub(super) struct Delimiter {
    token: Option<memmem::Finder<'static>>,
    /// Dashes with which the boundary was announced.
    announced: Option<usize>,
    /// Dashes that it needs: none at first, two once it was seen with them.
    dashes: usize,
}

/// A delimiter, as offsets: of its first byte, and of the first byte after its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_close: bool,
}

/// The result of a look at one offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Delimiter(Found),
    Other,
    /// More bytes are needed to tell.
    Unsure,
}

impl Delimiter {
    /// The delimiter of a `boundary=` parameter, whose leading dashes are ignored; without one, or with one that cannot stand on a
    /// line, the first `--…` line is the delimiter.
    pub(super) fn new(boundary: Option<&str>) -> Self {
        let boundary = boundary.map(str::trim).unwrap_or_default();
        let token = Some(boundary.trim_start_matches('-')).filter(|token| !token.is_empty() && token.bytes().all(is_printable));
        let announced = token.map(|token| boundary.len() - token.len());
        Self { token: token.map(finder), announced, dashes: 0 }
    }

    /// Whether the response has said what it is.
    pub(super) fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// The most bytes that a delimiter occupies, so that a search has to keep no more.
    pub(super) fn max_len(&self) -> usize {
        self.token.as_ref().map_or(MAX_LINE, |token| token.needle().len() + 2 * MAX_PADDING + 8)
    }

    /// Takes the spelling of a delimiter that was found as the only one.
    pub(super) fn learn(&mut self, bytes: &[u8], found: Found) {
        let line = &bytes[found.start..found.end];
        if self.token.is_none() {
            self.token = token_of(line).map(finder);
        }
        self.dashes = if line.starts_with(b"--") { 2 } else { 0 };
    }

    /// Marks what is odd about a delimiter, once it is learnt.
    pub(super) fn mark(&self, bytes: &[u8], found: Found, marks: &mut Marks) {
        let line = &bytes[found.start..found.end];
        let dashes = line.iter().take_while(|byte| **byte == b'-').count();
        if let Some(announced) = self.announced {
            marks.add_if(dashes < 2, Oddity::DashesMissing);
            marks.add_if((2..announced + 2).contains(&dashes), Oddity::DashesInBoundary);
            marks.add_if(dashes > announced + 2, Oddity::DashesExtra);
        }
        if found.is_close {
            return;
        }
        let token = self.token.as_ref().map_or(0, |token| token.needle().len());
        marks.add_if(matches!(line.get(dashes + token), Some(b' ' | b'\t')), Oddity::SpacesAfterDelimiter);
        let has_line_end = line.ends_with(b"\n");
        marks.add_if(has_line_end && !line.ends_with(b"\r\n"), Oddity::LfLineEnds);
        marks.add_if(!has_line_end && found.end < bytes.len(), Oddity::HeaderOnDelimiterLine);
    }

    /// The first delimiter at or after `from`, or the offset to search from once there are more bytes.
    /// `starts_line`: whether the first of the bytes begins a line.
    pub(super) fn find(&self, bytes: &[u8], from: usize, starts_line: bool, is_end: bool) -> Result<Found, usize> {
        let dashes = memmem::Finder::new(b"--");
        let finder = self.token.as_ref().unwrap_or(&dashes);
        let mut from = from;
        while let Some(ahead) = finder.find(&bytes[from.min(bytes.len())..]) {
            let at = from + ahead;
            let start = if self.token.is_some() { at - dashes_before(&bytes[..at]) } else { at };
            if if start == 0 { starts_line } else { bytes[start - 1] == b'\n' } {
                match self.look(bytes, start, is_end) {
                    Look::Delimiter(found) => return Ok(found),
                    Look::Unsure => return Err(at),
                    Look::Other => {}
                }
            }
            from = at + 1;
        }
        Err(from.max((bytes.len() + 1).saturating_sub(finder.needle().len())))
    }

    /// Whether a delimiter stands at `start`, which begins a line.
    pub(super) fn look(&self, bytes: &[u8], start: usize, is_end: bool) -> Look {
        let line = bytes.get(start..).unwrap_or_default();
        let suffix = match &self.token {
            None => look_at_unknown(line, is_end),
            Some(token) => self.look_at(line, token.needle(), is_end),
        };
        match suffix {
            Suffix::Line(end) => Look::Delimiter(Found { start, end: start + end, is_close: false }),
            Suffix::Close(end) => Look::Delimiter(Found { start, end: start + end, is_close: true }),
            Suffix::Other => Look::Other,
            Suffix::Unsure if is_end => Look::Other,
            Suffix::Unsure => Look::Unsure,
        }
    }

    fn look_at(&self, line: &[u8], token: &[u8], is_end: bool) -> Suffix {
        let dashes = line.iter().take_while(|byte| **byte == b'-').count();
        let rest = &line[dashes..];
        if dashes > MAX_PADDING {
            Suffix::Other
        } else if rest.len() < token.len() && token.starts_with(rest) {
            Suffix::Unsure
        } else if dashes < self.dashes || !rest.starts_with(token) {
            Suffix::Other
        } else {
            suffix_of(&rest[token.len()..], is_end).shifted(dashes + token.len())
        }
    }
}

fn finder(token: &str) -> memmem::Finder<'static> {
    memmem::Finder::new(token.as_bytes()).into_owned()
}

fn is_printable(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte)
}

fn dashes_before(bytes: &[u8]) -> usize {
    bytes.iter().rev().take(MAX_PADDING + 1).take_while(|byte| **byte == b'-').count()
}

/// The bytes after a token, with the offset where the delimiter ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suffix {
    Line(usize),
    Close(usize),
    Other,
    Unsure,
}

impl Suffix {
    fn shifted(self, by: usize) -> Self {
        match self {
            Self::Line(end) => Self::Line(end + by),
            Self::Close(end) => Self::Close(end + by),
            other => other,
        }
    }
}

fn suffix_of(rest: &[u8], is_end: bool) -> Suffix {
    let padding = rest.iter().take(MAX_PADDING).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match &rest[padding..] {
        [] | [b'\r'] if is_end => Suffix::Line(rest.len()),
        [] | [b'\r'] => Suffix::Unsure,
        [b'\n', ..] => Suffix::Line(padding + 1),
        [b'\r', b'\n', ..] => Suffix::Line(padding + 2),
        [b'-', b'-', ..] if padding == 0 => Suffix::Close(2),
        [b'-'] if padding == 0 => Suffix::Unsure,
        // `--jpgboundaryContent-type: image/jpeg`, from servers in Python 2.
        header if padding == 0 => match starts_with_name(header) {
            Start::Yes => Suffix::Line(0),
            Start::No => Suffix::Other,
            Start::Unsure => Suffix::Unsure,
        },
        _ => Suffix::Other,
    }
}

/// Whether a line is `--token`, with any token.
fn look_at_unknown(line: &[u8], is_end: bool) -> Suffix {
    let shown = &line[..line.len().min(MAX_LINE)];
    let end = memchr::memchr(b'\n', shown).map(|at| at + 1);
    match end.or(is_end.then_some(shown.len())) {
        _ if !shown.starts_with(&b"--"[..shown.len().min(2)]) => Suffix::Other,
        None if shown.len() < MAX_LINE => Suffix::Unsure,
        None => Suffix::Other,
        Some(end) => match token_of(&shown[..end]) {
            None => Suffix::Other,
            Some(token) => {
                let (dashes, token) = (shown.iter().take_while(|byte| **byte == b'-').count(), token.len());
                suffix_of(&shown[dashes + token..end], true).shifted(dashes + token)
            }
        },
    }
}

/// The token of a delimiter line, without the dashes of a close-delimiter or a header that follows it.
fn token_of(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.trim_ascii_end()).ok()?;
    let token = line.trim_start_matches('-');
    let header = token.to_ascii_lowercase().find("content-").unwrap_or(token.len());
    let token = token[..header].trim_end_matches("--");
    (!token.is_empty() && token.bytes().all(is_printable)).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(start: usize, end: usize, is_close: bool) -> Look {
        Look::Delimiter(Found { start, end, is_close })
    }

    #[test]
    fn a_line_is_a_delimiter_whatever_its_dashes() {
        for boundary in ["B-1", "--B-1", "----B-1"] {
            let delimiter = Delimiter::new(Some(boundary));
            for (line, end) in [("--B-1\r\n", 7), ("B-1\n", 4), ("----B-1 \t\r\nx", 11), ("-B-1\nx", 5)] {
                assert_eq!(delimiter.look(line.as_bytes(), 0, false), found(0, end, false), "{boundary} {line:?}");
            }
            assert_eq!(delimiter.look(b"--B-1--x", 0, false), found(0, 7, true));
            for line in ["--B-12\r\n", "--B\r\n", "--B-1 x\r\n", "--B-1-x\n", "x--B-1\n"] {
                assert_eq!(delimiter.look(line.as_bytes(), 0, false), Look::Other, "{line:?}");
            }
            for line in ["", "-", "--B", "--B-1", "--B-1\r", "--B-1-", "--B-1 ", "--B-1Conten"] {
                assert_eq!(delimiter.look(line.as_bytes(), 0, false), Look::Unsure, "{line:?}");
            }
        }
    }

    #[test]
    fn a_delimiter_once_seen_with_dashes_needs_them() {
        let mut delimiter = Delimiter::new(Some("frame"));
        assert_eq!(delimiter.find(b"x\nframe\ny\n--frame\n", 0, true, false).map(|found| found.start), Ok(2));
        delimiter.learn(b"--frame\n", Found { start: 0, end: 8, is_close: false });
        assert_eq!(delimiter.find(b"x\nframe\ny\n--frame\n", 0, true, false).map(|found| found.start), Ok(10));
    }

    #[test]
    fn an_unknown_delimiter_is_the_first_line_with_dashes_and_a_token() {
        let delimiter = Delimiter::new(None);
        let first = |bytes: &[u8]| delimiter.find(bytes, 0, true, false).map(|found| (found.start, found.end, found.is_close));
        assert_eq!(first(b"--B\r\nx"), Ok((0, 5, false)));
        assert_eq!(first(b"a --no\n-----\n--video boundary--\r\n"), Ok((13, 31, true)));
        assert_eq!(first(b"--jpgboundaryContent-type: image/jpeg\r\n"), Ok((0, 13, false)));
        assert_eq!(first(b"--no\xff\n"), Err(5));
        assert_eq!(first(&[b'-'; 1000]), Err(999));
    }
}
