//! The end of a feed that a viewer holds: a cursor, which knows what this viewer has had and what it can take.

use std::sync::{Arc, MutexGuard};

use bytes::Bytes;

use super::{Entry, Feed, Kind, ShardState};
use crate::{
    format::ImageClass,
    sync::lock,
    wire::{Encoded, Layout},
};

/// Plain bytes that one `take` joins at most, so that one viewer's turn stays short.
const RUN_BYTES: usize = 256 * 1024;

/// What a viewer can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Every part.
    All,
    /// An `<img>`: pictures of one class, in the layout that its browser needs to paint them.
    Pictures(Layout),
}

impl Accepts {
    fn layout(self) -> Layout {
        match self {
            Self::All => Layout::Plain,
            Self::Pictures(layout) => layout,
        }
    }
}

impl Feed {
    /// A cursor for a viewer of the fan-out loop with this number, which begins `history` parts ago (1: with the newest). A log
    /// that has ended is given from its start where nothing was asked: nothing newer will come.
    pub fn subscribe(self: &Arc<Self>, shard: usize, history: Option<usize>, accepts: Accepts) -> Subscription {
        let mut state = lock(&self.shard(shard).state);
        state.subscribers += 1;
        state.was_watched = true;
        self.shard(shard).changed.notify_waiters();
        let all_there_is = state.ended && self.kind() == Kind::Lines;
        let catch_up_to = if history.is_some() { state.published } else { 0 };
        let history = match history {
            None if all_there_is || self.kind() == Kind::Run => usize::MAX,
            history => history.unwrap_or(1),
        };
        let count = history.min(self.rules().limits.history).min(state.held.len()) as u64;
        let next = state.published + 1 - count;
        let cursor = Cursor { next, catch_up_to, started: false, accepts, layout: accepts.layout(), class: None, picture: None };
        let mut subscription = Subscription { feed: self.clone(), shard, cursor };
        if count == 1 {
            subscription.cursor.step_back_to_a_picture(&state);
        }
        subscription
    }
}

/// A viewer's end of a feed: what this viewer has had, in the shard of its fan-out loop.
#[derive(Debug)]
pub struct Subscription {
    feed: Arc<Feed>,
    shard: usize,
    cursor: Cursor,
}

#[derive(Debug)]
struct Cursor {
    /// The next sequence wanted.
    next: u64,
    /// Up to this one every part is given, although only the newest counts.
    catch_up_to: u64,
    /// Whether a part was given: from then on the next headers may have left early.
    started: bool,
    accepts: Accepts,
    layout: Layout,
    class: Option<ImageClass>,
    /// The last picture given: the feed may hold nothing but text by the time it is to be repeated.
    picture: Option<Box<Encoded>>,
}

/// What a viewer takes at a time.
#[derive(Debug)]
pub struct Batch {
    /// One part or several that follow one another, without a first delimiter.
    pub bytes: Bytes,
    /// How many parts these are.
    pub parts: u64,
    /// Parts that were replaced before this viewer took them.
    pub dropped: u64,
    /// Parts that this viewer cannot take, left out.
    pub left_out: u64,
    /// Nothing follows: no delimiter is in `bytes`, the close-delimiter is to be written.
    pub last: bool,
}

/// How much a viewer takes.
#[derive(Debug, Clone, Copy)]
pub struct TakeLimit {
    /// So many parts.
    pub parts: u64,
    /// And no more of them ever: the last of these is the last of the stream.
    pub is_all: bool,
    /// Whether the end of the feed is that of the stream: one of several feeds ends with the last of them.
    pub may_end: bool,
}

impl TakeLimit {
    /// All there is of a stream of one feed.
    pub const ALL: Self = Self { parts: u64::MAX, is_all: false, may_end: true };
}

impl Subscription {
    /// The feed it is on.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Takes what is next for this viewer, or nothing where it has seen everything. `Batch` without parts reports those
    /// that were left out.
    pub fn take(&mut self, most: TakeLimit) -> Option<Batch> {
        let kind = self.feed.kind();
        let shard = self.feed.shard(self.shard);
        let taken = self.cursor.take(&mut lock(&shard.state), kind, most);
        if kind == Kind::Run {
            shard.changed.notify_waiters();
        }
        taken
    }

    /// Counts what was replaced while this viewer is busy with a part: it will take the newest, so that the others are
    /// dropped already. Gives how many.
    pub fn skip_to_newest(&mut self) -> u64 {
        match self.feed.kind() {
            Kind::Newest => self.cursor.skip_to_newest(&mut lock(&self.feed.shard(self.shard).state)),
            Kind::Lines | Kind::Run => 0,
        }
    }

    /// The newest part once more, for a viewer that has it; `last` for the close-delimiter to follow.
    pub fn repeat(&mut self, last: bool) -> Option<Bytes> {
        self.cursor.repeat(&self.state(), last)
    }

    /// Whether everything was taken and nothing will follow.
    pub fn is_over(&self) -> bool {
        let state = self.state();
        state.ended && self.cursor.next > state.published
    }

    /// Whether there are parts that this viewer has not seen.
    pub fn has_news(&self) -> bool {
        self.cursor.next <= self.state().published
    }

    fn state(&self) -> MutexGuard<'_, ShardState> {
        lock(&self.feed.shard(self.shard).state)
    }
}

impl Cursor {
    fn take(&mut self, state: &mut ShardState, kind: Kind, most: TakeLimit) -> Option<Batch> {
        let oldest = state.published + 1 - state.held.len() as u64;
        if self.next > state.published {
            return None;
        }
        // The kind may have been settled since this viewer came.
        let catch_up_to = if kind == Kind::Newest { self.catch_up_to } else { u64::MAX };
        let from = if self.next <= catch_up_to { self.next.max(oldest) } else { state.published };
        let dropped = from - self.next;
        let (mut index, mut left_out) = ((from - oldest) as usize, 0);
        while index < state.held.len() && !self.can_take(&state.held[index]) {
            left_out += 1;
            index += 1;
        }
        state.dropped += dropped;
        let run = self.run_at(state, index, most.parts, catch_up_to);
        self.next = from + left_out + run;
        state.taken = state.taken.max(self.next - 1);
        let over = most.may_end && state.ended && self.next > state.published;
        let last = run > 0 && (over || most.is_all && run == most.parts);
        let bytes = if run == 0 { Bytes::new() } else { self.bytes_of(state, index, run as usize, last) };
        Some(Batch { bytes, parts: run, dropped, left_out, last })
    }

    fn skip_to_newest(&mut self, state: &mut ShardState) -> u64 {
        if self.next <= self.catch_up_to || self.next >= state.published {
            return 0;
        }
        let dropped = state.published - std::mem::replace(&mut self.next, state.published);
        state.dropped += dropped;
        dropped
    }

    fn repeat(&self, state: &ShardState, last: bool) -> Option<Bytes> {
        let given = match self.accepts {
            Accepts::All => &state.held.back().filter(|held| self.started && held.part.sequence < self.next)?.part,
            Accepts::Pictures(_) => self.picture.as_deref()?,
        };
        Some(given.bytes(self.layout, self.opened(), last))
    }

    fn opened(&self) -> bool {
        self.started && self.layout == Layout::EarlyHeaders
    }

    fn can_take(&self, held: &Entry) -> bool {
        match (self.accepts, self.class) {
            (Accepts::All, _) => true,
            (Accepts::Pictures(_), None) => held.class != ImageClass::Other,
            (Accepts::Pictures(_), Some(class)) => held.class == class,
        }
    }

    /// How many parts from `index` on leave together: lines of one block, otherwise one.
    fn run_at(&self, state: &ShardState, index: usize, most: u64, catch_up_to: u64) -> u64 {
        let Some(first) = state.held.get(index).filter(|_| most > 0) else { return 0 };
        if self.accepts != Accepts::All || self.next > catch_up_to {
            return 1;
        }
        let joins = |held: &&Entry| first.part.run_to(&held.part, false).is_some_and(|run| run.len() <= RUN_BYTES);
        let later = state.held.iter().skip(index + 1).take(most as usize - 1).take_while(joins).count() as u64;
        1 + later.min(catch_up_to.saturating_sub(first.part.sequence))
    }

    fn bytes_of(&mut self, state: &ShardState, index: usize, run: usize, last: bool) -> Bytes {
        let (opened, first) = (self.opened(), &state.held[index].part);
        if let Accepts::Pictures(_) = self.accepts {
            self.class = Some(state.held[index].class);
            self.picture = Some(Box::new(first.clone()));
        }
        self.started = true;
        match run {
            1 => first.bytes(self.layout, opened, last),
            _ => first.run_to(&state.held[index + run - 1].part, last).unwrap_or_default(),
        }
    }

    /// An `<img>` that comes while the newest part is nothing for it begins with the newest that is.
    fn step_back_to_a_picture(&mut self, state: &ShardState) {
        let newest = state.held.iter().rev().find_map(|held| self.can_take(held).then_some(held.part.sequence));
        if let (Some(sequence), Accepts::Pictures(_)) = (newest, self.accepts) {
            self.next = sequence;
            self.catch_up_to = self.catch_up_to.max(sequence);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.state().subscribers -= 1;
        self.feed.shard(self.shard).changed.notify_waiters();
    }
}
