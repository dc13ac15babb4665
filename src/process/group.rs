//! The process group of a command. It is signalled here and nowhere else, and only while its leader has not been reaped: until then
//! the kernel gives its number to no other group.

use std::io;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpgrp, kill_process, kill_process_group, waitid};

use super::exit::Exit;

/// Signals every process of a group. Numbers that stand for more than one group, and our own group, are refused: they come from calls
/// that failed.
///
/// # Errors
/// `InvalidInput` for such a number, or the system's error.
pub(super) fn signal_group(group: i32, signal: Signal) -> io::Result<()> {
    let other = (group > 1).then(|| Pid::from_raw(group)).flatten().filter(|group| *group != getpgrp());
    let group = other.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(kill_process_group(group, signal)?)
}

/// A command's group, whose leader is a child of this process.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    is_reaped: bool,
}

impl Group {
    /// The group of a child that makes it, or is about to.
    pub(super) fn of(leader: Pid) -> Self {
        Self { leader, is_reaped: false }
    }

    /// The process that makes the group, unless it has been reaped.
    pub(super) fn leader(&self) -> Option<Pid> {
        (!self.is_reaped).then_some(self.leader)
    }

    /// Signals the group, or its leader alone if that has not made the group yet.
    ///
    /// # Errors
    /// `NotFound` after `reap`: the number may belong to others.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let leader = self.leader().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        signal_group(leader.as_raw_nonzero().get(), signal).or_else(|_| Ok(kill_process(leader, signal)?))
    }

    /// How the leader ended, if it has. It stays a child.
    pub(super) fn exit(&self) -> Option<Exit> {
        let leader = self.leader()?;
        wait(WaitId::Pid(leader), WaitIdOptions::NOWAIT).map(|status| exit_of(&status))
    }

    /// Reaps the leader, which has ended; from then on the group is not signalled.
    pub(super) fn reap(&mut self) {
        if let Some(leader) = self.leader() {
            let _ = wait(WaitId::Pid(leader), WaitIdOptions::empty());
            self.is_reaped = true;
        }
    }
}

/// The status of a child that has ended.
fn wait(id: WaitId<'_>, options: WaitIdOptions) -> Option<WaitIdStatus> {
    waitid(id, options | WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok().flatten()
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    let signal = status.terminating_signal().map(Exit::Signal);
    signal.unwrap_or_else(|| Exit::Status(status.exit_status().unwrap_or(-1)))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt, process::Command};

    use rustix::process::test_kill_process_group;

    use super::*;

    #[test]
    fn a_number_that_stands_for_several_groups_or_for_our_own_is_not_signalled() {
        let own = getpgrp().as_raw_nonzero().get();
        for group in [i32::MIN, -own, -1, 0, 1, own] {
            let result = signal_group(group, Signal::CONT);
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{group}");
        }
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "the group reaps it")]
    fn a_group_is_signalled_until_its_leader_is_reaped_and_not_afterwards() {
        let child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let mut group = Group::of(Pid::from_child(&child));
        assert_eq!(group.exit(), None);
        group.signal(Signal::TERM).unwrap();
        let exit = std::iter::repeat_with(|| group.exit()).flatten().next();
        assert_eq!(exit, Some(Exit::Signal(15)));
        assert!(test_kill_process_group(Pid::from_child(&child)).is_ok(), "the number is still its own");
        group.reap();
        assert_eq!(group.signal(Signal::TERM).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "it ends with the test")]
    fn a_leader_that_has_not_made_its_group_yet_is_signalled_itself() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let group = Group::of(Pid::from_child(&child));
        group.signal(Signal::KILL).unwrap();
        assert_eq!(std::iter::repeat_with(|| group.exit()).flatten().next(), Some(Exit::Signal(9)));
    }
}
