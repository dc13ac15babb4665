//! The bound on past parts, for all feeds of a process together: it counts every block that a feed holds besides its newest, and
//! has the oldest of them dropped, whichever feed holds it. It does not know how a feed holds blocks.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use serde::Serialize;
use tracing::warn;

use crate::{sync::Mutex, wire::Block};

/// Bytes that the past parts of all feeds may take, unless the user sets another number.
const HISTORY_BYTES: usize = 256 << 20;

/// A holder of past blocks.
pub(super) trait Holder: fmt::Debug + Send + Sync {
    /// Drops its blocks up to the one of this number, except the newest.
    fn drop_up_to(&self, number: u64);
}

/// The past blocks of all feeds.
#[derive(Debug)]
pub struct History {
    limit: usize,
    past: Mutex<PastBlocks>,
    /// Whether the log says that it cuts.
    has_said: AtomicBool,
}

#[derive(Debug, Default)]
struct PastBlocks {
    /// By their numbers, which are in the order in which they were made.
    oldest_first: BTreeMap<u64, (usize, Weak<dyn Holder>)>,
    bytes: usize,
}

/// What is held of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HistoryState {
    /// Bytes of past parts that all feeds hold, without the newest part of each.
    pub bytes: usize,
    /// The most that they may hold.
    pub limit: usize,
}

impl History {
    /// A bound of this many bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, past: Mutex::default(), has_said: false.into() }
    }

    /// What is held.
    pub fn state(&self) -> HistoryState {
        HistoryState { bytes: self.past.lock().bytes, limit: self.limit }
    }

    /// Counts a block that is no longer the newest of its feed.
    pub(super) fn add(&self, block: &Block, holder: Weak<dyn Holder>) {
        let mut past = self.past.lock();
        past.bytes += block.size();
        past.oldest_first.insert(block.charge().number(), (block.size(), holder));
    }

    /// Counts a block no longer that its feed does not hold any more. It may have been the newest, which did not count.
    pub(super) fn remove(&self, block: &Block) {
        let mut past = self.past.lock();
        if let Some((bytes, _)) = past.oldest_first.remove(&block.charge().number()) {
            past.bytes -= bytes;
        }
    }

    /// Drops the oldest blocks beyond the bound. To be called without locks that a holder takes.
    pub(super) fn cut(&self) {
        while let Some((number, holder)) = self.past.lock().take_beyond(self.limit) {
            if !self.has_said.swap(true, Relaxed) {
                warn!(
                    bytes = self.limit,
                    "past parts have filled --history-bytes, so fewer are kept than --history asks for: the oldest of all feeds go first"
                );
            }
            if let Some(holder) = holder.upgrade() {
                holder.drop_up_to(number);
            }
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new(HISTORY_BYTES)
    }
}

impl PastBlocks {
    fn take_beyond(&mut self, limit: usize) -> Option<(u64, Weak<dyn Holder>)> {
        if self.bytes <= limit {
            return None;
        }
        let (number, (bytes, holder)) = self.oldest_first.pop_first()?;
        self.bytes -= bytes;
        Some((number, holder))
    }
}
