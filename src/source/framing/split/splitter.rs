//! The interface of all splitters, and their output. It knows no particular splitter.

use std::time::SystemTime;

use bytes::Bytes;

use crate::format::{ImageClass, Media};

/// One body that a splitter has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPart {
    /// Its type, if the format shows it.
    pub media: Option<Media>,
    /// Its bytes, never empty.
    pub bytes: Bytes,
    /// Which image decoder reads it, if the scan for its end showed that.
    pub class: Option<ImageClass>,
    /// What its sender says of it.
    pub stamp: PartStamp,
}

/// The time and the number that a sender gave a part; none unless its format has headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartStamp {
    /// `X-Timestamp`, by the sender's clock.
    pub time: Option<SystemTime>,
    /// `X-Sequence`, which mxr sends.
    pub sequence: Option<u64>,
}

/// The kind of parts that a splitter makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// Frames: only the newest counts.
    Frames,
    /// Text: every piece counts.
    Text,
}

/// Splits one byte stream into bodies.
pub trait Splitter: std::fmt::Debug + Send {
    /// Takes the bytes of one read, and appends the bodies that they complete.
    fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>);

    /// Takes the end of the stream, and appends the last body if that completes it. A splitter of lines can go on with the next
    /// stream.
    fn finish(&mut self, bodies: &mut Vec<RawPart>);

    /// The kind of parts; `None` until the first bytes have shown it.
    fn makes(&self) -> Option<Makes>;

    /// The number of bodies that were too large, broken or cut off.
    fn refused(&self) -> u64;

    /// Bytes held of a body whose end has not come.
    fn pending(&self) -> usize;
}
