//! Reads a recording: part after part, or by time. Heads alone are read until a body is asked for. The index grows with the file
//! and is kept. It reads files that mxr wrote, and streams that other programs saved.

use std::{collections::BTreeMap, fs::File, io, path::Path, time::SystemTime};

use bytes::Bytes;

use super::{
    head::{FileHead, MAX_HEAD, PartHead, VERSION, is_torn_head},
    index::{FeedIndex, Indexed, micros},
    walk::{Step, Walk, WalkEnd, read_at},
};

/// A file that is open for reading; it may grow meanwhile.
#[derive(Debug)]
pub struct Recording {
    head: FileHead,
    walk: Walk,
    feeds: BTreeMap<String, FeedIndex>,
    /// The offset up to which the index is made.
    indexed: u64,
    damaged: u64,
    end: Option<WalkEnd>,
}

impl Recording {
    /// Opens a recording, or a multipart stream that another program saved, with the head of the response or without.
    ///
    /// # Errors
    /// Those of open(2) and read(2). `InvalidData` for what is no multipart stream, or has a newer format; `UnexpectedEof` for a
    /// recording that was cut off in its own head and has no parts.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = crate::file::open_regular(None, path)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))?;
        Self::of(file)
    }

    /// Reads an open file, with the errors of `open`.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn of(file: File) -> io::Result<Self> {
        let bytes = read_at(&file, 0, MAX_HEAD)?;
        if is_torn_head(&bytes) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in its own head"));
        }
        let head = FileHead::read(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no multipart stream"))?;
        if head.version.is_some_and(|version| version > VERSION) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it was made by a newer mxr"));
        }
        let start = first_delimiter(&file, &head)?;
        let walk = Walk::new(file, &head.boundary, start);
        Ok(Self { head, walk, feeds: BTreeMap::new(), indexed: start.0, damaged: 0, end: None })
    }

    /// What its beginning says.
    pub fn head(&self) -> &FileHead {
        &self.head
    }

    /// Whether mxr can go from part to part; otherwise `SavedStream` reads the file. A recording of mxr always can be.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn is_walkable(&mut self) -> io::Result<bool> {
        let first = self.walk.step(self.walk.start())?;
        let is_empty = matches!(first, Step::End(WalkEnd { torn: 0, foreign: 0, .. }));
        Ok(self.head.version.is_some() || is_empty || matches!(first, Step::Part(_)))
    }

    /// The offset at which `next_part` begins.
    pub fn start(&self) -> u64 {
        self.walk.start()
    }

    /// The part at or behind a cursor, which moves behind it; `None` at the end for now. Damaged bytes are passed over.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn next_part(&mut self, cursor: &mut u64) -> io::Result<Option<PartHead>> {
        loop {
            match self.walk.step(*cursor)? {
                Step::Part(part) => {
                    *cursor = part.end();
                    return Ok(Some(part));
                }
                Step::Damaged(next) => *cursor = next,
                Step::End(_) => {
                    // What was read of a part that is still being written.
                    self.walk.forget();
                    return Ok(None);
                }
            }
        }
    }

    /// The cursor for `next_part` to return this part.
    pub fn cursor_of(&self, part: &PartHead) -> u64 {
        part.at
    }

    /// The body of a part.
    ///
    /// # Errors
    /// Those of read(2); `InvalidData` for more bytes than `limit`, `UnexpectedEof` if the file was cut meanwhile.
    pub fn body(&self, part: &PartHead, limit: usize) -> io::Result<Bytes> {
        let length = usize::try_from(part.length).ok().filter(|length| *length <= limit);
        let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the part is larger than the limit"))?;
        let body = read_at(self.walk.file(), part.body, length)?;
        if body.len() < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(body.into()) }
    }

    /// Some bytes of the body of a part from an offset in it on: fewer where it ends, and none behind it.
    ///
    /// # Errors
    /// Those of read(2); `UnexpectedEof` if the file was cut meanwhile.
    pub fn body_piece(&self, part: &PartHead, offset: u64, limit: usize) -> io::Result<Bytes> {
        let length = part.length.saturating_sub(offset).min(limit as u64) as usize;
        // Of a small part all is read with its head.
        if let Some(piece) = self.walk.in_window(part.body + offset, length) {
            return Ok(Bytes::copy_from_slice(piece));
        }
        let piece = read_at(self.walk.file(), part.body + offset, length)?;
        if piece.len() < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece.into()) }
    }

    /// The part at a cursor, read anew; `None` if none begins there.
    ///
    /// # Errors
    /// Those of read(2).
    pub(super) fn part_at(&mut self, cursor: u64) -> io::Result<Option<PartHead>> {
        self.walk.forget();
        Ok(match self.walk.step(cursor)? {
            Step::Part(part) => Some(part),
            Step::Damaged(_) | Step::End(_) => None,
        })
    }

    /// Brings the index up to the end of the file.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn refresh(&mut self) -> io::Result<()> {
        self.walk.forget();
        loop {
            match self.walk.step(self.indexed)? {
                Step::Part(part) => {
                    self.indexed = part.end();
                    let feed = part.feed.as_deref().unwrap_or_default();
                    match self.feeds.get_mut(feed) {
                        Some(index) => index.push(part.at, part.headers.time),
                        None => self.feeds.entry(feed.to_owned()).or_default().push(part.at, part.headers.time),
                    }
                }
                Step::Damaged(next) => {
                    self.damaged += 1;
                    self.indexed = next;
                }
                Step::End(end) => {
                    self.end = Some(end);
                    return Ok(());
                }
            }
        }
    }

    /// The feeds that the index has; the name is empty for parts without one.
    pub fn feeds(&self) -> impl Iterator<Item = &str> {
        self.feeds.keys().map(String::as_str)
    }

    /// The parts of a feed that the index has.
    pub fn count(&self, feed: &str) -> usize {
        self.feeds.get(feed).map_or(0, |index| index.parts().len())
    }

    /// The times of the first and of the last part of a feed, as far as the index goes.
    pub fn span(&self, feed: &str) -> Option<(SystemTime, SystemTime)> {
        self.feeds.get(feed)?.span()
    }

    /// Bytes of heads that were read.
    pub fn bytes_read(&self) -> u64 {
        self.walk.bytes_read()
    }

    /// Places where the index passed over damaged bytes.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Bytes at the end that are no whole part, when the index was last brought up to date.
    pub fn torn(&self) -> u64 {
        self.end.map_or(0, |end| end.torn)
    }

    /// The newest part of a feed at or before a time; the newest of all for a time after the last; `None` before the first.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn at(&mut self, feed: &str, time: SystemTime) -> io::Result<Option<PartHead>> {
        self.refresh()?;
        let found = self.feeds.get(feed).and_then(|index| index.at(time));
        found.map_or(Ok(None), |found| self.part(found))
    }

    /// The parts of a feed with times in this range, in the order of the file: at most `max`, spread evenly, with the first and the
    /// last.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn between(&mut self, feed: &str, (from, to): (SystemTime, SystemTime), max: usize) -> io::Result<Vec<PartHead>> {
        self.refresh()?;
        let (from, to) = (micros(from), micros(to));
        let all = self.feeds.get(feed).map(FeedIndex::parts).unwrap_or_default();
        let found: Vec<Indexed> = all.iter().filter(|part| (from..=to).contains(&part.micros)).copied().collect();
        let chosen = spread(found.len(), max).into_iter().map(|index| self.part(found[index]));
        chosen.filter_map(io::Result::transpose).collect()
    }

    fn part(&mut self, indexed: Indexed) -> io::Result<Option<PartHead>> {
        match self.walk.step(indexed.at)? {
            Step::Part(part) => Ok(Some(part)),
            // The file was cut meanwhile.
            Step::Damaged(_) | Step::End(_) => Ok(None),
        }
    }
}

/// Where the first delimiter is: some servers have no line end before it, some have a second.
fn first_delimiter(file: &File, head: &FileHead) -> io::Result<(u64, bool)> {
    if !head.has_line_end {
        return Ok((head.end, false));
    }
    let delimiter = format!("\r\n--{}", head.boundary);
    let is_here = |at: u64| io::Result::Ok(read_at(file, at, delimiter.len())? == delimiter.as_bytes());
    Ok((if !is_here(head.end)? && is_here(head.end + 2)? { head.end + 2 } else { head.end }, true))
}

/// At most `max` of so many indexes, spread evenly, with the first and the last.
pub fn spread(count: usize, max: usize) -> Vec<usize> {
    match max {
        _ if count <= max => (0..count).collect(),
        0 => Vec::new(),
        1 => vec![count - 1],
        _ => (0..max).map(|index| (index as u128 * (count as u128 - 1) / (max as u128 - 1)) as usize).collect(),
    }
}
