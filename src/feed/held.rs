//! All that a feed holds at a moment, for readers that look into the past. It is no subscription: nothing waits for it.

use std::{sync::Arc, time::SystemTime};

use crate::{
    part::stamp,
    wire::{Block, Encoded},
};

/// The parts that a feed holds, oldest first. Cheap to make: parts that came together are one block.
#[derive(Debug, Default)]
pub struct HeldParts {
    blocks: Vec<Arc<Block>>,
    oldest: u64,
}

impl HeldParts {
    /// The parts of these blocks from this sequence on.
    pub(super) fn new(blocks: Vec<Arc<Block>>, oldest: u64) -> Self {
        Self { blocks, oldest }
    }

    /// The time of each part as `X-Timestamp` tells it, with its place for `part`.
    pub fn times(&self) -> impl DoubleEndedIterator<Item = (SystemTime, HeldPlace)> {
        let places = self
            .blocks
            .iter()
            .enumerate()
            .flat_map(|(block, parts)| parts.times().map(move |(sequence, time)| (stamp(time), HeldPlace { block, sequence })));
        places.filter(|(_, place)| place.sequence >= self.oldest)
    }

    /// A part.
    pub fn part(&self, place: HeldPlace) -> Encoded {
        self.blocks[place.block].part(place.sequence)
    }
}

/// The place of a part in what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldPlace {
    block: usize,
    sequence: u64,
}
