//! The command line as clap sees it. It imports nothing of this crate; `config` turns the arguments into a validated `Config`.

mod args;
mod read;
mod suggest;

pub use self::{
    args::{AccessArgs, Cli, Command, Common, Log, LogFormat, Parts, Serve, Serving, Stdin, Typed, Watch},
    read::read,
    suggest::unknown_variables,
};
