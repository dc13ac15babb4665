//! inotify(7), read on the thread that looks at the files: whoever takes what is queued right before a look knows of every
//! write that was over by then. A library with a thread of its own cannot promise that.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use tokio::io::unix::AsyncFd;

use super::{Change, EventBatch};

/// Events taken at a time, as many as the kernel queues by default: a flood must not keep the looks waiting.
const MOST: usize = 16_384;

/// Watches directories.
#[derive(Debug)]
pub(super) struct InotifyBackend {
    descriptor: AsyncFd<OwnedFd>,
    directories: HashMap<i32, PathBuf>,
    has_more: bool,
}

impl InotifyBackend {
    /// One without directories. It fails where the user has had all instances.
    #[allow(deprecated, reason = "what takes its place is unsafe (tokio #8587); an OwnedFd keeps what is asked for there")]
    pub(super) fn new() -> io::Result<Self> {
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { descriptor: AsyncFd::new(descriptor)?, directories: HashMap::new(), has_more: false })
    }

    /// Watches the entries of a directory.
    pub(super) fn watch(&mut self, directory: &Path) -> io::Result<()> {
        let closed = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
        let changing = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::ATTRIB;
        let opened = WatchFlags::OPEN | WatchFlags::CLOSE_NOWRITE;
        let number = inotify::add_watch(&self.descriptor, directory, closed | changing | opened | WatchFlags::ONLYDIR)?;
        self.directories.insert(number, directory.to_owned());
        Ok(())
    }

    /// Watches a directory no longer; the kernel may have let it go already.
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
    pub(super) async fn news(&self) {
        if self.has_more {
            return;
        }
        match self.descriptor.readable().await {
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes what is queued. Gives the directories that are not watched any more: they are gone.
    pub(super) fn take(&mut self, heard: &mut EventBatch) -> Vec<PathBuf> {
        let mut space = [MaybeUninit::uninit(); 16 << 10];
        let mut events = Reader::new(&self.descriptor, &mut space);
        let mut gone = Vec::new();
        self.has_more = false;
        for count in 0.. {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                // Nothing more is queued.
                Err(_) => break,
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                heard.lost = true;
            } else if flags.contains(ReadFlags::IGNORED) {
                gone.extend(self.directories.remove(&event.wd()));
            } else if let (Some(directory), Some(name)) = (self.directories.get(&event.wd()), event.file_name()) {
                let (touch, opens) = read(flags);
                // Directories are opened by whoever lists them.
                if touch != Change::Opened || !flags.contains(ReadFlags::ISDIR) {
                    heard.note(directory.join(OsStr::from_bytes(name.to_bytes())), touch, opens);
                }
            }
            if count == MOST {
                self.has_more = true;
                break;
            }
        }
        gone
    }
}

/// What an event says, and how many more hold the file open.
fn read(flags: ReadFlags) -> (Change, i32) {
    match () {
        () if flags.contains(ReadFlags::CLOSE_WRITE) => (Change::Closed, -1),
        () if flags.contains(ReadFlags::CLOSE_NOWRITE) => (Change::Opened, -1),
        () if flags.contains(ReadFlags::OPEN) => (Change::Opened, 1),
        () if flags.intersects(ReadFlags::MOVED_TO | ReadFlags::MOVED_FROM) => (Change::Moved, 0),
        () if flags.contains(ReadFlags::ATTRIB) => (Change::Marked, 0),
        () => (Change::Changing, 0),
    }
}
