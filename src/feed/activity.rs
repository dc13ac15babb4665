//! What tells whether a feed is live: when its newest part came, and how its source is. It changes no feed.

use tokio::{sync::futures::Notified, time::Instant};

use super::{demand::ReaderGuard, state::SourceState, store::Feed};

/// What a feed does at present.
#[derive(Debug, Clone)]
pub struct FeedActivity {
    /// The sequence of the newest part.
    pub published: u64,
    /// When it was published.
    pub newest_at: Option<Instant>,
    /// The state of its source.
    pub source: SourceState,
}

impl Feed {
    /// What it does at present.
    pub fn activity(&self) -> FeedActivity {
        let (published, newest_at) = {
            let state = self.shard(0).lock();
            (state.published, state.newest_at)
        };
        FeedActivity { published, newest_at, source: self.source.lock().state().clone() }
    }

    /// Whether its source is there: it is not lost, and has not ended.
    pub fn is_live(&self) -> bool {
        !self.has_ended() && !matches!(self.source.lock().state(), SourceState::Lost { .. } | SourceState::Ended { .. })
    }

    /// Waits for a change of the source's state from the moment of this call on.
    pub fn source_changed(&self) -> Notified<'_> {
        self.source_changed.notified()
    }

    /// Counts as a reader of it until the guard is dropped.
    pub fn want(&self) -> ReaderGuard {
        self.readers.enter()
    }
}
