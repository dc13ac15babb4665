//! How a writer goes about it: whether it ever rests, closes, begins with an empty file, and what it wrote last. It decides nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::facts::{BUSY, Evidence};
use crate::format::Completeness;

/// The pause before a busy file is read again, which doubles each time.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a file is read early, in vain, before it has to rest like others.
const EARLY_TRIES: u32 = 5;

/// What the last body that was shown was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Checksummed,
    Text,
    Other,
}

/// The habits of a file's writers.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// When a file that has been changing without a rest is read all the same.
    overdue_at: Option<Instant>,
    /// How often it was read while it was busy, in vain.
    tries: u32,
    /// How often it was read early, in vain.
    early_tries: u32,
    /// When a writer closed it or moved it into place last.
    finished: Option<Instant>,
    /// Whether it was seen to lose bytes: its writers begin with an empty file, so that an end mark is never one of before.
    is_cut: bool,
    /// Whether it took the place of another file.
    is_other: bool,
    last: Option<Last>,
}

impl Habits {
    /// Of a file that takes the place of another.
    pub(super) fn of_other_file() -> Self {
        Self { is_other: true, ..Self::default() }
    }

    /// The file has changed, and has to rest.
    pub(super) fn changed(&mut self, now: Instant) {
        self.overdue_at.get_or_insert(now + BUSY);
    }

    /// A writer closed it, or moved it into place.
    pub(super) fn finished(&mut self, now: Instant) {
        self.changed(now);
        self.finished = Some(now);
    }

    /// It has fewer bytes than before.
    pub(super) fn was_cut(&mut self) {
        self.is_cut = true;
    }

    /// It has come to rest.
    pub(super) fn rested(&mut self) {
        (self.overdue_at, self.tries, self.early_tries) = (None, 0, 0);
    }

    /// A body is shown.
    pub(super) fn shown(&mut self, evidence: &Evidence) {
        self.rested();
        self.last = Some(match evidence.completeness {
            Completeness::Complete if evidence.is_checksummed => Last::Checksummed,
            Completeness::Readable => Last::Text,
            _ => Last::Other,
        });
    }

    /// It was read early, and was not whole.
    pub(super) fn was_too_early(&mut self) {
        self.early_tries += 1;
    }

    /// When it is read though it does not rest.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        self.overdue_at
    }

    /// Whether it is read though it does not rest.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.overdue_at.is_some_and(|overdue| overdue <= now)
    }

    /// It was read though it did not rest, and was not shown.
    pub(super) fn was_busy(&mut self, now: Instant) {
        self.overdue_at = Some(now + (PAUSE * (1 << self.tries.min(6))).min(BUSY));
        self.tries += 1;
    }

    /// Whether an end mark proves that the writer got so far, though it may not be done.
    pub(super) fn trusts_end_marks(&self, now: Instant) -> bool {
        self.is_cut || self.finished.is_none_or(|finished| now - finished >= BUSY)
    }

    /// Whether a writer was seen to close it, or to move it into place.
    pub(super) fn closes(&self) -> bool {
        self.finished.is_some()
    }

    /// Whether its writers begin with an empty file.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether its writers replace what is there, rather than add to it.
    pub(super) fn is_replaced(&self) -> bool {
        self.is_cut || self.is_other
    }

    /// Whether checksums are expected, which tell at the first look whether the file is whole.
    pub(super) fn expects_checksums(&self) -> bool {
        self.last == Some(Last::Checksummed) && self.early_tries < EARLY_TRIES
    }

    /// How much longer than after a close a file with checksums has to rest before it is read.
    pub(super) fn early_factor(&self) -> Option<u32> {
        self.expects_checksums().then(|| 1 << self.early_tries)
    }

    /// Whether the next body is expected to be text of which any beginning can be shown.
    pub(super) fn expects_text(&self) -> bool {
        self.last == Some(Last::Text)
    }
}
