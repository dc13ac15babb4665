//! The parts that a recording has already, of each feed, so that a recording that goes on does not have what an upstream still holds
//! a second time. It knows times and lengths, reads heads alone and only near the end, and decides nothing by the clock of the machine.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use tracing::debug;

use super::{appender::RecordedPart, index::micros, reader::Recording};

/// So much at the end of a file is looked at.
const TAIL: u64 = 16 << 20;
/// No further file is opened after so many bytes of heads.
const MOST_READ: u64 = 16 << 20;

/// What was recorded last of each feed.
#[derive(Debug, Default)]
pub(super) struct KnownParts {
    feeds: HashMap<String, KnownFeed>,
}

#[derive(Debug, Default)]
struct KnownFeed {
    /// The latest time.
    latest: u64,
    /// How many parts there are of a time, in microseconds, and a length. Their numbers do not tell: each run of a program counts
    /// anew what an upstream still holds.
    parts: HashMap<(u64, u64), u32>,
}

impl KnownParts {
    /// Of these files, the newest first. What cannot be read is not known.
    pub(super) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let (mut known, mut read) = (Self::default(), 0);
        for file in files {
            match known.read(&file) {
                Ok(bytes) => read += bytes,
                Err(why) => debug!(file = %file.display(), "not read: {why}"),
            }
            if read >= MOST_READ {
                break;
            }
        }
        known
    }

    /// Returns how many bytes were read.
    fn read(&mut self, file: &Path) -> io::Result<u64> {
        let mut recording = Recording::open(file)?;
        let tail = recording.tail(TAIL)?;
        if !self.take_from(&mut recording, tail)? && tail > recording.start() {
            // The last part is larger than that.
            let start = recording.start();
            self.take_from(&mut recording, start)?;
        }
        Ok(recording.bytes_read())
    }

    fn take_from(&mut self, recording: &mut Recording, mut cursor: u64) -> io::Result<bool> {
        let mut has_parts = false;
        while let Some(part) = recording.next_part(&mut cursor)? {
            has_parts = true;
            if let (Some(feed), Some(time)) = (part.feed, part.headers.time) {
                let (feed, time) = (self.feeds.entry(feed).or_default(), micros(time));
                feed.latest = feed.latest.max(time);
                *feed.parts.entry((time, part.length)).or_default() += 1;
            }
        }
        Ok(has_parts)
    }

    /// Whether the recording has this part; each one that it has counts once. The first part of a feed that is newer than all of them
    /// ends the doubt.
    pub(super) fn take(&mut self, part: &RecordedPart) -> bool {
        let time = micros(part.time);
        let Some(feed) = self.feeds.get_mut(&*part.feed) else { return false };
        if time > feed.latest {
            self.feeds.remove(&*part.feed);
            return false;
        }
        match feed.parts.get_mut(&(time, part.body.len() as u64)) {
            Some(left @ 1..) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
