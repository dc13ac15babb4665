//! Compresses months into minutes: 30 pictures a second to viewers that stay, come and go, stall, reset and vanish. The test checks
//! memory, descriptors and threads every few seconds; after the warm-up none of them may grow. `tests/soak` runs it.

use std::{
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::SockRef;

use crate::support::{Folder, PALETTE, SOON, Server, jpeg, mxr, tool, wait_until};

/// Pictures a second.
const FPS: u32 = 30;
/// The time between two samples.
const LOOK: Duration = Duration::from_secs(2);
/// The memory that a minute may add after the warm-up, besides the noise of allocators.
const MOST_KIB_A_MINUTE: f64 = 64.0;
/// The memory that the whole run may add, for short runs, in which a slope means little.
const MOST_KIB: f64 = 2048.0;

/// One sample of the process.
#[derive(Debug, Clone, Copy)]
struct Look {
    minutes: f64,
    kib: f64,
    files: usize,
    threads: usize,
}

impl Look {
    fn at(server: &Server, start: Instant) -> Self {
        let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
        let kib = server.memory() as f64 / 1024.0;
        Self { minutes: start.elapsed().as_secs_f64() / 60.0, kib, files: server.open_files(), threads }
    }
}

/// The actions of all viewers so far.
#[derive(Debug, Default)]
struct Deeds {
    churned: AtomicU64,
    reset: AtomicU64,
    stalled: AtomicU64,
    vanished: AtomicU64,
}

/// The address for viewers, and the time at which they stop.
#[derive(Clone)]
struct Crowd {
    host: SocketAddr,
    over: Arc<AtomicBool>,
    deeds: Arc<Deeds>,
}

impl Crowd {
    fn go_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    fn connect(&self) -> Option<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&self.host, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        stream.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        Some(stream)
    }

    /// Reads for this long.
    fn read(&self, stream: &mut TcpStream, how_long: Duration) {
        let (start, mut buffer) = (Instant::now(), vec![0; 1 << 16]);
        while self.go_on() && start.elapsed() < how_long && stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }

    fn each(&self, act: impl Fn(&Self) + Send + 'static) -> JoinHandle<()> {
        let crowd = self.clone();
        thread::spawn(move || {
            while crowd.go_on() {
                act(&crowd);
            }
        })
    }

    /// The kinds of viewers, each on its own threads.
    fn start(&self) -> Vec<JoinHandle<()>> {
        let stay = |crowd: &Self| crowd.connect().iter_mut().for_each(|stream| crowd.read(stream, Duration::MAX));
        let churn = |crowd: &Self| {
            crowd.connect().iter_mut().for_each(|stream| crowd.read(stream, Duration::from_millis(100)));
            crowd.deeds.churned.fetch_add(1, Relaxed);
        };
        let reset = |crowd: &Self| {
            if let Some(mut stream) = crowd.connect() {
                crowd.read(&mut stream, Duration::from_millis(150));
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                crowd.deeds.reset.fetch_add(1, Relaxed);
            }
        };
        let stall = |crowd: &Self| {
            let stream = crowd.connect();
            thread::sleep(Duration::from_millis(2500));
            drop(stream);
            crowd.deeds.stalled.fetch_add(1, Relaxed);
        };
        let mut threads: Vec<_> = (0..5).map(|_| self.each(stay)).collect();
        threads.extend((0..3).map(|_| self.each(churn)));
        threads.extend((0..2).map(|_| self.each(reset)));
        threads.extend((0..5).map(|_| self.each(stall)));
        threads
    }
}

/// A second network, connected to the server's by a link that can be cut.
struct Cable {
    far: Child,
    near: u32,
}

impl Cable {
    /// `None` without the permission to create one.
    fn lay(server: &Server) -> Option<Self> {
        let far = Command::new("unshare").args(["-n", "sleep", "86400"]).stderr(Stdio::null()).spawn().ok()?;
        let cable = Self { far, near: server.pid() };
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        wait_until("the second network is there", SOON, || {
            fs::read_link(format!("/proc/{}/ns/net", cable.far.id())).is_ok_and(|far| far != own)
        });
        let far = cable.far.id().to_string();
        let run = |side: u32, words: &str| {
            let net = format!("--net=/proc/{side}/ns/net");
            let status = Command::new("nsenter").arg(net).arg("ip").args(words.split(' ')).status();
            status.is_ok_and(|status| status.success())
        };
        (run(cable.near, &format!("link add near type veth peer name far netns {far}"))
            && run(cable.near, "addr add 10.99.0.1/24 dev near")
            && run(cable.near, "link set near up")
            && run(cable.far.id(), "addr add 10.99.0.2/24 dev far")
            && run(cable.far.id(), "link set far up"))
        .then_some(cable)
    }

    fn set(&self, state: &str) {
        let net = format!("--net=/proc/{}/ns/net", self.far.id());
        assert!(Command::new("nsenter").arg(net).args(["ip", "link", "set", "far", state]).status().unwrap().success());
    }

    /// Viewers connect over the link; it is cut, they end without the server noticing, and it is restored.
    fn vanish(&self, crowd: &Crowd) {
        let far = fs::File::open(format!("/proc/{}/ns/net", self.far.id())).unwrap();
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&far), Some(LinkNameSpaceType::Network)).unwrap();
        let crowd = Crowd { host: SocketAddr::from(([10, 99, 0, 1], crowd.host.port())), ..crowd.clone() };
        while crowd.go_on() {
            let mut viewers: Vec<_> = (0..5).filter_map(|_| crowd.connect()).collect();
            viewers.iter_mut().for_each(|viewer| crowd.read(viewer, Duration::from_millis(50)));
            self.set("down");
            crowd.deeds.vanished.fetch_add(viewers.len() as u64, Relaxed);
            drop(viewers);
            // Longer than the stall time: the server disconnects them while the link is cut.
            thread::sleep(Duration::from_secs(3));
            self.set("up");
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.far.kill();
        let _ = self.far.wait();
    }
}

/// The growth per minute, by least squares.
fn slope(looks: &[Look]) -> f64 {
    let count = looks.len() as f64;
    let (x, y) =
        (looks.iter().map(|look| look.minutes).sum::<f64>() / count, looks.iter().map(|look| look.kib).sum::<f64>() / count);
    let over: f64 = looks.iter().map(|look| (look.minutes - x) * (look.kib - y)).sum();
    over / looks.iter().map(|look| (look.minutes - x).powi(2)).sum::<f64>()
}

/// Starts the server in its own network namespace, if permitted, so that changes to the network stay there.
fn server(folder: &Folder) -> (Server, bool) {
    let mxr =
        mxr(["watch"]).arg(folder.file("a.jpg")).args(["--stall-timeout", "2", "--host", "0.0.0.0", "--public", "--port", "0"]);
    let may = ["unshare", "nsenter", "ip"].iter().all(|name| tool(&[name]).is_some())
        && Command::new("unshare").args(["-n", "true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    let code = "ip link set lo up && exec \"$0\" \"$@\"";
    let mxr = if may { mxr.wrapped("unshare", &["-n", "sh", "-c", code]) } else { mxr };
    (mxr.spawn().listening(), may)
}

/// Enters the server's network, for this thread and those it starts.
fn enter_network(server: &Server) {
    let network = fs::File::open(format!("/proc/{}/ns/net", server.pid())).unwrap();
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), Some(LinkNameSpaceType::Network)).unwrap();
}

#[test]
#[ignore = "it takes minutes: tests/soak MINUTES"]
fn nothing_grows_while_viewers_come_and_go_in_every_way() {
    let minutes: f64 = env::var("MXR_SOAK_MINUTES").map_or(1.0, |text| text.parse().expect("MXR_SOAK_MINUTES is a number"));
    let folder = Folder::new();
    let pictures: Vec<Vec<u8>> = PALETTE.iter().map(|colour| padded(jpeg(*colour))).collect();
    folder.put("a.jpg", &pictures[0]);
    let (server, has_network) = server(&folder);
    let cable = if has_network { Cable::lay(&server) } else { None };
    if has_network {
        enter_network(&server);
    }
    let over = Arc::new(AtomicBool::new(false));
    let crowd = Crowd { host: server.host.parse().unwrap(), over: over.clone(), deeds: Arc::default() };
    let mut threads = crowd.start();
    match cable {
        Some(cable) => {
            let crowd = crowd.clone();
            threads.push(thread::spawn(move || cable.vanish(&crowd)));
        }
        None => println!("skipped: no leave to make networks, so no viewer vanishes"),
    }
    let looks = run(&server, &folder, &pictures, Duration::from_secs_f64(minutes * 60.0));
    over.store(true, Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("{:?}", crowd.deeds);
    wait_until("every viewer is gone", SOON, || server.viewers().is_empty());
    println!("at the end, without viewers: {:?}", Look::at(&server, Instant::now()));
    judge(&looks, minutes);
    let state = server.state();
    println!("gone: {}, faults: {}, panics: {}", state["gone"], state["faults"], state["panics"]);
    assert!(state["gone"]["stalled"].as_u64().unwrap() > 0);
    assert!(state["panics"].as_object().unwrap().values().all(|count| count == 0));
}

/// 50 KB, as a camera's.
fn padded(mut picture: Vec<u8>) -> Vec<u8> {
    let end = picture.split_off(picture.len() - 2);
    picture.extend([0xff, 0xfe, 0xc3, 0x50]);
    picture.extend(vec![b' '; 0xc350 - 2]);
    picture.extend(end);
    picture
}

fn run(server: &Server, folder: &Folder, pictures: &[Vec<u8>], how_long: Duration) -> Vec<Look> {
    let (start, mut looks, mut frames) = (Instant::now(), Vec::new(), 0);
    println!("minute      KiB  files  threads");
    while start.elapsed() < how_long {
        folder.put("a.jpg", &pictures[frames as usize % pictures.len()]);
        frames += 1;
        if start.elapsed() > LOOK * looks.len() as u32 {
            let look = Look::at(server, start);
            println!("{:6.2} {:8.0} {:6} {:8}", look.minutes, look.kib, look.files, look.threads);
            looks.push(look);
        }
        thread::sleep((Duration::from_secs(1) / FPS * frames).saturating_sub(start.elapsed()));
    }
    println!("{frames} pictures");
    looks
}

fn judge(looks: &[Look], minutes: f64) {
    let warm = &looks[looks.len() / 3..];
    let (first, last) = warm.split_at(warm.len() / 2);
    let mean = |looks: &[Look]| looks.iter().map(|look| look.kib).sum::<f64>() / looks.len() as f64;
    let grown = mean(last) - mean(first);
    println!("after the warm-up: {:+.1} KiB a minute, second half against first {grown:+.0} KiB", slope(warm));
    assert!(grown < MOST_KIB, "grown by {grown} KiB");
    assert!(minutes < 5.0 || slope(warm) < MOST_KIB_A_MINUTE, "{} KiB a minute", slope(warm));
    let peaks = |number: fn(&Look) -> usize| (first.iter().map(number).max(), last.iter().map(number).max());
    let (files, threads) = (peaks(|look| look.files), peaks(|look| look.threads));
    println!("most descriptors {files:?}, most threads {threads:?}, in each half");
    assert!(files.1 <= files.0.map(|files| files + 10), "{files:?}");
    assert!(threads.1 <= threads.0, "{threads:?}");
}
