//! The launcher: the process that becomes the command. It makes a session of its own, takes the controlling terminal, and asks to be
//! killed with its guard. It knows nothing of what comes before and after.

use std::{
    ffi::OsString,
    io::{self, Write, stdin},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use rustix::process::{Resource, Rlimit, getppid, getrlimit, ioctl_tiocsctty, setrlimit, setsid};

/// The exit status for a command that does not exist, as of shells.
const NOT_FOUND: u8 = 127;
/// The exit status for one that cannot be run.
const CANNOT_RUN: u8 = 126;

/// Becomes the command: `GUARD TERMINAL OPEN_FILES CMD ARG…`. Returns only if it cannot.
pub(super) fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut number = || args.next()?.to_str()?.parse::<u64>().ok();
    let (guard, has_terminal, open_files) = (number(), number() == Some(1), number().filter(|count| *count > 0));
    let Some(program) = args.next() else { return CANNOT_RUN.into() };
    let error = match prepare(guard, has_terminal) {
        Ok(()) => {
            if let Some(count) = open_files {
                limit_files(count);
            }
            // It also resets SIGPIPE, and unblocks every signal.
            Command::new(&program).args(args).exec()
        }
        Err(error) => error,
    };
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    let cause = if is_missing { "there is no such command".to_owned() } else { error.to_string() };
    let _ = writeln!(io::stderr(), "mxr: cannot run {}: {cause}", program.display());
    if is_missing { NOT_FOUND.into() } else { CANNOT_RUN.into() }
}

fn prepare(guard: Option<u64>, has_terminal: bool) -> io::Result<()> {
    setsid()?;
    if has_terminal {
        ioctl_tiocsctty(stdin())?;
    }
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // If the guard has died before that, the signal never comes.
    let parent = getppid().and_then(|parent| u64::try_from(parent.as_raw_nonzero().get()).ok());
    if parent != guard {
        return Err(io::Error::other("mxr is gone"));
    }
    Ok(())
}

/// mxr raises its own limit; programs that use select(2), or close all descriptors that there may be, get the one from before.
fn limit_files(count: u64) {
    let limits = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: limits.maximum });
}
