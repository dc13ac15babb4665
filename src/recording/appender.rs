//! Appends parts to one file, which is a complete multipart document after each of them: a part is written over the close-delimiter
//! and brings the next. It decides when nothing; the medium may be another than a file, so that tests can fill it.

use std::{
    fmt::Debug,
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use super::{
    head::{ClockReading, FileHead, MAX_HEAD, VERSION, file_head, is_torn_head, of_feed, part_head},
    walk::{Step, Walk, read_at},
};
use crate::{format::Media, wire::Boundary};

/// One part to record.
#[derive(Debug, Clone)]
pub struct RecordedPart {
    /// The feed.
    pub feed: Arc<str>,
    /// The body's type.
    pub media: Media,
    /// `X-Timestamp`.
    pub time: SystemTime,
    /// `X-Sequence`.
    pub sequence: u64,
    /// When it came, by the clock that never jumps.
    pub at: Instant,
    /// The kind of its feed, as on the wire (`newest` or `lines`), where it is known.
    pub kind: Option<&'static str>,
    /// The body.
    pub body: Bytes,
}

/// What a recording is written to.
pub trait Medium: Debug + Send {
    /// Writes all bytes at an offset.
    ///
    /// # Errors
    /// Those of write(2); some of the bytes may be written.
    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Cuts off what is behind this size in bytes.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    fn cut(&mut self, size: u64) -> io::Result<()>;
    /// Returns once all is on the disk.
    ///
    /// # Errors
    /// Those of fdatasync(2).
    fn sync(&mut self) -> io::Result<()>;
    /// The file that it is, if other programs may delete, move or cut it.
    fn file(&self) -> Option<&File> {
        None
    }
}

impl Medium for File {
    fn file(&self) -> Option<&File> {
        Some(self)
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// What was cut off a file when it was opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of a part that was not whole.
    pub bytes: u64,
}

/// A recording that is appended to.
#[derive(Debug)]
pub struct Appender {
    medium: Box<dyn Medium>,
    boundary: Boundary,
    /// The offset after the last body, where the close-delimiter begins.
    end: u64,
    parts: u64,
    /// A write has failed: what follows the end may be anything.
    is_torn: bool,
    is_synced: bool,
    /// The bytes of the last write, whose memory the next one takes.
    bytes: Vec<u8>,
}

impl Appender {
    /// Begins a recording on an empty medium.
    ///
    /// # Errors
    /// Those of the medium, which then has an incomplete head.
    pub fn begin(mut medium: Box<dyn Medium>) -> io::Result<Self> {
        let boundary = Boundary::random();
        let head = file_head(&boundary);
        let bytes = [head.as_bytes(), &boundary.close_delimiter()].concat();
        medium.write(&bytes, 0)?;
        Ok(Self { medium, boundary, end: head.len() as u64, parts: 0, is_torn: false, is_synced: false, bytes: Vec::new() })
    }

    /// Opens a file that has a recording, or nothing, to append to it, and cuts off a part at the end that is not whole. It must be
    /// open for reading and writing.
    ///
    /// # Errors
    /// Those of the file; `InvalidData` for a file that is no recording of mxr, has a newer format, or has parts behind the place
    /// where it would be cut off.
    pub fn open(file: File) -> io::Result<(Self, Option<Cut>)> {
        let bytes = read_at(&file, 0, MAX_HEAD)?;
        if is_torn_head(&bytes) {
            file.set_len(0)?;
            let cut = (!bytes.is_empty()).then_some(Cut { bytes: bytes.len() as u64 });
            return Ok((Self::begin(Box::new(file))?, cut));
        }
        let boundary = own_boundary(&bytes)?;
        let start = file_head(&boundary).len() as u64;
        let head = FileHead::read(&bytes).map_or(start, |head| head.end);
        let mut walk = Walk::new(file.try_clone()?, boundary.as_str(), (head, true));
        let (end, torn) = end_of(&mut walk)?;
        let mut appender =
            Self { medium: Box::new(file), boundary, end, parts: 0, is_torn: true, is_synced: false, bytes: Vec::new() };
        appender.mend()?;
        Ok((appender, (torn > 0).then_some(Cut { bytes: torn })))
    }

    /// Appends a part.
    ///
    /// # Errors
    /// Those of the medium. The recording is as before, or made so before the next part is written.
    pub fn append(&mut self, part: &RecordedPart, clock: ClockReading) -> io::Result<()> {
        self.mend()?;
        let of_feed = of_feed(&part.feed, part.kind);
        let head = part_head(&part.media, part.body.len(), (part.time, part.sequence), &of_feed, (Some(clock), None));
        let (delimiter, close) = (self.boundary.delimiter(), self.boundary.close_delimiter());
        self.bytes.clear();
        // One large part is no reason to keep its memory.
        self.bytes.shrink_to(1 << 20);
        [&delimiter, &head[..], &part.body, &close].iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.is_synced = false;
        if let Err(why) = self.medium.write(&self.bytes, self.end) {
            self.is_torn = true;
            // What is left of the part would take room that another program needs. The next part tries it again.
            let _ = self.mend();
            return Err(why);
        }
        self.end += (self.bytes.len() - close.len()) as u64;
        self.parts += 1;
        Ok(())
    }

    /// Puts the close-delimiter behind the last whole part, if something else may be there.
    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            let close = self.boundary.close_delimiter();
            self.medium.cut(self.end + close.len() as u64)?;
            self.medium.write(&close, self.end)?;
            (self.is_torn, self.is_synced) = (false, false);
        }
        Ok(())
    }

    /// Whether the file has no name any more: what is written to it is lost.
    pub fn is_deleted(&self) -> bool {
        self.medium.file().and_then(|file| file.metadata().ok()).is_some_and(|file| file.nlink() == 0)
    }

    /// Whether another program has cut the file, or written another one over it: a part would stand behind zeros, or behind a head that
    /// is not its own.
    pub fn is_overwritten(&self) -> bool {
        let Some((file, found)) = self.medium.file().and_then(|file| Some((file, file.metadata().ok()?))) else { return false };
        if self.is_torn {
            return found.len() < self.end;
        }
        let close = self.boundary.close_delimiter();
        found.len() < self.size()
            || found.len() > self.size() && read_at(file, self.end, close.len()).is_ok_and(|bytes| bytes[..] != close[..])
    }

    /// Whether this path leads to another file by now, or to none.
    pub fn is_moved_from(&self, path: &Path) -> bool {
        let Some(own) = self.medium.file().and_then(|file| file.metadata().ok()) else { return false };
        match std::fs::metadata(path) {
            Ok(there) => (there.dev(), there.ino()) != (own.dev(), own.ino()),
            // A link to nothing, or a directory that has become a file, leads nowhere either.
            Err(why) => matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Returns once all parts are on the disk; at once if they are.
    ///
    /// # Errors
    /// Those of the medium.
    pub fn sync(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_synced, true) {
            self.medium.sync()?;
        }
        Ok(())
    }

    /// Bytes of the recording.
    pub fn size(&self) -> u64 {
        self.end + self.boundary.close_delimiter().len() as u64
    }

    /// Parts that were appended since it was opened.
    pub fn parts(&self) -> u64 {
        self.parts
    }
}

fn own_boundary(bytes: &[u8]) -> io::Result<Boundary> {
    let head = FileHead::read(bytes);
    let refuse = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
    let version = head.as_ref().and_then(|head| head.version).ok_or_else(|| refuse("it is no recording that mxr has made"))?;
    if version > VERSION {
        return Err(refuse("it was made by a newer mxr"));
    }
    let boundary = head.and_then(|head| Boundary::parse(&head.boundary).ok());
    boundary.ok_or_else(|| refuse("it is no recording that mxr has made"))
}

/// Walks to the end of the whole parts, and returns it with the bytes of a part that is not whole.
fn end_of(walk: &mut Walk) -> io::Result<(u64, u64)> {
    let mut at = walk.start();
    loop {
        match walk.step(at)? {
            Step::Part(part) => at = part.end(),
            Step::Damaged(next) => at = next,
            Step::End(end) => {
                let has_more = end.foreign > 0 || (end.torn > 0 && walk.find(end.at + 1)?.is_some());
                let refused = "what follows its last whole part may be other parts, which would be cut off";
                return if has_more { Err(io::Error::new(io::ErrorKind::InvalidData, refused)) } else { Ok((end.at, end.torn)) };
            }
        }
    }
}
