//! Where parts of feeds are recorded to: a recording, a directory with a file for each part, or both. Each has a thread of its own, so
//! that one that cannot be written holds up neither a feed nor the other. It knows no feed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::info;

use crate::{
    error::{Error, Result},
    recording::{
        FrameFolder, Keep, RecordedPart, Recorder, RecorderCounters, RecorderSettings, Retention, SegmentLimit, SegmentPlace,
        SingleFile,
    },
};

/// How long a disk may take nothing at the end, and how long it may take for all that waits.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// What is recorded to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordTo {
    /// The file of a recording.
    pub file: Option<PathBuf>,
    /// A directory of such files: when a new one begins, and what is kept.
    pub folder: Option<(PathBuf, Option<SegmentLimit>, Option<Keep>)>,
    /// A directory with a file for each part.
    pub frames: Option<PathBuf>,
    /// Whether the first part of each feed is logged.
    pub tells_feeds: bool,
}

impl RecordTo {
    /// Where the recording is, if one is made.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref().or_else(|| self.folder.as_ref().map(|(folder, ..)| folder.as_path()))
    }
}

/// The counters of what is recorded.
#[derive(Debug, Clone, Default)]
pub struct RecordedCounters {
    /// Of the recording.
    pub recording: Option<Arc<RecorderCounters>>,
    /// Of the files for single parts.
    pub frames: Option<Arc<RecorderCounters>>,
}

impl RecordedCounters {
    /// Whether a part was recorded, or was there already.
    pub fn has_parts(&self) -> bool {
        self.recording.iter().chain(&self.frames).any(|counters| counters.recorded() + counters.repeated() > 0)
    }

    /// Logs what was recorded.
    ///
    /// # Errors
    /// If parts are still being lost.
    pub fn report(&self) -> Result<()> {
        for counters in self.recording.iter().chain(&self.frames) {
            let (parts, bytes, feeds) = (counters.recorded(), counters.bytes(), counters.feeds());
            info!(parts, bytes, feeds, lost = counters.lost(), "recorded");
            if counters.repeated() > 0 {
                info!(parts = counters.repeated(), "not recorded again: the recording had them");
            }
            if counters.is_failing() {
                return Err(Error::new("record the last parts", format!("{} parts are lost", counters.lost())));
            }
        }
        Ok(())
    }
}

/// Recorders, ready for parts.
#[derive(Debug, Default)]
pub struct RecordOutputs {
    recording: Option<Recorder>,
    frames: Option<Recorder>,
}

impl RecordOutputs {
    /// Opens them.
    ///
    /// # Errors
    /// If something cannot be recorded to. A file that is there and no recording stays as it is.
    pub fn open(to: RecordTo) -> Result<Self> {
        let settings = RecorderSettings { tells_feeds: to.tells_feeds, ..RecorderSettings::default() };
        // Of two recorders one tells it.
        let of_frames = RecorderSettings { tells_feeds: to.tells_feeds && to.path().is_none(), ..settings };
        let paths: Vec<PathBuf> = to.path().map(Path::to_owned).into_iter().chain(to.frames.clone()).collect();
        let file = to.file.map(|path| {
            let opened = Recorder::start(Box::new(SingleFile(path.clone())), settings);
            opened.map_err(|why| cannot(&path, why))
        });
        let folder = to.folder.map(|(path, limit, keep)| {
            let place = SegmentPlace::new(path.clone(), limit, keep.map(Retention::new));
            Recorder::start(Box::new(place), settings).map_err(|why| cannot(&path, why))
        });
        let frames = to.frames.map(|path| {
            let folder = FrameFolder::prepare(path.clone());
            let started = folder.and_then(|folder| Recorder::of_writer(Box::new(folder), of_frames));
            started.map_err(|why| cannot(&path, why))
        });
        let outputs = Self { recording: file.or(folder).transpose()?, frames: frames.transpose()? };
        paths.iter().for_each(|path| info!(to = %path.display(), "recording"));
        Ok(outputs)
    }

    /// These recorders.
    pub fn new(recording: Recorder) -> Self {
        Self { recording: Some(recording), frames: None }
    }

    fn all(&self) -> impl Iterator<Item = &Recorder> {
        self.recording.iter().chain(&self.frames)
    }

    /// Hands parts over, without waiting.
    pub(super) fn push(&self, parts: Vec<RecordedPart>) {
        // A recorder counts the parts for which it has no room.
        match (&self.recording, &self.frames) {
            (Some(recorder), None) | (None, Some(recorder)) => _ = recorder.push_all(parts),
            _ => self.all().for_each(|recorder| _ = recorder.push_all(parts.clone())),
        }
    }

    /// Counts parts that never came here.
    pub(super) fn count_lost(&self, parts: u64) {
        self.all().for_each(|recorder| recorder.counters().count_lost(parts));
    }

    /// What they have done so far.
    pub(super) fn counters(&self) -> RecordedCounters {
        let of = |recorder: &Option<Recorder>| recorder.as_ref().map(Recorder::counters);
        RecordedCounters { recording: of(&self.recording), frames: of(&self.frames) }
    }

    /// Writes what waits, for a limited time if the disk stands still.
    ///
    /// # Errors
    /// If it has not taken all.
    pub(super) fn finish(self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE.1;
        let finish = |recorder: Recorder| {
            let counters = recorder.counters();
            let patience = PATIENCE.0.min(deadline.saturating_duration_since(Instant::now()));
            (!recorder.finish_within(patience, Some(deadline))).then_some(counters)
        };
        let [recording, frames] = [self.recording, self.frames].map(|recorder| recorder.and_then(finish));
        match recording.or(frames) {
            None => Ok(()),
            Some(_) => Err(Error::new("finish the recording", "the disk does not take what is left")),
        }
    }
}

fn cannot(path: &Path, why: std::io::Error) -> Error {
    let error = Error::new(format!("record to {}", path.display()), &why);
    match why.kind() {
        std::io::ErrorKind::InvalidData => error.hint("mxr overwrites nothing: name a file that is not there, or a recording"),
        std::io::ErrorKind::WouldBlock => error.hint("name another file or directory"),
        std::io::ErrorKind::NotFound => error.hint("the directory for it has to be there"),
        _ => error,
    }
}
