//! The options of a viewer, and the list of feeds that a viewer of all feeds follows. It knows no sockets and no bytes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::cursor::{Accepts, Cursor};
use crate::feed::{Kind, Registry, StartAt};

/// The options of a viewer's request, besides the feeds.
#[derive(Debug, Default)]
pub(crate) struct StreamOptions {
    /// The least time between two parts of a feed.
    pub(crate) interval: Option<Duration>,
    /// Parts after which the stream ends.
    pub(crate) parts: Option<u64>,
    /// The least time between two pictures of a feed; it does not apply to lines.
    pub(crate) picture_interval: Option<Duration>,
    /// The feeds of a viewer that watches all of them, later ones too; each part then names its feed.
    pub(crate) all: Option<AllFeeds>,
}

/// The changing list of feeds in a registry, for a viewer that watches all of them.
#[derive(Debug)]
pub(crate) struct AllFeeds {
    pub(super) registry: Arc<Registry>,
    shard: usize,
    history: Option<usize>,
    /// The sequences that a viewer which resumes has, by feed, until it has joined the feed: one that is opened again later goes on
    /// counting.
    after: HashMap<String, u64>,
    accepts: Accepts,
    /// The number of the newest mount that it has joined, and the version of the registry that it has seen.
    joined: u64,
    version: u64,
    /// Whether it has joined the feeds that were there when it came.
    has_begun: bool,
}

impl AllFeeds {
    /// All feeds, of which it has joined none yet.
    pub(crate) fn new(registry: Arc<Registry>, shard: usize, history: Option<usize>, accepts: Accepts) -> Self {
        let accepts = accepts.of_several();
        Self { registry, shard, history, after: HashMap::new(), accepts, joined: 0, version: 0, has_begun: false }
    }

    /// The same for a viewer that has the parts up to these sequences.
    pub(crate) fn after(self, after: HashMap<String, u64>) -> Self {
        Self { after, ..self }
    }

    pub(super) fn has_changed(&self) -> bool {
        self.version != self.registry.version()
    }

    /// Has the list count as changed.
    pub(super) fn check_again(&mut self) {
        self.version = 0;
    }

    /// Cursors for the feeds that were added since the last call.
    pub(super) fn join(&mut self) -> Vec<Cursor> {
        let has_begun = std::mem::replace(&mut self.has_begun, true);
        self.version = self.registry.version();
        let list = self.registry.list();
        let new = list.iter().filter(|mounted| mounted.number > self.joined);
        let cursors = new.map(|mounted| {
            let (after, feed) = (self.after.remove(mounted.mount.name()), mounted.mount.open());
            // It missed none of a feed that came after it: what it asked for is how far back it begins in those that were there.
            let is_later = has_begun && after.is_none() && feed.kind() == Kind::Lines;
            let history = if is_later { Some(usize::MAX) } else { self.history };
            let subscription = feed.subscribe_from(self.shard, StartAt { history, after });
            Cursor::new(subscription, self.accepts)
        });
        let cursors = cursors.collect();
        self.joined = list.iter().map(|mounted| mounted.number).fold(self.joined, u64::max);
        cursors
    }
}

/// Times that apply to every viewer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The silence after which the newest part is repeated.
    pub(crate) keepalive: Option<Duration>,
    /// The time after which a viewer that takes no byte is disconnected.
    pub(crate) stall: Duration,
}
