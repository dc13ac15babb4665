//! What the systems tell that have no inotify(7), through the crate notify. None of them says who closed a file: there the end
//! marks and the settle time decide, and a look several times a second finds what was not told.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};

use super::{Change, EventBatch};
use crate::sync::lock;

/// Events that wait to be taken; beyond it everything is looked at, so that memory stays flat.
const MOST: usize = 16_384;

/// Watches directories.
#[derive(Debug)]
pub(super) struct NotifyBackend {
    watcher: RecommendedWatcher,
    told: Arc<Told>,
}

#[derive(Debug, Default)]
struct Told {
    events: Mutex<Vec<notify::Result<Event>>>,
    news: tokio::sync::Notify,
}

impl NotifyBackend {
    /// One without directories.
    pub(super) fn new() -> io::Result<Self> {
        let told = Arc::new(Told::default());
        let listener = told.clone();
        let handler = move |event| {
            let mut events = lock(&listener.events);
            if events.len() < MOST {
                events.push(event);
            }
            listener.news.notify_one();
        };
        let watcher = RecommendedWatcher::new(handler, Config::default()).map_err(io::Error::other)?;
        Ok(Self { watcher, told })
    }

    /// Watches the entries of a directory.
    pub(super) fn watch(&mut self, directory: &Path) -> io::Result<()> {
        self.watcher.watch(directory, RecursiveMode::NonRecursive).map_err(io::Error::other)
    }

    /// Watches a directory no longer; the system may have let it go already.
    pub(super) fn unwatch(&mut self, directory: &Path) {
        let _ = self.watcher.unwatch(directory);
    }

    /// Waits until there is something to take.
    pub(super) async fn news(&self) {
        self.told.news.notified().await;
    }

    /// Takes what was told. No directory is known to be gone: whoever looks for it finds out.
    pub(super) fn take(&mut self, heard: &mut EventBatch) -> Vec<PathBuf> {
        let events = std::mem::take(&mut *lock(&self.told.events));
        heard.lost |= events.len() >= MOST;
        for event in events {
            match event {
                Ok(event) if !event.need_rescan() => {
                    let touch = read(event.kind);
                    event.paths.into_iter().for_each(|path| heard.note(path, touch, 0));
                }
                _ => heard.lost = true,
            }
        }
        Vec::new()
    }
}

fn read(kind: EventKind) -> Change {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Change::Closed,
        EventKind::Modify(ModifyKind::Name(_)) => Change::Moved,
        EventKind::Modify(ModifyKind::Metadata(_)) => Change::Marked,
        EventKind::Access(_) => Change::Opened,
        _ => Change::Changing,
    }
}
