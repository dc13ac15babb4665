//! The real binary, started on a free port and killed when dropped.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Connection, Finished, Reply, SOON, Viewer, fs_events, look_for, machine::share, wait_for, wait_until};

/// A builder of a command line.
pub struct Mxr {
    command: Command,
}

/// A running server; it ends with the test.
pub struct Server {
    /// Its command line.
    line: String,
    child: Child,
    /// `127.0.0.1:PORT`
    pub host: String,
    scheme: String,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

/// `mxr ARGS…`, without mxr's settings from the environment.
pub fn mxr<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Mxr {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mxr"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MXR_")) {
        command.env_remove(name);
    }
    if fs_events::is_notify() {
        command.env(fs_events::VARIABLE, "notify");
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Mxr { command }
}

impl Mxr {
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Lets another program start it: `PROGRAM ARGS… mxr …`.
    pub fn wrapped(self, program: impl AsRef<OsStr>, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).arg(self.command.get_program()).args(self.command.get_args());
        self.started_by(command)
    }

    /// Starts it on its own terminal, with script(1); its output on the terminal is on standard output.
    pub fn in_terminal(self, script: &Path) -> Self {
        let words = [self.command.get_program()].into_iter().chain(self.command.get_args());
        let line: Vec<_> = words.map(|word| format!("'{}'", word.to_str().expect("UTF-8"))).collect();
        let mut command = Command::new(script);
        // Without `exec` some shells stay, and are the process that a hangup of the terminal is for.
        command.args(["-qec", &format!("exec {}", line.join(" ")), "/dev/null"]);
        self.started_by(command)
    }

    fn started_by(self, mut command: Command) -> Self {
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    /// Starts it on a free port and waits for its URL.
    pub fn start(self) -> Server {
        self.start_at(0)
    }

    /// Starts it without reading its URL, on a port that was free a moment ago.
    pub fn start_unseen(self) -> Server {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port();
        let mut server = self.arg("--port").arg(port.to_string()).spawn();
        server.host = format!("127.0.0.1:{port}");
        wait_until("it listens", SOON, || std::net::TcpStream::connect(&server.host).is_ok());
        server
    }

    /// Starts it on the port of an earlier server.
    pub fn start_at(self, port: u16) -> Server {
        self.arg("--port").arg(port.to_string()).spawn().listening()
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Finished {
        self.spawn().finish()
    }

    /// Starts it, without a port argument.
    pub fn spawn(mut self) -> Server {
        share();
        let mut child = self.command.spawn().expect("the binary starts");
        // A test may have taken the pipes.
        let (stdout, out) = child.stdout.take().map(collect).unzip();
        let (stderr, err) = child.stderr.take().map(collect).unzip();
        let readers = out.into_iter().chain(err).collect();
        let line = format!("{:?}", self.command);
        Server {
            line,
            child,
            host: String::new(),
            scheme: String::new(),
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
            readers,
        }
    }
}

impl Server {
    /// Waits for its URL.
    pub fn listening(mut self) -> Self {
        let line = wait_for("the server prints its URL", SOON, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("mxr ended with {status}: {}", self.stderr());
            }
            let stdout = self.stdout.lock().unwrap();
            let end = stdout.iter().position(|byte| *byte == b'\n')?;
            Some(String::from_utf8(stdout[..end].to_vec()).expect("a URL"))
        });
        // A Unix socket has a path instead.
        if let Some((scheme, rest)) = line.split_once("://") {
            self.scheme = scheme.to_owned();
            self.host = rest.split('/').next().unwrap().to_owned();
        }
        self
    }

    /// The absolute URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.host)
    }

    pub fn port(&self) -> u16 {
        self.host.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A finite request on its own connection; `lines` are further header lines.
    pub fn request(&self, method: &str, path: &str, lines: &[&str]) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.host);
        for line in lines {
            request += &format!("{line}\r\n");
        }
        let mut connection = Connection::open(&self.host);
        connection.send(request + "\r\n");
        connection.reply(method)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[])
    }

    /// A viewer of the feed at this path.
    pub fn view(&self, path: &str) -> Viewer {
        Viewer::open(&self.host, path, &[])
    }

    /// A viewer that sends further header lines.
    pub fn view_with(&self, path: &str, lines: &[&str]) -> Viewer {
        Viewer::open(&self.host, path, lines)
    }

    /// A viewer with a small receive buffer, which is soon full.
    pub fn view_narrowly(&self, path: &str) -> Viewer {
        Viewer::over(self.open_narrowly(), &self.host, path, &[])
    }

    /// A connection whose own buffer is small.
    pub fn open_narrowly(&self) -> Connection {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address: std::net::SocketAddr = self.host.parse().unwrap();
        socket.connect(&address.into()).unwrap();
        Connection::over(socket.into())
    }

    pub fn state(&self) -> Value {
        self.get("/state").json()
    }

    /// The source of the first feed in `/state`.
    pub fn source(&self) -> Value {
        self.state()["feeds"][0]["source"].clone()
    }

    /// Waits until the source of the first feed is lost for this reason, and the log has it.
    #[track_caller]
    pub fn wait_for_loss(&self, reason: &str) {
        wait_until(&format!("the source is lost, with {reason:?}"), SOON * 2, || {
            let source = self.source();
            source["state"] == "lost" && source["reason"].as_str().is_some_and(|why| why.contains(reason))
        });
        self.expect_log(reason);
    }

    /// Every viewer in `/state`.
    pub fn viewers(&self) -> Vec<Value> {
        self.state()["viewers"].as_array().expect("a list of viewers").clone()
    }

    /// Waits until there are this many viewers.
    pub fn wait_for_viewers(&self, count: usize) {
        wait_until(&format!("{count} viewers are there"), SOON, || self.viewers().len() == count);
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The peak of its resident memory in bytes.
    pub fn memory_at_most(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// A line of proc_pid_status(5), from kB to bytes.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The number of its open file descriptors.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The number that the next file or connection gets; it may have inherited one far above.
    pub fn lowest_free_descriptor(&self) -> usize {
        let is_free = |number: &usize| !std::fs::exists(format!("/proc/{}/fd/{number}", self.pid())).unwrap();
        (0..).find(is_free).unwrap()
    }

    /// Its CPU time (proc_pid_stat(5), fields 14 and 15, in hundredths of a second).
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Its standard input, to write to from another thread.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a standard input")
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.child.stdin.as_mut().expect("a standard input");
        stdin.write_all(bytes.as_ref()).and_then(|()| stdin.flush()).expect("the server reads its input");
    }

    pub fn stdout(&self) -> Vec<u8> {
        self.stdout.lock().unwrap().clone()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Expects this in its log, which comes a moment after what it tells of.
    #[track_caller]
    pub fn expect_log(&self, text: &str) {
        let said = look_for(SOON, || self.stderr().contains(text).then_some(()));
        assert!(said.is_some(), "it does not log {text:?}: {}", self.stderr());
    }

    /// Expects this in its log so many times.
    #[track_caller]
    pub fn expect_logs(&self, text: &str, times: usize) {
        look_for(SOON, || (self.stderr().matches(text).count() >= times).then_some(()));
        assert_eq!(self.stderr().matches(text).count(), times, "of {text:?}: {}", self.stderr());
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it with SIGTERM.
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.terminate();
        self.finish()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.finish_within(SOON)
    }

    /// Waits for its end, and for the end of its output.
    #[track_caller]
    pub fn finish_within(mut self, deadline: Duration) -> Finished {
        let status = wait_for("mxr ends", deadline, || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Finished { line: std::mem::take(&mut self.line), status, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // When the program that runs mxr (strace, faketime, a shell) is killed, mxr continues.
        let wrapped = match self.child.try_wait() {
            Ok(None) => std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).unwrap_or_default(),
            _ => String::new(),
        };
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in wrapped.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        if std::thread::panicking() {
            eprintln!("mxr said:\n{}", self.stderr());
        }
    }
}

/// Reads a pipe to its end in the background.
fn collect(mut pipe: impl Read + Send + 'static) -> (Arc<Mutex<Vec<u8>>>, JoinHandle<()>) {
    let collected = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&collected);
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            sink.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
    (collected, reader)
}
