//! The logs of a watched directory, each a feed of its own, opened when the log appears and ended when it has been gone for a
//! while. The other files of the directory are not its concern, except that it tells whether there are any.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::DirEntry,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{resolve::ResolvedPath, settings::TailSettings, tailed_file::TailedFile};
use crate::source::{context::Context, fs_events::EventBatch, name_filter::NameFilter};

/// Logs of one directory; there may be millions of files.
const MOST_LOGS: usize = 1000;
/// How long a log may be gone before its feed ends.
const GONE: Duration = Duration::from_secs(60);
/// The time that the logs of one directory may take at a time: other paths are waiting.
const TURN: Duration = Duration::from_millis(5);
/// How often the directory is listed at the most, and how much longer than a listing the pause after it is.
const PAUSE: (Duration, u32) = (Duration::from_millis(200), 50);

/// The logs of a directory.
#[derive(Debug)]
pub(super) struct TailedDir {
    path: PathBuf,
    resolved: ResolvedPath,
    filter: NameFilter,
    /// Selects what is no log, and none that was rotated.
    others: NameFilter,
    settings: Arc<TailSettings>,
    context: Context,
    logs: BTreeMap<OsString, TailedFile>,
    /// The log that is looked at.
    current: Option<OsString>,
    list_due: Option<Instant>,
    /// When the last listing ended, and how long it took.
    listed: Option<(Instant, Duration)>,
    has_others: bool,
    /// Whether the log has told that there are too many logs, and that some lie outside.
    has_told: [bool; 2],
}

impl TailedDir {
    /// The logs of this absolute path, where it is a directory; those that `filter` selects.
    pub(super) fn new(path: &Path, filter: NameFilter, settings: Arc<TailSettings>, context: &Context) -> Self {
        Self {
            resolved: ResolvedPath::of(path),
            path: path.to_owned(),
            others: filter.clone().without(&settings.with_rotated()),
            filter,
            settings,
            context: context.clone(),
            logs: BTreeMap::new(),
            current: None,
            list_due: Some(Instant::now()),
            listed: None,
            has_others: false,
            has_told: [false; 2],
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

    /// Whether there are files that are no logs, as far as was seen.
    pub(super) fn has_others(&self) -> bool {
        self.has_others
    }

    /// Whether there are logs and no other files, as a listing finds; before the first look.
    pub(super) fn is_of_logs_alone(&mut self) -> bool {
        self.find().is_ok_and(|found| !found.is_empty()) && !self.has_others
    }

    /// Resolves it again; tells whether it leads elsewhere now.
    pub(super) fn resolve(&mut self) -> bool {
        let before = std::mem::replace(&mut self.resolved, ResolvedPath::of(&self.path));
        before != self.resolved
    }

    /// When to look at it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.logs.values().filter_map(TailedFile::due).chain(self.list_due()).min()
    }

    fn list_due(&self) -> Option<Instant> {
        let due = self.list_due?;
        let (pause, share) = PAUSE;
        Some(self.listed.map_or(due, |(ended, took)| due.max(ended + pause.max(took * share))))
    }

    /// Notes which files were moved (`TailedFile::note_moves`).
    pub(super) fn note_moves(&mut self, batch: &EventBatch) {
        self.logs.values_mut().for_each(|log| log.note_moves(batch));
    }

    /// Has it looked at without an event.
    pub(super) fn check(&mut self) {
        self.list_due.get_or_insert_with(Instant::now);
        self.logs.values_mut().for_each(TailedFile::check);
    }

    /// Takes the events, of which those of `paths` affect it; tells whether the path leads elsewhere since.
    pub(super) fn apply(&mut self, batch: &EventBatch, paths: &[&Path]) -> bool {
        let mut is_all = batch.lost;
        for path in paths {
            match (path.parent() == Some(&self.resolved.target), path.file_name()) {
                (true, Some(name)) => self.entry_changed(name),
                _ => is_all = true,
            }
        }
        if is_all {
            self.list_due.get_or_insert_with(Instant::now);
            self.logs.values_mut().for_each(TailedFile::changed);
        }
        is_all && self.resolve()
    }

    fn entry_changed(&mut self, name: &OsStr) {
        if let Some(log) = self.logs.get_mut(name) {
            log.changed();
        } else if self.wants(name) || (!self.has_others && self.others.matches(name)) {
            self.list_due.get_or_insert_with(Instant::now);
        }
    }

    /// Whether it selects a log of this name.
    fn wants(&self, name: &OsStr) -> bool {
        self.filter.matches(name) && self.settings.covers(name)
    }

    /// Looks at what is due, the longest due first.
    pub(super) fn look_if_due(&mut self) {
        let start = Instant::now();
        if self.list_due().is_some_and(|due| due <= start) {
            self.list_due = None;
            self.list();
            self.listed = Some((Instant::now(), start.elapsed()));
        }
        while start.elapsed() < TURN {
            let dues = self.logs.iter().filter_map(|(name, log)| Some((log.due()?, name)));
            let Some((_, name)) = dues.min().filter(|(due, _)| *due <= Instant::now()) else { break };
            self.current = Some(name.clone());
            self.look_at_current();
        }
    }

    fn look_at_current(&mut self) {
        if let Some(log) = self.current.as_ref().and_then(|name| self.logs.get_mut(name)) {
            log.look();
        }
    }

    /// Leaves the log that was looked at until it changes again, after a bug.
    pub(super) fn skip(&mut self) {
        if let Some(log) = self.current.as_ref().and_then(|name| self.logs.get_mut(name)) {
            log.skip();
        }
    }

    /// Opens feeds for new logs, and ends those of logs that are gone.
    fn list(&mut self) {
        let opener = &self.context.opener;
        let is_gone = |log: &TailedFile| log.missing_for() >= GONE;
        for log in self.logs.values().filter(|log| is_gone(log)) {
            opener.remove(log.feed());
        }
        self.logs.retain(|_, log| !is_gone(log));
        // A missing directory is waited for.
        let Ok(mut found) = self.find() else { return };
        // The ones that were written to last, if there are too many.
        found.sort_by(|a, b| b.cmp(a));
        let room = MOST_LOGS.saturating_sub(self.logs.len());
        if found.len() > room && !std::mem::replace(&mut self.has_told[0], true) {
            let path = self.path.display();
            warn!(%path, logs = found.len(), "too many logs in the directory; showing the {MOST_LOGS} that were written to last");
        }
        let mut names: Vec<_> = found.into_iter().take(room).map(|(_, name)| name).collect();
        names.sort();
        names.into_iter().for_each(|name| self.open(name));
    }

    /// The logs that have no feed yet, with the times at which they were written to.
    fn find(&mut self) -> io::Result<Vec<(SystemTime, OsString)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)?.filter_map(Result::ok) {
            let name = entry.file_name();
            if !self.filter.matches(&name) || self.logs.contains_key(&name) {
                continue;
            }
            if !self.settings.covers(&name) {
                self.has_others = self.has_others || self.others.matches(&name) && entry.path().is_file();
            } else if let Some(modified) = self.modified_if_inside(&entry) {
                found.push((modified, name));
            }
        }
        Ok(found)
    }

    /// When a file was written to; `None` for what is no regular file, and for links that lead out of the directory.
    fn modified_if_inside(&mut self, entry: &DirEntry) -> Option<SystemTime> {
        let (path, metadata) = (entry.path(), entry.metadata().ok()?);
        if !metadata.is_symlink() {
            return metadata.is_file().then(|| metadata.modified().ok()).flatten();
        }
        let modified = path.metadata().ok().filter(std::fs::Metadata::is_file)?.modified().ok();
        let is_inside = path.canonicalize().ok()?.starts_with(self.path.canonicalize().ok()?);
        if !is_inside && !std::mem::replace(&mut self.has_told[1], true) {
            let path = path.display();
            info!(%path, "logs that are links out of the directory are left out; name them as paths to show them");
        }
        modified.filter(|_| is_inside)
    }

    fn open(&mut self, name: OsString) {
        let (path, root, is_new) = (self.path.join(&name), Some(self.path.clone()), self.listed.is_some());
        let log = TailedFile::new(path, root, &name.to_string_lossy(), &self.settings, is_new, &self.context);
        self.logs.insert(name, log);
    }
}
