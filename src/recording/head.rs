//! The head of a recording and of each part in it: how they are written, and how they are read again, also where another program
//! has written the file. It knows text, no files.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rand::Rng;

use crate::{
    format::Media,
    wire::{BlockLook, Boundary, Headers, boundary_of, look_for_headers, part_headers},
};

/// The version that is written, and the newest that is understood. It rises only where an older reader would misread a file; what
/// an older reader can skip needs no new one.
pub(super) const VERSION: u32 = 1;

/// The most bytes of a head.
pub(super) const MAX_HEAD: usize = 16 << 10;

/// The most lines of a part's head.
const MAX_LINES: usize = 100;

/// Characters of a feed's name that are not written as they are; the same as on the wire.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What stands before the boundary in each head that mxr writes.
const START: &str = "Content-Type: multipart/mixed; boundary=";

/// The head of a new recording, without the empty line: that is the CRLF before the first delimiter. With it the head has 100
/// bytes, always, so that a reader that wants parts alone can be told how many bytes to skip.
pub(super) fn file_head(boundary: &Boundary) -> String {
    format!("{START}{}\r\nX-Recording: mxr {VERSION}\r\n", boundary.as_str())
}

/// Whether the bytes are the beginning of a head that was cut off while mxr wrote it.
pub(super) fn is_torn_head(bytes: &[u8]) -> bool {
    let compared = bytes.len().min(START.len());
    bytes.len() < MAX_HEAD && bytes[..compared] == START.as_bytes()[..compared] && !has_empty_line(bytes)
}

fn has_empty_line(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\r\n\r\n").is_some()
}

/// The beginning of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHead {
    /// The boundary.
    pub boundary: String,
    /// The version of mxr's format; `None` for a file that another program made.
    pub version: Option<u32>,
    /// Where the first delimiter begins, with the CRLF before it where there is one.
    pub(super) end: u64,
    /// Whether a CRLF is before the first delimiter.
    pub(super) has_line_end: bool,
}

impl FileHead {
    /// Reads the beginning of a file: header lines, with a status line or not (`curl -i`), or the first delimiter (`curl`). `None`
    /// if it is neither, or if the type is not multipart.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let BlockLook::Block(block) = look_for_headers(bytes) else { return Self::from_delimiter(bytes) };
        let lines = String::from_utf8_lossy(&bytes[..block.end]);
        let version = lines.lines().find_map(version_of);
        let boundary = block.boundary.or_else(|| lines.lines().find_map(boundary_in))?;
        let line_end = if bytes[..block.end].ends_with(b"\r\n") { 2 } else { 0 };
        Some(Self { boundary, version, end: (block.end - line_end) as u64, has_line_end: line_end > 0 })
    }

    fn from_delimiter(bytes: &[u8]) -> Option<Self> {
        let blank = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let rest = bytes[blank..].strip_prefix(b"--")?;
        let line = &rest[..memchr::memchr(b'\n', rest).filter(|end| *end <= 200)?];
        let boundary = std::str::from_utf8(line).ok()?.trim_end();
        (!boundary.is_empty()).then(|| Self { boundary: boundary.to_owned(), version: None, end: 0, has_line_end: blank > 0 })
    }
}

fn version_of(line: &str) -> Option<u32> {
    let (name, value) = line.split_once(':')?;
    let version = value.trim().strip_prefix("mxr ").filter(|_| name.eq_ignore_ascii_case("X-Recording"))?;
    version.split_whitespace().next()?.parse().ok()
}

fn boundary_in(line: &str) -> Option<String> {
    let (name, value) = line.split_once(':')?;
    boundary_of(value).filter(|_| name.eq_ignore_ascii_case("Content-Type"))
}

/// A clock that never jumps, from the start of one recorder. Its name tells it from those of other runs.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    name: u32,
    start: Instant,
}

impl RunClock {
    /// Starts a clock.
    pub fn start() -> Self {
        Self { name: rand::rng().random(), start: Instant::now() }
    }

    /// What it shows at this moment.
    pub fn read(&self, now: Instant) -> ClockReading {
        ClockReading { name: self.name, at: now.saturating_duration_since(self.start) }
    }
}

/// What a run's clock showed when a part was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The clock; readings of different ones cannot be compared.
    pub name: u32,
    /// The time since its start, in whole microseconds once it was written.
    pub at: Duration,
}

impl ClockReading {
    fn parse(value: &str) -> Option<Self> {
        let (name, at) = value.split_once(' ')?;
        let (seconds, micros) = at.trim().split_once('.')?;
        let micros = Some(micros).filter(|micros| micros.len() == 6 && micros.bytes().all(|digit| digit.is_ascii_digit()))?;
        let at = Duration::from_secs(seconds.parse().ok().filter(|seconds| *seconds < 1 << 40)?);
        Some(Self { name: u32::from_str_radix(name, 16).ok()?, at: at + Duration::from_micros(micros.parse().ok()?) })
    }
}

impl fmt::Display for ClockReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x} {}.{:06}", self.name, self.at.as_secs(), self.at.subsec_micros())
    }
}

/// A part's headers and its place in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartHead {
    /// Type, time and sequence; each `None` where it is missing or malformed.
    pub headers: Headers,
    /// The feed's name, decoded.
    pub feed: Option<String>,
    /// The kind of the feed, as on the wire.
    pub kind: Option<String>,
    /// The clock that never jumps.
    pub clock: Option<ClockReading>,
    /// The offset of the body.
    pub body: u64,
    /// Its bytes.
    pub length: u64,
    /// The offset of the delimiter before the part.
    pub(super) at: u64,
}

impl PartHead {
    /// Reads the header lines with the empty line after them, and returns their length. `None` if the empty line is missing.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (mut head, mut end) = (Self::default(), 0);
        for _ in 0..MAX_LINES {
            let length = memchr::memchr(b'\n', &bytes[end..])? + 1;
            let line = String::from_utf8_lossy(&bytes[end..end + length]);
            end += length;
            if line.trim_end_matches(['\r', '\n']).is_empty() {
                return Some((head, end));
            }
            if let Some((name, value)) = line.split_once(':') {
                head.take(name.trim(), value.trim());
            }
        }
        None
    }

    fn take(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("X-Feed") {
            self.feed = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
        } else if name.eq_ignore_ascii_case("X-Feed-Kind") {
            self.kind = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("X-Clock") {
            self.clock = ClockReading::parse(value);
        } else {
            self.headers.field(name, value);
        }
    }

    /// The offset after the body.
    pub(super) fn end(&self) -> u64 {
        self.body + self.length
    }
}

/// The header lines about a part's feed.
pub(super) fn of_feed(name: &str, kind: Option<&str>) -> String {
    let kind = kind.map_or_else(String::new, |kind| format!("X-Feed-Kind: {kind}\r\n"));
    format!("X-Feed: {}\r\n{kind}", utf8_percent_encode(name, NAME))
}

/// The header lines of a part with the empty line after them.
pub(super) fn part_head(
    media: &Media,
    length: usize,
    stamp: (SystemTime, u64),
    of_feed: &str,
    clock: Option<ClockReading>,
) -> Vec<u8> {
    let clock = clock.map_or_else(String::new, |clock| format!("X-Clock: {clock}\r\n"));
    let (time, sequence) = stamp;
    part_headers(media, length, time, sequence, &format!("{of_feed}{clock}"))
}
