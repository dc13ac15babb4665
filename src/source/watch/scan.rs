//! Finds the file of a directory that changed last, where no event tells: at the start, after events were lost, where the
//! file system does not speak. It holds two names, however many files there are, and takes a bounded share of the time.

use std::{
    cmp::Ordering,
    ffi::OsStr,
    fs::{DirEntry, Metadata},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use crate::file::Signature;

/// How often a directory is listed at the most.
const PAUSE: Duration = Duration::from_millis(200);

/// What makes a file the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// When its bytes were written: enough beside events, and blind to `chmod` and to links that are made.
    Content,
    /// When anything about it changed: this shows an old file, too, that was moved into place.
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
        let names = || alphanumeric_sort::compare_os_str(name(path), name(&self.path));
        stamp.cmp(&self.stamp).then_with(names) == Ordering::Greater
    }
}

impl DirScan {
    /// When the directory may be listed again.
    pub(super) fn due(&self, by: Order) -> Option<Instant> {
        self.last.map(|(ended, took)| ended + PAUSE.max(took * by.share()))
    }

    /// The file that has become the newest since the last listing; without `has_file` whichever was written last.
    pub(super) fn list(
        &mut self,
        directory: &Path,
        wants: impl Fn(&Path) -> bool,
        by: Order,
        has_file: bool,
    ) -> io::Result<Option<PathBuf>> {
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
        let at = usize::from(has_file && by != Order::Content);
        let is_news = |now: &&Newest| {
            !has_file || by == Order::Loss || before[at].as_ref().is_none_or(|before| before.is_before(now.stamp, &now.path))
        };
        Ok(self.newest[at].as_ref().filter(is_news).map(|newest| newest.path.clone()))
    }
}

/// Of what a link leads to.
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

        fn list(&mut self, by: Order, has_file: bool) -> Option<String> {
            let newest = self.1.list(self.0.path(), |_| true, by, has_file).unwrap()?;
            Some(newest.file_name()?.to_str()?.to_owned())
        }
    }

    #[test]
    fn only_what_has_changed_since_the_last_listing_is_news() {
        let mut folder = Folder(tempfile::tempdir().unwrap(), DirScan::default());
        assert_eq!(folder.list(Order::Content, false), None);
        folder.write("b", 100);
        folder.write("a", 50);
        assert_eq!(folder.list(Order::Content, false).as_deref(), Some("a"));
        assert_eq!(folder.list(Order::Content, true), None);
        folder.write("old", 200);
        assert_eq!(folder.list(Order::Content, true), None);
        std::fs::remove_file(folder.0.path().join("a")).unwrap();
        assert_eq!(folder.list(Order::Content, true), None, "what is shown stays");
        folder.write("c", 0);
        assert_eq!(folder.list(Order::Content, true).as_deref(), Some("c"));
        assert_eq!(folder.list(Order::Change, true), None);
        assert_eq!(folder.list(Order::Loss, true).as_deref(), Some("c"));
    }

    #[cfg(unix)]
    #[test]
    fn an_old_file_that_is_moved_into_place_is_news_where_no_event_tells() {
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
