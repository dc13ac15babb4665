//! Runs one server under one load and reads its CPU clock and its memory.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    Work,
    peers::{self, Peer},
};

/// A server of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Bare,
    Ours,
    Peer(Peer),
}

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare `send`",
            Self::Ours => "mxr",
            Self::Peer(peer) => peer.name(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Microseconds of CPU a delivered part.
    pub(crate) cost: f64,
    /// Delivered parts, of those that were published for all viewers.
    pub(crate) delivered: f64,
    /// Microseconds from publishing to the last byte.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// KiB of the server's memory a viewer, beyond what it had without.
    pub(crate) memory: f64,
}

/// A program of ours that was started, with its first line of output: the port. Dropping it kills it.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) output: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// This bench again, in another role.
    pub(crate) fn role(role: &str, work: Work, args: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command.arg(role).args(work.args()).args(args);
        Self::start(&mut command)
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start");
        let output = BufReader::new(child.stdout.take().expect("output"));
        Self { child, output }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    /// The words of its next line that are numbers.
    pub(crate) fn numbers(&mut self) -> Vec<f64> {
        self.line().split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }

    pub(crate) fn go(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("its input is ours");
        stdin.write_all(b"go\n").expect("it listens");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

pub(crate) fn figures(server: Server, work: Work) -> Figures {
    match server {
        Server::Bare | Server::Ours => {
            let role = if server == Server::Bare { "bare" } else { "ours" };
            let mut server = Running::role(role, work, &[]);
            let port = server.line();
            under_load(work, &port, "/stream", &[server.child.id()])
        }
        Server::Peer(peer) => {
            let running = peers::start(peer, work);
            under_load(work, &running.port.to_string(), running.target, &running.processes())
        }
    }
}

fn under_load(work: Work, port: &str, target: &str, servers: &[u32]) -> Figures {
    let memory_before: i64 = servers.iter().copied().map(memory).sum();
    let mut load = Running::role("load", work, &[port, target]);
    load.line();
    let memory_after: i64 = servers.iter().copied().map(memory).sum();
    let before: Duration = servers.iter().copied().map(cpu).sum();
    load.go();
    let said = load.numbers();
    let spent = servers.iter().copied().map(cpu).sum::<Duration>() - before;
    let [parts, micros, p50, p99] = said[..] else { panic!("the load said {said:?}") };
    let published = micros / 1e6 * f64::from(work.rate) * work.viewers as f64;
    Figures {
        cost: spent.as_secs_f64() * 1e6 / parts.max(1.0),
        delivered: parts / published,
        p50,
        p99,
        memory: (memory_after - memory_before) as f64 / work.viewers as f64,
    }
}

/// What the threads of a process have run, to the nanosecond (`schedstat`; `/proc/PID/stat` ticks in 10 ms).
pub(crate) fn cpu(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    Duration::from_nanos(stats.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok()).sum())
}

/// Resident memory in KiB.
pub(crate) fn memory(pid: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
