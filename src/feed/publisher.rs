//! The end of a feed that a source holds: it puts parts in, and never waits for a viewer but in a run.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{Feed, Kind, Limits, Pace, Rules};
use crate::{part::Part, wire::Encoded};

/// Why a part was not taken. The feed stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// An empty body breaks readers (FIELD: ffmpeg, GStreamer, Chromium).
    Empty,
    /// Larger than the limit.
    TooLarge,
    /// The boundary stands in it.
    HasBoundary,
    /// The same bytes as the part before.
    Same,
    /// There is no memory for its copy.
    NoMemory,
}

/// A body from which on it is asked whether there is memory for it.
const LARGE: usize = 1 << 20;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLarge => "it is larger than --max-part",
            Self::HasBoundary => "it contains the boundary",
            Self::Same => "it is the same as the one before",
            Self::NoMemory => "there is not enough memory for it",
        })
    }
}

/// The end of a feed that parts are put into. Dropping it ends the feed.
#[derive(Debug)]
pub struct Publisher {
    pub(super) feed: Arc<Feed>,
}

impl Publisher {
    /// Makes a part the newest.
    ///
    /// # Errors
    /// Says why the part was not taken; the feed is then as it was.
    pub fn publish(&self, part: Part) -> Result<(), Refused> {
        if let Some(pace) = self.feed.pace.get() {
            return pace.mount(self, part);
        }
        self.check(&part)?;
        self.feed.publish(&[part], false);
        Ok(())
    }

    /// Publishes the last part: the close-delimiter follows it directly.
    ///
    /// # Errors
    /// As `publish`; the feed ends all the same.
    pub fn publish_last(self, part: Part) -> Result<(), Refused> {
        self.check(&part)?;
        self.feed.publish(&[part], true);
        Ok(())
    }

    /// Publishes parts that came together, as one block. What a feed does not take is left out, and counted.
    pub fn publish_all(&self, mut parts: Vec<Part>) {
        if self.feed.pace.get().is_some() {
            // The newest alone, unless it cannot be taken.
            let is_done = |part| matches!(self.publish(part), Ok(()) | Err(Refused::Same));
            parts.into_iter().rev().any(is_done);
            return;
        }
        parts.retain(|part| self.check(part).is_ok());
        if !parts.is_empty() {
            self.feed.publish(&parts, false);
        }
    }

    /// Says what the feed is, where the first bytes had to tell; before its first part, and once.
    pub fn settle(&self, kind: Kind, limits: Limits) {
        // A feed that is settled stays as it is.
        let _ = self.feed.settled.set(Rules { kind, limits });
    }

    /// Thins the feed to a part an interval, as `Feed::keep_pace` lets them go. Not for runs, whose viewer sets the pace.
    pub fn keep_pace(&self, interval: Duration) {
        // The first pace stays.
        let _ = self.feed.pace.set(Pace::new(interval));
    }

    /// Counts parts that the source itself had to refuse.
    pub fn count_refused(&self, parts: u64) {
        self.feed.refused.fetch_add(parts, Relaxed);
    }

    /// Waits until the viewer of a run has taken all that was published.
    /// Gives `false` when it has left.
    pub async fn room(&self) -> bool {
        loop {
            // A run has one viewer, and so one shard.
            let changed = self.feed.shards[0].changed.notified();
            {
                let state = self.feed.first();
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

    /// The feed's name.
    pub fn name(&self) -> &str {
        &self.feed.name
    }

    /// The largest body that is taken, in bytes.
    pub fn part_bytes(&self) -> usize {
        self.feed.rules().limits.part_bytes
    }

    pub(super) fn check(&self, part: &Part) -> Result<(), Refused> {
        let feed = &self.feed;
        let Rules { kind, limits } = feed.rules();
        let is_same = |newest: Encoded| newest.media == part.media && newest.body() == part.body;
        if *kind == Kind::Newest && !limits.keep_same && feed.newest().is_some_and(is_same) {
            return Err(Refused::Same);
        }
        let refused = match () {
            () if part.body.is_empty() => Refused::Empty,
            () if part.body.len() > limits.part_bytes => Refused::TooLarge,
            () if !has_memory(part.body.len()) => Refused::NoMemory,
            () if feed.boundary.is_in(&part.body) => Refused::HasBoundary,
            () => return Ok(()),
        };
        feed.refused.fetch_add(1, Relaxed);
        Err(refused)
    }
}

/// Encoding cannot fail half-way, it would end the program: so the memory is asked for beforehand, and given back.
fn has_memory(bytes: usize) -> bool {
    bytes < LARGE || Vec::<u8>::new().try_reserve_exact(bytes + LARGE).is_ok()
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.feed.end();
    }
}
