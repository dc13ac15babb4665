//! Parses the arguments of this process.

use std::{env, ffi::OsString};

use clap::FromArgMatches;

use super::{
    args::{Cli, Typed},
    suggest,
};

/// Parses the arguments; on an error it prints that and exits with 2.
pub fn read() -> Cli {
    let matches = suggest::command().try_get_matches().unwrap_or_else(|error| suggest::explain(error).exit());
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut suggest::command()).exit());
    cli.typed = matches.subcommand().map(|(_, matches)| Typed::of(matches)).unwrap_or_default();
    cli
}

/// The words behind the command, as they were typed.
pub fn typed_words() -> Vec<OsString> {
    env::args_os().skip(2).collect()
}
