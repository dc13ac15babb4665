//! Splits a multipart stream into parts, even one that was written carelessly: by `Content-Length` if it is right, by the end mark
//! of a picture, otherwise by the next delimiter. The caller pushes bytes as they arrive; this module does no I/O.
//!
//! ```text
//!   Between ──delimiter──▶ Head ──blank line──▶ Body ──length, end mark or delimiter──▶ a part, and Between again
//! ```
//!
//! The result never depends on the sizes of the reads: each decision waits for the bytes that it needs. Every byte is examined a
//! fixed number of times, and the buffer holds at most one part and one read.

mod delimiter;
mod headers;
#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes, BytesMut};

pub use self::headers::{BlockLook, HeaderBlock, Headers, boundary_of, look_for_headers};
use self::{
    delimiter::{Delimiter, Look},
    headers::{Start, starts_as_header, starts_with_name},
};
use crate::format::{PictureScanner, Scan};

/// The limits of a decoder.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of one part's headers.
    pub header_bytes: usize,
    /// Header lines of one part.
    pub headers: usize,
    /// Bytes of one body.
    pub body_bytes: usize,
}

impl Bounds {
    /// Bodies of at most this many bytes, and headers that no sender exceeds (dicer and Go stop at 80 KiB and at 10,000 lines).
    pub fn bodies(body_bytes: usize) -> Self {
        Self { header_bytes: 16 << 10, headers: 100, body_bytes }
    }
}

/// A part as it was received; its body is never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Its headers.
    pub headers: Headers,
    /// Its bytes.
    pub body: Bytes,
    /// Whether a delimiter, a length or an end mark ends the body; otherwise the stream ended.
    pub has_end: bool,
}

/// Splits one stream into parts.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// Offset in the buffer before which the present state has found nothing.
    searched: usize,
    /// Whether the buffer begins at the start of a line.
    starts_line: bool,
    is_end: bool,
    delimiter: Delimiter,
    bounds: Bounds,
    lengths: Lengths,
    state: State,
    refused: u64,
}

/// Whether `Content-Length` has been right so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lengths {
    /// A delimiter has to confirm it.
    Unproven,
    /// The last one was right, so a part is emitted before the next delimiter arrives.
    Right,
    /// The last one was wrong.
    Wrong,
}

#[derive(Debug)]
enum State {
    /// In a preamble, between two parts, or after a close-delimiter.
    Between(Between),
    /// In the headers of a part.
    Head(Head),
    /// In its body.
    Body(Body),
}

#[derive(Debug, Default)]
struct Between {
    /// Headers may begin without a delimiter: at the start (older ESP32 cameras, D-Link), and after a
    /// close-delimiter, which some cameras write before each part.
    may_open: bool,
    /// The previous part ended at its `Content-Length`, and the delimiter has to confirm that.
    follows_length: bool,
    /// Bytes other than line ends have been skipped.
    has_junk: bool,
}

#[derive(Debug, Default)]
struct Head {
    headers: Headers,
    lines: usize,
    bytes: usize,
    /// The first line was blank: either there are no headers, or they begin late.
    is_blank: bool,
}

#[derive(Debug)]
struct Body {
    headers: Headers,
    /// `Content-Length`, as long as it may be right.
    length: Option<usize>,
    scanning: Scanning,
    /// Whether the delimiter has to confirm the length, because the body looks otherwise.
    needs_delimiter: bool,
}

#[derive(Debug)]
enum Scanning {
    /// The bytes that show the format have not arrived.
    Unknown,
    Picture(PictureScanner),
    /// Not a picture with an end mark.
    Other,
}

impl Decoder {
    /// For a stream with this `boundary=` parameter (`boundary_of`); without one, the first line that begins
    /// with `--` is the delimiter.
    pub fn new(boundary: Option<&str>, bounds: Bounds) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            starts_line: true,
            is_end: false,
            delimiter: Delimiter::new(boundary),
            bounds,
            lengths: Lengths::Unproven,
            state: State::Between(Between { may_open: true, ..Between::default() }),
            refused: 0,
        }
    }

    /// Takes the bytes of one read and appends the parts that they complete.
    pub fn push(&mut self, data: &[u8], parts: &mut Vec<Decoded>) {
        self.buffer.extend_from_slice(data);
        while self.step(parts) {}
    }

    /// Takes the end of the stream, and appends the part that it completes, if any.
    pub fn finish(&mut self, parts: &mut Vec<Decoded>) {
        self.is_end = true;
        while self.step(parts) {}
        match std::mem::replace(&mut self.state, State::Between(Between::default())) {
            State::Body(body) if !self.buffer.is_empty() && self.buffer.len() <= self.bounds.body_bytes => {
                match body.headers.length {
                    Some(length) if length != self.buffer.len() => self.refused += 1,
                    length => {
                        let body = Decoded { headers: body.headers, body: self.buffer.split().freeze(), has_end: length.is_some() };
                        parts.push(body);
                    }
                }
            }
            State::Body(_) if !self.buffer.is_empty() => self.refused += 1,
            _ => {}
        }
        self.buffer.clear();
    }

    /// The number of parts that were too large, had too many headers, or were cut off by the end of the stream.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes held of a part that is not complete.
    pub fn pending(&self) -> usize {
        if matches!(self.state, State::Between(_)) { 0 } else { self.buffer.len() }
    }

    /// Makes one decision; `false` if it needs more bytes.
    fn step(&mut self, parts: &mut Vec<Decoded>) -> bool {
        match std::mem::replace(&mut self.state, State::Between(Between::default())) {
            State::Between(between) => self.between(between),
            State::Head(head) => self.head(head),
            State::Body(body) => self.body(body, parts),
        }
    }

    fn enter(&mut self, state: State) -> bool {
        (self.state, self.searched) = (state, 0);
        true
    }

    fn stay(&mut self, state: State) -> bool {
        self.state = state;
        false
    }

    /// Drops the current part, and searches for the next from this offset on.
    fn drop_part(&mut self, searched: usize) -> bool {
        self.refused += 1;
        self.state = State::Between(Between::default());
        self.searched = searched;
        true
    }

    fn between(&mut self, mut between: Between) -> bool {
        if between.may_open {
            let line_ends = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.buffer.advance(line_ends);
            match starts_with_name(&self.buffer) {
                Start::Yes => return self.enter(State::Head(Head::default())),
                Start::Unsure if !self.is_end => return self.stay(State::Between(between)),
                _ => between.may_open = false,
            }
        }
        match self.delimiter.find(&self.buffer, self.searched, self.starts_line, self.is_end) {
            Ok(found) => {
                self.delimiter.learn(&self.buffer, found);
                self.discard(found.end, found.start, &mut between);
                if between.follows_length {
                    self.lengths = if between.has_junk { Lengths::Wrong } else { Lengths::Right };
                }
                self.starts_line = true;
                self.enter(if found.is_close {
                    State::Between(Between { may_open: true, ..Between::default() })
                } else {
                    State::Head(Head::default())
                })
            }
            Err(searched) => {
                let skipped = searched.saturating_sub(self.delimiter.max_len());
                self.discard(skipped, skipped, &mut between);
                self.searched = searched - skipped;
                self.stay(State::Between(between))
            }
        }
    }

    /// Discards bytes, of which the first `junk` were not part of a delimiter.
    fn discard(&mut self, bytes: usize, junk: usize, between: &mut Between) {
        between.has_junk |= between.follows_length && !is_line_ends(&self.buffer[..junk]);
        if let Some(last) = bytes.checked_sub(1) {
            self.starts_line = self.buffer[last] == b'\n';
        }
        self.buffer.advance(bytes);
    }

    fn head(&mut self, mut head: Head) -> bool {
        if head.lines == 0
            && let Some(first) = self.first_line(&mut head)
        {
            return match first {
                Start::Yes => self.enter(State::Head(Head::default())),
                Start::No => self.enter_body(head),
                Start::Unsure => self.stay(State::Head(head)),
            };
        }
        let Some(end) = memchr::memchr(b'\n', &self.buffer[self.searched..]).map(|ahead| self.searched + ahead + 1) else {
            if head.bytes + self.buffer.len() > self.bounds.header_bytes {
                return self.drop_part(0);
            }
            self.searched = self.buffer.len();
            return self.stay(State::Head(head));
        };
        head.bytes += end;
        head.lines += 1;
        if head.bytes > self.bounds.header_bytes || head.lines > self.bounds.headers {
            return self.drop_part(0);
        }
        let line = self.buffer.split_to(end);
        if is_line_ends(&line) {
            return self.enter_body(head);
        }
        head.headers.read(&line);
        self.enter(State::Head(head))
    }

    /// Examines the first line after a delimiter: the same delimiter again (`Yes`), a body without headers (`No`), too few bytes to
    /// tell (`Unsure`), or a header (`None`).
    fn first_line(&mut self, head: &mut Head) -> Option<Start> {
        if !head.is_blank {
            match self.delimiter.look(&self.buffer, 0, self.is_end) {
                Look::Delimiter(found) if !found.is_close => {
                    self.buffer.advance(found.end);
                    return Some(Start::Yes);
                }
                Look::Delimiter(_) => return Some(Start::No),
                Look::Unsure => return Some(Start::Unsure),
                Look::Other => {}
            }
            let blank = match &self.buffer[..] {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                [b'\r'] if !self.is_end => return Some(Start::Unsure),
                _ => 0,
            };
            self.buffer.advance(blank);
            head.is_blank = blank > 0;
        }
        let start = if head.is_blank { starts_with_name(&self.buffer) } else { starts_as_header(&self.buffer) };
        match start {
            Start::Yes => None,
            Start::Unsure if self.is_end => Some(Start::No),
            other => Some(other),
        }
    }

    fn enter_body(&mut self, head: Head) -> bool {
        let length = head.headers.length.filter(|length| self.lengths != Lengths::Wrong && *length <= self.bounds.body_bytes);
        self.starts_line = true;
        self.enter(State::Body(Body { headers: head.headers, length, scanning: Scanning::Unknown, needs_delimiter: false }))
    }

    fn body(&mut self, body: Body, parts: &mut Vec<Decoded>) -> bool {
        match body.length {
            Some(length) => self.body_of_length(body, length, parts),
            None => self.body_without_length(body, parts),
        }
    }

    fn body_of_length(&mut self, mut body: Body, length: usize, parts: &mut Vec<Decoded>) -> bool {
        let Some(missing) = length.checked_sub(self.buffer.len()).filter(|missing| *missing > 0) else {
            if !body.needs_delimiter && self.is_length_certain(&self.buffer[..length]) {
                return self.emit(body.headers, length, true, parts);
            }
            let line_ends = self.buffer[length..].iter().take(8).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            return match self.delimiter.look(&self.buffer, length + line_ends, self.is_end) {
                Look::Delimiter(_) => self.emit(body.headers, length, true, parts),
                Look::Unsure => {
                    body.needs_delimiter = true;
                    self.stay(State::Body(body))
                }
                Look::Other if self.is_end && length + line_ends == self.buffer.len() => {
                    self.emit(body.headers, length, true, parts)
                }
                Look::Other => self.scan(body),
            };
        };
        if self.is_end {
            return self.scan(body);
        }
        self.buffer.reserve(missing);
        self.stay(State::Body(body))
    }

    /// Whether a body's length is certain before the next delimiter has arrived.
    fn is_length_certain(&self, body: &[u8]) -> bool {
        let is_right = self.lengths == Lengths::Right;
        match PictureScanner::of(body).map(|mut scanner| scanner.advance(body)) {
            None => is_right,
            // Some cameras pad a picture with zeros and count them.
            Some(Scan::End(end)) => end == body.len() || is_right,
            Some(Scan::More | Scan::Broken) => false,
        }
    }

    /// The length is wrong: searches for the body's end instead.
    fn scan(&mut self, body: Body) -> bool {
        self.lengths = Lengths::Wrong;
        self.enter(State::Body(Body { length: None, ..body }))
    }

    fn body_without_length(&mut self, mut body: Body, parts: &mut Vec<Decoded>) -> bool {
        if body.headers.media.as_ref().is_some_and(|media| media.is_image()) && matches!(body.scanning, Scanning::Unknown) {
            // No picture begins with a line end, so line ends belong to the headers.
            let line_ends = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.buffer.advance(line_ends);
            self.searched = self.searched.saturating_sub(line_ends);
        }
        let found = self.delimiter.find(&self.buffer, self.searched, true, self.is_end);
        let shown = found.map_or(self.buffer.len(), |found| without_line_end(&self.buffer[..found.start]));
        // The scan of a picture stops at the limit: such a picture is refused, and the search continues at its delimiter.
        if let Some(end) = body.scanning.advance(&self.buffer[..shown.min(self.bounds.body_bytes)]) {
            return self.emit(body.headers, end, false, parts);
        }
        match found {
            Ok(_) => self.emit(body.headers, shown, false, parts),
            Err(searched) if self.buffer.len() > self.bounds.body_bytes + self.delimiter.max_len() => self.drop_part(searched),
            Err(searched) => {
                self.searched = searched;
                self.stay(State::Body(body))
            }
        }
    }

    /// Emits a body of this many bytes. `by_length`: its `Content-Length` gave the size.
    fn emit(&mut self, headers: Headers, bytes: usize, by_length: bool, parts: &mut Vec<Decoded>) -> bool {
        let body = self.buffer.split_to(bytes).freeze();
        self.starts_line = true;
        if bytes > self.bounds.body_bytes {
            return self.drop_part(0);
        }
        if !by_length && let Some(length) = headers.length {
            self.lengths = if length == bytes { Lengths::Unproven } else { Lengths::Wrong };
        }
        if !body.is_empty() {
            parts.push(Decoded { headers, body, has_end: true });
        }
        self.enter(State::Between(Between { follows_length: by_length, ..Between::default() }))
    }
}

impl Scanning {
    /// The offset of the picture's end, if it has arrived.
    fn advance(&mut self, body: &[u8]) -> Option<usize> {
        if let Self::Unknown = self {
            if body.len() < PictureScanner::ENOUGH {
                return None;
            }
            *self = PictureScanner::of(body).map_or(Self::Other, Self::Picture);
        }
        let Self::Picture(scanner) = self else { return None };
        match scanner.advance(body) {
            Scan::End(end) => return Some(end),
            Scan::More => {}
            Scan::Broken => *self = Self::Other,
        }
        None
    }
}

fn is_line_ends(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

/// The length without the line end that belongs to the delimiter after it.
fn without_line_end(bytes: &[u8]) -> usize {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.strip_suffix(b"\r").filter(|_| line.len() < bytes.len()).unwrap_or(line).len()
}
