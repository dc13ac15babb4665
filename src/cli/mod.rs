//! The command line as clap sees it. It imports nothing of this crate; `config` turns the arguments into a validated `Config`.

mod amount;
mod args;
mod read;
mod suggest;

pub use self::{args::*, read::read, suggest::unknown_variables};
