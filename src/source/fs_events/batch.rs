//! What events told between two looks: for each path the last change that counts. It does not know where events come from.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Paths kept between two looks; a burst beyond it becomes `lost`, so that memory stays flat.
const MAX_PATHS: usize = 4096;

/// How a path changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) enum Change {
    /// Closed by a writer.
    Closed,
    /// Moved into place, finished.
    Moved,
    /// Written to, created or removed: more may follow.
    Changing,
    /// Given another mode, owner or time, as vim does after its close.
    Metadata,
}

impl Change {
    /// Whether the writer is done.
    pub(in crate::source) fn is_finished(self) -> bool {
        matches!(self, Self::Closed | Self::Moved)
    }
}

/// What happened to one path since the last look.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct PathEvents {
    /// The place of the last change in the order of events.
    pub(in crate::source) order: u64,
    /// The last change; `Metadata` only where there was no other.
    pub(in crate::source) change: Change,
}

/// What happened since the last look.
#[derive(Debug, Default)]
pub(in crate::source) struct EventBatch {
    /// The changed paths. A directory is itself among them from when it is watched and when it no longer is: what
    /// happened in it before is unknown.
    pub(in crate::source) paths: HashMap<PathBuf, PathEvents>,
    /// Something happened that is not in `paths`: look at everything.
    pub(in crate::source) lost: bool,
    order: u64,
}

impl EventBatch {
    /// Records an event.
    pub(in crate::source) fn record(&mut self, path: PathBuf, change: Change) {
        if self.paths.len() >= MAX_PATHS && !self.paths.contains_key(&path) {
            self.lost = true;
            self.paths.clear();
        }
        self.order += 1;
        let now = PathEvents { order: self.order, change };
        let events = self.paths.entry(path).or_insert(now);
        if change != Change::Metadata {
            *events = now;
        }
    }

    /// Whether anything happened.
    pub(in crate::source) fn has_changes(&self) -> bool {
        self.lost || !self.paths.is_empty()
    }

    /// The paths whose writer is done.
    pub(in crate::source) fn finished(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().filter(|(_, events)| events.change.is_finished()).map(|(path, _)| path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_counts_and_another_mode_does_not_hide_it() {
        let mut batch = EventBatch::default();
        assert!(!batch.has_changes());
        for change in [Change::Metadata, Change::Changing, Change::Closed, Change::Metadata] {
            batch.record("a".into(), change);
        }
        assert_eq!(batch.paths[Path::new("a")].change, Change::Closed);
        assert_eq!(batch.finished().collect::<Vec<_>>(), [Path::new("a")]);
    }

    #[test]
    fn a_burst_of_paths_becomes_lost_events() {
        let mut batch = EventBatch::default();
        (0..2 * MAX_PATHS).for_each(|n| batch.record(n.to_string().into(), Change::Closed));
        assert!(batch.lost && batch.paths.len() <= MAX_PATHS);
    }
}
