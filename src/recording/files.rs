//! Writes parts to the files of a place, one at a time: when one is full, the next. It decides what is done with a file that is gone,
//! and knows no queue.

use std::{io, path::PathBuf, time::Instant};

use tracing::warn;

use super::{
    appender::{Appender, RecordedPart},
    head::RunClock,
    known_parts::KnownParts,
    part_writer::PartWriter,
    place::{Opened, Place},
};

/// The files of a place.
#[derive(Debug)]
pub(super) struct RecordingFiles {
    place: Box<dyn Place>,
    clock: RunClock,
    file: Option<OpenRecording>,
    /// What was recorded before.
    known: KnownParts,
}

/// The file that is written.
#[derive(Debug)]
struct OpenRecording {
    appender: Appender,
    path: PathBuf,
    first: Instant,
}

impl OpenRecording {
    fn new(opened: Opened, first: Instant) -> Self {
        if let Some(cut) = opened.cut {
            warn!(file = %opened.path.display(), bytes = cut.bytes, "cut off a part that was not whole");
        }
        Self { appender: opened.appender, path: opened.path, first }
    }
}

impl RecordingFiles {
    /// Looks whether the place can be used. A disk that is full may have room later.
    ///
    /// # Errors
    /// Those of `Place::prepare`.
    pub(super) fn prepare(mut place: Box<dyn Place>) -> io::Result<Self> {
        let opened = place.prepare().or_else(|why| match why.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Ok(None),
            _ => Err(why),
        })?;
        let file = opened.map(|opened| OpenRecording::new(opened, Instant::now()));
        let known = KnownParts::of(place.recorded_before());
        Ok(Self { place, clock: RunClock::start(), file, known })
    }
}

impl PartWriter for RecordingFiles {
    fn write(&mut self, part: &RecordedPart) -> io::Result<bool> {
        if self.known.take(part) {
            return Ok(false);
        }
        // The most that a head takes, with a name that is percent-encoded.
        let more = (part.body.len() + part.media.as_str().len() + 3 * part.feed.len() + 300) as u64;
        let full = self.file.take_if(|file| {
            let age = part.at.saturating_duration_since(file.first);
            file.appender.parts() > 0 && self.place.is_full(file.appender.size(), age, more)
        });
        let has_closed = full.is_some();
        if let Some(mut full) = full {
            let _ = full.appender.sync();
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenRecording::new(self.place.open(part.time)?, part.at)),
        };
        file.appender.append(part, self.clock.read(part.at))?;
        if has_closed {
            self.place.tidy_after_file(Some(&file.path));
        }
        Ok(true)
    }

    fn sync(&mut self) {
        let synced = self.file.as_mut().map_or(Ok(()), |file| file.appender.sync());
        if let Err(why) = synced {
            warn!("cannot make the recording reach the disk: {why}");
        }
    }

    fn tidy(&mut self) {
        // Somebody has deleted or moved it: what is written there would be lost.
        if self.file.take_if(|file| !file.path.exists()).is_some() {
            warn!("the file that was recorded to is gone; the next part begins another");
        }
        self.place.tidy(self.file.as_ref().map(|file| file.path.as_path()));
    }
}
