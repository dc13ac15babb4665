//! Where parts are in the files of an archive, and how they are read there again, unless they were deleted meanwhile. It does not
//! find them.

use std::{io, path::Path, sync::Arc, time::SystemTime};

use super::{head::PartHead, index::micros, reader::Recording};

/// A part that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchivePart {
    /// Its time; that of the part before it if it has none.
    pub time: SystemTime,
    pub(super) file: Arc<Path>,
    pub(super) at: u64,
}

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

/// Reads parts that were found, best in the order of their files: the last one stays open.
#[derive(Debug, Default)]
pub struct FoundReader {
    open: Option<(Arc<Path>, Recording)>,
}

impl FoundReader {
    /// The head of a part.
    ///
    /// # Errors
    /// Those of open(2) and read(2); `NotFound` also if there is another part now.
    pub fn head(&mut self, found: &ArchivePart) -> io::Result<PartHead> {
        let recording = match &mut self.open {
            Some((file, recording)) if *file == found.file => recording,
            open => &mut open.insert((found.file.clone(), Recording::open(&found.file)?)).1,
        };
        let part = recording.part_at(found.at)?;
        let is_it = |part: &PartHead| part.headers.time.is_none_or(|time| micros(time) == micros(found.time));
        part.filter(is_it).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The file of the part whose head was read last.
    pub fn into_recording(self) -> Option<Recording> {
        self.open.map(|(_, recording)| recording)
    }
}
