//! The source's end of a feed: it publishes parts, reports the state of the source, and never waits for a reader, except in a run.
//! It knows nothing of the sources that use it.

use std::sync::{Arc, atomic::AtomicU64};

use super::{
    demand::Demand,
    hops::Hops,
    limits::{Kind, Settings},
    prepared::Prepared,
    refused::Refused,
    shard::Wakers,
    state::SourceState,
    store::Feed,
};
use crate::part::Part;

/// The source's end of a feed. Dropping it ends the feed.
#[derive(Debug)]
pub struct Publisher {
    feed: Arc<Feed>,
}

impl Feed {
    /// A feed outside any registry, and its only publisher.
    pub fn new(name: impl Into<String>, kind: Kind, settings: &Settings) -> (Publisher, Arc<Self>) {
        let wakers: Vec<_> = (0..settings.shards.max(1)).map(|_| Arc::<Wakers>::default()).collect();
        let feed = Self::with_wakers(name.into(), kind, settings, &wakers, Arc::default());
        (Publisher::new(feed.clone()), feed)
    }

    /// A run of a mount, which counts what its runs refuse.
    pub(super) fn of_mount(name: String, settings: &Settings, refused: Arc<AtomicU64>) -> (Publisher, Arc<Self>) {
        let feed = Self::with_wakers(name, Kind::Run, settings, &[Arc::default()], refused);
        (Publisher::new(feed.clone()), feed)
    }
}

impl Publisher {
    /// The publisher of a feed, which has only one.
    pub(super) fn new(feed: Arc<Feed>) -> Self {
        Self { feed }
    }

    /// Makes a part the newest, or, in a feed with a pace, the next to be published. A feed that has ended does not hold it, which is
    /// no fault: the program ends feeds as well.
    ///
    /// # Errors
    /// The reason why the feed refused the part; the feed is unchanged.
    pub fn publish(&self, part: Part) -> Result<(), Refused> {
        self.feed.publish(part)
    }

    /// Publishes the last part: the close-delimiter follows it directly.
    ///
    /// # Errors
    /// As for `publish`; the feed ends even then.
    pub fn publish_last(self, part: Part) -> Result<(), Refused> {
        self.feed.publish_last(part)
    }

    /// Publishes parts that came together, as one block. The feed skips parts that it refuses, counts them and logs why.
    pub fn publish_all(&self, parts: Vec<Part>) {
        self.feed.publish_all(parts);
    }

    /// Checks and encodes a part that many runs play. The feed is unchanged.
    ///
    /// # Errors
    /// As for `publish`; the feed counts it.
    pub fn prepare(&self, part: Part) -> Result<Prepared, Refused> {
        self.feed.prepare(part)
    }

    /// Publishes a part that was prepared by a run of the same settings, as of now. After the `last` the close-delimiter follows
    /// directly.
    pub fn publish_prepared(&self, part: &Prepared, last: bool) {
        self.feed.publish_prepared(part, last);
    }

    /// Sets the kind of a feed whose first bytes decide it. To be called before its first part.
    pub fn decide(&self, kind: Kind) {
        self.feed.set_kind(kind);
    }

    /// The demand for parts, for a source that pauses while nobody watches.
    pub fn demand(&self) -> Demand {
        self.feed.readers.demand()
    }

    /// Sets the state of the source. The first part turns `Starting` into `Live`, and dropping the publisher sets `Ended`.
    pub fn set_source(&self, state: SourceState) {
        self.feed.set_source(state);
    }

    /// Notes that the source plays parts that were made long ago, so that their age says nothing about it.
    pub fn set_replay(&self) {
        self.feed.set_replay();
    }

    /// Counts a run of the command that is the source.
    pub fn count_run(&self) {
        self.feed.count_run();
    }

    /// Notes how such a run ended, in words and as the exit status of a shell.
    pub fn note_exit(&self, exit: String, status: i32) {
        self.feed.note_exit(exit, status);
    }

    /// Counts a visit to the upstream that is the source.
    pub fn count_connect(&self) {
        self.feed.count_connect();
    }

    /// Counts a visit to it that failed.
    pub fn count_connect_failure(&self) {
        self.feed.count_connect_failure();
    }

    /// The name of this process in `Via`.
    pub fn process(&self) -> &str {
        &self.feed.process
    }

    /// Notes the processes that the feed has passed on its way here. Readers that are among them end.
    pub fn set_hops(&self, hops: Hops) {
        self.feed.set_hops(hops);
    }

    /// Counts parts that the source itself refused.
    pub fn count_refused(&self, parts: u64) {
        self.feed.count_refused(parts);
    }

    /// Waits until the viewer of a run has taken every published part. Returns `false` once the viewer has left.
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

    /// The largest body that the feed accepts, in bytes.
    pub fn part_bytes(&self) -> usize {
        self.feed.limits().part_bytes
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.feed.end();
    }
}
