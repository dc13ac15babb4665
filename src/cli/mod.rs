//! The command line as clap sees it. It imports nothing of this crate; `config` turns the arguments into a validated `Config`.

mod amount;
mod args;
mod completions;
mod keys;
mod read;
mod split_words;
mod suggest;

pub use self::{
    amount::{RecordedTime, Stretch, TimeOrSize, is_cells},
    args::*,
    completions::completions,
    keys::{KeyValue, Keys, Misuse, is_for_all_feeds, sources, unknown},
    read::{read, typed_words},
    suggest::unknown_variables,
};
