//! The settings of a command as a source. It knows no process.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use crate::source::framing::FramingSettings;

/// The settings of a command as a source.
#[derive(Debug, Clone)]
pub struct ExecSettings {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// When it runs, and what of its output is a part.
    pub mode: ExecMode,
    /// Where its messages go.
    pub stderr: CommandMessages,
    /// Whether it sees a terminal.
    pub has_terminal: bool,
    /// The time for which it runs after the last reader; `None`: it always runs.
    pub linger: Option<Duration>,
    /// The time between the request to end and the kill.
    pub kill_after: Duration,
}

/// When a command runs, and what of its output is a part.
#[derive(Debug, Clone)]
pub enum ExecMode {
    /// It runs until it ends of itself; its output is a stream.
    Streaming {
        /// How the stream is split.
        framing: FramingSettings,
        /// What is done when it ends.
        restart: Restart,
    },
    /// It runs again and again; the output of each run is one part.
    Periodic {
        /// When a run begins.
        trigger: RunTrigger,
        /// The file that is the part, in place of the output.
        file: Option<PathBuf>,
        /// The time after which a run is ended.
        timeout: Option<Duration>,
    },
}

/// When a run begins, beside the first one.
#[derive(Debug, Clone)]
pub enum RunTrigger {
    /// After this time from the start of the one before.
    Every(Duration),
    /// When one of these files, or a file in these directories, has changed and is whole.
    When(Vec<PathBuf>),
}

/// What is done when a command ends of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// The feed ends.
    No,
    /// It is started again unless its exit status is 0.
    OnFailure,
    /// It is started again.
    Always,
}

impl Restart {
    /// Whether it is started again after such an end.
    pub(super) fn covers(self, is_success: bool) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure => !is_success,
            Self::Always => true,
        }
    }
}

/// Where the standard error of a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandMessages {
    /// To mxr's own.
    Inherit,
    /// Into its output.
    Merge,
    /// Into a feed of lines beside that of its output.
    Feed,
}
