//! One process that reads the same feed at several places, so that the time between them is that of what lies between.

use std::collections::HashMap;

use crate::{
    parts::{Part, micros},
    viewing::{Reader, connect, quantile, read_all},
};

/// For each place the parts by number: when they arrived, and when they were made.
struct Arrivals(Vec<HashMap<u64, (u64, u64)>>);

impl Reader for Arrivals {
    fn take(&mut self, place: usize, part: &Part<'_>, is_measured: bool) {
        if is_measured {
            let (number, at) = part.stamp();
            self.0[place].entry(number).or_insert((micros(), at));
        }
    }
}

/// Reads `target` of each server. Prints a line for each, when told to stop: parts, p50 and p99 of their ages, and p50, p99 and the
/// longest of the time after the first server's, in microseconds.
pub(crate) fn run(target: &str, servers: &[String]) {
    let streams = servers.iter().map(|server| connect(server, target)).collect();
    let mut arrivals = Arrivals(vec![HashMap::new(); servers.len()]);
    read_all(streams, &mut arrivals);
    let arrivals = arrivals.0;
    for place in &arrivals {
        let mut ages: Vec<u64> = place.values().map(|(arrived, at)| arrived - at).collect();
        let later = |(number, (arrived, _)): (&u64, &(u64, u64))| Some(*arrived as i64 - arrivals[0].get(number)?.0 as i64);
        let mut later: Vec<i64> = place.iter().filter_map(later).collect();
        let ages = [0.5, 0.99].map(|share| quantile(&mut ages, share));
        let later = [0.5, 0.99, 1.0].map(|share| quantile(&mut later, share));
        println!("{} {} {} {} {} {}", place.len(), ages[0], ages[1], later[0], later[1], later[2]);
    }
}
