//! Between two parts: the search for the next delimiter, and what it says of the part before it.

use bytes::Buf;

use super::{
    delimiter::{Delimiter, Found, Look},
    headers::{BlockLook, Start, look_for_headers, starts_with_name},
    oddity::Oddity,
    state::{Between, Decoder, Follows, Head, Lengths, State, Tail, is_line_ends},
};

impl Decoder {
    pub(super) fn between(&mut self, mut between: Between) -> bool {
        if between.may_open {
            let line_ends = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            between.line_ends += line_ends;
            self.buffer.advance(line_ends);
            match starts_with_name(&self.buffer) {
                Start::Yes => return self.open(&between),
                Start::Unsure if !self.is_end => return self.stay(State::Between(between)),
                _ => match self.look_for_other(&between) {
                    Start::Unsure if !self.is_end => return self.stay(State::Between(between)),
                    _ => between.may_open = false,
                },
            }
        }
        match self.delimiter.find(&self.buffer, self.searched, self.starts_line, self.is_end) {
            Ok(found) => {
                self.delimiter.learn(&self.buffer, found);
                self.delimiter.mark(&self.buffer, found, &mut self.marks);
                let has_bare_lf = is_bare_lf(&self.buffer[..found.start]);
                self.discard(found.end, found.start, &mut between);
                self.end_between(&between, found, has_bare_lf)
            }
            Err(searched) => {
                let skipped = searched.saturating_sub(self.delimiter.max_len());
                self.discard(skipped, skipped, &mut between);
                self.searched = searched - skipped;
                self.stay(State::Between(between))
            }
        }
    }

    /// Whether the stream begins with another delimiter than was announced, and the headers of a part; takes it as the only one then.
    fn look_for_other(&mut self, between: &Between) -> Start {
        if between.follows != Follows::Start || !self.delimiter.is_announced() {
            return Start::No;
        }
        if let Look::Delimiter(_) = self.delimiter.look(&self.buffer, 0, self.is_end) {
            return Start::No;
        }
        let other = Delimiter::new(None);
        match other.look(&self.buffer, 0, self.is_end) {
            Look::Delimiter(found) if !found.is_close => match look_for_headers(&self.buffer[found.end..]) {
                BlockLook::Block(block) if block.is_of_part => {
                    self.delimiter = other;
                    self.mark(Oddity::BoundaryWrong);
                    Start::Yes
                }
                BlockLook::Block(_) | BlockLook::Other => Start::No,
                BlockLook::Unsure => Start::Unsure,
            },
            Look::Unsure => Start::Unsure,
            Look::Delimiter(_) | Look::Other => Start::No,
        }
    }

    /// Headers begin without a delimiter.
    fn open(&mut self, between: &Between) -> bool {
        self.mark_if(between.follows == Follows::Close, Oddity::PartAfterClose);
        self.enter(State::Head(Head { is_first: between.follows == Follows::Start, ..Head::default() }))
    }

    fn end_between(&mut self, between: &Between, found: Found, has_bare_lf: bool) -> bool {
        match between.follows {
            Follows::Start => {
                self.mark_if(between.has_junk, Oddity::Preamble);
                self.mark_if(!between.has_junk && between.line_ends > 0, Oddity::LeadingLineEnd);
            }
            Follows::Close => self.mark_if(!found.is_close, Oddity::PartAfterClose),
            Follows::Part { by_length, is_empty, tail } => {
                if by_length {
                    self.lengths = if between.has_junk { Lengths::Wrong } else { Lengths::Right };
                }
                if between.has_junk {
                    self.mark(if by_length { Oddity::LengthTooShort } else { Oddity::PaddingUncounted });
                } else {
                    let has_line_end = between.line_ends > 0;
                    self.mark_if(is_empty, Oddity::EmptyPart);
                    self.mark_if(!has_line_end && !is_empty, Oddity::NoLineEnd);
                    self.mark_if(has_line_end && tail == Tail::LineEnds, Oddity::PaddingCounted);
                    self.mark_if(between.line_ends > 1, Oddity::ExtraLineEnds);
                }
                self.mark_if(has_bare_lf, Oddity::LfLineEnds);
            }
            Follows::Dropped => {}
        }
        self.starts_line = true;
        if found.is_close {
            self.count_marks();
            self.enter(State::Between(Between::after_close()))
        } else {
            self.enter(State::Head(Head::default()))
        }
    }

    /// Discards bytes, of which the first `junk` were not part of a delimiter.
    fn discard(&mut self, bytes: usize, junk: usize, between: &mut Between) {
        if matches!(between.follows, Follows::Start | Follows::Part { .. }) {
            let skipped = &self.buffer[..junk];
            between.has_junk |= !is_line_ends(skipped);
            if !between.has_junk {
                between.line_ends += memchr::memchr_iter(b'\n', skipped).count();
            }
        }
        if let Some(last) = bytes.checked_sub(1) {
            self.starts_line = self.buffer[last] == b'\n';
        }
        self.buffer.advance(bytes);
    }
}

/// Whether the last line end is no CRLF.
fn is_bare_lf(before: &[u8]) -> bool {
    before.ends_with(b"\n") && !before.ends_with(b"\r\n")
}
