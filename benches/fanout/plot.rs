//! Plots the table: the cost of a delivered part against the number of viewers, as `docs/fanout.svg`.

use std::fmt::Write;

use crate::{
    measure::{Row, Server},
    peers::Peer,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fanout.svg");
const SIZES: [usize; 3] = [100_000, 10_000, 1_000];
/// Pixels of one panel, of the gap between two, and of the margins.
const WIDTH: f64 = 230.0;
const HEIGHT: f64 = 210.0;
const GAP: f64 = 70.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
/// Microseconds at the ends of the axis.
const MIN_COST: f64 = 3.0;
const MAX_COST: f64 = 300.0;

pub(crate) fn draw(rows: &[Row]) {
    let mut svg = String::from(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 910 330' font-family='sans-serif' font-size='12'>\n\
         <rect width='910' height='330' fill='#fff'/>\n",
    );
    let mut servers: Vec<Server> = Vec::new();
    for row in rows {
        if !servers.contains(&row.server) {
            servers.push(row.server);
        }
    }
    for (panel, size) in SIZES.into_iter().enumerate() {
        let left = LEFT + panel as f64 * (WIDTH + GAP);
        axes(&mut svg, left, &format!("{} KB a part", size / 1000));
        for server in &servers {
            let points = rows.iter().filter(|row| row.work.size == size && row.server == *server);
            line(&mut svg, left, *server, &points.map(|row| (row.work.viewers as f64, row.figures.cost)).collect::<Vec<_>>());
        }
    }
    for (at, server) in servers.iter().enumerate() {
        let (x, colour) = (LEFT + 150.0 * at as f64, colour(*server));
        let name = server.name();
        let _ = writeln!(svg, "<circle cx='{x}' cy='306' r='5' fill='{colour}'/><text x='{}' y='310'>{name}</text>", x + 10.0);
    }
    svg.push_str("<text x='850' y='310' text-anchor='end' fill='#555'>µs of CPU a part, against viewers</text></svg>\n");
    match std::fs::write(FILE, svg) {
        Ok(()) => println!("\nplotted in docs/fanout.svg"),
        Err(error) => eprintln!("cannot write {FILE}: {error}"),
    }
}

fn colour(server: Server) -> &'static str {
    match server {
        Server::Bare => "#888",
        Server::Ours => "#087",
        Server::Peer(Peer::Nchan) => "#c50",
        Server::Peer(Peer::Aiohttp) => "#85c",
    }
}

/// The position of a point: 1 to 1,000 viewers across, cost upwards, both axes logarithmic.
fn place(left: f64, viewers: f64, cost: f64) -> (f64, f64) {
    let share = (cost.clamp(MIN_COST, MAX_COST) / MIN_COST).log10() / (MAX_COST / MIN_COST).log10();
    (left + viewers.log10() / 3.0 * WIDTH, TOP + (1.0 - share) * HEIGHT)
}

fn axes(svg: &mut String, left: f64, title: &str) {
    let _ = writeln!(svg, "<text x='{}' y='22' text-anchor='middle' font-weight='bold'>{title}</text>", left + WIDTH / 2.0);
    for cost in [3.0, 10.0, 30.0, 100.0, 300.0] {
        let y = place(left, 1.0, cost).1;
        let _ = writeln!(
            svg,
            "<path d='M{left} {y:.1}h{WIDTH}' stroke='#ddd'/><text x='{}' y='{:.1}' text-anchor='end' fill='#555'>{cost} µs</text>",
            left - 6.0,
            y + 4.0
        );
    }
    for viewers in [1.0, 10.0, 100.0, 1000.0] {
        let x = place(left, viewers, MIN_COST).0;
        let _ = writeln!(
            svg,
            "<path d='M{x:.1} {TOP}v{HEIGHT}' stroke='#ddd'/><text x='{x:.1}' y='{}' text-anchor='middle' fill='#555'>{viewers}</text>",
            TOP + HEIGHT + 18.0
        );
    }
}

fn line(svg: &mut String, left: f64, server: Server, points: &[(f64, f64)]) {
    let colour = colour(server);
    let places: Vec<(f64, f64)> = points.iter().map(|(viewers, cost)| place(left, *viewers, *cost)).collect();
    let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(svg, "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>", path.join(" "));
    for (x, y) in &places {
        let _ = writeln!(svg, "<circle cx='{x:.1}' cy='{y:.1}' r='3.5' fill='{colour}'/>");
    }
}
