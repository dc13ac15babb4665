//! One watched path: when to look at it, whether its writer is done, and whether what is there is whole. Until it
//! is, the last whole one stays.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tracing::{Level, debug, info, warn};

use super::{
    resolve::ResolvedPath,
    scan::{DirScan, Order},
};
use crate::source::{
    fs_events::{Change, EventBatch, PathEvents},
    name_filter::NameFilter,
};
use crate::{
    feed::{Publisher, Refused},
    file::{self, Reading, Signature},
    format::{self, Completeness, Inspection, Media},
    part::Part,
};

/// When to look again at a file that was torn, then at events and a second later.
const AGAIN: [Duration; 3] = [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(60)];
/// How long a file may be torn before the log says so.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much longer than a tick of the file system's clock to listen, after a close, for a next writer: a write that began
/// within the tick would not show in the times of the file.
const SETTLE_AFTER_CLOSE: Duration = Duration::from_millis(1);
/// After this time the log may say the same again.
const SAY_AGAIN: Duration = Duration::from_secs(60);
const TORN: &str = "it is not whole yet";

/// One watched path.
#[derive(Debug)]
pub(super) struct WatchedPath {
    path: PathBuf,
    resolved: ResolvedPath,
    names: NameFilter,
    media: Option<Media>,
    settle: Duration,
    /// The least time between two parts: what would only be thinned out is not read.
    interval: Option<Duration>,
    pushed: Option<Instant>,
    publisher: Publisher,
    /// The file that is shown, or to be shown: for a directory the one that changed last.
    file: Option<PathBuf>,
    /// What was looked at last, and the judgement stands until it changes.
    last_checked: Option<(PathBuf, Signature)>,
    /// What was seen last, and since when it has been like that.
    seen: Option<(Signature, Instant)>,
    /// Since when it has been changing without rest.
    unstable_since: Option<Instant>,
    /// When to look, and how the file was touched.
    due: Option<(Instant, Change)>,
    /// How long a file has to rest whose writer was seen to close.
    settle_after_close: Duration,
    /// How many hold the file open, as far as events tell.
    open_writers: i32,
    /// Whether the last one had a checksum for every byte: such a file is judged as soon as it is closed.
    has_checksums: bool,
    /// How often the file was torn or missing in a row, and since when.
    torn: Option<(usize, Instant)>,
    scan: DirScan,
    /// Whether the directory is to be listed, and what for.
    rescan: Option<Order>,
    said: Option<(String, Instant)>,
    /// The file that there was a warning of, and nothing of it was shown since.
    warned: Option<PathBuf>,
    is_first: bool,
}

/// How well a file has rested.
enum Rest {
    /// Long enough to count as done.
    Enough,
    /// It has not come to rest for a second.
    Never,
    /// It needs so much more.
    Lacking(Duration),
}

impl WatchedPath {
    /// A path that pushes into `publisher`.
    pub(super) fn new(
        path: PathBuf,
        names: NameFilter,
        media: Option<Media>,
        settle: Duration,
        interval: Option<Duration>,
        publisher: Publisher,
    ) -> Self {
        let path = std::path::absolute(&path).unwrap_or(path);
        Self {
            resolved: ResolvedPath::of(&path),
            path,
            names,
            media,
            settle,
            interval,
            pushed: None,
            publisher,
            file: None,
            last_checked: None,
            seen: None,
            unstable_since: None,
            due: None,
            settle_after_close: file::tick() + SETTLE_AFTER_CLOSE,
            open_writers: 0,
            has_checksums: false,
            torn: None,
            scan: DirScan::default(),
            rescan: None,
            said: None,
            warned: None,
            is_first: true,
        }
    }

    /// The path, absolute, links and all.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where it led when that was last looked for.
    pub(super) fn resolved(&self) -> &ResolvedPath {
        &self.resolved
    }

    /// Looks where it leads now; tells whether that is elsewhere.
    pub(super) fn resolve(&mut self) -> bool {
        let before = std::mem::replace(&mut self.resolved, ResolvedPath::of(&self.path));
        before != self.resolved
    }

    /// When it has to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        let listing = self.rescan.map(|by| self.scan.due(by).unwrap_or_else(Instant::now));
        self.due.map(|(at, _)| at).into_iter().chain(listing).min()
    }

    /// Whether it has to be now.
    pub(super) fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Looks without an event, at a file or at what a directory holds. `listens`: events tell of it as well.
    pub(super) fn patrol(&mut self, listens: bool) {
        let by = if listens { Order::Content } else { Order::Change };
        if !self.resolved.is_directory {
            self.file = Some(self.path.clone());
        } else if self.scan.due(by).is_none_or(|due| due <= Instant::now()) {
            self.rescan.get_or_insert(by);
        }
        self.look_now();
    }

    fn look_now(&mut self) {
        self.due.get_or_insert((Instant::now(), Change::Changing));
    }

    /// Takes what the file system told, of which these paths concern it; tells whether the path leads elsewhere since.
    pub(super) fn hear(&mut self, heard: &EventBatch, paths: &[&Path]) -> bool {
        if heard.lost {
            (self.last_checked, self.open_writers) = (None, 0);
        }
        let may_lead_elsewhere = heard.lost || paths.iter().any(|path| self.leads_through(path, heard.paths[*path].touch));
        let leads_elsewhere = may_lead_elsewhere && self.resolve();
        if self.resolved.is_directory {
            self.hear_in_directory(heard, paths);
            return leads_elsewhere;
        }
        self.file = Some(self.path.clone());
        if let Some(trace) = heard.paths.get(&self.resolved.entry).or_else(|| heard.paths.get(&self.resolved.target)) {
            self.touch(trace);
        }
        // A link or a directory on the way to it may have been swapped: a look is cheap.
        if heard.lost || paths.iter().any(|path| *path != self.resolved.entry && *path != self.resolved.target) {
            self.look_now();
        }
        leads_elsewhere
    }

    /// Whether such a touch of this path may mean that the way is another.
    fn leads_through(&self, path: &Path, touch: Change) -> bool {
        if !matches!(touch, Change::Moved | Change::Changing)
            || (self.resolved.is_directory && path.parent() == Some(&self.resolved.target))
        {
            return false;
        }
        let kind = || path.symlink_metadata().map(|metadata| metadata.file_type());
        // Files are replaced all the time, by files.
        path != self.resolved.target || kind().is_ok_and(|kind| kind.is_symlink() || kind.is_dir() != self.resolved.is_directory)
    }

    fn hear_in_directory(&mut self, heard: &EventBatch, paths: &[&Path]) {
        let traces = paths.iter().map(|path| (*path, &heard.paths[*path]));
        let (inside, on_the_way): (Vec<_>, Vec<_>) = traces.partition(|(path, _)| path.parent() == Some(&self.resolved.target));
        let (wanted, others): (Vec<_>, Vec<_>) = inside.into_iter().partition(|(path, _)| self.wants(path));
        let newest = wanted.into_iter().max_by_key(|(_, trace)| (trace.touch.is_done(), trace.order));
        if let Some((path, trace)) = newest.filter(|(_, trace)| trace.touch.is_done()) {
            self.open_writers = if self.file.as_deref() == Some(path) { self.open_writers } else { 0 };
            self.file = Some(path.to_owned());
            self.touch(trace);
        } else if let Some(trace) = self.file.as_ref().and_then(|file| heard.paths.get(file)) {
            self.touch(trace);
        }
        // The files may be links that lead through a directory which was swapped (Kubernetes has `..data`).
        let is_swapped = || others.iter().any(|(path, trace)| trace.touch != Change::Opened && path.is_dir());
        let by = match heard.lost {
            true => Some(Order::Loss),
            false => (!on_the_way.is_empty() || is_swapped()).then_some(Order::Change),
        };
        if by.is_some() {
            self.rescan = self.rescan.max(by);
            self.look_now();
        }
    }

    fn touch(&mut self, trace: &PathEvents) {
        let (now, touch, before) = (Instant::now(), trace.touch, self.open_writers);
        self.open_writers = if touch == Change::Moved { 0 } else { trace.open_writers(before) };
        if touch == Change::Opened {
            if let Some((at, Change::Closed)) = self.due.as_mut().filter(|_| before > 0 && self.open_writers == 0) {
                *at = now;
            }
            return;
        }
        // Times of files are only exact to a tick, and a write through a mapping may not show in them at all.
        self.last_checked = None;
        if let (Some((times, _)), true) = (&mut self.torn, touch.is_done()) {
            *times = 0;
        }
        self.due = Some(match touch {
            Change::Closed | Change::Moved => (now, touch),
            Change::Marked | Change::Opened => (now, self.due.map_or(touch, |(_, touch)| touch)),
            Change::Changing => {
                let rested = now + self.settle;
                (self.due.map_or(rested, |(due, _)| due.min(rested)), touch)
            }
        });
    }

    /// Looks if it is time: at the directory, then at the file.
    pub(super) fn look_if_due(&mut self) {
        if let Some(by) = self.rescan.filter(|by| self.scan.due(*by).is_none_or(|due| due <= Instant::now())) {
            self.list(by);
            self.look_now();
            if self.due.is_some_and(|(_, touch)| touch.is_done()) {
                // That took its time: the next writer may have begun meanwhile.
                return;
            }
        }
        let now = Instant::now();
        let Some((_, touch)) = self.due.filter(|(at, _)| *at <= now) else { return };
        let next_part = self.pushed.zip(self.interval).map(|(pushed, interval)| pushed + interval);
        self.due = next_part.filter(|at| *at > now).map(|at| (at, touch));
        if self.due.is_some() {
            return;
        }
        let Some(file) = self.file.clone() else {
            return self.say(Level::INFO, "there is no file yet; waiting for one", None);
        };
        match self.look(&file, touch, now) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.try_again(touch, Level::INFO, &missing(&self.path));
            }
            Err(error) => self.say(Level::WARN, &format!("cannot read it: {error}"), None),
        }
    }

    fn look(&mut self, file: &Path, touch: Change, now: Instant) -> io::Result<()> {
        let signature = Signature::of(&file.metadata()?);
        if self.torn.is_none()
            && self.last_checked.as_ref().is_some_and(|(path, last_checked)| path == file && *last_checked == signature)
        {
            return Ok(());
        }
        let needed = match touch {
            // What was moved into place is done.
            Change::Moved => Duration::ZERO,
            Change::Closed if self.has_checksums => Duration::ZERO,
            // The next writer may be in the middle of its first write, of which nothing tells before it is over.
            Change::Closed if self.open_writers > 0 => self.settle,
            Change::Closed => self.settle_after_close,
            Change::Changing | Change::Marked | Change::Opened => self.settle,
        };
        let is_unstable = match self.rest(signature, needed, now) {
            Rest::Enough => false,
            Rest::Never => true,
            Rest::Lacking(wait) => {
                self.due = Some((now + wait, touch));
                return Ok(());
            }
        };
        match self.read(file)? {
            Reading::Whole(body, signature) => {
                let media = self.media.clone().unwrap_or_else(|| Media::guess(file, &body));
                let seen = format::inspect(&media, &body);
                // Text has no torn state but a last line, and checksums tell of any other.
                let is_readable_while_written = media.essence() == "text/plain" || seen.is_checksummed;
                if is_unstable && !is_readable_while_written {
                    self.due = Some((now + self.settle, touch));
                } else if touch == Change::Closed && needed.is_zero() && !seen.is_checksummed {
                    self.has_checksums = false;
                    self.due = Some((now, touch));
                } else {
                    self.last_checked = Some((file.to_owned(), signature));
                    let time = if self.is_first { signature.time().min(SystemTime::now()) } else { SystemTime::now() };
                    self.judge(file, Part { media, body, time, class: seen.class }, &seen, touch);
                }
            }
            Reading::Changed => self.try_again(touch, Level::WARN, &self.besides(TORN)),
            Reading::NotAFile => {
                self.last_checked = Some((file.to_owned(), signature));
                self.say(Level::INFO, "it is not a regular file; waiting for one", None);
            }
            Reading::TooLarge(bytes) => {
                self.last_checked = Some((file.to_owned(), signature));
                self.say(Level::WARN, "it is larger than --max-part; skipped", Some(bytes));
            }
        }
        Ok(())
    }

    /// Leaves what could not be dealt with until it changes again.
    pub(super) fn pass_over(&mut self) {
        self.torn = None;
        self.say(Level::WARN, &self.besides("it cannot be dealt with, by a bug of mxr"), None);
    }

    /// What a directory holds is read only as long as it lies inside, links or not.
    fn read(&self, file: &Path) -> io::Result<Reading> {
        let limit = self.publisher.part_bytes();
        if file == self.path { file::read(file, limit) } else { file::read_inside(&self.path.canonicalize()?, file, limit) }
    }

    /// How a file has rested: by our own clock, or by the file's time where that is long past; that of a network mount may
    /// be off.
    fn rest(&mut self, signature: Signature, needed: Duration, now: Instant) -> Rest {
        let since = match self.seen {
            Some((seen, since)) if seen == signature => since,
            _ => now,
        };
        self.seen = Some((signature, since));
        let by_time = SystemTime::now().duration_since(signature.time()).unwrap_or_default();
        let quiet = by_time.max(now - since);
        if quiet >= needed {
            self.unstable_since = None;
            return Rest::Enough;
        }
        if now - *self.unstable_since.get_or_insert(now) >= PATIENCE {
            self.unstable_since = None;
            return Rest::Never;
        }
        Rest::Lacking(needed - quiet)
    }

    fn judge(&mut self, file: &Path, part: Part, seen: &Inspection, touch: Change) {
        self.unstable_since = None;
        if part.body.is_empty() {
            return self.try_again(touch, Level::INFO, &self.besides("it is empty"));
        }
        if seen.completeness == Completeness::Truncated {
            let what = seen.unlike.map(|name| format!("it does not look like {name}"));
            return self.try_again(touch, Level::WARN, &self.besides(what.as_deref().unwrap_or(TORN)));
        }
        self.has_checksums = seen.is_checksummed;
        self.push(part, file);
    }

    fn push(&mut self, part: Part, file: &Path) {
        let (bytes, media) = (part.body.len(), part.media.clone());
        (self.torn, self.is_first) = (None, false);
        match self.publisher.publish(part) {
            Ok(()) => {
                self.pushed = Some(Instant::now());
                self.reassure(file);
                // What is said again and again, with parts in between, is said once a minute.
                self.said.take_if(|(_, at)| at.elapsed() >= SAY_AGAIN);
                debug!(feed = self.publisher.name(), file = %file.display(), %media, bytes, "pushed");
            }
            Err(Refused::Same) => self.reassure(file),
            Err(why) => self.say(Level::WARN, &format!("not pushed: {why}"), None),
        }
    }

    /// Keeps the last whole one and looks again soon, then once after a second, then at events alone.
    fn try_again(&mut self, touch: Change, level: Level, why: &str) {
        let now = Instant::now();
        let (times, since) = self.torn.unwrap_or((0, now));
        self.torn = Some((times + 1, since));
        if let Some(pause) = AGAIN.get(times) {
            self.due = Some((now + *pause, touch));
        } else if now - since < PATIENCE {
            self.due = Some((since + PATIENCE, touch));
        } else {
            self.torn = None;
            self.say(level, why, None);
        }
    }

    fn wants(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| self.names.matches(name))
    }

    /// Finds the file that changed last.
    fn list(&mut self, by: Order) {
        self.rescan = None;
        let has_file = self.file.as_ref().is_some_and(|file| *file != self.path && file.exists());
        if !has_file {
            self.file = None;
        }
        let mut scan = std::mem::take(&mut self.scan);
        match scan.list(&self.path, |path| self.wants(path), by, has_file) {
            Ok(None) => {}
            Ok(newest) => self.file = newest,
            Err(error) => self.say(Level::WARN, &format!("cannot list the directory: {error}"), None),
        }
        self.scan = scan;
    }

    /// What is the matter, and what viewers see meanwhile.
    fn besides(&self, what: &str) -> String {
        let meanwhile = if self.pushed.is_some() { "the last whole one stays" } else { "there is nothing to show yet" };
        format!("{what}; {meanwhile}")
    }

    /// Tells what is the matter, once; of a file of so many bytes that is over the limit once a minute.
    fn say(&mut self, level: Level, what: &str, bytes: Option<u64>) {
        let is_over = |at: &Instant| at.elapsed() >= SAY_AGAIN;
        if self.said.as_ref().is_none_or(|(said, at)| said != what || (bytes.is_some() && is_over(at))) {
            let file = self.file.as_ref().unwrap_or(&self.path);
            let (feed, path) = (self.publisher.name(), file.display());
            if level == Level::WARN {
                warn!(feed, %path, bytes, "{what}");
                self.warned = Some(file.clone());
            } else {
                info!(feed, %path, "{what}");
            }
            self.said = Some((what.to_owned(), Instant::now()));
        }
    }

    /// After a warning, tells that a file is shown all the same.
    fn reassure(&mut self, file: &Path) {
        if self.warned.take_if(|warned| warned == file).is_some() {
            info!(feed = self.publisher.name(), path = %file.display(), "it is whole now, and shown");
        }
    }
}

/// Says that there is no such file, and what else may have been meant.
fn missing(path: &Path) -> String {
    let missing = "there is no such file; waiting for it";
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let directory = path.parent().unwrap_or(path).display();
    if name == "-" {
        format!("{missing} (standard input is what `mxr stdin` shows)")
    } else if name.contains(['*', '?', '[', '{']) {
        format!("{missing} (for a pattern: mxr watch {directory} --glob '{name}')")
    } else {
        missing.to_owned()
    }
}
