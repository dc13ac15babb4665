//! Runs the servers in turn under the same load, reads their CPU clocks and memory, prints the table.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::Work;

/// Rounds a row; each runs both servers, one after the other.
const ROUNDS: usize = 3;

#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Microseconds of CPU a delivered part.
    cost: f64,
    /// Delivered parts, of those that were published for all viewers.
    delivered: f64,
    p50: u64,
    p99: u64,
    /// KiB of the server's memory a viewer, beyond what it had without.
    memory: f64,
}

/// Every row whose name contains `filter`.
pub(crate) fn all(filter: &str) {
    println!("| viewers | part | server | µs CPU a part | ratio | delivered | p50 ms | p99 ms | KiB a viewer |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (size, rate) in [(100_000, 30), (10_000, 30), (1_000, 100)] {
        for viewers in [1, 10, 100, 1_000] {
            let work = Work { size, rate, viewers, time: Duration::from_secs(4) };
            let name = format!("{viewers} x {} KB at {rate}/s", size / 1000);
            if name.contains(filter) {
                row(&name, work);
            }
        }
    }
}

fn row(name: &str, work: Work) {
    let rounds: Vec<[Figures; 2]> = (0..ROUNDS).map(|_| ["bare", "ours"].map(|server| figures(server, work))).collect();
    let (viewers, part) = name.split_once(" x ").unwrap_or((name, ""));
    for (index, server) in ["bare `send`", "mxr"].into_iter().enumerate() {
        let median = |value: fn(&Figures) -> f64| median(rounds.iter().map(|round| value(&round[index])).collect());
        let ratio = median_of(&rounds, |round| round[index].cost / round[0].cost);
        println!(
            "| {viewers} | {part} | {server} | {:.2} | {ratio:.2} | {:.1} % | {:.2} | {:.2} | {:.1} |",
            median(|f| f.cost),
            median(|f| f.delivered * 100.0),
            median(|f| f.p50 as f64 / 1e3),
            median(|f| f.p99 as f64 / 1e3),
            median(|f| f.memory),
        );
    }
}

fn median_of(rounds: &[[Figures; 2]], value: impl Fn(&[Figures; 2]) -> f64) -> f64 {
    median(rounds.iter().map(value).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn figures(server: &str, work: Work) -> Figures {
    let (mut server, mut output) = start(server, work, None);
    let port = line(&mut output);
    let memory_before = memory(server.id());
    let (mut load, mut output) = start("load", work, Some(port.trim()));
    line(&mut output);
    let memory_after = memory(server.id());
    let before = cpu(server.id());
    load.stdin.as_mut().and_then(|stdin| stdin.write_all(b"go\n").ok());
    let result = line(&mut output);
    let spent = cpu(server.id()) - before;
    let _ = (load.kill(), load.wait(), server.kill(), server.wait());
    let numbers: Vec<u64> = result.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [bytes, micros, _, p50, p99] = numbers[..] else { panic!("the load said {result:?}") };
    let parts = bytes as f64 / work.size as f64;
    let published = micros as f64 / 1e6 * f64::from(work.rate) * work.viewers as f64;
    Figures {
        cost: spent.as_secs_f64() * 1e6 / parts,
        delivered: parts / published,
        p50,
        p99,
        memory: (memory_after - memory_before) as f64 / work.viewers as f64,
    }
}

fn start(role: &str, work: Work, port: Option<&str>) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .arg(role)
        .args(work.args())
        .args(port)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let output = BufReader::new(child.stdout.take().expect("output"));
    (child, output)
}

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    line
}

/// User and system time of a process, to 10 ms.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: u64 = fields[11..13].iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Resident memory in KiB.
fn memory(pid: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
