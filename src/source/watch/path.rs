//! One watched path: which file it shows, and the reading and publishing of that file. `settling` decides when it is read and
//! whether it may be shown; until then viewers keep the last complete part.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{Level, debug, info, warn};

use super::{
    growth::{Growth, tail_option},
    log::{PathLog, missing},
    resolve::{ResolvedDirectories, ResolvedPath},
    scan::{DirScan, Order},
    settling::{Action, Content, Evidence, Input, Moment, SettleTimes, Settling},
};
use crate::source::{
    fs_events::{Change, EventBatch, PathEvents},
    name_filter::NameFilter,
    writers::FileWriters,
};
use crate::{
    feed::{Publisher, Refused},
    file::{self, OpenFile, Reading, Signature},
    format::{self, Completeness, Inspection, Media},
    part::Part,
    recording::FileHead,
};

/// How much longer than a tick of the file system's clock a file must have rested after a close: a write that began within the
/// tick would not show in its times.
const AFTER_A_TICK: Duration = Duration::from_millis(1);
/// What is shown of a text that was emptied: a part without a byte breaks readers (docs/field.md, Players and readers).
const EMPTY_LINE: &[u8] = b"\n";

/// One watched path.
#[derive(Debug)]
pub(super) struct WatchedPath {
    path: PathBuf,
    resolved: ResolvedPath,
    filter: NameFilter,
    media: Option<Media>,
    publisher: Publisher,
    writers: Arc<FileWriters>,
    /// The file that is shown, or to be shown: for a directory the one that changed last.
    file: Option<PathBuf>,
    scan: DirScan,
    /// Whether it was a directory the last time that it was there.
    was_directory: bool,
    /// Why the directory could not be listed the last time.
    not_listed: Option<String>,
    settling: Settling,
    growth: Growth,
    has_warned_of_recording: bool,
    /// Whether the kernel makes up its bytes at each read (`file::is_generated`).
    is_generated: bool,
    log: PathLog,
}

/// What all watched paths have in common.
#[derive(Debug, Default, Clone)]
pub(super) struct PathSettings {
    /// Which files of a directory.
    pub(super) filter: NameFilter,
    /// The type of every part, if the user set one.
    pub(super) media: Option<Media>,
    /// How long a file must have rested whose writer was not seen to close it.
    pub(super) settle: Duration,
    /// The least time between two parts.
    pub(super) interval: Option<Duration>,
    /// Which files have writers.
    pub(super) writers: Arc<FileWriters>,
}

impl WatchedPath {
    /// A path that pushes into `publisher`.
    pub(super) fn new(path: PathBuf, settings: &PathSettings, publisher: Publisher) -> Self {
        let path = std::path::absolute(&path).unwrap_or(path);
        let PathSettings { filter, media, settle, interval, writers } = settings;
        let times = SettleTimes { settle: *settle, settle_after_close: file::tick() + AFTER_A_TICK, interval: *interval };
        Self {
            resolved: ResolvedPath::of(&path),
            path,
            filter: filter.clone(),
            media: media.clone(),
            publisher,
            writers: writers.clone(),
            file: None,
            scan: DirScan::default(),
            was_directory: false,
            not_listed: None,
            settling: Settling::new(times),
            growth: Growth::default(),
            has_warned_of_recording: false,
            is_generated: false,
            log: PathLog::default(),
        }
    }

    /// The path, absolute, its links not followed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where it led when it was last resolved.
    pub(super) fn resolved(&self) -> &ResolvedPath {
        &self.resolved
    }

    /// Resolves it again; tells whether it leads elsewhere now.
    pub(super) fn resolve(&mut self) -> bool {
        let before = std::mem::replace(&mut self.resolved, ResolvedPath::of(&self.path));
        before != self.resolved
    }

    /// Resolves it beside others of its directory, and has it looked at without an event if it may have changed. Tells whether it
    /// leads elsewhere now. `has_events`: events tell of its changes as well.
    pub(super) fn patrol(&mut self, directories: &mut ResolvedDirectories, has_events: bool) -> bool {
        let (resolved, found) = ResolvedPath::within(directories, &self.path);
        let has_moved = self.resolved != resolved;
        self.resolved = resolved;
        let is_same = found.is_some_and(|found| self.settling.is_done_with(&found)) && self.file.as_ref() == Some(&self.path);
        if has_moved || self.is_generated || !is_same {
            self.check(has_events);
        }
        has_moved
    }

    /// When to look at it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.settling.due().into_iter().chain(self.scan.due()).min()
    }

    /// Whether its file is there, and may be shown soon.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.settling.is_on_its_way() || self.scan.due().is_some()
    }

    /// Has it looked at without an event. `has_events`: events tell of its changes as well.
    pub(super) fn check(&mut self, has_events: bool) {
        if self.resolved.is_directory {
            self.scan.request(if has_events { Order::Content } else { Order::Change });
        } else {
            self.select_path();
        }
        // Nothing but its bytes tells that such a file has changed.
        let new = PathEvents { order: 0, change: Change::Moved };
        let input = if self.is_generated { Input::Event(&new) } else { Input::Check };
        self.settling.on(input, Instant::now());
    }

    /// Takes the events, of which those of `paths` affect it; tells whether the path leads elsewhere since.
    pub(super) fn apply(&mut self, batch: &EventBatch, paths: &[&Path]) -> bool {
        let now = Instant::now();
        if batch.lost {
            self.settling.on(Input::EventsLost, now);
        }
        let may_lead_elsewhere = batch.lost || paths.iter().any(|path| self.leads_through(path, batch.paths[*path].change));
        let leads_elsewhere = may_lead_elsewhere && self.resolve();
        if self.resolved.is_directory {
            self.apply_in_directory(batch, paths, now);
            return leads_elsewhere;
        }
        self.select_path();
        let ResolvedPath { entry, target, .. } = &self.resolved;
        if let Some(events) = batch.paths.get(entry).or_else(|| batch.paths.get(target)) {
            self.settling.on(Input::Event(events), now);
        }
        // A link or a directory on the way to the file may have been swapped: a look is cheap.
        if paths.iter().any(|path| path != entry && path != target) {
            self.settling.on(Input::Check, now);
        }
        leads_elsewhere
    }

    /// Whether such a change of an entry may mean that the path leads elsewhere.
    fn leads_through(&self, entry: &Path, change: Change) -> bool {
        let is_inside = self.resolved.is_directory && entry.parent() == Some(&self.resolved.target);
        if is_inside || !matches!(change, Change::Moved | Change::Changing) {
            return false;
        }
        let kind = || entry.symlink_metadata().map(|metadata| metadata.file_type());
        // Files are replaced all the time, by files.
        entry != self.resolved.target || kind().is_ok_and(|kind| kind.is_symlink() || kind.is_dir() != self.resolved.is_directory)
    }

    fn apply_in_directory(&mut self, batch: &EventBatch, paths: &[&Path], now: Instant) {
        let events = paths.iter().map(|path| (*path, &batch.paths[*path]));
        let (inside, on_the_way): (Vec<_>, Vec<_>) = events.partition(|(path, _)| path.parent() == Some(&self.resolved.target));
        let (wanted, others): (Vec<_>, Vec<_>) = inside.into_iter().partition(|(path, _)| self.wants(path));
        self.apply_to_newest(batch, wanted, now);
        // The files may be links through a directory that was swapped (Kubernetes has `..data`).
        let is_swapped = || others.iter().any(|(path, _)| path.is_dir());
        let order = if batch.lost {
            Order::Loss
        } else if !on_the_way.is_empty() || is_swapped() {
            Order::Change
        } else {
            return;
        };
        self.scan.request(order);
        self.settling.on(Input::Check, now);
    }

    /// Goes over to the file that was finished last, if any was.
    fn apply_to_newest(&mut self, batch: &EventBatch, wanted: Vec<(&Path, &PathEvents)>, now: Instant) {
        let finished = wanted.into_iter().filter(|(_, events)| events.change.is_finished());
        if let Some((path, events)) = finished.max_by_key(|(_, events)| events.order) {
            self.select(path);
            self.settling.on(Input::Event(events), now);
        } else if let Some(events) = self.file.as_ref().and_then(|file| batch.paths.get(file)) {
            self.settling.on(Input::Event(events), now);
        }
    }

    /// Shows the path itself, which is no directory.
    fn select_path(&mut self) {
        if self.file.as_ref() != Some(&self.path) {
            self.select(&self.path.clone());
        }
    }

    fn select(&mut self, file: &Path) {
        if self.file.as_deref() != Some(file) {
            self.file = Some(file.to_owned());
            self.settling.on(Input::OtherFile, Instant::now());
        }
    }

    fn wants(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| self.filter.matches(name))
    }

    /// Looks if it is time: at the directory, then at the file.
    pub(super) fn look_if_due(&mut self) {
        if self.scan.due().is_some_and(|due| due <= Instant::now()) {
            self.list();
            self.settling.on(Input::Check, Instant::now());
            if self.settling.is_finished() {
                // The listing took its time: the next writer may have begun meanwhile.
                return;
            }
        }
        if self.settling.on(Input::Tick, Instant::now()) != Action::Look {
            return;
        }
        let Some(file) = self.file.clone() else {
            let (level, why) = match self.directory_is_gone().or_else(|| self.not_listed.clone()) {
                Some(why) => (Level::WARN, why),
                None => (Level::INFO, "there is no file yet; waiting for one".to_owned()),
            };
            return self.not_shown(Input::Failed, level, &why, None);
        };
        match self.look(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let gone = self.directory_is_gone().map(|why| (Level::WARN, why));
                let (level, why) = gone.unwrap_or_else(|| (Level::INFO, missing(&self.path)));
                self.not_shown(Input::Incomplete, level, &why, None);
            }
            Err(error) => self.not_shown(Input::Failed, Level::WARN, &format!("cannot read it: {error}"), None),
        }
    }

    /// Finds the file that changed last.
    fn list(&mut self) {
        if self.file.as_ref().is_some_and(|file| *file == self.path || !file.exists()) {
            self.file = None;
        }
        let mut scan = std::mem::take(&mut self.scan);
        match scan.list(&self.path, |path| self.wants(path), self.file.is_some()) {
            Ok(newest) => {
                (self.was_directory, self.not_listed) = (true, None);
                newest.iter().for_each(|newest| self.select(newest));
            }
            Err(error) => {
                let what = self.directory_is_gone().unwrap_or_else(|| format!("cannot list the directory: {error}"));
                self.say(Level::WARN, &what, None);
                self.not_listed = Some(what);
            }
        }
        self.scan = scan;
    }

    /// One text for all that is found missing of a directory that was there, so that the log says it once.
    fn directory_is_gone(&self) -> Option<String> {
        let is_gone = self.was_directory && !self.path.is_dir();
        is_gone.then(|| self.with_what_is_shown("the directory is gone; waiting for it"))
    }

    fn look(&mut self, file: &Path) -> io::Result<()> {
        let signature = Signature::of(&file.metadata()?);
        let age = SystemTime::now().duration_since(signature.change_time()).unwrap_or_default();
        if self.settling.on(Input::Found(signature, age), Instant::now()) != Action::Open {
            return Ok(());
        }
        let Some(open) = self.open(file)? else {
            self.not_shown(Input::Unusable(signature), Level::INFO, "it is not a regular file; waiting for one", None);
            return Ok(());
        };
        self.is_generated = file::is_generated(&open.file);
        match self.settling.on(Input::Opened(open.signature, self.writers.of(&open.file)), Instant::now()) {
            Action::Read => {}
            Action::Report => {
                self.refuse(Level::INFO, "its writer has it open, and it is shown when it is closed");
                return Ok(());
            }
            _ => return Ok(()),
        }
        match open.read(self.publisher.part_bytes())? {
            Reading::Whole(body, signature) => self.judge(file, body, signature, Moment::One),
            Reading::Grown(body, signature) => self.judge(file, body, signature, Moment::Grown),
            Reading::Changed(body, signature) => self.judge(file, body, signature, Moment::Several),
            Reading::NotAFile => drop(self.settling.on(Input::Failed, Instant::now())),
            Reading::TooLarge(bytes) => {
                self.publisher.count_refused(1);
                let lines =
                    if Media::guess(file, b"").is_text() { tail_option(file) + " shows its lines" } else { "skipped".to_owned() };
                let what = format!("it is larger than --max-part; {lines}");
                self.not_shown(Input::Unusable(signature), Level::WARN, &what, Some(bytes));
            }
        }
        Ok(())
    }

    /// Opens a file; of a directory only if it lies inside, links or not.
    fn open(&self, file: &Path) -> io::Result<Option<OpenFile>> {
        if file == self.path { file::open(file, true) } else { file::open_inside(&self.path.canonicalize()?, file) }
    }

    fn judge(&mut self, file: &Path, body: Bytes, signature: Signature, moment: Moment) {
        let media = self.media.clone().unwrap_or_else(|| Media::guess(file, &body));
        let body = format::decompressed(&media, body, self.publisher.part_bytes());
        let seen = format::inspect(&media, &body);
        let content = match seen.completeness {
            _ if !body.is_empty() => Content::Bytes,
            Completeness::Readable if self.settling.has_published() => Content::Emptied,
            _ => Content::Nothing,
        };
        // Decoders forgive a damaged chunk that they do not need; it may be half of another picture.
        let is_damaged = body.starts_with(b"\x89PNG") && !seen.is_checksummed && seen.completeness == Completeness::Complete;
        let evidence = Evidence {
            signature,
            moment,
            completeness: if is_damaged { Completeness::Unknown } else { seen.completeness },
            is_checksummed: seen.is_checksummed,
            keeps_end: self.publisher.feed().newest().is_some_and(|before| keeps_end(before.body(), &body)),
            is_text: std::str::from_utf8(&body).is_ok(),
            content,
        };
        match self.settling.on(Input::Body(evidence), Instant::now()) {
            Action::Publish => {
                // The first file may have been there for long.
                let time = if self.settling.has_published() { SystemTime::now() } else { signature.time().min(SystemTime::now()) };
                let body = if body.is_empty() { Bytes::from_static(EMPTY_LINE) } else { body };
                self.publish(Part { media, body, time, class: seen.class }, file, as_it_is(content, &seen));
            }
            Action::Report if content == Content::Bytes => {
                self.refuse(Level::WARN, "it is not whole yet, and its writer has it open");
            }
            Action::Report => self.refuse(Level::INFO, "it is empty"),
            _ => {}
        }
    }

    /// Publishes a part; with `as_it_is`, the log says what is odd about it.
    fn publish(&mut self, part: Part, file: &Path, as_it_is: Option<(Level, String)>) {
        self.hint_at_growth(&part, file);
        self.warn_of_recording(&part, file);
        let (bytes, media) = (part.body.len(), part.media.clone());
        let is_new = match self.publisher.publish(part) {
            Ok(()) => {
                self.settling.on(Input::Published, Instant::now());
                debug!(feed = self.publisher.name(), file = %file.display(), %media, bytes, "pushed");
                true
            }
            Err(Refused::Same) => false,
            Err(why) => return self.say(Level::WARN, &format!("not pushed: {why}"), None),
        };
        match as_it_is {
            Some((level, what)) => self.say(level, &what, None),
            None => self.log.shown(self.publisher.name(), file, is_new),
        }
    }

    fn hint_at_growth(&mut self, part: &Part, file: &Path) {
        let before = self.publisher.feed().newest().filter(|_| part.media.is_text());
        if before.is_some_and(|before| self.growth.is_worth_a_hint(before.body(), &part.body)) {
            let (path, hint) = (file.display(), tail_option(file) + " sends only the new lines");
            info!(feed = self.publisher.name(), %path, hint, "this text grows, and is sent whole each time");
        }
    }

    /// Warns, once, of a recording, whose bytes show nothing.
    fn warn_of_recording(&mut self, part: &Part, file: &Path) {
        if !self.has_warned_of_recording && FileHead::of_mxr(&part.body).is_some() {
            self.has_warned_of_recording = true;
            let (path, hint) = (file.display(), format!("mxr serve {}", file.display()));
            warn!(feed = self.publisher.name(), %path, hint, "this is a recording, and its bytes are pushed, not what was recorded");
        }
    }

    /// Counts a state of the file that is not shown, and says why.
    fn refuse(&mut self, level: Level, what: &str) {
        self.publisher.count_refused(1);
        self.say(level, &self.with_what_is_shown(what), None);
    }

    /// Tells the machine why there is nothing to show, and the log too once that is to be reported.
    fn not_shown(&mut self, input: Input<'_>, level: Level, why: &str, bytes: Option<u64>) {
        if self.settling.on(input, Instant::now()) == Action::Report {
            self.say(level, why, bytes);
        }
    }

    /// Leaves a file that makes mxr panic until it changes again.
    pub(super) fn skip(&mut self) {
        self.not_shown(Input::Failed, Level::WARN, &self.with_what_is_shown("it cannot be shown, because of a bug in mxr"), None);
    }

    /// What is wrong, and what viewers see meanwhile.
    fn with_what_is_shown(&self, what: &str) -> String {
        let shown = if self.settling.has_published() { "the last whole one stays" } else { "there is nothing to show yet" };
        format!("{what}; {shown}")
    }

    fn say(&mut self, level: Level, what: &str, bytes: Option<u64>) {
        self.log.say(self.publisher.name(), self.file.as_ref().unwrap_or(&self.path), level, what, bytes);
    }
}

/// Whether a body of the same length as the one before has the same end: 24 bytes, which is more than the end marks of JPEG, GIF and
/// HTML, which are alike in all files.
fn keeps_end(before: &[u8], body: &[u8]) -> bool {
    before.len() == body.len() && before.last_chunk::<24>().is_some_and(|end| body.ends_with(end)) && before != body
}

/// What the log says of a part that is shown though its format tells that something is missing.
fn as_it_is(content: Content, seen: &Inspection) -> Option<(Level, String)> {
    match (content, seen.unlike) {
        (Content::Bytes, _) if seen.completeness != Completeness::Truncated => None,
        (Content::Bytes, Some(name)) => Some((Level::WARN, format!("it does not look like {name}; shown as it is"))),
        (Content::Bytes, None) => Some((Level::WARN, "its end is missing; shown as it is".to_owned())),
        _ => Some((Level::INFO, "it is empty now; shown as an empty line".to_owned())),
    }
}
