//! What one fan-out loop sees of a feed. Each loop has a shard of its own, so that no viewer waits for a lock that another loop
//! holds; the blocks of parts are shared by all.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

use slab::Slab;
use tokio::sync::Notify;

use super::limits::Hold;
use crate::{
    sync::lock,
    wire::{Block, Encoded, Run},
};

/// One loop's view of a feed.
#[derive(Debug)]
pub(super) struct Shard {
    state: Mutex<ShardState>,
    /// Wakes the loop itself: shared by all feeds of a registry.
    pub(super) wakers: Arc<Wakers>,
    /// Tells the tasks that wait for a part or for a reader.
    pub(super) changed: Notify,
}

impl Shard {
    /// One that wakes these.
    pub(super) fn new(wakers: Arc<Wakers>) -> Self {
        Self { state: Mutex::default(), wakers, changed: Notify::new() }
    }

    /// The parts and the numbers.
    pub(super) fn lock(&self) -> MutexGuard<'_, ShardState> {
        lock(&self.state)
    }

    /// Tells everybody that something has changed.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
        self.wakers.wake();
    }
}

/// Who is woken at each change.
#[derive(Debug, Default)]
pub(super) struct Wakers(Mutex<Slab<Waker>>);

impl Wakers {
    pub(super) fn insert(&self, waker: Waker) -> usize {
        lock(&self.0).insert(waker)
    }

    pub(super) fn remove(&self, key: usize) {
        lock(&self.0).try_remove(key);
    }

    pub(super) fn wake(&self) {
        for (_, waker) in lock(&self.0).iter() {
            waker.wake_by_ref();
        }
    }
}

/// The parts that are held, and the numbers of this shard's readers.
#[derive(Debug, Default)]
pub(super) struct ShardState {
    blocks: VecDeque<Arc<Block>>,
    bytes: usize,
    /// The sequence of the oldest part that is held.
    oldest: u64,
    /// Parts since the start, which is the sequence of the newest.
    pub(super) published: u64,
    /// Bytes of their bodies.
    pub(super) published_bytes: u64,
    /// Sequence that the viewers of a run have all taken.
    pub(super) taken: u64,
    pub(super) subscribers: usize,
    /// Whether there ever was a subscriber: a run whose viewer is yet to come is not abandoned.
    pub(super) was_watched: bool,
    pub(super) dropped: u64,
    pub(super) ended: bool,
}

impl ShardState {
    /// Takes a block up, and hands those to `let_go` that the bounds do not hold any more.
    pub(super) fn hold(&mut self, block: &Arc<Block>, hold: Hold, mut let_go: impl FnMut(Arc<Block>)) {
        self.published = block.sequences().end - 1;
        self.published_bytes += block.body_bytes();
        self.bytes += block.size();
        self.blocks.push_back(block.clone());
        self.oldest = self.oldest.max(self.published.saturating_sub(hold.parts as u64) + 1);
        while self.blocks.len() > 1 && (self.bytes > hold.bytes || self.blocks[0].sequences().end <= self.oldest) {
            let Some(old) = self.blocks.pop_front() else { break };
            self.bytes -= old.size();
            self.oldest = self.oldest.max(old.sequences().end);
            let_go(old);
        }
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Arc<Block>> {
        std::mem::take(&mut self.blocks).into_iter()
    }

    /// The sequence of the oldest part that is held; behind the newest where none is.
    pub(super) fn oldest(&self) -> u64 {
        if self.blocks.is_empty() { self.published + 1 } else { self.oldest }
    }

    /// How many parts are held.
    pub(super) fn len(&self) -> usize {
        (self.published + 1 - self.oldest()) as usize
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The newest part.
    pub(super) fn newest(&self) -> Option<Encoded> {
        self.blocks.back().map(|block| block.part(self.published))
    }

    /// The parts from this sequence on, which is held, as far as they lie in one block and within these bounds.
    pub(super) fn run(&self, from: u64, parts: u64, bytes: usize) -> Option<Run> {
        let at = self.blocks.partition_point(|block| block.sequences().end <= from);
        self.blocks.get(at).map(|block| block.run(from, parts, bytes))
    }

    /// The parts that are held, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = Encoded> {
        let oldest = self.oldest();
        let sequences = self.blocks.iter().rev().flat_map(|block| block.sequences().rev().map(move |sequence| (block, sequence)));
        sequences.take_while(move |(_, sequence)| *sequence >= oldest).map(|(block, sequence)| block.part(sequence))
    }
}
