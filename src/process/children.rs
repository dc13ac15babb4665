//! The children that a guard adopted: what a command left behind by forking twice. It knows no group.

use std::fs;

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid},
};

/// The children of this process but one, or `None` if the system does not tell.
pub(super) fn adopted(leader: Option<Pid>) -> Option<Vec<Pid>> {
    let own = getpid();
    // This process has one thread, whose number is its own.
    let list = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).ok()?;
    let children = list.split_ascii_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?));
    Some(children.filter(|child| Some(*child) != leader).collect())
}

/// Reaps a child if it has ended. Returns whether it lives on.
pub(super) fn lives_on(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    matches!(waitid(WaitId::Pid(child), options), Ok(None))
}

/// Reaps all children that have ended. Returns whether there are others.
pub(super) fn any_lives_on() -> bool {
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Signals a child that has not been reaped, so that its number is its own.
pub(super) fn signal(child: Pid, signal: Signal) {
    let _ = kill_process(child, signal);
}
