//! Other servers under the same load, if they are installed: nginx with nchan (Debian: nginx, libnginx-mod-nchan) and a
//! program on aiohttp (Debian: python3-aiohttp). ustreamer takes its frames from a camera, so it cannot have this load.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    process::{Running, pin},
    stamp,
    work::Work,
};

const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// Debian's Python, for which aiohttp is a package.
const PYTHON: &str = "/usr/bin/python3";
const AIOHTTP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fanout/aiohttp_feed.py");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Nchan,
    Aiohttp,
}

impl Peer {
    /// The servers that can be measured on this machine.
    pub(crate) fn installed() -> impl Iterator<Item = Self> {
        [Self::Nchan, Self::Aiohttp].into_iter().filter(|peer| match peer {
            Self::Nchan => Path::new(NCHAN).exists(),
            Self::Aiohttp => {
                Command::new(PYTHON).args(["-c", "import aiohttp"]).output().is_ok_and(|output| output.status.success())
            }
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nchan => "nginx + nchan",
            Self::Aiohttp => "aiohttp",
        }
    }
}

/// A peer that serves `target` on `port`.
pub(crate) struct RunningPeer {
    pub(crate) port: u16,
    pub(crate) target: &'static str,
    server: Running,
    _publisher: Option<Publisher>,
    _folder: tempfile::TempDir,
}

impl RunningPeer {
    /// Its processes: the one that was started and its children.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let parent = self.server.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        std::iter::once(parent).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }
}

pub(crate) fn start(peer: Peer, work: Work) -> RunningPeer {
    let folder = tempfile::tempdir().expect("a folder");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]);
    match peer {
        Peer::Nchan => {
            let config = folder.path().join("nginx.conf");
            std::fs::write(&config, nginx(folder.path(), port)).expect("a configuration");
            command.arg("nginx").arg("-c").arg(config).arg("-p").arg(folder.path()).arg("-e").arg("stderr");
        }
        Peer::Aiohttp => _ = command.args([PYTHON, AIOHTTP]).args(work.args()).arg(port.to_string()),
    }
    let server = Running::start(&mut command);
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(10), "{} does not start", peer.name());
        std::thread::sleep(Duration::from_millis(20));
    }
    let publisher = (peer == Peer::Nchan).then(|| Publisher::start(work, port));
    RunningPeer { port, target: "/stream", server, _publisher: publisher, _folder: folder }
}

fn nginx(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "load_module {NCHAN}; daemon off; user root; worker_processes 1; worker_rlimit_nofile 20000; pid {folder}/pid;
         events {{ worker_connections 15000; }}
         http {{ access_log off; client_max_body_size 10m; client_body_buffer_size 1m; nchan_shared_memory_size 256m;
           client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
           uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
           server {{ listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000;
             location = /publish {{ nchan_publisher; nchan_channel_id feed; nchan_message_buffer_length 2; }}
             location = /stream {{ nchan_subscriber http-multipart; nchan_channel_id feed; nchan_subscriber_first_message newest; }}
           }} }}"
    )
}

/// Publishes parts into nchan on a clock, from core 1.
struct Publisher {
    is_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    fn start(work: Work, port: u16) -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        let flag = is_done.clone();
        let thread = std::thread::spawn(move || {
            pin(1);
            let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connect");
            socket.set_nodelay(true).expect("nodelay");
            let (mut next, mut reply) = (Instant::now(), [0; 4096]);
            while !flag.load(Relaxed) {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next += work.interval();
                let head = format!("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", work.size);
                let sent = socket.write_all(&[head.as_bytes(), &stamp::body(work.size)].concat());
                if sent.is_err() || !matches!(socket.read(&mut reply), Ok(1..)) {
                    return;
                }
            }
        });
        Self { is_done, thread: Some(thread) }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.is_done.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
