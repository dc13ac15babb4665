//! Finds the file of a directory that changed last, where no event tells: at the start, after events were lost, on a file
//! system without events. It holds two names, however many files there are, and takes a bounded share of the time.

use std::{
    cmp::Ordering,
    ffi::OsStr,
    fs::{DirEntry, Metadata},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use crate::{file::Signature, source::natural_order};

/// How often a directory is listed at the most.
const PAUSE: Duration = Duration::from_millis(200);

/// What makes a file the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// When its bytes were written: enough beside events, and blind to `chmod` and to new links.
    Content,
    /// When anything about it changed: this finds an old file, too, that was moved into place.
    Change,
    /// The same, whether or not an earlier listing has seen it: events came late, and some never.
    Loss,
}

impl Order {
    /// How much longer the pauses are than the listings.
    fn share(self) -> u32 {
        match self {
            Self::Content => 100,
            Self::Change | Self::Loss => 20,
        }
    }
}

/// The listings of one directory.
#[derive(Debug, Default)]
pub(super) struct DirScan {
    /// The listing that is to be made.
    requested: Option<Order>,
    /// By content and by change, as the last one found them.
    newest: [Option<Newest>; 2],
    /// When the last one ended, and how long it took.
    last: Option<(Instant, Duration)>,
}

#[derive(Debug)]
struct Newest {
    stamp: (i64, i64),
    path: PathBuf,
}

impl Newest {
    /// Times are exact to a tick of 4 ms: of two files in one, the later name counts, as frames are numbered.
    fn is_before(&self, stamp: (i64, i64), path: &Path) -> bool {
        let by_name = || natural_order::compare(name(path), name(&self.path));
        stamp.cmp(&self.stamp).then_with(by_name) == Ordering::Greater
    }
}

impl DirScan {
    /// Asks for a listing, as soon as there may be one.
    pub(super) fn request(&mut self, order: Order) {
        self.requested = self.requested.max(Some(order));
    }

    /// When the directory is to be listed.
    pub(super) fn due(&self) -> Option<Instant> {
        let order = self.requested?;
        Some(self.last.map_or_else(Instant::now, |(ended, took)| ended + PAUSE.max(took * order.share())))
    }

    /// Makes the listing that was requested. Returns the file that has become the newest since the last one; without
    /// `has_file` the one that was written last.
    pub(super) fn list(&mut self, directory: &Path, wants: impl Fn(&Path) -> bool, has_file: bool) -> io::Result<Option<PathBuf>> {
        let order = self.requested.take().unwrap_or(Order::Content);
        let start = Instant::now();
        let mut newest: [Option<Newest>; 2] = [None, None];
        for entry in std::fs::read_dir(directory)?.filter_map(Result::ok) {
            let path = entry.path();
            let Some(metadata) = wants(&path).then(|| metadata_of(&entry)).flatten().filter(Metadata::is_file) else { continue };
            let signature = Signature::of(&metadata);
            for (newest, stamp) in newest.iter_mut().zip([signature.modified, signature.changed]) {
                if newest.as_ref().is_none_or(|newest| newest.is_before(stamp, &path)) {
                    *newest = Some(Newest { stamp, path: path.clone() });
                }
            }
        }
        self.last = Some((Instant::now(), start.elapsed()));
        let before = std::mem::replace(&mut self.newest, newest);
        let at = usize::from(has_file && order != Order::Content);
        let is_new = |now: &&Newest| {
            !has_file || order == Order::Loss || before[at].as_ref().is_none_or(|before| before.is_before(now.stamp, &now.path))
        };
        Ok(self.newest[at].as_ref().filter(is_new).map(|newest| newest.path.clone()))
    }
}

/// The metadata of the file itself, where the entry is a link.
fn metadata_of(entry: &DirEntry) -> Option<Metadata> {
    let metadata = entry.metadata().ok()?;
    if metadata.is_symlink() { entry.path().metadata().ok() } else { Some(metadata) }
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::SystemTime};

    use super::*;

    struct Folder(tempfile::TempDir, DirScan);

    impl Folder {
        fn write(&self, name: &str, age: u64) {
            let file = File::create(self.0.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }

        fn list(&mut self, order: Order, has_file: bool) -> Option<String> {
            self.1.request(order);
            let newest = self.1.list(self.0.path(), |_| true, has_file).unwrap()?;
            Some(newest.file_name()?.to_str()?.to_owned())
        }
    }

    #[test]
    fn only_what_has_changed_since_the_last_listing_counts() {
        let mut folder = Folder(tempfile::tempdir().unwrap(), DirScan::default());
        assert_eq!(folder.list(Order::Content, false), None);
        folder.write("b", 100);
        folder.write("a", 50);
        assert_eq!(folder.list(Order::Content, false).as_deref(), Some("a"));
        assert_eq!(folder.list(Order::Content, true), None);
        folder.write("old", 200);
        assert_eq!(folder.list(Order::Content, true), None);
        std::fs::remove_file(folder.0.path().join("a")).unwrap();
        assert_eq!(folder.list(Order::Content, true), None, "the shown file stays");
        folder.write("c", 0);
        assert_eq!(folder.list(Order::Content, true).as_deref(), Some("c"));
        assert_eq!(folder.list(Order::Change, true), None);
        assert_eq!(folder.list(Order::Loss, true).as_deref(), Some("c"));
    }

    #[test]
    fn an_old_file_that_is_moved_into_place_counts_where_no_event_tells() {
        let mut folder = Folder(tempfile::tempdir().unwrap(), DirScan::default());
        let beside = tempfile::tempdir_in(folder.0.path()).unwrap();
        folder.write("a", 0);
        assert_eq!(folder.list(Order::Change, false).as_deref(), Some("a"));
        std::thread::sleep(Duration::from_millis(20));
        let old = beside.path().join("old");
        File::create(&old).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        std::fs::rename(old, folder.0.path().join("old")).unwrap();
        assert_eq!(folder.list(Order::Change, true).as_deref(), Some("old"));
    }

    #[test]
    fn of_files_of_one_moment_the_last_in_natural_order_counts() {
        let mut folder = Folder(tempfile::tempdir().unwrap(), DirScan::default());
        let moment = SystemTime::now();
        for n in [10, 2, 9] {
            File::create(folder.0.path().join(format!("frame{n}"))).unwrap().set_modified(moment).unwrap();
        }
        assert_eq!(folder.list(Order::Content, false).as_deref(), Some("frame10"));
    }
}
