//! Splits text at the ends of lines, paragraphs or separators. It knows nothing of pictures or media types.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;

use super::splitter::{Makes, PartStamp, RawPart, Splitter};

/// The end of a piece that was truncated.
const CUT: &str = " … [cut by mxr: longer than --max-part]";
/// The buffer size in bytes above which unused memory is freed.
const MAX_IDLE_BUFFER: usize = 1 << 20;

/// The rule for the end of a piece.
#[derive(Debug)]
pub(super) enum Ends {
    /// At a line end. An empty line is a piece.
    Line,
    /// At a NUL.
    Nul,
    /// At one or more empty lines.
    Blank,
    /// At these bytes.
    Separator(Box<memmem::Finder<'static>>),
}

impl Ends {
    pub(super) fn separator(separator: &[u8]) -> Self {
        Self::Separator(Box::new(memmem::Finder::new(separator).into_owned()))
    }

    /// The length of the first piece and the offset of the next. It searches from `from` on; there is no end before that.
    fn next(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        match self {
            Self::Line => {
                let end = from + memchr::memchr(b'\n', &bytes[from..])?;
                Some((without_cr(&bytes[..end]), end + 1))
            }
            Self::Nul => {
                let end = from + memchr::memchr(0, &bytes[from..])?;
                Some((end, end + 1))
            }
            Self::Blank => {
                let is_blank = |line_end: &usize| matches!(bytes[..*line_end], [] | [.., b'\n'] | [b'\r'] | [.., b'\n', b'\r']);
                let end = memchr::memchr_iter(b'\n', &bytes[from..]).map(|ahead| from + ahead).find(is_blank)?;
                Some((without_line_ends(&bytes[..end]), end + 1))
            }
            Self::Separator(finder) => {
                let end = from + finder.find(&bytes[from..])?;
                Some((end, end + finder.needle().len()))
            }
        }
    }

    /// The most bytes of an incomplete end at the end of a read.
    fn overlap(&self) -> usize {
        match self {
            Self::Line => 1,
            Self::Nul => 0,
            Self::Blank => 3,
            Self::Separator(finder) => finder.needle().len() - 1,
        }
    }

    /// The offset to search from when more bytes follow this many, in which no end was found.
    fn resume(&self, bytes: usize) -> usize {
        match self {
            Self::Separator(_) => bytes.saturating_sub(self.overlap()),
            _ => bytes,
        }
    }
}

fn without_cr(line: &[u8]) -> usize {
    line.strip_suffix(b"\r").unwrap_or(line).len()
}

fn without_line_ends(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1)
}

/// Splits text.
#[derive(Debug)]
pub(super) struct Text {
    ends: Ends,
    /// The beginning of a piece whose end has not come.
    rest: Vec<u8>,
    /// Bytes of it in which no end was found.
    searched: usize,
    limit: usize,
    /// Whether the rest of an over-long piece is being skipped.
    skipping: bool,
    /// Whether bytes that are not UTF-8 become U+FFFD.
    is_text: bool,
}

impl Text {
    /// A splitter for pieces of at most `limit` bytes.
    pub(super) fn new(ends: Ends, limit: usize, is_text: bool) -> Self {
        Self { ends, rest: Vec::new(), searched: 0, limit, skipping: false, is_text }
    }

    /// The body of a piece; `None` for an empty one. An empty line becomes a newline, since a part without a byte breaks readers
    /// (docs/field.md, Players and readers).
    fn body(&self, piece: &[u8], is_cut: bool) -> Option<RawPart> {
        let kept = &piece[..piece.len().min(self.limit)];
        let bytes = if self.is_text { to_utf8(kept) } else { Cow::Borrowed(kept) };
        let bytes = match &bytes[..] {
            [] if matches!(self.ends, Ends::Line) => Bytes::from_static(b"\n"),
            [] => return None,
            _ if !is_cut && piece.len() <= self.limit && bytes.len() <= self.limit => match bytes {
                Cow::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
                Cow::Owned(bytes) => bytes.into(),
            },
            long => {
                let room = self.limit.saturating_sub(CUT.len()).min(long.len());
                let is_inside = |at: &usize| self.is_text && long.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
                let end = (0..=room).rev().find(|at| !is_inside(at)).unwrap_or(0);
                [&long[..end], CUT.as_bytes()].concat().into()
            }
        };
        Some(RawPart { media: None, bytes, class: None, stamp: PartStamp::default() })
    }
}

/// The bytes as UTF-8, with U+FFFD for invalid ones.
fn to_utf8(bytes: &[u8]) -> Cow<'_, [u8]> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

impl Splitter for Text {
    fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>) {
        self.rest.extend_from_slice(data);
        let mut start = 0;
        while let Some((length, next)) = self.ends.next(&self.rest[start..], self.searched) {
            if !std::mem::take(&mut self.skipping) {
                // As if the bytes came one by one: line ends that are stripped count, too.
                let is_cut = next > self.limit + self.ends.overlap() + 1 && matches!(self.ends, Ends::Blank);
                let length = if is_cut { next - 1 } else { length };
                bodies.extend(self.body(&self.rest[start..start + length], is_cut));
            }
            start += next;
            self.searched = 0;
        }
        let open = self.rest.len() - start;
        let is_long = open > self.limit + self.ends.overlap();
        if is_long && !std::mem::replace(&mut self.skipping, true) {
            bodies.extend(self.body(&self.rest[start..], true));
        }
        // Of skipped bytes it has to keep only the beginning of an end.
        let kept = if self.skipping { open.min(self.ends.overlap()) } else { open };
        self.rest.drain(..self.rest.len() - kept);
        self.searched = self.ends.resume(kept);
        if self.rest.capacity() > MAX_IDLE_BUFFER && kept < MAX_IDLE_BUFFER / 2 {
            self.rest.shrink_to(MAX_IDLE_BUFFER / 2);
        }
    }

    fn finish(&mut self, bodies: &mut Vec<RawPart>) {
        let rest = std::mem::take(&mut self.rest);
        self.searched = 0;
        let length = match self.ends {
            Ends::Line => without_cr(&rest),
            Ends::Blank => without_line_ends(&rest),
            Ends::Nul | Ends::Separator(_) => rest.len(),
        };
        if !std::mem::take(&mut self.skipping) && !rest.is_empty() {
            bodies.extend(self.body(&rest[..length], false));
        }
    }

    fn makes(&self) -> Option<Makes> {
        Some(Makes::Text)
    }

    fn refused(&self) -> u64 {
        0
    }

    fn pending(&self) -> usize {
        if self.skipping { 0 } else { self.rest.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces, which must not depend on read sizes.
    #[track_caller]
    fn pieces(ends: impl Fn() -> Ends, input: &[u8], limit: usize) -> Vec<String> {
        let cut = |read: usize| {
            let (mut text, mut bodies) = (Text::new(ends(), limit, true), Vec::new());
            for data in input.chunks(read) {
                text.push(data, &mut bodies);
                assert!(text.rest.len() <= limit + 8, "{} bytes are held", text.rest.len());
            }
            text.finish(&mut bodies);
            bodies.iter().map(|body| String::from_utf8(body.bytes.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        let expected = cut(input.len());
        for read in [1, 2, 3, 7] {
            assert_eq!(cut(read), expected, "in pieces of {read}");
        }
        expected
    }

    #[test]
    fn lines_end_at_line_ends_and_empty_ones_stay() {
        assert_eq!(
            pieces(|| Ends::Line, "a\n\nb\r\ngr\u{fc}n\r\n\r\nlast".as_bytes(), 1000),
            ["a", "\n", "b", "grün", "\n", "last"]
        );
    }

    #[test]
    fn names_of_find_print0_end_at_nul() {
        assert_eq!(pieces(|| Ends::Nul, b"./a b\0./c\nd\r\0\0./e", 1000), ["./a b", "./c\nd\r", "./e"]);
    }

    #[test]
    fn paragraphs_end_at_empty_lines() {
        assert_eq!(pieces(|| Ends::Blank, b"\n\na\nb\n\n\n\nc\r\nd\r\n\r\n\r\n \n\ne\n", 1000), ["a\nb", "c\r\nd", " ", "e"]);
    }

    #[test]
    fn documents_end_at_their_separator() {
        let yaml = || Ends::separator(b"\n---\n");
        assert_eq!(pieces(yaml, b"a: 1\n---\nb: 2\n--\n---\n\n---\nc\n---", 1000), ["a: 1", "b: 2\n--", "c\n---"]);
        assert_eq!(pieces(|| Ends::separator(b"\x1e"), b"\x1e{\"a\":1}\n\x1e{\"b\":2}\n", 1000), ["{\"a\":1}\n", "{\"b\":2}\n"]);
        assert_eq!(pieces(|| Ends::separator(b"aab"), b"aaabxaaaab", 1000), ["a", "xaa"]);
    }

    #[test]
    fn a_piece_over_the_limit_is_truncated_with_a_mark_and_the_rest_skipped() {
        for (ends, end) in [("line", "\n"), ("nul", "\0"), ("blank", "\r\n\r\n"), ("separator", "\n---\n")] {
            let ends = || match ends {
                "line" => Ends::Line,
                "nul" => Ends::Nul,
                "blank" => Ends::Blank,
                _ => Ends::separator(b"\n---\n"),
            };
            let input = ["ok", &"x".repeat(100), &"y".repeat(101), &"ü".repeat(300), "next"].join(end);
            let pieces = pieces(ends, input.as_bytes(), 100);
            assert_eq!(pieces.len(), 5, "{pieces:?}");
            assert_eq!((pieces[0].as_str(), pieces[1].as_str(), pieces[4].as_str()), ("ok", "x".repeat(100).as_str(), "next"));
            assert!(pieces[2..4].iter().all(|piece| piece.ends_with(CUT) && piece.len() <= 100), "{pieces:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_within_the_limit() {
        assert_eq!(pieces(|| Ends::Line, b"a\xffb\n", 100), ["a\u{fffd}b"]);
        let cut = pieces(|| Ends::Line, &[&[0xff; 90][..], b"\n"].concat(), 100);
        assert!(cut[0].len() <= 100 && cut[0].ends_with(CUT), "{cut:?}");
    }
}
