//! Goes from part to part through a file by `Content-Length`, reading heads alone. It decides what is a part, what is damaged, and
//! where the whole parts end. It keeps no list of them.

use std::{fs::File, io, os::unix::fs::FileExt};

use memchr::memmem;
use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

use super::head::{MAX_HEAD, PartHead};

/// A look at the head of a large part, and a look where heads follow each other closely.
const LOOKS: (usize, usize) = (4 << 10, 64 << 10);

/// What is at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A part with a body that is all there.
    Part(Box<PartHead>),
    /// No part: those before are all, for now.
    End(WalkEnd),
    /// Bytes that are no part; the next one may begin at this offset.
    Damaged(u64),
}

/// How the whole parts of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalkEnd {
    /// The offset after the last body (or head), where the next delimiter belongs.
    pub(super) at: u64,
    /// Bytes of a part that is not whole.
    pub(super) torn: u64,
    /// Bytes that follow a close-delimiter, which mxr never writes.
    pub(super) foreign: u64,
}

/// A file that is walked through.
#[derive(Debug)]
pub(super) struct Walk {
    file: File,
    /// `CRLF--B`.
    delimiter: Vec<u8>,
    /// The offset of the first delimiter; it may lack the CRLF.
    start: (u64, bool),
    window: Vec<u8>,
    window_at: u64,
    /// Bytes that were read.
    read: u64,
}

impl Walk {
    /// `start`: the offset of the first delimiter, and whether a CRLF is part of it.
    pub(super) fn new(file: File, boundary: &str, start: (u64, bool)) -> Self {
        Self { file, delimiter: format!("\r\n--{boundary}").into_bytes(), start, window: Vec::new(), window_at: 0, read: 0 }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The offset of the first delimiter.
    pub(super) fn start(&self) -> u64 {
        self.start.0
    }

    /// Bytes of the file that were read to find parts.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Forgets what was read, since the file may have changed.
    pub(super) fn forget(&mut self) {
        self.window.clear();
    }

    /// What is at this offset, where a delimiter belongs.
    ///
    /// # Errors
    /// Those of read(2).
    pub(super) fn step(&mut self, at: u64) -> io::Result<Step> {
        let expected = self.delimiter_at(at).to_vec();
        let (delimiter, bytes) = (expected.len(), self.bytes(at, 1 << 10)?);
        let shared = bytes.len().min(delimiter);
        if bytes[..shared] != expected[..shared] {
            return self.not_a_part(at);
        }
        match &bytes[shared..] {
            [b'-', b'-', ..] => self.closed(at, delimiter),
            [b'\r', b'\n', ..] => self.part(at, at + delimiter as u64 + 2),
            // Cut off in the delimiter: nothing of the next part is there.
            [] | [b'-' | b'\r'] => Ok(Step::End(WalkEnd { at, torn: 0, foreign: 0 })),
            _ => self.not_a_part(at),
        }
    }

    fn delimiter_at(&self, at: u64) -> &[u8] {
        let lacks_line_end = (at, false) == self.start;
        if lacks_line_end { &self.delimiter[2..] } else { &self.delimiter }
    }

    fn closed(&mut self, at: u64, delimiter: usize) -> io::Result<Step> {
        let close = at + delimiter as u64 + 2;
        let after = self.bytes(close, 2)?;
        let line_end = b"\r\n".iter().zip(after).take_while(|(expected, byte)| expected == byte).count() as u64;
        let more = self.size()?.saturating_sub(close + line_end);
        // A write that a power cut has undone leaves its size.
        let (torn, foreign) = if self.is_zero_from(close + line_end)? { (more, 0) } else { (0, more) };
        Ok(Step::End(WalkEnd { at, torn, foreign }))
    }

    fn part(&mut self, at: u64, headers: u64) -> io::Result<Step> {
        let mut read = PartHead::read(self.bytes(headers, 1 << 10)?);
        if read.is_none() {
            read = PartHead::read(self.bytes(headers, MAX_HEAD)?);
        }
        let Some((head, length)) = read else { return self.not_a_part(at) };
        let head = PartHead { at, body: headers + length as u64, ..head };
        match head.headers.length {
            Some(length) => self.part_of_length(PartHead { length: length as u64, ..head }),
            None => self.part_to_delimiter(head),
        }
    }

    fn part_of_length(&mut self, head: PartHead) -> io::Result<Step> {
        let (end, wanted) = (head.body.saturating_add(head.length), self.delimiter.len());
        // Of a small part all is read already.
        if let Some(after) = self.in_window(end, wanted) {
            return if self.delimiter == after { Ok(Step::Part(Box::new(head))) } else { self.not_a_part(head.at) };
        }
        let size = self.size()?;
        if end > size {
            // Not searched for another delimiter: bytes of the body may look like one.
            return Ok(Step::End(WalkEnd { at: head.at, torn: size.saturating_sub(head.at), foreign: 0 }));
        }
        // What the last head needed may lie far before: the bytes behind the body are looked at alone.
        let after = read_at(&self.file, end, wanted)?;
        if self.delimiter.starts_with(&after) { Ok(Step::Part(Box::new(head))) } else { self.not_a_part(head.at) }
    }

    /// A part without `Content-Length`, as other programs write it.
    fn part_to_delimiter(&mut self, head: PartHead) -> io::Result<Step> {
        let size = self.size()?;
        // An empty body has its delimiter right behind the empty line, and shares no bytes with it.
        Ok(match self.find(head.body)? {
            Some(end) => Step::Part(Box::new(PartHead { length: end - head.body, ..head })),
            None => Step::End(WalkEnd { at: head.at, torn: size.saturating_sub(head.at), foreign: 0 }),
        })
    }

    /// Searches for the next delimiter.
    fn not_a_part(&mut self, at: u64) -> io::Result<Step> {
        let size = self.size()?;
        Ok(match self.find(at + 1)? {
            Some(next) => Step::Damaged(next),
            None => Step::End(WalkEnd { at, torn: size.saturating_sub(at), foreign: 0 }),
        })
    }

    /// Where the next `CRLF--B` begins, from this offset on.
    pub(super) fn find(&self, from: u64) -> io::Result<Option<u64>> {
        let (finder, mut at, keep) = (memmem::Finder::new(&self.delimiter), from, self.delimiter.len() as u64 - 1);
        loop {
            // No delimiter is in a hole, which may be larger than any disk.
            let Some(data) = self.data_from(at) else { return Ok(None) };
            at = data;
            let bytes = read_at(&self.file, at, 1 << 18)?;
            match finder.find(&bytes) {
                Some(found) => return Ok(Some(at + found as u64)),
                None if (bytes.len() as u64) <= keep => return Ok(None),
                None => at += bytes.len() as u64 - keep,
            }
        }
    }

    fn is_zero_from(&self, mut at: u64) -> io::Result<bool> {
        loop {
            let Some(data) = self.data_from(at) else { return Ok(true) };
            at = data;
            let bytes = read_at(&self.file, at, 1 << 16)?;
            if bytes.is_empty() || bytes.iter().any(|byte| *byte != 0) {
                return Ok(bytes.is_empty());
            }
            at += bytes.len() as u64;
        }
    }

    /// Where the next bytes begin that are not in a hole; `None` if there are none. Of a file system without holes it is this offset.
    fn data_from(&self, at: u64) -> Option<u64> {
        match seek(&self.file, SeekFrom::Data(at)) {
            Ok(data) => Some(data.max(at)),
            Err(Errno::NXIO) => None,
            Err(_) => Some(at),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Bytes from this offset on, if they have been read.
    pub(super) fn in_window(&self, at: u64, bytes: usize) -> Option<&[u8]> {
        let from = usize::try_from(at.checked_sub(self.window_at)?).ok()?;
        self.window.get(from..from.checked_add(bytes)?)
    }

    /// Bytes from this offset on: at least so many, unless the file ends before.
    fn bytes(&mut self, at: u64, least: usize) -> io::Result<&[u8]> {
        let end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + least as u64 > end {
            let is_near = (self.window_at..=end + LOOKS.0 as u64).contains(&at);
            let look = if is_near { LOOKS.1 } else { LOOKS.0 };
            self.window = read_at(&self.file, at, look.max(least))?;
            self.window_at = at;
            self.read += self.window.len() as u64;
        }
        Ok(&self.window[(at - self.window_at) as usize..])
    }
}

/// Reads so many bytes, or up to the end of the file.
pub(super) fn read_at(file: &File, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; bytes];
    let mut done = 0;
    while done < bytes {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    buffer.truncate(done);
    Ok(buffer)
}
