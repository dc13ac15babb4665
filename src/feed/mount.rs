//! What a name stands for: the one feed that all viewers share, or a run of each viewer's own. (Icecast's word.)

use std::sync::Arc;

use super::{state::FeedState, store::Feed};

/// What a name in a URL stands for.
pub enum Mount {
    /// A feed that all viewers share.
    Shared(Arc<Feed>),
    /// A run from the start for each viewer.
    PerViewer {
        /// Its name, as a feed's.
        name: String,
        /// Begins a run.
        start: Box<dyn Fn() -> Arc<Feed> + Send + Sync>,
    },
}

impl Mount {
    /// The shared feed, where it is one.
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

    /// The feed for one more viewer: the shared one, or a new run, which plays while somebody subscribes to it.
    pub fn open(&self) -> Arc<Feed> {
        match self {
            Self::Shared(feed) => feed.clone(),
            Self::PerViewer { start, .. } => start(),
        }
    }

    /// Its numbers.
    pub fn state(&self) -> FeedState {
        match self {
            Self::Shared(feed) => feed.state(),
            Self::PerViewer { name, .. } => FeedState::of_runs(name),
        }
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mount").field(&self.name()).finish()
    }
}
