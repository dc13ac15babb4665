//! The age of the picture that a slow viewer sees: one that reads 1 MB/s of a 3 MB/s feed beside a hundred fast ones, and one behind
//! a link of 10 Mbit/s.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    load::quantile,
    process::Running,
    stamp::{self, Finder},
    table::{ROUNDS, median},
    work::Work,
};

/// Bytes a second.
const READS: f64 = 1e6;
/// The link in Mbit/s; a part of 100 KB takes 80 ms.
const LINK: u32 = 10;
const ROLES: [&str; 2] = ["bare", "ours"];
const WORK: Work = Work { size: 100_000, rate: 30, viewers: 100, time: Duration::from_secs(8), threads: 1 };

pub(crate) fn run() {
    println!("\n100 viewers of 100 KB pictures at 30/s, without and with one that reads 1 MB/s (medians of {ROUNDS} rounds):");
    let rounds: Vec<_> = (0..ROUNDS).map(|_| ROLES.map(|role| [beside(role, false), beside(role, true)])).collect();
    for (index, role) in ROLES.into_iter().enumerate() {
        let without = median(rounds.iter().map(|round| round[index][0][0]));
        let [fast, p50, p99, max_waiting] = [0, 1, 2, 3].map(|at| median(rounds.iter().map(|round| round[index][1][at])));
        let [p50, p99, max_waiting] = [p50, p99, max_waiting].map(|micros| micros / 1e6);
        println!(
            "{role}: the slow one's parts are {p50:.2} s old, {p99:.2} at p99; the fast ones' p99 goes from {:.1} to {:.1} ms; \
             at most {:.0} KB wait in the kernel for the slow one",
            without / 1e3,
            fast / 1e3,
            max_waiting * 1e3
        );
    }
}

/// The fast viewers' p99; with a slow one also its p50 and p99, and the most bytes that waited for it.
fn beside(role: &str, slowly: bool) -> [f64; 4] {
    let mut server = Running::role(role, WORK, &[]);
    let port = server.line();
    let mut load = Running::role("load", WORK, &[&port, "/stream"]);
    load.line();
    let mut slow = slowly.then(|| Running::role("slow", WORK, &[&format!("127.0.0.1:{port}")]));
    std::thread::sleep(Duration::from_secs(1));
    load.go();
    let fast = load.numbers()[3];
    let slow = slow.as_mut().map_or(vec![0.0; 3], Running::numbers);
    [fast, slow[0], slow[1], slow[2]]
}

/// Reads slowly; prints p50, p99 of the ages, and the most bytes that waited at the sender, in the kernel.
pub(crate) fn read(server: SocketAddr, work: Work) {
    let mut socket = TcpStream::connect(server).expect("connect");
    socket.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("request");
    let own = socket.local_addr().expect("address").port();
    let is_far = !server.ip().is_loopback();
    let (mut finder, mut ages, mut buffer, mut bytes) = (Finder::default(), Vec::new(), [0; 5_000], 0);
    // The check is slow with many connections, so it is not made at every read.
    let (mut max_waiting, mut next_check) = (0, Duration::ZERO);
    let begin = Instant::now();
    while begin.elapsed() < work.time {
        let Ok(read @ 1..) = socket.read(&mut buffer) else { break };
        bytes += read;
        let now = stamp::micros();
        let published = finder.take(&buffer[..read]);
        if begin.elapsed() > Duration::from_secs(2) {
            ages.extend(published.iter().map(|then| now - then));
        }
        // A link is slow by itself.
        if !is_far {
            if begin.elapsed() >= next_check {
                max_waiting = max_waiting.max(waiting(server.port(), own));
                next_check += Duration::from_millis(300);
            }
            std::thread::sleep(Duration::from_secs_f64(bytes as f64 / READS).saturating_sub(begin.elapsed()));
        }
    }
    println!("{} {} {max_waiting}", quantile(&mut ages, 0.5), quantile(&mut ages, 0.99));
}

/// The bytes that the sender's kernel holds for a connection (`tx_queue` of /proc/net/tcp).
fn waiting(server: u16, reader: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let line = table.lines().find(|line| {
        let mut ports = line.split_whitespace().skip(1).map(|address| address.rsplit(':').next().unwrap_or_default());
        ports.next() == Some(&format!("{server:04X}")) && ports.next() == Some(&format!("{reader:04X}"))
    });
    let queue = line.and_then(|line| line.split_whitespace().nth(4)?.split(':').next());
    queue.and_then(|queue| u64::from_str_radix(queue, 16).ok()).unwrap_or(0)
}

/// Two network namespaces and a shaped link between them; needs root, `ip` and `tc`.
pub(crate) fn run_over_a_link() {
    let floor = WORK.size as f64 * 8.0 / f64::from(LINK) / 1e3;
    println!("\na viewer of 100 KB pictures at 30/s behind {LINK} Mbit/s, where a part takes {floor:.0} ms:");
    let Some(link) = Link::make() else { return println!("skipped: no network namespaces here (they need root, ip and tc)") };
    for role in ROLES {
        let mut server = Running::start(link.command("a", role).args(WORK.args()));
        let port = server.line();
        let mut reader = Running::start(link.command("b", "slow").args(WORK.args()).arg(format!("10.99.7.1:{port}")));
        let ages = reader.numbers();
        println!("{role}: its parts are {:.0} ms old, {:.0} at p99", ages[0] / 1e3, ages[1] / 1e3);
    }
}

struct Link;

impl Link {
    fn make() -> Option<Self> {
        let link = Self;
        link.remove();
        let rate = format!("{LINK}mbit");
        let lines = [
            "ip netns add mxr-bench-a".to_owned(),
            "ip netns add mxr-bench-b".to_owned(),
            "ip link add mxra netns mxr-bench-a type veth peer name mxrb netns mxr-bench-b".to_owned(),
            "ip -n mxr-bench-a addr add 10.99.7.1/24 dev mxra".to_owned(),
            "ip -n mxr-bench-b addr add 10.99.7.2/24 dev mxrb".to_owned(),
            "ip -n mxr-bench-a link set mxra up".to_owned(),
            "ip -n mxr-bench-b link set mxrb up".to_owned(),
            format!("ip netns exec mxr-bench-a tc qdisc add dev mxra root tbf rate {rate} burst 8kb latency 200ms"),
        ];
        lines.iter().all(|line| run_line(line)).then_some(link)
    }

    fn command(&self, end: &str, role: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("mxr-bench-{end}")]).arg(std::env::current_exe().expect("own path")).arg(role);
        command
    }

    fn remove(&self) {
        for end in ["a", "b"] {
            run_line(&format!("ip netns del mxr-bench-{end}"));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.remove();
    }
}

fn run_line(line: &str) -> bool {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
}
