//! Writes parts to the files of a place, one at a time: when one is full, the next. It decides what is done with a file that is gone,
//! and knows no queue.

use std::{io, path::PathBuf, time::Instant};

use tracing::warn;

use super::{
    appender::{Appender, RecordedPart},
    head::RunClock,
    known_parts::KnownParts,
    part_writer::PartWriter,
    place::{Opened, Place, of_path},
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
    /// Another file, or none, has its path.
    is_moved: bool,
    /// Whether it was said that nothing can be recorded to what has its path.
    is_told: bool,
}

impl OpenRecording {
    fn new(opened: Opened, first: Instant) -> Self {
        if let Some(cut) = opened.cut {
            warn!(file = %opened.path.display(), bytes = cut.bytes, "cut off a part that was not whole");
        }
        Self { appender: opened.appender, path: opened.path, first, is_moved: false, is_told: false }
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

    /// Leaves a file in which a part would be lost.
    fn leave_lost_file(&mut self) {
        let Some(file) = &self.file else { return };
        let what = match &file.appender {
            appender if appender.is_deleted() => "was deleted",
            appender if appender.is_overwritten() => "was cut or overwritten",
            _ => return,
        };
        warn!(file = %file.path.display(), "the file that was recorded to {what}; the next part begins another");
        self.file = None;
    }

    /// Begins another file where one was moved away. Until that succeeds, parts are safe in the one that was moved.
    fn follow_move(&mut self, part: &RecordedPart) {
        let Some(file) = self.file.as_mut().filter(|file| file.is_moved) else { return };
        match self.place.open(part.time) {
            Ok(opened) => {
                warn!(file = %file.path.display(), "the file that was recorded to has been moved; this part begins another");
                let _ = file.appender.sync();
                *file = OpenRecording::new(opened, part.at);
            }
            Err(why) => {
                file.is_moved = false;
                if !std::mem::replace(&mut file.is_told, true) {
                    warn!("the file that was recorded to has been moved, and is recorded to further: {why}");
                }
            }
        }
    }
}

impl PartWriter for RecordingFiles {
    fn write(&mut self, part: &RecordedPart) -> io::Result<bool> {
        if self.known.take(part) {
            return Ok(false);
        }
        self.leave_lost_file();
        self.follow_move(part);
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
        let appended = file.appender.append(part, self.clock.read(part.at));
        appended.map_err(|why| of_path(&file.path, &why))?;
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
        // The last part may have come right before.
        if self.file.as_ref().is_some_and(|file| file.appender.is_deleted()) {
            self.leave_lost_file();
        }
    }

    fn tidy(&mut self) {
        self.leave_lost_file();
        if let Some(file) = &mut self.file {
            file.is_moved = file.appender.is_moved_from(&file.path);
        }
        self.place.tidy(self.file.as_ref().map(|file| file.path.as_path()));
    }
}
