//! The `mxr` program: parses the command line and hands it to the library.

use std::process::ExitCode;

use clap::CommandFactory;
use mxr::{
    cli::{self, Cli},
    config::Invocation,
    run,
};

fn main() -> ExitCode {
    match Invocation::of(cli::read()) {
        Invocation::Serve(log, config) => run::serve(log, config).into(),
        Invocation::Completions(shell) => {
            clap_complete::generate(shell, &mut Cli::command(), "mxr", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}
