//! Reads a file and tells whether its bytes are those of one moment: regular files only, and within a limit. It does not know what
//! the bytes mean, nor when to read.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rustix::fs::OFlags;

/// Reads what there is, also after a signal.
pub(crate) fn read_some(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

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

    /// One that differs from those of other numbers, of this size, and whose bytes changed in that second.
    #[cfg(test)]
    pub(crate) fn numbered(number: i64, size: u64) -> Self {
        Self { identity: (0, 0), size, modified: (number, 0), changed: (number, 0) }
    }

    /// Whether it is of the same file, at whatever time.
    pub(crate) fn is_of_same_file(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Whether the same file had more bytes before.
    pub(crate) fn is_cut_from(&self, before: &Self) -> bool {
        self.identity == before.identity && self.size < before.size
    }

    /// The time of the last change of bytes or metadata, by the file system: the one that no program can set.
    pub(crate) fn change_time(&self) -> SystemTime {
        time_of(self.changed)
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

/// The time that a file gets which is made or written now: of a clock that lags behind by up to a `tick`, so that times of files can be
/// compared with it exactly.
pub(crate) fn now() -> SystemTime {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        SystemTime::UNIX_EPOCH + Duration::try_from(now).unwrap_or_default()
    }
    #[cfg(not(target_os = "linux"))]
    {
        SystemTime::now() - tick()
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
    /// The file grew during the read: the bytes up to its size before. It may have changed in them as well.
    Grown(Bytes, Signature),
    /// The file changed during the read: bytes of different moments, and its state before.
    Changed(Bytes, Signature),
    /// A directory, FIFO, device or socket; with `open_inside`, also a path that leads outside.
    NotAFile,
    /// The file is larger than the limit; its size in bytes.
    TooLarge(u64),
}

/// A regular file that is open for reading, and its state at that moment.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    pub(crate) signature: Signature,
}

/// Reads a regular file of at most `limit` bytes. Opening never blocks, not even on a FIFO without a writer. Errors are those of
/// open(2) and read(2), and a lack of memory.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Reading> {
    open(path, true)?.map_or(Ok(Reading::NotAFile), |file| file.read(limit))
}

/// Opens a file as `read` does; `None` for what is no regular file.
pub(crate) fn open(path: &Path, follows_links: bool) -> io::Result<Option<OpenFile>> {
    OpenFile::of(open_path(path, follows_links)?)
}

/// Opens a file as `read` does, but only one that lies in the directory `root`, which is canonical; `None` for what is no regular
/// file or lies outside. Links are followed before the check, and the file is then opened without following any: swapping a file or
/// a directory for a link in between gains nothing.
pub(crate) fn open_inside(root: &Path, path: &Path) -> io::Result<Option<OpenFile>> {
    let real = path.canonicalize()?;
    match real.strip_prefix(root) {
        Ok(inside) => OpenFile::of(open_below(root, inside)?),
        Err(_) => Ok(None),
    }
}

impl OpenFile {
    fn of(file: File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then(|| Self { signature: Signature::of(&metadata), file }))
    }

    /// Reads at most `limit` bytes.
    pub(crate) fn read(&self, limit: usize) -> io::Result<Reading> {
        let (mut file, before) = (&self.file, self.signature);
        if before.size > limit as u64 {
            return Ok(Reading::TooLarge(before.size));
        }
        // The size of such a file says nothing: it is 0 in proc(5), and a page in sysfs(5).
        let most = if before.size == 0 && is_generated(file) { limit as u64 + 1 } else { before.size };
        let mut body = Vec::new();
        body.try_reserve_exact(before.size as usize)?;
        // If it has grown meanwhile, its size tells.
        (&mut file).take(most).read_to_end(&mut body)?;
        if body.len() > limit {
            return Ok(Reading::TooLarge(body.len() as u64));
        }
        let after = Signature::of(&file.metadata()?);
        let has_all = body.len() as u64 == before.size;
        Ok(match body.into() {
            body if has_all && after == before => Reading::Whole(body, before),
            body if has_all && before.is_cut_from(&after) => Reading::Grown(body, before),
            body if is_generated(file) => Reading::Whole(body, before),
            body => Reading::Changed(body, before),
        })
    }
}

/// Whether the kernel makes up the bytes of a file at each read. Such a file has no true size, and its times and events tell of no
/// change. statfs(2) lists the numbers.
pub(crate) fn is_generated(file: impl std::os::fd::AsFd) -> bool {
    #[cfg(target_os = "linux")]
    {
        /// proc, sysfs, cgroup 2 and 1, debugfs, tracefs.
        const KINDS: [u64; 6] = [0x9fa0, 0x6265_6572, 0x6367_7270, 0x27_e0eb, 0x6462_6720, 0x7472_6163];
        rustix::fs::fstatfs(file).is_ok_and(|found| KINDS.contains(&(found.f_type as u64 & 0xffff_ffff)))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// Opens a regular file to read it as it grows; with `root`, which is canonical, only one that lies in that directory, as
/// `open_inside` does. `None` if it is not a regular file, or lies outside.
pub(crate) fn open_regular(root: Option<&Path>, path: &Path) -> io::Result<Option<File>> {
    let open = root.map_or_else(|| open(path, true), |root| open_inside(root, path))?;
    Ok(open.map(|open| open.file))
}

/// Opens the file of this path below `root`, through no link.
fn open_below(root: &Path, inside: &Path) -> io::Result<File> {
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
    open_path(&root.join(inside), false)
}

fn open_path(path: &Path, follows_links: bool) -> io::Result<File> {
    let links = if follows_links { OFlags::empty() } else { OFlags::NOFOLLOW };
    OpenOptions::new().read(true).custom_flags((OFlags::NONBLOCK | links).bits() as i32).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn read_inside(root: &Path, path: &Path, limit: usize) -> io::Result<Reading> {
        open_inside(root, path)?.map_or(Ok(Reading::NotAFile), |file| file.read(limit))
    }

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
        assert!(open_path(&root.join("inside"), false).is_err() && open_below(&root, Path::new("inside")).is_err());
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
        assert!(open_below(&root, Path::new("inside/1.txt")).is_ok());
        if !has_openat2() {
            return;
        }
        assert!(open_below(&root, Path::new("swapped/1.txt")).is_err());
        assert!(open_below(&root, Path::new("../outside/1.txt")).is_err());
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
