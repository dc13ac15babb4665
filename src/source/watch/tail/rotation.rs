//! Finds files that were at a log's path between two looks and were rotated away: a log that is rotated twice within a moment.
//! It reads names and times, no contents.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// Files that are found at the most: more rotations in a moment are no log's.
const MOST: usize = 1000;
/// The time that the listing of a directory may take.
const MOST_TIME: Duration = Duration::from_millis(50);
/// The ends of names that a rotation gives to what it has compressed.
const COMPRESSED: [&str; 6] = [".gz", ".xz", ".zst", ".bz2", ".lz4", ".zip"];

/// A file that was rotated away: its path, and its device and inode, since the path may soon be another's.
pub(in crate::source::watch) type Rotated = (PathBuf, (u64, u64));

/// A file that was rotated away before anybody looked: its device and inode, which another may have once it is deleted, and when it
/// was made.
pub(in crate::source::watch) type Old = ((u64, u64), SystemTime);

/// The files beside `log` that are named after it.
pub(in crate::source::watch) fn old(log: &Path) -> HashSet<Old> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else { return HashSet::new() };
    let start = Instant::now();
    let listed = std::fs::read_dir(directory).into_iter().flatten().take_while(|_| start.elapsed() < MOST_TIME);
    let named = listed.filter_map(Result::ok).filter(|entry| is_named_after(name, &entry.file_name()));
    named.filter_map(|entry| entry.metadata().ok().and_then(|metadata| Some((identity(&metadata), made(&metadata)?)))).collect()
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// When a file was made. Where the file system keeps no time of birth: when it was written to last.
fn made(metadata: &Metadata) -> Option<SystemTime> {
    metadata.created().or_else(|_| metadata.modified()).ok()
}

/// The files beside `log` that have been at its path since `since` (`file::now`), when another was still there, and are no longer:
/// those that are named after it and were made since. In the order in which they were made; as times tell this only to a tick, those of one
/// tick in that of `moved`, the names in the order in which events told of them. `is_known`: those to leave out.
pub(in crate::source::watch) fn missed(
    log: &Path,
    since: SystemTime,
    moved: &[OsString],
    is_known: impl Fn(Old) -> bool,
) -> Vec<Rotated> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else { return Vec::new() };
    let start = Instant::now();
    let listed = std::fs::read_dir(directory).into_iter().flatten().take_while(|_| start.elapsed() < MOST_TIME);
    let listed = listed.filter_map(Result::ok).map(|entry| entry.file_name()).filter(|other| is_named_after(name, other));
    let found = moved.iter().cloned().chain(listed).filter_map(|other| {
        let path = directory.join(&other);
        let metadata = path.symlink_metadata().ok().filter(Metadata::is_file)?;
        let (identity, made) = (identity(&metadata), made(&metadata)?);
        let is_new = made >= since && !is_known((identity, made));
        // Of the last ones events have yet to tell. Their numbers or dates grow: `app.log-9` is before `app.log-10`.
        let place = moved.iter().rposition(|moved| *moved == other).unwrap_or(usize::MAX);
        is_new.then(|| (made, place, metadata.mtime(), metadata.mtime_nsec(), other.len(), path, identity))
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    found.truncate(MOST);
    let mut found: Vec<Rotated> = found.into_iter().map(|(.., path, identity)| (path, identity)).collect();
    // Most are in both, and a listing that is overtaken by a rename has a file twice.
    let mut listed = HashSet::new();
    found.retain(|(_, identity)| listed.insert(*identity));
    found
}

/// A pattern for the names that a rotation gives to logs of such names: `app.log.1`, `app.log-20261129.gz`, `app.log.old`.
pub(in crate::source::watch) fn rotated(glob: &str) -> String {
    format!("{glob}{{.[0-9]*,-[0-9]*,.old,{}}}", COMPRESSED.join(","))
}

/// Whether a rotation gives such a name to a log: `app.log.1`, `app.log-20261129`, `app-2026-11-29.log`, `app.1.log`.
pub(in crate::source::watch) fn is_named_after(log: &OsStr, other: &OsStr) -> bool {
    let (Some(log), Some(other)) = (log.to_str(), other.to_str()) else { return false };
    if COMPRESSED.iter().any(|end| other.ends_with(end)) {
        return false;
    }
    let is_divider = |rest: &str| rest.starts_with(['.', '-', '_', '~']);
    if let Some(rest) = other.strip_prefix(log) {
        return is_divider(rest);
    }
    let Some((stem, end)) = log.rsplit_once('.') else { return false };
    let middle = other.strip_prefix(stem).and_then(|rest| rest.strip_suffix(end)?.strip_suffix('.'));
    let is_number = |middle: &str| middle.chars().all(|letter| letter.is_ascii_digit() || "-_.:TZ".contains(letter));
    middle.is_some_and(|middle| is_divider(middle) && is_number(middle))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn is_named_after(log: &str, other: &str) -> bool {
        super::is_named_after(OsStr::new(log), OsStr::new(other))
    }

    #[test]
    fn rotated_logs_are_told_by_their_names() {
        for other in ["app.log.1", "app.log-20261129", "app.log_old", "app.log~", "app-2026-11-29T10:00.log", "app.1.log"] {
            assert!(is_named_after("app.log", other), "{other}");
        }
        for other in ["app.log", "app2.log", "app-errors.log", "application.log", "app.log.1.gz", "app.log1", "app.txt", "b.log.1"]
        {
            assert!(!is_named_after("app.log", other), "{other}");
        }
        assert!(is_named_after("log", "log.1") && !is_named_after("log", "logs"));
    }

    #[test]
    fn only_files_made_since_and_not_known_were_missed_and_the_older_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("app.log.9"), "old").unwrap();
        std::thread::sleep(Duration::from_millis(40));
        let since = SystemTime::now();
        for name in ["app.log.2", "app.log.1", "app.log", "other.log", "app.log.1.gz"] {
            std::thread::sleep(Duration::from_millis(20));
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at("app.log.d")).unwrap();
        let missed = |is_known: &dyn Fn(Old) -> bool| {
            missed(&at("app.log"), since, &[], is_known).into_iter().map(|(path, _)| path).collect::<Vec<_>>()
        };
        assert_eq!(missed(&|_| false), [at("app.log.2"), at("app.log.1")]);
        let known = fs::metadata(at("app.log.2")).unwrap();
        assert_eq!(missed(&|old| old.0 == identity(&known)), [at("app.log.1")]);
        assert!(missed(&|known| old(&at("app.log")).contains(&known)).is_empty());
    }
}
