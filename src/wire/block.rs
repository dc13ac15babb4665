//! Parts as the bytes that readers receive: parts that were published together lie in one block, encoded once, contiguous, shared by
//! every reader. It knows neither viewers nor feeds.
//!
//! ```text
//!   headers CRLF  body  CRLF--B CRLF  [headers of the next picture CRLF]
//!   ^start        ^body ^body_end     ^next                             ^end
//! ```
//!
//! The delimiter before a part is sent with the previous part (or with the response head), so that a reader knows at once that the
//! part is complete. The early headers exist only for pictures and are sent only to an `<img>` of Chromium or WebKit, which paint a
//! part when they have read the headers of the next (crbug 527446); such a viewer then gets `body..end` of each later part.

use std::{
    ops::Range,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use crate::{
    format::{ImageClass, Media},
    stats::{Charge, Lease},
};

/// The ranges of a block's bytes that a viewer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Headers with `Content-Length`, body, delimiter.
    Plain,
    /// The `<img>` of Chromium and WebKit: the next headers are sent with the delimiter.
    EarlyHeaders,
}

/// Parts that were published together, encoded into one allocation.
#[derive(Debug)]
pub struct Block {
    pub(super) bytes: Bytes,
    pub(super) parts: Vec<Placed>,
    /// The sequence of the first part.
    pub(super) first: u64,
    /// When it was made, by the clock that never jumps.
    pub(super) made: Instant,
    /// Its entry in the memory account, for as long as a reader holds it.
    pub(super) charge: Arc<Charge>,
    /// Where it is a part of another block under another number: that block, and the headers before the shared body.
    pub(super) renumbered: Option<(Bytes, Arc<Block>)>,
}

/// One part's place in its block.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) media: Media,
    pub(super) class: ImageClass,
    pub(super) time: SystemTime,
    pub(super) has_own_second: bool,
    pub(super) start: usize,
    pub(super) body: usize,
    pub(super) body_end: usize,
    pub(super) next: usize,
    pub(super) end: usize,
}

impl Block {
    /// The sequences of its parts; there is at least one.
    pub fn sequences(&self) -> Range<u64> {
        self.first..self.first + self.parts.len() as u64
    }

    /// The sequence and the time of each part.
    pub fn times(&self) -> impl DoubleEndedIterator<Item = (u64, SystemTime)> {
        self.parts.iter().enumerate().map(|(at, part)| (self.first + at as u64, part.time))
    }

    /// Bytes of memory that it occupies.
    pub fn size(&self) -> usize {
        self.charge.bytes()
    }

    /// Bytes of the bodies in it.
    pub fn body_bytes(&self) -> u64 {
        self.parts.iter().map(|part| (part.body_end - part.body) as u64).sum()
    }

    /// Its entry in the memory account, and whether a feed still holds it.
    pub fn charge(&self) -> &Charge {
        &self.charge
    }

    /// The part of this sequence, which must be one of its own.
    pub fn part(self: &Arc<Self>, sequence: u64) -> Encoded {
        Encoded { block: self.clone(), at: (sequence - self.first) as usize }
    }

    /// The parts from this sequence on, which must be one of its own: at most `parts` of them, and more than one only if they have
    /// at most `bytes` together.
    pub fn run(self: &Arc<Self>, from: u64, parts: u64, bytes: usize) -> Run {
        let at = (from - self.first) as usize;
        let start = self.parts[at].start;
        let fits = self.parts[at + 1..].iter().take_while(|part| part.next - start <= bytes).count();
        let count = fits.min(usize::try_from(parts).unwrap_or(usize::MAX).saturating_sub(1)) + 1;
        Run { block: self.clone(), at, count }
    }
}

/// One part in its block. Cloning copies no bytes.
#[derive(Debug, Clone)]
pub struct Encoded {
    block: Arc<Block>,
    at: usize,
}

impl Encoded {
    fn placed(&self) -> &Placed {
        &self.block.parts[self.at]
    }

    /// Its number in the feed, from 1.
    pub fn sequence(&self) -> u64 {
        self.block.first + self.at as u64
    }

    /// The part's time.
    pub fn time(&self) -> SystemTime {
        self.placed().time
    }

    /// When it was published, by the clock that never jumps.
    pub fn published_at(&self) -> Instant {
        self.block.made
    }

    /// Whether no earlier part is of the same second, so that a date in whole seconds identifies it.
    pub fn has_own_second(&self) -> bool {
        self.placed().has_own_second
    }

    /// The part's type.
    pub fn media(&self) -> &Media {
        &self.placed().media
    }

    /// Which image decoder reads it.
    pub fn class(&self) -> ImageClass {
        self.placed().class
    }

    /// Its block's entry in the memory account, and whether the feed still holds it.
    pub fn charge(&self) -> &Charge {
        &self.block.charge
    }

    /// The body, without headers and delimiter.
    pub fn body(&self) -> &[u8] {
        &self.block.bytes[self.placed().body..self.placed().body_end]
    }

    /// The body, for a reader that may hold it for any time: the memory is charged to the reader once the feed has released it.
    pub fn lend_body(&self) -> (Bytes, std::sync::Weak<Lease>) {
        let lease = Arc::new(Lease::new(self.block.charge.clone()));
        let weak = Arc::downgrade(&lease);
        (Bytes::from_owner(LentBody { part: self.clone(), _lease: lease }), weak)
    }

    /// The bytes that a viewer gets for this part: headers of its own, if any, and the shared bytes. `opened`: the headers were sent
    /// with the previous part. `last`: without the delimiter, since a close-delimiter follows.
    pub fn pieces(&self, layout: Layout, opened: bool, last: bool) -> [Piece; 2] {
        Run { block: self.block.clone(), at: self.at, count: 1 }.pieces(layout, opened, last)
    }
}

struct LentBody {
    part: Encoded,
    _lease: Arc<Lease>,
}

impl AsRef<[u8]> for LentBody {
    fn as_ref(&self) -> &[u8] {
        self.part.body()
    }
}

/// Consecutive parts of one block, at least one. Cloning copies no bytes.
#[derive(Debug, Clone)]
pub struct Run {
    block: Arc<Block>,
    at: usize,
    count: usize,
}

impl Run {
    /// The number of parts.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The parts.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = Encoded> {
        (self.at..self.at + self.count).map(|at| Encoded { block: self.block.clone(), at })
    }

    /// The last of them.
    pub fn last(&self) -> Encoded {
        Encoded { block: self.block.clone(), at: self.at + self.count - 1 }
    }

    /// The bytes that a viewer gets for these parts, with the arguments and the result of `Encoded::pieces`.
    pub fn pieces(self, layout: Layout, opened: bool, last: bool) -> [Piece; 2] {
        let head = self.block.renumbered.as_ref().filter(|_| !opened).map(|(head, _)| head.clone());
        let (first, final_part) = (&self.block.parts[self.at], &self.block.parts[self.at + self.count - 1]);
        let start = if opened { first.body } else { first.start };
        let end = match layout {
            _ if last => final_part.body_end,
            Layout::Plain => final_part.next,
            Layout::EarlyHeaders => final_part.end,
        };
        [head.unwrap_or_default().into(), Piece::Shared { range: start..end, block: self.block }]
    }
}

/// Bytes to send to one viewer: a range of a block, or a few bytes of its own.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes of a block.
    Shared {
        /// The block, which stays in memory as long as this piece.
        block: Arc<Block>,
        /// The range of its bytes.
        range: Range<usize>,
    },
    /// Bytes for this viewer only.
    Own(Bytes),
}

impl Piece {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared { block, range } => &block.bytes[range.clone()],
            Self::Own(bytes) => bytes,
        }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Shared { range, .. } => range.len(),
            Self::Own(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes this many bytes from the start.
    pub fn advance(&mut self, bytes: usize) {
        match self {
            Self::Shared { range, .. } => range.start += bytes,
            Self::Own(own) => bytes::Buf::advance(own, bytes),
        }
    }

    /// The memory entry of the block that it keeps in memory, if any.
    pub fn charge(&self) -> Option<&Charge> {
        match self {
            Self::Shared { block, .. } => Some(&block.charge),
            Self::Own(_) => None,
        }
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self::Own(bytes)
    }
}
