//! The body of a part: how long it is, by its `Content-Length`, the end mark of a picture, or the next delimiter.

use bytes::Buf;

use super::{
    delimiter::Look,
    oddity::Oddity,
    state::{Between, Body, Decoded, Decoder, Follows, Lengths, Scanning, State, Tail, is_line_ends},
};
use crate::format::{PictureScanner, Scan};

impl Decoder {
    pub(super) fn body(&mut self, body: Body, parts: &mut Vec<Decoded>) -> bool {
        match body.length {
            Some(length) => self.body_of_length(body, length, parts),
            None => self.body_without_length(body, parts),
        }
    }

    fn body_of_length(&mut self, mut body: Body, length: usize, parts: &mut Vec<Decoded>) -> bool {
        let Some(missing) = length.checked_sub(self.buffer.len()).filter(|missing| *missing > 0) else {
            if !body.needs_delimiter && self.is_length_certain(&mut body.tail, length) {
                return self.emit(body, length, true, parts);
            }
            let line_ends = self.buffer[length..].iter().take(8).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            return match self.delimiter.look(&self.buffer, length + line_ends, self.is_end) {
                Look::Delimiter(_) => self.emit(body, length, true, parts),
                Look::Unsure => {
                    body.needs_delimiter = true;
                    self.stay(State::Body(body))
                }
                Look::Other if self.is_end && length + line_ends == self.buffer.len() => self.emit(body, length, true, parts),
                Look::Other => self.scan(body),
            };
        };
        if self.is_end {
            return self.scan(body);
        }
        // One that only says its length takes no room.
        if missing <= self.buffer.len() {
            self.buffer.reserve(missing);
        }
        self.stay(State::Body(body))
    }

    /// Whether a body's length is certain before the next delimiter has arrived; notes what follows the picture in it.
    fn is_length_certain(&self, tail: &mut Tail, length: usize) -> bool {
        let (is_right, body) = (self.lengths == Lengths::Right, &self.buffer[..length]);
        match PictureScanner::of(body).map(|mut scanner| scanner.advance(body)) {
            None => is_right,
            // Some cameras pad a picture with zeros and count them.
            Some(Scan::End(end)) => {
                *tail = match &body[end..] {
                    [] => return true,
                    rest if is_line_ends(rest) => Tail::LineEnds,
                    _ => Tail::Padding,
                };
                is_right
            }
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
            body.has_blank |= line_ends > 0;
            self.buffer.advance(line_ends);
            self.searched = self.searched.saturating_sub(line_ends);
        }
        let found = self.delimiter.find(&self.buffer, self.searched, true, self.is_end);
        let shown = found.map_or(self.buffer.len(), |found| without_line_end(&self.buffer[..found.start]));
        // The scan of a picture stops at the limit: such a picture is refused, and the search continues at its delimiter.
        if let Some(end) = body.scanning.advance(&self.buffer[..shown.min(self.bounds.body_bytes)]) {
            return self.emit(body, end, false, parts);
        }
        match found {
            Ok(_) => self.emit(body, shown, false, parts),
            Err(searched) if self.buffer.len() > self.bounds.body_bytes + self.delimiter.max_len() => self.drop_part(searched),
            Err(searched) => {
                self.searched = searched;
                self.stay(State::Body(body))
            }
        }
    }

    /// Emits a body of this many bytes. `by_length`: its `Content-Length` gave the size.
    fn emit(&mut self, body: Body, bytes: usize, by_length: bool, parts: &mut Vec<Decoded>) -> bool {
        let Body { headers, tail, has_blank, .. } = body;
        let body = self.buffer.split_to(bytes).freeze();
        self.starts_line = true;
        if bytes > self.bounds.body_bytes {
            return self.drop_part(0);
        }
        if !by_length && let Some(length) = headers.length {
            self.lengths = if length == bytes { Lengths::Unproven } else { Lengths::Wrong };
            self.mark_if(length > bytes, Oddity::LengthTooLong);
            self.mark_if(length < bytes, Oddity::LengthTooShort);
        }
        let is_picture = headers.media.as_ref().is_none_or(|media| media.is_image());
        let tail = if by_length && is_picture { tail } else { Tail::None };
        self.mark_if(tail == Tail::Padding, Oddity::PaddingCounted);
        self.mark_if(has_blank, Oddity::BlankLineBeforeBody);
        let is_empty = body.is_empty();
        if is_empty {
            self.marks = self.marks.without_part();
        } else {
            parts.push(Decoded { headers, body, has_end: true });
        }
        self.count_marks();
        self.enter(State::Between(Between { follows: Follows::Part { by_length, is_empty, tail }, ..Between::default() }))
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

/// The length without the line end that belongs to the delimiter after it.
fn without_line_end(bytes: &[u8]) -> usize {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.strip_suffix(b"\r").filter(|_| line.len() < bytes.len()).unwrap_or(line).len()
}
