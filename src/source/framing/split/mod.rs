//! Splits a byte stream into bodies. All splitters have one interface, [`Splitter`]: they take the bytes of each read and return
//! bodies. The result does not depend on read sizes, a body is returned with its last byte, and memory is bounded. No splitter
//! knows feeds.

mod auto;
mod build;
mod document;
mod markup;
mod multipart;
mod picture;
mod rule;
mod sniff;
mod splitter;
mod text;
mod text_first;

pub use self::{
    multipart::whole_part,
    rule::{Markup, Split},
    splitter::{Makes, PartStamp, RawPart, Splitter},
};
