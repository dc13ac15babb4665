//! How a failure is reported: `mxr: cannot …: cause`, a `hint:` where one helps, and an exit code.
//! It knows nothing of sources, feeds or HTTP.

use std::fmt;

use crate::escape::Escaped;

/// The exit codes of the program, as the man page lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The work is done, or SIGTERM or the first Ctrl-C stopped it.
    Clean = 0,
    /// Something could not be done; the message says what. `mxr doctor`: something breaks a reader.
    Failure = 1,
    /// The command line is invalid (clap exits with the same code), or the file of `mxr up`.
    Usage = 2,
    /// `mxr doctor` could not look.
    NotLooked = 3,
    /// A second Ctrl-C: 128 + SIGINT, as in shells.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// A failure that stops the program.
#[derive(Debug)]
pub struct Error {
    what: String,
    cause: String,
    hint: Option<String>,
    code: ExitCode,
    /// Further failures that were found with it.
    also: Vec<Error>,
}

/// A result whose error stops the program.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// `what` completes the sentence "cannot …"; `cause` says why.
    pub fn new(what: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self { what: what.into(), cause: cause.to_string(), hint: None, code: ExitCode::Failure, also: Vec::new() }
    }

    /// A mistake on the command line: the same message, exit code 2.
    pub fn usage(what: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self { code: ExitCode::Usage, ..Self::new(what, cause) }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a failure that was found with it.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.also.push(other);
        self
    }

    /// The same with every text changed.
    #[must_use]
    pub fn map(self, change: &dyn Fn(&str) -> String) -> Self {
        let Self { what, cause, hint, code, also } = self;
        let also = also.into_iter().map(|error| error.map(change)).collect();
        Self { what: change(&what), cause: change(&cause), hint: hint.as_deref().map(change), code, also }
    }

    /// What could not be done, and why, in one sentence without "cannot".
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.what, self.cause)
    }

    /// What the user can do about it.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The exit code of this failure.
    pub fn code(&self) -> ExitCode {
        self.code
    }
}

/// On two lines if there is a hint; with `{:#}` on one, for the log.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mxr: cannot {}: {}", Escaped(&self.what), Escaped(&self.cause))?;
        let next = if f.alternate() { "; " } else { "\n" };
        if let Some(hint) = &self.hint {
            write!(f, "{next}hint: {}", Escaped(hint))?;
        }
        self.also.iter().try_for_each(|error| {
            f.write_str(next)?;
            error.fmt(f)
        })
    }
}

impl std::error::Error for Error {}
