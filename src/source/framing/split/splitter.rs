//! The shape of everything that cuts, and what comes out.

use bytes::Bytes;

use crate::format::{ImageClass, Media};

/// One body that was cut out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPart {
    /// What it is, where the cutting told.
    pub media: Option<Media>,
    /// Its bytes, never none.
    pub bytes: Bytes,
    /// Which image decoder takes it, where finding its end told.
    pub class: Option<ImageClass>,
}

/// What a splitter makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// Frames, of which the newest counts.
    Frames,
    /// Text, of which every piece counts.
    Text,
}

/// What cuts one pipe.
pub trait Splitter: std::fmt::Debug + Send {
    /// Takes what was read and adds the bodies that it completes.
    fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>);

    /// Takes the end of the pipe, and adds the last body where it needs no end of its own.
    fn finish(&mut self, bodies: &mut Vec<RawPart>);

    /// What it makes; unknown as long as the first bytes have not come that tell.
    fn makes(&self) -> Option<Makes>;

    /// Bodies that were too large, broken or cut off.
    fn refused(&self) -> u64;

    /// Bytes in hand of a body whose end has not come.
    fn pending(&self) -> usize;
}
