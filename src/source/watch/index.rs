//! Whom an event concerns. Of many watched paths each hears only of what decides what it shows: an event costs the same,
//! however many are watched.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use super::resolve::ResolvedPath;
use crate::source::fs_events::EventBatch;

/// The watched paths, by what their ways hang on.
#[derive(Debug, Default)]
pub(super) struct PathIndex {
    count: usize,
    entries: HashMap<PathBuf, BTreeSet<usize>>,
    /// Directories whose every entry counts.
    directories: HashMap<PathBuf, BTreeSet<usize>>,
}

impl PathIndex {
    /// Of the ways of all watched paths, in their order.
    pub(super) fn of<'a>(ways: impl Iterator<Item = &'a ResolvedPath>) -> Self {
        let mut routes = Self::default();
        ways.enumerate().for_each(|(at, way)| routes.add(at, way));
        routes
    }

    /// Adds another way of the path at this place. What is no longer on it costs a look in vain, until all is made anew.
    pub(super) fn add(&mut self, at: usize, way: &ResolvedPath) {
        self.count = self.count.max(at + 1);
        way.entries().for_each(|path| insert(&mut self.entries, path, at));
        if way.is_directory {
            insert(&mut self.directories, &way.target, at);
        }
    }

    /// The places of the paths that this concerns, and what of it does.
    pub(super) fn affected<'a>(&self, heard: &'a EventBatch) -> BTreeMap<usize, Vec<&'a Path>> {
        let mut affected = BTreeMap::new();
        if heard.lost {
            affected.extend((0..self.count).map(|at| (at, Vec::new())));
        }
        for path in heard.paths.keys() {
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
