//! The reading of one log as it grows: where it stands, where its last lines begin, how its text is encoded, and what became of
//! a log that was rotated. It does not know when to look, which path leads to a log, nor what its lines are for.

mod encoding;
mod last_lines;
mod open_log;
mod position;
mod rotation;

pub(super) use self::{
    open_log::{Chunk, OpenLog},
    rotation::{Old, Rotated, is_named_after, missed, old, rotated},
};
