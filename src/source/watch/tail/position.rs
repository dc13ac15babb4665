//! Where the reading of one log stands. Each read begins a little before that, so that a file that grew is told from one that was
//! written anew: sizes alone cannot tell, where a file is truncated and has grown again. Pure: it is told of bytes, and reads none.

/// Bytes before the offset that each read includes.
const OVERLAP: usize = 1024;
/// As many equal bytes show that a file is still the same.
const CONVINCING: usize = 64;

/// Where the reading of one file stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Position {
    offset: u64,
    /// The last bytes before the offset, as they were read.
    before: Vec<u8>,
}

/// What a read showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress<'a> {
    /// These bytes are new.
    Bytes(&'a [u8]),
    /// What was read before is no longer there.
    WrittenAnew,
}

impl Position {
    /// At an offset of a file of which nothing was read.
    pub(super) fn at(offset: u64) -> Self {
        Self { offset, before: Vec::new() }
    }

    /// How far the file was read, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The offset at which the next read begins.
    pub(super) fn read_from(&self) -> u64 {
        self.offset - self.before.len() as u64
    }

    /// The most bytes to read for this many new ones.
    pub(super) fn read_bytes(&self, new: usize) -> usize {
        self.before.len() + new
    }

    /// Takes the bytes of a read from `read_from`.
    pub(super) fn advance<'a>(&mut self, read: &'a [u8]) -> Progress<'a> {
        let same = read.iter().zip(&self.before).take_while(|(now, before)| now == before).count();
        // Some programs overwrite the end of their log, as with the `]` of a JSON array.
        let is_same = same == self.before.len() || (same >= CONVINCING && read.len() >= self.before.len());
        if !is_same {
            return Progress::WrittenAnew;
        }
        let new = &read[same..];
        self.offset = self.read_from() + read.len() as u64;
        if new.len() >= OVERLAP {
            self.before = new[new.len() - OVERLAP..].to_vec();
        } else {
            self.before.truncate(same);
            self.before.extend_from_slice(new);
            self.before.drain(..self.before.len().saturating_sub(OVERLAP));
        }
        Progress::Bytes(new)
    }

    /// Whether another file has, in these bytes from `read_from`, enough of what was read of this one to be its successor: an
    /// editor writes a new file with the old text.
    pub(super) fn is_continued_by(&self, read: &[u8]) -> bool {
        self.before.len() >= CONVINCING && read.starts_with(&self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in memory, and how it is read.
    struct Log {
        bytes: Vec<u8>,
        position: Position,
    }

    impl Log {
        fn holding(text: &str) -> Self {
            let mut log = Self { bytes: text.into(), position: Position::default() };
            assert_eq!(log.look().as_deref(), Some(text));
            log
        }

        /// The new text; `None` if the file was written anew.
        fn look(&mut self) -> Option<String> {
            let read = self.bytes.get(self.position.read_from() as usize..).unwrap_or_default();
            match self.position.advance(read) {
                Progress::Bytes(new) => Some(String::from_utf8(new.to_vec()).unwrap()),
                Progress::WrittenAnew => None,
            }
        }
    }

    #[test]
    fn what_is_appended_is_new_and_nothing_else() {
        let mut log = Log::holding("");
        for length in [1, 0, 30, 2000, 1023, 1024, 1025, 3, 0] {
            let text = "0123456789abcdef".chars().cycle().take(length).collect::<String>();
            log.bytes.extend_from_slice(text.as_bytes());
            assert_eq!(log.look(), Some(text));
            assert_eq!(log.position.offset(), log.bytes.len() as u64);
        }
    }

    #[test]
    fn a_truncated_file_is_written_anew_even_if_it_has_grown_beyond_the_old_end() {
        for anew in ["", "on", "two\n", "two two two\n"] {
            let mut log = Log::holding("one\n");
            log.bytes = anew.into();
            assert_eq!(log.look(), None, "{anew}");
        }
    }

    #[test]
    fn a_log_of_equal_lines_that_became_shorter_is_written_anew() {
        let mut log = Log::holding(&"tick\n".repeat(100));
        log.bytes = "tick\n".repeat(99).into();
        assert_eq!(log.look(), None);
    }

    #[test]
    fn an_end_that_is_overwritten_does_not_bring_back_the_whole_file() {
        let head = "{\"level\":1},\n".repeat(20);
        let mut log = Log::holding(&format!("{head}]"));
        log.bytes = format!("{head}{{\"level\":2}}\n]").into();
        assert_eq!(log.look().as_deref(), Some("{\"level\":2}\n]"));
        log.bytes = format!("{head}{{\"level\":2}},\n{{\"level\":3}}\n]").into();
        assert_eq!(log.look().as_deref(), Some(",\n{\"level\":3}\n]"));
    }

    #[test]
    fn a_copy_with_more_continues_a_file_and_a_short_or_other_one_does_not() {
        let text = "a line of a log\n".repeat(200);
        let log = Log::holding(&text);
        let continues = |other: &str| log.position.is_continued_by(&other.as_bytes()[log.position.read_from() as usize..]);
        assert!(continues(&format!("{text}more")));
        assert!(!continues(&text[..text.len() - 1]) && !continues(&text.replace("log", "Log")));
        assert!(!Log::holding("tick\n").position.is_continued_by(b"tick\n"), "one short line may be another's");
    }
}
