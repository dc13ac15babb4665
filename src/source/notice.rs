//! What the file system tells: which names in the watched directories were touched, and which of these are done.
//! Notices are hints where to look, never facts: who gets one looks at the file itself.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use notify::{
    Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::Notify;
use tracing::warn;

use crate::contain::{Place, contained};

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
}

/// What happened since the last look.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The paths, with their place in the order of events and their last touch.
    pub(super) paths: HashMap<PathBuf, (u64, Touch)>,
    /// Something happened that is not in `paths`: look at everything.
    pub(super) lost: bool,
    order: u64,
}

/// Watches directories.
#[derive(Debug)]
pub(super) struct Notices {
    watcher: Option<RecommendedWatcher>,
    ear: Arc<Ear>,
    watched: HashMap<PathBuf, (u64, u64)>,
}

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
        // A panic would silence notify's thread for good.
        let handler = move |event: notify::Result<Event>| {
            if contained(Place::Source, || listener.hear(event)).is_err() {
                listener.lose();
            }
        };
        let watcher = RecommendedWatcher::new(handler, Config::default()).inspect_err(complain).ok();
        Self { watcher, ear, watched: HashMap::new() }
    }

    /// Nobody who watches: polling has to do.
    pub(super) fn none() -> Self {
        Self { watcher: None, ear: Arc::default(), watched: HashMap::new() }
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
                Ok(()) => self.ear.lose(),
                Err(error) => complain(&error),
            }
            self.watched.insert(directory.to_owned(), identity);
        }
    }

    /// Waits for news.
    pub(super) async fn heard(&self) -> Heard {
        loop {
            let news = self.ear.news.notified();
            let heard = std::mem::take(&mut *self.ear.lock());
            if heard.lost || !heard.paths.is_empty() {
                return heard;
            }
            news.await;
        }
    }
}

/// Device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = path.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Ok((0, 0))
    }
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

    fn lose(&self) {
        self.lock().lost = true;
        self.news.notify_one();
    }

    fn hear(&self, event: notify::Result<Event>) {
        let Ok(event) = event.inspect_err(|error| warn!(%error, "cannot read a change")) else { return self.lose() };
        if event.need_rescan() {
            return self.lose();
        }
        let touch = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Touch::Closed,
            EventKind::Modify(ModifyKind::Name(_)) => Touch::Moved,
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => Touch::Changing,
            // Opening and reading: our own reads among them.
            _ => return,
        };
        let mut heard = self.lock();
        for path in event.paths {
            if heard.paths.len() >= MOST && !heard.paths.contains_key(&path) {
                heard.lost = true;
                heard.paths.clear();
            }
            heard.order += 1;
            let order = heard.order;
            heard.paths.insert(path, (order, touch));
        }
        drop(heard);
        self.news.notify_one();
    }
}
