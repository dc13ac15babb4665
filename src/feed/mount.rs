//! A mount (Icecast's word): the feed behind a name, either one that all viewers share or a run for each viewer. It knows neither
//! URLs nor the sources that start runs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{state::FeedState, store::Feed};

/// The feed, or the runs, behind a name in a URL.
pub enum Mount {
    /// A feed that all viewers share.
    Shared(Arc<Feed>),
    /// A run from the start for each viewer.
    PerViewer {
        /// Its name, like a feed's.
        name: String,
        /// Starts a run.
        start: Box<dyn Fn() -> Arc<Feed> + Send + Sync>,
        /// Parts that its runs refused.
        refused: Arc<AtomicU64>,
    },
}

impl Mount {
    /// The shared feed; `None` for runs.
    pub fn shared(&self) -> Option<&Arc<Feed>> {
        match self {
            Self::Shared(feed) => Some(feed),
            Self::PerViewer { .. } => None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Shared(feed) => &feed.name,
            Self::PerViewer { name, .. } => name,
        }
    }

    /// The feed for one more viewer: the shared one, or a new run, which plays while it has a subscriber.
    pub fn open(&self) -> Arc<Feed> {
        match self {
            Self::Shared(feed) => feed.clone(),
            Self::PerViewer { start, .. } => start(),
        }
    }

    /// The numbers for `/state`.
    pub fn state(&self) -> FeedState {
        match self {
            Self::Shared(feed) => feed.state(),
            Self::PerViewer { name, refused, .. } => FeedState::of_runs(name, refused.load(Relaxed)),
        }
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mount").field(&self.name()).finish()
    }
}
