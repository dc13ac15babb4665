//! One run of a command: its process and its output, read to the end. It does not know why the command runs.

use std::{ffi::OsString, io, process::Stdio, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, warn};

use super::settings::{CommandMessages, CommandTerminal};
use crate::{
    process::{CommandOutput, Exit, Running, Spawn, Streams, keep_line_ends, open_pty},
    source::screen::{ScreenSize, TERM},
};

/// Bytes per read, and so the most that is published in one block.
const READ_BYTES: usize = 64 * 1024;
/// How long output may take from a command that has ended to us; what others write to it later is not its own.
const QUIET: Duration = Duration::from_millis(50);
/// The longest that this is waited for, where they write all the time.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// What the terminal of `--pty` is: colours reach viewers.
const PTY_TERM: &str = "xterm-256color";

impl CommandTerminal {
    fn size(self) -> ScreenSize {
        match self {
            Self::Screen(size) => size,
            Self::None | Self::Lines => ScreenSize { cols: 80, rows: 24 },
        }
    }

    /// The variables that tell a command of it.
    fn env(self) -> Vec<(OsString, OsString)> {
        let set = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        match self {
            Self::None => Vec::new(),
            Self::Lines => vec![set("TERM", PTY_TERM)],
            Self::Screen(ScreenSize { cols, rows }) => {
                vec![set("TERM", TERM), set("COLUMNS", &cols.to_string()), set("LINES", &rows.to_string())]
            }
        }
    }
}

/// A command that can be run.
#[derive(Debug)]
pub(super) struct CommandRunner {
    pub(super) command: Vec<OsString>,
    pub(super) stderr: CommandMessages,
    pub(super) terminal: CommandTerminal,
    pub(super) kill_after: Duration,
}

impl CommandRunner {
    /// The program, for the log; arguments may hold secrets.
    pub(super) fn program(&self) -> String {
        self.command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Starts it. To be called within a runtime.
    ///
    /// # Errors
    /// If the system cannot start a process.
    pub(super) fn start(&self) -> io::Result<CommandRun> {
        let terminal = self.terminal;
        let (stdout, stderr, streams) = match terminal {
            CommandTerminal::None => self.pipes()?,
            _ => open_terminal(terminal)?,
        };
        let without = if terminal == CommandTerminal::Lines { vec!["COLUMNS".into(), "LINES".into()] } else { Vec::new() };
        let env = terminal.env();
        let spawn = Spawn { command: self.command.clone(), streams, env, without, kill_after: self.kill_after };
        let running = spawn.start()?;
        debug!(program = self.program(), "the command is started");
        let buffers = [vec![0; READ_BYTES], Vec::new()];
        Ok(CommandRun { running, stdout: Some(stdout), stderr, buffers, has_terminal: terminal != CommandTerminal::None })
    }

    fn pipes(&self) -> io::Result<(CommandOutput, Option<CommandOutput>, Streams)> {
        let (stdout, writer) = CommandOutput::pipe()?;
        let (stderr, messages) = match self.stderr {
            CommandMessages::Inherit => (None, Stdio::inherit()),
            CommandMessages::Merge => (None, writer.try_clone()?.into()),
            CommandMessages::Feed => {
                let (stderr, writer) = CommandOutput::pipe()?;
                (Some(stderr), writer.into())
            }
        };
        Ok((stdout, stderr, Streams::Files { stdout: writer.into(), stderr: messages }))
    }
}

fn open_terminal(terminal: CommandTerminal) -> io::Result<(CommandOutput, Option<CommandOutput>, Streams)> {
    let cells = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let ScreenSize { cols, rows } = terminal.size();
    let (master, slave) = open_pty(cells(cols), cells(rows))?;
    if terminal == CommandTerminal::Lines {
        // It is cut into lines, and shown on no screen.
        keep_line_ends(&slave)?;
    }
    Ok((CommandOutput::of(master)?, None, Streams::Terminal(slave)))
}

/// A command that runs.
#[derive(Debug)]
pub(super) struct CommandRun {
    pub(super) running: Running,
    /// Until its end.
    stdout: Option<CommandOutput>,
    stderr: Option<CommandOutput>,
    buffers: [Vec<u8>; 2],
    has_terminal: bool,
}

/// What came of a command.
#[derive(Debug)]
pub(super) enum CommandNews<'a> {
    /// Bytes on its standard output.
    Output(&'a [u8]),
    /// Bytes on its standard error.
    Messages(&'a [u8]),
    /// It ended, and this was its last news.
    Ended(Exit),
}

impl CommandRun {
    /// Answers what the command asked its terminal.
    pub(super) fn answer(&self, replies: &[u8]) {
        self.stdout.iter().for_each(|terminal| terminal.type_now(replies));
    }

    /// Waits for news. Nothing is lost if the caller stops waiting.
    pub(super) async fn next(&mut self) -> CommandNews<'_> {
        let Self { running, stdout, stderr, buffers: [output, messages], .. } = self;
        messages.resize(if stderr.is_some() { READ_BYTES } else { 0 }, 0);
        loop {
            tokio::select! {
                read = read(stdout, output) => match read {
                    0 => *stdout = None,
                    count => return CommandNews::Output(&output[..count]),
                },
                read = read(stderr, messages) => match read {
                    0 => *stderr = None,
                    count => return CommandNews::Messages(&messages[..count]),
                },
                exit = running.exit() => return CommandNews::Ended(exit),
            }
        }
    }

    /// Reads what a command that has ended left in its pipes, or what one that was told to end still writes until nothing of it is
    /// left.
    pub(super) async fn rest(&mut self, mut take: impl FnMut(CommandNews<'_>)) {
        let Self { stdout, stderr, buffers: [output, messages], .. } = self;
        let until = Instant::now() + LONGEST_REST;
        while stdout.is_some() || stderr.is_some() {
            let news = async {
                tokio::select! {
                    count = read(stdout, output) => (true, count),
                    count = read(stderr, messages) => (false, count),
                }
            };
            match timeout_at(until, timeout(QUIET, news)).await {
                Ok(Ok((true, 0))) => *stdout = None,
                Ok(Ok((false, 0))) => *stderr = None,
                Ok(Ok((true, count))) => take(CommandNews::Output(&output[..count])),
                Ok(Ok((false, count))) => take(CommandNews::Messages(&messages[..count])),
                _ => return,
            }
        }
    }

    /// Tells it to end, and reads what it still writes until nothing of it is left.
    pub(super) async fn stop(&mut self, mut take: impl FnMut(CommandNews<'_>)) {
        self.running.stop();
        if self.has_terminal {
            // A shell that missed the signal while it started finds its terminal closed.
            self.stdout = None;
        }
        loop {
            match self.next().await {
                CommandNews::Ended(_) => break,
                news => take(news),
            }
        }
        let Self { running, stdout, stderr, buffers: [output, messages], .. } = self;
        // Others of its group may have more time, and may need their pipes emptied for that.
        loop {
            tokio::select! {
                () = running.gone() => return,
                read = read(stdout, output) => match read {
                    0 => *stdout = None,
                    count => take(CommandNews::Output(&output[..count])),
                },
                read = read(stderr, messages) => match read {
                    0 => *stderr = None,
                    count => take(CommandNews::Messages(&messages[..count])),
                },
            }
        }
    }
}

/// Reads from what is open; 0 at the end.
async fn read(from: &Option<CommandOutput>, buffer: &mut [u8]) -> usize {
    let Some(output) = from else { return std::future::pending().await };
    output.read(buffer).await.unwrap_or_else(|error| {
        warn!(%error, "cannot read the output of the command");
        0
    })
}
