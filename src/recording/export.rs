//! A stretch of an archive as a recording of its own, made while it is read: a few pieces in memory, whatever its length. It copies
//! bodies, writes the heads anew, and decides nothing about which stretch.

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::Path,
    sync::Arc,
    time::SystemTime,
    vec::IntoIter,
};

use bytes::{Buf, Bytes};
use tracing::debug;

use super::{
    appender::RecordedPart,
    head::{PartHead, file_head, of_feed, part_head},
    index::{micros, time_of},
    reader::Recording,
};
use crate::{format::Media, wire::Boundary};

/// Bytes that are read and sent at a time.
const CHUNK: usize = 256 << 10;

/// The wanted parts of a file: those of the wanted feed with times in the wanted range, between two offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    pub(super) file: Arc<Path>,
    /// The offset of the first part.
    pub(super) first: u64,
    /// The offset of the last part.
    pub(super) last: u64,
    /// The time of the first part.
    pub(super) time: SystemTime,
}

impl Extent {
    /// The time of the first part.
    pub fn start(&self) -> SystemTime {
        self.time
    }
}

/// Which parts of the extents.
#[derive(Debug, Clone)]
pub struct ArchiveStretch {
    /// Of this feed alone.
    pub feed: Option<String>,
    /// From this time on.
    pub from: SystemTime,
    /// Up to this time.
    pub to: SystemTime,
    /// The name for parts without a feed.
    pub unnamed: String,
}

/// The bytes of a recording that is made while it is read.
#[derive(Debug)]
pub struct Export {
    boundary: Boundary,
    stretch: ArchiveStretch,
    extents: VecDeque<Extent>,
    /// The file that is read, the cursor in it, and where it is read from and to.
    open: Option<(Recording, u64, Extent)>,
    /// The next part of the files, and its time.
    next: Option<(PartHead, u64)>,
    /// The time of the last part of each feed: a part without a time has it.
    times: HashMap<String, u64>,
    /// Parts that are in memory alone, in the order of their times.
    held: std::iter::Peekable<IntoIter<RecordedPart>>,
    /// The rest of the body that is being written.
    body: Option<ExportBody>,
    /// Parts that were begun.
    parts: u64,
    stage: ExportStage,
}

#[derive(Debug)]
enum ExportBody {
    /// Of the part that was read last, from this offset on.
    File(PartHead, u64),
    Memory(Bytes),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExportStage {
    Head,
    Parts,
    Done,
}

impl Export {
    /// The parts of these files and these parts in memory, merged by their times.
    pub fn new(stretch: ArchiveStretch, extents: Vec<Extent>, held: Vec<RecordedPart>) -> Self {
        let (boundary, extents, held) = (Boundary::random(), extents.into(), held.into_iter().peekable());
        let (open, next, times, body) = (None, None, HashMap::new(), None);
        Self { boundary, stretch, extents, open, next, times, held, body, parts: 0, stage: ExportStage::Head }
    }

    /// The next bytes, about 256 KiB; `None` at the end. Files that were deleted meanwhile are left out.
    ///
    /// # Errors
    /// Those of read(2): the rest is missing, also the close-delimiter.
    pub fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        if self.stage == ExportStage::Done {
            return Ok(None);
        }
        let mut chunk = Vec::new();
        if self.stage == ExportStage::Head {
            chunk.extend_from_slice(file_head(&self.boundary).as_bytes());
            self.stage = ExportStage::Parts;
        }
        while chunk.len() < CHUNK {
            let piece = self.piece(CHUNK - chunk.len())?;
            match piece {
                Some(piece) => chunk.extend_from_slice(&piece),
                None if !self.begin_part(&mut chunk)? => {
                    chunk.extend_from_slice(&self.boundary.close_delimiter());
                    self.stage = ExportStage::Done;
                    break;
                }
                None => {}
            }
        }
        Ok(Some(chunk.into()))
    }

    /// More of the body that is being written.
    fn piece(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        let piece = match &mut self.body {
            None => return Ok(None),
            Some(ExportBody::Memory(rest)) => rest.split_to(rest.remaining().min(limit)),
            Some(ExportBody::File(part, offset)) => match &self.open {
                Some((recording, ..)) => {
                    let piece = recording.body_piece(part, *offset, limit)?;
                    *offset += piece.len() as u64;
                    piece
                }
                None => Bytes::new(),
            },
        };
        if piece.is_empty() {
            self.body = None;
        }
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Writes the head of the next part. Returns whether there is one.
    fn begin_part(&mut self, chunk: &mut Vec<u8>) -> io::Result<bool> {
        if self.next.is_none() {
            self.next = self.next_in_files()?;
        }
        let held = match &self.next {
            Some((_, time)) => self.held.next_if(|held| micros(held.time) <= *time),
            None => self.held.next(),
        };
        self.parts += 1;
        if let Some(RecordedPart { feed, media, time, sequence, kind, body, .. }) = held {
            chunk.extend_from_slice(&self.boundary.delimiter());
            chunk.extend_from_slice(&part_head(&media, body.len(), (time, sequence), &of_feed(&feed, kind), None));
            self.body = Some(ExportBody::Memory(body));
        } else if let Some((part, time)) = self.next.take() {
            let media = part.headers.media.clone().unwrap_or_else(|| Media::from_known("application/octet-stream"));
            let feed = part.feed.as_deref().unwrap_or(&self.stretch.unnamed);
            let (time, sequence) = (time_of(time), part.headers.sequence.unwrap_or(self.parts));
            chunk.extend_from_slice(&self.boundary.delimiter());
            chunk.extend_from_slice(&part_head(
                &media,
                part.length as usize,
                (time, sequence),
                &of_feed(feed, part.kind.as_deref()),
                part.clock,
            ));
            self.body = Some(ExportBody::File(part, 0));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn next_in_files(&mut self) -> io::Result<Option<(PartHead, u64)>> {
        loop {
            let Some((recording, cursor, extent)) = &mut self.open else {
                let Some(extent) = self.extents.pop_front() else { return Ok(None) };
                match Recording::open(&extent.file) {
                    Ok(recording) => self.open = Some((recording, extent.first, extent)),
                    Err(why) => debug!(file = %extent.file.display(), "left out of a download: {why}"),
                }
                continue;
            };
            match recording.next_part(cursor)?.filter(|part| part.at <= extent.last) {
                None => self.open = None,
                Some(part) => {
                    if let Some(time) = self.wanted(&part) {
                        return Ok(Some((part, time)));
                    }
                }
            }
        }
    }

    /// The time of a part, if it is one of the stretch.
    fn wanted(&mut self, part: &PartHead) -> Option<u64> {
        let ArchiveStretch { feed, from, to, unnamed } = &self.stretch;
        let name = part.feed.as_deref().unwrap_or(unnamed);
        if feed.as_deref().is_some_and(|feed| feed != name) {
            return None;
        }
        let range = micros(*from)..=micros(*to);
        let time = match (part.headers.time, self.times.get_mut(name)) {
            (Some(time), Some(last)) => {
                *last = micros(time);
                *last
            }
            (Some(time), None) => *self.times.entry(name.to_owned()).or_insert(micros(time)),
            // An extent begins with a part that is wanted.
            (None, last) => last.copied().or_else(|| Some(micros(self.open.as_ref()?.2.time)))?,
        };
        range.contains(&time).then_some(time)
    }
}
