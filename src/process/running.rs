//! A command that runs, as mxr sees it: its number, its end, and how to end it. A thread for each reads what the guard says. It
//! signals nothing itself.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    process::Child,
    sync::{Arc, LazyLock},
    thread,
};

use rustix::process::Signal;
use tokio::sync::watch;

use super::{exit::Exit, group::signal_group};

/// The sockets of all guards that live, by the number of the process.
static GUARDS: LazyLock<watch::Sender<BTreeMap<u32, Arc<UnixStream>>>> = LazyLock::new(|| watch::Sender::new(BTreeMap::new()));

/// Ends all commands that run, and waits until nothing of them is left. To be called before the program exits.
pub async fn end_all() {
    let mut guards = GUARDS.subscribe();
    guards.borrow().values().for_each(|control| ask_to_end(control));
    let _ = guards.wait_for(BTreeMap::is_empty).await;
}

/// What is known of a command.
#[derive(Debug, Clone, Default)]
struct CommandProgress {
    pid: Option<u32>,
    exit: Option<Exit>,
    /// Whether nothing of it is left.
    is_gone: bool,
}

/// A command that was started. Dropping it ends the command.
#[derive(Debug)]
pub struct Running {
    progress: watch::Receiver<CommandProgress>,
    control: Arc<UnixStream>,
}

impl Running {
    /// A command whose guard is at the other end of this socket.
    pub(super) fn of(mut guard: Child, control: UnixStream) -> io::Result<Self> {
        let (sender, progress) = watch::channel(CommandProgress::default());
        let reader = control.try_clone()?;
        let control = Arc::new(control);
        let number = guard.id();
        GUARDS.send_modify(|guards| drop(guards.insert(number, control.clone())));
        let body = move || {
            follow(reader, &sender);
            let _ = guard.wait();
            end_orphans(&sender.borrow());
            GUARDS.send_modify(|guards| drop(guards.remove(&number)));
            let exit = || Exit::Unknown("the guard of the command was killed".to_owned());
            sender.send_modify(|progress| {
                progress.exit.get_or_insert_with(exit);
                progress.is_gone = true;
            });
        };
        if let Err(error) = thread::Builder::new().name("guard".to_owned()).spawn(body) {
            // The last copies of the socket go, and so does the guard with all that it watches.
            GUARDS.send_modify(|guards| drop(guards.remove(&number)));
            return Err(error);
        }
        Ok(Self { progress, control })
    }

    /// Waits until it runs, and returns the number of its process; `None` if it could not be started.
    pub async fn started(&mut self) -> Option<u32> {
        let progress = self.progress.wait_for(|progress| progress.pid.is_some() || progress.exit.is_some()).await;
        progress.ok().and_then(|progress| progress.pid)
    }

    /// Waits for its end: that of its own process. What that leaves behind in its group is killed first.
    pub async fn exit(&mut self) -> Exit {
        let progress = self.progress.wait_for(|progress| progress.exit.is_some()).await;
        let exit = progress.ok().and_then(|progress| progress.exit.clone());
        exit.unwrap_or_else(|| Exit::Unknown("the guard of the command is gone".to_owned()))
    }

    /// Asks it to end: SIGTERM for its group and for what it left behind, then SIGKILL.
    pub fn stop(&self) {
        ask_to_end(&self.control);
    }

    /// Waits until nothing of it is left.
    pub async fn gone(&mut self) {
        // Without the thread nothing is left either.
        let _ = self.progress.wait_for(|progress| progress.is_gone).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Kills what a guard left that was killed itself: its command died with it, but nobody adopted the others of that group. They hold
/// its number, so that no other group has it.
fn end_orphans(progress: &CommandProgress) {
    if let CommandProgress { pid: Some(pid), exit: None, .. } = progress {
        let _ = signal_group(i32::try_from(*pid).unwrap_or(0), Signal::KILL);
    }
}

/// A guard that is gone needs no request.
fn ask_to_end(mut control: &UnixStream) {
    let _ = control.write_all(b"\n");
}

/// Reads what the guard says, to its end.
fn follow(reader: UnixStream, sender: &watch::Sender<CommandProgress>) {
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        if let Some(pid) = line.strip_prefix("started ").and_then(|pid| pid.parse().ok()) {
            sender.send_modify(|progress| progress.pid = Some(pid));
        } else if let Some(exit) = Exit::from_line(&line) {
            sender.send_modify(|progress| progress.exit = Some(exit));
        }
    }
}
