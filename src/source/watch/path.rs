//! One watched path: which file it shows, and the reading and publishing of that file. `settling` decides when it is read and
//! whether it may be shown; until then viewers keep the last complete part.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{Level, debug};

use super::{
    log::{PathLog, missing},
    resolve::ResolvedPath,
    scan::{DirScan, Order},
    settling::{Action, Evidence, Input, SettleTimes, Settling},
};
use crate::source::{
    fs_events::{Change, EventBatch, PathEvents},
    name_filter::NameFilter,
};
use crate::{
    feed::{Publisher, Refused},
    file::{self, Reading, Signature},
    format::{self, Completeness, Media},
    part::Part,
};

/// How much longer than a tick of the file system's clock a file must have rested after a close: a write that began within the
/// tick would not show in its times.
const AFTER_A_TICK: Duration = Duration::from_millis(1);
const INCOMPLETE: &str = "it is not whole yet";

/// One watched path.
#[derive(Debug)]
pub(super) struct WatchedPath {
    path: PathBuf,
    resolved: ResolvedPath,
    filter: NameFilter,
    media: Option<Media>,
    publisher: Publisher,
    /// The file that is shown, or to be shown: for a directory the one that changed last.
    file: Option<PathBuf>,
    scan: DirScan,
    settling: Settling,
    log: PathLog,
}

impl WatchedPath {
    /// A path that pushes into `publisher`, at most once in `interval`.
    pub(super) fn new(
        path: PathBuf,
        filter: NameFilter,
        media: Option<Media>,
        settle: Duration,
        interval: Option<Duration>,
        publisher: Publisher,
    ) -> Self {
        let path = std::path::absolute(&path).unwrap_or(path);
        let times = SettleTimes { settle, settle_after_close: file::tick() + AFTER_A_TICK, interval };
        Self {
            resolved: ResolvedPath::of(&path),
            path,
            filter,
            media,
            publisher,
            file: None,
            scan: DirScan::default(),
            settling: Settling::new(times),
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

    /// When to look at it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.settling.due().into_iter().chain(self.scan.due()).min()
    }

    /// Whether to look at it now.
    pub(super) fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Has it looked at without an event. `has_events`: events tell of its changes as well.
    pub(super) fn check(&mut self, has_events: bool) {
        if self.resolved.is_directory {
            self.scan.request(if has_events { Order::Content } else { Order::Change });
        } else {
            self.select_path();
        }
        self.settling.on(Input::Check, Instant::now());
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
        let is_swapped = || others.iter().any(|(path, events)| events.change != Change::Opened && path.is_dir());
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
            return self.not_shown(Input::Failed, Level::INFO, "there is no file yet; waiting for one", None);
        };
        match self.look(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.not_shown(Input::Incomplete, Level::INFO, &missing(&self.path), None);
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
            Ok(None) => {}
            Ok(Some(newest)) => self.select(&newest),
            Err(error) => self.say(Level::WARN, &format!("cannot list the directory: {error}"), None),
        }
        self.scan = scan;
    }

    fn look(&mut self, file: &Path) -> io::Result<()> {
        let signature = Signature::of(&file.metadata()?);
        let age = SystemTime::now().duration_since(signature.time()).unwrap_or_default();
        if self.settling.on(Input::Found(signature, age), Instant::now()) != Action::Read {
            return Ok(());
        }
        match self.read(file)? {
            Reading::Whole(body, signature) => self.judge(file, body, signature),
            Reading::Changed => self.not_shown(Input::Incomplete, Level::WARN, &self.with_what_is_shown(INCOMPLETE), None),
            Reading::NotAFile => {
                self.not_shown(Input::Unusable(signature), Level::INFO, "it is not a regular file; waiting for one", None);
            }
            Reading::TooLarge(bytes) => {
                self.not_shown(Input::Unusable(signature), Level::WARN, "it is larger than --max-part; skipped", Some(bytes));
            }
        }
        Ok(())
    }

    /// Reads a file; of a directory only if it lies inside, links or not.
    fn read(&self, file: &Path) -> io::Result<Reading> {
        let limit = self.publisher.part_bytes();
        if file == self.path { file::read(file, limit) } else { file::read_inside(&self.path.canonicalize()?, file, limit) }
    }

    fn judge(&mut self, file: &Path, body: Bytes, signature: Signature) {
        let media = self.media.clone().unwrap_or_else(|| Media::guess(file, &body));
        let body = format::decompressed(&media, body, self.publisher.part_bytes());
        let seen = format::inspect(&media, &body);
        let evidence = Evidence {
            signature,
            is_complete: !body.is_empty() && seen.completeness != Completeness::Truncated,
            is_checksummed: seen.is_checksummed,
            is_text: media.essence() == "text/plain",
        };
        if !evidence.is_complete {
            let (level, what) = match seen.unlike {
                _ if body.is_empty() => (Level::INFO, "it is empty".to_owned()),
                Some(name) => (Level::WARN, format!("it does not look like {name}")),
                None => (Level::WARN, INCOMPLETE.to_owned()),
            };
            return self.not_shown(Input::Body(evidence), level, &self.with_what_is_shown(&what), None);
        }
        if self.settling.on(Input::Body(evidence), Instant::now()) == Action::Publish {
            // The first file may have been there for long.
            let time = if self.settling.has_published() { SystemTime::now() } else { signature.time().min(SystemTime::now()) };
            self.publish(Part { media, body, time, class: seen.class }, file);
        }
    }

    fn publish(&mut self, part: Part, file: &Path) {
        let (bytes, media) = (part.body.len(), part.media.clone());
        match self.publisher.publish(part) {
            Ok(()) => {
                self.settling.on(Input::Published, Instant::now());
                self.log.shown(self.publisher.name(), file, true);
                debug!(feed = self.publisher.name(), file = %file.display(), %media, bytes, "pushed");
            }
            Err(Refused::Same) => self.log.shown(self.publisher.name(), file, false),
            Err(why) => self.say(Level::WARN, &format!("not pushed: {why}"), None),
        }
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
