//! The names of a directory's frames in natural order. They are listed once and then follow the events, so that neither a new frame
//! nor a new run costs a listing; where events are missing, the directory's own time tells. It never opens a frame.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
    ffi::OsStr,
    fs::FileType,
    io,
    ops::Bound::{Excluded, Unbounded},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::frame_cache::{DirSettings, FrameCache};
use crate::source::{
    fs_events::{Change, EventBatch, Watcher},
    name_filter::NameFilter,
    natural_order,
};

/// How often the directory's time is looked at, and whether it is still the one that is watched.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is listed although nothing tells of a change.
const PATROL_INTERVAL: Duration = Duration::from_secs(60);
/// The coarsest times of a file system (FAT): a directory may change again in this time without another one.
const COARSEST_TIME: Duration = Duration::from_secs(2);

/// The name of a frame, in natural order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FrameName(Arc<OsStr>);

impl Ord for FrameName {
    fn cmp(&self, other: &Self) -> Ordering {
        natural_order::compare(&self.0, &other.0)
    }
}

impl PartialOrd for FrameName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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
        self.directory.join(&*name.0)
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
            let name = FrameName(name.into());
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
        changes.finished = batch.finished().filter_map(|path| Some(FrameName(path.file_name()?.into()))).collect();
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
        self.time = time.map(|time| (time, time.elapsed().is_ok_and(|age| age > COARSEST_TIME)));
        self.has_events = false;
        self.root = self.directory.canonicalize().unwrap_or_else(|_| self.directory.clone());
        let listed = self.read_names();
        match &listed {
            Ok(_) if std::mem::take(&mut self.is_gone) => {
                info!(directory = %self.directory.display(), "the directory is there again")
            }
            Err(error) if !std::mem::replace(&mut self.is_gone, true) => {
                warn!(%error, directory = %self.directory.display(), "cannot read the directory; waiting for it");
            }
            _ => {}
        }
        let names = listed.unwrap_or_default();
        changes.removed.extend(self.names.difference(&names).cloned());
        changes.added.extend(names.difference(&self.names).cloned());
        self.names = names;
    }

    fn read_names(&self) -> io::Result<BTreeSet<FrameName>> {
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name();
            if entry.file_type().is_ok_and(|kind| self.is_frame(&name, kind)) {
                names.insert(FrameName(name.into()));
            }
        }
        Ok(names)
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
