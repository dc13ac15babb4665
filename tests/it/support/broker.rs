//! A real mosquitto, and its own programs that publish and subscribe.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use super::{Folder, SOON, free_port, look_for, tool};

pub struct Broker {
    child: Child,
    folder: Folder,
    port: u16,
}

impl Broker {
    /// Starts mosquitto with these lines of configuration beside the listener; `None` if it or its programs are not installed.
    pub fn start(lines: &str) -> Option<Self> {
        tool(&["mosquitto_sub"])?;
        let program = tool(&["mosquitto"])?;
        // Another program may take the port before mosquitto does.
        for _ in 0..5 {
            let port = free_port();
            let folder = Folder::new();
            let access = if lines.contains("allow_anonymous") { "" } else { "allow_anonymous true" };
            let config = format!("listener {port} 127.0.0.1\n{access}\npersistence false\n{lines}\n");
            fs::write(folder.file("mosquitto.conf"), config).unwrap();
            let child = spawn(&program, &folder);
            let mut broker = Self { child, folder, port };
            if broker.listens() {
                return Some(broker);
            }
        }
        panic!("mosquitto finds no free port");
    }

    fn listens(&mut self) -> bool {
        let listens = look_for(SOON, || match self.child.try_wait().unwrap() {
            Some(_) => Some(false),
            None => TcpStream::connect(("127.0.0.1", self.port)).is_ok().then_some(true),
        });
        listens == Some(true)
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `mqtt://127.0.0.1:PORT/PATH`
    pub fn url(&self, path: &str) -> String {
        format!("mqtt://{}/{path}", self.host())
    }

    /// Kills it, with all that it retained.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its port, after `kill`.
    pub fn start_again(&mut self) {
        self.child = spawn(&tool(&["mosquitto"]).unwrap(), &self.folder);
        assert!(self.listens(), "mosquitto does not start again");
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(tool(&[program]).unwrap());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command
    }

    /// Publishes a body as `mosquitto_pub` does, with further arguments, such as `-r`.
    pub fn publish(&self, topic: &str, body: &[u8], args: &[&str]) {
        let mut child = self.client("mosquitto_pub").args(["-t", topic, "-s"]).args(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        assert!(child.wait().unwrap().success(), "mosquitto_pub failed");
    }

    /// `mosquitto_sub` with these arguments, as it ends: `-C 1` after a message, `-W 2` after two seconds at most.
    pub fn subscribe(&self, topic: &str, args: &[&str]) -> Output {
        self.client("mosquitto_sub").args(["-t", topic]).args(args).output().unwrap()
    }

    /// What is retained in a topic, if anything comes within a second.
    pub fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        let output = self.subscribe(topic, &["--retained-only", "-C", "1", "-W", "1", "-N"]);
        output.status.success().then_some(output.stdout)
    }

    /// A `mosquitto_sub` that runs on, with its lines on a pipe.
    pub fn follow(&self, topic: &str, args: &[&str]) -> Child {
        self.client("mosquitto_sub").args(["-t", topic]).args(args).stdout(Stdio::piped()).spawn().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &PathBuf, folder: &Folder) -> Child {
    let mut command = Command::new(program);
    command.arg("-c").arg(folder.file("mosquitto.conf"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
