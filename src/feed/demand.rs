//! Demand: how many readers want parts, so that an expensive source starts with the first reader and pauses after the last. It
//! counts, and knows neither parts nor sources.

use std::sync::Arc;

use tokio::sync::watch;

/// The number of readers of a feed, and of those that wait for its first part, as its source sees it.
#[derive(Debug, Clone)]
pub struct Demand(watch::Receiver<usize>);

impl Demand {
    /// The number of readers: viewers of all shards, other sinks, and waiting snapshots.
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until there is a reader. Returns `false` if the feed has been dropped.
    pub async fn wanted(&mut self) -> bool {
        self.0.wait_for(|count| *count > 0).await.is_ok()
    }

    /// Waits until there is no reader.
    pub async fn unwanted(&mut self) {
        // A feed that has been dropped has no readers.
        let _ = self.0.wait_for(|count| *count == 0).await;
    }
}

/// The count itself, which the feed owns.
#[derive(Debug, Clone)]
pub(super) struct Readers(Arc<watch::Sender<usize>>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Readers {
    /// Counts one more reader until the guard is dropped.
    pub(super) fn enter(&self) -> ReaderGuard {
        self.0.send_modify(|count| *count += 1);
        ReaderGuard(self.0.clone())
    }

    /// The count as a source sees it.
    pub(super) fn demand(&self) -> Demand {
        Demand(self.0.subscribe())
    }
}

/// One counted reader, until it is dropped.
#[derive(Debug)]
pub struct ReaderGuard(Arc<watch::Sender<usize>>);

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
