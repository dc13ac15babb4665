//! Splits a multipart stream into parts, even one that was written carelessly: by `Content-Length` if it is right, by the end mark
//! of a picture, otherwise by the next delimiter. The caller pushes bytes as they arrive; this module does no I/O.
//!
//! ```text
//!   Between ──delimiter──▶ Head ──blank line──▶ Body ──length, end mark or delimiter──▶ a part, and Between again
//! ```
//!
//! The result never depends on the sizes of the reads: each decision waits for the bytes that it needs. Every byte is examined a
//! fixed number of times, and the buffer holds at most one part and one read.

mod between;
mod body;
mod content_type;
mod delimiter;
mod head;
mod headers;
mod oddity;
mod state;
#[cfg(test)]
mod tests;

use self::state::{Between, Body, Follows, Scanning, State};
pub use self::{
    content_type::{boundary_of, oddities_of},
    headers::{BlockLook, HeaderBlock, Headers, begins_as_multipart, look_for_headers},
    oddity::{Oddities, Oddity},
    state::{Bounds, Decoded, Decoder},
};

impl Decoder {
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
            State::Body(body) if !self.buffer.is_empty() => self.finish_body(body, parts),
            State::Between(Between { follows: Follows::Start | Follows::Close, .. }) => {}
            _ => {
                self.marks = self.marks.without_part();
                self.mark(Oddity::NoCloseDelimiter);
            }
        }
        self.count_marks();
        self.buffer.clear();
    }

    fn finish_body(&mut self, body: Body, parts: &mut Vec<Decoded>) {
        let bytes = self.buffer.len();
        let is_cut_off = body.headers.length.is_some_and(|length| length != bytes);
        let is_open = is_cut_off || matches!(body.scanning, Scanning::Picture(_));
        self.mark(if is_open { Oddity::PartCutOff } else { Oddity::NoCloseDelimiter });
        if is_cut_off || bytes > self.bounds.body_bytes {
            self.refused += 1;
        } else {
            let has_end = body.headers.length.is_some();
            parts.push(Decoded { headers: body.headers, body: self.buffer.split().freeze(), has_end });
        }
    }

    /// Makes one decision; `false` if it needs more bytes.
    fn step(&mut self, parts: &mut Vec<Decoded>) -> bool {
        match std::mem::replace(&mut self.state, State::Between(Between::default())) {
            State::Between(between) => self.between(between),
            State::Head(head) => self.head(head),
            State::Body(body) => self.body(body, parts),
        }
    }
}
