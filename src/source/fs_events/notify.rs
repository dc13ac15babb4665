//! The backend of systems without inotify(7), by the crate notify. None of them tells that a writer closed its file: there the
//! end marks and the settle time decide, and a look several times a second finds what no event told.
//!
//! Linux compiles it too, and uses it where the environment has `TEST_MXR_FS_EVENTS=notify`: so the tests hold what macOS gets.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::ModifyKind};

use super::batch::{Change, EventBatch};
use crate::sync::Mutex;

/// Events that wait to be taken; beyond it everything is looked at, so that memory stays flat.
const MAX_EVENTS: usize = 16_384;

/// Whether a test on Linux asks for this backend.
#[cfg(target_os = "linux")]
pub(in crate::source) fn is_wanted_by_a_test() -> bool {
    std::env::var_os("TEST_MXR_FS_EVENTS").is_some_and(|backend| backend == "notify")
}

/// Watches directories.
#[derive(Debug)]
pub(super) struct NotifyBackend {
    watcher: RecommendedWatcher,
    queue: Arc<Queue>,
}

/// Events on their way from the thread of the crate.
#[derive(Debug, Default)]
struct Queue {
    events: Mutex<Vec<notify::Result<Event>>>,
    has_some: tokio::sync::Notify,
}

impl Queue {
    fn push(&self, event: notify::Result<Event>) {
        // Reads are no changes, our own among them, and closes are not told of everywhere (see above).
        if event.as_ref().is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            return;
        }
        let mut events = self.events.lock();
        if events.len() < MAX_EVENTS {
            events.push(event);
        }
        self.has_some.notify_one();
    }
}

impl NotifyBackend {
    /// No system that needs this backend reports who closed a file.
    pub(super) const REPORTS_CLOSES: bool = false;

    /// One without directories.
    pub(super) fn new() -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let sink = queue.clone();
        let watcher = RecommendedWatcher::new(move |event| sink.push(event), Config::default()).map_err(into_io)?;
        Ok(Self { watcher, queue })
    }

    /// Watches the entries of a directory.
    pub(super) fn watch(&mut self, directory: &Path) -> io::Result<()> {
        self.watcher.watch(directory, RecursiveMode::NonRecursive).map_err(into_io)
    }

    /// Stops watching a directory; the system may have let it go already.
    pub(super) fn unwatch(&mut self, directory: &Path) {
        let _ = self.watcher.unwatch(directory);
    }

    /// Waits until there is something to take.
    pub(super) async fn readable(&self) {
        self.queue.has_some.notified().await;
    }

    /// Takes the queued events. Returns no directories that are gone, since it does not know: a caller that looks finds out.
    pub(super) fn take(&mut self, batch: &mut EventBatch) -> Vec<PathBuf> {
        let events = std::mem::take(&mut *self.queue.events.lock());
        batch.lost |= events.len() >= MAX_EVENTS;
        for event in events {
            match event {
                Ok(event) if !event.need_rescan() => {
                    let change = meaning(event.kind);
                    event.paths.into_iter().for_each(|path| batch.record(path, change));
                }
                _ => batch.lost = true,
            }
        }
        Vec::new()
    }
}

fn meaning(kind: EventKind) -> Change {
    match kind {
        EventKind::Modify(ModifyKind::Name(_)) => Change::Moved,
        EventKind::Modify(ModifyKind::Metadata(_)) => Change::Metadata,
        _ => Change::Changing,
    }
}

/// Keeps what the system said, where it is the cause.
fn into_io(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        notify::ErrorKind::PathNotFound => io::ErrorKind::NotFound.into(),
        notify::ErrorKind::MaxFilesWatch => io::Error::from_raw_os_error(28),
        _ => io::Error::other(error),
    }
}
