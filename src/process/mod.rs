//! Commands as child processes: how one is started, signalled and ended so that nothing of it stays behind. It knows no feed, no
//! part and no request.
//!
//! Between mxr and a command stands a guard: this same program in another role. It ends the command's process group and all that it
//! adopted when it is told to, and when its socket to mxr ends, which it does even if mxr was killed. A third role, the launcher,
//! becomes the command: it makes a session of its own first. So no code has to run between `fork` and `exec`, which would be unsafe.

mod children;
mod exit;
mod group;
mod guard;
mod launch;
mod order;
mod output;
mod program;
mod pty;
mod role;
mod running;
mod spawn;

use std::{env::args_os, process::ExitCode};

use self::role::{GUARD, LAUNCH};
pub use self::{
    exit::Exit,
    output::CommandOutput,
    program::program_exists,
    pty::{keep_line_ends, open_pty, resize},
    running::{Running, end_all, ending_gone},
    spawn::{Spawn, Streams, keep_file_limit},
};

/// Runs as a guard or a launcher, if that is what the arguments of this process say. To be called first in `main`.
pub fn run_role() -> Option<ExitCode> {
    let mut args = args_os().skip(1);
    match args.next()?.to_str()? {
        GUARD => Some(guard::run()),
        LAUNCH => Some(launch::run(args)),
        _ => None,
    }
}
