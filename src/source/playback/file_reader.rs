//! Reads one file of a recording, part after part: a recording of mxr, a multipart stream that another program saved, or pictures one
//! behind the other. It decides which of them a file is. It knows no time and no feed.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, Seek},
    os::unix::fs::{FileExt, MetadataExt},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    file::read_some,
    recording::{FileHead, PartHead, Recording, SavedStream},
    source::framing::split::{RawPart, Split, Splitter},
    wire::{Headers, begins_as_multipart},
};

/// Bytes of one read of pictures.
const READ: usize = 64 << 10;
/// Bytes that show what a file is.
const LOOK: usize = 16 << 10;

/// Why a file cannot be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unplayable {
    /// The cause.
    pub(super) cause: String,
    /// What the user can do.
    pub(super) hint: Option<String>,
}

impl Unplayable {
    pub(super) fn new(cause: impl fmt::Display) -> Self {
        Self { cause: cause.to_string(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<io::Error> for Unplayable {
    fn from(error: io::Error) -> Self {
        Self::new(error)
    }
}

/// A part that was found.
#[derive(Debug, Clone)]
pub(super) struct FoundPart {
    pub(super) head: PartHead,
    body: FoundBody,
}

#[derive(Debug, Clone)]
enum FoundBody {
    /// Read when the part is about to be played.
    InFile(Arc<File>),
    Read(Bytes),
}

impl FoundPart {
    /// A part whose body had to be read to find it.
    fn read_already(headers: Headers, body: Bytes) -> Self {
        let mut head = PartHead::default();
        (head.headers, head.length) = (headers, body.len() as u64);
        Self { head, body: FoundBody::Read(body) }
    }

    /// Its body.
    ///
    /// # Errors
    /// Those of read(2); `InvalidData` for more bytes than `limit`, `UnexpectedEof` if the file was cut meanwhile.
    pub(super) fn body(&self, limit: usize) -> io::Result<Bytes> {
        match &self.body {
            FoundBody::Read(body) => Ok(body.clone()),
            FoundBody::InFile(file) => {
                let length = usize::try_from(self.head.length).ok().filter(|length| *length <= limit);
                let length = length.ok_or_else(|| {
                    let why = format!("it has {} bytes, more than --max-part", self.head.length);
                    io::Error::new(io::ErrorKind::InvalidData, why)
                })?;
                let mut body = vec![0; length];
                file.read_exact_at(&mut body, self.head.body).map_err(|why| match why.kind() {
                    io::ErrorKind::UnexpectedEof => io::Error::new(why.kind(), "the file was cut off meanwhile"),
                    _ => why,
                })?;
                Ok(body.into())
            }
        }
    }
}

/// A file that is being read.
#[derive(Debug)]
pub(super) enum FileReader {
    /// It is gone through by its heads.
    Walked { recording: Box<Recording>, file: Arc<File>, cursor: u64 },
    /// A stream with oddities is decoded from its beginning.
    Decoded(Box<SavedStream>),
    /// JPEGs or PNGs.
    Pictures(Box<PictureFile>),
}

/// Pictures one behind the other.
#[derive(Debug)]
pub(super) struct PictureFile {
    file: File,
    splitter: Box<dyn Splitter>,
    found: VecDeque<RawPart>,
    is_end: bool,
}

impl FileReader {
    /// Begins at the beginning of a file, with parts of at most `limit` bytes.
    pub(super) fn of(mut file: File, limit: usize) -> Result<Self, Unplayable> {
        let mut start = vec![0; LOOK];
        let read = file.read_at(&mut start, 0)?;
        start.truncate(read);
        file.rewind()?;
        if start.is_empty() {
            return Err(Unplayable::new("it is empty"));
        }
        if let Some(split) = pictures(&start) {
            return PictureFile::of(file, &split, limit).map(|pictures| Self::Pictures(Box::new(pictures)));
        }
        match Recording::of(file.try_clone()?) {
            Ok(mut recording) => {
                if !recording.is_walkable()? {
                    return Ok(Self::Decoded(Box::new(SavedStream::of(file, limit)?)));
                }
                let cursor = recording.start();
                Ok(Self::Walked { recording: Box::new(recording), file: Arc::new(file), cursor })
            }
            Err(why) if why.kind() == io::ErrorKind::InvalidData && begins_as_multipart(&start) => {
                // A newer format has a head that can be read, and is refused for what it says.
                if start.windows(12).any(|bytes| bytes.eq_ignore_ascii_case(b"X-Recording:")) {
                    return Err(Unplayable::new(why).hint("install that version, or a later one"));
                }
                Ok(Self::Decoded(Box::new(SavedStream::of(file, limit)?)))
            }
            Err(why) if why.kind() == io::ErrorKind::InvalidData => {
                Err(Unplayable::new("it is no recording, no multipart stream and no series of JPEGs")
                    .hint("to push one file, use `mxr watch FILE`"))
            }
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Unplayable::new(why).hint("its recorder was stopped before the first part, or has just begun"))
            }
            Err(why) => Err(why.into()),
        }
    }

    /// Which file this is, and how far it was read, if one can return there.
    pub(super) fn place(&self) -> Option<(FileIdentity, u64)> {
        match self {
            Self::Walked { recording, file, cursor } => Some((identity(file, recording)?, *cursor)),
            Self::Decoded(_) | Self::Pictures(_) => None,
        }
    }

    /// The reader at a place; `None` if it is one in another file.
    pub(super) fn at(mut self, place: &FileIdentity, to: u64) -> Option<Self> {
        match &mut self {
            Self::Walked { recording, file, cursor } if identity(file, recording).as_ref() == Some(place) => *cursor = to,
            _ => return None,
        }
        Some(self)
    }

    /// The next part; `None` at the end for now.
    pub(super) fn next(&mut self) -> io::Result<Option<FoundPart>> {
        match self {
            Self::Walked { recording, file, cursor } => {
                let head = recording.next_part(cursor)?;
                Ok(head.map(|head| FoundPart { head, body: FoundBody::InFile(file.clone()) }))
            }
            Self::Decoded(stream) => Ok(stream.next_part()?.map(|part| FoundPart::read_already(part.headers, part.body))),
            Self::Pictures(pictures) => pictures.next(),
        }
    }
}

impl PictureFile {
    fn of(file: File, split: &Split, limit: usize) -> Result<Self, Unplayable> {
        let mut pictures = Self { file, splitter: split.splitter(limit, false), found: VecDeque::new(), is_end: false };
        pictures.find(2)?;
        match pictures.found.len() {
            0 => Err(Unplayable::new("there is no whole picture in it")),
            1 => Err(Unplayable::new("it is one picture").hint("to push one file, use `mxr watch FILE`")),
            _ => Ok(pictures),
        }
    }

    /// Reads until so many pictures have been found.
    fn find(&mut self, pictures: usize) -> io::Result<()> {
        let mut buffer = vec![0; READ];
        while self.found.len() < pictures && !self.is_end {
            let mut found = Vec::new();
            match read_some(&mut self.file, &mut buffer)? {
                0 => {
                    self.splitter.finish(&mut found);
                    self.is_end = true;
                }
                read => self.splitter.push(&buffer[..read], &mut found),
            }
            self.found.extend(found);
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<FoundPart>> {
        self.find(1)?;
        let picture = self.found.pop_front();
        Ok(picture.map(|RawPart { media, bytes, .. }| FoundPart::read_already(Headers { media, ..Headers::default() }, bytes)))
    }
}

/// Tells files apart, also one from another that was copied over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
    head: FileHead,
}

fn identity(file: &File, recording: &Recording) -> Option<FileIdentity> {
    let metadata = file.metadata().ok()?;
    Some(FileIdentity { device: metadata.dev(), inode: metadata.ino(), head: recording.head().clone() })
}

/// The rule for pictures, if the bytes begin with one.
fn pictures(start: &[u8]) -> Option<Split> {
    if start.starts_with(b"\xff\xd8\xff") {
        Some(Split::Jpeg)
    } else if start.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(Split::Png)
    } else {
        None
    }
}
