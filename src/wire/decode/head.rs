//! The headers of a part, up to the blank line, or to a body that has none.

use bytes::Buf;

use super::{
    delimiter::Look,
    headers::{Start, starts_as_header, starts_with_name},
    oddity::Oddity,
    state::{Between, Body, Decoder, Head, Lengths, Scanning, State, Tail, is_line_ends},
};

impl Decoder {
    pub(super) fn head(&mut self, mut head: Head) -> bool {
        if head.lines == 0
            && let Some(first) = self.first_line(&mut head)
        {
            return match first {
                Start::Yes => self.enter(State::Head(Head::default())),
                Start::No => {
                    self.mark_if(!head.is_blank, Oddity::NoBlankLine);
                    self.enter_body(head)
                }
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
        self.mark_if(!line.ends_with(b"\r\n"), Oddity::LfLineEnds);
        if is_line_ends(&line) {
            return self.enter_body(head);
        }
        head.headers.read(&line, &mut self.marks);
        self.enter(State::Head(head))
    }

    /// Examines the first line after a delimiter: the same delimiter again (`Yes`), a body without headers (`No`), too few bytes to
    /// tell (`Unsure`), or a header (`None`).
    fn first_line(&mut self, head: &mut Head) -> Option<Start> {
        if !head.is_blank {
            match self.delimiter.look(&self.buffer, 0, self.is_end) {
                Look::Delimiter(found) if !found.is_close => {
                    self.mark(Oddity::DelimiterTwice);
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
            self.mark_if(blank == 1, Oddity::LfLineEnds);
            self.buffer.advance(blank);
            head.is_blank = blank > 0;
        }
        let start = if head.is_blank { starts_with_name(&self.buffer) } else { starts_as_header(&self.buffer) };
        match start {
            Start::Yes => {
                self.mark_if(head.is_blank, Oddity::BlankLineBeforeHeaders);
                None
            }
            Start::Unsure if self.is_end => Some(Start::No),
            other => Some(other),
        }
    }

    fn enter_body(&mut self, head: Head) -> bool {
        self.starts_line = true;
        if self.marks.has(Oddity::ResponseInBody) && head.headers.media.as_ref().is_some_and(|media| media.is_multipart()) {
            // The head of the response once more is no part.
            return self.enter(State::Between(Between::at_start()));
        }
        self.mark_if(head.is_first, Oddity::NoFirstDelimiter);
        head.headers.mark_missing(&mut self.marks);
        let length = head.headers.length.filter(|length| self.lengths != Lengths::Wrong && *length <= self.bounds.body_bytes);
        self.enter(State::Body(Body {
            headers: head.headers,
            length,
            scanning: Scanning::Unknown,
            needs_delimiter: false,
            tail: Tail::None,
            has_blank: false,
        }))
    }
}
