//! What the file system tells: which names in the watched directories were touched, and which of these are done.
//! Notices are hints where to look, never facts: who gets one looks at the file itself.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use notify::{
    Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::Notify;
use tracing::warn;

/// Paths remembered between two looks; a burst beyond it becomes `lost`, so that memory stays flat.
const MOST: usize = 1024;

/// How a path was touched last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// Closed by a writer.
    Closed,
    /// Moved into place, whole.
    Moved,
    /// Written to, created or removed: more may follow.
    Changing,
    /// Given another mode, owner or time, as vim does behind its close.
    Marked,
}

impl Touch {
    /// Whether the writer is.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Closed | Self::Moved)
    }
}

/// What happened since the last look.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The paths, with their place in the order of events and their last touch.
    pub(super) paths: HashMap<PathBuf, (u64, Touch)>,
    /// Something happened that is not in `paths`: look at everything.
    pub(super) lost: bool,
    /// A directory is watched from now on; what happened in it before is not in `paths`.
    pub(super) begun: bool,
    order: u64,
}

impl Heard {
    fn note(&mut self, path: PathBuf, touch: Touch) {
        let is_known = self.paths.contains_key(&path);
        if touch == Touch::Marked && is_known {
            return;
        }
        if self.paths.len() >= MOST && !is_known {
            self.lost = true;
            self.paths.clear();
        }
        self.order += 1;
        self.paths.insert(path, (self.order, touch));
    }
}

/// Watches directories.
#[derive(Debug)]
pub(super) struct Notices {
    watcher: Option<RecommendedWatcher>,
    ear: Arc<Ear>,
    watched: HashMap<PathBuf, Identity>,
    /// Whether a directory is not watched that should be.
    is_deaf: bool,
}

/// Device, inode and time of birth: a file system may give the inode of a removed directory to the next at once.
type Identity = (u64, u64, Option<SystemTime>);

#[derive(Debug, Default)]
struct Ear {
    heard: Mutex<Heard>,
    news: Notify,
}

impl Notices {
    /// A watcher without directories. Where the system has no more of them, says so, and polling has to do.
    pub(super) fn new() -> Self {
        let ear = Arc::new(Ear::default());
        let listener = ear.clone();
        let handler = move |event: notify::Result<Event>| listener.hear(event);
        let watcher = RecommendedWatcher::new(handler, Config::default()).inspect_err(complain).ok();
        let is_deaf = watcher.is_none();
        Self { watcher, ear, watched: HashMap::new(), is_deaf }
    }

    /// Nobody who watches: polling has to do.
    pub(super) fn none() -> Self {
        Self { watcher: None, ear: Arc::default(), watched: HashMap::new(), is_deaf: true }
    }

    /// Whether every directory is watched that is there.
    pub(super) fn listens(&self) -> bool {
        !self.is_deaf
    }

    /// Watches the entries of these directories, and of no others; again, where one was replaced since.
    pub(super) fn watch(&mut self, directories: &HashSet<PathBuf>) {
        let gone: Vec<PathBuf> = self.watched.keys().filter(|watched| !directories.contains(*watched)).cloned().collect();
        for directory in gone {
            self.watched.remove(&directory);
            self.watcher.as_mut().map(|watcher| watcher.unwatch(&directory));
        }
        directories.iter().for_each(|directory| self.watch_one(directory));
    }

    fn watch_one(&mut self, directory: &Path) {
        let identity = identity(directory).ok();
        if self.watched.get(directory).copied() == identity {
            return;
        }
        if let Some(watcher) = &mut self.watcher {
            let _ = watcher.unwatch(directory);
            self.watched.remove(directory);
            let Some(identity) = identity else { return };
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => self.ear.tell(|heard| heard.begun = true),
                Err(error) => {
                    self.is_deaf = true;
                    complain(&error);
                }
            }
            self.watched.insert(directory.to_owned(), identity);
        }
    }

    /// Waits for news.
    pub(super) async fn heard(&self) -> Heard {
        loop {
            let news = self.ear.news.notified();
            let heard = std::mem::take(&mut *self.ear.lock());
            if heard.lost || heard.begun || !heard.paths.is_empty() {
                return heard;
            }
            news.await;
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = path.metadata()?;
    let birth = metadata.created().ok();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok((metadata.dev(), metadata.ino(), birth))
    }
    #[cfg(not(unix))]
    Ok((0, 0, birth))
}

fn complain(error: &notify::Error) {
    let hint = match &error.kind {
        ErrorKind::MaxFilesWatch => "raise it with: sysctl fs.inotify.max_user_watches=524288",
        ErrorKind::Io(error) if error.raw_os_error() == Some(24) => {
            "raise it with: sysctl fs.inotify.max_user_instances=1024, or ulimit -n"
        }
        _ => "changes show within a second",
    };
    warn!(%error, hint, "cannot watch for changes; looking every second instead");
}

impl Ear {
    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, note: impl FnOnce(&mut Heard)) {
        note(&mut self.lock());
        self.news.notify_one();
    }

    fn lose(&self) {
        self.tell(|heard| heard.lost = true);
    }

    fn hear(&self, event: notify::Result<Event>) {
        let Ok(event) = event.inspect_err(|error| warn!(%error, "cannot read a change")) else { return self.lose() };
        if event.need_rescan() {
            return self.lose();
        }
        let touch = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Touch::Closed,
            EventKind::Modify(ModifyKind::Name(_)) => Touch::Moved,
            EventKind::Modify(ModifyKind::Metadata(_)) => Touch::Marked,
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => Touch::Changing,
            // Opening and reading: our own reads among them.
            _ => return,
        };
        self.tell(|heard| event.paths.into_iter().for_each(|path| heard.note(path, touch)));
    }
}
