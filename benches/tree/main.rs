//! A tree of relays on machines of its own (network namespaces, with a link for each pair that talks): what a hop adds and costs beside
//! a bare relay, and whether a line is lost or repeated where links are cut.
//!
//! `cargo bench --bench tree` runs all of it, as root; a word after `--` selects one: `lines`, `pictures`, `cuts`, `crowd`.
//! `benches/README.md`
//! explains the results. The bench starts itself again as sources, viewers and the bare relay, and `mxr` as origin and edges.
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
mod crowd;
mod cuts;
mod hop;
mod machines;
mod network;
mod parts;
mod probe;
#[path = "../fanout/process.rs"]
#[allow(dead_code, reason = "the other bench uses the rest")]
mod process;
mod source;
mod viewers;
mod viewing;

fn main() {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |at: usize| args[at].parse().expect("a number");
    match args.first().map_or("", String::as_str) {
        "source" => source::run(&args[1], number(2)),
        "bare" => bare::run(&args[1], &args[2]),
        "viewers" => viewers::run(&args[1], &args[2], number(3) as usize),
        "probe" => probe::run(&args[1], &args[2..]),
        "lines" => hop::run("lines", 1_000),
        "pictures" => hop::run("pictures", 30),
        "cuts" => cuts::run(),
        "crowd" => crowd::run(),
        _ => {
            hop::run("lines", 1_000);
            hop::run("pictures", 30);
            cuts::run();
            crowd::run();
        }
    }
}
