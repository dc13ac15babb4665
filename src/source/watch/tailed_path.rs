//! One watched path that is a log: which events mean that it changed, or leads elsewhere. `tailed_file` reads it.

use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::{resolve::ResolvedPath, tailed_file::TailedFile};
use crate::source::fs_events::{Change, EventBatch};

/// A log among the watched paths.
#[derive(Debug)]
pub(super) struct TailedPath {
    path: PathBuf,
    resolved: ResolvedPath,
    file: TailedFile,
}

impl TailedPath {
    /// A log at this absolute path.
    pub(super) fn new(path: &Path, file: TailedFile) -> Self {
        Self { resolved: ResolvedPath::of(path), path: path.to_owned(), file }
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

    /// Takes the events, of which those of `paths` affect it; tells whether the path leads elsewhere since.
    pub(super) fn apply(&mut self, batch: &EventBatch, paths: &[&Path]) -> bool {
        if !batch.lost && paths.is_empty() {
            return false;
        }
        self.file.apply(batch);
        // An append to the file itself leads nowhere else.
        let may_lead_elsewhere = |path: &&Path| *path != self.resolved.target || batch.paths[*path].change == Change::Moved;
        (batch.lost || paths.iter().any(may_lead_elsewhere)) && self.resolve()
    }

    /// When to look at it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.file.due()
    }

    /// Has it looked at without an event.
    pub(super) fn check(&mut self) {
        self.file.check();
    }

    /// Looks at it.
    pub(super) fn look_if_due(&mut self) {
        self.file.look();
    }

    /// Leaves it until it changes again, after a bug.
    pub(super) fn skip(&mut self) {
        self.file.skip();
    }
}
