//! The reader's end of a feed: a cursor, which knows the parts that this reader has taken. It returns parts, and does not know how a
//! sink uses them.

use std::sync::Arc;

use super::{
    demand::ReaderGuard,
    hops::HopsGuard,
    limits::Kind,
    shard::{Shard, ShardState},
    store::Feed,
};
use crate::wire::{Encoded, Run};

/// The most bytes of parts taken together, so that one reader's turn stays short.
const RUN_BYTES: usize = 256 * 1024;

impl Feed {
    /// A cursor for a reader in this shard, which begins `history` parts ago (1: with the newest). Without `history` a run, and a feed
    /// of lines that has ended, begin with the oldest part.
    pub fn subscribe(self: &Arc<Self>, shard: usize, history: Option<usize>) -> Subscription {
        let reader = self.readers.enter();
        let mut state = self.shard(shard).lock();
        state.subscribers += 1;
        state.was_watched = true;
        let is_finished_log = state.ended && self.kind() == Kind::Lines;
        let catch_up_to = if history.is_some() { state.published } else { 0 };
        let history = match history {
            None if is_finished_log || self.kind() == Kind::Run => usize::MAX,
            history => history.unwrap_or(1),
        };
        let count = history.min(self.limits().hold(self.kind()).history).min(state.len());
        let next = state.published + 1 - count as u64;
        drop(state);
        self.shard(shard).changed.notify_waiters();
        Subscription { feed: self.clone(), shard, next, catch_up_to, _reader: reader, hops: None }
    }
}

/// A reader's end of a feed, in the shard of its fan-out loop.
#[derive(Debug)]
pub struct Subscription {
    feed: Arc<Feed>,
    shard: usize,
    /// The next sequence wanted.
    next: u64,
    /// Up to this sequence every part is taken, even in a feed of kind `Newest`.
    catch_up_to: u64,
    _reader: ReaderGuard,
    /// Names the processes on the way to this reader.
    hops: Option<HopsGuard>,
}

/// The parts that a reader takes at a time.
#[derive(Debug)]
pub struct Batch {
    /// Consecutive parts.
    pub parts: Run,
    /// Parts that were replaced before this reader took them.
    pub dropped: u64,
    /// Whether no part follows these.
    pub ended: bool,
}

/// How much a reader takes at a time.
#[derive(Debug, Clone, Copy)]
pub struct TakeLimit {
    /// The most parts, at least 1.
    pub parts: u64,
    /// Whether lines are taken like pictures: the newest, and the number of those before it that are dropped.
    pub thins_lines: bool,
}

impl TakeLimit {
    /// As many parts as fit.
    pub const ALL: Self = Self { parts: u64::MAX, thins_lines: false };
    /// One part.
    pub const ONE: Self = Self { parts: 1, thins_lines: false };
}

impl Subscription {
    /// Keeps the names of the processes on the way to this reader for as long as it reads.
    #[must_use]
    pub fn on_behalf_of(mut self, hops: HopsGuard) -> Self {
        self.hops = Some(hops);
        self
    }

    /// The feed it is on.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Takes the next parts for this reader; `None` if it has taken all.
    pub fn take(&mut self, limit: TakeLimit) -> Option<Batch> {
        let (kind, shard) = (self.feed.kind(), self.feed.shard(self.shard));
        let mut state = shard.lock();
        if self.next > state.published {
            return None;
        }
        // The kind may have been decided since this reader subscribed.
        let takes_newest = kind == Kind::Newest || kind == Kind::Lines && limit.thins_lines;
        let catch_up_to = if takes_newest { self.catch_up_to } else { u64::MAX };
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

    /// Drops the parts that were replaced while this reader is busy: it will take the newest next. Returns how many.
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

    /// Steps back from the newest part to the newest one that the reader wants.
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

    /// The newest part, if this reader has taken it.
    pub fn newest_taken(&self) -> Option<Encoded> {
        self.state(|state| state.newest().filter(|newest| newest.sequence() < self.next))
    }

    /// Whether this reader has taken all parts and none will follow.
    pub fn is_over(&self) -> bool {
        self.state(|state| state.ended && self.next > state.published)
    }

    /// Whether there are parts that this reader has not taken.
    pub fn has_news(&self) -> bool {
        self.state(|state| self.next <= state.published)
    }

    fn state<T>(&self, read: impl FnOnce(&ShardState) -> T) -> T {
        read(&self.feed.shard(self.shard).lock())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let shard: &Shard = self.feed.shard(self.shard);
        shard.lock().subscribers -= 1;
        shard.changed.notify_waiters();
    }
}
