//! The `mxr` program: parses the command line and hands it to the library.

use std::{io::Write, process::ExitCode};

use mxr::{
    cli::{completions, read},
    config::invocation::Invocation,
    process, run,
};

fn main() -> ExitCode {
    if let Some(code) = process::run_role() {
        return code;
    }
    match Invocation::of(read()) {
        Invocation::Serve(log, config) => run::serve(log, config).into(),
        Invocation::Record(log, config) => run::record(log, config).into(),
        Invocation::Check(log, text) => run::check(log, text).into(),
        Invocation::Doctor(settings) => run::doctor(settings).into(),
        Invocation::Completions(shell) => {
            // A reader that has seen enough is no failure.
            let _ = std::io::stdout().write_all(&completions(shell));
            ExitCode::SUCCESS
        }
    }
}
