//! A shard: one fan-out loop's view of a feed. Each loop has its own, so that no viewer waits for a lock that another loop holds;
//! all shards share the blocks of parts. It knows blocks and wakers, no sinks.

use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard},
    task::Waker,
};

use slab::Slab;
use tokio::{sync::Notify, time::Instant};

use super::limits::Hold;
use crate::{
    sync::Mutex,
    wire::{Block, Encoded, Run},
};

/// One loop's view of a feed.
#[derive(Debug)]
pub(super) struct Shard {
    state: Mutex<ShardState>,
    /// The wakers of the loop, which all feeds of a registry share.
    pub(super) wakers: Arc<Wakers>,
    /// Notifies the tasks that wait for a part or for a reader.
    pub(super) changed: Notify,
}

impl Shard {
    /// An empty shard that wakes these wakers at changes.
    pub(super) fn new(wakers: Arc<Wakers>, is_recorders: bool) -> Self {
        let state = ShardState { is_recorders, ..ShardState::default() };
        Self { state: Mutex::new(state), wakers, changed: Notify::new() }
    }

    /// Locks the parts and the numbers.
    pub(super) fn lock(&self) -> MutexGuard<'_, ShardState> {
        #[cfg(test)]
        super::tests::LOCKS.with(|locks| locks.set(locks.get() + 1));
        self.state.lock()
    }

    /// Wakes all that wait for a change.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
        self.wakers.wake();
    }
}

/// The wakers to wake at each change.
#[derive(Debug, Default)]
pub(super) struct Wakers(Mutex<Slab<Waker>>);

impl Wakers {
    pub(super) fn insert(&self, waker: Waker) -> usize {
        self.0.lock().insert(waker)
    }

    pub(super) fn remove(&self, key: usize) {
        self.0.lock().try_remove(key);
    }

    pub(super) fn wake(&self) {
        for (_, waker) in self.0.lock().iter() {
            waker.wake_by_ref();
        }
    }
}

/// The parts held, and the numbers of this shard's readers.
#[derive(Debug, Default)]
pub(super) struct ShardState {
    blocks: VecDeque<Arc<Block>>,
    bytes: usize,
    /// The sequence of the oldest part held.
    oldest: u64,
    /// Parts since the start, which is also the sequence of the newest.
    pub(super) published: u64,
    /// Bytes of their bodies.
    pub(super) published_bytes: u64,
    /// When the newest was published.
    pub(super) newest_at: Option<Instant>,
    /// The highest sequence that a reader has taken; a run waits for it.
    pub(super) taken: u64,
    pub(super) subscribers: usize,
    /// Whether there ever was a subscriber: a run whose viewer has not come yet is not abandoned.
    /// Those of them that are no viewers.
    pub(super) sinks: usize,
    pub(super) was_watched: bool,
    pub(super) dropped: u64,
    pub(super) ended: bool,
    /// Whether its only reader takes every part, and its blocks wait for that.
    pub(super) is_recorders: bool,
}

impl ShardState {
    /// Has the first part follow this sequence.
    pub(super) fn continue_after(&mut self, sequence: u64) {
        (self.published, self.oldest) = (sequence, sequence + 1);
    }

    /// Adds a block, and passes the blocks that exceed the limits to `release`.
    pub(super) fn hold(&mut self, block: &Arc<Block>, hold: Hold, mut release: impl FnMut(Arc<Block>)) {
        self.published = block.sequences().end - 1;
        self.newest_at = Some(Instant::now());
        self.published_bytes += block.body_bytes();
        self.bytes += block.size();
        self.blocks.push_back(block.clone());
        self.oldest = self.oldest.max(self.published.saturating_sub(hold.parts as u64) + 1);
        let asked = self.published.saturating_sub(hold.asked as u64) + 1;
        let goes = |state: &Self, end| end <= state.oldest || state.bytes > hold.bytes && end <= asked;
        while let Some(old) = self.pop_past(goes) {
            release(old);
        }
    }

    /// Removes the blocks up to the one of this number, except the newest.
    pub(super) fn drop_up_to(&mut self, number: u64) -> Vec<Arc<Block>> {
        let goes = |state: &Self, _| state.blocks[0].charge().number() <= number;
        std::iter::from_fn(|| self.pop_past(goes)).collect()
    }

    /// Removes the blocks that the reader of every part has taken, except the newest, in a shard of its own.
    pub(super) fn drop_taken(&mut self) -> Vec<Arc<Block>> {
        let goes = |state: &Self, end| state.is_recorders && end <= state.taken + 1;
        std::iter::from_fn(|| self.pop_past(goes)).collect()
    }

    /// Removes the oldest block, if it is not the newest and goes; `goes` gets the sequence after it.
    fn pop_past(&mut self, goes: impl Fn(&Self, u64) -> bool) -> Option<Arc<Block>> {
        let end = self.blocks.front()?.sequences().end;
        if self.blocks.len() == 1 || !goes(self, end) {
            return None;
        }
        let old = self.blocks.pop_front()?;
        self.bytes -= old.size();
        self.oldest = self.oldest.max(end);
        Some(old)
    }

    /// Removes all blocks.
    pub(super) fn clear(&mut self) -> VecDeque<Arc<Block>> {
        self.bytes = 0;
        std::mem::take(&mut self.blocks)
    }

    /// The sequence of the oldest part held; if there is none, the one after the newest.
    pub(super) fn oldest(&self) -> u64 {
        if self.blocks.is_empty() { self.published + 1 } else { self.oldest }
    }

    /// The number of parts held.
    pub(super) fn len(&self) -> usize {
        (self.published + 1 - self.oldest()) as usize
    }

    /// The bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The block of the newest part.
    pub(super) fn newest_block(&self) -> Option<Arc<Block>> {
        self.blocks.back().cloned()
    }

    /// The newest part.
    pub(super) fn newest(&self) -> Option<Encoded> {
        self.blocks.back().map(|block| block.part(self.published))
    }

    /// The parts from this sequence on, which must be held, as far as they lie in one block and within these limits.
    pub(super) fn run(&self, from: u64, parts: u64, bytes: usize) -> Option<Run> {
        // Nearly every reader is at the newest block; the others' blocks lie far apart in memory.
        let newest = self.blocks.back().filter(|block| block.sequences().start <= from);
        let older = || self.blocks.get(self.blocks.partition_point(|block| block.sequences().end <= from));
        newest.or_else(older).map(|block| block.run(from, parts, bytes))
    }

    /// The blocks held, oldest first, with the sequence of the oldest part held.
    pub(super) fn held(&self) -> (Vec<Arc<Block>>, u64) {
        (self.blocks.iter().cloned().collect(), self.oldest())
    }

    /// The parts held, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = Encoded> {
        let oldest = self.oldest();
        let sequences = self.blocks.iter().rev().flat_map(|block| block.sequences().rev().map(move |sequence| (block, sequence)));
        sequences.take_while(move |(_, sequence)| *sequence >= oldest).map(|(block, sequence)| block.part(sequence))
    }
}
