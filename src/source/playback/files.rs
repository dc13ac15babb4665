//! The files of a recording as one sequence of parts: a single file, or the segments of a directory, which come and go meanwhile. It
//! knows no time but those in the names of segments, and no feed.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use tracing::warn;

use super::file_reader::{FileIdentity, FileReader, FoundPart, Unplayable};
use crate::{
    file,
    recording::{FileHead, Segment, segments_of},
};

/// The files of a recording, and how far they have been read.
#[derive(Debug)]
pub(super) struct RecordedFiles {
    path: PathBuf,
    is_folder: bool,
    /// The most bytes of a part.
    limit: usize,
    current: Option<CurrentFile>,
    /// A single file, which may be deleted while it plays.
    kept: Option<File>,
    /// The files of which the log says that they cannot be read, each with the reason.
    said: HashMap<PathBuf, String>,
}

#[derive(Debug)]
struct CurrentFile {
    segment: Option<Segment>,
    reader: FileReader,
}

/// A place between two parts, to which one can return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePosition {
    segment: Option<Segment>,
    file: FileIdentity,
    cursor: u64,
}

impl RecordedFiles {
    pub(super) fn new(path: PathBuf, limit: usize) -> Self {
        let is_folder = path.is_dir();
        Self { path, is_folder, limit, current: None, kept: None, said: HashMap::new() }
    }

    /// Goes to the beginning; in a directory, to the beginning of the segment that has this time.
    pub(super) fn begin(&mut self, from: Option<SystemTime>) -> Result<(), Unplayable> {
        self.current = None;
        if !self.is_folder {
            let reader = FileReader::of(self.open_single()?, self.limit)?;
            self.current = Some(CurrentFile { segment: None, reader });
            return Ok(());
        }
        let segments = segments_of(&self.path)?;
        // Of files that are gone nothing is said any more.
        self.said.retain(|path, _| path.exists());
        let earlier = from.map_or(0, |from| segments.partition_point(|segment| segment.start <= from));
        let is_found = (0..earlier).rev().any(|at| self.open_first(&segments[at..=at]).is_ok());
        if is_found { Ok(()) } else { self.open_first(&segments[earlier..]) }
    }

    /// The file as it is now. One that was deleted is played on.
    fn open_single(&mut self) -> Result<File, Unplayable> {
        match file::open_regular(None, &self.path) {
            Ok(Some(file)) => {
                self.kept = Some(file.try_clone()?);
                Ok(file)
            }
            Ok(None) => Err(Unplayable::new("it is no regular file").hint("to push what comes through a pipe, use `mxr stdin`")),
            Err(why) => {
                let kept = self.kept.as_ref().ok_or(why)?.try_clone()?;
                self.say(&self.path.clone(), "it is gone, and what was opened is played on");
                Ok(kept)
            }
        }
    }

    /// Opens the first of these segments that can be read.
    fn open_first(&mut self, segments: &[Segment]) -> Result<(), Unplayable> {
        let mut first = None;
        for segment in segments {
            match open_segment(segment, self.limit) {
                Ok(reader) => {
                    self.current = Some(CurrentFile { segment: Some(segment.clone()), reader });
                    return Ok(());
                }
                Err(why) => {
                    self.say(&segment.path, &why.cause);
                    first.get_or_insert(why);
                }
            }
        }
        Err(first.unwrap_or_else(|| Unplayable::new("its segments are gone")))
    }

    fn say(&mut self, path: &Path, why: &str) {
        if self.said.get(path).map(String::as_str) != Some(why) {
            warn!(file = %path.display(), "not played: {why}");
            self.said.insert(path.to_owned(), why.to_owned());
        }
    }

    /// The next part; `None` at the end for now.
    pub(super) fn next(&mut self) -> io::Result<Option<FoundPart>> {
        while let Some(current) = &mut self.current {
            if let Some(part) = current.reader.next()? {
                return Ok(Some(part));
            }
            let Some(done) = current.segment.clone() else { return Ok(None) };
            let segments = segments_of(&self.path)?;
            let next = segments.partition_point(|segment| *segment <= done);
            if self.open_first(&segments[next..]).is_err() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The place behind the part that was read last; `None` where there is no returning.
    pub(super) fn position(&self) -> Option<FilePosition> {
        let current = self.current.as_ref()?;
        let (file, cursor) = current.reader.place()?;
        Some(FilePosition { segment: current.segment.clone(), file, cursor })
    }

    /// Returns to a place. `false` if the file is another one by now; the place is lost then.
    pub(super) fn return_to(&mut self, position: &FilePosition) -> bool {
        let opened = match &position.segment {
            Some(segment) => open_segment(segment, self.limit),
            None => self.open_single().and_then(|file| FileReader::of(file, self.limit)),
        };
        let reader = opened.ok().and_then(|reader| reader.at(&position.file, position.cursor));
        self.current = reader.map(|reader| CurrentFile { segment: position.segment.clone(), reader });
        self.current.is_some()
    }

    /// The newest file and its size: what there is to read has grown if it is another one.
    pub(super) fn end(&self) -> io::Result<(Option<Segment>, u64)> {
        let newest = if self.is_folder { segments_of(&self.path)?.pop() } else { None };
        let size = newest.as_ref().map_or(&self.path, |segment| &segment.path).metadata()?.len();
        Ok((newest, size))
    }

    /// The time of the first part that has one.
    pub(super) fn first_time(&mut self) -> Result<Option<SystemTime>, Unplayable> {
        self.begin(None)?;
        while let Some(part) = self.next()? {
            // A copy of a stretch begins with older parts, which are shown from its beginning on.
            let time = part.head.shown.or(part.head.headers.time);
            if time.is_some() {
                return Ok(time);
            }
        }
        Ok(None)
    }

    /// The time of the last part that has one.
    pub(super) fn last_time(&mut self) -> Result<Option<SystemTime>, Unplayable> {
        if !self.is_folder {
            self.begin(None)?;
            let mut last = None;
            while let Some(part) = self.next()? {
                last = part.head.headers.time.or(last);
            }
            return Ok(last);
        }
        for segment in segments_of(&self.path)?.iter().rev() {
            let Ok(mut reader) = open_segment(segment, self.limit) else { continue };
            let mut last = None;
            while let Some(part) = reader.next()? {
                last = part.head.headers.time.or(last);
            }
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }
}

fn open_segment(segment: &Segment, limit: usize) -> Result<FileReader, Unplayable> {
    let file = file::open_regular(None, &segment.path)?.ok_or_else(|| Unplayable::new("it is no regular file"))?;
    FileReader::of(file, limit)
}

/// Whether a directory has segments of a recording: files with such a name and with our head.
pub(super) fn has_segments(folder: &Path) -> bool {
    segments_of(folder).is_ok_and(|segments| segments.iter().any(|segment| is_ours(&segment.path)))
}

/// Whether a file has our head, of whatever version.
pub(super) fn is_ours(path: &Path) -> bool {
    let start = file::open_regular(None, path).ok().flatten().and_then(|file| start_of(&file).ok());
    start.is_some_and(|start| FileHead::of_mxr(&start).is_some())
}

fn start_of(file: &File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(1 << 10).read_to_end(&mut start)?;
    Ok(start)
}
