//! `mxr exec`, and the processes that it started: all that have its mark in their environment.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use rustix::process::Signal;

use super::{Mxr, Server, mxr, wait_until};

/// A running `mxr exec`.
pub struct ExecServer {
    pub server: Server,
    mark: String,
}

/// Starts `mxr exec ARGS…` on a free port.
pub fn exec(args: &[&str]) -> ExecServer {
    exec_by(mxr(["exec"]).args(args))
}

/// Starts such a command line on a free port.
pub fn exec_by(mxr: Mxr) -> ExecServer {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let mark = format!("TEST_OF_MXR_MARK={}-{}", std::process::id(), LAST.fetch_add(1, Relaxed));
    let (name, value) = mark.split_once('=').unwrap();
    // At the end of the line options would be the command's.
    let server = mxr.env("MXR_PORT", "0").env(name, value).spawn().listening();
    ExecServer { server, mark }
}

impl ExecServer {
    /// The processes that it started, with their command lines, without guards.
    pub fn commands(&self) -> Vec<(i32, String)> {
        self.processes().into_iter().filter(|(_, line)| !line.starts_with("mxr @")).collect()
    }

    /// The processes that it started, also guards.
    pub fn processes(&self) -> Vec<(i32, String)> {
        marked(&self.mark, self.server.pid())
    }

    /// Waits until nothing is left of what it started.
    #[track_caller]
    pub fn expect_nothing_left_within(&self, deadline: Duration) {
        expect_nothing_left(&self.mark, self.server.pid(), deadline);
    }

    /// Ends it with a signal, and expects that nothing of it is left soon.
    #[track_caller]
    pub fn end_with(self, signal: Signal, deadline: Duration) -> Option<i32> {
        self.server.signal(signal);
        let Self { server, mark } = self;
        let own = server.pid();
        let code = server.finish().status.code();
        expect_nothing_left(&mark, own, deadline);
        code
    }

    /// The numbers of zombies among its children.
    pub fn zombies(&self) -> usize {
        let own = format!("PPid:\t{}", self.server.pid());
        let is_zombie = |status: &String| status.contains("State:\tZ") && status.lines().any(|line| line == own);
        all().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok()).filter(is_zombie).count()
    }
}

#[track_caller]
fn expect_nothing_left(mark: &str, own: u32, deadline: Duration) {
    let is_left = || marked(mark, own);
    wait_until(&format!("nothing is left, among it not {:?}", is_left()), deadline, || is_left().is_empty());
}

fn all() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
}

fn marked(mark: &str, own: u32) -> Vec<(i32, String)> {
    let line = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let is_marked = environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty())?;
        is_marked.then(|| (pid, String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned()))
    };
    all().filter(|pid| i64::from(*pid) != i64::from(own)).filter_map(line).collect()
}
