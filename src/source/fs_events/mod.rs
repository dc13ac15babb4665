//! What the file system tells: which names in the watched directories were touched, and which of these are done.
//! Events are hints where to look, never facts: who gets one looks at the file itself.

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(not(target_os = "linux"))]
mod notify;

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tracing::warn;

#[cfg(target_os = "linux")]
use self::inotify::InotifyBackend as Backend;
#[cfg(not(target_os = "linux"))]
use self::notify::NotifyBackend as Backend;

/// Paths remembered between two looks; a burst beyond it becomes `lost`, so that memory stays flat.
const MOST: usize = 4096;

/// How a path was touched last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Closed by a writer.
    Closed,
    /// Moved into place, whole.
    Moved,
    /// Written to, created or removed: more may follow.
    Changing,
    /// Given another mode, owner or time, as vim does behind its close.
    Marked,
    /// Opened, to be read or to be written, or closed by a reader.
    Opened,
}

impl Change {
    /// Whether the writer is.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Closed | Self::Moved)
    }
}

/// What happened to one path since the last look.
#[derive(Debug, Clone, Copy)]
pub(super) struct PathEvents {
    /// Its place in the order of events.
    pub(super) order: u64,
    /// The last touch; `Marked` and `Opened` only where there was no other.
    pub(super) touch: Change,
    /// How many more hold it open, and the least that this was meanwhile.
    opens: i32,
    least: i32,
}

impl PathEvents {
    /// How many hold the file open, where so many did; who opened it before it was watched is not counted.
    pub(super) fn open_writers(&self, before: i32) -> i32 {
        (before + self.opens).max(self.opens - self.least)
    }
}

/// What happened since the last look.
#[derive(Debug, Default)]
pub(super) struct EventBatch {
    /// The paths that were touched. A directory is itself among them when it is watched from now on or no longer: what
    /// happened in it before is not.
    pub(super) paths: HashMap<PathBuf, PathEvents>,
    /// Something happened that is not in `paths`: look at everything.
    pub(super) lost: bool,
    order: u64,
}

impl EventBatch {
    /// Takes note of an event, after which so many more hold the file open.
    pub(super) fn note(&mut self, path: PathBuf, touch: Change, opens: i32) {
        let is_slight = matches!(touch, Change::Marked | Change::Opened);
        if self.paths.len() >= MOST && !self.paths.contains_key(&path) {
            if is_slight {
                return;
            }
            self.lost = true;
            self.paths.clear();
        }
        self.order += 1;
        let trace = self.paths.entry(path).or_insert(PathEvents { order: self.order, touch, opens: 0, least: 0 });
        trace.opens += opens;
        trace.least = trace.least.min(trace.opens);
        if !is_slight || trace.touch == Change::Opened {
            (trace.order, trace.touch) = (self.order, touch);
        }
    }

    /// Whether more happened than that files were opened.
    pub(super) fn has_changes(&self) -> bool {
        self.lost || self.paths.values().any(|trace| trace.touch != Change::Opened)
    }
}

/// Watches directories.
#[derive(Debug)]
pub(super) struct Watcher {
    backend: Option<Backend>,
    watched: HashMap<PathBuf, Identity>,
    /// What is watched since the last look.
    begun: Vec<PathBuf>,
    /// Whether a directory is not watched that should be.
    is_deaf: bool,
}

/// Device, inode and time of birth: a file system may give the inode of a removed directory to the next at once.
type Identity = (u64, u64, Option<SystemTime>);

impl Watcher {
    /// A watcher without directories. Where the system has no more of them, says so, and polling has to do.
    pub(super) fn new() -> Self {
        let backend = Backend::new().inspect_err(complain).ok();
        Self { is_deaf: backend.is_none(), backend, watched: HashMap::new(), begun: Vec::new() }
    }

    /// Nobody who watches: polling has to do.
    pub(super) fn none() -> Self {
        Self { backend: None, watched: HashMap::new(), begun: Vec::new(), is_deaf: true }
    }

    /// Whether every directory is watched that is there.
    pub(super) fn listens(&self) -> bool {
        !self.is_deaf
    }

    /// Watches the entries of these directories, and of no others; again, where one was replaced since.
    pub(super) fn watch(&mut self, directories: &HashSet<&Path>) {
        let gone: Vec<PathBuf> = self.watched.keys().filter(|watched| !directories.contains(watched.as_path())).cloned().collect();
        gone.iter().for_each(|directory| self.unwatch(directory));
        directories.iter().for_each(|directory| self.watch_one(directory));
    }

    fn unwatch(&mut self, directory: &Path) {
        if let (Some(backend), Some(_)) = (&mut self.backend, self.watched.remove(directory)) {
            backend.unwatch(directory);
        }
    }

    fn watch_one(&mut self, directory: &Path) {
        let identity = identity(directory).ok();
        if self.watched.get(directory).copied() == identity {
            return;
        }
        self.unwatch(directory);
        let (Some(backend), Some(identity)) = (&mut self.backend, identity) else { return };
        match backend.watch(directory) {
            Ok(()) => self.begun.push(directory.to_owned()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return,
            Err(error) => {
                self.is_deaf = true;
                complain(&error);
            }
        }
        self.watched.insert(directory.to_owned(), identity);
    }

    /// Waits until there is something to take.
    pub(super) async fn news(&self) {
        match &self.backend {
            _ if !self.begun.is_empty() => {}
            Some(backend) => backend.news().await,
            None => std::future::pending().await,
        }
    }

    /// Takes what has happened so far.
    pub(super) fn take(&mut self) -> EventBatch {
        let mut heard = EventBatch::default();
        let gone = self.backend.as_mut().map(|backend| backend.take(&mut heard)).unwrap_or_default();
        // What is at its place by now has another watch to come.
        self.watched.retain(|directory, _| !gone.contains(directory));
        self.begun.drain(..).chain(gone).for_each(|directory| heard.note(directory, Change::Changing, 0));
        heard
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = path.metadata()?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let birth = metadata.created().ok();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok((metadata.dev(), metadata.ino(), birth))
    }
    #[cfg(not(unix))]
    Ok((0, 0, birth))
}

/// Says what to do about it; the numbers are those of Linux (errno(3)).
fn complain(error: &io::Error) {
    let hint = match error.raw_os_error() {
        Some(28) => "this user has had all watches; raise their number with: sysctl fs.inotify.max_user_watches=524288",
        Some(24) => {
            "this user has had all instances; raise their number with: sysctl fs.inotify.max_user_instances=1024, or ulimit -n"
        }
        _ => "changes show within a second",
    };
    warn!(%error, hint, "cannot watch for changes; looking every second instead");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_file_open_is_known_from_the_moment_that_it_is_watched() {
        let after = |before: i32, opens: &[i32]| {
            let mut heard = EventBatch::default();
            opens.iter().for_each(|opens| heard.note("a".into(), Change::Opened, *opens));
            heard.paths[Path::new("a")].open_writers(before)
        };
        assert_eq!(after(0, &[1, -1]), 0);
        assert_eq!(after(1, &[-1, 1]), 1);
        assert_eq!(after(0, &[-1, 1]), 1, "the first was opened before");
        assert_eq!(after(0, &[-1, -1, 1, 1, -1]), 1);
    }

    #[test]
    fn the_last_touch_counts_and_slight_ones_do_not_hide_it() {
        let mut heard = EventBatch::default();
        heard.note("a".into(), Change::Opened, 1);
        assert!(!heard.has_changes());
        for touch in [Change::Changing, Change::Closed, Change::Marked, Change::Opened] {
            heard.note("a".into(), touch, 0);
        }
        assert_eq!(heard.paths[Path::new("a")].touch, Change::Closed);
        (0..2 * MOST).for_each(|n| heard.note(n.to_string().into(), Change::Opened, 1));
        assert!(!heard.lost && heard.paths.len() <= MOST);
        (0..2 * MOST).for_each(|n| heard.note(n.to_string().into(), Change::Closed, -1));
        assert!(heard.lost && heard.paths.len() <= MOST);
    }
}
