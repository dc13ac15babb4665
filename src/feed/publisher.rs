//! The end of a feed that a source holds: it puts parts in, says how the source is, and never waits for a reader but in a run.

use std::sync::Arc;

use super::{
    demand::Demand,
    limits::{Kind, Settings},
    shard::Wakers,
    state::SourceState,
    store::{Feed, Refused},
};
use crate::part::Part;

/// The end of a feed that parts are put into. Dropping it ends the feed.
#[derive(Debug)]
pub struct Publisher {
    feed: Arc<Feed>,
}

impl Feed {
    /// A feed that stands in no registry, and the one end that publishes into it.
    pub fn new(name: impl Into<String>, kind: Kind, settings: &Settings) -> (Publisher, Arc<Self>) {
        let wakers: Vec<_> = (0..settings.shards.max(1)).map(|_| Arc::<Wakers>::default()).collect();
        let feed = Self::with_wakers(name.into(), kind, settings, &wakers);
        (Publisher::of(feed.clone()), feed)
    }
}

impl Publisher {
    /// The one publisher of a feed.
    pub(super) fn of(feed: Arc<Feed>) -> Self {
        Self { feed }
    }

    /// Makes a part the newest.
    ///
    /// # Errors
    /// Says why the part was not taken; the feed is then as it was.
    pub fn publish(&self, part: Part) -> Result<(), Refused> {
        self.feed.publish(part)
    }

    /// Publishes the last part: the close-delimiter follows it directly.
    ///
    /// # Errors
    /// As `publish`; the feed ends all the same.
    pub fn publish_last(self, part: Part) -> Result<(), Refused> {
        self.feed.publish_last(part)
    }

    /// Publishes parts that came together, as one block. Parts that the feed does not take are left out, and counted.
    pub fn publish_all(&self, parts: Vec<Part>) {
        self.feed.publish_all(parts);
    }

    /// Says what the feed is, where its first bytes had to tell; before its first part.
    pub fn decide(&self, kind: Kind) {
        self.feed.set_kind(kind);
    }

    /// How many want parts: a source that costs something starts with the first and rests after the last.
    pub fn demand(&self) -> Demand {
        self.feed.readers.demand()
    }

    /// Says how the source is. The first part makes a source that starts live, dropping the publisher ends it.
    pub fn set_source(&self, state: SourceState) {
        self.feed.set_source(state);
    }

    /// Counts parts that the source itself had to refuse.
    pub fn count_refused(&self, parts: u64) {
        self.feed.count_refused(parts);
    }

    /// Waits until the viewer of a run has taken all that was published.
    /// Gives `false` when it has left.
    pub async fn room(&self) -> bool {
        let shard = self.feed.shard(0);
        loop {
            let changed = shard.changed.notified();
            {
                let state = shard.lock();
                if state.was_watched && state.subscribers == 0 {
                    return false;
                }
                if state.was_watched && state.taken >= state.published {
                    return true;
                }
            }
            changed.await;
        }
    }

    /// The feed.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The feed's name.
    pub fn name(&self) -> &str {
        &self.feed.name
    }

    /// The largest body that is taken, in bytes.
    pub fn part_bytes(&self) -> usize {
        self.feed.limits().part_bytes
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.feed.end();
    }
}
