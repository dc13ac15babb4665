//! What events told between two looks: for each path the last change that counts, and how often it was opened and closed. It does
//! not know where events come from.

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
    /// Opened, to be read or to be written, or closed by a reader: not a change yet.
    Opened,
}

impl Change {
    /// Whether the writer is done.
    pub(in crate::source) fn is_finished(self) -> bool {
        matches!(self, Self::Closed | Self::Moved)
    }

    /// Whether the bytes are as they were.
    fn is_minor(self) -> bool {
        matches!(self, Self::Metadata | Self::Opened)
    }
}

/// What happened to one path since the last look.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct PathEvents {
    /// The place of the last change in the order of events.
    pub(in crate::source) order: u64,
    /// The last change; a minor one only where there was no other.
    pub(in crate::source) change: Change,
    /// Opens minus closes.
    opened: i32,
    /// The least that `opened` was meanwhile.
    lowest: i32,
}

impl PathEvents {
    /// One event, after which so many more hold the path open.
    pub(in crate::source) fn one(order: u64, change: Change, opened: i32) -> Self {
        Self { order, change, opened, lowest: opened.min(0) }
    }

    /// How often the file is open now, where it was so often `before`. Opens from before it was watched show when they end.
    pub(in crate::source) fn open_count(&self, before: i32) -> i32 {
        (before + self.opened).max(self.opened - self.lowest)
    }

    fn add(&mut self, order: u64, change: Change, opened: i32) {
        self.opened += opened;
        self.lowest = self.lowest.min(self.opened);
        if !change.is_minor() || self.change == Change::Opened {
            (self.order, self.change) = (order, change);
        }
    }
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
    /// Records an event, after which so many more hold the file open.
    pub(in crate::source) fn record(&mut self, path: PathBuf, change: Change, opened: i32) {
        if self.paths.len() >= MAX_PATHS && !self.paths.contains_key(&path) {
            if change.is_minor() {
                return;
            }
            self.lost = true;
            self.paths.clear();
        }
        self.order += 1;
        let order = self.order;
        let known = self.paths.entry(path).and_modify(|events| events.add(order, change, opened));
        known.or_insert_with(|| PathEvents::one(order, change, opened));
    }

    /// Whether more happened than that files were opened.
    pub(in crate::source) fn has_changes(&self) -> bool {
        self.lost || self.paths.values().any(|events| events.change != Change::Opened)
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
    fn opens_are_counted_from_the_moment_that_a_file_is_watched() {
        let after = |before: i32, opens: &[i32]| {
            let mut batch = EventBatch::default();
            opens.iter().for_each(|opened| batch.record("a".into(), Change::Opened, *opened));
            batch.paths[Path::new("a")].open_count(before)
        };
        assert_eq!(after(0, &[1, -1]), 0);
        assert_eq!(after(1, &[1, -1]), 1);
        assert_eq!(after(1, &[-1, 1]), 1);
        assert_eq!(after(0, &[-1, 1]), 1, "the first was opened before");
        assert_eq!(after(0, &[-1, -1, 1, 1, -1]), 1);
    }

    #[test]
    fn the_last_change_counts_and_minor_ones_do_not_hide_it() {
        let mut batch = EventBatch::default();
        batch.record("a".into(), Change::Opened, 1);
        assert!(!batch.has_changes());
        for change in [Change::Changing, Change::Closed, Change::Metadata, Change::Opened] {
            batch.record("a".into(), change, 0);
        }
        assert_eq!(batch.paths[Path::new("a")].change, Change::Closed);
        assert_eq!(batch.finished().collect::<Vec<_>>(), [Path::new("a")]);
    }

    #[test]
    fn a_burst_of_paths_becomes_lost_events() {
        let mut batch = EventBatch::default();
        (0..2 * MAX_PATHS).for_each(|n| batch.record(n.to_string().into(), Change::Opened, 1));
        assert!(!batch.lost && batch.paths.len() <= MAX_PATHS, "opened files are no changes");
        (0..2 * MAX_PATHS).for_each(|n| batch.record(n.to_string().into(), Change::Closed, -1));
        assert!(batch.lost && batch.paths.len() <= MAX_PATHS);
    }
}
