//! The inotify(7) backend, read on the thread that looks at the files: a caller that takes the queued events right before a look
//! knows of every write that ended by then. A library with a thread of its own cannot promise that.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use tokio::io::unix::AsyncFd;

use super::batch::{Change, EventBatch};

/// Events taken at a time, as many as the kernel queues by default: a flood must not keep the looks waiting.
const MAX_EVENTS: usize = 16_384;
/// Bytes read at a time.
const BUFFER: usize = 16 << 10;
/// Bytes of an event without its name, to a multiple of which the kernel pads the name.
const HEADER: usize = 16;
/// Bytes of the largest event: a name has at most 255, and a zero behind it.
const LARGEST: usize = HEADER + 256;

/// Watches directories.
#[derive(Debug)]
pub(super) struct InotifyBackend {
    descriptor: AsyncFd<OwnedFd>,
    directories: HashMap<i32, PathBuf>,
    has_more: bool,
}

impl InotifyBackend {
    /// A file that a writer closes shows as `Change::Closed`.
    pub(super) const REPORTS_CLOSES: bool = true;

    /// One without directories. It fails where the user has no instances left.
    #[allow(deprecated, reason = "its replacement is unsafe (tokio #8587); an OwnedFd meets its conditions")]
    pub(super) fn new() -> io::Result<Self> {
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { descriptor: AsyncFd::new(descriptor)?, directories: HashMap::new(), has_more: false })
    }

    /// Watches the entries of a directory.
    pub(super) fn watch(&mut self, directory: &Path) -> io::Result<()> {
        let finished = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
        let changing = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::ATTRIB;
        // Readers raise no event, we ourselves among them.
        let number = inotify::add_watch(&self.descriptor, directory, finished | changing | WatchFlags::ONLYDIR)?;
        self.directories.insert(number, directory.to_owned());
        Ok(())
    }

    /// Stops watching a directory; the kernel may have let it go already.
    pub(super) fn unwatch(&mut self, directory: &Path) {
        let descriptor = &self.descriptor;
        self.directories.retain(|number, watched| {
            let is_other = watched != directory;
            if !is_other {
                let _ = inotify::remove_watch(descriptor, *number);
            }
            is_other
        });
    }

    /// Waits until there is something to take.
    pub(super) async fn readable(&self) {
        if self.has_more {
            return;
        }
        match self.descriptor.readable().await {
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes the queued events, by one read(2) where it returns all of them. Returns the directories that are no longer watched,
    /// since they are gone.
    pub(super) fn take(&mut self, batch: &mut EventBatch) -> Vec<PathBuf> {
        let mut space = [MaybeUninit::uninit(); BUFFER];
        let mut events = Reader::new(&self.descriptor, &mut space);
        let (mut gone, mut count, mut read) = (Vec::new(), 0, 0);
        self.has_more = false;
        loop {
            if events.is_buffer_empty() {
                // A read ends where the queue does, or where the next event does not fit.
                let was_all = count > 0 && read + LARGEST <= BUFFER;
                self.has_more = !was_all && count >= MAX_EVENTS;
                if was_all || self.has_more {
                    break;
                }
                read = 0;
            }
            match events.next() {
                Ok(event) => {
                    (count, read) = (count + 1, read + size_at_most(&event));
                    record(&event, &mut self.directories, batch, &mut gone);
                }
                Err(Errno::INTR) => {}
                // Nothing more is queued.
                Err(_) => break,
            }
        }
        gone
    }
}

fn size_at_most(event: &Event<'_>) -> usize {
    HEADER + event.file_name().map_or(0, |name| name.to_bytes().len() + HEADER)
}

fn record(event: &Event<'_>, directories: &mut HashMap<i32, PathBuf>, batch: &mut EventBatch, gone: &mut Vec<PathBuf>) {
    let flags = event.events();
    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        batch.lost = true;
    } else if flags.contains(ReadFlags::IGNORED) {
        gone.extend(directories.remove(&event.wd()));
    } else if let (Some(directory), Some(name)) = (directories.get(&event.wd()), event.file_name()) {
        batch.record(directory.join(OsStr::from_bytes(name.to_bytes())), meaning(flags));
    }
}

fn meaning(flags: ReadFlags) -> Change {
    if flags.contains(ReadFlags::CLOSE_WRITE) {
        Change::Closed
    } else if flags.intersects(ReadFlags::MOVED_TO | ReadFlags::MOVED_FROM) {
        Change::Moved
    } else if flags.contains(ReadFlags::ATTRIB) {
        Change::Metadata
    } else {
        Change::Changing
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    #[tokio::test]
    async fn events_of_many_reads_are_all_taken() {
        let folder = tempfile::tempdir().unwrap();
        let mut backend = InotifyBackend::new().unwrap();
        backend.watch(folder.path()).unwrap();
        // Names of every length, so that a read ends at any place of the buffer.
        let names: Vec<String> = (0..1000).map(|n| format!("{n}-{}", "x".repeat(n % 250))).collect();
        names.iter().for_each(|name| fs::write(folder.path().join(name), "text").unwrap());
        let mut batch = EventBatch::default();
        assert!(backend.take(&mut batch).is_empty());
        assert!(names.iter().all(|name| batch.paths[&folder.path().join(name)].change == Change::Closed));
    }

    #[tokio::test]
    async fn of_more_events_than_are_taken_at_a_time_none_is_dropped_unsaid() {
        let folder = tempfile::tempdir().unwrap();
        let mut backend = InotifyBackend::new().unwrap();
        backend.watch(folder.path()).unwrap();
        // Three events each, where the kernel queues 16,384: what is dropped shows as `lost`.
        for number in 0..3000 {
            fs::write(folder.path().join(number.to_string()), "text").unwrap();
        }
        let (mut seen, mut lost) = (std::collections::HashSet::new(), false);
        loop {
            let mut batch = EventBatch::default();
            backend.take(&mut batch);
            if !batch.has_changes() {
                break;
            }
            lost |= batch.lost;
            seen.extend(batch.paths.into_keys());
        }
        assert!(lost || seen.len() == 3000, "{} paths", seen.len());
    }

    #[tokio::test]
    async fn readers_wake_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "text").unwrap();
        let mut backend = InotifyBackend::new().unwrap();
        backend.watch(folder.path()).unwrap();
        fs::read(&path).unwrap();
        let woken = tokio::time::timeout(Duration::from_millis(50), backend.readable()).await;
        assert!(woken.is_err());
        fs::write(&path, "more").unwrap();
        backend.readable().await;
    }
}
