//! The `mxr` program: parses the command line and hands it to the library.

use std::process::ExitCode;

use clap::CommandFactory;
use mxr::{
    cli::{Cli, Command},
    config::{Config, LogConfig},
    run,
};

fn main() -> ExitCode {
    let Cli { command, typed } = Cli::read();
    let done = match command {
        Command::Serve(serve) => run::serve(LogConfig::new(&serve.common.log), || Config::serve(serve, typed)),
        Command::Watch(watch) => run::serve(LogConfig::new(&watch.common.log), || Config::watch(watch, typed)),
        Command::Stdin(stdin) => run::serve(LogConfig::new(&stdin.common.log), || Config::stdin(stdin, typed)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "mxr", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
    };
    done.into()
}
