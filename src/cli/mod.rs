//! The command line as clap sees it. It imports nothing of this crate; `config` turns the arguments into a validated `Config`.

mod amount;
mod args;
mod completions;
mod read;
mod split_words;
mod suggest;

pub use self::{args::*, completions::completions, read::read, suggest::unknown_variables};
