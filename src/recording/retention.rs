//! What is deleted of a directory of segments: regular files with the name and the head of a recording alone, never the newest, and
//! none because a clock jumped. It knows no writer.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::OFlags;
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
    /// The youngest that have at most these bytes together.
    Bytes(u64),
}

/// 2025: a segment that is older by the clock of its machine was made before that clock was set, since there was no mxr.
const FIRST: Duration = Duration::from_secs(1_735_689_600);

/// Deletes segments by age or size.
#[derive(Debug)]
pub struct Retention {
    keep: Keep,
    /// When each segment was seen first, and how old it was then. From there on age is counted by the clock that never jumps.
    seen: HashMap<OsString, (Instant, Duration)>,
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
            Ok(segments) => segments.into_iter().filter_map(|segment| self.look(segment, current, now)).collect::<Vec<_>>(),
            Err(why) => {
                warn!(folder = %folder.display(), "cannot look for old recordings: {why}");
                return 0;
            }
        };
        self.seen.retain(|name, _| candidates.iter().any(|found| found.segment.path.file_name() == Some(name)));
        candidates.sort_by(|a, b| a.age.cmp(&b.age).then_with(|| b.segment.cmp(&a.segment)));
        let newest = current.map(Path::to_owned).or_else(|| Some(candidates.first()?.segment.path.clone()));
        let mut before = 0;
        let too_old = candidates.into_iter().filter(|candidate| {
            before += candidate.bytes;
            let is_kept = match self.keep {
                Keep::Age(limit) => candidate.age <= limit,
                Keep::Bytes(limit) => before <= limit,
            };
            !is_kept && Some(&candidate.segment.path) != newest.as_ref()
        });
        too_old.filter(delete).count()
    }

    /// A file of a segment's name, if it is a recording.
    fn look(&mut self, segment: Segment, current: Option<&Path>, (now, wall): (Instant, SystemTime)) -> Option<Candidate> {
        // Not through a link, which may have taken the file's place.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(&segment.path).ok()?;
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        let head = FileHead::read(&read_at(&file, 0, 1 << 10).ok()?)?;
        head.version?;
        let changed = metadata.modified().unwrap_or(segment.start).max(segment.start);
        let name = segment.path.file_name()?.to_owned();
        if current == Some(&segment.path) {
            // Its age is that of its last part.
            self.seen.insert(name.clone(), (now, Duration::ZERO));
        }
        let (seen, age) = *self.seen.entry(name).or_insert_with(|| {
            let is_trusted = [changed, wall].iter().all(|time| *time >= SystemTime::UNIX_EPOCH + FIRST);
            if !is_trusted {
                info!(file = %segment.path.display(), "its age counts from now, since a clock was not set");
            }
            (now, wall.duration_since(changed).ok().filter(|_| is_trusted).unwrap_or_default())
        });
        Some(Candidate { age: age + now.saturating_duration_since(seen), bytes: metadata.len(), segment })
    }
}

fn delete(candidate: &Candidate) -> bool {
    let path = &candidate.segment.path;
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
