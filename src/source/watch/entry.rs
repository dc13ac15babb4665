//! What a watched path is: a file or directory that is shown whole whenever it changes, a log, or the logs of a directory. Each has
//! the same interface here; the work of the source does not tell them apart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::time::Instant;

use super::{
    path::{PathSettings, WatchedPath},
    resolve::{ResolvedDirectories, ResolvedPath},
    settings::TailSettings,
    tailed_dir::TailedDir,
    tailed_file::TailedFile,
    tailed_path::TailedPath,
};
use crate::{
    feed::Kind,
    format::Media,
    source::{
        context::{Context, name_of},
        fs_events::EventBatch,
    },
};

/// Opens the feed of what a directory holds besides logs, once there is something.
type Shown = Box<dyn FnOnce() -> WatchedPath + Send>;

/// A watched path, or one side of it.
pub(super) enum Entry {
    /// A file or directory that is shown whole.
    Whole(WatchedPath),
    /// A log.
    Log(TailedPath),
    /// The logs of a directory, and what is left to be opened for its other files.
    Logs(TailedDir, Option<Shown>),
}

/// Calls the method that all three have.
macro_rules! each {
    ($entry:ident . $method:ident ( $($argument:expr),* )) => {
        match $entry {
            Self::Whole(path) => path.$method($($argument),*),
            Self::Log(path) => path.$method($($argument),*),
            Self::Logs(path, _) => path.$method($($argument),*),
        }
    };
}

impl Entry {
    /// What a path is; a directory may have two sides, in the order of their feeds.
    pub(super) fn of(path: PathBuf, settings: &PathSettings, tail: &Arc<TailSettings>, context: &Context) -> Vec<Self> {
        let (name, absolute) = (name_of(&path), std::path::absolute(&path).unwrap_or(path));
        let is_picture = context.media.as_ref().is_some_and(Media::is_image);
        let file_name = absolute.file_name().filter(|_| !is_picture);
        if file_name.is_some_and(|file_name| tail.covers(file_name)) && !absolute.is_dir() {
            let file = TailedFile::new(absolute.clone(), None, &name, tail, false, context);
            return vec![Self::Log(TailedPath::new(&absolute, file))];
        }
        let names = settings.filter.clone();
        let has_logs = !is_picture && !tail.names.is_empty() && !absolute.is_file();
        let filter = if has_logs { names.clone().without(&tail.with_rotated()) } else { names.clone() };
        let settings = PathSettings { filter, ..settings.clone() };
        let (at, of) = (absolute.clone(), context.clone());
        let shown: Shown = Box::new(move || {
            let publisher = of.open(name, Kind::Newest);
            WatchedPath::new(at, &settings, publisher)
        });
        if !has_logs {
            return vec![Self::Whole(shown())];
        }
        let mut logs = TailedDir::new(&absolute, names, tail.clone(), context);
        if logs.is_of_logs_alone() {
            vec![Self::Logs(logs, Some(shown))]
        } else {
            vec![Self::Whole(shown()), Self::Logs(logs, None)]
        }
    }

    /// Opens what a directory holds besides logs, if that has become necessary.
    pub(super) fn split(&mut self) -> Option<Self> {
        let Self::Logs(logs, shown) = self else { return None };
        let shown = if logs.has_others() { shown.take()? } else { return None };
        Some(Self::Whole(shown()))
    }

    /// The path, absolute, its links not followed.
    pub(super) fn path(&self) -> &Path {
        each!(self.path())
    }

    /// Where it led when it was last resolved.
    pub(super) fn resolved(&self) -> &ResolvedPath {
        each!(self.resolved())
    }

    /// Resolves it again, and has it looked at without an event if it may have changed. Tells whether it leads elsewhere now.
    /// `has_events`: events tell of its changes as well.
    pub(super) fn patrol(&mut self, directories: &mut ResolvedDirectories, has_events: bool) -> bool {
        if let Self::Whole(path) = self {
            return path.patrol(directories, has_events);
        }
        let has_moved = each!(self.resolve());
        self.check(has_events);
        has_moved
    }

    /// Whether its file is there, and may be shown soon. Lines are read at the first look.
    pub(super) fn is_on_its_way(&self) -> bool {
        matches!(self, Self::Whole(path) if path.is_on_its_way())
    }

    /// When to look at it.
    pub(super) fn due(&self) -> Option<Instant> {
        each!(self.due())
    }

    /// Whether to look at it now.
    pub(super) fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Has it looked at without an event. `has_events`: events tell of its changes as well.
    pub(super) fn check(&mut self, has_events: bool) {
        match self {
            Self::Whole(path) => path.check(has_events),
            Self::Log(path) => path.check(),
            Self::Logs(path, _) => path.check(),
        }
    }

    /// Notes which files were moved: a log that is rotated fast finds by that in which order it is read.
    pub(super) fn note_moves(&mut self, batch: &EventBatch) {
        match self {
            Self::Whole(_) => {}
            Self::Log(path) => path.note_moves(batch),
            Self::Logs(path, _) => path.note_moves(batch),
        }
    }

    /// Takes the events, of which those of `paths` affect it; tells whether the path leads elsewhere since.
    pub(super) fn apply(&mut self, batch: &EventBatch, paths: &[&Path]) -> bool {
        each!(self.apply(batch, paths))
    }

    /// Looks if it is time.
    pub(super) fn look_if_due(&mut self) {
        each!(self.look_if_due());
    }

    /// Leaves it until it changes again, after a bug.
    pub(super) fn skip(&mut self) {
        each!(self.skip());
    }
}
