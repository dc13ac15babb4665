//! One watched path: when to look at it, whether its writer is done, and whether what is there is whole. Until it
//! is, the last whole one stays.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use globset::GlobMatcher;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    file::{self, Reading, Signature},
    notice::{Heard, Touch},
};
use crate::{
    feed::{Publisher, Refused},
    part::{Media, Part},
    whole::{self, Ending},
};

/// When to look again at a file that was torn, then at events and a second later.
const AGAIN: [Duration; 3] = [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(60)];
/// How long a file may be torn before the log says so.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to listen, after a close, for a next writer: times of files are only exact to a tick of 4 ms, so a write that
/// begins within it would not show in them.
const HEARKEN: Duration = Duration::from_millis(5);
/// How often a directory is listed at the most.
const LISTING: Duration = Duration::from_millis(200);
/// After this time the log may say the same again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// One watched path.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    glob: Option<GlobMatcher>,
    media: Option<Media>,
    settle: Duration,
    publisher: Publisher,
    /// The file that is shown, or to be shown: for a directory the one that changed last.
    file: Option<PathBuf>,
    /// What was judged last, and the judgement stands until it changes.
    judged: Option<(PathBuf, Signature)>,
    /// What was seen last, and since when it has been like that.
    seen: Option<(Signature, Instant)>,
    /// Since when it has been changing without rest.
    restless: Option<Instant>,
    /// When to look, and how the file was touched.
    due: Option<(Instant, Touch)>,
    /// A whole part whose writer was seen to close, while a next one might have begun.
    candidate: Option<(PathBuf, Signature, Part)>,
    /// How often the file was torn in a row, and since when.
    torn: Option<(usize, Instant)>,
    /// When the directory was listed, and whether it is to be again.
    listed: Option<Instant>,
    is_listing_due: bool,
    said: Option<(String, Instant)>,
    is_first: bool,
}

impl Target {
    /// A path that pushes into `publisher`.
    pub(super) fn new(
        path: PathBuf,
        glob: Option<GlobMatcher>,
        media: Option<Media>,
        settle: Duration,
        publisher: Publisher,
    ) -> Self {
        let path = std::path::absolute(&path).unwrap_or(path);
        Self {
            path,
            glob,
            media,
            settle,
            publisher,
            file: None,
            judged: None,
            seen: None,
            restless: None,
            due: None,
            candidate: None,
            torn: None,
            listed: None,
            is_listing_due: true,
            said: None,
            is_first: true,
        }
    }

    /// The path, absolute, links and all.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// When it has to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.map(|(at, _)| at)
    }

    /// Looks without an event: at the file, and for a directory at the file that is shown.
    pub(super) fn patrol(&mut self) {
        if !self.path.is_dir() {
            self.file = Some(self.path.clone());
        } else if self.file.as_ref().is_none_or(|file| !file.exists()) {
            self.is_listing_due = true;
        }
        self.due.get_or_insert((Instant::now(), Touch::Changing));
    }

    /// Takes what the file system told.
    pub(super) fn hear(&mut self, heard: &Heard) {
        if !self.path.is_dir() {
            self.file = Some(self.path.clone());
            let real = self.path.canonicalize();
            let of = |path: &Path| heard.paths.get(path);
            match of(&self.path).or_else(|| of(real.as_deref().ok()?)) {
                Some((_, touch)) => self.touch(*touch),
                // A link or a directory on the way to it may have been swapped: a look is cheap.
                None => _ = self.due.get_or_insert((Instant::now(), Touch::Changing)),
            }
            return;
        }
        let directory = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let mine = heard.paths.iter().filter(|(path, _)| path.parent() == Some(&directory) && self.wants(path));
        if let Some((path, (_, touch))) = mine.max_by_key(|(_, (order, touch))| (*touch != Touch::Changing, *order)) {
            if *touch != Touch::Changing || self.file.is_none() {
                self.file = Some(path.clone());
            }
            if self.file.as_ref() == Some(path) {
                self.touch(*touch);
            }
        }
        if heard.lost {
            self.is_listing_due = true;
            self.due.get_or_insert((Instant::now(), Touch::Changing));
        }
    }

    fn touch(&mut self, touch: Touch) {
        let now = Instant::now();
        self.due = Some(match touch {
            Touch::Closed | Touch::Moved => (now, touch),
            Touch::Changing => {
                self.candidate = None;
                (now + self.settle, touch)
            }
        });
    }

    /// Looks at the file if it is time.
    pub(super) fn look_if_due(&mut self) {
        let now = Instant::now();
        let Some((_, touch)) = self.due.filter(|(at, _)| *at <= now) else { return };
        self.due = None;
        if self.is_listing_due && self.path.is_dir() {
            self.list(now);
        }
        let Some(file) = self.file.clone() else {
            return self.say("there is no file yet; waiting for one");
        };
        match self.look(&file, touch, now) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.torn = None;
                self.say("there is no such file yet; waiting for it");
            }
            Err(error) => self.say(&format!("cannot read it: {error}")),
        }
    }

    fn look(&mut self, file: &Path, touch: Touch, now: Instant) -> io::Result<()> {
        let signature = Signature::of(&file.metadata()?);
        if let Some((path, held, part)) = self.candidate.take()
            && path == file
            && held == signature
        {
            self.push(part, file, signature);
            return Ok(());
        }
        if self.torn.is_none() && self.judged.as_ref().is_some_and(|(path, judged)| path == file && *judged == signature) {
            return Ok(());
        }
        if touch == Touch::Changing
            && let Some(wait) = self.unrest(signature, now)
        {
            self.due = Some((now + wait, touch));
            return Ok(());
        }
        match file::read(file, self.publisher.part_bytes())? {
            Reading::Whole(body, signature) => self.judge(file, body, signature, touch),
            Reading::Changed => self.try_again(touch),
            Reading::NotAFile => {
                self.judged = Some((file.to_owned(), signature));
                self.say("it is not a regular file; waiting for one");
            }
            Reading::TooLarge(size) => {
                self.judged = Some((file.to_owned(), signature));
                self.say(&format!("it has {size} bytes, more than --max-part; skipped"));
            }
        }
        Ok(())
    }

    /// Leaves what could not be dealt with until it changes again.
    pub(super) fn pass_over(&mut self) {
        (self.candidate, self.torn) = (None, None);
        self.say("it cannot be dealt with, by a bug of mxr; the last whole one stays");
    }

    /// How long to wait still before a file that nobody was seen to close counts as done. By our own clock, or by the
    /// file's time where that is long past; that of a network mount may be off.
    fn unrest(&mut self, signature: Signature, now: Instant) -> Option<Duration> {
        let since = match self.seen {
            Some((seen, since)) if seen == signature => since,
            _ => now,
        };
        self.seen = Some((signature, since));
        let by_time = SystemTime::now().duration_since(signature.modified()).unwrap_or_default();
        let quiet = by_time.max(now - since);
        if quiet >= self.settle {
            self.restless = None;
            return None;
        }
        // A log that is appended to without rest is shown all the same: text has no torn state but a last line.
        let restless = *self.restless.get_or_insert(now);
        if now - restless >= PATIENCE && self.is_text() {
            self.restless = None;
            return None;
        }
        Some(self.settle - quiet)
    }

    fn is_text(&self) -> bool {
        let name = self.file.as_deref().unwrap_or(&self.path);
        self.media.clone().unwrap_or_else(|| Media::guess(name, b"text")).as_str().starts_with("text/plain")
    }

    fn judge(&mut self, file: &Path, body: bytes::Bytes, signature: Signature, touch: Touch) {
        self.judged = Some((file.to_owned(), signature));
        let media = self.media.clone().unwrap_or_else(|| Media::guess(file, &body));
        let ending = whole::ending(&media, &body);
        if body.is_empty() || ending == Ending::Torn {
            return self.try_again(touch);
        }
        let time = if self.is_first { signature.modified().min(SystemTime::now()) } else { SystemTime::now() };
        let part = Part { media, body, time };
        // A PNG has a checksum in every chunk, and what was moved into place is done: nothing more to learn.
        let is_proven = touch != Touch::Closed || whole::has_checksums(&part.body);
        let is_hot = SystemTime::now().duration_since(signature.modified()).is_ok_and(|age| age < 2 * HEARKEN);
        if is_proven || !is_hot {
            return self.push(part, file, signature);
        }
        self.candidate = Some((file.to_owned(), signature, part));
        self.due = Some((Instant::now() + HEARKEN, touch));
    }

    fn push(&mut self, part: Part, file: &Path, signature: Signature) {
        let (bytes, media) = (part.body.len(), part.media.clone());
        self.judged = Some((file.to_owned(), signature));
        (self.torn, self.is_first) = (None, false);
        match self.publisher.publish(part) {
            Ok(()) => {
                self.said = None;
                debug!(feed = self.publisher.name(), file = %file.display(), %media, bytes, "pushed");
            }
            Err(Refused::Same) => {}
            Err(why) => self.say(&format!("not pushed: {why}")),
        }
    }

    /// Keeps the last whole one and looks again soon, then once after a second, then at events alone.
    fn try_again(&mut self, touch: Touch) {
        let now = Instant::now();
        let (times, since) = self.torn.unwrap_or((0, now));
        self.torn = Some((times + 1, since));
        if let Some(pause) = AGAIN.get(times) {
            self.due = Some((now + *pause, touch));
        } else if now - since < PATIENCE {
            self.due = Some((since + PATIENCE, touch));
        } else {
            self.torn = None;
            self.say("it is not whole yet; the last whole one stays");
        }
    }

    fn wants(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return false };
        !is_hidden(name) && self.glob.as_ref().is_none_or(|glob| glob.is_match(Path::new(name)))
    }

    /// Finds the file of a directory that changed last; not more often than a burst allows.
    fn list(&mut self, now: Instant) {
        if let Some(wait) = self.listed.map(|at| at + LISTING).filter(|at| *at > now) {
            self.due = Some((wait, Touch::Changing));
            return;
        }
        (self.listed, self.is_listing_due) = (Some(now), false);
        let Ok(entries) = std::fs::read_dir(&self.path) else { return };
        let files = entries.filter_map(Result::ok).filter(|entry| self.wants(&entry.path()));
        let dated = files.filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, entry.path()))
        });
        if let Some((_, newest)) = dated.max() {
            self.file = Some(newest);
        }
    }

    fn say(&mut self, what: &str) {
        let is_news = self.said.as_ref().is_none_or(|(said, at)| said != what || at.elapsed() >= SAY_AGAIN);
        if is_news {
            let (feed, path) = (self.publisher.name(), self.path.display());
            match what.contains("waiting") {
                true => info!(feed, %path, "{what}"),
                false => warn!(feed, %path, "{what}"),
            }
            self.said = Some((what.to_owned(), Instant::now()));
        }
    }
}

/// Names that begin with a dot.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}
