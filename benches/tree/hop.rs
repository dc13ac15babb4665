//! What one hop adds and costs: origin, edge and leaf in a row, beside a bare relay of the same origin, all at once.

use std::{thread::sleep, time::Duration};

use crate::{
    machines::{Origin, edge, micros_of, start},
    network::Network,
};

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(10);
/// Viewers at the origin, at each edge, and at the bare relay.
const VIEWERS: usize = 30;

/// One round, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Hop {
    /// p50, p99 and the longest that a part comes later than at the origin: by the bare relay, one edge, two edges.
    later: [[f64; 3]; 3],
    /// CPU of a delivered part: origin, edge, bare.
    cost: [f64; 3],
}

pub(crate) fn run(kind: &str, rate: u32) {
    println!(
        "\n{kind}, {rate} a second, {VIEWERS} viewers at the origin, at each edge and at the bare relay; medians of {ROUNDS} rounds:"
    );
    let Some(rounds) = (0..ROUNDS).map(|_| round(kind, rate)).collect::<Option<Vec<_>>>() else {
        return println!("skipped: no network namespaces here (they need root and ip)");
    };
    println!("| | added p50 ms | p99 ms | longest ms | µs CPU a delivered part |");
    println!("|---|---|---|---|---|");
    for (index, name) in ["bare relay", "mxr, one hop", "mxr, two hops"].into_iter().enumerate() {
        let later = [0, 1, 2].map(|at| median(&rounds, |round| round.later[index][at]) / 1e3);
        let cost = [2, 1].get(index).map_or(String::new(), |at| format!("{:.1}", median(&rounds, |round| round.cost[*at])));
        println!("| {name} | {:.2} | {:.2} | {:.1} | {cost} |", later[0], later[1], later[2]);
    }
    println!("| mxr, the origin | | | | {:.1} |", median(&rounds, |round| round.cost[0]));
    let ratio = |of: fn(&Hop) -> f64| {
        let mut each: Vec<f64> = rounds.iter().map(of).collect();
        each.sort_by(f64::total_cmp);
        format!("{:.2} ({:.2} to {:.2})", each[ROUNDS / 2], each[0], each[ROUNDS - 1])
    };
    println!("one hop to the bare relay, p50: {}", ratio(|round| round.later[1][0] / round.later[0][0]));
    println!("one hop to the bare relay, p99: {}", ratio(|round| round.later[1][1] / round.later[0][1]));
    println!("a part at the edge to one at the origin, CPU: {}", ratio(|round| round.cost[1] / round.cost[0]));
}

fn round(kind: &str, rate: u32) -> Option<Hop> {
    let mut network = Network::new()?;
    for machine in ["origin", "edge", "leaf", "bare", "probe"] {
        network.add(machine);
    }
    let mut link = |near, far| format!("{}:8080", network.link(near, far).address);
    let (to_edge, to_bare, to_leaf) = (link("origin", "edge"), link("origin", "bare"), link("edge", "leaf"));
    let probed = ["origin", "bare", "edge", "leaf"].map(|machine| link(machine, "probe"));
    let origin = Origin::start("origin", kind, rate, 8080);
    let target = if kind == "lines" { "/stream/log" } else { "/stream/cam" };
    let edges = [edge("edge", &[format!("http://{to_edge}{target}")]), edge("leaf", &[format!("http://{to_leaf}{target}")])];
    let bare = start("bare", &["bare", &to_bare, target]);
    let mut words = vec!["probe", target];
    words.extend(probed.iter().map(String::as_str));
    // One that is served first and one that is served last: where a loop has come to when it serves a probe is no part of the hop.
    let first = start("probe", &words);
    let count = VIEWERS.to_string();
    let crowds = ["origin", "edge", "bare"].map(|machine| start(machine, &["viewers", "127.0.0.1:8080", target, &count]));
    let mut probes = [first, start("probe", &words)];
    sleep(Duration::from_secs(1));
    let measured = [&origin.mxr, &edges[0], &bare];
    let before = measured.map(|program| micros_of([program]));
    probes.iter_mut().for_each(|probe| probe.say("go"));
    sleep(TIME);
    probes.iter_mut().for_each(|probe| probe.say("halt"));
    let after = measured.map(|program| micros_of([program]));
    let places = probes.map(|mut probe| {
        probe.say("stop");
        [0; 4].map(|_| probe.numbers())
    });
    drop(crowds);
    // The origin serves the edge, the bare relay and the probes too, the edge the leaf and the probes.
    let served = [4.0, 3.0, 2.0].map(|others| (VIEWERS as f64 + others) * places[0][0][0]);
    let cost = std::array::from_fn(|at| (after[at] - before[at]) / served[at]);
    let later = [1, 2, 3].map(|place| [3, 4, 5].map(|column| (places[0][place][column] + places[1][place][column]) / 2.0));
    Some(Hop { later, cost })
}

fn median(rounds: &[Hop], of: impl Fn(&Hop) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
