//! The last lines of a stream as one document (`--window`). A document is a copy of all its lines, so that of a large window is not
//! made for each read. It decides when, by the clock that it is given, and publishes nothing.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};

/// The most bytes a second that are copied into documents. A document below 64 KB is made for each read; that of 100,000 lines of 100
/// bytes six times a second.
const BYTES_A_SECOND: usize = 64_000_000;
/// Shorter times than this between two documents are none.
const SHORTEST: Duration = Duration::from_millis(1);

/// The last lines.
#[derive(Debug)]
pub(super) struct Window {
    max_lines: usize,
    max_bytes: usize,
    lines: VecDeque<Bytes>,
    bytes: usize,
    /// Whether lines have come since the last document.
    has_news: bool,
    /// When the next document may be made.
    next: Option<Instant>,
}

impl Window {
    /// An empty window of this many lines, in which all of them with their newlines have at most this many bytes.
    pub(super) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self { max_lines, max_bytes, lines: VecDeque::new(), bytes: 0, has_news: false, next: None }
    }

    /// A window of the same size without lines.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.max_lines, self.max_bytes)
    }

    /// Adds a line, in place of the oldest ones.
    pub(super) fn push(&mut self, line: Bytes) {
        let line = if line == "\n" { Bytes::new() } else { line };
        self.has_news = true;
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.lines.len() > self.max_lines || (self.bytes > self.max_bytes && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
        }
    }

    /// When to call `document` if nothing more comes by then.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next.filter(|_| self.has_news)
    }

    /// The document, if lines have come since the last one, and it is due.
    pub(super) fn document(&mut self, now: Instant) -> Option<Bytes> {
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        let pause = Duration::from_secs_f64(self.bytes as f64 / BYTES_A_SECOND as f64);
        self.next = Some(now + pause).filter(|_| pause >= SHORTEST);
        self.last_document()
    }

    /// The document, if lines have come since the last one.
    pub(super) fn last_document(&mut self) -> Option<Bytes> {
        if !std::mem::take(&mut self.has_news) {
            return None;
        }
        let mut document = BytesMut::with_capacity(self.bytes);
        for line in &self.lines {
            document.put_slice(line);
            document.put_u8(b'\n');
        }
        Some(document.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are copied for lines of 100 bytes, one for each read, and the last document.
    fn copied(max_lines: usize, reads: usize, time: Duration) -> (usize, Bytes) {
        let mut window = Window::new(max_lines, usize::MAX);
        (0..max_lines).for_each(|_| window.push(vec![b'x'; 99].into()));
        let (start, mut copied, mut last) = (Instant::now(), 0, Bytes::new());
        for read in 0..=reads {
            window.push(format!("{read:099}").into());
            let now = start + time * u32::try_from(read).unwrap() / u32::try_from(reads).unwrap();
            if let Some(document) = window.document(now) {
                copied += document.len();
                last = document;
            }
        }
        if let Some(due) = window.due() {
            last = window.document(due).unwrap();
        }
        assert_eq!((window.due(), window.last_document()), (None, None));
        (copied, last)
    }

    #[test]
    fn a_large_window_is_copied_at_a_bounded_rate_and_its_last_state_comes_without_a_further_line() {
        let (bytes, last) = copied(100_000, 8000, Duration::from_secs(4));
        // A document for each read would be 80 GB.
        assert!((20 * 10_000_000..=27 * 10_000_000).contains(&bytes), "{bytes} bytes");
        assert_eq!((last.len(), last.ends_with(b"8000\n")), (10_000_000, true));
    }

    #[test]
    fn a_small_window_is_a_document_after_each_read() {
        let (bytes, last) = copied(20, 8000, Duration::from_secs(4));
        assert_eq!((bytes, last.len()), (8001 * 2000, 2000));
    }
}
