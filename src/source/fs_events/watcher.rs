//! Watches directories by whatever this system has for it, and watches one anew that was replaced. Without any, or where it
//! refuses, the log says so and the caller has to look by itself. It knows directories, not what is in them.

use std::{
    collections::{HashMap, HashSet},
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tracing::warn;

#[cfg(target_os = "linux")]
use super::inotify::InotifyBackend;
use super::{
    batch::{Change, EventBatch},
    notify::NotifyBackend,
};

/// Where events come from.
#[derive(Debug)]
enum Backend {
    /// From nowhere: the caller polls.
    None,
    #[cfg(target_os = "linux")]
    Inotify(InotifyBackend),
    Notify(NotifyBackend),
}

impl Backend {
    fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if !super::notify::is_wanted_by_a_test() {
            return InotifyBackend::new().map(Self::Inotify);
        }
        NotifyBackend::new().map(Self::Notify)
    }
}

/// Watches directories.
#[derive(Debug)]
pub(in crate::source) struct Watcher {
    backend: Backend,
    watched: HashMap<PathBuf, Identity>,
    /// Watched since the last look.
    added: Vec<PathBuf>,
    /// Whether a directory is not watched that should be.
    has_failed: bool,
}

/// Device, inode and time of birth: a file system may give the inode of a removed directory to the next at once.
type Identity = (u64, u64, Option<SystemTime>);

impl Watcher {
    /// A watcher without directories. Where the system has no more of them, the log says so and the caller has to poll.
    pub(in crate::source) fn new() -> Self {
        match Backend::new() {
            Ok(backend) => Self { backend, has_failed: false, ..Self::none() },
            Err(error) => {
                report(&error);
                Self::none()
            }
        }
    }

    /// A watcher that never tells of anything: the caller polls.
    pub(in crate::source) fn none() -> Self {
        Self { backend: Backend::None, watched: HashMap::new(), added: Vec::new(), has_failed: true }
    }

    /// Whether every directory is watched that exists.
    pub(in crate::source) fn is_complete(&self) -> bool {
        !self.has_failed
    }

    /// Whether a writer that closes its file shows as `Change::Closed`. Where it does not, only the end mark of a format and the
    /// time that a file has rested tell that a writer is done, and the caller ought to look more often.
    pub(in crate::source) fn reports_closes(&self) -> bool {
        match self.backend {
            // It misses everything, not closes alone.
            Backend::None => true,
            #[cfg(target_os = "linux")]
            Backend::Inotify(_) => InotifyBackend::REPORTS_CLOSES,
            Backend::Notify(_) => NotifyBackend::REPORTS_CLOSES,
        }
    }

    /// Watches the entries of these directories, and of no others; again, where one was replaced since.
    pub(in crate::source) fn watch(&mut self, directories: &HashSet<&Path>) {
        let unwanted = self.watched.keys().filter(|watched| !directories.contains(watched.as_path()));
        let unwanted: Vec<PathBuf> = unwanted.cloned().collect();
        unwanted.iter().for_each(|directory| self.unwatch(directory));
        directories.iter().for_each(|directory| self.watch_one(directory));
    }

    fn unwatch(&mut self, directory: &Path) {
        if self.watched.remove(directory).is_none() {
            return;
        }
        match &mut self.backend {
            Backend::None => {}
            #[cfg(target_os = "linux")]
            Backend::Inotify(inotify) => inotify.unwatch(directory),
            Backend::Notify(notify) => notify.unwatch(directory),
        }
    }

    fn watch_one(&mut self, directory: &Path) {
        let identity = directory.metadata().ok().filter(Metadata::is_dir).map(|metadata| identity(&metadata));
        if self.watched.get(directory).copied() == identity {
            return;
        }
        self.unwatch(directory);
        let Some(identity) = identity else { return };
        let watched = match &mut self.backend {
            Backend::None => return,
            #[cfg(target_os = "linux")]
            Backend::Inotify(inotify) => inotify.watch(directory),
            Backend::Notify(notify) => notify.watch(directory),
        };
        match watched {
            Ok(()) => self.added.push(directory.to_owned()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return,
            Err(error) => {
                self.has_failed = true;
                report(&error);
            }
        }
        self.watched.insert(directory.to_owned(), identity);
    }

    /// Waits until there is something to take.
    pub(in crate::source) async fn readable(&self) {
        match &self.backend {
            _ if !self.added.is_empty() => {}
            Backend::None => std::future::pending().await,
            #[cfg(target_os = "linux")]
            Backend::Inotify(inotify) => inotify.readable().await,
            Backend::Notify(notify) => notify.readable().await,
        }
    }

    /// Takes what has happened so far.
    pub(in crate::source) fn take(&mut self) -> EventBatch {
        let mut batch = EventBatch::default();
        let gone = match &mut self.backend {
            Backend::None => Vec::new(),
            #[cfg(target_os = "linux")]
            Backend::Inotify(inotify) => inotify.take(&mut batch),
            Backend::Notify(notify) => notify.take(&mut batch),
        };
        // A directory that is at its place by now has yet to be watched.
        self.watched.retain(|directory, _| !gone.contains(directory));
        self.added.drain(..).chain(gone).for_each(|directory| batch.record(directory, Change::Changing));
        batch
    }
}

/// The error with which the system refuses to tell of changes in a directory, and what to do about it.
pub(crate) fn events_refused(directory: &Path) -> Option<(io::Error, &'static str)> {
    let watched = Backend::new().and_then(|backend| match backend {
        Backend::None => Ok(()),
        #[cfg(target_os = "linux")]
        Backend::Inotify(mut inotify) => inotify.watch(directory),
        Backend::Notify(mut notify) => notify.watch(directory),
    });
    let error = watched.err().filter(|error| error.kind() != io::ErrorKind::PermissionDenied)?;
    let hint = hint(&error);
    Some((error, hint))
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino(), metadata.created().ok())
}

fn report(error: &io::Error) {
    let hint = hint(error);
    warn!(%error, hint, "cannot watch for changes; looking every second instead");
}

/// What to do about a failure; the numbers are those of Linux (errno(3)).
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(28) => "this user has no watches left; raise their number with: sysctl fs.inotify.max_user_watches=524288",
        Some(24) => {
            "this user has no instances left; raise their number with: sysctl fs.inotify.max_user_instances=1024, or ulimit -n"
        }
        _ => "changes show within a second",
    }
}
