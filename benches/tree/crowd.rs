//! Ten thousand viewers of an origin, and of an edge: the memory of each in mxr and in the kernel, and the CPU of a part.

use std::{thread::sleep, time::Duration};

use crate::{
    machines::{Origin, edge, micros_of, start},
    network::Network,
    process::memory,
};

const VIEWERS: usize = 10_000;
/// Lines a second.
const RATE: u32 = 2;
const TIME: Duration = Duration::from_secs(10);

pub(crate) fn run() {
    let Some(mut network) = Network::new() else { return println!("skipped: no network namespaces here (they need root and ip)") };
    println!("\n{VIEWERS} viewers of {RATE} lines a second:");
    network.add("origin");
    network.add("edge");
    let upstream = network.link("origin", "edge").address;
    let origin = Origin::start("origin", "lines", RATE, 8080);
    let edge = edge("edge", &[format!("http://{upstream}:8080/stream/log")]);
    // The edge is warm, as the origin is.
    drop(start("edge", &["viewers", "127.0.0.1:8080", "/stream/log", "1"]));
    // All stay, since the kernel would give the second what it took back from the first.
    let mut crowds = Vec::new();
    for (machine, program) in [("origin", &origin.mxr), ("edge", &edge)] {
        let (resident, kernel) = (memory(program.child.id()), kernel_memory());
        crowds.push(start(machine, &["viewers", "127.0.0.1:8080", "/stream/log", &(VIEWERS - 2).to_string()]));
        sleep(Duration::from_secs(1));
        let (resident, kernel) = (memory(program.child.id()) - resident, kernel_memory() - kernel);
        let before = micros_of([program]);
        sleep(TIME);
        let cost = (micros_of([program]) - before) / (VIEWERS as f64 * f64::from(RATE) * TIME.as_secs_f64());
        println!(
            "{machine}: {:.2} KiB a viewer in mxr, {:.1} KiB in the kernel for both ends of a connection, {cost:.1} µs CPU a part",
            resident as f64 / VIEWERS as f64,
            kernel as f64 / VIEWERS as f64,
        );
    }
}

/// What the kernel holds for its objects (sockets, files, their buffers), in KiB.
fn kernel_memory() -> i64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
