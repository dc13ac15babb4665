//! A tree of depth two whose links are cut and healed: whether each viewer of each leaf has every line once and in order, how long it
//! takes until a leaf has what it missed, and what each machine costs meanwhile.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    machines::{Origin, edge, micros_of, start},
    network::{Link, Network},
    process::{Running, memory},
};

const LINES: u32 = 1_000;
const PICTURES: u32 = 30;
/// Edges of the origin, and leaves of an edge.
const BRANCHES: usize = 3;
/// Viewers of a leaf; each reads both feeds.
const VIEWERS: usize = 30;
/// The time without cuts, in which ages and costs are measured.
const CALM: Duration = Duration::from_secs(20);
/// How a link is cut, in turn: for this many seconds, or by a reset of its connections (0). The last one is longer than
/// `--upstream-timeout`.
const CUTS: [u64; 5] = [1, 0, 4, 0, 14];
/// How often a link is cut.
const TIMES: usize = 20;
/// How long a leaf may take to have what it missed: the longest pause between two attempts, and some.
const LONGEST: Duration = Duration::from_secs(60);

struct Tree {
    origins: [Origin; 2],
    edges: Vec<Running>,
    leaves: Vec<Running>,
    /// A viewer of the origin's lines, the yardstick.
    reference: Running,
    crowds: Vec<Running>,
    /// The links of the edges, then those of the leaves, in their order.
    links: Vec<Link>,
    _network: Network,
}

pub(crate) fn run() {
    println!(
        "\norigin → {BRANCHES} edges → {BRANCHES} edges each → {VIEWERS} viewers each of {LINES} lines and {PICTURES} pictures a second:"
    );
    let Some(mut tree) = Tree::grow() else { return println!("skipped: no network namespaces here (they need root and ip)") };
    tree.calm();
    let mut is_right = true;
    println!("| cut | link | until the slowest leaf behind it has all, s |");
    println!("|---|---|---|");
    for turn in 0..TIMES {
        // 7 has no divisor with the number of links, so that each has its turn.
        let (index, seconds) = (turn * 7 % tree.links.len(), CUTS[turn % CUTS.len()]);
        let (how, took) = tree.cut(index, seconds);
        let link = if index < BRANCHES { "origin to edge" } else { "edge to leaf" };
        let took = took.map_or("never".to_owned(), |took| format!("{:.2}", took.as_secs_f64()));
        is_right &= took != "never";
        println!("| {how} | {link} | {took} |");
    }
    is_right &= tree.end();
    println!("{}", if is_right { "every viewer has every line once and in order" } else { "FAILED" });
    assert!(is_right);
}

impl Tree {
    fn grow() -> Option<Self> {
        let mut network = Network::new()?;
        network.add("origin");
        let origins = [Origin::start("origin", "lines", LINES, 8080), Origin::start("origin", "pictures", PICTURES, 8081)];
        let (mut edges, mut leaves, mut crowds) = (Vec::new(), Vec::new(), Vec::new());
        let (mut links, mut leaf_links) = (Vec::new(), Vec::new());
        for branch in 0..BRANCHES {
            let machine = format!("edge{branch}");
            network.add(&machine);
            let link = network.link("origin", &machine);
            let url = |port, feed| format!("http://{}:{port}/stream/{feed}", link.address);
            edges.push(edge(&machine, &[url(8080, "log"), url(8081, "cam")]));
            links.push(link);
            for leaf in 0..BRANCHES {
                let leaf = format!("leaf{branch}{leaf}");
                network.add(&leaf);
                let link = network.link(&machine, &leaf);
                leaves.push(edge(&leaf, &[format!("http://{}:8080/", link.address)]));
                leaf_links.push(link);
                crowds.push(start(&leaf, &["viewers", "127.0.0.1:8080", "/streams", &VIEWERS.to_string()]));
            }
        }
        links.extend(leaf_links);
        let reference = start("origin", &["viewers", "127.0.0.1:8080", "/stream/log", "1"]);
        Some(Self { origins, edges, leaves, reference, crowds, links, _network: network })
    }

    /// Measures ages and costs while nothing is cut.
    fn calm(&mut self) {
        sleep(Duration::from_secs(3));
        let origins = || self.origins.iter().map(|origin| &origin.mxr);
        let micros = || [micros_of(origins()), micros_of(&self.edges), micros_of(&self.leaves)];
        let before = micros();
        self.crowds.iter_mut().chain([&mut self.reference]).for_each(|crowd| crowd.say("go"));
        sleep(CALM);
        let origins = || self.origins.iter().map(|origin| &origin.mxr);
        let after = [micros_of(origins()), micros_of(&self.edges), micros_of(&self.leaves)];
        self.crowds.iter_mut().chain([&mut self.reference]).for_each(|crowd| crowd.say("halt"));
        let parts = f64::from(LINES + PICTURES) * CALM.as_secs_f64();
        let readers = [BRANCHES, BRANCHES * BRANCHES, BRANCHES * BRANCHES * VIEWERS];
        println!("| | programs | readers | µs CPU a delivered part | share of a core, all | MB resident, each |");
        println!("|---|---|---|---|---|---|");
        for (at, name) in ["origin", "edges", "leaves"].into_iter().enumerate() {
            let programs: Vec<&Running> = match at {
                0 => self.origins.iter().map(|origin| &origin.mxr).collect(),
                1 => self.edges.iter().collect(),
                _ => self.leaves.iter().collect(),
            };
            let spent = after[at] - before[at];
            let resident =
                programs.iter().map(|program| memory(program.child.id())).sum::<i64>() as f64 / programs.len() as f64 / 1e3;
            println!(
                "| {name} | {} | {} | {:.1} | {:.2} | {resident:.1} |",
                programs.len(),
                readers[at],
                spent / parts / readers[at] as f64,
                spent / 1e6 / CALM.as_secs_f64(),
            );
        }
    }

    /// Cuts a link, and returns how, and the time from its healing until all leaves behind it have what was sent by then.
    fn cut(&mut self, index: usize, seconds: u64) -> (String, Option<Duration>) {
        let link = self.links[index].clone();
        let how = if seconds == 0 {
            if link.reset() { "reset".to_owned() } else { "no reset here".to_owned() }
        } else {
            link.set("down");
            sleep(Duration::from_secs(seconds));
            link.set("up");
            format!("{seconds} s")
        };
        let behind = match index.checked_sub(BRANCHES) {
            None => index * BRANCHES..(index + 1) * BRANCHES,
            Some(leaf) => leaf..leaf + 1,
        };
        let took = self.wait_for(behind);
        sleep(Duration::from_millis(500));
        (how, took)
    }

    /// The time until these leaves' viewers all have what the origin's viewer has now.
    fn wait_for(&mut self, leaves: std::ops::Range<usize>) -> Option<Duration> {
        let (begin, wanted) = (Instant::now(), progress(&mut self.reference));
        while self.crowds[leaves.clone()].iter_mut().any(|crowd| progress(crowd) < wanted) {
            if begin.elapsed() > LONGEST {
                return None;
            }
            sleep(Duration::from_millis(20));
        }
        Some(begin.elapsed())
    }

    /// Ends the sources, waits for what is under way, and prints what the viewers of each leaf have seen.
    fn end(&mut self) -> bool {
        self.origins.iter_mut().for_each(|origin| origin.source.say("stop"));
        sleep(Duration::from_secs(1));
        let has_all = self.wait_for(0..self.crowds.len()).is_some();
        self.reference.say("stop");
        let reference = self.reference.numbers();
        println!(
            "| viewers of | lines | lost | repeated | dropped | pictures | out of order | last line | p50 ms | p99 ms | pictures p50 ms | p99 ms |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
        let mut seen = vec![("the origin".to_owned(), reference)];
        for (index, crowd) in self.crowds.iter_mut().enumerate() {
            crowd.say("stop");
            seen.push((format!("leaf {}.{}", index / BRANCHES + 1, index % BRANCHES + 1), crowd.numbers()));
        }
        for (name, numbers) in &seen {
            let counts: String = numbers[..7].iter().map(|count| format!(" {count} |")).collect();
            let ages: String = numbers[7..].iter().map(|age| format!(" {:.2} |", age / 1e3)).collect();
            println!("| {name} |{counts}{ages}");
        }
        let last = seen[0].1[6];
        has_all && seen.iter().all(|(_, numbers)| numbers[6] == last && [1, 2, 3, 5].iter().all(|at| numbers[*at] == 0.0))
    }
}

fn progress(crowd: &mut Running) -> u64 {
    crowd.say("progress");
    crowd.numbers()[0] as u64
}
