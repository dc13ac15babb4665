//! The end of a feed that a reader holds: a cursor, which knows what this reader has had. It gives parts; what becomes of them is
//! for the sink to say.

use std::sync::Arc;

use super::{
    demand::Reader,
    limits::Kind,
    shard::{Shard, ShardState},
    store::Feed,
};
use crate::wire::{Encoded, Run};

/// Bytes of parts that leave together at most, so that one reader's turn stays short.
const RUN_BYTES: usize = 256 * 1024;

impl Feed {
    /// A cursor for a reader of the fan-out loop with this number, which begins `history` parts ago (1: with the newest). A log
    /// that has ended is given from its start where nothing was asked: nothing newer will come.
    pub fn subscribe(self: &Arc<Self>, shard: usize, history: Option<usize>) -> Subscription {
        let reader = self.readers.enter();
        let mut state = self.shard(shard).lock();
        state.subscribers += 1;
        state.was_watched = true;
        let all_there_is = state.ended && self.kind() == Kind::Lines;
        let catch_up_to = if history.is_some() { state.published } else { 0 };
        let history = match history {
            None if all_there_is || self.kind() == Kind::Run => usize::MAX,
            history => history.unwrap_or(1),
        };
        let count = history.min(self.limits().hold(self.kind()).history).min(state.len());
        let next = state.published + 1 - count as u64;
        drop(state);
        self.shard(shard).changed.notify_waiters();
        Subscription { feed: self.clone(), shard, next, catch_up_to, _reader: reader }
    }
}

/// A reader's end of a feed: what this reader has had, in the shard of its fan-out loop.
#[derive(Debug)]
pub struct Subscription {
    feed: Arc<Feed>,
    shard: usize,
    /// The next sequence wanted.
    next: u64,
    /// Up to this one every part is given, although only the newest counts.
    catch_up_to: u64,
    _reader: Reader,
}

/// What a reader takes at a time.
#[derive(Debug)]
pub struct Batch {
    /// Parts that follow one another.
    pub parts: Run,
    /// Parts that were replaced before this reader took them.
    pub dropped: u64,
    /// Nothing follows these parts.
    pub ended: bool,
}

/// How much a reader takes.
#[derive(Debug, Clone, Copy)]
pub struct TakeLimit {
    /// At most so many parts, at least 1.
    pub parts: u64,
}

impl TakeLimit {
    /// As much as leaves together.
    pub const ALL: Self = Self { parts: u64::MAX };
    /// One part.
    pub const ONE: Self = Self { parts: 1 };
}

impl Subscription {
    /// The feed it is on.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Takes the next parts for this reader, or nothing where it has seen everything.
    pub fn take(&mut self, limit: TakeLimit) -> Option<Batch> {
        let (kind, shard) = (self.feed.kind(), self.feed.shard(self.shard));
        let mut state = shard.lock();
        if self.next > state.published {
            return None;
        }
        // The kind may have been decided since this reader came.
        let catch_up_to = if kind == Kind::Newest { self.catch_up_to } else { u64::MAX };
        let is_catching_up = self.next <= catch_up_to;
        let from = if is_catching_up { self.next.max(state.oldest()) } else { state.published };
        let parts = if is_catching_up { limit.parts.min(catch_up_to.saturating_sub(from).saturating_add(1)) } else { 1 };
        let parts = state.run(from, parts, RUN_BYTES)?;
        let dropped = from - self.next;
        state.dropped += dropped;
        self.next = from + parts.count() as u64;
        state.taken = state.taken.max(self.next - 1);
        let ended = state.ended && self.next > state.published;
        drop(state);
        if kind == Kind::Run {
            shard.changed.notify_waiters();
        }
        Some(Batch { parts, dropped, ended })
    }

    /// Counts what was replaced while this reader is busy with a part: it will take the newest, so that the others are dropped
    /// already. Gives how many.
    pub fn skip_to_newest(&mut self) -> u64 {
        if self.feed.kind() != Kind::Newest || self.next <= self.catch_up_to {
            return 0;
        }
        let mut state = self.feed.shard(self.shard).lock();
        let dropped = state.published.saturating_sub(self.next);
        self.next += dropped;
        state.dropped += dropped;
        dropped
    }

    /// Begins with the newest part that is wanted, where that is not the newest of all.
    pub fn step_back_to(&mut self, is_wanted: impl Fn(&Encoded) -> bool) {
        let wanted = self.state(|state| {
            let begins_with_newest = self.next == state.published;
            state.newest_first().find(|part| is_wanted(part)).filter(|_| begins_with_newest)
        });
        if let Some(part) = wanted {
            self.next = part.sequence();
            self.catch_up_to = self.catch_up_to.max(self.next);
        }
    }

    /// The newest part, where this reader has had it.
    pub fn newest_taken(&self) -> Option<Encoded> {
        self.state(|state| state.newest().filter(|newest| newest.sequence() < self.next))
    }

    /// Whether everything was taken and nothing will follow.
    pub fn is_over(&self) -> bool {
        self.state(|state| state.ended && self.next > state.published)
    }

    /// Whether there are parts that this reader has not seen.
    pub fn has_news(&self) -> bool {
        self.state(|state| self.next <= state.published)
    }

    fn state<T>(&self, look: impl FnOnce(&ShardState) -> T) -> T {
        look(&self.feed.shard(self.shard).lock())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let shard: &Shard = self.feed.shard(self.shard);
        shard.lock().subscribers -= 1;
        shard.changed.notify_waiters();
    }
}
