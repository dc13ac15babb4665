//! What a delivered part costs: mxr's fan-out beside a bare epoll sender, in the same run, with the same bytes and viewers.
//!
//! `cargo bench --bench fanout` prints the table; `benches/README.md` says how to read it. The bench starts itself
//! again as the servers (core 0) and as the load (core 1), so that each has its own CPU clock and memory.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench talks and stops"
)]

mod bare;
mod load;
mod measure;
mod ours;

use std::{process::ExitCode, time::Duration};

/// One workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Bytes of a body.
    pub(crate) size: usize,
    /// Parts a second.
    pub(crate) rate: u32,
    /// Viewers.
    pub(crate) viewers: usize,
    /// How long it is measured.
    pub(crate) time: Duration,
}

impl Work {
    fn args(&self) -> Vec<String> {
        [self.size, self.rate as usize, self.viewers, self.time.as_millis() as usize].map(|n| n.to_string()).to_vec()
    }

    fn parse(args: &[String]) -> Option<Self> {
        let number = |at: usize| args.get(at)?.parse::<u64>().ok();
        Some(Self {
            size: number(0)? as usize,
            rate: number(1)? as u32,
            viewers: number(2)? as usize,
            time: Duration::from_millis(number(3)?),
        })
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let work = Work::parse(args.get(1..).unwrap_or_default());
    match (args.first().map(String::as_str), work) {
        (Some("bare"), Some(work)) => bare::serve(work),
        (Some("ours"), Some(work)) => ours::serve(work),
        (Some("load"), Some(work)) => load::run(work, args.get(5).and_then(|port| port.parse().ok()).unwrap_or(0)),
        (filter, _) => measure::all(filter.unwrap_or_default()),
    }
    ExitCode::SUCCESS
}

/// Keeps this process on one core.
pub(crate) fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        eprintln!("cannot pin to core {core}: {error}");
    }
}

/// A body of this size that holds no boundary.
pub(crate) fn body(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}
