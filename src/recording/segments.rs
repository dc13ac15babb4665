//! Recordings of a directory, one file for each stretch of time. It owns their names, which are UTC and sort by time. It does not
//! read, write or delete them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

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
