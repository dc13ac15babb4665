//! Watched files: pushed whenever their writer is done and they are whole. Events say when to look; what is
//! seen then decides. A look every second finds what no event told (a hard link's write, a re-created directory).

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use globset::GlobMatcher;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::{
    FeedSettings, Source,
    file::{self, Reading, Signature},
    name_of,
    notice::{Heard, Notices, Touch},
};
use crate::{
    feed::{Kind, Offer, Publisher, Refused},
    part::{Media, Part},
    whole::{self, Ending},
};

/// How long a file must have been quiet that nobody was seen to close.
const SETTLE: Duration = Duration::from_millis(100);
/// When to look again at a file that was torn.
const AGAIN: [Duration; 3] = [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(60)];
/// How often to look without an event.
const PATROL: Duration = Duration::from_secs(1);

/// What to watch.
#[derive(Debug)]
pub struct WatchSettings {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Which files of a directory.
    pub glob: Option<GlobMatcher>,
}

/// Watched paths as a source: a feed each.
pub fn source(watch: WatchSettings, settings: &FeedSettings) -> Source {
    let mut names = HashMap::new();
    let mut offers = Vec::new();
    let mut targets = Vec::new();
    for path in watch.paths {
        let (publisher, feed) = settings.feed(unique(name_of(&path), &mut names), Kind::Newest);
        offers.push(Offer::Live(feed));
        targets.push(Target::new(path, watch.glob.clone(), settings.media.clone(), publisher));
    }
    Source { offers, work: Box::pin(work(targets)) }
}

/// `plot.png`, then `plot.png-2`.
fn unique(name: String, names: &mut HashMap<String, usize>) -> String {
    let count = names.entry(name.clone()).or_default();
    *count += 1;
    if *count == 1 { name } else { unique(format!("{name}-{count}"), names) }
}

async fn work(mut targets: Vec<Target>) -> crate::error::Result<()> {
    let mut notices = Notices::new();
    let mut patrol = Instant::now();
    loop {
        if patrol <= Instant::now() {
            for target in &mut targets {
                notices.watch(&target.directory());
                target.patrol();
            }
            patrol = Instant::now() + PATROL;
        }
        let next = targets.iter().filter_map(Target::due).min().map_or(patrol, |due| due.min(patrol));
        tokio::select! {
            heard = notices.heard() => targets.iter_mut().for_each(|target| target.hear(&heard)),
            () = sleep_until(next) => {}
        }
        targets.iter_mut().for_each(Target::look_if_due);
    }
}

/// One watched path.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    glob: Option<GlobMatcher>,
    media: Option<Media>,
    publisher: Publisher,
    /// The file that is shown, or to be shown: for a directory the one that changed last.
    file: Option<PathBuf>,
    /// What was last read to the end, pushed or refused for good.
    seen: Option<(PathBuf, Signature)>,
    /// When to look, and whether the writer was seen to be done.
    due: Option<(Instant, Touch)>,
    /// How often the file was torn in a row, and since when.
    torn: Option<(usize, Instant)>,
    /// What was said last, so that it is said once.
    said: Option<String>,
    is_first: bool,
}

impl Target {
    fn new(path: PathBuf, glob: Option<GlobMatcher>, media: Option<Media>, publisher: Publisher) -> Self {
        let path = std::path::absolute(&path).unwrap_or(path);
        Self { path, glob, media, publisher, file: None, seen: None, due: None, torn: None, said: None, is_first: true }
    }

    fn due(&self) -> Option<Instant> {
        self.due.map(|(at, _)| at)
    }

    /// The directory whose entries tell of this target.
    fn directory(&self) -> PathBuf {
        let parent = || self.path.parent().unwrap_or(Path::new("/")).to_owned();
        if self.path.is_dir() { self.path.clone() } else { parent() }
    }

    /// Looks without an event: the file, and for a directory the file that is shown.
    fn patrol(&mut self) {
        if self.path.is_dir() {
            if self.file.as_ref().is_none_or(|file| !file.exists()) {
                self.find_newest();
            }
        } else {
            self.file = Some(self.path.clone());
        }
        if self.due.is_none() && self.torn.is_none() {
            self.due = Some((Instant::now(), Touch::Changing));
        }
    }

    fn hear(&mut self, heard: &Heard) {
        let directory = self.directory();
        if directory != self.path {
            if let Some((_, touch)) = heard.paths.get(&self.path) {
                self.touch(*touch);
            } else if heard.lost || heard.paths.keys().any(|path| path.starts_with(&directory)) {
                // A link or a directory on the way to it may have been swapped: a look is cheap.
                self.due.get_or_insert((Instant::now(), Touch::Changing));
            }
            return;
        }
        let mine = heard.paths.iter().filter(|(path, _)| path.parent() == Some(&directory) && self.wants(path));
        if let Some((path, (_, touch))) = mine.max_by_key(|(_, (order, touch))| (*touch == Touch::Done, *order)) {
            if *touch == Touch::Done || self.file.is_none() || self.file.as_ref() == Some(path) {
                self.file = Some(path.clone());
            }
            self.touch(*touch);
        } else if heard.lost {
            self.find_newest();
            self.due = Some((Instant::now(), Touch::Changing));
        }
    }

    fn touch(&mut self, touch: Touch) {
        self.due = Some(match touch {
            Touch::Done => (Instant::now(), Touch::Done),
            Touch::Changing => (Instant::now() + SETTLE, Touch::Changing),
        });
    }

    fn wants(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return false };
        !is_hidden(name) && self.glob.as_ref().is_none_or(|glob| glob.is_match(Path::new(name)))
    }

    fn find_newest(&mut self) {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return };
        let files = entries.filter_map(Result::ok).filter(|entry| self.wants(&entry.path()));
        let dated = files.filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, entry.path()))
        });
        self.file = dated.max().map(|(_, path)| path).or(self.file.take());
    }

    fn look_if_due(&mut self) {
        let now = Instant::now();
        let Some((_, touch)) = self.due.filter(|(at, _)| *at <= now) else { return };
        self.due = None;
        let Some(file) = self.file.clone() else {
            self.say_once("there is no file yet; waiting for one");
            return;
        };
        match self.look(&file, touch) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.say_once("there is no such file yet; waiting for it");
                self.torn = None;
            }
            Err(error) => self.say_once(&format!("cannot read it: {error}")),
        }
    }

    fn look(&mut self, file: &Path, touch: Touch) -> io::Result<()> {
        let signature = Signature::of(&file.metadata()?);
        if self.torn.is_none() && self.seen.as_ref().is_some_and(|(path, seen)| path == file && *seen == signature) {
            return Ok(());
        }
        // Nobody was seen to close it: quiet is the only sign that its writer is done.
        let quiet = SystemTime::now().duration_since(signature.modified()).unwrap_or(SETTLE);
        if touch == Touch::Changing && quiet < SETTLE && !self.is_first {
            self.due = Some((Instant::now() + (SETTLE - quiet), Touch::Changing));
            return Ok(());
        }
        let (body, signature) = match file::read(file, self.publisher.part_bytes())? {
            Reading::Whole(body, signature) => (body, signature),
            Reading::Changed => {
                self.try_again(touch);
                return Ok(());
            }
            Reading::NotAFile => {
                self.say_once("it is not a regular file; waiting for one");
                self.seen = Some((file.to_owned(), signature));
                return Ok(());
            }
            Reading::TooLarge(size) => {
                self.say_once(&format!("it has {size} bytes, more than --max-part; skipped"));
                self.seen = Some((file.to_owned(), signature));
                return Ok(());
            }
        };
        let media = self.media.clone().unwrap_or_else(|| Media::guess(file, &body));
        if body.is_empty() || whole::ending(&media, &body) == Ending::Torn {
            self.seen = Some((file.to_owned(), signature));
            self.try_again(touch);
            return Ok(());
        }
        let time = if self.is_first { signature.modified().min(SystemTime::now()) } else { SystemTime::now() };
        self.push(Part { media, body, time }, file);
        self.seen = Some((file.to_owned(), signature));
        (self.torn, self.said, self.is_first) = (None, None, false);
        Ok(())
    }

    fn push(&mut self, part: Part, file: &Path) {
        let (bytes, media) = (part.body.len(), part.media.clone());
        match self.publisher.publish(part) {
            Ok(()) => debug!(feed = self.publisher.name(), file = %file.display(), %media, bytes, "pushed"),
            Err(Refused::Same) => {}
            Err(why) => self.say_once(&format!("not pushed: {why}")),
        }
    }

    /// Keeps the last whole one and looks again soon, then at the patrol's pace and at events.
    fn try_again(&mut self, touch: Touch) {
        let (times, since) = self.torn.unwrap_or((0, Instant::now()));
        self.torn = Some((times + 1, since));
        if let Some(pause) = AGAIN.get(times) {
            self.due = Some((Instant::now() + *pause, touch));
        } else if since.elapsed() < PATROL {
            self.due = Some((since + PATROL, touch));
        } else {
            self.say_once("it is not whole yet; the last whole one stays");
            self.torn = None;
        }
    }

    fn say_once(&mut self, what: &str) {
        if self.said.as_deref() != Some(what) {
            let feed = self.publisher.name();
            match what.contains("waiting") {
                true => info!(feed, path = %self.path.display(), "{what}"),
                false => warn!(feed, path = %self.path.display(), "{what}"),
            }
            self.said = Some(what.to_owned());
        }
    }
}

/// Names that begin with a dot.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}
