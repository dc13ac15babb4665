//! Takes multipart apart again, however it was written: `Content-Length` where it is right, the picture's own end, the
//! next delimiter where nothing else helps. It is fed bytes as they come and does no reading of its own.
//!
//! ```text
//!   Between ──delimiter──▶ Head ──blank line──▶ Body ──length, end mark or delimiter──▶ a part, and Between again
//! ```
//!
//! What comes out never depends on how the bytes were cut: each decision waits for the bytes that it is made from.
//! Every byte is looked at a fixed number of times, and no more is held than one part and one read.

mod delimiter;
mod headers;
#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes, BytesMut};

pub use self::headers::{Headers, boundary_of};
use self::{
    delimiter::{Delimiter, Look},
    headers::{Start, starts_as_header, starts_with_name},
};
use crate::format::{PictureScanner, Scan};

/// What a decoder puts up with.
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
    /// Bodies of so many bytes, and headers that nobody exceeds (dicer and Go stop at 80 KiB and at 10,000 lines).
    pub fn bodies(body_bytes: usize) -> Self {
        Self { header_bytes: 16 << 10, headers: 100, body_bytes }
    }
}

/// A part as it was received; its body is never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What its headers say.
    pub headers: Headers,
    /// Its bytes.
    pub body: Bytes,
    /// Whether a delimiter, a length or an end mark says that the body ends here. Otherwise the stream ended.
    pub has_end: bool,
}

/// Takes one stream apart.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// Offset in the buffer in front of which the present state has found nothing.
    searched: usize,
    /// Whether the buffer begins where a line does.
    starts_line: bool,
    is_end: bool,
    delimiter: Delimiter,
    bounds: Bounds,
    lengths: Lengths,
    state: State,
    refused: u64,
}

/// What `Content-Length` has been worth so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lengths {
    /// A delimiter has to confirm it.
    Unproven,
    /// The last one was right, so a part leaves without waiting for the delimiter of the next.
    Right,
    /// The last one was wrong.
    Wrong,
}

#[derive(Debug)]
enum State {
    /// In a preamble, between two parts, or behind a close-delimiter.
    Between(Between),
    /// In the headers of a part.
    Head(Head),
    /// In its body.
    Body(Body),
}

#[derive(Debug, Default)]
struct Between {
    /// Headers may begin without a delimiter: at the start (older ESP32 cameras, D-Link), and behind a
    /// close-delimiter, which some cameras write in front of each part.
    may_open: bool,
    /// The part before ended where its length said, and the delimiter has to confirm that.
    is_behind_length: bool,
    /// Something other than line ends has been passed over.
    has_junk: bool,
}

#[derive(Debug, Default)]
struct Head {
    headers: Headers,
    lines: usize,
    bytes: usize,
    /// A blank line was the first. Either there are no headers, or they begin late.
    is_blank: bool,
}

#[derive(Debug)]
struct Body {
    headers: Headers,
    /// `Content-Length`, as long as it may be right.
    length: Option<usize>,
    walk: Scanning,
    /// Whether its length alone is not enough, for what was seen of the body.
    has_doubt: bool,
}

#[derive(Debug)]
enum Scanning {
    /// The bytes that tell the format have not come.
    Unknown,
    Through(PictureScanner),
    /// Nothing that could be walked through.
    Nothing,
}

impl Decoder {
    /// For a stream with this `boundary=` parameter (`boundary_of`); without one the first line that begins
    /// with `--` shows it.
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

    /// Takes what was read and adds the parts that it completes.
    pub fn push(&mut self, data: &[u8], parts: &mut Vec<Decoded>) {
        self.buffer.extend_from_slice(data);
        while self.step(parts) {}
    }

    /// Takes the end of the stream.
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

    /// Parts that were too large, had too much of headers, or were cut off by the end of the stream.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes in hand of a part that is not complete.
    pub fn pending(&self) -> usize {
        if matches!(self.state, State::Between(_)) { 0 } else { self.buffer.len() }
    }

    /// Goes on by one decision; `false` where more bytes are needed.
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

    /// Gives a part up, and looks for the next from this offset on.
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
                self.pass(found.end, found.start, &mut between);
                if between.is_behind_length {
                    self.lengths = if between.has_junk { Lengths::Wrong } else { Lengths::Right };
                }
                self.starts_line = true;
                self.enter(match found.is_close {
                    true => State::Between(Between { may_open: true, ..Between::default() }),
                    false => State::Head(Head::default()),
                })
            }
            Err(searched) => {
                let passed = searched.saturating_sub(self.delimiter.reach());
                self.pass(passed, passed, &mut between);
                self.searched = searched - passed;
                self.stay(State::Between(between))
            }
        }
    }

    /// Forgets bytes, of which so many were not part of a delimiter.
    fn pass(&mut self, bytes: usize, junk: usize, between: &mut Between) {
        between.has_junk |= between.is_behind_length && !is_line_ends(&self.buffer[..junk]);
        if let Some(last) = bytes.checked_sub(1) {
            self.starts_line = self.buffer[last] == b'\n';
        }
        self.buffer.advance(bytes);
    }

    fn head(&mut self, mut head: Head) -> bool {
        if head.lines == 0
            && let Some(goes_on) = self.first_line(&mut head)
        {
            return match goes_on {
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

    /// Looks at what follows a delimiter: the same delimiter again (`Yes`), a body without headers (`No`), bytes
    /// that do not tell yet, or (`None`) a header.
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
        self.enter(State::Body(Body { headers: head.headers, length, walk: Scanning::Unknown, has_doubt: false }))
    }

    fn body(&mut self, body: Body, parts: &mut Vec<Decoded>) -> bool {
        match body.length {
            Some(length) => self.body_of_length(body, length, parts),
            None => self.body_without_length(body, parts),
        }
    }

    fn body_of_length(&mut self, mut body: Body, length: usize, parts: &mut Vec<Decoded>) -> bool {
        let Some(missing) = length.checked_sub(self.buffer.len()).filter(|missing| *missing > 0) else {
            if !body.has_doubt && self.is_vouched_for(&self.buffer[..length]) {
                return self.emit(body.headers, length, true, parts);
            }
            let behind = self.buffer[length..].iter().take(8).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            return match self.delimiter.look(&self.buffer, length + behind, self.is_end) {
                Look::Delimiter(_) => self.emit(body.headers, length, true, parts),
                Look::Unsure => {
                    body.has_doubt = true;
                    self.stay(State::Body(body))
                }
                Look::Other if self.is_end && length + behind == self.buffer.len() => self.emit(body.headers, length, true, parts),
                Look::Other => self.scan(body),
            };
        };
        if self.is_end {
            return self.scan(body);
        }
        self.buffer.reserve(missing);
        self.stay(State::Body(body))
    }

    /// Whether a body ends where its length says, as far as can be told without the delimiter behind it.
    fn is_vouched_for(&self, body: &[u8]) -> bool {
        let is_right = self.lengths == Lengths::Right;
        match PictureScanner::of(body).map(|mut walk| walk.advance(body)) {
            None => is_right,
            // Some cameras pad a picture with zeros and count them.
            Some(Scan::End(end)) => end == body.len() || is_right,
            Some(Scan::More | Scan::Broken) => false,
        }
    }

    /// The length is wrong: the body ends somewhere else.
    fn scan(&mut self, body: Body) -> bool {
        self.lengths = Lengths::Wrong;
        self.enter(State::Body(Body { length: None, ..body }))
    }

    fn body_without_length(&mut self, mut body: Body, parts: &mut Vec<Decoded>) -> bool {
        if body.headers.media.as_ref().is_some_and(|media| media.is_image()) && matches!(body.walk, Scanning::Unknown) {
            // No picture begins with a line end, so it belongs to the headers.
            let line_ends = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.buffer.advance(line_ends);
            self.searched = self.searched.saturating_sub(line_ends);
        }
        let found = self.delimiter.find(&self.buffer, self.searched, true, self.is_end);
        let shown = found.map_or(self.buffer.len(), |found| without_line_end(&self.buffer[..found.start]));
        // A picture beyond the limit is not walked to its end: it is refused, and the delimiter behind it found.
        if let Some(end) = body.walk.advance(&self.buffer[..shown.min(self.bounds.body_bytes)]) {
            return self.emit(body.headers, end, false, parts);
        }
        match found {
            Ok(_) => self.emit(body.headers, shown, false, parts),
            Err(searched) if self.buffer.len() > self.bounds.body_bytes + self.delimiter.reach() => self.drop_part(searched),
            Err(searched) => {
                self.searched = searched;
                self.stay(State::Body(body))
            }
        }
    }

    /// Hands out a body of so many bytes, which its length has told or something else.
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
        self.enter(State::Between(Between { is_behind_length: by_length, ..Between::default() }))
    }
}

impl Scanning {
    /// The offset of the picture's end, if it has come.
    fn advance(&mut self, body: &[u8]) -> Option<usize> {
        if let Self::Unknown = self {
            if body.len() < PictureScanner::ENOUGH {
                return None;
            }
            *self = PictureScanner::of(body).map_or(Self::Nothing, Self::Through);
        }
        let Self::Through(walk) = self else { return None };
        match walk.advance(body) {
            Scan::End(end) => return Some(end),
            Scan::More => {}
            Scan::Broken => *self = Self::Nothing,
        }
        None
    }
}

fn is_line_ends(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

/// The length without the line end that belongs to the delimiter behind.
fn without_line_end(bytes: &[u8]) -> usize {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.strip_suffix(b"\r").filter(|_| line.len() < bytes.len()).unwrap_or(line).len()
}
