//! Text behind which another format may begin: a banner or a preamble before pictures or multipart. Each line is returned as soon as
//! it ends, and none is lost to a wrong guess: bytes that only begin like a picture become text again. Another splitter cuts the
//! lines.

use std::path::Path;

use super::{
    rule::Split,
    sniff::{LineStart, MAX_PROOF, Sniffed, boundary_of_head, find_picture, look_for_multipart},
    splitter::{PartStamp, RawPart, Splitter},
};
use crate::format::{ImageClass, Media, PictureScanner, Scan, Scanner};

/// The most text between the first two pictures of a stream of pictures. One in a log, or a few far apart, do not end the text.
const MAX_TEXT_BETWEEN: usize = 4096;

/// The rule for the rest of a stream, and the first bytes of that.
pub(super) type Switch = (Split, Vec<u8>);

/// Text, and the search for what follows it.
#[derive(Debug)]
pub(super) struct TextFirst {
    lines: Box<dyn Splitter>,
    limit: usize,
    /// Bytes that are not yet taken for text, since they may be a picture.
    held: Vec<u8>,
    /// The scanner of the picture that `held` begins with.
    scanner: Option<PictureScanner>,
    /// The offset in `held` up to which a picture has proved broken.
    broken: usize,
    /// Bytes of text since the last picture.
    since_picture: Option<usize>,
    observer: Observer,
    refused: u64,
}

impl TextFirst {
    /// Lines by this splitter, and pictures of at most `limit` bytes.
    pub(super) fn new(lines: Box<dyn Splitter>, limit: usize) -> Self {
        let observer = Observer::new(None);
        Self { lines, limit, held: Vec::new(), scanner: None, broken: 0, since_picture: None, observer, refused: 0 }
    }

    /// Takes the bytes of one read, and appends lines. Returns the rule for what follows them, once that is certain.
    pub(super) fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>) -> Option<Switch> {
        self.held.extend_from_slice(data);
        loop {
            if self.scanner.is_none() {
                let found = find_picture(&self.held);
                if let Some(switch) = self.pass(found.map_or(self.held.len(), |(at, _)| at), bodies) {
                    return Some(switch);
                }
                if !found.is_some_and(|(_, has_start)| has_start) {
                    return None;
                }
                if let Some((boundary, mut first)) = self.observer.part_with(&self.held) {
                    first.append(&mut self.held);
                    return Some((Split::Multipart(boundary), first));
                }
                self.scanner = PictureScanner::of(&self.held);
            }
            if let Some(switch) = self.scan(bodies)? {
                return Some(switch);
            }
        }
    }

    /// Takes the end of the stream, and appends the last line.
    pub(super) fn finish(&mut self, bodies: &mut Vec<RawPart>) {
        if self.scanner.is_some() && self.since_picture.is_some() {
            self.refused += 1;
        } else {
            self.lines.push(&self.held, bodies);
        }
        self.held.clear();
        self.lines.finish(bodies);
    }

    /// Pictures that were cut off.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes held of a line or of a picture.
    pub(super) fn pending(&self) -> usize {
        self.held.len() + self.lines.pending()
    }

    /// Continues through the picture that `held` begins with; `None` if it needs more bytes.
    fn scan(&mut self, bodies: &mut Vec<RawPart>) -> Option<Option<Switch>> {
        let seen = self.held.len().min(self.limit);
        let scanner = self.scanner.as_mut()?;
        let (restart, reached) = match scanner.advance(&self.held[..seen]) {
            Scan::End(end) => return Some(self.take_picture(end, bodies)),
            Scan::More if self.held.len() <= self.limit => return None,
            Scan::More => (seen, seen),
            Scan::Broken => match scanner {
                PictureScanner::Jpeg(jpeg) => (jpeg.restart(), jpeg.reached()),
                PictureScanner::Png(png) => (png.restart(), png.reached()),
            },
        };
        self.scanner = None;
        // It goes back over a byte only once.
        let step = if restart >= self.broken { restart.min(reached) } else { reached };
        self.broken = self.broken.max(reached);
        Some(self.pass(step.clamp(1, seen), bodies))
    }

    /// Takes a complete picture: the first is a part among the lines, and after a second one the rest of the stream is pictures.
    fn take_picture(&mut self, end: usize, bodies: &mut Vec<RawPart>) -> Option<Switch> {
        self.scanner = None;
        if !self.observer.at_line_start {
            self.lines.push(b"\n", bodies);
        }
        self.observer = Observer::new(self.observer.boundary.take());
        if self.since_picture.is_some_and(|text| text <= MAX_TEXT_BETWEEN) {
            let split = if self.held.starts_with(b"\xff") { Split::Jpeg } else { Split::Png };
            return Some((split, std::mem::take(&mut self.held)));
        }
        let bytes: Vec<u8> = self.held.drain(..end).collect();
        (self.broken, self.since_picture) = (self.broken.saturating_sub(end), Some(0));
        let media = Some(Media::guess(Path::new(""), &bytes));
        bodies.push(RawPart { media, bytes: bytes.into(), class: Some(ImageClass::Raster), stamp: PartStamp::default() });
        None
    }

    /// Takes the first bytes of `held` for text.
    fn pass(&mut self, bytes: usize, bodies: &mut Vec<RawPart>) -> Option<Switch> {
        self.broken = self.broken.saturating_sub(bytes);
        self.since_picture = self.since_picture.map(|text| text.saturating_add(bytes));
        let found = self.observer.read(&self.held[..bytes]);
        let end = found.as_ref().map_or(bytes, |(_, end)| *end);
        self.lines.push(&self.held[..end], bodies);
        self.held.drain(..end);
        let ((boundary, mut first), _) = found?;
        first.append(&mut self.held);
        Some((Split::Multipart(boundary), first))
    }
}

/// The boundary, if it was told, and the first bytes of a multipart stream.
type FoundMultipart = (Option<String>, Vec<u8>);

/// Looks for multipart in lines that are text all the same until it is found.
#[derive(Debug)]
struct Observer {
    at_line_start: bool,
    /// Whether the present line may belong to a beginning of multipart.
    is_followed: bool,
    /// The lines that may be one, with the present line.
    candidate: Vec<u8>,
    /// Where the present line begins in it.
    line: usize,
    /// The boundary that the head of a response has told.
    boundary: Option<String>,
}

impl Observer {
    fn new(boundary: Option<String>) -> Self {
        Self { at_line_start: true, is_followed: false, candidate: Vec::new(), line: 0, boundary }
    }

    /// Reads text. Returns the multipart stream that the last line of it proves, and the offset after that line.
    fn read(&mut self, text: &[u8]) -> Option<(FoundMultipart, usize)> {
        let mut at = 0;
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            at += piece.len();
            if self.at_line_start {
                self.line = self.candidate.len();
                self.is_followed = self.line > 0 || self.may_begin(piece);
            }
            self.at_line_start = piece.ends_with(b"\n");
            if !self.is_followed {
                continue;
            }
            self.candidate.extend_from_slice(piece);
            if self.candidate.len() > 2 * MAX_PROOF {
                (self.is_followed, self.line) = (false, 0);
                self.candidate.clear();
            } else if self.at_line_start
                && let Some(found) = self.look()
            {
                return Some((found, at));
            }
        }
        None
    }

    fn may_begin(&self, line: &[u8]) -> bool {
        matches!(line, [b'-' | b'H', ..]) || self.boundary.is_some()
    }

    /// Looks at the candidate after a line. A line that does not continue it may begin another one.
    fn look(&mut self) -> Option<FoundMultipart> {
        match look_for_multipart(&self.candidate, self.boundary.as_deref(), LineStart::Line) {
            Sniffed::Yes(start) => return Some((start.boundary, self.candidate.split_off(start.at))),
            Sniffed::Unsure => return None,
            Sniffed::No => {}
        }
        self.boundary = boundary_of_head(&self.candidate).or(self.boundary.take());
        let line = self.candidate.split_off(self.line);
        let is_whole = std::mem::replace(&mut self.candidate, line).is_empty();
        if is_whole || !self.may_begin(&self.candidate) {
            self.candidate.clear();
            return None;
        }
        self.line = 0;
        self.look()
    }

    /// The multipart stream that a picture proves which follows the candidate.
    fn part_with(&mut self, picture: &[u8]) -> Option<FoundMultipart> {
        if !self.at_line_start || self.candidate.is_empty() {
            return None;
        }
        let before = self.candidate.len();
        self.candidate.extend_from_slice(&picture[..picture.len().min(PictureScanner::ENOUGH)]);
        let found = look_for_multipart(&self.candidate, self.boundary.as_deref(), LineStart::Line);
        self.candidate.truncate(before);
        let Sniffed::Yes(start) = found else { return None };
        Some((start.boundary, self.candidate.split_off(start.at)))
    }
}
