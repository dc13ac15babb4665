//! A feed: the one live sequence of parts, encoded once, held within bounds. A `Publisher` puts parts in; a
//! `Subscription` is a viewer's cursor on it. No sockets here, no waiting for viewers, and nobody here knows a source.

mod mount;
mod pace;
mod publisher;
mod state;
mod subscription;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use slab::Slab;
use tokio::sync::Notify;

pub use self::{
    mount::Mount,
    pace::interval_at,
    publisher::{Publisher, Refused},
    state::FeedState,
    subscription::{Accepts, Batch, Subscription, TakeLimit},
};
use self::{pace::Pace, state::NewestState};
use crate::{
    format::ImageClass,
    part::Part,
    sync::lock,
    wire::{self, Boundary, Encoded},
};

/// What a name keeps in a URL and in `X-Feed`: the unreserved characters of RFC 3986, section 2.3.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a feed treats a viewer that is slower than its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A viewer takes the newest part; what was replaced meanwhile is dropped for it.
    Newest,
    /// Each part reaches each viewer, in order; who falls behind what is held skips ahead.
    Lines,
    /// One viewer's own run: the publisher waits for it (`Publisher::room`).
    Run,
}

/// What a feed holds and takes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Past parts that a viewer may ask for, at least 1.
    pub history: usize,
    /// Parts held for viewers that are behind; never fewer than `history`.
    pub held: usize,
    /// Bytes held, whatever the counts say; the newest part is always held.
    pub held_bytes: usize,
    /// Largest body that is taken.
    pub part_bytes: usize,
    /// Whether a part is pushed although its bytes are those of the one before.
    pub keep_same: bool,
}

/// The live sequence of parts.
#[derive(Debug)]
pub struct Feed {
    /// What it is called in URLs, `/state` and the log.
    pub name: String,
    /// The name percent-encoded, for URLs and headers.
    pub url_name: String,
    boundary: Boundary,
    rules: Rules,
    /// The rules of a feed whose first bytes told what it is (`Publisher::settle`).
    settled: OnceLock<Rules>,
    pace: OnceLock<Pace>,
    shards: Box<[Shard]>,
    refused: AtomicU64,
}

/// What one fan-out loop sees of a feed. Each loop has a shard of its own, so that no viewer waits for a lock that another
/// loop holds; the bytes of the parts are shared by all.
#[derive(Debug, Default)]
struct Shard {
    state: Mutex<ShardState>,
    watchers: Mutex<Slab<Waker>>,
    changed: Notify,
}

#[derive(Debug)]
struct Rules {
    kind: Kind,
    limits: Limits,
}

#[derive(Debug, Default)]
struct ShardState {
    held: VecDeque<Entry>,
    held_bytes: usize,
    published: u64,
    published_bytes: u64,
    /// Sequence that the viewers of a run have all taken.
    taken: u64,
    subscribers: usize,
    /// Whether there ever was a subscriber: a run whose viewer is yet to come is not abandoned.
    was_watched: bool,
    dropped: u64,
    ended: bool,
}

impl ShardState {
    /// Takes parts up, and lets go of what the limits do not hold.
    fn hold(&mut self, parts: &[Entry], limits: &Limits) {
        self.published += parts.len() as u64;
        for held in parts {
            self.held_bytes += held.part.size();
            self.published_bytes += held.part.body_len() as u64;
            self.held.push_back(held.clone());
        }
        while self.held.len() > limits.held || (self.held_bytes > limits.held_bytes && self.held.len() > 1) {
            let Some(old) = self.held.pop_front() else { break };
            self.held_bytes -= old.part.size();
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    part: Encoded,
    class: ImageClass,
}

impl Feed {
    /// A new feed, for so many fan-out loops, and the one end that publishes into it.
    pub fn new(name: impl Into<String>, kind: Kind, boundary: Boundary, limits: Limits, shards: usize) -> (Publisher, Arc<Self>) {
        let name = name.into();
        let feed = Arc::new(Self {
            url_name: utf8_percent_encode(&name, NAME).to_string(),
            name,
            boundary,
            rules: Rules { kind, limits },
            settled: OnceLock::new(),
            pace: OnceLock::new(),
            shards: (0..shards.max(1)).map(|_| Shard::default()).collect(),
            refused: AtomicU64::new(0),
        });
        (Publisher { feed: feed.clone() }, feed)
    }

    /// How it treats slow viewers.
    pub fn kind(&self) -> Kind {
        self.rules().kind
    }

    fn rules(&self) -> &Rules {
        self.settled.get().unwrap_or(&self.rules)
    }

    /// Keeps the pace that `Publisher::keep_pace` set, until the end; without one it has nothing to do.
    pub async fn keep_pace(&self) {
        if let Some(pace) = self.pace.get() {
            pace.keep(self).await;
        }
    }

    /// The boundary between its parts.
    pub fn boundary(&self) -> &Boundary {
        &self.boundary
    }

    /// The shard of this number; a feed with fewer loops has fewer.
    fn shard(&self, shard: usize) -> &Shard {
        &self.shards[shard.min(self.shards.len() - 1)]
    }

    /// The state that tells of all of them what each holds alike.
    fn first(&self) -> MutexGuard<'_, ShardState> {
        lock(&self.shards[0].state)
    }

    /// The newest part.
    pub fn newest(&self) -> Option<Encoded> {
        self.first().held.back().map(|held| held.part.clone())
    }

    /// Waits until there is a part newer than `sequence`, or the feed has ended; then gives the newest, if any.
    pub async fn newer_than(&self, sequence: u64) -> Option<Encoded> {
        loop {
            let changed = self.shards[0].changed.notified();
            {
                let state = self.first();
                if state.ended || state.published > sequence {
                    return state.held.back().map(|held| held.part.clone());
                }
            }
            changed.await;
        }
    }

    /// Whether no part will follow.
    pub fn has_ended(&self) -> bool {
        self.first().ended
    }

    /// Ends the feed: viewers get what is left and the close-delimiter.
    pub fn end(&self) {
        let pace = self.pace.get();
        if !pace.is_some_and(|pace| pace.publish_last(self)) {
            self.tell(|state| state.ended = true);
        }
        pace.inspect(|pace| pace.ring());
    }

    /// Has `waker` woken at every change in a loop's shard, until the key is given to `unwatch`.
    pub fn register_waker(&self, shard: usize, waker: Waker) -> usize {
        lock(&self.shard(shard).watchers).insert(waker)
    }

    /// Ends a `watch`.
    pub fn remove_waker(&self, shard: usize, key: usize) {
        lock(&self.shard(shard).watchers).try_remove(key);
    }

    /// Its numbers.
    pub fn state(&self) -> FeedState {
        let (viewers, dropped) = self
            .shards
            .iter()
            .map(|shard| lock(&shard.state))
            .fold((0, 0), |(viewers, dropped), state| (viewers + state.subscribers, dropped + state.dropped));
        let state = self.first();
        FeedState {
            name: self.name.clone(),
            kind: self.kind(),
            ended: state.ended,
            history: self.rules().limits.history,
            published: state.published,
            published_bytes: state.published_bytes,
            refused: self.refused.load(Relaxed),
            dropped,
            viewers,
            newest: state.held.back().map(|held| NewestState::of(&held.part)),
        }
    }

    fn publish(&self, parts: &[Part], last: bool) {
        let (first, before) = {
            let state = self.first();
            (state.published + 1, state.held.back().map(|held| held.part.time))
        };
        // Encoded and looked at outside the lock: there is one publisher, so the numbers stay ours.
        let encoded = wire::encode(parts, first, before, &self.boundary);
        let classes = parts.iter().map(|part| part.class);
        let held: Vec<Entry> = encoded.into_iter().zip(classes).map(|(part, class)| Entry { part, class }).collect();
        let limits = &self.rules().limits;
        self.tell(|state| {
            state.hold(&held, limits);
            state.ended |= last;
        });
    }

    /// Changes what every shard holds, and wakes its loop.
    fn tell(&self, change: impl Fn(&mut ShardState)) {
        for shard in &self.shards {
            change(&mut lock(&shard.state));
            shard.changed.notify_waiters();
            for (_, waker) in lock(&shard.watchers).iter() {
                waker.wake_by_ref();
            }
        }
    }
}
