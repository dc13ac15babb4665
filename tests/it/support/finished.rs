//! The result of a run of mxr, with expectations that read as a sentence:
//! `mxr(["serve", "--fps", "5"]).run().usage_error().stderr("no DIR")`.

use std::process::ExitStatus;

pub struct Finished {
    /// The command line, which every failed expectation names.
    pub line: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Finished {
    #[track_caller]
    pub fn success(self) -> Self {
        self.code(0)
    }

    /// Expects a failure without a URL on standard output.
    #[track_caller]
    pub fn failure(self) -> Self {
        assert!(self.stdout.is_empty(), "{} prints {}", self.line, self.stdout.escape_ascii());
        self.code(1)
    }

    /// Expects a usage error without a URL on standard output.
    #[track_caller]
    pub fn usage_error(self) -> Self {
        assert!(self.stdout.is_empty(), "{} prints {}", self.line, self.stdout.escape_ascii());
        self.code(2)
    }

    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{}: {}", self.line, self.stderr);
        self
    }

    /// Expects this on standard error.
    #[track_caller]
    pub fn stderr(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{} does not say {text:?}: {}", self.line, self.stderr);
        self
    }

    #[track_caller]
    pub fn no_stderr(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "{} says {text:?}: {}", self.line, self.stderr);
        self
    }

    /// Expects this on standard output.
    #[track_caller]
    pub fn stdout(self, text: &str) -> Self {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert!(stdout.contains(text), "{} does not print {text:?}: {stdout}", self.line);
        self
    }

    #[track_caller]
    pub fn no_stdout(self, text: &str) -> Self {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert!(!stdout.contains(text), "{} prints {text:?}: {stdout}", self.line);
        self
    }

    /// All of standard output.
    #[track_caller]
    pub fn printed(self) -> String {
        String::from_utf8(self.stdout).expect("text")
    }
}
