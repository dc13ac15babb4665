//! Demand: how many readers want parts, so that an expensive source starts with the first reader and pauses after the last. It
//! counts, and knows neither parts nor sources.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

/// The number of readers of a feed, and of those that wait for its first part, as its source sees it.
#[derive(Debug, Clone)]
pub struct Demand {
    readers: watch::Receiver<ReaderCount>,
    /// The readers that this source has seen come.
    seen: u64,
}

/// The readers that are there, and how many have come: one that has gone again is demand, too.
#[derive(Debug, Clone, Copy, Default)]
struct ReaderCount {
    present: usize,
    came: u64,
}

impl Demand {
    /// The number of readers: viewers of all shards, other sinks, and snapshots that are being answered.
    pub fn count(&self) -> usize {
        self.readers.borrow().present
    }

    /// Whether there is a reader, or one has come since the last call of `wanted`.
    pub fn is_wanted(&self) -> bool {
        let readers = *self.readers.borrow();
        readers.present > 0 || readers.came != self.seen
    }

    /// Waits until `is_wanted`. Returns `false` if the feed has been dropped.
    pub async fn wanted(&mut self) -> bool {
        let seen = self.seen;
        let readers = self.readers.wait_for(|readers| readers.present > 0 || readers.came != seen).await;
        let came = readers.map(|readers| readers.came);
        came.map(|came| self.seen = came).is_ok()
    }

    /// The same demand, for which all readers that have come are known.
    pub fn from_now(&self) -> Self {
        let seen = self.readers.borrow().came;
        Self { readers: self.readers.clone(), seen }
    }

    /// Waits for one more reader; for ever if the feed has been dropped.
    pub async fn another(&mut self) {
        let seen = self.seen;
        match self.readers.wait_for(|readers| readers.came != seen).await.map(|readers| readers.came) {
            Ok(came) => self.seen = came,
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until there is no reader.
    pub async fn unwanted(&mut self) {
        // A feed that has been dropped has no readers.
        let _ = self.readers.wait_for(|readers| readers.present == 0).await;
    }

    /// Waits until there has been no reader for this time.
    pub async fn unwanted_for(&mut self, linger: Duration) {
        loop {
            self.unwanted().await;
            tokio::select! {
                is_there = self.wanted() => if !is_there { return },
                () = sleep(linger) => return,
            }
        }
    }
}

/// The count itself, which the feed owns.
#[derive(Debug, Clone)]
pub(super) struct Readers(Arc<watch::Sender<ReaderCount>>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(ReaderCount::default())))
    }
}

impl Readers {
    /// Counts one more reader until the guard is dropped.
    pub(super) fn enter(&self) -> ReaderGuard {
        self.0.send_modify(|readers| {
            readers.present += 1;
            readers.came += 1;
        });
        ReaderGuard(self.0.clone())
    }

    /// The count as a source sees it.
    pub(super) fn demand(&self) -> Demand {
        Demand { readers: self.0.subscribe(), seen: 0 }
    }
}

/// One counted reader, until it is dropped.
#[derive(Debug)]
pub struct ReaderGuard(Arc<watch::Sender<ReaderCount>>);

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.0.send_modify(|readers| readers.present -= 1);
    }
}
