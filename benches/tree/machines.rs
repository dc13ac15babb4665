//! Programs on machines: mxr as origin and as edge, the bare relay, viewers.

use std::process::{Command, Stdio};

use crate::{
    network::on,
    process::{Running, cpu},
};

/// The program that is measured.
const MXR: &str = env!("CARGO_BIN_EXE_mxr");

/// A source and the mxr that serves it.
pub(crate) struct Origin {
    pub(crate) mxr: Running,
    pub(crate) source: Running,
}

impl Origin {
    /// Serves `kind` (`lines` or `pictures`) at a rate on a port, as the feed `log` or `cam`.
    pub(crate) fn start(machine: &str, kind: &str, rate: u32, port: u16) -> Self {
        let mut source = Running::start(role(machine, "source").args([kind, &rate.to_string()]));
        let pipe = std::mem::replace(&mut source.output, std::io::BufReader::new(empty_output()));
        let (split, name) = if kind == "lines" { ("lines", "log") } else { ("multipart", "cam") };
        let mut command = on(machine, MXR);
        command.args(["stdin", "--split", split, "--name", name, "-H", "0.0.0.0", "--public", "-p", &port.to_string(), "-qq"]);
        let mut mxr = Running::reading(&mut command, Stdio::from(pipe.into_inner()));
        mxr.line();
        Self { mxr, source }
    }
}

/// An output without a byte: of a program that has ended.
fn empty_output() -> std::process::ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().expect("start");
    let _ = child.wait();
    child.stdout.take().expect("output")
}

/// An edge that relays these URLs on port 8080.
pub(crate) fn edge(machine: &str, urls: &[String]) -> Running {
    let mut command = on(machine, MXR);
    command.arg("relay").args(urls).args(["-H", "0.0.0.0", "--public", "-qq"]);
    let mut edge = Running::start(&mut command);
    edge.line();
    edge
}

/// This bench in another role on a machine, which prints `ready` when it is.
pub(crate) fn start(machine: &str, words: &[&str]) -> Running {
    let mut running = Running::start(role(machine, words[0]).args(&words[1..]));
    assert_eq!(running.line(), "ready", "{words:?} on {machine}");
    running
}

fn role(machine: &str, role: &str) -> Command {
    let mut command = on(machine, std::env::current_exe().expect("own path"));
    command.arg(role);
    command
}

/// The CPU time of programs, in microseconds.
pub(crate) fn micros_of<'a>(programs: impl IntoIterator<Item = &'a Running>) -> f64 {
    programs.into_iter().map(|program| cpu(program.child.id()).as_secs_f64() * 1e6).sum()
}
