//! One log as a feed of lines: its last lines first, then what is appended, through rotation and truncation. `tail` knows where
//! each of its files stands; this file decides which of them are read, in which order, and when a line without its end is shown.

use std::{
    collections::{HashSet, VecDeque},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tracing::Level;

use super::{
    log::{PathLog, missing},
    settings::TailSettings,
    tail::{Chunk, Old, OpenLog, Rotated, is_named_after, missed, old},
};
use crate::{
    file,
    source::{
        context::Context,
        framing::Framing,
        fs_events::{Change, EventBatch, PathEvents},
    },
};

/// How long a line may be without its end before it is shown all the same.
const REST: Duration = Duration::from_secs(1);
/// The least time between two looks: lines that come faster are published together.
const PAUSE: Duration = Duration::from_millis(5);
/// Reads of one look, of 64 KiB each: other paths are waiting, too.
const READS: usize = 16;
/// How long a rotated file is read on: its writer goes over to the new one when it is told to.
const LINGER: Duration = Duration::from_secs(3);
/// The same where there are many of them.
const KEEP: Duration = Duration::from_millis(100);
/// Names of rotated files that are remembered, in the order of events.
const MOST_MOVED: usize = 1000;
/// Rotated files that are read on for so long.
const MOST_HELD: usize = 16;

/// A log, by its path.
#[derive(Debug)]
pub(super) struct TailedFile {
    path: PathBuf,
    /// The directory in which its file has to lie.
    root: Option<PathBuf>,
    lines: usize,
    framing: Framing,
    /// Oldest first. The path leads to the last, unless it leads nowhere.
    files: VecDeque<HeldLog>,
    /// The file that the last text came from, by device and inode.
    pushed_from: Option<(u64, u64)>,
    /// When the path was seen to lead to the last of the files.
    seen: Option<SystemTime>,
    /// The files that were rotated away before the first look.
    old: HashSet<Old>,
    /// The names that files got that may have been at the path, in the order of the events.
    moved: Vec<OsString>,
    /// Whether a file is a new one if it was not there at the last look: from the second look on.
    has_looked: bool,
    missing_since: Option<Instant>,
    due: Option<Instant>,
    looked: Option<Instant>,
    /// Whether an event told that it changed, whatever its metadata say.
    is_doubted: bool,
    /// When a line without its end is shown.
    rest: Option<Instant>,
    /// Whether such a line was shown, and its end has yet to come.
    is_line_open: bool,
    log: PathLog,
}

/// A log that is held open.
#[derive(Debug)]
struct HeldLog {
    log: OpenLog,
    /// Since when the path has led to another.
    superseded: Option<Instant>,
}

impl TailedFile {
    /// A log of this path, as a feed of this name; with `root`, of a file in that directory alone. `is_new`: it was made since the
    /// program started, so all of its lines are new.
    pub(super) fn new(
        path: PathBuf,
        root: Option<PathBuf>,
        name: &str,
        settings: &TailSettings,
        is_new: bool,
        context: &Context,
    ) -> Self {
        Self {
            path,
            root,
            lines: settings.lines,
            framing: Framing::of_lines(name, settings.window, context),
            files: VecDeque::new(),
            pushed_from: None,
            seen: None,
            old: HashSet::new(),
            moved: Vec::new(),
            has_looked: is_new,
            missing_since: None,
            due: Some(Instant::now()),
            looked: None,
            is_doubted: true,
            rest: None,
            is_line_open: false,
            log: PathLog::default(),
        }
    }

    /// The name of its feed.
    pub(super) fn feed(&self) -> &str {
        self.framing.name()
    }

    /// How long the path has led nowhere.
    pub(super) fn missing_for(&self) -> Duration {
        self.missing_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// When to look at it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.rest).chain(self.framing.window_due().map(Instant::from_std)).min()
    }

    /// Notes in which order files were moved to names after it. The events of one batch may be such moves alone, and say nothing of
    /// the log itself.
    pub(super) fn note_moves(&mut self, batch: &EventBatch) {
        let name = self.path.file_name().unwrap_or_default();
        let is_moved = |(path, events): &(&PathBuf, &PathEvents)| {
            events.change == Change::Moved && path.file_name().is_some_and(|other| is_named_after(name, other))
        };
        let mut moved: Vec<_> = batch.paths.iter().filter(is_moved).collect();
        moved.sort_by_key(|(_, events)| events.order);
        self.moved.extend(moved.into_iter().filter_map(|(path, _)| path.file_name().map(ToOwned::to_owned)));
        let surplus = self.moved.len().saturating_sub(MOST_MOVED);
        self.moved.drain(..surplus);
    }

    /// Has it looked at soon, since it may have changed.
    pub(super) fn changed(&mut self) {
        self.is_doubted = true;
        let now = Instant::now();
        let soon = self.looked.map_or(now, |looked| now.max(looked + PAUSE));
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// Has it looked at without an event.
    pub(super) fn check(&mut self) {
        self.due.get_or_insert_with(Instant::now);
    }

    /// Looks where the path leads, and reads on.
    pub(super) fn look(&mut self) {
        (self.due, self.looked) = (None, Some(Instant::now()));
        let is_doubted = std::mem::take(&mut self.is_doubted);
        let mut reads = READS;
        if !self.has_looked {
            self.old = old(&self.path);
        }
        let followed = self.follow(&mut reads);
        self.framing.set_time(self.files.back().filter(|_| !self.has_looked).map(|held| held.log.modified()));
        let is_at_end = followed.unwrap_or_else(|error| self.cannot_read(&error)) && self.read(is_doubted, &mut reads);
        if let (false, Some(held), Some(rest)) = (self.has_looked, self.files.back(), &mut self.rest) {
            // It may have rested before anybody looked.
            *rest = rest.checked_sub(held.log.age().min(REST)).unwrap_or(*rest);
        }
        self.has_looked = true;
        self.framing.set_time(None);
        if is_at_end {
            self.release();
            self.show_open_line();
            self.framing.show_window();
        } else {
            (self.due, self.is_doubted) = (Some(Instant::now()), true);
        }
    }

    /// Leaves it until it changes again, after a bug.
    pub(super) fn skip(&mut self) {
        (self.due, self.rest) = (None, None);
        self.say(Level::WARN, "it cannot be shown, because of a bug in mxr");
    }

    /// Opens the file that the path leads to, if that is another. Returns whether it did what it has to; otherwise there was too
    /// much to read before.
    fn follow(&mut self, reads: &mut usize) -> io::Result<bool> {
        let now = file::now();
        let metadata = match self.path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.is_missing();
                return Ok(true);
            }
            metadata => metadata?,
        };
        if self.files.back().is_some_and(|held| held.log.is(&metadata)) {
            (self.seen, self.missing_since) = (Some(now), None);
            return Ok(true);
        }
        if !metadata.is_file() {
            self.say(Level::INFO, "it is not a regular file; waiting for one");
            return Ok(true);
        }
        // The rest of the old file comes before the new one.
        if !self.read(true, reads) {
            return Ok(false);
        }
        match self.open(&self.path) {
            // It was moved on meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.is_missing(),
            log => {
                if let Some(log) = log? {
                    self.take_over(log)?;
                    (self.seen, self.missing_since) = (Some(now), None);
                }
            }
        }
        Ok(true)
    }

    fn open(&self, path: &Path) -> io::Result<Option<OpenLog>> {
        let root = self.root.as_ref().map(|root| root.canonicalize()).transpose()?;
        file::open_regular(root.as_deref(), path)?.map(OpenLog::new).transpose()
    }

    /// Goes over to the file that the path led to just now.
    fn take_over(&mut self, mut log: OpenLog) -> io::Result<()> {
        if !self.has_looked {
            log.skip_to_last_lines(self.lines)?;
        } else if !self.continue_in(&mut log)? {
            self.say_of_next("there is a new file of that name; reading it, too");
            if log.skip_if_old(self.seen, self.lines)? {
                self.say_of_next("the file is large and was there before; beginning with its last lines");
            }
        }
        let (older, has_newer) = self.open_missed(&log);
        self.moved.clear();
        older.into_iter().for_each(|log| self.hold(log));
        self.hold(log);
        if has_newer {
            self.changed();
        }
        Ok(())
    }

    /// Opens the files that have been at the path since the last look and before `next`, which was there just now. Returns also
    /// whether others were found that came after it: those are left to the next look, since a listing of a directory may lack what
    /// is moved meanwhile, and so tells the order only of what was there before.
    fn open_missed(&self, next: &OpenLog) -> (Vec<OpenLog>, bool) {
        let Some(seen) = self.seen.filter(|_| !self.files.is_empty()) else { return (Vec::new(), false) };
        let is_known = |known: Old| self.old.contains(&known) || self.files.iter().any(|held| held.log.identity() == known.0);
        let mut found = (Vec::new(), false);
        // A file that is moved on is found at the next try.
        for _ in 0..3 {
            let mut rotated = missed(&self.path, seen, &self.moved, is_known);
            let place = rotated.iter().position(|(_, identity)| *identity == next.identity());
            let is_sure = place.is_some() || self.path.metadata().is_ok_and(|metadata| next.is(&metadata));
            let has_newer = place.is_some_and(|place| place + 1 < rotated.len());
            rotated.truncate(place.unwrap_or(rotated.len()));
            let open = |(path, identity): &Rotated| self.open(path).ok().flatten().filter(|log| log.identity() == *identity);
            found = (rotated.iter().filter_map(open).collect(), has_newer);
            if is_sure && found.0.len() == rotated.len() {
                break;
            }
        }
        found
    }

    fn hold(&mut self, log: OpenLog) {
        for held in &mut self.files {
            held.superseded.get_or_insert_with(Instant::now);
        }
        self.files.push_back(HeldLog { log, superseded: None });
    }

    /// Whether the file has the text of a deleted one before it, as an editor leaves it, and so is read on where that stands.
    fn continue_in(&mut self, log: &mut OpenLog) -> io::Result<bool> {
        let Some(held) = self.files.back_mut().filter(|held| held.log.is_deleted()) else { return Ok(false) };
        let continues = log.continue_from(&mut held.log)?;
        if continues {
            self.files.pop_back();
            self.pushed_from = Some(log.identity());
        }
        Ok(continues)
    }

    /// Reads on in each file, the older before the newer. Returns whether it came to the end of all.
    fn read(&mut self, is_doubted: bool, reads: &mut usize) -> bool {
        let mut buffer = Vec::new();
        for at in 0..self.files.len() {
            if !is_doubted && !self.files[at].log.has_changed() {
                continue;
            }
            loop {
                match self.files[at].log.read(&mut buffer) {
                    Ok(Chunk::Text(text)) => self.push(at, &text),
                    Ok(Chunk::End) => break,
                    Ok(Chunk::WrittenAnew(is_shorter)) => self.begin_anew(at, is_shorter),
                    Err(error) => {
                        self.cannot_read(&error);
                        break;
                    }
                }
                *reads = reads.saturating_sub(1);
                if *reads == 0 {
                    return false;
                }
            }
        }
        true
    }

    fn push(&mut self, at: usize, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let from = Some(self.files[at].log.identity());
        if std::mem::replace(&mut self.pushed_from, from) != from {
            self.end_line();
        }
        let text = match text {
            // The line that it ends was shown.
            [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] if self.is_line_open => rest,
            text => text,
        };
        self.is_line_open = false;
        self.framing.push(text);
        self.rest = self.framing.has_pending().then(|| Instant::now() + REST);
    }

    fn begin_anew(&mut self, at: usize, is_shorter: bool) {
        self.end_line();
        let what = if is_shorter { "it was truncated" } else { "it was written anew" };
        self.say_of_next(&format!("{what}; reading it from its new beginning"));
        if let Ok(true) = self.files[at].log.skip_if_old(None, self.lines) {
            self.say_of_next("the file is large; beginning with its last lines");
        }
    }

    /// Shows a line that has rested without its end.
    fn show_open_line(&mut self) {
        if self.rest.take_if(|rest| *rest <= Instant::now()).is_some() && self.framing.has_pending() {
            self.framing.end_line();
            self.is_line_open = true;
        }
    }

    fn end_line(&mut self) {
        self.framing.end_line();
        (self.rest, self.is_line_open) = (None, false);
    }

    /// Closes the rotated files that nobody writes to any more, as far as can be told. One that was rotated just now is kept: it is
    /// not to be taken for one that was missed.
    fn release(&mut self) {
        let surplus = self.files.len().saturating_sub(MOST_HELD);
        let mut at = 0;
        self.files.retain(|held| {
            at += 1;
            let time = if at <= surplus { KEEP } else { LINGER };
            held.superseded.is_none_or(|since| since.elapsed() < time)
        });
    }

    fn is_missing(&mut self) {
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        // Between the two steps of a rotation there is no file, either.
        if self.files.is_empty() || since.elapsed() >= REST {
            self.say(Level::INFO, &missing(&self.path));
        }
    }

    fn cannot_read(&mut self, error: &io::Error) -> bool {
        self.say(Level::WARN, &format!("cannot read it: {error}"));
        true
    }

    fn say(&mut self, level: Level, what: &str) {
        self.log.say(self.framing.name(), &self.path, level, what, None);
    }

    /// Says what may happen again at any time: the same once a minute.
    fn say_of_next(&mut self, what: &str) {
        self.log.say(self.framing.name(), &self.path, Level::INFO, what, Some(0));
    }
}
