//! Cuts a pipe into bodies. Read sizes make no difference to what comes out, and memory stays bounded.

use bytes::Bytes;

/// What stands at the end of a line that was cut.
const CUT: &str = " … [cut by mxr: the line is longer than --max-part]";

/// Newline-delimited lines.
#[derive(Debug)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    limit: usize,
    /// Whether the rest of an over-long line is being skipped.
    skipping: bool,
    /// Whether bytes that are not UTF-8 become U+FFFD.
    is_text: bool,
}

impl Lines {
    /// Lines of at most `limit` bytes.
    pub(super) fn new(limit: usize, is_text: bool) -> Self {
        Self { rest: Vec::new(), limit: limit.saturating_sub(CUT.len()).max(1), skipping: false, is_text }
    }

    /// Takes what was read and adds the lines that it completes.
    pub(super) fn push(&mut self, data: &[u8], lines: &mut Vec<Bytes>) {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', data) {
            self.extend(&data[from..end], lines);
            if !std::mem::take(&mut self.skipping) {
                lines.push(self.line());
            }
            from = end + 1;
        }
        self.extend(&data[from..], lines);
    }

    /// The last line, where it has no newline.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        (!self.rest.is_empty()).then(|| self.line())
    }

    fn extend(&mut self, data: &[u8], lines: &mut Vec<Bytes>) {
        if self.skipping {
            return;
        }
        let room = self.limit - self.rest.len();
        self.rest.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            let mut line = self.line().to_vec();
            line.extend_from_slice(CUT.as_bytes());
            lines.push(line.into());
            self.skipping = true;
        }
    }

    /// An empty line stays one: as a newline, since a part without a byte breaks readers.
    fn line(&mut self) -> Bytes {
        let line = self.rest.strip_suffix(b"\r").unwrap_or(&self.rest);
        let bytes = match line {
            [] => Bytes::from_static(b"\n"),
            line if self.is_text => String::from_utf8_lossy(line).into_owned().into(),
            line => Bytes::copy_from_slice(line),
        };
        self.rest.clear();
        if self.rest.capacity() > 1 << 20 {
            self.rest = Vec::new();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(input: &[u8], limit: usize, read: usize) -> Vec<String> {
        let (mut lines, mut found) = (Lines::new(limit, true), Vec::new());
        input.chunks(read).for_each(|data| lines.push(data, &mut found));
        found.extend(lines.finish());
        found.iter().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
    }

    #[test]
    fn lines_are_the_same_whatever_the_read_sizes() {
        let input = "a\n\nb\r\ngr\u{fc}n\nlast".as_bytes();
        for read in [1, 2, 3, 7, input.len()] {
            assert_eq!(lines_of(input, 1000, read), ["a", "\n", "b", "grün", "last"], "{read}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_cut_visibly_and_the_rest_skipped() {
        let input = [&b"ok\n"[..], &[b'x'; 500], b"\nnext\n"].concat();
        for read in [1, 2, 7, input.len()] {
            let lines = lines_of(&input, 100, read);
            assert_eq!(lines.len(), 3, "{read}");
            assert!(lines[1].starts_with("xxx") && lines[1].ends_with(CUT) && lines[1].len() <= 100, "{lines:?}");
            assert_eq!(lines[2], "next");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_such() {
        assert_eq!(lines_of(b"a\xffb\n", 100, 1), ["a\u{fffd}b"]);
    }
}
