//! What a delivered part costs: mxr's fan-out beside a bare epoll sender and beside other servers, in the same run, with the
//! same bytes and viewers; what a crowd costs; how old the picture of a slow viewer is.
//!
//! `cargo bench --bench fanout` runs all of it; a word behind `--` picks: `table` (or a part of a row's name, such as
//! `"1000 x"`), `crowd`, `slow`, `link`. `benches/README.md` says how to read it. The bench starts itself again as the
//! servers (core 0) and as the load (core 1), so that each has its own CPU clock and memory.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench talks and stops"
)]

mod bare;
mod crowd;
mod load;
mod measure;
mod ours;
mod peers;
mod plot;
mod slow;
mod stamp;
mod table;

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
    /// mxr's fan-out threads.
    pub(crate) threads: usize,
}

impl Work {
    fn args(&self) -> Vec<String> {
        [self.size, self.rate as usize, self.viewers, self.time.as_millis() as usize, self.threads].map(|n| n.to_string()).to_vec()
    }

    fn parse(args: &[String]) -> Option<Self> {
        let number = |at: usize| args.get(at)?.parse::<u64>().ok();
        Some(Self {
            size: number(0)? as usize,
            rate: number(1)? as u32,
            viewers: number(2)? as usize,
            time: Duration::from_millis(number(3)?),
            threads: number(4)? as usize,
        })
    }

    /// The time between two parts.
    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.rate
    }

    /// Small parts are lines of a log, of which each counts; large ones are pictures.
    fn is_text(&self) -> bool {
        self.size <= 1000
    }
}

fn main() -> ExitCode {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let work = Work::parse(args.get(1..).unwrap_or_default());
    match (args.first().map_or("", String::as_str), work) {
        ("bare", Some(work)) => bare::serve(work),
        ("ours", Some(work)) => ours::serve(work),
        ("load", Some(work)) => load::run(work, args[6].parse().expect("a port"), &args[7]),
        ("slow", Some(work)) => slow::read(args[6].parse().expect("an address"), work),
        ("crowd", _) => crowd::run(),
        ("slow", _) => slow::run(),
        ("link", _) => slow::run_over_a_link(),
        ("table", _) => table::run(""),
        ("", _) => {
            table::run("");
            crowd::run();
            slow::run();
            slow::run_over_a_link();
        }
        (filter, _) => table::run(filter),
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
