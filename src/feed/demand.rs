//! Whether anybody wants parts: a source that costs something starts with the first reader and rests after the last.

use std::sync::Arc;

use tokio::sync::watch;

/// How many read a feed or wait for its first part, and the wait for that to change.
#[derive(Debug, Clone)]
pub struct Demand(watch::Receiver<usize>);

impl Demand {
    /// How many there are: viewers of all shards, other sinks, and snapshots that wait.
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until somebody wants parts. Gives `false` where the feed is gone.
    pub async fn wanted(&mut self) -> bool {
        self.0.wait_for(|count| *count > 0).await.is_ok()
    }

    /// Waits until nobody does.
    pub async fn unwanted(&mut self) {
        // A feed that is gone is wanted by nobody.
        let _ = self.0.wait_for(|count| *count == 0).await;
    }
}

/// The count itself, on the side of the feed.
#[derive(Debug, Clone)]
pub(super) struct Readers(Arc<watch::Sender<usize>>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Readers {
    /// One more, until the guard is dropped.
    pub(super) fn enter(&self) -> Reader {
        self.0.send_modify(|count| *count += 1);
        Reader(self.0.clone())
    }

    /// The count as a source sees it.
    pub(super) fn demand(&self) -> Demand {
        Demand(self.0.subscribe())
    }
}

/// One that wants parts.
#[derive(Debug)]
pub(super) struct Reader(Arc<watch::Sender<usize>>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
