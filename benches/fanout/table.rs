//! The table: rows by size of parts and number of viewers, every server in turn, as Markdown; and its plot.

use crate::{
    measure::{Figures, Row, Server, figures},
    peers::Peer,
    plot,
    work::Work,
};

/// Rounds per row; each runs every server, one after the other, since the machine's speed drifts.
pub(crate) const ROUNDS: usize = 3;

/// Every row whose name contains `filter`.
pub(crate) fn run(filter: &str) {
    println!("| viewers | part | server | µs CPU a part | ratio | delivered | p50 ms | p99 ms | p99 ratio | KiB a viewer |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for (size, rate) in [(100_000, 30), (10_000, 30), (1_000, 100)] {
        for viewers in [1, 10, 100, 1_000] {
            let work = Work { size, rate, viewers, time: std::time::Duration::from_secs(4), threads: 1 };
            let what = if work.is_text() { "lines" } else { "pictures" };
            let name = format!("{viewers} x {} KB {what} at {rate}/s", size / 1000);
            if name.contains(filter) {
                rows.extend(measure_row(&name, work));
            }
        }
    }
    if filter.is_empty() {
        plot::draw(&rows);
    }
}

fn measure_row(name: &str, work: Work) -> Vec<Row> {
    let mut servers = vec![Server::Bare, Server::Ours];
    if work.viewers == 1_000 {
        servers.extend(Peer::installed().map(Server::Peer));
    }
    let rounds: Vec<Vec<Figures>> = (0..ROUNDS).map(|_| servers.iter().map(|server| figures(*server, work)).collect()).collect();
    let (viewers, part) = name.split_once(" x ").unwrap_or((name, ""));
    let row = |(index, server): (usize, &Server)| {
        let of = |value: fn(&Figures) -> f64| median(rounds.iter().map(|round| value(&round[index])));
        let ratio = |value: fn(&Figures) -> f64| median(rounds.iter().map(|round| value(&round[index]) / value(&round[0])));
        let figures = Figures {
            cost: of(|f| f.cost),
            delivered: of(|f| f.delivered),
            p50: of(|f| f.p50),
            p99: of(|f| f.p99),
            memory: of(|f| f.memory),
        };
        println!(
            "| {viewers} | {part} | {} | {:.1} | {:.2} | {:.1} % | {:.2} | {:.2} | {:.2} | {:.1} |",
            server.name(),
            figures.cost,
            ratio(|f| f.cost),
            figures.delivered * 100.0,
            figures.p50 / 1e3,
            figures.p99 / 1e3,
            ratio(|f| f.p99),
            figures.memory,
        );
        Row { server: *server, work, figures }
    };
    servers.iter().enumerate().map(row).collect()
}

/// The median of several values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
