//! Where a recorder writes: one file, or a directory with a new file for each stretch of time or size. It decides when the next
//! file begins and what it is called; it never overwrites a file.

use std::{
    fmt::Debug,
    fs::{File, OpenOptions, create_dir, metadata, read_dir, remove_file},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    fs::{Access, FlockOperation, OFlags, access, flock},
    io::Errno,
};

use super::{
    appender::{Appender, Cut},
    retention::Retention,
    segments::{segment_name, segments_of},
};

/// A file that a place has opened.
#[derive(Debug)]
pub struct Opened {
    /// What appends to it.
    pub appender: Appender,
    /// Its path.
    pub path: PathBuf,
    /// What was cut off.
    pub cut: Option<Cut>,
}

/// Where a recorder writes.
pub trait Place: Debug + Send {
    /// Looks at the start whether parts can be recorded, and opens the file if its name does not depend on the first part.
    ///
    /// # Errors
    /// The reason why they cannot.
    fn prepare(&mut self) -> io::Result<Option<Opened>> {
        Ok(None)
    }

    /// Opens the file for a part of this time.
    ///
    /// # Errors
    /// Those of opening it; the recorder tries again later.
    fn open(&mut self, time: SystemTime) -> io::Result<Opened>;

    /// Whether a file of this size and age is full before these bytes.
    fn is_full(&self, size: u64, age: Duration, more: u64) -> bool {
        let _ = (size, age, more);
        false
    }

    /// Deletes what is not kept, but not the file that is written.
    fn tidy(&mut self, current: Option<&Path>) {
        let _ = current;
    }

    /// The same when a file is full, unless that would take much of the time.
    fn tidy_after_file(&mut self, current: Option<&Path>) {
        let _ = current;
    }

    /// Files that were recorded here before, the newest first.
    fn recorded_before(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// One file, which is appended to.
#[derive(Debug)]
pub struct SingleFile(pub PathBuf);

impl SingleFile {
    fn open_it(&self) -> io::Result<Opened> {
        let is_new = metadata(&self.0).is_err();
        let file = open_or_create(&self.0)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        // Two programs that append to one file would write over each other's parts.
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::new(io::ErrorKind::WouldBlock, "another program records to it"))?;
        let opened = Appender::open(file).inspect_err(|_| {
            // A file without a head says nothing.
            if is_new {
                let _ = remove_file(&self.0);
            }
        });
        let (appender, cut) = opened?;
        sync_folder(folder_of(&self.0));
        Ok(Opened { appender, path: self.0.clone(), cut })
    }
}

impl Place for SingleFile {
    fn prepare(&mut self) -> io::Result<Option<Opened>> {
        match metadata(&self.0) {
            // The first part makes it, so that a recording without a part leaves no file.
            Err(why) if why.kind() == io::ErrorKind::NotFound && !self.0.is_symlink() => {
                access(folder_of(&self.0), Access::WRITE_OK | Access::EXEC_OK)?;
                Ok(None)
            }
            _ => self.open_it().map(Some),
        }
    }

    fn open(&mut self, _: SystemTime) -> io::Result<Opened> {
        self.open_it().map_err(|why| of_path(&self.0, &why))
    }

    fn recorded_before(&self) -> Vec<PathBuf> {
        vec![self.0.clone()]
    }
}

/// Opens a file, or makes it, but not what a link to nothing names. A FIFO without a reader is not waited for.
fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    match options.open(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => match options.create_new(true).open(path) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists && path.is_symlink() => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link to a file that is not there"))
            }
            created => created,
        },
        opened => opened,
    }
}

/// The same error with the path that it is about.
pub(super) fn of_path(path: &Path, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{why} ({})", path.display()))
}

/// When a segment is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentLimit {
    /// After this time, by the clock that never jumps.
    Time(Duration),
    /// Before it has more bytes than these. A larger part has a segment of its own.
    Bytes(u64),
}

/// Looking through a directory for so long is done whenever a segment is full; with very many of them it would take all of the time.
const CHEAP: Duration = Duration::from_millis(200);

/// A directory of segments.
#[derive(Debug)]
pub struct SegmentPlace {
    folder: PathBuf,
    limit: Option<SegmentLimit>,
    retention: Option<Retention>,
    /// When it was tidied last, and how long that took.
    tidied: Option<(Instant, Duration)>,
    /// The directory, locked against programs that would delete each other's files.
    lock: Option<File>,
}

impl SegmentPlace {
    /// Writes into this directory, which is made at the start.
    pub fn new(folder: PathBuf, limit: Option<SegmentLimit>, retention: Option<Retention>) -> Self {
        Self { folder, limit, retention, tidied: None, lock: None }
    }

    /// Several programs may record to a directory, unless one of them deletes.
    fn lock(&mut self) -> io::Result<()> {
        let (operation, refused) = match &self.retention {
            Some(_) => (FlockOperation::NonBlockingLockExclusive, "another program records to it, whose files would be deleted"),
            None => (FlockOperation::NonBlockingLockShared, "another program records to it and deletes files there"),
        };
        let folder = File::open(&self.folder)?;
        match flock(&folder, operation) {
            Err(Errno::WOULDBLOCK) => return Err(io::Error::new(io::ErrorKind::WouldBlock, refused)),
            // Not every file system can lock a directory.
            _ => self.lock = Some(folder),
        }
        Ok(())
    }
}

impl Place for SegmentPlace {
    fn prepare(&mut self) -> io::Result<Option<Opened>> {
        prepare_folder(&self.folder)?;
        self.lock()?;
        Ok(None)
    }

    fn open(&mut self, time: SystemTime) -> io::Result<Opened> {
        let (file, path) = create_new(&self.folder, |number| segment_name(time, number))?;
        // Its owner alone may delete it. Not every file system can lock, and it is no recording before it has a head.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        match Appender::begin(Box::new(file)) {
            Ok(appender) => {
                sync_folder(&self.folder);
                Ok(Opened { appender, path, cut: None })
            }
            Err(why) => {
                // A file without a whole head says nothing; each try would leave one.
                let _ = remove_file(&path);
                Err(why)
            }
        }
    }

    fn is_full(&self, size: u64, age: Duration, more: u64) -> bool {
        match self.limit {
            None => false,
            Some(SegmentLimit::Time(limit)) => age >= limit,
            Some(SegmentLimit::Bytes(limit)) => size.saturating_add(more) > limit,
        }
    }

    fn tidy(&mut self, current: Option<&Path>) {
        if let Some(retention) = &mut self.retention {
            let start = Instant::now();
            retention.tidy(&self.folder, current);
            self.tidied = Some((start, start.elapsed()));
        }
    }

    fn tidy_after_file(&mut self, current: Option<&Path>) {
        if self.tidied.is_none_or(|(start, took)| took <= CHEAP || start.elapsed() >= 10 * took) {
            self.tidy(current);
        }
    }

    fn recorded_before(&self) -> Vec<PathBuf> {
        let segments = segments_of(&self.folder).unwrap_or_default();
        segments.into_iter().rev().map(|segment| segment.path).collect()
    }
}

/// Makes a directory, but not those above it, and looks whether files can be made in it.
pub(super) fn prepare_folder(folder: &Path) -> io::Result<()> {
    match create_dir(folder) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
        // It may be a file.
        _ => drop(read_dir(folder)?),
    }
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The directory of a file.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the name of a new file reach the disk, without which a power cut loses the whole file. Not every file system can do it.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Creates a file that is not there, under the first name that is free. A directory that was deleted is made again.
pub(super) fn create_new(folder: &Path, name: impl Fn(u32) -> String) -> io::Result<(File, PathBuf)> {
    let create = |number: u32| {
        let path = folder.join(name(number));
        let created = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        created.map(|file| (file, path.clone())).map_err(|why| of_path(&path, &why))
    };
    let mut created = create(0);
    if created.as_ref().is_err_and(|why| why.kind() == io::ErrorKind::NotFound) {
        prepare_folder(folder).map_err(|why| of_path(folder, &why))?;
        created = create(0);
    }
    let mut number = 0;
    while number < u32::MAX && created.as_ref().is_err_and(|why| why.kind() == io::ErrorKind::AlreadyExists) {
        // Another program may take the name meanwhile.
        number = first_free(number + 1, |number| folder.join(name(number)).symlink_metadata().is_ok());
        created = create(number);
    }
    created
}

/// The first number from this one on that is not taken, if there are no gaps. Looks at few, however many are taken.
pub(super) fn first_free(from: u32, is_taken: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (from, from);
    while high < u32::MAX && is_taken(high) {
        (low, high) = (high + 1, high.saturating_mul(2));
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if is_taken(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
