//! Recordings of a directory, one file for each stretch of time. It owns their names, which are UTC and sort by time, and finds
//! parts in all of them. It does not write or delete.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{head::PartHead, reader::Recording};
use crate::part::unix_time;

/// The ending of a recording's name.
const ENDING: &str = ".mxr";

/// A file of a directory whose name is that of a segment. Another program may have written it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The time in its name: that of its first part, by the clock of the machine then.
    pub start: SystemTime,
    /// Tells segments of the same millisecond apart.
    pub number: u32,
    /// The file.
    pub path: PathBuf,
}

/// The time as names have it: `20261129T133400.123Z`, in UTC, so that no hour comes twice.
pub(super) fn utc(time: SystemTime) -> String {
    let time = SystemTime::UNIX_EPOCH + unix_time(time).min(Duration::from_secs(253_402_300_799));
    humantime::format_rfc3339_millis(time).to_string().replace(['-', ':'], "")
}

/// The name of a segment whose first part is of this time. `number` is 0 unless there is such a file.
pub fn segment_name(start: SystemTime, number: u32) -> String {
    let further = if number > 0 { format!("-{number}") } else { String::new() };
    format!("{}{further}{ENDING}", utc(start))
}

fn parse_name(name: &str) -> Option<(SystemTime, u32)> {
    let stem = name.strip_suffix(ENDING)?;
    let (time, number) = stem.split_once('-').unwrap_or((stem, "0"));
    let digits = |range: std::ops::Range<usize>| time.get(range).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (date, clock, millis) = (digits(0..8)?, digits(9..15)?, digits(16..19)?);
    let written =
        format!("{}-{}-{}T{}:{}:{}.{millis}Z", &date[..4], &date[4..6], &date[6..], &clock[..2], &clock[2..4], &clock[4..]);
    let start = humantime::parse_rfc3339(&written).ok()?;
    let number = number.parse().ok()?;
    // Only the one spelling that mxr writes.
    (segment_name(start, number) == name).then_some((start, number))
}

/// The regular files of a directory that have the name of a segment, in the order of their times.
///
/// # Errors
/// Those of reading the directory.
pub fn segments_of(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let parsed = entry.file_name().to_str().and_then(parse_name);
        if let Some((start, number)) = parsed.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) {
            segments.push(Segment { start, number, path: entry.path() });
        }
    }
    segments.sort();
    Ok(segments)
}

/// The most segments that are open at once, each with a file descriptor and its index.
const MAX_OPEN: usize = 64;

/// A segment that is open, and when it was used last.
#[derive(Debug)]
struct InUse {
    recording: Recording,
    used: u64,
}

/// All segments of a directory as one recording. Each is opened when it is first needed; those that were used last stay open.
#[derive(Debug)]
pub struct SegmentedRecording {
    folder: PathBuf,
    segments: Vec<(Segment, Option<InUse>)>,
    uses: u64,
}

impl SegmentedRecording {
    /// Lists a directory.
    ///
    /// # Errors
    /// Those of reading the directory.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut recording = Self { folder: folder.to_owned(), segments: Vec::new(), uses: 0 };
        recording.refresh()?;
        Ok(recording)
    }

    /// Looks for new segments and for those that are gone, and for new parts in the newest.
    ///
    /// # Errors
    /// Those of reading the directory.
    pub fn refresh(&mut self) -> io::Result<()> {
        let mut known: std::collections::BTreeMap<_, _> = std::mem::take(&mut self.segments).into_iter().collect();
        let listed = segments_of(&self.folder)?;
        self.segments = listed.into_iter().map(|segment| (segment.clone(), known.remove(&segment).flatten())).collect();
        Ok(())
    }

    /// The segments, in the order of their times.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &Segment> {
        self.segments.iter().map(|(segment, _)| segment)
    }

    /// The recording of the segment with this index in the list.
    ///
    /// # Errors
    /// Those of `Recording::open`; `NotFound` for an index beyond the list.
    pub fn recording(&mut self, index: usize) -> io::Result<&mut Recording> {
        if self.segments.get(index).is_some_and(|(_, opened)| opened.is_none()) {
            self.close_one();
        }
        let (segment, opened) = self.segments.get_mut(index).ok_or(io::ErrorKind::NotFound)?;
        self.uses += 1;
        let in_use = match opened {
            Some(in_use) => in_use,
            None => opened.insert(InUse { recording: Recording::open(&segment.path)?, used: 0 }),
        };
        in_use.used = self.uses;
        Ok(&mut in_use.recording)
    }

    /// Segments that are open.
    pub fn open_files(&self) -> usize {
        self.segments.iter().filter(|(_, opened)| opened.is_some()).count()
    }

    /// Closes the segment that was used longest ago, if as many are open as may be.
    fn close_one(&mut self) {
        let mut open: Vec<_> = self.segments.iter_mut().filter_map(|(_, opened)| opened.is_some().then_some(opened)).collect();
        if open.len() >= MAX_OPEN
            && let Some(oldest) = open.iter_mut().min_by_key(|opened| opened.as_ref().map(|in_use| in_use.used))
        {
            **oldest = None;
        }
    }

    /// The newest part of a feed at or before a time, with the index of its segment. Where clocks jumped inside a segment, the
    /// times in the names decide which one is asked first. A segment that cannot be read is passed over.
    pub fn at(&mut self, feed: &str, time: SystemTime) -> Option<(usize, PartHead)> {
        let before = self.segments.partition_point(|(segment, _)| segment.start <= time);
        (0..before).rev().find_map(|index| Some((index, self.recording(index).ok()?.at(feed, time).ok()??)))
    }
}
