//! The `mxr` program: parses the command line and hands it to the library.

use std::{io::Write, process::ExitCode};

use mxr::{
    cli::{completions, read},
    config::Invocation,
    run,
};

fn main() -> ExitCode {
    match Invocation::of(read()) {
        Invocation::Serve(log, config) => run::serve(log, config).into(),
        Invocation::Check(log, text) => run::check(log, text).into(),
        Invocation::Completions(shell) => {
            // A reader that has seen enough is no failure.
            let _ = std::io::stdout().write_all(&completions(shell));
            ExitCode::SUCCESS
        }
    }
}
