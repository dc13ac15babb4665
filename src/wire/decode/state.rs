//! What a decoder holds between two reads, and how it goes from one state to the next. It decides nothing.

use bytes::{Bytes, BytesMut};

use super::{
    delimiter::Delimiter,
    headers::Headers,
    oddity::{Marks, Oddities, Oddity},
};
use crate::format::PictureScanner;

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
    pub(super) buffer: BytesMut,
    /// Offset in the buffer before which the present state has found nothing.
    pub(super) searched: usize,
    /// Whether the buffer begins at the start of a line.
    pub(super) starts_line: bool,
    pub(super) is_end: bool,
    pub(super) delimiter: Delimiter,
    pub(super) bounds: Bounds,
    pub(super) lengths: Lengths,
    pub(super) state: State,
    pub(super) refused: u64,
    /// What is odd about the part that is read, with the delimiter before it.
    pub(super) marks: Marks,
    pub(super) oddities: Oddities,
}

/// Whether `Content-Length` has been right so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lengths {
    /// A delimiter has to confirm it.
    Unproven,
    /// The last one was right, so a part is emitted before the next delimiter arrives.
    Right,
    /// The last one was wrong.
    Wrong,
}

#[derive(Debug)]
pub(super) enum State {
    /// In a preamble, between two parts, or after a close-delimiter.
    Between(Between),
    /// In the headers of a part.
    Head(Head),
    /// In its body.
    Body(Body),
}

#[derive(Debug, Default)]
pub(super) struct Between {
    /// Headers may begin without a delimiter: at the start (older ESP32 cameras, D-Link), and after a
    /// close-delimiter, which some cameras write before each part.
    pub(super) may_open: bool,
    /// What comes before.
    pub(super) follows: Follows,
    /// Bytes other than line ends have been skipped.
    pub(super) has_junk: bool,
    /// Line ends that have been skipped.
    pub(super) line_ends: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Follows {
    /// Nothing, or the head of the response once more.
    Start,
    /// A part that was dropped.
    #[default]
    Dropped,
    /// A close-delimiter.
    Close,
    Part {
        /// It ended at its `Content-Length`, and the delimiter has to confirm that.
        by_length: bool,
        is_empty: bool,
        tail: Tail,
    },
}

/// What a body of a certain length has behind the end of its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tail {
    #[default]
    None,
    LineEnds,
    Padding,
}

#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) headers: Headers,
    pub(super) lines: usize,
    pub(super) bytes: usize,
    /// The first line was blank: either there are no headers, or they begin late.
    pub(super) is_blank: bool,
    /// No delimiter comes before it.
    pub(super) is_first: bool,
}

#[derive(Debug)]
pub(super) struct Body {
    pub(super) headers: Headers,
    /// `Content-Length`, as long as it may be right.
    pub(super) length: Option<usize>,
    pub(super) scanning: Scanning,
    /// Whether the delimiter has to confirm the length, because the body looks otherwise.
    pub(super) needs_delimiter: bool,
    pub(super) tail: Tail,
    /// Blank lines have come before the picture.
    pub(super) has_blank: bool,
}

#[derive(Debug)]
pub(super) enum Scanning {
    /// The bytes that show the format have not arrived.
    Unknown,
    Picture(PictureScanner),
    /// Not a picture with an end mark.
    Other,
}

impl Between {
    /// At the start of a stream.
    pub(super) fn at_start() -> Self {
        Self { may_open: true, follows: Follows::Start, ..Self::default() }
    }

    /// After a close-delimiter.
    pub(super) fn after_close() -> Self {
        Self { may_open: true, follows: Follows::Close, ..Self::default() }
    }
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
            state: State::Between(Between::at_start()),
            refused: 0,
            marks: Marks::default(),
            oddities: Oddities::default(),
        }
    }

    /// The number of parts that were too large, had too many headers, or were cut off by the end of the stream.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// What has been odd about the parts so far.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// Bytes held of a part that is not complete.
    pub fn pending(&self) -> usize {
        if matches!(self.state, State::Between(_)) { 0 } else { self.buffer.len() }
    }

    /// Whether a part has come whole, and the delimiter behind it has not.
    pub fn awaits_delimiter(&self) -> bool {
        matches!(self.state, State::Between(Between { follows: Follows::Part { .. }, .. }))
    }

    pub(super) fn enter(&mut self, state: State) -> bool {
        (self.state, self.searched) = (state, 0);
        true
    }

    pub(super) fn stay(&mut self, state: State) -> bool {
        self.state = state;
        false
    }

    /// Drops the current part, and searches for the next from this offset on.
    pub(super) fn drop_part(&mut self, searched: usize) -> bool {
        self.refused += 1;
        self.count_marks();
        self.state = State::Between(Between::default());
        self.searched = searched;
        true
    }

    pub(super) fn mark(&mut self, oddity: Oddity) {
        self.marks.add(oddity);
    }

    pub(super) fn mark_if(&mut self, is_so: bool, oddity: Oddity) {
        self.marks.add_if(is_so, oddity);
    }

    /// Counts what was odd about a part; what comes is of the next one.
    pub(super) fn count_marks(&mut self) {
        self.oddities.count(std::mem::take(&mut self.marks));
    }
}

pub(super) fn is_line_ends(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}
