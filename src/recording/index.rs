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
    latest: u64,
}

pub(super) fn micros(time: SystemTime) -> u64 {
    unix_time(time).as_micros() as u64
}

impl FeedIndex {
    /// Adds a part behind the others. One without a time has that of the part before.
    pub(super) fn push(&mut self, at: u64, time: Option<SystemTime>) {
        let last = self.parts.last().map_or(0, |last| last.micros);
        let micros = time.map_or(last, micros);
        if self.parts.is_empty() || micros < last {
            self.stretches.push(self.parts.len());
        }
        self.latest = self.latest.max(micros);
        self.parts.push(Indexed { at, micros });
    }

    /// All parts.
    pub(super) fn parts(&self) -> &[Indexed] {
        &self.parts
    }

    /// The newest part at or before a time: the one with the latest time, and of several with that time the last. For a time after
    /// all parts it is the last of the file, whatever its time is. `None` if the time is before all.
    pub(super) fn at(&self, time: SystemTime) -> Option<Indexed> {
        let time = micros(time);
        if time >= self.latest {
            return self.parts.last().copied();
        }
        let ends = self.stretches.iter().skip(1).copied().chain([self.parts.len()]);
        let newest = self.stretches.iter().zip(ends).filter_map(|(start, end)| {
            let stretch = &self.parts[*start..end];
            stretch[..stretch.partition_point(|part| part.micros <= time)].last().copied()
        });
        newest.max_by_key(|part| part.micros)
    }

    /// The times of the first and of the last part of the file.
    pub(super) fn span(&self) -> Option<(SystemTime, SystemTime)> {
        let time = |part: &Indexed| SystemTime::UNIX_EPOCH + Duration::from_micros(part.micros);
        Some((time(self.parts.first()?), time(self.parts.last()?)))
    }
}
