//! The names of a directory's frames in natural order. They are listed once and then follow the events, so that neither a new frame
//! nor a new run costs a listing; where events are missing, the directory's own time tells. It never opens a frame.

use std::{
    collections::{BTreeSet, HashSet},
    ffi::OsStr,
    fs::{DirEntry, FileType},
    io,
    ops::Bound::{Excluded, Unbounded},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::frame_cache::{DirSettings, FrameCache};
use crate::{
    file,
    source::{
        fs_events::{Change, EventBatch, Watcher},
        name_filter::NameFilter,
        natural_order,
    },
};

/// How often the directory's time is looked at, and whether it is still the one that is watched.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is listed although nothing tells of a change.
const PATROL_INTERVAL: Duration = Duration::from_secs(60);
/// What whole seconds may stand for as the time of a directory, in which it may change again without another one (FAT).
const COARSEST_TIME: Duration = Duration::from_secs(2);

/// The name of a frame. The order is the natural one: that of the keys, which cost less to compare than names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FrameName {
    key: Arc<[u8]>,
    name: Arc<OsStr>,
}

impl FrameName {
    fn new(name: &OsStr) -> Self {
        Self { key: natural_order::key(name).into(), name: name.into() }
    }
}

/// The frames that are there.
#[derive(Debug)]
pub(super) struct Listing {
    directory: PathBuf,
    /// The same without links, as some systems tell of it.
    root: PathBuf,
    filter: NameFilter,
    /// From the first update on, which is made on the source's runtime.
    watcher: Option<Watcher>,
    names: BTreeSet<FrameName>,
    /// The directory's time as of the names, and whether any later change gives it another one.
    time: Option<(SystemTime, bool)>,
    /// Whether events have told of names since the time was looked at.
    has_events: bool,
    next_check: Instant,
    next_patrol: Instant,
    /// Whether the log says that the directory cannot be read.
    is_gone: bool,
}

/// What has changed since the update before.
#[derive(Debug, Default)]
pub(super) struct ListingChanges {
    pub(super) added: Vec<FrameName>,
    pub(super) removed: Vec<FrameName>,
    /// Frames with an event.
    pub(super) touched: Vec<FrameName>,
    /// Those whose writer is done, among others that are no frames.
    pub(super) finished: Vec<FrameName>,
}

impl Listing {
    pub(super) fn new(dir: &DirSettings) -> Self {
        let now = Instant::now();
        Self {
            directory: dir.path.clone(),
            root: dir.path.clone(),
            filter: dir.names.clone(),
            watcher: None,
            names: BTreeSet::new(),
            time: None,
            has_events: false,
            next_check: now,
            next_patrol: now,
            is_gone: false,
        }
    }

    /// The path of a frame.
    pub(super) fn path(&self, name: &FrameName) -> PathBuf {
        self.directory.join(&*name.name)
    }

    /// The frame after this one, or the first.
    pub(super) fn after(&self, name: Option<&FrameName>) -> Option<FrameName> {
        self.names.range((name.map_or(Unbounded, Excluded), Unbounded)).next().cloned()
    }

    /// The last frame.
    pub(super) fn last(&self) -> Option<FrameName> {
        self.names.last().cloned()
    }

    /// Whether an update is due, however few events there are.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next_check
    }

    /// Takes the events so far, and has frames forgotten that are gone. It costs a listing where something may have happened without
    /// an event.
    pub(super) fn update(&mut self, frames: &FrameCache) -> ListingChanges {
        let now = Instant::now();
        let is_due = now >= self.next_check;
        let watcher = self.watcher.get_or_insert_with(Watcher::new);
        if is_due {
            self.next_check = now + CHECK_INTERVAL;
            watcher.watch(&HashSet::from([self.directory.as_path()]));
        }
        let batch = watcher.take();
        let mut changes = ListingChanges::default();
        if batch.has_changes() {
            self.apply(&batch, &mut changes);
        }
        let is_unknown = batch.lost || batch.paths.contains_key(&self.directory) || now >= self.next_patrol;
        if is_unknown || is_due && self.has_changed_without_event() {
            self.list(&mut changes);
        }
        changes.removed.iter().for_each(|name| frames.forget(&self.path(name)));
        changes
    }

    /// Waits for an event, until the next update is due at the latest.
    pub(super) async fn changed(&mut self, until: Instant) {
        let watcher = self.watcher.get_or_insert_with(Watcher::new);
        // The next update sees a timeout.
        let _ = timeout_at(until.min(self.next_check), watcher.readable()).await;
    }

    fn apply(&mut self, batch: &EventBatch, changes: &mut ListingChanges) {
        for (path, events) in &batch.paths {
            let is_change = events.change.is_finished() || matches!(events.change, Change::Changing | Change::Metadata);
            let is_inside = path.parent().is_some_and(|parent| parent == self.directory || parent == self.root);
            let Some(name) = path.file_name().filter(|_| is_change && is_inside) else { continue };
            let is_there = path.symlink_metadata().is_ok_and(|found| self.is_frame(name, found.file_type()));
            let name = FrameName::new(name);
            let is_known = self.names.contains(&name);
            // Of what is written into a frame that is known, the directory's time does not tell.
            self.has_events |= !(is_there && is_known) || events.change == Change::Moved;
            match (is_there, is_known) {
                (true, false) => {
                    self.names.insert(name.clone());
                    changes.added.push(name.clone());
                }
                (false, true) => {
                    self.names.remove(&name);
                    changes.removed.push(name.clone());
                }
                _ => {}
            }
            if is_there {
                changes.touched.push(name);
            }
        }
        changes.finished = batch.finished().filter_map(|path| Some(FrameName::new(path.file_name()?))).collect();
    }

    /// Whether the directory's time is another one, and no event says why.
    fn has_changed_without_event(&mut self) -> bool {
        let time = self.directory.metadata().and_then(|metadata| metadata.modified()).ok();
        let is_same = self.time.map(|(time, _)| time) == time;
        if std::mem::take(&mut self.has_events) {
            self.time = time.map(|time| (time, true));
            return false;
        }
        !is_same || self.time.is_some_and(|(_, is_certain)| !is_certain)
    }

    fn list(&mut self, changes: &mut ListingChanges) {
        self.next_patrol = Instant::now() + PATROL_INTERVAL;
        // The time before the listing: what changes meanwhile shows in the next.
        let time = self.directory.metadata().and_then(|metadata| metadata.modified()).ok();
        self.time = time.map(|time| (time, time.elapsed().is_ok_and(|age| age > exactness(time))));
        self.has_events = false;
        self.root = self.directory.canonicalize().unwrap_or_else(|_| self.directory.clone());
        let names = match self.read_names() {
            Ok(names) => {
                if std::mem::take(&mut self.is_gone) {
                    info!(directory = %self.directory.display(), "the directory can be read again");
                }
                names
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_gone, true) {
                    warn!(%error, directory = %self.directory.display(), "cannot read the directory; waiting for it");
                }
                if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                    // Descriptors become free: the frames are those of before until the next look.
                    self.time = None;
                    return;
                }
                BTreeSet::new()
            }
        };
        changes.removed.extend(self.names.difference(&names).cloned());
        changes.added.extend(names.difference(&self.names).cloned());
        self.names = names;
    }

    /// The first frame in the directory, without what was listed before.
    pub(super) fn first_there(&self) -> Option<FrameName> {
        self.read_dir().ok()?.min()
    }

    fn read_names(&self) -> io::Result<BTreeSet<FrameName>> {
        // A set is made of a sorted list.
        Ok(self.read_dir()?.collect::<Vec<_>>().into_iter().collect())
    }

    fn read_dir(&self) -> io::Result<impl Iterator<Item = FrameName>> {
        let frame = |entry: DirEntry| {
            let name = entry.file_name();
            entry.file_type().is_ok_and(|kind| self.is_frame(&name, kind)).then(|| FrameName::new(&name))
        };
        Ok(std::fs::read_dir(&self.directory)?.filter_map(Result::ok).filter_map(frame))
    }

    /// Hidden files, directories, FIFOs, devices and links that lead out of the directory are no frames.
    fn is_frame(&self, name: &OsStr, kind: FileType) -> bool {
        let leads_inside = || {
            let target = self.directory.join(name).canonicalize();
            target.is_ok_and(|target| target.starts_with(&self.root) && target.is_file())
        };
        self.filter.matches(name) && (kind.is_file() || kind.is_symlink() && leads_inside())
    }
}

/// How long a directory of this time may change without another one.
fn exactness(time: SystemTime) -> Duration {
    let is_whole = time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.subsec_nanos() == 0);
    if is_whole { COARSEST_TIME } else { file::tick() }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::{super::frame_cache::Mode, *};
    use crate::source::writers::FileWriters;

    struct Listed {
        folder: tempfile::TempDir,
        listing: Listing,
        frames: FrameCache,
    }

    impl Listed {
        /// A directory with these frames, after the first update.
        fn new(names: &[&str], watcher: Option<Watcher>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let dir = DirSettings {
                path: folder.path().to_owned(),
                interval: Duration::ZERO,
                mode: Mode::Follow,
                names: NameFilter::default(),
            };
            let mut listed =
                Self { folder, listing: Listing::new(&dir), frames: FrameCache::new(&dir, None, 1000, FileWriters::default()) };
            listed.listing.watcher = watcher;
            names.iter().for_each(|name| listed.write(name));
            assert_eq!(listed.update(), (names.iter().map(ToString::to_string).collect(), vec![]));
            listed
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str) {
            fs::write(self.path(name), name).unwrap();
        }

        /// Added and removed names.
        fn update(&mut self) -> (Vec<String>, Vec<String>) {
            let changes = self.listing.update(&self.frames);
            let mut names = [changes.added, changes.removed].map(|mut names| {
                names.sort();
                names.iter().map(|name| name.name.to_str().unwrap().to_owned()).collect()
            });
            (std::mem::take(&mut names[0]), std::mem::take(&mut names[1]))
        }

        fn all(&self) -> Vec<&str> {
            self.listing.names.iter().map(|name| name.name.to_str().unwrap()).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_add_and_remove_frames_in_natural_order() {
        let mut listed = Listed::new(&["1.txt", "10.txt"], None);
        listed.write("2.txt");
        listed.write(".hidden");
        fs::create_dir(listed.path("3.dir")).unwrap();
        symlink("1.txt", listed.path("4.txt")).unwrap();
        symlink("/etc/hostname", listed.path("5.txt")).unwrap();
        assert_eq!(listed.update(), (vec!["2.txt".to_owned(), "4.txt".to_owned()], vec![]));
        fs::rename(listed.path("1.txt"), listed.path("11.txt")).unwrap();
        fs::remove_file(listed.path("10.txt")).unwrap();
        assert_eq!(listed.update(), (vec!["11.txt".to_owned()], vec!["1.txt".to_owned(), "10.txt".to_owned()]));
        assert_eq!(listed.all(), ["2.txt", "4.txt", "11.txt"]);
        let [first, last] = [listed.listing.after(None), listed.listing.last()].map(Option::unwrap);
        assert_eq!(listed.listing.after(Some(&first)).map(|name| listed.listing.path(&name)), Some(listed.path("4.txt")));
        assert!(listed.listing.after(Some(&last)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn without_events_the_time_of_the_directory_tells_within_a_second() {
        let mut listed = Listed::new(&["1.txt"], Some(Watcher::none()));
        listed.write("2.txt");
        assert_eq!(listed.update().0.len(), 0);
        tokio::time::advance(CHECK_INTERVAL).await;
        assert_eq!(listed.update().0, ["2.txt"]);
        // A file system that knows seconds only.
        let time = SystemTime::UNIX_EPOCH
            + Duration::from_secs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
        let set_time = |listed: &Listed| fs::File::open(listed.folder.path()).unwrap().set_modified(time).unwrap();
        set_time(&listed);
        tokio::time::advance(CHECK_INTERVAL).await;
        assert_eq!(listed.update().0.len(), 0);
        listed.write("3.txt");
        set_time(&listed);
        tokio::time::advance(CHECK_INTERVAL).await;
        assert_eq!(listed.update().0, ["3.txt"], "the time is the same");
    }

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_is_gone_has_no_frames_until_it_is_there_again() {
        let mut listed = Listed::new(&["1.txt"], None);
        fs::rename(listed.folder.path(), listed.folder.path().with_extension("gone")).unwrap();
        tokio::time::advance(CHECK_INTERVAL).await;
        assert_eq!(listed.update().1, ["1.txt"]);
        fs::rename(listed.folder.path().with_extension("gone"), listed.folder.path()).unwrap();
        listed.write("2.txt");
        tokio::time::advance(CHECK_INTERVAL).await;
        assert_eq!(listed.update().0, ["1.txt", "2.txt"]);
    }
}
