//! What the user can say about watching. Plain values.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::tail;
use crate::source::name_filter::NameFilter;

/// What to watch.
#[derive(Debug)]
pub struct WatchSettings {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Which files of a directory.
    pub names: NameFilter,
    /// Which files are logs, and how these are shown.
    pub tail: TailSettings,
    /// How long a file must have been quiet that nobody was seen to close.
    pub settle: Duration,
    /// Look this often instead of waiting for events.
    pub poll: Option<Duration>,
}

/// Which files are logs, and how these are shown.
#[derive(Debug, Clone)]
pub struct TailSettings {
    /// The names of logs.
    pub names: Vec<NameFilter>,
    /// The number of last lines to begin with.
    pub lines: usize,
    /// The number of last lines that make one part, if parts are windows of lines.
    pub window: Option<usize>,
}

impl TailSettings {
    /// Whether a file at this path is a log.
    #[must_use]
    pub fn covers_path(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| self.covers(name))
    }

    /// The names of logs and of what a rotation leaves of them, which no document of their directory has.
    pub(super) fn with_rotated(&self) -> Vec<NameFilter> {
        let globs = self.names.iter().filter_map(NameFilter::glob).filter(|glob| !glob.starts_with('!'));
        let rotated = globs.map(|glob| NameFilter::matching(tail::rotated(glob)));
        self.names.iter().cloned().chain(rotated.filter_map(Result::ok)).collect()
    }

    /// Whether a file of this name is a log.
    pub(super) fn covers(&self, name: &OsStr) -> bool {
        self.names.iter().any(|names| names.covers(name))
    }
}
