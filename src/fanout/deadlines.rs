//! When viewers need a turn although nothing happens, in order: a turn that is due costs nothing for the viewers that are not. It
//! knows keys and times, no viewers.

use std::collections::BTreeSet;

use tokio::time::Instant;

/// One time for each viewer at most.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, usize)>);

/// A viewer's entry. It may be too early: a deadline that moves on is looked up when its entry is due, not at each part.
#[derive(Debug, Default)]
pub(super) struct Deadline(Option<Instant>);

impl Deadlines {
    /// The earliest time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Has the viewer with this key and entry be due at this time at the latest.
    pub(super) fn note(&mut self, key: usize, entry: &mut Deadline, at: Instant) {
        if entry.0.is_none_or(|noted| at < noted) {
            self.forget(key, entry);
            self.0.insert((at, key));
            entry.0 = Some(at);
        }
    }

    /// Removes the viewer with this key and entry.
    pub(super) fn forget(&mut self, key: usize, entry: &mut Deadline) {
        if let Some(at) = entry.0.take() {
            self.0.remove(&(at, key));
        }
    }

    /// The keys that are due now. They stay until they are forgotten.
    pub(super) fn due(&self, now: Instant) -> Vec<usize> {
        self.0.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| *key).collect()
    }
}
