//! Which watched paths an event affects. A path is told of what decides what it shows, and of nothing else: an event costs
//! the same, however many paths are watched.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use super::resolve::ResolvedPath;
use crate::source::fs_events::EventBatch;

/// The watched paths, found by the file-system entries that they depend on.
#[derive(Debug, Default)]
pub(super) struct PathIndex {
    count: usize,
    entries: HashMap<PathBuf, BTreeSet<usize>>,
    /// Directories whose every entry counts.
    directories: HashMap<PathBuf, BTreeSet<usize>>,
}

impl PathIndex {
    /// Of all watched paths, in their order.
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a ResolvedPath>) -> Self {
        let mut index = Self::default();
        paths.enumerate().for_each(|(at, resolved)| index.add(at, resolved));
        index
    }

    /// Whether no path was ever added.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds where the path at this place leads now. What it no longer depends on costs it needless looks, until the index is
    /// made anew.
    pub(super) fn add(&mut self, at: usize, resolved: &ResolvedPath) {
        self.count = self.count.max(at + 1);
        resolved.entries().for_each(|path| insert(&mut self.entries, path, at));
        if resolved.is_directory {
            insert(&mut self.directories, &resolved.target, at);
        }
    }

    /// The places of the affected paths, each with the events' paths that affect it.
    pub(super) fn affected<'a>(&self, batch: &'a EventBatch) -> BTreeMap<usize, Vec<&'a Path>> {
        let mut affected = BTreeMap::new();
        if batch.lost {
            affected.extend((0..self.count).map(|at| (at, Vec::new())));
        }
        for path in batch.paths.keys() {
            let of_directory = path.parent().and_then(|directory| self.directories.get(directory));
            for at in self.entries.get(path).into_iter().chain(of_directory).flatten() {
                affected.entry(*at).or_default().push(path.as_path());
            }
        }
        affected
    }
}

fn insert(places: &mut HashMap<PathBuf, BTreeSet<usize>>, path: &Path, at: usize) {
    match places.get_mut(path) {
        Some(places) => drop(places.insert(at)),
        None => drop(places.insert(path.to_owned(), BTreeSet::from([at]))),
    }
}
