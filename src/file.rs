//! Reads a file as it was at one moment: only a regular file, up to a limit, and only if it did not change during the read. It
//! knows nothing of formats or watches.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

/// The state of a path, to detect changes: the file itself, its size and its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    identity: (u64, u64),
    /// Bytes.
    pub(crate) size: u64,
    /// The last change of the bytes, in seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, i64),
    /// The last change of bytes or metadata, in the same form.
    pub(crate) changed: (i64, i64),
}

impl Signature {
    /// The signature in a file's metadata.
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            identity: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The signature in a file's metadata.
    #[cfg(not(unix))]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        let modified = (since.as_secs() as i64, i64::from(since.subsec_nanos()));
        Self { identity: (0, 0), size: metadata.len(), modified, changed: modified }
    }

    /// The time of the last change of the bytes, by the file system.
    pub(crate) fn time(&self) -> SystemTime {
        time_of(self.modified)
    }

    /// Whether nothing has changed for this long. Times are exact to a `tick`, so a file that has just changed may change again with
    /// the same time.
    pub(crate) fn has_rested(&self, time: Duration) -> bool {
        time_of(self.changed).elapsed().is_ok_and(|age| age >= time)
    }
}

fn time_of((seconds, nanos): (i64, i64)) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos as u32),
        Err(_) => SystemTime::UNIX_EPOCH,
    }
}

/// The most by which the times of files lag behind the clock: the kernel takes them from a clock that advances tick by tick. The
/// next write to a file whose time is older than this changes its time.
pub(crate) fn tick() -> Duration {
    /// The tick of the lowest rate that Linux is built with (100 Hz).
    const SLOWEST: Duration = Duration::from_millis(10);
    #[cfg(target_os = "linux")]
    {
        let tick = rustix::time::clock_getres(rustix::time::ClockId::RealtimeCoarse);
        Duration::try_from(tick).map_or(SLOWEST, |tick| tick.min(SLOWEST))
    }
    #[cfg(not(target_os = "linux"))]
    SLOWEST
}

/// The result of a read.
#[derive(Debug)]
pub(crate) enum Reading {
    /// The bytes at one moment.
    Whole(Bytes, Signature),
    /// The file changed during the read.
    Changed,
    /// A directory, FIFO, device or socket; with `read_inside`, also a path that leads outside.
    NotAFile,
    /// The file is larger than the limit; its size in bytes.
    TooLarge(u64),
}

/// Reads a regular file of at most `limit` bytes. Opening never blocks, not even on a FIFO without a writer. Errors are those of
/// open(2) and read(2), and a lack of memory.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Reading> {
    read_open(open(path, true)?, limit)
}

/// Reads as `read` does, but only files in the directory `root`, which must be canonical. It resolves links before the check, and
/// opens the result without following any: swapping a file or a directory for a link in between gains an attacker nothing.
pub(crate) fn read_inside(root: &Path, path: &Path, limit: usize) -> io::Result<Reading> {
    let real = path.canonicalize()?;
    match real.strip_prefix(root) {
        Ok(inside) => read_open(open_inside(root, inside)?, limit),
        Err(_) => Ok(Reading::NotAFile),
    }
}

/// Opens this path below `root`, and fails if it leads through a link.
fn open_inside(root: &Path, inside: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{Mode, OFlags, ResolveFlags, open, openat2},
            io::Errno,
        };
        let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(root, inside, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Linux before 5.6, and containers that block the call.
            Err(Errno::NOSYS | Errno::PERM) => {}
            opened => return Ok(opened?.into()),
        }
    }
    open(&root.join(inside), false)
}

fn read_open(file: File, limit: usize) -> io::Result<Reading> {
    let metadata = file.metadata()?;
    let before = Signature::of(&metadata);
    if !metadata.is_file() {
        return Ok(Reading::NotAFile);
    }
    if before.size > limit as u64 {
        return Ok(Reading::TooLarge(before.size));
    }
    let mut body = Vec::new();
    body.try_reserve_exact(before.size as usize + 1)?;
    (&file).take(limit as u64 + 1).read_to_end(&mut body)?;
    let is_same = body.len() as u64 == before.size && Signature::of(&file.metadata()?) == before;
    Ok(if is_same { Reading::Whole(body.into(), before) } else { Reading::Changed })
}

fn open(path: &Path, follows_links: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;
        let links = if follows_links { OFlags::empty() } else { OFlags::NOFOLLOW };
        options.custom_flags((OFlags::NONBLOCK | links).bits() as i32);
    }
    #[cfg(not(unix))]
    let _ = follows_links;
    options.open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_to_a_file_outside_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("frames");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("1.txt"), "one").unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        symlink("1.txt", root.join("inside")).unwrap();
        symlink("../secret", root.join("outside")).unwrap();
        let read = |name: &str| read_inside(&root, &root.join(name), 100).unwrap();
        assert!(matches!(read("1.txt"), Reading::Whole(body, _) if body == "one"));
        assert!(matches!(read("inside"), Reading::Whole(body, _) if body == "one"));
        assert!(matches!(read("outside"), Reading::NotAFile));
        // A path that was a file at the check and is a link when it is opened.
        assert!(open(&root.join("inside"), false).is_err() && open_inside(&root, Path::new("inside")).is_err());
    }

    /// Whether the kernel can refuse links by itself.
    #[cfg(target_os = "linux")]
    fn has_openat2() -> bool {
        use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
        openat2(CWD, ".", OFlags::PATH, Mode::empty(), ResolveFlags::BENEATH).is_ok()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_directory_that_becomes_a_link_after_the_check_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("frames");
        let (inside, outside) = (root.join("inside"), folder.path().join("outside"));
        for (directory, text) in [(&inside, "inside"), (&outside, "secret")] {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::write(directory.join("1.txt"), text).unwrap();
        }
        symlink(&outside, root.join("swapped")).unwrap();
        assert!(open_inside(&root, Path::new("inside/1.txt")).is_ok());
        if !has_openat2() {
            return;
        }
        assert!(open_inside(&root, Path::new("swapped/1.txt")).is_err());
        assert!(open_inside(&root, Path::new("../outside/1.txt")).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_outside_is_read_while_somebody_swaps_directories_for_links() {
        use std::{
            sync::atomic::{AtomicBool, Ordering::Relaxed},
            time::Instant,
        };

        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if !has_openat2() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("frames");
        let (inside, outside, link) = (root.join("inside"), folder.path().join("outside"), root.join("link"));
        for (directory, text) in [(&inside, "inside"), (&outside, "secret")] {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::write(directory.join("1.txt"), text).unwrap();
        }
        symlink(&outside, &link).unwrap();
        symlink("inside/1.txt", root.join("1.txt")).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    renameat_with(CWD, &inside, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                }
            });
            let (start, mut reads, mut leaks) = (Instant::now(), 0, 0);
            while start.elapsed() < Duration::from_secs(2) {
                if let Ok(Reading::Whole(body, _)) = read_inside(&root, &root.join("1.txt"), 100) {
                    (reads, leaks) = (reads + 1, leaks + u32::from(body != "inside"));
                }
            }
            is_over.store(true, Relaxed);
            assert!(reads > 0 && leaks == 0, "{leaks} of {reads} came from outside");
        });
    }
}
