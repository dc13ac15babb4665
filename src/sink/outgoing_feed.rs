//! One feed that is published: its cursor, how far the other side has it, and its parts as they are handed out. It knows no connection.

use std::{collections::HashMap, sync::Arc, task::Waker, time::Duration};

use tokio::time::Instant;
use tracing::warn;

use crate::{
    feed::{Feed, Hops, Kind, Mount, StartAt, Subscription},
    wire::Encoded,
};

/// The shard that it reads.
pub(super) const SHARD: usize = 0;

/// The other side, as it is when a connection begins.
#[derive(Debug, Default)]
pub(super) struct Remote {
    /// The name of its process, if it is one of mxr: its own feeds are not sent back to it.
    pub(super) process: Option<String>,
    /// Behind which sequence each feed is sent, by its name there. Of feeds of pictures the newest part is sent in any case.
    pub(super) sent: HashMap<String, u64>,
    /// The largest part that it takes, in bytes, and what can be done about it.
    pub(super) max_part: Option<usize>,
    pub(super) size_hint: &'static str,
    /// Whether it keeps what it has until it is told otherwise, and is asked before a relayed feed is sent.
    pub(super) is_retaining: bool,
}

/// Parts of one feed that are to be sent, at least one.
#[derive(Debug)]
pub(super) struct OutgoingBatch {
    /// The name there.
    pub(super) name: Arc<str>,
    /// The kind of the feed.
    pub(super) kind: Kind,
    /// The processes that it has passed before this one.
    pub(super) hops: Hops,
    /// Whether its source is there.
    pub(super) is_live: bool,
    /// Consecutive parts.
    pub(super) parts: Vec<Encoded>,
}

/// A feed that is published.
#[derive(Debug)]
pub(super) struct OutgoingFeed {
    pub(super) number: u64,
    pub(super) feed: Arc<Feed>,
    /// Its name there.
    pub(super) name: Arc<str>,
    pub(super) subscription: Subscription,
    /// The key of the waker of a run.
    pub(super) waker: Option<usize>,
    /// Whether a part of it is there.
    pub(super) has_begun: bool,
    /// When a part of it was taken last.
    pub(super) sent: Instant,
    /// Whether its source was there at the last part, or when that was told.
    pub(super) was_live: bool,
    /// Whether it is known that the feed does not come from there.
    pub(super) is_checked: bool,
    /// Whether it was removed; its last parts are still sent.
    pub(super) is_gone: bool,
    /// Whether a part that is too large was told of.
    pub(super) has_said_large: bool,
}

impl Remote {
    /// The largest part that it takes, in bytes.
    pub(super) fn max_part(&self) -> usize {
        self.max_part.unwrap_or(usize::MAX)
    }
}

impl OutgoingFeed {
    pub(super) fn new(number: u64, mount: &Mount, name: String, after: Option<u64>, waker: Waker) -> Self {
        let feed = mount.open();
        let subscription = subscribe(&feed, after);
        // Shared feeds wake by the registry.
        let waker = mount.shared().is_none().then(|| feed.register_waker(SHARD, waker));
        Self {
            number,
            name: name.into(),
            feed,
            subscription,
            waker,
            has_begun: false,
            sent: Instant::now(),
            was_live: false,
            is_checked: false,
            is_gone: false,
            has_said_large: false,
        }
    }

    /// The part to repeat of a feed that has been silent.
    pub(super) fn silent_part(&self, silence: Duration, most: usize) -> Option<Encoded> {
        let is_due = self.has_begun && self.sent.elapsed() >= silence;
        self.subscription.newest_taken().filter(|part| is_due && part.body().len() <= most)
    }

    /// Begins anew, behind what the other side has.
    pub(super) fn begin(&mut self, after: Option<u64>) {
        // A run is played once.
        if self.feed.kind() != Kind::Run {
            self.subscription = subscribe(&self.feed, after);
        }
        self.has_begun = false;
    }

    pub(super) fn say_too_large(&mut self, bytes: usize, remote: &Remote) {
        if !std::mem::replace(&mut self.has_said_large, true) {
            let (feed, limit, hint) = (&*self.name, remote.max_part(), remote.size_hint);
            warn!(feed, bytes, limit, hint, "a part is too large to be published");
        }
    }

    /// Whether the feed comes from there, as far as its way tells.
    pub(super) fn comes_from(&self, remote: &Remote) -> bool {
        remote.process.as_deref().is_some_and(|process| self.feed.hops().has(process))
    }

    /// Whether it has to be known whether the feed comes from there. One that comes from no other process cannot.
    pub(super) fn needs_check(&self, remote: &Remote) -> bool {
        remote.is_retaining && !self.is_checked && !self.feed.hops().is_empty()
    }

    pub(super) fn has_parts(&self) -> bool {
        self.subscription.has_news() || self.subscription.newest_taken().is_some()
    }

    pub(super) fn batch(&mut self, parts: Vec<Encoded>) -> OutgoingBatch {
        let (kind, hops, is_live) = (self.feed.kind(), self.feed.hops(), self.feed.is_live());
        self.sent = Instant::now();
        OutgoingBatch { name: self.name.clone(), kind, hops, is_live, parts }
    }
}

impl Drop for OutgoingFeed {
    fn drop(&mut self) {
        if let Some(key) = self.waker {
            self.feed.remove_waker(SHARD, key);
        }
    }
}

/// A cursor behind what the other side has: at the newest picture, or at the oldest line that it lacks.
fn subscribe(feed: &Arc<Feed>, after: Option<u64>) -> Subscription {
    let start = match feed.kind() {
        Kind::Lines => {
            let published = feed.state().published;
            let after = after.filter(|after| *after <= published).unwrap_or(0);
            StartAt { history: None, after: Some(after) }
        }
        Kind::Newest | Kind::Run => StartAt::default(),
    };
    feed.subscribe_from(SHARD, start).for_sink()
}
