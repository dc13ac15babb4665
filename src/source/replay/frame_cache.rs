//! The frames of a directory: read when their turn comes, and kept within a bound. Incomplete or unreadable frames are left out and
//! logged once. Which frames there are, and when one is played, is not decided here.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        MutexGuard,
        atomic::{self, AtomicBool},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    feed::{Publisher, Refused},
    file::{self, OpenFile, Reading, Signature},
    format::{self, Completeness, Media},
    lease::Writers,
    part::Part,
    source::{name_filter::NameFilter, writers::FileWriters},
    sync::Mutex,
};

/// Bytes of frames kept between two rounds.
pub(super) const CACHE_BYTES: usize = 32 << 20;
/// Frames left out at a time that the log names.
const MAX_NAMED: usize = 100;
/// How long a frame without an end mark must have been left alone, where its writer was not seen to close it.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// How long a frame whose end is missing must have been left alone before it is shown as it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same by the file's own time, where it is not known whether a writer has it open: the clock of another machine may be off.
const LONG_AGO: Duration = Duration::from_secs(60);

/// How a directory is replayed.
#[derive(Debug, Clone)]
pub struct DirSettings {
    /// The directory.
    pub path: PathBuf,
    /// The time a frame is shown.
    pub interval: Duration,
    /// What follows the last frame.
    pub mode: Mode,
    /// Which files.
    pub names: NameFilter,
}

/// What follows the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The first, for all viewers together.
    Loop,
    /// The end; each viewer has a run of its own.
    Once,
    /// New frames, when they come.
    Follow,
}

/// The frames of a directory.
#[derive(Debug)]
pub(super) struct FrameCache {
    pub(super) directory: PathBuf,
    /// The pattern that the names of frames match, if there is one.
    glob: Option<String>,
    media: Option<Media>,
    limit: usize,
    writers: FileWriters,
    /// Bytes of frames to keep.
    kept_bytes: usize,
    cache: Mutex<Cache>,
    said_empty: AtomicBool,
}

/// A frame, complete as far as its format tells.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) part: Part,
    /// Whether its writer is done, whatever the time: its end mark is there, or it is shown without one.
    is_done: bool,
    pub(super) signature: Signature,
}

impl Frame {
    /// Whether its writer may still be at it, where it was not seen to close the file.
    pub(super) fn may_grow(&self) -> bool {
        !self.is_done && !self.signature.has_rested(SETTLE)
    }
}

/// What is known of the frames that are there.
#[derive(Debug, Default)]
struct Cache {
    frames: HashMap<PathBuf, Frame>,
    bytes: usize,
    left_out: HashMap<PathBuf, LeftOut>,
    /// States without an end that are shown as they are, which the log says once.
    as_it_is: HashMap<PathBuf, Signature>,
    /// Whether it was said that there are more of them than are named.
    said_more: bool,
}

/// Whether a frame that is left out is worth another look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum LeftOut {
    /// At any time: what was wrong may have been mended.
    ForNow,
    /// This state never is.
    Lasting(Signature),
    /// This state is once it has been left alone for long enough, which it has not been since.
    Unsettled(Signature, Instant),
}

impl FrameCache {
    pub(super) fn new(dir: &DirSettings, media: Option<Media>, limit: usize, writers: FileWriters) -> Self {
        Self {
            directory: dir.path.clone(),
            glob: dir.names.glob().map(ToOwned::to_owned),
            media,
            limit,
            writers,
            kept_bytes: if dir.mode == Mode::Loop { CACHE_BYTES } else { 0 },
            cache: Mutex::default(),
            said_empty: false.into(),
        }
    }

    /// The directory without links. A frame lies inside it.
    fn root(&self) -> PathBuf {
        self.directory.canonicalize().unwrap_or_else(|_| self.directory.clone())
    }

    /// Forgets a frame that is not there any more.
    pub(super) fn forget(&self, removed: &Path) {
        let mut cache = self.cache();
        cache.forget(removed);
        cache.left_out.remove(removed);
        cache.as_it_is.remove(removed);
        cache.said_more &= cache.left_out.len() > MAX_NAMED;
    }

    /// A complete frame, or one that is shown as it is; `None` for any other, which the feed then counts as refused.
    pub(super) fn read(&self, path: &Path, publisher: &Publisher) -> Option<Frame> {
        let signature = Signature::of(&path.metadata().ok()?);
        let known = {
            let cache = self.cache();
            if let Some(frame) = cache.frames.get(path).filter(|kept| kept.signature == signature) {
                return Some(frame.clone());
            }
            cache.left_out.get(path).copied()
        };
        let since = match known {
            Some(LeftOut::Lasting(state)) if state == signature => return None,
            Some(LeftOut::Unsettled(state, since)) if state == signature => Some(since),
            _ => None,
        };
        match self.read_state(path, signature, since) {
            Ok(frame) => {
                if let Some(frame) = &frame {
                    self.cache().keep(path, frame, self.kept_bytes);
                }
                frame
            }
            Err((left_out, why)) => {
                if self.leave_out(path, left_out, &why) {
                    publisher.count_refused(1);
                }
                None
            }
        }
    }

    /// Reads a frame that is not known in this state, or is unsettled since. `None` while it is on its way.
    fn read_state(&self, path: &Path, signature: Signature, since: Option<Instant>) -> Result<Option<Frame>, (LeftOut, String)> {
        let lasting = LeftOut::Lasting(signature);
        // Disks come back and descriptors become free.
        let failed = |error: io::Error| {
            let left_out = if error.kind() == io::ErrorKind::PermissionDenied { lasting } else { LeftOut::ForNow };
            (left_out, format!("cannot read it: {error}"))
        };
        let Some(open) = file::open_inside(&self.root(), path).map_err(failed)? else { return Ok(None) };
        // Its bytes are known not to suffice, unless they changed within a tick.
        if signature.has_rested(SETTLE) && since.is_some_and(|since| !self.is_left_alone(&open, since)) {
            return Ok(None);
        }
        let (body, signature) = match open.read(self.limit).map_err(failed)? {
            Reading::Whole(body, signature) => (body, signature),
            Reading::TooLarge(bytes) => return Err((lasting, format!("it has {bytes} bytes, more than --max-part"))),
            Reading::Grown(..) | Reading::Changed(..) | Reading::NotAFile => return Ok(None),
        };
        let media = self.media.clone().unwrap_or_else(|| Media::guess(path, &body));
        let body = format::decompressed(&media, body, self.limit);
        let seen = format::inspect(&media, &body);
        if body.is_empty() {
            return Err((lasting, "it is empty".to_owned()));
        }
        let unsettled = |since: Option<Instant>| LeftOut::Unsettled(signature, since.unwrap_or_else(Instant::now));
        let is_done = match seen.completeness {
            Completeness::Complete => true,
            Completeness::Readable => false,
            Completeness::Unknown if self.writers.of(&open.file) == Writers::Some => {
                return Err((unsettled(since), "its writer has it open".to_owned()));
            }
            Completeness::Unknown => false,
            Completeness::Truncated if self.is_left_alone(&open, since.unwrap_or_else(Instant::now)) => {
                self.say_as_it_is(path, signature, seen.unlike);
                true
            }
            Completeness::Truncated => {
                return Err((unsettled(since), "its end is missing, or it is not what its name says".to_owned()));
            }
        };
        let part = Part { media, body, time: signature.time(), class: seen.class };
        Ok(Some(Frame { part, is_done, signature }))
    }

    /// Whether no writer has the file open, and it has not changed for long enough, at least since then by our own clock.
    fn is_left_alone(&self, open: &OpenFile, since: Instant) -> bool {
        let is_so_by_its_time = |time| open.signature.has_rested(time);
        let is_at_rest = match self.writers.of(&open.file) {
            Writers::Some => false,
            Writers::None => since.elapsed() >= PATIENCE || is_so_by_its_time(PATIENCE),
            Writers::Unknown => since.elapsed() >= PATIENCE || is_so_by_its_time(LONG_AGO),
        };
        // A writer may have written, and closed, since the file was opened here.
        is_at_rest && open.file.metadata().is_ok_and(|now| Signature::of(&now) == open.signature)
    }

    /// Says that a frame without its end is shown, once for each state.
    fn say_as_it_is(&self, path: &Path, signature: Signature, unlike: Option<&str>) {
        let mut cache = self.cache();
        let before = cache.as_it_is.insert(path.to_owned(), signature);
        if before != Some(signature) && cache.as_it_is.len() <= MAX_NAMED {
            let what = unlike.map_or("its end is missing".to_owned(), |name| format!("it does not look like {name}"));
            warn!(frame = %path.display(), "{what}; shown as it is");
        }
    }

    pub(super) fn push(&self, publisher: &Publisher, part: Part, path: &Path) {
        match publisher.publish(Part { time: SystemTime::now(), ..part }) {
            Ok(()) | Err(Refused::Same) => self.was_accepted(path),
            Err(why) => drop(self.leave_out(path, LeftOut::ForNow, &why.to_string())),
        }
    }

    /// Notes that a frame is shown: if it is left out again, the log says so again.
    pub(super) fn was_accepted(&self, path: &Path) {
        self.cache().left_out.remove(path);
    }

    /// Says why a frame is left out, once until it is shown: the next round comes soon. Returns whether it is new.
    pub(super) fn leave_out(&self, path: &Path, left_out: LeftOut, why: &str) -> bool {
        let mut cache = self.cache();
        if left_out != LeftOut::ForNow {
            cache.forget(path);
        }
        // Within a tick it may change unseen.
        let left_out = match left_out {
            LeftOut::Lasting(state) if !state.has_rested(SETTLE) => LeftOut::ForNow,
            left_out => left_out,
        };
        let is_new = cache.left_out.insert(path.to_owned(), left_out).is_none();
        if is_new && cache.left_out.len() <= MAX_NAMED {
            warn!(frame = %path.display(), "left out: {why}");
        } else if is_new && !std::mem::replace(&mut cache.said_more, true) {
            warn!(directory = %self.directory.display(), "more than {MAX_NAMED} frames are left out; the others are not named");
        }
        is_new
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock()
    }

    pub(super) fn say_empty(&self) {
        if !self.said_empty.swap(true, atomic::Ordering::Relaxed) {
            match &self.glob {
                None => info!(directory = %self.directory.display(), "there are no frames yet; waiting for the first"),
                Some(glob) => info!(directory = %self.directory.display(), "no frame matches {glob:?} yet; waiting for the first"),
            }
        }
    }
}

impl Cache {
    fn keep(&mut self, path: &Path, frame: &Frame, most: usize) {
        self.forget(path);
        // A frame that does not fit beside its neighbours would push all of them out, round after round.
        let bytes = frame.part.body.len();
        if self.bytes + bytes <= most {
            self.bytes += bytes;
            self.frames.insert(path.to_owned(), frame.clone());
        }
    }

    fn forget(&mut self, path: &Path) {
        if let Some(frame) = self.frames.remove(path) {
            self.bytes -= frame.part.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{feed::Kind, source::Context};

    fn frames(folder: &Path, mode: Mode) -> FrameCache {
        let dir = DirSettings { path: folder.to_owned(), interval: Duration::ZERO, mode, names: NameFilter::default() };
        FrameCache::new(&dir, None, CACHE_BYTES, FileWriters::default())
    }

    fn publisher() -> Publisher {
        Context::for_tests(None).open("test", Kind::Newest)
    }

    /// Frames and bytes that are kept after a round.
    fn kept(frames: &FrameCache) -> (usize, usize) {
        let (publisher, folder) = (publisher(), std::fs::read_dir(&frames.directory).unwrap());
        let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().for_each(|path| drop(frames.read(path, &publisher)));
        let cache = frames.cache();
        (cache.frames.len(), cache.bytes)
    }

    #[test]
    fn frames_are_kept_within_the_bound_until_they_vanish() {
        let folder = tempfile::tempdir().unwrap();
        let frames = frames(folder.path(), Mode::Loop);
        let write = |name: &str, bytes: usize| std::fs::write(folder.path().join(name), "x".repeat(bytes)).unwrap();
        write("1.txt", CACHE_BYTES - 10);
        write("2.txt", 10);
        assert_eq!(kept(&frames), (2, CACHE_BYTES));
        write("1.txt", CACHE_BYTES - 11);
        assert_eq!(kept(&frames), (2, CACHE_BYTES - 1), "the bytes that a frame had before take no room");
        std::fs::rename(folder.path().join("1.txt"), folder.path().join("3.txt")).unwrap();
        frames.forget(&folder.path().join("1.txt"));
        assert_eq!(kept(&frames), (2, CACHE_BYTES - 1), "nor does a frame that is gone");
        write("3.txt", 0);
        assert_eq!(kept(&frames), (1, 10), "nor one that is left out");
    }

    #[test]
    fn what_is_played_once_for_all_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1.txt"), "one").unwrap();
        assert_eq!(kept(&frames(folder.path(), Mode::Follow)), (0, 0));
    }

    #[test]
    fn a_frame_that_becomes_whole_in_the_very_next_moment_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (frames, path) = (frames(folder.path(), Mode::Loop), folder.path().join("1.png"));
        let (whole, publisher) = (include_bytes!("../demo.png"), publisher());
        for round in 0..50 {
            // Its room is taken first, so that neither its size nor, within a tick, its times tell.
            std::fs::write(&path, vec![0; whole.len()]).unwrap();
            let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all(&whole[..20]).unwrap();
            assert!(frames.read(&path, &publisher).is_none());
            file.write_all(&whole[20..]).unwrap();
            assert!(frames.read(&path, &publisher).is_some(), "in round {round}");
        }
    }
}
