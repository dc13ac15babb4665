//! Draws the table: cost of a delivered part against the number of viewers, as `docs/fanout.svg`.

use std::fmt::Write;

use crate::{measure::Server, table::Row};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fanout.svg");
const SIZES: [usize; 3] = [100_000, 10_000, 1_000];
/// Pixels of one panel, and of what is around it.
const WIDTH: f64 = 250.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 40.0;

pub(crate) fn draw(rows: &[Row]) {
    let mut svg = String::from(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 880 340' font-family='sans-serif' font-size='12'>\n\
         <rect width='880' height='340' fill='#fff'/>\n",
    );
    for (panel, size) in SIZES.into_iter().enumerate() {
        let left = LEFT + panel as f64 * (WIDTH + 35.0);
        let rows: Vec<&Row> = rows.iter().filter(|row| row.work.size == size).collect();
        axes(&mut svg, left, &format!("{} KB a part", size / 1000));
        let mut servers: Vec<Server> = Vec::new();
        rows.iter().for_each(|row| {
            if !servers.contains(&row.server) {
                servers.push(row.server)
            }
        });
        for server in servers {
            let points = rows.iter().filter(|row| row.server == server);
            line(&mut svg, left, server, &points.map(|row| (row.work.viewers as f64, row.figures.cost)).collect::<Vec<_>>());
        }
    }
    svg.push_str("<text x='440' y='332' text-anchor='middle'>viewers</text></svg>\n");
    match std::fs::write(FILE, svg) {
        Ok(()) => println!("\nplotted in docs/fanout.svg"),
        Err(error) => eprintln!("cannot write {FILE}: {error}"),
    }
}

/// 1 to 1,000 viewers, 1 to 1,000 microseconds, both in powers of ten.
fn place(left: f64, viewers: f64, cost: f64) -> (f64, f64) {
    (left + viewers.log10() / 3.0 * WIDTH, TOP + HEIGHT - cost.clamp(1.0, 1000.0).log10() / 3.0 * HEIGHT)
}

fn axes(svg: &mut String, left: f64, title: &str) {
    let _ = writeln!(svg, "<text x='{}' y='22' text-anchor='middle' font-weight='bold'>{title}</text>", left + WIDTH / 2.0);
    for power in 0..4 {
        let value = 10f64.powi(power);
        let ((x, _), (_, y)) = (place(left, value, 1.0), place(left, 1.0, value));
        let _ = writeln!(
            svg,
            "<path d='M{left} {y}h{WIDTH}M{x} {TOP}v{HEIGHT}' stroke='#ddd'/>\
             <text x='{x}' y='{}' text-anchor='middle' fill='#555'>{value}</text>\
             <text x='{}' y='{}' text-anchor='end' fill='#555'>{value} µs</text>",
            TOP + HEIGHT + 16.0,
            left - 4.0,
            y + 4.0
        );
    }
}

fn line(svg: &mut String, left: f64, server: Server, points: &[(f64, f64)]) {
    let (colour, above) = match server {
        Server::Bare => ("#888", 16.0),
        Server::Ours => ("#0a7", -8.0),
        Server::Peer(_) => ("#c50", -8.0),
    };
    let places: Vec<(f64, f64)> = points.iter().map(|(viewers, cost)| place(left, *viewers, *cost)).collect();
    let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(svg, "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>", path.join(" "));
    for (x, y) in &places {
        let _ = writeln!(svg, "<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{colour}'/>");
    }
    let Some((x, y)) = places.last() else { return };
    let name = server.name();
    let _ = writeln!(svg, "<text x='{:.1}' y='{:.1}' text-anchor='end' fill='{colour}'>{name}</text>", x - 4.0, y + above);
}
