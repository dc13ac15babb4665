//! Recognizes formats by their first bytes: pictures, multipart and its many beginnings (docs/field.md, Pipes). Text that happens to
//! begin like one of them must stay text, so each has to prove itself. It works on slices, and splits nothing.

use memchr::memmem;

use crate::{
    format::PictureScanner,
    wire::{BlockLook, HeaderBlock, look_for_headers},
};

/// The longest line, in bytes, that may be a delimiter.
const MAX_LINE: usize = 200;
/// The most bytes that are examined for proof.
pub(super) const MAX_PROOF: usize = 1 << 20;
/// The most delimiters in a row.
const MAX_DELIMITERS: usize = 4;
/// The most line ends before the first delimiter.
const MAX_LINE_ENDS: usize = 8;

/// The result of a look at the beginning of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sniffed<T> {
    Yes(T),
    /// More bytes are needed to tell.
    Unsure,
    No,
}

/// A multipart stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MultipartStart {
    /// The boundary that the head of a response has told.
    pub(super) boundary: Option<String>,
    /// Where the decoder begins: after that head.
    pub(super) at: usize,
}

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineStart {
    /// Its beginning: nothing was taken for text yet.
    Beginning,
    /// A line after text.
    Line,
}

/// Whether a multipart stream begins here: the head of a response (`curl -i`), delimiters (some cameras write the first one twice),
/// the headers of a part, and, where those prove too little, its body. `boundary` is the one that an earlier head told.
pub(super) fn look_for_multipart(bytes: &[u8], boundary: Option<&str>, place: LineStart) -> Sniffed<MultipartStart> {
    let mut start = MultipartStart { boundary: boundary.map(str::to_owned), at: 0 };
    if place == LineStart::Beginning {
        start.at = line_ends(bytes);
        if start.at > MAX_LINE_ENDS {
            return Sniffed::No;
        }
    }
    let head = begins_with(&bytes[start.at..], b"HTTP/");
    if let Some(is_complete) = head {
        match if is_complete { look_for_headers(&bytes[start.at..]) } else { BlockLook::Unsure } {
            BlockLook::Block(block) if block.boundary.is_some() => {
                start.at += block.end;
                start.at += line_ends(&bytes[start.at..]);
                start.boundary = block.boundary;
            }
            BlockLook::Unsure => return Sniffed::Unsure,
            BlockLook::Block(_) | BlockLook::Other => return Sniffed::No,
        }
    }
    let (mut at, mut first) = (start.at, None);
    for _ in 0..MAX_DELIMITERS {
        match look_for_delimiter(&bytes[at..], start.boundary.as_deref(), place) {
            Sniffed::Yes(length) => {
                let line = bytes[at..at + length].trim_ascii_end();
                if first.is_some_and(|first| first != line) {
                    return Sniffed::No;
                }
                (at, first) = (at + length, Some(line));
            }
            Sniffed::Unsure => return Sniffed::Unsure,
            Sniffed::No => break,
        }
    }
    let has_boundary = start.boundary.is_some();
    let may_lack_delimiter = head.is_some() || place == LineStart::Beginning;
    if first.is_none() && !(may_lack_delimiter && begins_as_content(&bytes[at..])) {
        return Sniffed::No;
    }
    if first.is_some() && place == LineStart::Beginning && !begins_as_part(&bytes[at..]) && !has_boundary {
        return Sniffed::No;
    }
    // A response says that it is multipart, and its boundary is there: the part may even lack headers.
    if has_boundary && first.is_some() && matches!(&bytes[at..], [b'\n', ..] | [b'\r', b'\n', ..]) {
        return Sniffed::Yes(start);
    }
    match look_for_headers(&bytes[at..]) {
        BlockLook::Unsure => Sniffed::Unsure,
        BlockLook::Other => Sniffed::No,
        BlockLook::Block(block) => {
            let is_clear = has_boundary || (place == LineStart::Beginning && first.is_some());
            match is_clear && (block.is_of_part || block.has_status) {
                true => Sniffed::Yes(start),
                false => look_at_body(&block, &bytes[at + block.end..]).map(start),
            }
        }
    }
}

/// The boundary that the head of a multipart response tells.
pub(super) fn boundary_of_head(bytes: &[u8]) -> Option<String> {
    match look_for_headers(bytes) {
        BlockLook::Block(block) if block.has_status => block.boundary,
        _ => None,
    }
}

impl Sniffed<()> {
    fn map<T>(self, value: T) -> Sniffed<T> {
        match self {
            Self::Yes(()) => Sniffed::Yes(value),
            Self::Unsure => Sniffed::Unsure,
            Self::No => Sniffed::No,
        }
    }
}

/// Whether the body proves that the headers before it are those of a part: it is a picture, as they say, or the next delimiter
/// follows where they say.
fn look_at_body(block: &HeaderBlock, body: &[u8]) -> Sniffed<()> {
    let (true, Some(media)) = (block.is_of_part, &block.headers.media) else { return Sniffed::No };
    if media.is_image() {
        let picture = &body[line_ends(body)..];
        if PictureScanner::of(picture).is_some() {
            return Sniffed::Yes(());
        }
        if picture.len() < PictureScanner::ENOUGH {
            return Sniffed::Unsure;
        }
    }
    let Some(length) = block.headers.length.filter(|length| (1..MAX_PROOF).contains(length)) else { return Sniffed::No };
    let Some(rest) = body.get(length..) else { return Sniffed::Unsure };
    let next = &rest[line_ends(rest)..];
    match look_for_delimiter(next, None, LineStart::Line) {
        Sniffed::Yes(_) => Sniffed::Yes(()),
        Sniffed::No if !next.is_empty() => Sniffed::No,
        _ => Sniffed::Unsure,
    }
}

/// A delimiter line, as its length; a header that follows on the same line (servers in Python 2) is not part of it.
fn look_for_delimiter(bytes: &[u8], boundary: Option<&str>, place: LineStart) -> Sniffed<usize> {
    let shown = &bytes[..bytes.len().min(MAX_LINE)];
    let newline = memchr::memchr(b'\n', shown);
    let line = &shown[..newline.unwrap_or(shown.len())];
    let dashes = line.iter().take_while(|byte| **byte == b'-').count();
    let token = &line[dashes..];
    // Behind text, where no line waits for the next, a boundary may have spaces: `--video boundary--` (D-Link).
    let is_token = |byte: &u8| byte.is_ascii_graphic() || (place == LineStart::Line && *byte == b' ');
    let is_delimiter = match boundary.map(|boundary| boundary.trim_start_matches('-').as_bytes()) {
        Some(boundary) if newline.is_some() => token.trim_ascii_end() == boundary,
        Some(boundary) => boundary.starts_with(token) || token.trim_ascii_end() == boundary,
        None => line.starts_with(&b"--"[..line.len().min(2)]) && token.trim_ascii_end().iter().all(is_token),
    };
    let header = memmem::find(&token.to_ascii_lowercase(), b"content-").filter(|at| *at > 0 && dashes >= 2);
    if let Some(at) = header.filter(|at| token[..*at].iter().all(u8::is_ascii_graphic)) {
        return Sniffed::Yes(dashes + at);
    }
    match newline {
        _ if !is_delimiter => Sniffed::No,
        None if shown.len() < MAX_LINE => Sniffed::Unsure,
        Some(end) if !token.trim_ascii_end().is_empty() => Sniffed::Yes(end + 1),
        _ => Sniffed::No,
    }
}

/// Whether the bytes begin with `start`: `Some(false)` if they are a beginning of it.
pub(super) fn begins_with(bytes: &[u8], start: &[u8]) -> Option<bool> {
    let shown = &bytes[..bytes.len().min(start.len())];
    start.starts_with(shown).then_some(shown.len() == start.len())
}

/// Whether the bytes begin with `Content-`, in any case, or with a beginning of that.
fn begins_as_content(bytes: &[u8]) -> bool {
    begins_as(bytes, b"content-")
}

/// Whether the bytes begin as the headers of a part do: no line of a log waits here for many others.
fn begins_as_part(bytes: &[u8]) -> bool {
    begins_as_content(bytes) || begins_as(bytes, b"x-") || begins_as(bytes, b"http/")
}

fn begins_as(bytes: &[u8], name: &[u8]) -> bool {
    name.starts_with(&bytes[..bytes.len().min(name.len())].to_ascii_lowercase())
}

/// The number of line ends at the beginning; a `\r` alone counts.
fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// The first picture in the bytes: its offset, and whether its first bytes are all there.
pub(super) fn find_picture(bytes: &[u8]) -> Option<(usize, bool)> {
    let starts = memchr::memchr2_iter(0xff, 0x89, bytes);
    starts.map(|at| (at, starts_picture(&bytes[at..]))).find_map(|(at, start)| Some((at, start?)))
}

/// Whether a picture begins here: `Some(false)` if there are too few bytes. A JPEG needs its first marker, too.
fn starts_picture(bytes: &[u8]) -> Option<bool> {
    const JPEG: &[u8] = b"\xff\xd8\xff";
    match bytes.get(JPEG.len()) {
        Some(0xc0..=0xfe) if bytes.starts_with(JPEG) => Some(true),
        None if JPEG.starts_with(bytes) => Some(false),
        _ => begins_with(bytes, b"\x89PNG\r\n\x1a\n"),
    }
}
