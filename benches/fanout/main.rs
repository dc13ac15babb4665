//! The cost of a delivered part: mxr's fan-out beside a bare epoll sender and other servers, in the same run, with the same bytes and
//! viewers; the cost of 10,000 viewers; the age of the picture of a slow viewer.
//!
//! `cargo bench --bench fanout` runs all of it; a word after `--` selects one: `table` (or a part of a row's name, such as
//! `"1000 x"`), `many`, `slow`, `link`. `benches/README.md` explains the results. The bench starts itself again as the
//! servers (core 0) and as the load (core 1), so that each has its own CPU clock and memory.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench prints its results and panics on failure"
)]

mod bare;
mod load;
mod many;
mod measure;
mod ours;
mod peers;
mod plot;
mod process;
mod slow;
mod stamp;
mod table;
mod work;

use std::process::ExitCode;

use work::Work;

fn main() -> ExitCode {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let work = Work::parse(args.get(1..).unwrap_or_default());
    match (args.first().map_or("", String::as_str), work) {
        ("bare", Some(work)) => bare::serve(work),
        ("ours", Some(work)) => ours::serve(work),
        ("load", Some(work)) => load::run(work, args[6].parse().expect("a port"), &args[7]),
        ("slow", Some(work)) => slow::read(args[6].parse().expect("an address"), work),
        ("many", _) => many::run(),
        ("slow", _) => slow::run(),
        ("link", _) => slow::run_over_a_link(),
        ("table", _) => table::run(""),
        ("", _) => {
            table::run("");
            many::run();
            slow::run();
            slow::run_over_a_link();
        }
        (filter, _) => table::run(filter),
    }
    ExitCode::SUCCESS
}
