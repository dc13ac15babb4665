//! The frames of a directory: listed in natural order, read when their turn comes, and kept within a bound. Incomplete or
//! unreadable frames are left out and logged once. When a frame is played is not decided here.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{
        MutexGuard,
        atomic::{self, AtomicBool},
    },
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

use crate::source::{name_filter::NameFilter, natural_order::compare};
use crate::{
    feed::{Publisher, Refused},
    file::{self, Reading, Signature},
    format::{self, Completeness, Media},
    part::Part,
    sync::Mutex,
};

/// Bytes of frames kept between two rounds.
pub(super) const CACHE_BYTES: usize = 32 << 20;
/// Frames left out at a time that the log names.
const MAX_NAMED: usize = 100;
/// How long a frame without an end mark must have been left alone, where its writer was not seen to close it.
pub(super) const SETTLE: Duration = Duration::from_millis(100);

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
    names: NameFilter,
    media: Option<Media>,
    limit: usize,
    /// Bytes of frames to keep.
    kept_bytes: usize,
    cache: Mutex<Cache>,
    said_empty: AtomicBool,
}

/// A frame, complete as far as its format tells.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) part: Part,
    /// Whether its format has an end mark, which is there.
    has_end: bool,
    pub(super) signature: Signature,
}

impl Frame {
    /// Whether its writer may still be at it, where it was not seen to close the file.
    pub(super) fn may_grow(&self) -> bool {
        !self.has_end && !self.signature.has_rested(SETTLE)
    }
}

/// The known ones of the frames that were listed last.
#[derive(Debug, Default)]
struct Cache {
    frames: HashMap<PathBuf, Frame>,
    bytes: usize,
    /// Frames that are left out; a state of which more is not to be expected is not read again.
    left_out: HashMap<PathBuf, Option<Signature>>,
    /// Whether it was said that there are more of them than are named.
    said_more: bool,
}

impl FrameCache {
    pub(super) fn new(dir: &DirSettings, media: Option<Media>, limit: usize) -> Self {
        Self {
            directory: dir.path.clone(),
            names: dir.names.clone(),
            media,
            limit,
            kept_bytes: if dir.mode == Mode::Loop { CACHE_BYTES } else { 0 },
            cache: Mutex::default(),
            said_empty: false.into(),
        }
    }

    /// The directory without links. A frame lies inside it.
    fn root(&self) -> PathBuf {
        self.directory.canonicalize().unwrap_or_else(|_| self.directory.clone())
    }

    /// The frames in natural order.
    pub(super) fn list(&self) -> Vec<PathBuf> {
        let root = self.root();
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) => {
                warn!(%error, directory = %self.directory.display(), "cannot read the directory");
                return Vec::new();
            }
        };
        let mut names: Vec<OsString> = entries.filter_map(|entry| self.name_of_frame(&entry.ok()?, &root)).collect();
        names.sort_unstable_by(|a, b| compare(a, b));
        let list: Vec<PathBuf> = names.into_iter().map(|name| self.directory.join(name)).collect();
        self.cache().forget_all_but(&list);
        list
    }

    /// Hidden files, directories, FIFOs, devices and links that lead out of the directory are no frames.
    fn name_of_frame(&self, entry: &std::fs::DirEntry, root: &Path) -> Option<OsString> {
        let name = entry.file_name();
        if !self.names.matches(&name) {
            return None;
        }
        let kind = entry.file_type().ok()?;
        let leads_inside = || {
            let target = entry.path().canonicalize().ok()?;
            (target.starts_with(root) && target.is_file()).then_some(())
        };
        (kind.is_file() || kind.is_symlink() && leads_inside().is_some()).then_some(name)
    }

    /// A complete frame; `None` for one that is not, or cannot be read, which the feed then counts as refused.
    pub(super) fn read(&self, path: &Path, publisher: &Publisher) -> Option<Frame> {
        let refuse = |lasting, why: &str| {
            if self.leave_out(path, lasting, why) {
                publisher.count_refused(1);
            }
        };
        let signature = Signature::of(&path.metadata().ok()?);
        {
            let cache = self.cache();
            if let Some(frame) = cache.frames.get(path).filter(|kept| kept.signature == signature) {
                return Some(frame.clone());
            }
            if cache.left_out.get(path) == Some(&Some(signature)) {
                return None;
            }
        }
        let (body, signature) = match file::read_inside(&self.root(), path, self.limit) {
            Ok(Reading::Whole(body, signature)) => (body, signature),
            Ok(Reading::TooLarge(bytes)) => {
                refuse(Some(signature), &format!("it has {bytes} bytes, more than --max-part"));
                return None;
            }
            Ok(Reading::Grown(..) | Reading::Changed(..) | Reading::NotAFile) => return None,
            Err(error) => {
                // Disks come back and descriptors become free.
                let lasting = Some(signature).filter(|_| error.kind() == io::ErrorKind::PermissionDenied);
                refuse(lasting, &format!("cannot read it: {error}"));
                return None;
            }
        };
        let media = self.media.clone().unwrap_or_else(|| Media::guess(path, &body));
        let body = format::decompressed(&media, body, self.limit);
        let seen = format::inspect(&media, &body);
        if body.is_empty() || seen.completeness == Completeness::Truncated {
            refuse(Some(signature), "it is empty, broken, or not whole yet");
            return None;
        }
        let part = Part { media, body, time: signature.time(), class: seen.class };
        let frame = Frame { part, has_end: seen.completeness == Completeness::Complete, signature };
        self.cache().keep(path, &frame, self.kept_bytes);
        Some(frame)
    }

    pub(super) fn push(&self, publisher: &Publisher, part: Part, path: &Path) {
        match publisher.publish(Part { time: SystemTime::now(), ..part }) {
            Ok(()) | Err(Refused::Same) => self.was_accepted(path),
            Err(why) => drop(self.leave_out(path, None, &why.to_string())),
        }
    }

    /// Notes that a frame is shown: if it is left out again, the log says so again.
    pub(super) fn was_accepted(&self, path: &Path) {
        self.cache().left_out.remove(path);
    }

    /// Says why a frame is left out, once until it is shown: the next round comes soon. `lasting` is the state that is not to be
    /// read again. Returns whether it is new.
    pub(super) fn leave_out(&self, path: &Path, lasting: Option<Signature>, why: &str) -> bool {
        let mut cache = self.cache();
        if lasting.is_some() {
            cache.forget(path);
        }
        let lasting = lasting.filter(|state| state.has_rested(SETTLE));
        let is_new = cache.left_out.insert(path.to_owned(), lasting).is_none();
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
            info!(directory = %self.directory.display(), "there are no frames yet; waiting for some");
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

    fn forget_all_but(&mut self, list: &[PathBuf]) {
        let listed: HashSet<&Path> = list.iter().map(PathBuf::as_path).collect();
        let gone: Vec<PathBuf> = self.frames.keys().filter(|path| !listed.contains(path.as_path())).cloned().collect();
        gone.iter().for_each(|path| self.forget(path));
        self.left_out.retain(|path, _| listed.contains(path.as_path()));
        self.said_more &= self.left_out.len() > MAX_NAMED;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{feed::Kind, source::Context};

    fn frames(folder: &Path, mode: Mode) -> FrameCache {
        let dir = DirSettings { path: folder.to_owned(), interval: Duration::ZERO, mode, names: NameFilter::default() };
        FrameCache::new(&dir, None, CACHE_BYTES)
    }

    fn publisher() -> Publisher {
        Context::for_tests(None).open("test", Kind::Newest)
    }

    /// Frames and bytes that are kept after a round.
    fn kept(frames: &FrameCache) -> (usize, usize) {
        let publisher = publisher();
        frames.list().iter().for_each(|path| drop(frames.read(path, &publisher)));
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
