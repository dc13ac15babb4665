//! The guard: the process between mxr and a command. It starts the command, adopts what that leaves behind, says how it ended, and
//! ends all of it when it is told to or when mxr is gone. It never reads what the command writes.

use std::{
    fs::{self, File},
    io::{self, stdin, stdout},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net,
    },
    process::{ExitCode, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, getpid, setsid};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{
    children,
    exit::Exit,
    group::Group,
    order::GuardOrder,
    role::{LAUNCH, this_program},
};

/// How long a guard waits for processes that were killed: one in uninterruptible sleep is left to the system.
const AFTER_KILL: Duration = Duration::from_secs(5);
/// The signals of proc_pid_status(5), `SigIgn`, that are set back to what they do by default.
const NUMBERS: std::ops::RangeInclusive<i32> = 1..=31;

/// Runs as a guard, with a socket to mxr as standard input and the streams of the command.
pub(super) fn run() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn start() -> io::Result<()> {
    // Neither Ctrl-C nor a terminal that closes is for the guard: mxr tells it what to do.
    setsid()?;
    #[cfg(target_os = "linux")]
    {
        // Not with our name: `pkill -9 mxr` would leave nobody to end the command.
        let _ = rustix::thread::set_name(c"command-guard");
        rustix::process::set_child_subreaper(Some(getpid()))?;
    }
    // Also descriptors that mxr itself has inherited.
    close_fds::set_fds_cloexec(3, &[]);
    let control = net::UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    let order = GuardOrder::read(&control)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(guard(control, order))
}

async fn guard(control: net::UnixStream, order: GuardOrder) -> io::Result<()> {
    control.set_nonblocking(true)?;
    let mut control = UnixStream::from_std(control)?;
    let mut child = signal(SignalKind::child())?;
    let mut ends = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
    let [terminate, interrupt, hangup] = &mut ends;
    let _reset = ignored().map(|number| signal(SignalKind::from_raw(number))).collect::<Vec<_>>();
    let leader = match launch(&order) {
        Ok(leader) => leader,
        Err(error) => {
            let line = Exit::Unknown(format!("the command cannot be started: {error}")).to_line();
            return control.write_all(line.as_bytes()).await;
        }
    };
    let line = format!("started {}\n", leader.as_raw_nonzero());
    let _ = control.write_all(line.as_bytes()).await;
    let mut charge = Guarded { group: Group::of(leader), order, phase: EndPhase::Running, told: Vec::new(), exit: None };
    let mut is_connected = true;
    loop {
        if let Some(exit) = charge.look() {
            let _ = control.write_all(exit.to_line().as_bytes()).await;
        }
        if charge.is_over() {
            return Ok(());
        }
        let mut byte = [0; 16];
        tokio::select! {
            _ = child.recv() => {}
            read = control.read(&mut byte), if is_connected => match read {
                Ok(1..) => charge.end(),
                // mxr is gone. If the command was told to end already, nobody waits for it any more.
                _ if matches!(charge.phase, EndPhase::Running) => {
                    is_connected = false;
                    charge.end();
                }
                _ => {
                    is_connected = false;
                    charge.kill();
                }
            },
            _ = terminate.recv() => charge.end(),
            _ = interrupt.recv() => charge.end(),
            _ = hangup.recv() => charge.end(),
            () = charge.deadline() => charge.kill(),
        }
    }
}

/// The signals that mxr was started with ignored, but SIGHUP: `nohup mxr` is for the command as well. To catch them is to have them
/// reset in what is executed next.
fn ignored() -> impl Iterator<Item = i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let kept = [Signal::HUP, Signal::PIPE].map(Signal::as_raw);
    NUMBERS.filter(move |number| mask >> (number - 1) & 1 == 1 && !kept.contains(number))
}

/// Starts the launcher with the streams of this process, which lets go of them.
fn launch(order: &GuardOrder) -> io::Result<Pid> {
    let input = if order.has_terminal { stdout().as_fd().try_clone_to_owned()?.into() } else { Stdio::null() };
    let mut launcher = this_program(LAUNCH)?;
    launcher.arg(getpid().as_raw_nonzero().to_string());
    launcher.arg(u8::from(order.has_terminal).to_string()).arg(order.open_files.unwrap_or(0).to_string());
    let spawned = launcher.args(&order.command).stdin(input).spawn();
    drop(launcher);
    let nowhere = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    spawned.map(|child| Pid::from_child(&child))
}

/// What a guard watches over.
struct Guarded {
    group: Group,
    order: GuardOrder,
    phase: EndPhase,
    /// The adopted children that were asked to end.
    told: Vec<Pid>,
    /// How the command ended, once it has.
    exit: Option<Exit>,
}

#[derive(Clone, Copy)]
enum EndPhase {
    Running,
    /// It was asked to end, and is killed at this time.
    Ending(Instant),
    /// It was killed, and is left alone at this time.
    Killed(Instant),
}

impl Guarded {
    /// Reaps what has ended, and sees to what was adopted since. Returns how the command ended, once.
    fn look(&mut self) -> Option<Exit> {
        let news = if self.exit.is_none() { self.group.exit() } else { None };
        if news.is_some() {
            self.exit.clone_from(&news);
            let is_alone = matches!(self.phase, EndPhase::Running);
            // A command that was told to end may have left a child in its group that is still busy with that.
            if is_alone || children::adopted(None).is_none() {
                let _ = self.group.signal(Signal::KILL);
            }
            if is_alone {
                self.phase = EndPhase::Ending(Instant::now() + self.order.kill_after);
            }
        }
        let mut adopted = children::adopted(self.group.leader()).unwrap_or_default();
        adopted.retain(|child| children::lives_on(*child));
        match self.phase {
            EndPhase::Running => {}
            EndPhase::Ending(_) => {
                self.told.retain(|told| adopted.contains(told));
                adopted.retain(|child| !self.told.contains(child));
                adopted.iter().for_each(|child| self.ask(|signal| children::signal(*child, signal)));
                self.told.extend(adopted);
            }
            EndPhase::Killed(_) => adopted.iter().for_each(|child| children::signal(*child, Signal::KILL)),
        }
        news
    }

    /// Whether nothing is left, or nothing that can be ended.
    fn is_over(&mut self) -> bool {
        if matches!(self.phase, EndPhase::Killed(until) if until <= Instant::now()) {
            return true;
        }
        if self.exit.is_none() || children::adopted(self.group.leader()).is_some_and(|adopted| !adopted.is_empty()) {
            return false;
        }
        self.group.reap();
        !children::any_lives_on()
    }

    /// Asks all of it to end.
    fn end(&mut self) {
        if matches!(self.phase, EndPhase::Running) {
            self.phase = EndPhase::Ending(Instant::now() + self.order.kill_after);
            self.ask(|signal| drop(self.group.signal(signal)));
        }
    }

    /// By the signals in their order: a process that is stopped acts on them only when it is continued, and an interactive shell acts
    /// on the hangup of its terminal alone.
    fn ask(&self, send: impl Fn(Signal)) {
        send(Signal::TERM);
        if self.order.has_terminal {
            send(Signal::HUP);
        }
        send(Signal::CONT);
    }

    /// Kills all of it; what is adopted afterwards is killed in `look`.
    fn kill(&mut self) {
        if !matches!(self.phase, EndPhase::Killed(_)) {
            self.phase = EndPhase::Killed(Instant::now() + AFTER_KILL);
        }
        let _ = self.group.signal(Signal::KILL);
    }

    /// Waits for the time at which it is killed, or left alone.
    async fn deadline(&self) {
        match self.phase {
            EndPhase::Running => std::future::pending().await,
            EndPhase::Ending(deadline) | EndPhase::Killed(deadline) => sleep_until(deadline).await,
        }
    }
}
