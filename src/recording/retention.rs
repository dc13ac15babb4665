//! What is deleted of a directory of segments: regular files with the name and the head of a recording alone, never the newest, and
//! none because a clock jumped. It knows no writer.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};
use tracing::{info, warn};

use super::{
    head::FileHead,
    segments::{Segment, segments_of},
    walk::read_at,
};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What is younger than this.
    Age(Duration),
    /// The newest, by their names, that have at most these bytes together.
    Bytes(u64),
}

/// 2025: a segment that is older by the clock of its machine was made before that clock was set, since there was no mxr.
const FIRST: Duration = Duration::from_secs(1_735_689_600);

/// Deletes segments by age or size.
#[derive(Debug)]
pub struct Retention {
    keep: Keep,
    seen: HashMap<OsString, SeenSegment>,
}

/// How old a segment was when it was seen first, or with a new part. From there on its age is counted by the clock that never jumps.
#[derive(Debug, Clone, Copy)]
struct SeenSegment {
    at: Instant,
    age: Duration,
    /// The time of its last change, by the clock of the machine.
    changed: SystemTime,
    /// The last look at it.
    looked: Instant,
}

/// A segment that may be deleted.
#[derive(Debug)]
struct Candidate {
    age: Duration,
    bytes: u64,
    segment: Segment,
}

impl Retention {
    /// Keeps so much.
    pub fn new(keep: Keep) -> Self {
        Self { keep, seen: HashMap::new() }
    }

    /// Deletes what is not kept, and returns how many files that were. What cannot be read or deleted stays and is logged.
    pub fn tidy(&mut self, folder: &Path, current: Option<&Path>) -> usize {
        self.tidy_at(folder, current, (Instant::now(), SystemTime::now()))
    }

    /// The same at a time of both clocks.
    pub(super) fn tidy_at(&mut self, folder: &Path, current: Option<&Path>, now: (Instant, SystemTime)) -> usize {
        let mut candidates = match segments_of(folder) {
            Ok(segments) => segments.into_iter().filter_map(|segment| self.look(segment, now)).collect::<Vec<_>>(),
            // The next part makes a directory again that was deleted.
            Err(why) if why.kind() == io::ErrorKind::NotFound => return 0,
            Err(why) => {
                warn!(folder = %folder.display(), "cannot look for old recordings: {why}");
                return 0;
            }
        };
        let there: HashSet<_> = candidates.iter().filter_map(|found| found.segment.path.file_name()).collect();
        self.seen.retain(|name, _| there.contains(name.as_os_str()));
        let is_current = |candidate: &Candidate| Some(candidate.segment.path.as_path()) == current;
        candidates.sort_by(|a, b| {
            let by_age = match self.keep {
                Keep::Age(_) => a.age.cmp(&b.age),
                // Changes that were seen in one look do not tell which file is older; its name does.
                Keep::Bytes(_) => is_current(b).cmp(&is_current(a)),
            };
            by_age.then_with(|| b.segment.cmp(&a.segment))
        });
        let newest = current.map(Path::to_owned).or_else(|| Some(candidates.first()?.segment.path.clone()));
        let mut before = 0;
        candidates.retain(|candidate| {
            before += candidate.bytes;
            let is_kept = match self.keep {
                Keep::Age(limit) => candidate.age <= limit,
                Keep::Bytes(limit) => before <= limit,
            };
            !is_kept && Some(&candidate.segment.path) != newest.as_ref()
        });
        // The oldest first, if it does not come to the end.
        candidates.iter().rev().filter(|candidate| delete(candidate)).count()
    }

    /// A file of a segment's name, if it is a recording.
    fn look(&mut self, segment: Segment, (now, wall): (Instant, SystemTime)) -> Option<Candidate> {
        let metadata = fs::symlink_metadata(&segment.path).ok().filter(fs::Metadata::is_file)?;
        let changed = metadata.modified().unwrap_or(segment.start).max(segment.start);
        let name = segment.path.file_name()?.to_owned();
        let seen = match self.seen.get(&name) {
            Some(seen) if seen.changed == changed => SeenSegment { looked: now, ..*seen },
            // A part has come since the last look; whatever the clock says, not before it.
            Some(seen) => {
                let age = wall.duration_since(changed).unwrap_or_default().min(now.saturating_duration_since(seen.looked));
                SeenSegment { at: now, age, changed, looked: now }
            }
            None if is_recording(&segment.path) => {
                let is_trusted = [changed, wall].iter().all(|time| *time >= SystemTime::UNIX_EPOCH + FIRST);
                if !is_trusted {
                    info!(file = %segment.path.display(), "its age counts from now, since a clock was not set");
                }
                let age = wall.duration_since(changed).ok().filter(|_| is_trusted).unwrap_or_default();
                SeenSegment { at: now, age, changed, looked: now }
            }
            None => return None,
        };
        self.seen.insert(name, seen);
        let age = seen.age + now.saturating_duration_since(seen.at);
        Some(Candidate { age, bytes: metadata.len(), segment })
    }
}

/// Opens a regular file that has the head of a recording. A link that has taken its place is not followed.
fn open_recording(path: &Path) -> Option<fs::File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let open = |writes| fs::OpenOptions::new().read(true).write(writes).custom_flags(flags).open(path);
    // A file system of the network locks only what can be written.
    let file = open(true).or_else(|_| open(false)).ok()?;
    let bytes = file.metadata().ok().filter(fs::Metadata::is_file).and_then(|_| read_at(&file, 0, 1 << 10).ok())?;
    FileHead::read(&bytes).is_some_and(|head| head.version.is_some()).then_some(file)
}

fn is_recording(path: &Path) -> bool {
    open_recording(path).is_some()
}

fn delete(candidate: &Candidate) -> bool {
    let path = &candidate.segment.path;
    // Another file may have taken its name.
    let Some(file) = open_recording(path) else { return false };
    // Another program records to it, however long ago its last part came.
    if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return false;
    }
    match fs::remove_file(path) {
        Ok(()) => {
            info!(file = %path.display(), bytes = candidate.bytes, "deleted, since no more is kept");
            true
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => false,
        Err(why) => {
            warn!(file = %path.display(), "cannot delete: {why}");
            false
        }
    }
}
