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
    /// A cursor for a reader in this shard that has no part yet, as `subscribe_from` without `after`.
    pub fn subscribe(self: &Arc<Self>, shard: usize, history: Option<usize>) -> Subscription {
        self.subscribe_from(shard, StartAt { history, after: None })
    }

    /// A cursor for a reader in this shard. Without `history` and `after` a run, and a feed of lines that has ended, begin with the oldest
    /// part, all others with the newest.
    pub fn subscribe_from(self: &Arc<Self>, shard: usize, start: StartAt) -> Subscription {
        let reader = self.readers.enter();
        let kind = self.kind();
        // Each run counts from 1. The first shard is the first to have a part: a reader may come from it to another.
        let after = start.after.filter(|after| kind != Kind::Run && *after <= self.published());
        let mut state = self.shard(shard).lock();
        state.subscribers += 1;
        state.was_watched = true;
        let catch_up_to = if start.history.is_some() { state.published } else { 0 };
        let takes_all = kind == Kind::Run || kind == Kind::Lines && (state.ended || after.is_some());
        let asked = start.history.unwrap_or(if takes_all { usize::MAX } else { 1 });
        // A reader that resumes takes also what is held only for those that lag.
        let may_take = if after.is_some() { usize::MAX } else { self.limits().hold(kind).history };
        let count = asked.min(may_take).min(state.len());
        let begin = state.published + 1 - count as u64;
        drop(state);
        self.shard(shard).changed.notify_waiters();
        let next = after.map_or(begin, |after| begin.max(after + 1));
        let missed = after.map(|after| next - after - 1);
        Subscription { feed: self.clone(), shard, next, catch_up_to, missed, _reader: reader, relay: None, is_sink: false }
    }

    /// A cursor for a reader that takes every part of a feed of any kind, from the oldest on that this shard has. It is that of
    /// `Registry::recorder_shard`, or the only one of a run.
    pub fn subscribe_to_all(self: &Arc<Self>, shard: usize) -> Subscription {
        let reader = self.readers.enter();
        let mut state = self.shard(shard).lock();
        (state.subscribers, state.was_watched) = (state.subscribers + 1, true);
        let next = state.oldest();
        drop(state);
        self.shard(shard).changed.notify_waiters();
        Subscription {
            feed: self.clone(),
            shard,
            next,
            catch_up_to: u64::MAX,
            missed: None,
            _reader: reader,
            relay: None,
            is_sink: false,
        }
    }
}

/// Where a reader begins in a feed.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartAt {
    /// At most this many parts ago (1: with the newest).
    pub history: Option<usize>,
    /// Behind this sequence: the reader has all parts up to it. A run, and a feed that has not come so far, ignore it.
    pub after: Option<u64>,
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
    /// Parts between those that the reader had and the first that it takes, if it resumes.
    missed: Option<u64>,
    _reader: ReaderGuard,
    /// For a reader that is a relay.
    relay: Option<HopsGuard>,
    /// Whether it is no viewer's.
    is_sink: bool,
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
    /// The same, for a relay if there is one.
    #[must_use]
    pub fn for_relay(mut self, relay: Option<HopsGuard>) -> Self {
        self.relay = relay;
        self
    }

    /// The same, not counted among the viewers.
    #[must_use]
    pub fn for_sink(mut self) -> Self {
        self.feed.shard(self.shard).lock().sinks += 1;
        self.is_sink = true;
        self
    }

    fn is_circle(&self) -> bool {
        self.relay.as_ref().is_some_and(HopsGuard::is_circle)
    }

    /// The feed it is on.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The parts that were no longer to be had when this reader resumed; `None` if it did not resume.
    pub fn missed(&self) -> Option<u64> {
        self.missed
    }

    /// Takes the next parts for this reader; `None` if it has taken all.
    pub fn take(&mut self, limit: TakeLimit) -> Option<Batch> {
        let (kind, shard) = (self.feed.kind(), self.feed.shard(self.shard));
        let mut state = shard.lock();
        if self.next > state.published || self.is_circle() {
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
        let taken = state.drop_taken();
        drop(state);
        drop(taken);
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

    /// Whether this reader has taken all parts and none will follow; or is a relay that the feed comes from.
    pub fn is_over(&self) -> bool {
        self.is_circle() || self.state(|state| state.ended && self.next > state.published)
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
        let mut state = shard.lock();
        state.subscribers -= 1;
        state.sinks -= usize::from(self.is_sink);
        drop(state);
        shard.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        feed::{Hold, Limits, Settings},
        format::Media,
        part::Part,
        wire::{self, Boundary},
    };

    #[test]
    fn a_reader_that_comes_from_another_shard_takes_no_part_twice() {
        let hold = Hold { history: 10, parts: 10, bytes: 1 << 20, asked: 0 };
        let limits = Limits { newest: hold, lines: hold, part_bytes: 1000, keep_same: true };
        let settings = Settings { shards: 2, ..Settings::new(Boundary::random(), limits) };
        let (publisher, feed) = Feed::new("test", Kind::Lines, &settings);
        let part = || Part::now(Media::from_known(Media::TEXT), "a");
        publisher.publish_all(vec![part(), part()]);
        // The third part reaches the first shard before the second.
        let third = wire::encode(vec![part()], 3, None, feed.boundary(), &settings.memory);
        feed.shard(0).lock().hold(&third, hold, |_| ());
        let mut reader = feed.subscribe_from(1, StartAt { history: None, after: Some(3) });
        assert!(reader.take(TakeLimit::ALL).is_none());
        feed.shard(1).lock().hold(&third, hold, |_| ());
        assert!(reader.take(TakeLimit::ALL).is_none());
        publisher.publish(part()).unwrap();
        assert_eq!(reader.take(TakeLimit::ALL).unwrap().parts.last().sequence(), 4);
        assert_eq!(reader.missed(), Some(0));
    }

    #[test]
    fn history_bounds_what_a_reader_that_resumes_takes() {
        let hold = |parts| Hold { history: 5, parts, bytes: 1 << 20, asked: 5 };
        let limits = Limits { newest: hold(5), lines: hold(8), part_bytes: 1000, keep_same: true };
        let settings = Settings::new(Boundary::random(), limits);
        for (kind, history, after, first, missed) in [
            // Lines are held beyond the history, for readers that lag; a reader that resumes is one.
            (Kind::Lines, None, 3, 4, 0),
            (Kind::Lines, None, 0, 3, 2),
            (Kind::Lines, Some(7), 1, 4, 2),
            (Kind::Lines, Some(2), 5, 9, 3),
            (Kind::Lines, Some(9), 9, 10, 0),
            (Kind::Newest, None, 3, 10, 6),
            (Kind::Newest, Some(5), 7, 8, 0),
            (Kind::Newest, Some(5), 2, 6, 3),
        ] {
            let (publisher, feed) = Feed::new("test", kind, &settings);
            (1..=10).for_each(|_| publisher.publish(Part::now(Media::from_known(Media::TEXT), "a")).unwrap());
            let mut reader = feed.subscribe_from(0, StartAt { history, after: Some(after) });
            let taken = reader.take(TakeLimit::ONE).unwrap();
            assert_eq!((taken.parts.last().sequence(), reader.missed()), (first, Some(missed)), "{kind:?} {history:?} {after}");
        }
    }
}
