//! A directory of frames, replayed in natural order. Names are listed, frames are read when their turn comes
//! and kept within a bound.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{
    FeedSettings, Source,
    file::{self, Reading, Signature},
    name_of,
    names::Names,
    notice::Notices,
};
use crate::{
    contain::{Place, contain},
    error::{Error, Result},
    feed::{Kind, Offer, Publisher, Refused},
    part::{Media, Part},
    whole::{self, Ending},
};

/// Bytes of frames kept between two rounds.
const CACHE_BYTES: usize = 32 << 20;
/// Frames remembered as left out.
const MOST_SAID: usize = 1000;
/// How often to look for frames where no event tells.
const PATROL: Duration = Duration::from_secs(1);
/// How long a frame without an end mark must have been left alone, where its writer was not seen to close it.
const SETTLE: Duration = Duration::from_millis(100);

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
    pub names: Names,
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

/// A directory as a source.
///
/// # Errors
/// Where the directory cannot be read.
pub fn source(dir: DirSettings, settings: FeedSettings, runtime: Handle) -> Result<Source> {
    let cannot = |error| Error::new(format!("read the directory {}", dir.path.display()), error);
    std::fs::read_dir(&dir.path).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => cannot(error).hint("to push one file, use `mxr watch FILE`"),
        _ => cannot(error),
    })?;
    let (name, boundary) = (name_of(&dir.path), settings.boundary.clone());
    let frames = Arc::new(Frames::new(&dir, settings.media.clone(), settings.part_bytes));
    if dir.mode != Mode::Once {
        let (publisher, feed) = settings.feed(name, Kind::Newest);
        let work = async move {
            match dir.mode {
                Mode::Follow => follow(&frames, dir.interval, &publisher).await,
                _ => play_round_and_round(&frames, dir.interval, &publisher).await,
            }
            Ok(())
        };
        return Ok(Source { offers: vec![Offer::Live(feed)], work: Box::pin(work) });
    }
    let run_name = name.clone();
    let start = Box::new(move || {
        let (publisher, feed) = settings.feed(run_name.clone(), Kind::Run);
        runtime.spawn(contain(Place::Source, play_once(frames.clone(), dir.interval, publisher)));
        feed
    });
    Ok(Source { offers: vec![Offer::Runs { name, boundary, start }], work: Box::pin(std::future::pending()) })
}

async fn play_round_and_round(frames: &Frames, interval: Duration, publisher: &Publisher) {
    let mut clock = Clock::new(interval);
    loop {
        let mut pushed = false;
        for path in frames.list() {
            if let Some(part) = frames.read(&path) {
                clock.tick().await;
                pushed = true;
                push(publisher, part, &path);
            }
        }
        if !pushed {
            frames.say_empty();
            sleep(PATROL).await;
        }
    }
}

async fn play_once(frames: Arc<Frames>, interval: Duration, publisher: Publisher) {
    let mut clock = Clock::new(interval);
    let mut parts = frames.list().into_iter().filter_map(|path| Some((frames.read(&path)?, path)));
    let mut next = parts.next();
    // One ahead, so that the last is known when it is published and the close-delimiter follows it directly.
    while let Some((part, path)) = next {
        next = parts.next();
        clock.tick().await;
        if !publisher.room().await {
            return;
        }
        if next.is_none() {
            let _ = publisher.publish_last(Part { time: SystemTime::now(), ..part });
            return;
        }
        push(&publisher, part, &path);
        tokio::task::yield_now().await;
    }
}

async fn follow(frames: &Frames, interval: Duration, publisher: &Publisher) {
    let mut clock = Clock::new(interval);
    let mut notices = Notices::new();
    let mut played: HashSet<OsString> = HashSet::new();
    let mut done: HashSet<OsString> = HashSet::new();
    loop {
        notices.watch(&HashSet::from([frames.directory.clone()]));
        let list = frames.list();
        played.retain(|name| list.binary_search_by(|path| compare(path.file_name().unwrap_or_default(), name)).is_ok());
        let mut wait = PATROL;
        for path in list {
            let name = path.file_name().unwrap_or_default().to_owned();
            // A frame that is not whole yet has its turn when it is.
            if !played.contains(&name)
                && let Some(part) = frames.read(&path)
            {
                if !done.contains(&name) && is_in_the_making(&part) {
                    wait = SETTLE;
                    continue;
                }
                clock.tick().await;
                push(publisher, part, &path);
                played.insert(name);
            }
        }
        if played.is_empty() && wait == PATROL {
            frames.say_empty();
        }
        done.clear();
        let _ = timeout(wait, notices.news()).await;
        let closed = notices.take().paths.into_iter().filter(|(_, trace)| trace.touch.is_done());
        done.extend(closed.filter_map(|(path, _)| path.file_name().map(ToOwned::to_owned)));
    }
}

/// Whether more may be written to a frame whose writer was not seen to close it: it has no end mark, and is fresh.
fn is_in_the_making(part: &Part) -> bool {
    whole::ending(&part.media, &part.body) == Ending::Unmarked && part.time.elapsed().is_ok_and(|age| age < SETTLE)
}

fn push(publisher: &Publisher, part: Part, path: &Path) {
    let part = Part { time: SystemTime::now(), ..part };
    match publisher.publish(part) {
        Ok(()) | Err(Refused::Same) => {}
        Err(why) => warn!(frame = %path.display(), "left out: {why}"),
    }
}

/// Ticks every interval; what came too late is not made up for.
struct Clock {
    next: Instant,
    interval: Duration,
}

impl Clock {
    fn new(interval: Duration) -> Self {
        Self { next: Instant::now(), interval }
    }

    async fn tick(&mut self) {
        sleep_until(self.next).await;
        self.next = (self.next + self.interval).max(Instant::now());
    }
}

/// The frames of a directory.
#[derive(Debug)]
struct Frames {
    directory: PathBuf,
    names: Names,
    media: Option<Media>,
    limit: usize,
    cache: Mutex<Cache>,
    said_empty: std::sync::atomic::AtomicBool,
}

#[derive(Debug)]
struct Cache {
    parts: HashMap<PathBuf, (Signature, Part)>,
    /// Frames that were said to be left out.
    said: HashMap<PathBuf, Signature>,
    bytes: usize,
}

impl Frames {
    fn new(dir: &DirSettings, media: Option<Media>, limit: usize) -> Self {
        Self {
            directory: dir.path.clone(),
            names: dir.names.clone(),
            media,
            limit,
            cache: Mutex::new(Cache { parts: HashMap::new(), said: HashMap::new(), bytes: 0 }),
            said_empty: false.into(),
        }
    }

    /// The directory without links. A frame lies inside it.
    fn root(&self) -> PathBuf {
        self.directory.canonicalize().unwrap_or_else(|_| self.directory.clone())
    }

    /// The frames in natural order.
    fn list(&self) -> Vec<PathBuf> {
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
        names.into_iter().map(|name| self.directory.join(name)).collect()
    }

    /// Hidden files, directories, FIFOs, devices and links that lead out of the directory are no frames.
    fn name_of_frame(&self, entry: &std::fs::DirEntry, root: &Path) -> Option<OsString> {
        let name = entry.file_name();
        if !self.names.want(&name) {
            return None;
        }
        let kind = entry.file_type().ok()?;
        let leads_inside = || {
            let target = entry.path().canonicalize().ok()?;
            (target.starts_with(root) && target.is_file()).then_some(())
        };
        (kind.is_file() || kind.is_symlink() && leads_inside().is_some()).then_some(name)
    }

    /// A frame, whole; `None` for one that is not, or cannot be read.
    fn read(&self, path: &Path) -> Option<Part> {
        let signature = Signature::of(&path.metadata().ok()?);
        if let Some(part) = self.cached(path, signature) {
            return Some(part);
        }
        let (body, signature) = match file::read_inside(&self.root(), path, self.limit) {
            Ok(Reading::Whole(body, signature)) => (body, signature),
            Ok(Reading::TooLarge(bytes)) => {
                return self.leave_out(path, signature, &format!("it has {bytes} bytes, more than --max-part"));
            }
            Ok(Reading::Changed | Reading::NotAFile) => return None,
            Err(error) => return self.leave_out(path, signature, &format!("cannot read it: {error}")),
        };
        let media = self.media.clone().unwrap_or_else(|| Media::guess(path, &body));
        if body.is_empty() || whole::ending(&media, &body) == Ending::Torn {
            return self.leave_out(path, signature, "it is empty, broken, or not whole yet");
        }
        let part = Part { media, body, time: signature.time() };
        self.keep(path, signature, &part);
        Some(part)
    }

    /// Says why there is no such frame, once for each state of its file: the next round comes soon.
    fn leave_out(&self, path: &Path, signature: Signature, why: &str) -> Option<Part> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.said.len() >= MOST_SAID {
            cache.said.clear();
        }
        if cache.said.insert(path.to_owned(), signature) != Some(signature) {
            warn!(frame = %path.display(), "left out: {why}");
        }
        None
    }

    fn cached(&self, path: &Path, signature: Signature) -> Option<Part> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.parts.get(path).filter(|(kept, _)| *kept == signature).map(|(_, part)| part.clone())
    }

    fn keep(&self, path: &Path, signature: Signature, part: &Part) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // What does not fit beside its neighbours would push all of them out, round after round.
        if cache.bytes + part.body.len() > CACHE_BYTES {
            return;
        }
        cache.bytes += part.body.len();
        if let Some((_, old)) = cache.parts.insert(path.to_owned(), (signature, part.clone())) {
            cache.bytes -= old.body.len();
        }
    }

    fn say_empty(&self) {
        if !self.said_empty.swap(true, std::sync::atomic::Ordering::Relaxed) {
            info!(directory = %self.directory.display(), "there are no frames yet; waiting for some");
        }
    }
}

/// `frame2` before `frame10`; names that differ only otherwise keep a fixed order.
fn compare(a: &std::ffi::OsStr, b: &std::ffi::OsStr) -> std::cmp::Ordering {
    alphanumeric_sort::compare_os_str(a, b).then_with(|| a.cmp(b))
}
