//! Cuts a pipe into bodies. Every way of cutting has one shape, [`Splitter`]: it is fed what was read, and hands bodies out. Read
//! sizes make no difference to what comes out, a body leaves with its last byte, and memory stays bounded.

mod auto;
mod build;
mod multipart;
mod picture;
mod rule;
mod splitter;
mod text;

pub use self::{
    rule::Split,
    splitter::{Makes, RawPart, Splitter},
};
