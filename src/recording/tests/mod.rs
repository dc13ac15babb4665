//! What the room promises, on real files.

mod archives;
mod crashes;
mod readers;
mod recorders;
mod segments;
mod times;

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::{format::Media, wire::Boundary};

/// So many seconds after a day of 2025.
fn at(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_999_000) + Duration::from_secs_f64(1000.0 + seconds)
}

fn recorded(sequence: u64, body: impl Into<Bytes>) -> RecordedPart {
    RecordedPart {
        feed: "a".into(),
        media: Media::from_known("text/plain"),
        time: at(sequence as f64),
        sequence,
        at: Instant::now(),
        kind: None,
        body: body.into(),
    }
}

/// A recording of these bodies in a directory of its own.
fn recording_of(bodies: &[&[u8]]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    append_to(&path, bodies);
    (folder, path)
}

/// Appends, and returns what was cut off before.
fn append_to(path: &Path, bodies: &[&[u8]]) -> Option<Cut> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    let (mut appender, cut) = Appender::open(file).unwrap();
    let clock = RunClock::start();
    for (body, sequence) in bodies.iter().zip(1..) {
        let part = recorded(sequence, body.to_vec());
        appender.append(&part, clock.read(part.at)).unwrap();
    }
    cut
}

fn heads_of(recording: &mut Recording) -> Vec<PartHead> {
    let mut cursor = recording.start();
    std::iter::from_fn(|| recording.next_part(&mut cursor).unwrap()).collect()
}

fn bodies_of(path: &Path) -> Vec<Bytes> {
    let mut recording = Recording::open(path).unwrap();
    heads_of(&mut recording).iter().map(|part| recording.body(part, 1 << 20).unwrap()).collect()
}

#[test]
fn a_recording_has_these_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    let mut appender = Appender::begin(Box::new(file)).unwrap();
    let reading = |micros| ClockReading { name: 0x3f2a, at: Duration::from_micros(micros) };
    let picture = RecordedPart {
        feed: "plots/grün".into(),
        media: Media::from_known("image/png"),
        kind: Some("newest"),
        ..recorded(7, "12345")
    };
    appender.append(&picture, reading(1_500_000)).unwrap();
    appender.append(&recorded(8, ""), reading(2_500_000)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let boundary = text.lines().next().unwrap().split_once("boundary=").unwrap().1.to_owned();
    assert_eq!(
        text.replace(&boundary, "B"),
        "Content-Type: multipart/mixed; boundary=B\r\nX-Recording: mxr 1\r\n\
         \r\n--B\r\nContent-Type: image/png\r\nContent-Length: 5\r\nX-Timestamp: 1764000007.000000\r\nX-Sequence: 7\r\n\
         X-Feed: plots%2Fgr%C3%BCn\r\nX-Feed-Kind: newest\r\nX-Clock: 00003f2a 1.500000\r\n\r\n12345\
         \r\n--B\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nX-Timestamp: 1764000008.000000\r\nX-Sequence: 8\r\n\
         X-Feed: a\r\nX-Clock: 00003f2a 2.500000\r\n\r\n\
         \r\n--B--\r\n"
    );
    assert_eq!(text.find("--mxr-"), Some(100), "ffmpeg is told to skip 100 bytes");
    let mut recording = Recording::open(&path).unwrap();
    let head = heads_of(&mut recording).remove(0);
    assert_eq!((head.feed.as_deref(), head.clock), (Some("plots/grün"), Some(reading(1_500_000))));
    assert_eq!(head.kind.as_deref(), Some("newest"));
    assert_eq!((head.headers.time, head.headers.sequence), (Some(picture.time), Some(7)));
    assert!(Boundary::parse(&recording.head().boundary).is_ok());
}
