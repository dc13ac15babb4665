//! Finds where the last lines of a file begin, from its end backwards, in bounded memory and time however large the file is. Pure:
//! it says which bytes to read, and is told of them.

use super::encoding::Encoding;

/// Bytes of one read; reads begin at its multiples.
const CHUNK: u64 = 64 << 10;
/// The most bytes that are searched, as many as a feed of lines holds.
pub(super) const MOST_BYTES: u64 = 32 << 20;

/// A search for the beginning of the last lines.
#[derive(Debug)]
pub(super) struct LastLines {
    encoding: Encoding,
    /// Line starts that are still to be found.
    missing: usize,
    end: u64,
    /// The lowest offset that was searched.
    searched: u64,
    /// The lowest line start that was found.
    start: Option<u64>,
}

impl LastLines {
    /// A search for this many lines before `end`; a last line without its newline counts.
    pub(super) fn before(end: u64, lines: usize, encoding: Encoding) -> Self {
        Self { encoding, missing: lines, end, searched: end, start: None }
    }

    /// The offset and length of the bytes to read next; `None` when the search is over.
    pub(super) fn wanted(&self) -> Option<(u64, usize)> {
        if self.missing == 0 || self.searched == 0 || self.end - self.searched >= MOST_BYTES {
            return None;
        }
        let from = (self.searched - 1) / CHUNK * CHUNK;
        Some((from, (self.searched - from) as usize))
    }

    /// Takes the bytes that were wanted; fewer, if the file became shorter meanwhile.
    pub(super) fn take(&mut self, from: u64, bytes: &[u8]) {
        self.searched = from;
        for at in memchr::memrchr_iter(b'\n', bytes) {
            let Some(next) = self.encoding.line_start(bytes, at).map(|next| from + next as u64) else { continue };
            // A newline at the very end begins no line.
            if next < self.end && self.missing > 0 {
                (self.missing, self.start) = (self.missing - 1, Some(next));
            }
        }
    }

    /// Where the last lines begin. A line that is longer than what is searched begins in its middle.
    pub(super) fn start(&self) -> u64 {
        match self.start {
            Some(start) if self.missing == 0 => start,
            _ if self.searched == 0 => 0,
            start => start.unwrap_or(self.searched),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_lines(file: &[u8], lines: usize, encoding: Encoding) -> &[u8] {
        let mut search = LastLines::before(file.len() as u64, lines, encoding);
        while let Some((from, length)) = search.wanted() {
            search.take(from, &file[from as usize..from as usize + length]);
        }
        &file[search.start() as usize..]
    }

    #[test]
    fn the_last_lines_are_found_with_and_without_a_last_newline() {
        let last = |file: &'static str, lines| std::str::from_utf8(last_lines(file.as_bytes(), lines, Encoding::Utf8)).unwrap();
        assert_eq!(last("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last("a\nb\nc", 2), "b\nc");
        assert_eq!(last("a\n\n\n", 2), "\n\n");
        assert_eq!(last("a\nb\n", 2), "a\nb\n");
        assert_eq!(last("a\nb\n", 9), "a\nb\n");
        assert_eq!(last("\n", 1), "\n");
        assert_eq!(last("", 1), "");
        assert_eq!(last("a\r\nb\r\n", 1), "b\r\n");
    }

    #[test]
    fn lines_across_the_bounds_of_reads_are_found() {
        let line = format!("{}\n", "x".repeat(50_000));
        let file = line.repeat(10);
        for lines in 1..10 {
            assert_eq!(last_lines(file.as_bytes(), lines, Encoding::Utf8).len(), lines * line.len());
        }
    }

    #[test]
    fn the_search_ends_however_large_the_file_and_its_lines_are() {
        let file = vec![b'x'; 2 * MOST_BYTES as usize];
        assert!(last_lines(&file, 10, Encoding::Utf8).len() as u64 <= MOST_BYTES + CHUNK);
        let file = "a line\n".repeat(10 << 20).into_bytes();
        let found = last_lines(&file, usize::MAX, Encoding::Utf8);
        assert!(found.starts_with(b"a line\n") && found.len() as u64 <= MOST_BYTES + CHUNK);
    }

    #[test]
    fn lines_of_utf16_are_found_at_whole_characters() {
        // U+0A0A and U+0A00 hold the byte of a newline.
        let text = "\u{feff}one\ntw\u{a0a}\u{a00}o\nthree\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let expected: Vec<u16> = "tw\u{a0a}\u{a00}o\nthree\n".encode_utf16().collect();
        let found = last_lines(&little, 2, Encoding::Utf16Le);
        assert_eq!(found, expected.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>());
        let found = last_lines(&big, 2, Encoding::Utf16Be);
        assert_eq!(found, expected.iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<_>>());
    }
}
