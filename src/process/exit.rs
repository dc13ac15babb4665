//! How a command ended, as a line between the guard and mxr, and in words. It knows no process.

use std::fmt;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// A signal of this number ended it.
    Signal(i32),
    /// It was not started, or its guard is gone; the reason, in a few words.
    Unknown(String),
}

impl Exit {
    /// Whether the command says that all went well.
    pub fn is_success(&self) -> bool {
        *self == Self::Status(0)
    }

    /// As the exit status of a shell: 128 and the number of a signal; -1 if it is not known.
    pub fn status(&self) -> i32 {
        match self {
            Self::Status(status) => *status,
            Self::Signal(signal) => 128 + signal,
            Self::Unknown(_) => -1,
        }
    }

    /// As a sentence without its end.
    pub fn to_sentence(&self) -> String {
        match self {
            Self::Status(_) | Self::Signal(_) => format!("the command ended with {self}"),
            Self::Unknown(why) => why.clone(),
        }
    }

    /// As a line from the guard.
    pub(super) fn to_line(&self) -> String {
        match self {
            Self::Status(status) => format!("exited {status}\n"),
            Self::Signal(signal) => format!("signal {signal}\n"),
            Self::Unknown(why) => format!("failed {}\n", why.replace('\n', " ")),
        }
    }

    /// From a line of the guard, without its end.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "exited" => rest.parse().ok().map(Self::Status),
            "signal" => rest.parse().ok().map(Self::Signal),
            "failed" => Some(Self::Unknown(rest.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}")?,
            Self::Signal(signal) => write!(f, "signal {signal}")?,
            Self::Unknown(why) => f.write_str(why)?,
        }
        // The statuses of the launcher and of shells.
        f.write_str(match self {
            Self::Status(126) => " (the command cannot be run)",
            Self::Status(127) => " (command not found)",
            Self::Signal(1) => " (SIGHUP)",
            Self::Signal(2) => " (SIGINT)",
            Self::Signal(6) => " (SIGABRT)",
            Self::Signal(9) => " (SIGKILL)",
            Self::Signal(11) => " (SIGSEGV)",
            Self::Signal(13) => " (SIGPIPE)",
            Self::Signal(15) => " (SIGTERM)",
            _ => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_a_command_ended() {
        for exit in [Exit::Status(0), Exit::Status(255), Exit::Signal(9), Exit::Unknown("out of memory".to_owned())] {
            assert_eq!(Exit::from_line(exit.to_line().trim_end()), Some(exit));
        }
        for wrong in ["", "exited", "exited x", "signal ", "gone 1"] {
            assert_eq!(Exit::from_line(wrong), None, "{wrong:?}");
        }
    }
}
