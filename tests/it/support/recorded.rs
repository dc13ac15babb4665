//! The parts of a recording, read strictly as docs/recordings.md describes them.

use std::path::{Path, PathBuf};

/// One part of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub feed: String,
    pub media: String,
    pub sequence: u64,
    pub time: f64,
    /// The name of the clock, and what it showed.
    pub clock: (String, f64),
    pub body: Vec<u8>,
}

impl Recorded {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The parts of a file, which has to be whole.
#[track_caller]
pub fn recorded(path: &Path) -> Vec<Recorded> {
    let (parts, rest) = recorded_before_a_kill(path);
    assert_eq!(rest, 0, "{} is whole", path.display());
    parts
}

/// The whole parts of a file, and the bytes behind them that are not the close-delimiter.
#[track_caller]
pub fn recorded_before_a_kill(path: &Path) -> (Vec<Recorded>, usize) {
    let bytes = std::fs::read(path).unwrap();
    // The empty line behind the head is the line end before the first delimiter.
    let Some((head, mut rest)) = bytes.split_at_checked(98) else { return (Vec::new(), bytes.len()) };
    let head = std::str::from_utf8(head).unwrap();
    let boundary = head.strip_prefix("Content-Type: multipart/mixed; boundary=").expect("the type").split("\r\n").next().unwrap();
    assert!(head.ends_with("\r\nX-Recording: mxr 1\r\n"), "{head:?}");
    let (delimiter, close) = (format!("\r\n--{boundary}\r\n"), format!("\r\n--{boundary}--\r\n"));
    let mut parts = Vec::new();
    while let Some((part, behind)) = rest.strip_prefix(delimiter.as_bytes()).and_then(part) {
        // A body that is there may be one in the middle of which the file ends.
        if !behind.starts_with(format!("\r\n--{boundary}").as_bytes()) {
            break;
        }
        parts.push(part);
        rest = behind;
    }
    let rest = if rest == close.as_bytes() { 0 } else { rest.len() };
    (parts, rest)
}

fn part(bytes: &[u8]) -> Option<(Recorded, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let lines: Vec<(&str, &str)> =
        std::str::from_utf8(&bytes[..end]).unwrap().split("\r\n").map(|line| line.split_once(": ").unwrap()).collect();
    // A run has no kind that is told.
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).filter(|name| *name != "X-Feed-Kind").collect();
    assert_eq!(names, ["Content-Type", "Content-Length", "X-Timestamp", "X-Sequence", "X-Feed", "X-Clock"]);
    let (body, behind) = bytes[end + 4..].split_at_checked(lines[1].1.parse().unwrap())?;
    let (clock, shown) = lines.last().unwrap().1.split_once(' ').unwrap();
    let feed = percent_encoding::percent_decode_str(lines[4].1).decode_utf8().unwrap().into_owned();
    let part = Recorded {
        feed,
        media: lines[0].1.to_owned(),
        sequence: lines[3].1.parse().unwrap(),
        time: lines[2].1.parse().unwrap(),
        clock: (clock.to_owned(), shown.parse().unwrap()),
        body: body.to_vec(),
    };
    Some((part, behind))
}

/// The recordings in a directory, in the order of their names.
pub fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "mxr")).collect();
    files.sort();
    files
}
