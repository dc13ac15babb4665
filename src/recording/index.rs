//! The times of one feed's parts, so that a part is found by its time, also where the clock was set back or forward meanwhile. It
//! knows offsets, no files.

use std::time::{Duration, SystemTime};

use crate::part::unix_time;

/// A part in a file: 16 bytes, so that a million parts take 16 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Indexed {
    /// The offset of the delimiter before it.
    pub(super) at: u64,
    /// Microseconds since 1970.
    pub(super) micros: u64,
}

/// All parts of a feed, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct FeedIndex {
    parts: Vec<Indexed>,
    /// Where stretches begin in which no time is before the one before it.
    stretches: Vec<usize>,
    earliest: u64,
    latest: u64,
}

/// Microseconds since 1970, as far as they go.
pub(super) fn micros(time: SystemTime) -> u64 {
    u64::try_from(unix_time(time).as_micros()).unwrap_or(u64::MAX)
}

/// The time of so many microseconds since 1970.
pub(super) fn time_of(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

impl FeedIndex {
    /// Adds a part behind the others. One without a time has that of the part before.
    pub(super) fn push(&mut self, at: u64, time: Option<SystemTime>) {
        let last = self.parts.last().map_or(0, |last| last.micros);
        let micros = time.map_or(last, micros);
        if self.parts.is_empty() || micros < last {
            self.stretches.push(self.parts.len());
        }
        self.earliest = if self.parts.is_empty() { micros } else { self.earliest.min(micros) };
        self.latest = self.latest.max(micros);
        if self.parts.len() == self.parts.capacity() {
            // Vec would double, and keep up to half of it unused.
            self.parts.reserve_exact(self.parts.len() / 8 + 4);
        }
        self.parts.push(Indexed { at, micros });
    }

    /// All parts.
    pub(super) fn parts(&self) -> &[Indexed] {
        &self.parts
    }

    /// The part with the latest time at or before this one, of several with that time the last.
    pub(super) fn until(&self, time: u64) -> Option<Indexed> {
        let newest = self.stretches().filter_map(|stretch| {
            let end = stretch.partition_point(|part| part.micros <= time);
            stretch[..end].last().copied()
        });
        newest.max_by_key(|part| part.micros)
    }

    /// The part with the earliest time after this one, of several with that time the last.
    pub(super) fn after(&self, time: u64) -> Option<Indexed> {
        let next = self.stretches().rev().filter_map(|stretch| {
            let first = stretch.get(stretch.partition_point(|part| part.micros <= time))?;
            stretch[..stretch.partition_point(|part| part.micros <= first.micros)].last().copied()
        });
        next.min_by_key(|part| part.micros)
    }

    /// The parts with times in this range, in the order of the file, as pieces of it.
    pub(super) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &[Indexed]> {
        let pieces = self.stretches().map(move |stretch| {
            let start = stretch.partition_point(|part| part.micros < from);
            let end = stretch.partition_point(|part| part.micros <= to);
            stretch.get(start..end).unwrap_or_default()
        });
        pieces.filter(|piece| !piece.is_empty())
    }

    /// Stretches in which no time is before the one before it.
    fn stretches(&self) -> impl DoubleEndedIterator<Item = &[Indexed]> {
        let end_of = |stretch: usize| self.stretches.get(stretch + 1).copied().unwrap_or(self.parts.len());
        (0..self.stretches.len()).map(move |stretch| &self.parts[self.stretches[stretch]..end_of(stretch)])
    }

    /// The earliest and the latest time.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        (!self.parts.is_empty()).then_some((self.earliest, self.latest))
    }
}
