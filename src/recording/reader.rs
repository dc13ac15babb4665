//! Reads a recording part after part, from any of them on. Heads alone are read until a body is asked for. It reads files that mxr
//! wrote, and streams that other programs saved; it keeps no list of parts.

use std::{fs::File, io, path::Path};

use bytes::Bytes;

use super::{
    head::{FileHead, MAX_HEAD, PartHead, VERSION, is_torn_head},
    walk::{Step, Walk, WalkEnd, read_at},
};

/// A file that is open for reading; it may grow meanwhile.
#[derive(Debug)]
pub struct Recording {
    head: FileHead,
    walk: Walk,
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
        Ok(Self { head, walk, damaged: 0, end: None })
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

    /// A cursor before the last parts: those in so many bytes at the end.
    ///
    /// # Errors
    /// Those of read(2).
    pub(super) fn tail(&self, bytes: u64) -> io::Result<u64> {
        let start = self.start();
        match self.walk.file().metadata()?.len().checked_sub(bytes).filter(|at| *at > start) {
            Some(at) => Ok(self.walk.find(at)?.unwrap_or(start)),
            None => Ok(start),
        }
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
                    return Ok(Some(*part));
                }
                Step::Damaged(next) => {
                    self.damaged += 1;
                    *cursor = next;
                }
                Step::End(end) => {
                    self.end = Some(end);
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
            Step::Part(part) => Some(*part),
            Step::Damaged(_) | Step::End(_) => None,
        })
    }

    /// Bytes of heads that were read.
    pub fn bytes_read(&self) -> u64 {
        self.walk.bytes_read()
    }

    /// How often `next_part` has passed over damaged bytes.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Bytes at the end that are no whole part, when `next_part` last came there.
    pub fn torn(&self) -> u64 {
        self.end.map_or(0, |end| end.torn)
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
