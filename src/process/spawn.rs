//! How a command is started: by a guard that gets its streams and its order. It does not know what happens to it then.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
    sync::OnceLock,
    time::Duration,
};

use super::{
    order::GuardOrder,
    role::{GUARD, this_program},
    running::Running,
};

/// Variables of a service manager, which are about mxr: sockets that it passed, where to report, a watchdog.
const OF_SERVICE: [&str; 7] =
    ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "MAINPID"];
/// What mxr's own variables begin with, secrets among them.
const OWN: &str = "MXR_";

/// The number of files that programs which mxr starts may have open.
static OPEN_FILES: OnceLock<u64> = OnceLock::new();

/// Keeps this soft limit of open files for commands. To be called before mxr raises its own.
pub fn keep_file_limit(count: u64) {
    let _ = OPEN_FILES.set(count);
}

/// A command to start.
#[derive(Debug)]
pub struct Spawn {
    /// The program and its arguments, as they are: no shell reads them.
    pub command: Vec<OsString>,
    /// Its standard streams.
    pub streams: Streams,
    /// Variables for it, beside those of mxr's own environment that are not about mxr.
    pub env: Vec<(OsString, OsString)>,
    /// Variables of mxr's environment that it does not get.
    pub without: Vec<OsString>,
    /// The time between SIGTERM and SIGKILL.
    pub kill_after: Duration,
}

/// The standard streams of a command. It sees no other descriptor.
#[derive(Debug)]
pub enum Streams {
    /// Standard input is `/dev/null`.
    Files {
        /// Its standard output.
        stdout: Stdio,
        /// Its standard error.
        stderr: Stdio,
    },
    /// All three are this terminal, the slave of a pseudo-terminal.
    Terminal(OwnedFd),
}

impl Spawn {
    /// Starts it. It is ended when the result is dropped, and when mxr ends, however that happens.
    ///
    /// # Errors
    /// If the system cannot start a process. A command that cannot be run ends with the status 126 or 127 instead, as in a shell.
    pub fn start(self) -> io::Result<Running> {
        let Self { command, streams, env, without, kill_after } = self;
        let has_terminal = matches!(streams, Streams::Terminal(_));
        let order = GuardOrder { command, kill_after, has_terminal, open_files: OPEN_FILES.get().copied() }.encode()?;
        let (stdout, stderr) = match streams {
            Streams::Files { stdout, stderr } => (stdout, stderr),
            Streams::Terminal(slave) => (slave.try_clone()?.into(), slave.into()),
        };
        let (mut control, passed) = UnixStream::pair()?;
        let mut guard = this_program(GUARD)?;
        let about_mxr = env::vars_os().map(|(name, _)| name).filter(|name| is_about_mxr(&name.to_string_lossy()));
        for name in about_mxr.chain(without) {
            guard.env_remove(name);
        }
        guard.envs(env).stdin(OwnedFd::from(passed)).stdout(stdout).stderr(stderr);
        let guard_process = guard.spawn()?;
        // The streams of the command, which are open in it as well: without this a pipe would never end.
        drop(guard);
        // If the guard is gone already, the thread that reads from it says so.
        let _ = control.write_all(&order);
        Running::of(guard_process, control)
    }
}

fn is_about_mxr(name: &str) -> bool {
    name.starts_with(OWN) || OF_SERVICE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_sees_no_variable_that_is_about_mxr() {
        for name in ["MXR_TOKEN", "MXR_AUTH", "MXR_", "LISTEN_FDS", "NOTIFY_SOCKET"] {
            assert!(is_about_mxr(name), "{name}");
        }
        for name in ["PATH", "HOME", "TERM", "MXRX", "LISTEN"] {
            assert!(!is_about_mxr(name), "{name}");
        }
    }
}
