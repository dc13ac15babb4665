//! The words by which this program starts itself in another role, and its path. It knows none of the roles.

use std::{io, path::PathBuf};

/// The first argument of a guard. Nobody types it.
pub(super) const GUARD: &str = "@guard";
/// The first argument of a launcher.
pub(super) const LAUNCH: &str = "@launch";

/// The path of this program, also after its file was replaced.
pub(super) fn this_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}
