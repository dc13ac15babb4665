//! The `mxr` program: reads the command line and hands it to the library.

use std::process::ExitCode;

use clap::CommandFactory;
use mxr::{
    cli::{Cli, Command},
    config::{Config, LogConfig},
    run,
};

fn main() -> ExitCode {
    let done = match Cli::read().command {
        Command::Serve(serve) => run::serve(LogConfig::new(&serve.common.log), || Config::serve(serve)),
        Command::Watch(watch) => run::serve(LogConfig::new(&watch.common.log), || Config::watch(watch)),
        Command::Stdin(stdin) => run::serve(LogConfig::new(&stdin.common.log), || Config::stdin(stdin)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "mxr", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
    };
    done.into()
}
