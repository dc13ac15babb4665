//! Recordings: the parts of feeds in files that any multipart reader opens. It owns the format, a writer that never holds up a
//! feed, a reader that looks at headers alone, files by time and what is deleted of them. It knows nothing of feeds, sources or
//! HTTP.
//!
//! ```text
//!   Content-Type: multipart/mixed; boundary=B CRLF  X-Recording: mxr 1 CRLF
//!   CRLF--B CRLF  headers CRLF  body
//!   CRLF--B CRLF  headers CRLF  body
//!   CRLF--B-- CRLF
//! ```
//!
//! docs/recordings.md is the contract.

mod appender;
mod archive;
mod catalog;
mod export;
mod files;
mod found;
mod frames;
mod head;
mod index;
mod known_parts;
mod moment;
mod order;
mod pacing;
mod part_writer;
mod place;
mod reader;
mod recorder;
mod retention;
mod saved;
mod segments;
mod walk;

pub use self::{
    appender::{Appender, Cut, Medium, RecordedPart},
    archive::{Archive, ArchiveSpan, Indexing, NewestParts, Seek, SpreadPart},
    export::{ArchiveStretch, Export, OpeningPart},
    found::{ArchivePart, Extent, FoundReader},
    frames::{FrameFolder, download_name},
    head::{ClockReading, FileHead, PartHead, RunClock},
    moment::{PlayedTime, moment},
    pacing::Pacing,
    part_writer::PartWriter,
    place::{Opened, Place, SegmentLimit, SegmentPlace, SingleFile},
    reader::{Recording, spread},
    recorder::{Recorder, RecorderCounters, RecorderSettings},
    retention::{Keep, Retention},
    saved::SavedStream,
    segments::{Segment, segment_name, segments_of},
};

#[cfg(test)]
mod tests;
