//! Reads a feed's bytes and notes when what came. It opens no connection, and judges nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use memchr::memmem;

use crate::{
    format::{Completeness, ImageClass, Inspection, Media, inspect},
    wire::{Bounds, Decoded, Decoder, Oddities},
};

/// The largest part, as `mxr relay` takes it unless told otherwise.
const PART_BYTES: usize = 64 << 20;
/// What is kept of the beginning.
const BEGINNING: usize = 64 << 10;
/// The most types that are told apart, and the name of all further ones.
const MOST_TYPES: usize = 20;
const OTHER_TYPES: &str = "others";
/// The parts that are noted; more tell nothing new.
pub(super) const MOST_PARTS: usize = 1_000_000;

/// What was seen of a feed.
#[derive(Debug)]
pub(super) struct Observation {
    decoder: Decoder,
    /// What readers search for that go by the delimiter.
    delimiter: Option<memmem::Finder<'static>>,
    decoded: Vec<Decoded>,
    started: Instant,
    last_byte: Instant,
    previous: Option<Decoded>,
    /// When the last part came whole, while its delimiter has not.
    awaiting: Option<Instant>,
    pub(super) beginning: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) first_byte: Option<Duration>,
    pub(super) silence: Duration,
    pub(super) parts: Vec<SeenPart>,
    pub(super) types: BTreeMap<String, u64>,
    pub(super) delimiters: Vec<Duration>,
    pub(super) torn: u64,
    pub(super) unlike: Option<(u64, &'static str)>,
    pub(super) holding_boundary: u64,
    /// Parts that an `<img>` decodes as raster, as SVG, and not at all.
    pub(super) families: [u64; 3],
}

/// One part.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeenPart {
    /// Since the request.
    pub(super) at: Duration,
    pub(super) bytes: u64,
    pub(super) is_repeat: bool,
    /// By its sequence number: a server that repeats on purpose.
    pub(super) is_keepalive: bool,
    pub(super) is_text: bool,
    pub(super) time: Option<SystemTime>,
    pub(super) wall: SystemTime,
}

impl Observation {
    /// Of a response that was asked for at `started`.
    pub(super) fn new(boundary: Option<&str>, started: Instant, now: Instant) -> Self {
        let token = boundary.map(|boundary| boundary.trim_start_matches('-')).filter(|token| !token.is_empty());
        Self {
            decoder: Decoder::new(boundary, Bounds::bodies(PART_BYTES)),
            delimiter: token.map(|token| memmem::Finder::new(&format!("--{token}")).into_owned()),
            decoded: Vec::new(),
            started,
            last_byte: now,
            previous: None,
            awaiting: None,
            beginning: Vec::new(),
            bytes: 0,
            first_byte: None,
            silence: Duration::ZERO,
            parts: Vec::new(),
            types: BTreeMap::new(),
            delimiters: Vec::new(),
            torn: 0,
            unlike: None,
            holding_boundary: 0,
            families: [0; 3],
        }
    }

    /// Takes what came at once.
    pub(super) fn push(&mut self, data: &[u8], now: Instant, wall: SystemTime) {
        self.first_byte.get_or_insert(now - self.started);
        self.rest(now);
        self.last_byte = now;
        self.bytes += data.len() as u64;
        let room = BEGINNING.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(&data[..data.len().min(room)]);
        let mut decoded = std::mem::take(&mut self.decoded);
        self.decoder.push(data, &mut decoded);
        self.note_delimiter(decoded.len(), now);
        decoded.drain(..).for_each(|part| self.note(part, now, wall));
        self.decoded = decoded;
    }

    /// Nothing has come until now.
    pub(super) fn rest(&mut self, now: Instant) {
        self.silence = self.silence.max(now - self.last_byte);
    }

    /// The server has ended the stream.
    pub(super) fn finish(&mut self, now: Instant, wall: SystemTime) {
        let mut decoded = Vec::new();
        self.decoder.finish(&mut decoded);
        decoded.into_iter().for_each(|part| self.note(part, now, wall));
    }

    pub(super) fn oddities(&self) -> Oddities {
        self.decoder.oddities()
    }

    pub(super) fn refused(&self) -> u64 {
        self.decoder.refused()
    }

    /// How long the delimiter behind each part took.
    fn note_delimiter(&mut self, parts: usize, now: Instant) {
        let awaits = self.decoder.awaits_delimiter();
        if let Some(since) = self.awaiting.take_if(|_| parts > 0 || !awaits) {
            self.delimiters.push(now - since);
        }
        if parts > 0 {
            // Of several at once all but the last have theirs.
            self.delimiters.extend(std::iter::repeat_n(Duration::ZERO, parts - usize::from(awaits)));
            self.awaiting = awaits.then_some(now);
        }
    }

    fn note(&mut self, part: Decoded, now: Instant, wall: SystemTime) {
        let media = part.headers.media.clone().unwrap_or_else(|| Media::guess(std::path::Path::new(""), &part.body));
        let inspection = inspect(&media, &part.body);
        self.note_content(&media, &inspection, &part.body);
        let written = part.headers.media.as_ref().map_or_else(String::new, ToString::to_string);
        let is_known = self.types.len() < MOST_TYPES || self.types.contains_key(&written);
        *self.types.entry(if is_known { written } else { OTHER_TYPES.to_owned() }).or_default() += 1;
        let is_same = |before: &Decoded| before.body == part.body;
        let is_keepalive = |before: &Decoded| part.headers.sequence.is_some() && before.headers.sequence == part.headers.sequence;
        self.parts.push(SeenPart {
            at: now - self.started,
            bytes: part.body.len() as u64,
            is_repeat: self.previous.as_ref().is_some_and(is_same),
            is_keepalive: self.previous.as_ref().is_some_and(is_keepalive),
            is_text: media.is_text(),
            time: part.headers.time,
            wall,
        });
        self.previous = Some(part);
    }

    fn note_content(&mut self, media: &Media, inspection: &Inspection, body: &Bytes) {
        match inspection.unlike {
            Some(name) => self.unlike = Some((self.unlike.map_or(0, |(count, _)| count) + 1, name)),
            None => self.torn += u64::from(inspection.completeness == Completeness::Truncated),
        }
        self.holding_boundary += u64::from(self.delimiter.as_ref().is_some_and(|delimiter| delimiter.find(body).is_some()));
        let family = match inspection.class {
            ImageClass::Raster => 0,
            ImageClass::Svg => 1,
            // A torn picture is told as such.
            ImageClass::Other if media.is_image() => return,
            ImageClass::Other => 2,
        };
        self.families[family] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = b"\xff\xd8\xff\xda\x00\x02one\xff\x00\xff\xd9";

    fn part() -> Vec<u8> {
        [b"Content-Type: image/jpeg\r\nContent-Length: 13\r\n\r\n", JPEG, b"\r\n"].concat()
    }

    /// Pieces that come a second apart.
    fn observed(pieces: &[&[u8]]) -> Observation {
        let start = Instant::now();
        let mut observation = Observation::new(Some("B"), start, start);
        for (at, piece) in (1..).zip(pieces) {
            observation.push(piece, start + Duration::from_secs(at), SystemTime::now());
        }
        observation
    }

    #[test]
    fn a_delimiter_in_the_same_write_is_in_time_and_one_with_the_next_part_is_late() {
        let (first, in_time, late) =
            ([b"--B\r\n", &part()[..]].concat(), [&part()[..], b"--B\r\n"].concat(), [b"--B\r\n", &part()[..]].concat());
        let observation = observed(&[b"--B\r\n", &in_time, &in_time, &in_time]);
        assert_eq!((observation.parts.len(), observation.delimiters), (3, vec![Duration::ZERO; 3]));
        let observation = observed(&[&first, &late, &late]);
        assert_eq!((observation.parts.len(), observation.delimiters), (3, vec![Duration::from_secs(1); 2]));
    }

    #[test]
    fn repeats_and_silence_are_told() {
        let observation = observed(&[b"--B\r\n", &part(), b"--B\r\n", &part()]);
        assert_eq!(observation.parts.iter().map(|part| part.is_repeat).collect::<Vec<_>>(), [false, true]);
        assert_eq!((observation.silence, observation.first_byte), (Duration::from_secs(1), Some(Duration::from_secs(1))));
        assert_eq!(observation.families, [2, 0, 0]);
    }

    #[test]
    fn a_report_stays_short_however_many_types_there_are() {
        let part = |number| format!("--B\r\nContent-Type: application/x-{number:04}\r\nContent-Length: 1\r\n\r\nx\r\n");
        let observation = observed(&[(0..1000).map(part).collect::<String>().as_bytes(), b"--B\r\n"]);
        assert_eq!((observation.types.len(), observation.types[OTHER_TYPES]), (MOST_TYPES + 1, 980));
    }
}
