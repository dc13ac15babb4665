//! The options of `mxr exec`: what they mean, and which of them do not go together. It knows no process.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    time::Duration,
};

use super::{Config, check_screen, stream_parts};
use crate::{
    cli::{self, Exec, RestartWhen, Stderr, Typed},
    error::{Error, Result},
    process::program_exists,
    source::{
        SourceStart,
        exec::{self, CommandMessages, CommandTerminal, ExecMode, ExecSettings, Restart, RunTrigger},
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
        let every = exec.every.map(RunTrigger::Every);
        let when = (!exec.when.is_empty()).then_some(RunTrigger::When(exec.when));
        let mode = match every.or(when) {
            Some(trigger) => ExecMode::Periodic { trigger, file: exec.output, timeout: exec.timeout },
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
        let mut config = Self::new(SourceStart::new(|context| exec::source(settings, &context)), exec.common, typed)?;
        exec.every.into_iter().for_each(|every| config.expect_every(every));
        Ok(config)
    }
}

/// Options that were typed and have nothing to act on, or that contradict each other.
fn check(exec: &Exec, typed: &Typed) -> Result<()> {
    let use_of = |option: &str, why: &str| Err(Error::usage(format!("use --{option}"), why));
    let of_stream = ["split", "window", "restart", "screen"].into_iter().find(|option| typed.has(option));
    let of_runs = ["timeout", "output"].into_iter().find(|option| typed.has(option));
    let runs = if exec.every.is_some() { Some("every") } else { (!exec.when.is_empty()).then_some("when") };
    match (runs, of_stream, of_runs) {
        (Some(runs), Some(option), _) => {
            let why = match option {
                "restart" => "the command is run again anyway",
                _ => "the whole output of each run is one part",
            };
            return use_of(&format!("{option} with --{runs}"), why);
        }
        (None, _, Some(option)) => return use_of(option, "it is for runs of --every and --when, and there are none"),
        _ => {}
    }
    if exec.every.is_some() && !exec.when.is_empty() {
        return use_of("every with --when", "a command runs either again and again, or when a file has changed");
    }
    if let Some(every) = exec.every.filter(|every| *every < SHORTEST) {
        let what = format!("use --every {}", humantime::format_duration(every));
        return Err(Error::usage(what, "less than 10ms would only start processes"));
    }
    if let Some(output) = exec.output.as_deref().filter(|output| exec.when.iter().any(|path| is_same_or_in(output, path))) {
        let why = format!("each run would change {}, and begin another one", output.display());
        return Err(Error::usage("use --output with such a --when", why).hint("name the files that the command reads"));
    }
    if runs.is_some() && exec.timeout == Some(Duration::ZERO) {
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
    check_program(exec.command.first().map_or("".as_ref(), OsString::as_os_str), typed)
}

/// A program that is something else.
fn check_program(program: &OsStr, typed: &Typed) -> Result<()> {
    if program.is_empty() {
        return Err(Error::usage("run a command", "its name is empty"));
    }
    let text = program.to_string_lossy();
    if typed.has("screen") && cli::is_cells(&text) && !program_exists(program) {
        let why = format!("{text} is taken for the command");
        return Err(Error::usage("use --screen", why).hint(format!("write the size after an equals sign: --screen={text}")));
    }
    // A name with blanks is a rare thing, and a line for a shell a frequent one.
    match text.split_once(char::is_whitespace) {
        // Its arguments may hold secrets.
        Some((first, _)) if program_exists(first.as_ref()) && !program_exists(program) => {
            let error = Error::usage(format!("run '{first} …'"), "all of it is one word, and no program has that name");
            Err(error.hint("no shell reads it: make each word one of its own, or use sh -c"))
        }
        _ => Ok(()),
    }
}

/// Whether a file is this path, or lies directly in it.
fn is_same_or_in(file: &Path, path: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let dir = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    real(file) == real(path) || real(dir) == real(path)
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
