//! The time from a rename to the first byte at a viewer: mxr beside a bare loop of inotify, read and send, in one run.
//!
//! `cargo bench --bench latency` prints both, in microseconds, and their ratio. A picture of 100 KB is renamed into
//! place repeatedly; one viewer reads. Rounds alternate, since the machine's speed drifts.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a bench prints its results and panics on failure"
)]

use std::{
    ffi::CStr,
    io::{BufRead, BufReader, Read, Write},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::fs::inotify;

const ROUNDS: usize = 6;
const RENAMES: usize = 150;
const NAME: &CStr = c"frame.png";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "bare") {
        return bare(Path::new(&args[at + 1]));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frame.png");
    let pictures: Vec<Vec<u8>> = (0..8).map(picture).collect();
    std::fs::write(&file, &pictures[0]).unwrap();
    println!("{} bytes a picture, {} renames each", pictures[0].len(), ROUNDS * RENAMES);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (times, server) in times.iter_mut().zip([Server::bare(folder.path()), Server::mxr(&file)]) {
            times.extend(server.measure(&file, &pictures));
        }
    }
    let mut medians = Vec::new();
    for (name, times) in ["bare inotify + read + send", "mxr watch"].into_iter().zip(&mut times) {
        times.sort_unstable();
        let quantile = |q: f64| times[((times.len() - 1) as f64 * q) as usize].as_nanos() as f64 / 1e3;
        println!("{name:30} p50 {:7.1} us  p99 {:7.1} us", quantile(0.5), quantile(0.99));
        medians.push([quantile(0.5), quantile(0.99)]);
    }
    println!("{:30} p50 {:7.2}     p99 {:7.2}", "ratio", medians[1][0] / medians[0][0], medians[1][1] / medians[0][1]);
}

/// A PNG of noise, about 100 KB.
fn picture(seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let image = image::RgbImage::from_fn(182, 182, |_, _| image::Rgb([noise(), noise(), noise()]));
    let mut png = Vec::new();
    image.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    png
}

struct Server {
    child: Child,
    viewer: TcpStream,
    buffer: Vec<u8>,
}

impl Server {
    fn mxr(file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mxr"));
        command.args(["watch", "--port", "0", "--keepalive", "0", "-q"]).arg(file);
        Self::start(command, |line| line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned())
    }

    fn bare(folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("bare").arg(folder);
        Self::start(command, |line| line.trim().to_owned())
    }

    fn start(mut command: Command, address: fn(&str) -> String) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut viewer = TcpStream::connect(address(&line)).unwrap();
        viewer.set_nodelay(true).unwrap();
        viewer.write_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut server = Self { child, viewer, buffer: vec![0; 1 << 20] };
        server.drain();
        server
    }

    /// Reads until no bytes come for a moment.
    fn drain(&mut self) {
        self.viewer.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        while self.viewer.read(&mut self.buffer).is_ok_and(|bytes| bytes > 0) {}
        self.viewer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }

    fn measure(mut self, file: &Path, pictures: &[Vec<u8>]) -> Vec<Duration> {
        std::thread::sleep(Duration::from_millis(300));
        self.drain();
        let next: PathBuf = file.with_extension("tmp");
        (0..RENAMES)
            .map(|n| {
                std::fs::write(&next, &pictures[n % pictures.len()]).unwrap();
                std::thread::sleep(Duration::from_millis(3));
                let begin = Instant::now();
                std::fs::rename(&next, file).unwrap();
                let bytes = self.viewer.read(&mut self.buffer).expect("a part within ten seconds");
                let time = begin.elapsed();
                assert!(bytes > 0);
                self.drain();
                time
            })
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// One thread, one viewer: reads and sends each file that is renamed to the name.
fn bare(folder: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let (mut viewer, _) = listener.accept().unwrap();
    viewer.set_nodelay(true).unwrap();
    let inotify = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&inotify, folder, inotify::WatchFlags::MOVED_TO).unwrap();
    let mut space = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(inotify, &mut space);
    let file = folder.join("frame.png");
    let mut part = Vec::new();
    while let Ok(event) = events.next() {
        if event.file_name() != Some(NAME) {
            continue;
        }
        let body = std::fs::read(&file).unwrap();
        part.clear();
        write!(part, "Content-Type: image/png\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        part.extend_from_slice(&body);
        part.extend_from_slice(b"\r\n--B\r\n");
        if viewer.write_all(&part).is_err() {
            return;
        }
    }
}
