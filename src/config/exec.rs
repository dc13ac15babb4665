//! The options of `mxr exec`: what they mean, and which of them do not go together. It knows no process.

use std::time::Duration;

use super::{Config, check_screen, stream_parts};
use crate::{
    cli::{Exec, RestartWhen, Stderr, Typed},
    error::{Error, Result},
    source::{
        SourceStart,
        exec::{self, CommandMessages, CommandTerminal, ExecMode, ExecSettings, Restart},
        screen::ScreenSize,
    },
};

/// The shortest time between two runs.
const SHORTEST: Duration = Duration::from_millis(10);

impl Config {
    /// From `mxr exec`.
    ///
    /// # Errors
    /// If a value is invalid.
    pub(super) fn exec(exec: Exec, typed: Typed) -> Result<Self> {
        check(&exec, &typed)?;
        let mode = match exec.every {
            Some(every) => ExecMode::Periodic { every, timeout: exec.timeout },
            None => {
                ExecMode::Streaming { parts: stream_parts(exec.screen, &exec.split, exec.window)?, restart: restart(exec.restart) }
            }
        };
        let terminal = match exec.screen {
            Some((cols, rows)) => CommandTerminal::Screen(ScreenSize { cols, rows }),
            None if exec.pty => CommandTerminal::Lines,
            None => CommandTerminal::None,
        };
        let settings = ExecSettings {
            command: exec.command,
            mode,
            stderr: messages(exec.stderr, terminal != CommandTerminal::None),
            terminal,
            linger: (!exec.always).then_some(exec.linger),
            kill_after: exec.kill_after,
        };
        Self::new(SourceStart::new(|context| exec::source(settings, &context)), exec.common, typed)
    }
}

/// Options that were typed and have nothing to act on, or that contradict each other.
fn check(exec: &Exec, typed: &Typed) -> Result<()> {
    let use_of = |option: &str, why: &str| Err(Error::usage(format!("use --{option}"), why));
    let of_stream = ["split", "window", "restart", "screen"].into_iter().find(|option| typed.has(option));
    match (exec.every, of_stream) {
        (Some(_), Some(option)) => return use_of(&format!("{option} with --every"), "the whole output of each run is one part"),
        (Some(every), None) if every < SHORTEST => {
            let what = format!("use --every {}", humantime::format_duration(every));
            return Err(Error::usage(what, "less than 10ms would only start processes"));
        }
        (None, _) if typed.has("timeout") => return use_of("timeout", "it ends runs of --every, and there are none"),
        _ => {}
    }
    if exec.every.is_some() && exec.timeout == Some(Duration::ZERO) {
        return use_of("timeout 0", "every run would be ended at once");
    }
    if exec.always && typed.has("linger") {
        return use_of("linger with --always", "one ends the command after the last viewer, the other does not");
    }
    let terminal = [("pty", exec.pty), ("screen", exec.screen.is_some())].into_iter().find(|(_, is_set)| *is_set);
    if let Some((name, _)) = terminal
        && typed.has("stderr")
        && exec.stderr != Stderr::Merge
    {
        return use_of(&format!("stderr with --{name}"), "on a terminal both outputs are one");
    }
    check_screen(exec.screen, typed)?;
    if exec.command.first().is_some_and(|program| program.is_empty()) {
        return Err(Error::usage("run a command", "its name is empty"));
    }
    Ok(())
}

fn messages(stderr: Stderr, has_terminal: bool) -> CommandMessages {
    match stderr {
        _ if has_terminal => CommandMessages::Merge,
        Stderr::Inherit => CommandMessages::Inherit,
        Stderr::Merge => CommandMessages::Merge,
        Stderr::Feed => CommandMessages::Feed,
    }
}

fn restart(when: RestartWhen) -> Restart {
    match when {
        RestartWhen::No => Restart::No,
        RestartWhen::OnFailure => Restart::OnFailure,
        RestartWhen::Always => Restart::Always,
    }
}
