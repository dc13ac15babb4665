//! Finds delimiters as cameras write them. RFC 2046 has `CRLF--B`; in the field `B` comes with two dashes more or less
//! than its `boundary=` says, behind LF alone, with padding, or with the first header on the same line.

use memchr::memmem;

use super::headers::{Start, starts_with_name};

/// Dashes in front of the token at most, and white space behind it.
const MOST: usize = 64;
/// The longest line that can be a delimiter whose token is not known.
const LONGEST: usize = 200;

/// The delimiter of one stream.
#[derive(Debug)]
pub(super) struct Delimiter {
    token: Option<memmem::Finder<'static>>,
    /// Dashes without which it is none: none at first, two as soon as it was seen with them.
    dashes: usize,
}

/// A delimiter, as offsets: its first byte, and what follows its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_close: bool,
}

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Delimiter(Found),
    Other,
    /// More bytes are needed to tell.
    Unsure,
}

impl Delimiter {
    /// That of a `boundary=` parameter, whose dashes in front count for nothing; without one, or with one that no
    /// line can show, the first `--…` line is taken.
    pub(super) fn new(boundary: Option<&str>) -> Self {
        let token = boundary.map(|boundary| boundary.trim().trim_start_matches('-'));
        let token = token.filter(|token| !token.is_empty() && token.bytes().all(is_printable));
        Self { token: token.map(finder), dashes: 0 }
    }

    /// Bytes that a delimiter occupies at most, so that who looks for one has to keep no more.
    pub(super) fn reach(&self) -> usize {
        self.token.as_ref().map_or(LONGEST, |token| token.needle().len() + 2 * MOST + 8)
    }

    /// Takes the spelling of one that was met for the only one.
    pub(super) fn learn(&mut self, bytes: &[u8], found: Found) {
        let line = &bytes[found.start..found.end];
        if self.token.is_none() {
            self.token = token_of(line).map(finder);
        }
        self.dashes = if line.starts_with(b"--") { 2 } else { 0 };
    }

    /// The first delimiter at or behind `from`, or the offset from which to look when there are more bytes.
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

    /// What stands at `start`, which begins a line.
    pub(super) fn look(&self, bytes: &[u8], start: usize, is_end: bool) -> Look {
        let line = bytes.get(start..).unwrap_or_default();
        let behind = match &self.token {
            None => look_at_unknown(line, is_end),
            Some(token) => self.look_at(line, token.needle(), is_end),
        };
        match behind {
            Behind::Line(end) => Look::Delimiter(Found { start, end: start + end, is_close: false }),
            Behind::Close(end) => Look::Delimiter(Found { start, end: start + end, is_close: true }),
            Behind::Other => Look::Other,
            Behind::Unsure if is_end => Look::Other,
            Behind::Unsure => Look::Unsure,
        }
    }

    fn look_at(&self, line: &[u8], token: &[u8], is_end: bool) -> Behind {
        let dashes = line.iter().take_while(|byte| **byte == b'-').count();
        let rest = &line[dashes..];
        match () {
            () if dashes > MOST => Behind::Other,
            () if rest.len() < token.len() && token.starts_with(rest) => Behind::Unsure,
            () if dashes < self.dashes || !rest.starts_with(token) => Behind::Other,
            () => behind(&rest[token.len()..], is_end).moved(dashes + token.len()),
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
    bytes.iter().rev().take(MOST + 1).take_while(|byte| **byte == b'-').count()
}

/// What follows a token, up to the end of what belongs to the delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Line(usize),
    Close(usize),
    Other,
    Unsure,
}

impl Behind {
    fn moved(self, by: usize) -> Self {
        match self {
            Self::Line(end) => Self::Line(end + by),
            Self::Close(end) => Self::Close(end + by),
            other => other,
        }
    }
}

fn behind(rest: &[u8], is_end: bool) -> Behind {
    let padding = rest.iter().take(MOST).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match &rest[padding..] {
        [] | [b'\r'] if is_end => Behind::Line(rest.len()),
        [] | [b'\r'] => Behind::Unsure,
        [b'\n', ..] => Behind::Line(padding + 1),
        [b'\r', b'\n', ..] => Behind::Line(padding + 2),
        [b'-', b'-', ..] if padding == 0 => Behind::Close(2),
        [b'-'] if padding == 0 => Behind::Unsure,
        // `--jpgboundaryContent-type: image/jpeg`, of many a Python 2 server.
        header if padding == 0 => match starts_with_name(header) {
            Start::Yes => Behind::Line(0),
            Start::No => Behind::Other,
            Start::Unsure => Behind::Unsure,
        },
        _ => Behind::Other,
    }
}

/// A whole line `--token`, where any token will do.
fn look_at_unknown(line: &[u8], is_end: bool) -> Behind {
    let shown = &line[..line.len().min(LONGEST)];
    let end = memchr::memchr(b'\n', shown).map(|at| at + 1);
    match end.or(is_end.then_some(shown.len())) {
        _ if !shown.starts_with(&b"--"[..shown.len().min(2)]) => Behind::Other,
        None if shown.len() < LONGEST => Behind::Unsure,
        None => Behind::Other,
        Some(end) => match token_of(&shown[..end]) {
            None => Behind::Other,
            Some(token) => {
                let (dashes, token) = (shown.iter().take_while(|byte| **byte == b'-').count(), token.len());
                behind(&shown[dashes + token..end], true).moved(dashes + token)
            }
        },
    }
}

/// The token of a delimiter line, without the dashes of a close-delimiter or a header that stands behind it.
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
    fn once_seen_with_dashes_it_has_them() {
        let mut delimiter = Delimiter::new(Some("frame"));
        assert_eq!(delimiter.find(b"x\nframe\ny\n--frame\n", 0, true, false).map(|found| found.start), Ok(2));
        delimiter.learn(b"--frame\n", Found { start: 0, end: 8, is_close: false });
        assert_eq!(delimiter.find(b"x\nframe\ny\n--frame\n", 0, true, false).map(|found| found.start), Ok(10));
    }

    #[test]
    fn an_unknown_one_is_the_first_line_with_dashes_and_a_token() {
        let delimiter = Delimiter::new(None);
        let first = |bytes: &[u8]| delimiter.find(bytes, 0, true, false).map(|found| (found.start, found.end, found.is_close));
        assert_eq!(first(b"--B\r\nx"), Ok((0, 5, false)));
        assert_eq!(first(b"a --no\n-----\n--video boundary--\r\n"), Ok((13, 31, true)));
        assert_eq!(first(b"--jpgboundaryContent-type: image/jpeg\r\n"), Ok((0, 13, false)));
        assert_eq!(first(b"--no\xff\n"), Err(5));
        assert_eq!(first(&[b'-'; 1000]), Err(999));
    }
}
