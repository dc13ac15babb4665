//! The header lines of a part, read more leniently than mxr writes them. It reads lines and decides nothing about bodies or
//! delimiters.

use std::time::{Duration, SystemTime};

use super::{
    content_type::boundary_of,
    oddity::{Marks, Oddity},
};
use crate::format::Media;

/// The headers of a part that mxr uses. A header that is missing or malformed is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// `Content-Type`; for a picture without parameters, which readers do not accept (docs/field.md, Players and readers).
    pub media: Option<Media>,
    /// `Content-Length` in bytes, right or wrong.
    pub length: Option<usize>,
    /// `X-Timestamp`, by the sender's clock.
    pub time: Option<SystemTime>,
    /// `X-Sequence`, which mxr sends.
    pub sequence: Option<u64>,
    /// `X-Feed`: the feed of the part in a stream of several, percent-encoded.
    pub feed: Option<String>,
    /// `X-Feed-Kind`, of that feed.
    pub feed_kind: Option<String>,
    /// `X-Feed-Via`: the processes that the feed has passed, as `Via` has them.
    pub feed_via: Option<String>,
}

impl Headers {
    /// Reads one line, marks what is odd about it, and skips headers that are unknown.
    pub(super) fn read(&mut self, line: &[u8], marks: &mut Marks) {
        let line = String::from_utf8_lossy(line);
        let Some((name, value)) = line.split_once(':') else {
            let is_status = starts_as_status(line.trim_end().as_bytes()) == Start::Yes;
            return marks.add(if is_status { Oddity::ResponseInBody } else { Oddity::HeaderMalformed });
        };
        marks.add_if(name.is_empty() || name.trim() != name, Oddity::HeaderMalformed);
        self.take(name, value, marks);
    }

    /// Takes one header, and skips those that are unknown.
    pub fn field(&mut self, name: &str, value: &str) {
        self.take(name, value, &mut Marks::default());
    }

    fn take(&mut self, name: &str, value: &str, marks: &mut Marks) {
        let value = value.trim();
        match name.trim_end().to_ascii_lowercase().as_str() {
            "content-type" => self.media = media(value, marks),
            "content-length" => {
                marks.add_if(self.length.is_some() || marks.has(Oddity::LengthUnreadable), Oddity::LengthTwice);
                self.length = value.parse().ok();
                marks.add_if(self.length.is_none(), Oddity::LengthUnreadable);
            }
            "x-timestamp" => self.time = time(value),
            "x-sequence" => self.sequence = value.parse().ok(),
            "x-feed" => self.feed = Some(value.to_owned()),
            "x-feed-kind" => self.feed_kind = Some(value.to_owned()),
            "x-feed-via" => self.feed_via = Some(value.to_owned()),
            _ => {}
        }
    }

    /// Marks what is missing once all lines are read.
    pub(super) fn mark_missing(&self, marks: &mut Marks) {
        marks.add_if(self.media.is_none() && !marks.has(Oddity::TypeUnreadable), Oddity::NoType);
        marks.add_if(self.length.is_none() && !marks.has(Oddity::LengthUnreadable), Oddity::NoLength);
    }
}

fn media(value: &str, marks: &mut Marks) -> Option<Media> {
    let Ok(media) = Media::parse(value) else {
        marks.add(Oddity::TypeUnreadable);
        return None;
    };
    let (written, has_parameters) = value.split_once(';').map_or((value, false), |(written, _)| (written.trim_end(), true));
    let essence = written.to_ascii_lowercase();
    if !essence.starts_with("image/") {
        return Some(media);
    }
    let media = Media::from_known(&essence);
    marks.add_if(has_parameters, Oddity::TypeParameters);
    marks.add_if(media.as_str() != essence, Oddity::TypeAlias);
    Some(media)
}

/// The first second that `X-Timestamp` does not mean: that of the year 10000, which no date of HTTP can say.
const TIMES: u64 = 253_402_300_800;

/// Seconds since 1970 with a fraction, read without the rounding of a float.
fn time(value: &str) -> Option<SystemTime> {
    let (seconds, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.get(..fraction.len().min(9)).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    let nanos: u32 = format!("{digits:0<9}").parse().ok()?;
    let seconds = seconds.parse().ok().filter(|seconds| *seconds < TIMES)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// The most bytes and lines of a block: responses have longer ones than parts, and no log has so many lines of this form.
const MAX_BLOCK: (usize, usize) = (16 << 10, 64);

/// A block of header lines and the empty line after them: that of a part, or of a response with its status line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderBlock {
    /// The headers that mxr uses.
    pub headers: Headers,
    /// `boundary=`, if the type is multipart.
    pub boundary: Option<String>,
    /// Whether it begins with a status line.
    pub has_status: bool,
    /// Whether a header is named `Content-…` or `X-…`, as in every part, and the type is well-formed, if there is one.
    pub is_of_part: bool,
    /// The offset after the empty line.
    pub end: usize,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockLook {
    /// A complete block.
    Block(Box<HeaderBlock>),
    /// Something else.
    Other,
    /// More bytes are needed to tell.
    Unsure,
}

/// Looks for a header block at the beginning of the bytes.
pub fn look_for_headers(bytes: &[u8]) -> BlockLook {
    let (mut block, mut has_bad_type, mut marks) = (HeaderBlock::default(), false, Marks::default());
    for index in 0..MAX_BLOCK.1 {
        let rest = &bytes[block.end..];
        let newline = memchr::memchr(b'\n', rest);
        let line = &rest[..newline.unwrap_or(rest.len())];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let status = if index == 0 { starts_as_status(line) } else { Start::No };
        let start = if status == Start::No { starts_with_field(line) } else { status };
        let Some(length) = newline else {
            let is_open = line.is_empty() || start != Start::No;
            return if is_open && bytes.len() < MAX_BLOCK.0 { BlockLook::Unsure } else { BlockLook::Other };
        };
        block.end += length + 1;
        match start {
            _ if line.is_empty() && index > 0 => {
                block.is_of_part &= !has_bad_type;
                return BlockLook::Block(Box::new(block));
            }
            Start::Yes => {}
            Start::No | Start::Unsure => return BlockLook::Other,
        }
        block.has_status |= status == Start::Yes;
        block.headers.read(line, &mut marks);
        let line = String::from_utf8_lossy(line);
        let (name, value) = line.split_once(':').unwrap_or_default();
        let name = name.trim_end().to_ascii_lowercase();
        block.is_of_part |= name.starts_with("content-") || name.starts_with("x-");
        if name == "content-type" {
            has_bad_type = block.headers.media.is_none();
            let is_multipart = value.trim_start().to_ascii_lowercase().starts_with("multipart/");
            block.boundary = boundary_of(value).filter(|_| is_multipart);
        }
    }
    BlockLook::Other
}

/// Whether a body begins as multipart does: with a delimiter and headers, or with the headers of a part.
pub fn begins_as_multipart(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    let after_line = memchr::memchr(b'\n', body).map(|end| &body[end + 1..]).filter(|_| body.starts_with(b"--"));
    let is_block = |bytes: &[u8]| matches!(look_for_headers(bytes), BlockLook::Block(block) if block.is_of_part);
    after_line.is_some_and(is_block) || is_block(body)
}

/// Whether bytes begin in a certain way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Yes,
    No,
    /// More bytes are needed to tell.
    Unsure,
}

/// Whether bytes begin as no body does: with `Content-…`, or with the status line that some servers repeat.
pub(super) fn starts_with_name(bytes: &[u8]) -> Start {
    let start = |name: &[u8]| {
        let prefix = &bytes[..bytes.len().min(name.len())];
        if !prefix.eq_ignore_ascii_case(&name[..prefix.len()]) {
            Start::No
        } else if prefix.len() < name.len() {
            Start::Unsure
        } else {
            Start::Yes
        }
    };
    match start(b"Content-") {
        Start::No => start(b"HTTP/1."),
        start => start,
    }
}

/// Whether a line is a header, judged by its name (RFC 9110, section 5.1), or a status line.
pub(super) fn starts_as_header(bytes: &[u8]) -> Start {
    let known = starts_with_name(bytes);
    if known == Start::Yes {
        return known;
    }
    match starts_with_field(bytes) {
        Start::No => known,
        start => start,
    }
}

/// Whether bytes begin with a field name and a colon.
fn starts_with_field(bytes: &[u8]) -> Start {
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let name = bytes.iter().take(100).take_while(is_token).count();
    let spaces = bytes[name..].iter().take(8).take_while(|byte| **byte == b' ').count();
    match bytes.get(name + spaces) {
        Some(b':') if name > 0 => Start::Yes,
        None => Start::Unsure,
        Some(_) => Start::No,
    }
}

/// Whether a line is a status line: `HTTP/1.1 200 OK`, or `HTTP/2 200` as curl prints it.
fn starts_as_status(line: &[u8]) -> Start {
    const NAME: &[u8] = b"HTTP/";
    let Some(rest) = line.strip_prefix(NAME) else {
        return if NAME.starts_with(line) { Start::Unsure } else { Start::No };
    };
    let version = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let code = rest.get(version + 1..).unwrap_or_default();
    let digits = code.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (rest.get(version), code.get(digits)) {
        (Some(b' '), None | Some(b' ')) if version > 0 && digits == 3 => Start::Yes,
        (None, _) if version <= 3 => Start::Unsure,
        (Some(b' '), None) if version > 0 && digits < 3 => Start::Unsure,
        _ => Start::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> Headers {
        let mut headers = Headers::default();
        lines.iter().for_each(|line| headers.read(line.as_bytes(), &mut Marks::default()));
        headers
    }

    #[test]
    fn headers_are_read_leniently() {
        let read = headers(&[
            "content-type:image/jpg; charset=x",
            "CONTENT-LENGTH :   42  ",
            "X-Timestamp: 5.000001",
            "x-sequence: 7",
            "junk",
        ]);
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(5_000_001);
        assert_eq!(
            read,
            Headers {
                media: Some(Media::from_known("image/jpeg")),
                length: Some(42),
                time: Some(time),
                sequence: Some(7),
                ..Headers::default()
            }
        );
        let nonsense = [
            "Content-Length: -1",
            "Content-Type: picture",
            "X-Timestamp: 1.x",
            "X-Timestamp: now",
            "X-Timestamp: 99999999999999999999",
            "X-Timestamp: 1e300",
            "X-Timestamp: 253402300800",
            "X-Timestamp: 9223372036854775807.5",
        ];
        assert_eq!(headers(&nonsense), Headers::default());
        assert_eq!(headers(&["Content-Type: text/plain; charset=utf-8"]).media.unwrap().as_str(), "text/plain; charset=utf-8");
    }

    #[test]
    fn a_header_block_ends_with_an_empty_line() {
        let block = |text: &str| match look_for_headers(text.as_bytes()) {
            BlockLook::Block(block) => Ok(*block),
            other => Err(other == BlockLook::Unsure),
        };
        let head = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: multipart/x-mixed-replace; boundary=B\r\n\r\n";
        let response = block(&[head, "--B"].concat()).unwrap();
        assert_eq!((response.boundary.as_deref(), response.has_status, response.end), (Some("B"), true, head.len()));
        let part = block("content-type : image/jpg\nContent-Length: 9\n\n").unwrap();
        assert_eq!((part.headers.length, part.is_of_part, part.has_status), (Some(9), true, false));
        assert!(!block("Content-Type: foo\n\n").unwrap().is_of_part && !block("Server: x\n\n").unwrap().is_of_part);
        assert!(block("HTTP/2 200\r\n\r\n").unwrap().has_status);
        for text in ["", "\r", "H", "HTTP/1.1 20", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\n", "A: b\r\n\r", "A: b\nC"] {
            assert_eq!(block(text), Err(true), "{text:?}");
        }
        for text in ["\n", "HTTP/1.1 server\n", "HTTP/1.1 2000", "HTTP/1.1 200 OK\nHTTP/1.1", "A: b\ntwo words", "A: b\nC\n", "a b"]
        {
            assert_eq!(block(text), Err(false), "{text:?}");
        }
        assert_eq!(block(&"A: b\n".repeat(100)), Err(false));
    }

    #[test]
    fn a_header_is_distinguished_from_a_body() {
        for (line, start) in [
            ("X-Y: z", Start::Yes),
            ("Content-Type", Start::Yes),
            ("HTTP/1.0 200 OK", Start::Yes),
            ("a :", Start::Yes),
            ("HTTP/", Start::Unsure),
            ("HTTP/2", Start::No),
            ("hello", Start::Unsure),
            ("hello world", Start::No),
            (":", Start::No),
            ("\u{ff}", Start::No),
            ("a\n", Start::No),
        ] {
            assert_eq!(starts_as_header(line.as_bytes()), start, "{line:?}");
        }
    }
}
