//! What the log says about one watched path: each problem once, however often it is found, and after a warning that the file is
//! shown again. It decides nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Level, info, warn};

/// After this time the log may say the same again.
const REPEAT: Duration = Duration::from_secs(60);

/// What the log was told.
#[derive(Debug, Default)]
pub(super) struct PathLog {
    last: Option<(String, Instant)>,
    /// The file that there was a warning of, and nothing of it was shown since.
    warned: Option<PathBuf>,
}

impl PathLog {
    /// Says what is wrong with a file, once; with its size in bytes, which may differ each time, once a minute.
    pub(super) fn say(&mut self, feed: &str, file: &Path, level: Level, what: &str, bytes: Option<u64>) {
        let is_repeated = |(last, at): &(String, Instant)| last == what && (bytes.is_none() || at.elapsed() < REPEAT);
        if self.last.as_ref().is_some_and(is_repeated) {
            return;
        }
        let path = file.display();
        if level == Level::WARN {
            warn!(feed, %path, bytes, "{what}");
            self.warned = Some(file.to_owned());
        } else {
            info!(feed, %path, "{what}");
        }
        self.last = Some((what.to_owned(), Instant::now()));
    }

    /// After a warning, says that the file is shown all the same. `is_new`: it was not shown before.
    pub(super) fn shown(&mut self, feed: &str, file: &Path, is_new: bool) {
        if self.warned.take_if(|warned| warned == file).is_some() {
            info!(feed, path = %file.display(), "it is whole now, and shown");
        }
        if is_new {
            // A problem that comes back after each part is logged once a minute.
            self.last.take_if(|(_, at)| at.elapsed() >= REPEAT);
        }
    }
}

/// Says that there is no such file, and what else may have been meant.
pub(super) fn missing(path: &Path) -> String {
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
