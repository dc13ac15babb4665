//! Reads a file so that its bytes are those of one moment: regular files only, within a limit, and only if nothing changed
//! while they were read. It does not know what the bytes mean, nor when to read.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rustix::fs::OFlags;

/// Tells two states of a path apart: by the file itself, its size and its times.
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
    /// Of a file's metadata.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            identity: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// One that differs from those of other numbers, and whose bytes changed in that second.
    #[cfg(test)]
    pub(crate) fn numbered(number: i64) -> Self {
        Self { identity: (0, 0), size: 0, modified: (number, 0), changed: (number, 0) }
    }

    /// The time of the last change of the bytes, by the file system.
    pub(crate) fn time(&self) -> SystemTime {
        time_of(self.modified)
    }

    /// Whether nothing has changed for so long. Times are exact to a `tick`: a file that has just changed may change again unseen.
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

/// The outcome of reading.
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

/// Reads as `read` does, but only a file that lies in the directory `root`, which is canonical. Links are followed before the
/// check, and the file is then opened without following any: swapping a file or a directory for a link in between gains nothing.
pub(crate) fn read_inside(root: &Path, path: &Path, limit: usize) -> io::Result<Reading> {
    let real = path.canonicalize()?;
    match real.strip_prefix(root) {
        Ok(inside) => read_open(open_inside(root, inside)?, limit),
        Err(_) => Ok(Reading::NotAFile),
    }
}

/// Opens a regular file to read it as it grows; with `root`, which is canonical, only one that lies in that directory, as
/// `read_inside` does. `None` if it is not a regular file, or lies outside.
pub(crate) fn open_regular(root: Option<&Path>, path: &Path) -> io::Result<Option<File>> {
    let file = match root {
        None => open(path, true)?,
        Some(root) => match path.canonicalize()?.strip_prefix(root) {
            Ok(inside) => open_inside(root, inside)?,
            Err(_) => return Ok(None),
        },
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Opens the file of this path below `root`, through no link.
fn open_inside(root: &Path, inside: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{Mode, ResolveFlags, open, openat2},
            io::Errno,
        };
        let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(root, inside, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Linux before 5.6, and containers that allow no newer calls.
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
    body.try_reserve_exact(before.size as usize)?;
    // If it has grown meanwhile, its size tells.
    (&file).take(before.size).read_to_end(&mut body)?;
    let is_same = body.len() as u64 == before.size && Signature::of(&file.metadata()?) == before;
    Ok(if is_same { Reading::Whole(body.into(), before) } else { Reading::Changed })
}

fn open(path: &Path, follows_links: bool) -> io::Result<File> {
    let links = if follows_links { OFlags::empty() } else { OFlags::NOFOLLOW };
    OpenOptions::new().read(true).custom_flags((OFlags::NONBLOCK | links).bits() as i32).open(path)
}

#[cfg(test)]
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
