//! A multipart stream on a pipe (`ffmpeg -f mpjpeg -`, `curl` from a camera), in which each part has its own type. `wire` decodes
//! it; this file knows no delimiters.

use std::path::Path;

use super::splitter::{Makes, PartStamp, RawPart, Splitter};
use crate::{
    format::{Completeness, Media, inspect},
    wire::{Bounds, Decoded, Decoder},
};

/// Splits multipart. Without a boundary the first line that begins with `--` shows it.
#[derive(Debug)]
pub(super) struct Multipart {
    decoder: Decoder,
    parts: Vec<Decoded>,
    truncated: u64,
}

impl Multipart {
    /// A splitter for bodies of at most `limit` bytes.
    pub(super) fn new(boundary: Option<&str>, limit: usize) -> Self {
        Self { decoder: Decoder::new(boundary, Bounds::bodies(limit)), parts: Vec::new(), truncated: 0 }
    }

    fn take_parts(&mut self, bodies: &mut Vec<RawPart>) {
        for part in self.parts.drain(..) {
            match whole_part(part) {
                Some(part) => bodies.push(part),
                None => self.truncated += 1,
            }
        }
    }
}

/// A decoded part; `None` if the end of its stream has cut it off.
pub fn whole_part(part: Decoded) -> Option<RawPart> {
    let media = part.headers.media.unwrap_or_else(|| Media::guess(Path::new(""), &part.body));
    let is_whole = part.has_end || inspect(&media, &part.body).completeness != Completeness::Truncated;
    let stamp = PartStamp { time: part.headers.time, sequence: part.headers.sequence };
    is_whole.then_some(RawPart { media: Some(media), bytes: part.body, class: None, stamp })
}

impl Splitter for Multipart {
    fn push(&mut self, data: &[u8], bodies: &mut Vec<RawPart>) {
        self.decoder.push(data, &mut self.parts);
        self.take_parts(bodies);
    }

    fn finish(&mut self, bodies: &mut Vec<RawPart>) {
        self.decoder.finish(&mut self.parts);
        self.take_parts(bodies);
    }

    fn makes(&self) -> Option<Makes> {
        Some(Makes::Frames)
    }

    fn refused(&self) -> u64 {
        self.decoder.refused() + self.truncated
    }

    fn pending(&self) -> usize {
        self.decoder.pending()
    }
}
