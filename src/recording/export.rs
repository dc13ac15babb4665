//! A stretch of an archive as a recording of its own, made while it is read: a few pieces in memory, whatever its length. It copies
//! bodies, writes the heads anew, and decides nothing about which stretch.

use std::{
    collections::{HashMap, VecDeque},
    io,
    time::SystemTime,
    vec::IntoIter,
};

use bytes::{Buf, Bytes};
use tracing::debug;

use super::{
    appender::RecordedPart,
    found::{ArchivePart, Extent, FoundReader},
    head::{PartHead, file_head, of_feed, part_head},
    index::{micros, time_of},
    reader::Recording,
};
use crate::{format::Media, wire::Boundary};

/// Bytes that are read and sent at a time.
const CHUNK: usize = 256 << 10;

/// Which parts of the extents.
#[derive(Debug, Clone)]
pub struct ArchiveStretch {
    /// Of this feed alone.
    pub feed: Option<String>,
    /// From this time on.
    pub from: SystemTime,
    /// Up to this time.
    pub to: SystemTime,
    /// So many of the first parts with the time `from` are left out.
    pub without: usize,
    /// The name for parts without a feed.
    pub unnamed: String,
}

/// A part with which a copy begins, since it was shown when the stretch began.
#[derive(Debug)]
pub enum OpeningPart {
    /// It is recorded.
    Found(ArchivePart),
    /// It is in memory.
    Held(RecordedPart),
}

impl OpeningPart {
    /// Its time.
    pub fn time(&self) -> SystemTime {
        match self {
            Self::Found(found) => found.time,
            Self::Held(part) => part.time,
        }
    }
}

/// The bytes of a recording that is made while it is read.
#[derive(Debug)]
pub struct Export {
    boundary: Boundary,
    stretch: ArchiveStretch,
    opening: VecDeque<OpeningPart>,
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
    /// Of a part that the copy begins with.
    Found(Box<Recording>, PartHead, u64),
    Memory(Bytes),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExportStage {
    Head,
    Parts,
    Done,
}

impl Export {
    /// The parts of these files and these parts in memory, merged by their times, after those with which it begins.
    pub fn new(stretch: ArchiveStretch, opening: Vec<OpeningPart>, extents: Vec<Extent>, held: Vec<RecordedPart>) -> Self {
        let (boundary, opening, extents) = (Boundary::random(), opening.into(), extents.into());
        let (open, next, times, body, held) = (None, None, HashMap::new(), None, held.into_iter().peekable());
        Self { boundary, stretch, opening, extents, open, next, times, held, body, parts: 0, stage: ExportStage::Head }
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
            Some(ExportBody::Found(recording, part, offset)) => {
                let piece = recording.body_piece(part, *offset, limit)?;
                *offset += piece.len() as u64;
                piece
            }
        };
        if piece.is_empty() {
            self.body = None;
        }
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Writes the head of the next part. Returns whether there is one.
    fn begin_part(&mut self, chunk: &mut Vec<u8>) -> io::Result<bool> {
        while let Some(opening) = self.opening.pop_front() {
            if self.begin_opening(opening, chunk) {
                return Ok(true);
            }
        }
        loop {
            if self.next.is_none() {
                self.next = self.next_in_files()?;
            }
            let held = match &self.next {
                Some((_, time)) => self.held.next_if(|held| micros(held.time) <= *time),
                None => self.held.next(),
            };
            if let Some(held) = held {
                if !self.is_left_out(micros(held.time)) {
                    self.write_held(held, None, chunk);
                    return Ok(true);
                }
            } else if let Some((part, time)) = self.next.take() {
                if !self.is_left_out(time) {
                    self.write_head(&part, time_of(time), part.shown, chunk);
                    self.body = Some(ExportBody::File(part, 0));
                    return Ok(true);
                }
            } else {
                return Ok(false);
            }
        }
    }

    /// Whether it is one of the parts at the beginning that are too many.
    fn is_left_out(&mut self, time: u64) -> bool {
        let is_left_out = self.stretch.without > 0 && time == micros(self.stretch.from);
        self.stretch.without -= usize::from(is_left_out);
        is_left_out
    }

    /// Writes the head of a part that is shown when the stretch begins. One that was deleted meanwhile is left out.
    fn begin_opening(&mut self, opening: OpeningPart, chunk: &mut Vec<u8>) -> bool {
        let shown = Some(self.stretch.from);
        match opening {
            OpeningPart::Held(part) => self.write_held(part, shown, chunk),
            OpeningPart::Found(found) => {
                let mut reader = FoundReader::default();
                let head = reader.head(&found).inspect_err(|why| debug!("left out of a download: {why}"));
                let Some((recording, head)) = reader.into_recording().zip(head.ok()) else { return false };
                // A clock that goes on from there would count the time in which it only stood.
                self.write_head(&PartHead { clock: None, ..head.clone() }, found.time, shown, chunk);
                self.body = Some(ExportBody::Found(Box::new(recording), head, 0));
            }
        }
        true
    }

    fn write_held(&mut self, part: RecordedPart, shown: Option<SystemTime>, chunk: &mut Vec<u8>) {
        let RecordedPart { feed, media, time, sequence, kind, body, .. } = part;
        self.parts += 1;
        chunk.extend_from_slice(&self.boundary.delimiter());
        chunk.extend_from_slice(&part_head(&media, body.len(), (time, sequence), &of_feed(&feed, kind), (None, shown)));
        self.body = Some(ExportBody::Memory(body));
    }

    fn write_head(&mut self, part: &PartHead, time: SystemTime, shown: Option<SystemTime>, chunk: &mut Vec<u8>) {
        self.parts += 1;
        let media = part.headers.media.clone().unwrap_or_else(|| Media::from_known("application/octet-stream"));
        let feed = part.feed.as_deref().unwrap_or(&self.stretch.unnamed);
        let stamp = (time, part.headers.sequence.unwrap_or(self.parts));
        chunk.extend_from_slice(&self.boundary.delimiter());
        chunk.extend_from_slice(&part_head(
            &media,
            part.length as usize,
            stamp,
            &of_feed(feed, part.kind.as_deref()),
            (part.clock, shown),
        ));
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
        let ArchiveStretch { feed, from, to, unnamed, .. } = &self.stretch;
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
