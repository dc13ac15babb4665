//! The words by which this program starts itself in another role, and its path. It knows none of the roles.

use std::{
    env::{args_os, current_exe},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::getgid;

/// The first argument of a guard. Nobody types it.
pub(super) const GUARD: &str = "@guard";
/// The first argument of a launcher.
pub(super) const LAUNCH: &str = "@launch";

/// The program of this process, by proc(5).
const SELF: &str = "/proc/self/exe";

/// The group that stands for one that this user namespace does not know; it cannot be set.
const UNKNOWN_GROUP: u32 = 65534;

/// This program in another role.
///
/// # Errors
/// If the system does not tell where it is.
pub(super) fn this_program(role: &str) -> io::Result<Command> {
    let path = path()?;
    let mut command = Command::new(&path);
    if path == Path::new(SELF) {
        command.arg0("mxr");
    }
    let group = getgid().as_raw();
    if cfg!(target_os = "linux") && group != UNKNOWN_GROUP {
        // posix_spawn(3) of glibc, which is used otherwise, has the child ignore signals 32 and 33. The group stays as it is.
        command.gid(group);
    }
    command.arg(role);
    Ok(command)
}

/// The path of this program, also after its file was replaced; without /proc the one by which it was started.
fn path() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") && Path::new(SELF).exists() {
        return Ok(SELF.into());
    }
    current_exe().or_else(|error| args_os().next().map(PathBuf::from).ok_or(error))
}
