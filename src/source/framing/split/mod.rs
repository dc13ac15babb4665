//! Splits a byte stream into bodies. All splitters have one interface, [`Splitter`]: they take the bytes of each read and return
//! bodies. The result does not depend on read sizes, a body is returned with its last byte, and memory is bounded. No splitter
//! knows feeds.

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
