//! The past of feeds, of what is recorded and what they hold together: the part that was shown at a time, lists of parts, and
//! stretches as files. It finds and reads; `history` words the replies.

use std::{
    io,
    sync::{Arc, Weak},
    time::SystemTime,
};

use bytes::Bytes;

use super::{
    query::{PastStep, ShownQuery},
    reads::PIECE,
};
use crate::{
    feed::{Feed, HeldParts, HeldPlace},
    part::stamp,
    recording::{
        Archive, ArchivePart, ArchiveStretch, Export, Extent, FoundReader, Indexing, PartHead, RecordedPart, Recording, Seek,
        spread,
    },
    stats::Lease,
    wire::Encoded,
};

/// A feed, with all that is known of its past. Its functions read the disk and block.
#[derive(Debug, Clone)]
pub(super) struct PastFeed {
    pub(super) archive: Option<Arc<Archive>>,
    /// The feed itself, if it is served now.
    pub(super) feed: Option<Arc<Feed>>,
    pub(super) name: String,
}

/// The part that was shown.
#[derive(Debug)]
pub(super) enum PastPart {
    /// The feed holds it.
    Held(Encoded),
    /// It is recorded.
    Recorded(Box<RecordedBody>),
}

/// A recorded part: its head, its time, and its body, to be read in pieces.
#[derive(Debug)]
pub(super) struct RecordedBody {
    pub(super) head: PartHead,
    pub(super) time: SystemTime,
    recording: Recording,
    offset: u64,
}

/// Why no part is shown.
#[derive(Debug)]
pub(super) enum NotShown {
    /// Nothing is recorded or held.
    Nothing,
    /// The time is before the first part, which has this time.
    BeforeFirst(SystemTime),
    /// There is no part before or after the one of this time.
    NoStep(SystemTime),
    /// The disk cannot be read.
    Unreadable(io::Error),
}

/// The times of a feed's parts, and some of the parts.
#[derive(Debug)]
pub(super) struct PartList {
    /// The times of the first and the last, and the number of all.
    pub(super) span: Option<(SystemTime, SystemTime)>,
    pub(super) count: usize,
    pub(super) parts: Vec<ListedPart>,
}

#[derive(Debug)]
pub(super) struct ListedPart {
    pub(super) time: SystemTime,
    pub(super) sequence: Option<u64>,
    pub(super) media: String,
    pub(super) bytes: u64,
}

/// A part's place.
#[derive(Debug, Clone)]
enum PastPlace {
    Held(Encoded),
    Recorded(ArchivePart),
}

impl PastPlace {
    fn time(&self) -> SystemTime {
        match self {
            Self::Held(part) => stamp_of(part),
            Self::Recorded(found) => found.time,
        }
    }
}

impl PastFeed {
    fn held(&self) -> HeldParts {
        self.feed.as_ref().map(|feed| feed.held()).unwrap_or_default()
    }

    /// The part that was shown at a time, or the one before or after it.
    pub(super) fn shown(&self, query: ShownQuery) -> Result<Result<PastPart, NotShown>, Indexing> {
        let mut gone = None;
        // A file may be deleted between the look into the index and the read.
        for _ in 0..3 {
            // What the feed drops from here on may be recorded meanwhile.
            let held = self.held();
            // How far the index goes is asked where a part is looked for.
            let _ = self.archive.as_ref().map(|archive| archive.refresh_near(Some(query.at)));
            let place = match self.place(&held, query)? {
                Ok(place) => place,
                Err(why) => return Ok(Err(why)),
            };
            match place {
                PastPlace::Held(part) => return Ok(Ok(PastPart::Held(part))),
                PastPlace::Recorded(found) => match RecordedBody::open(&found) {
                    Ok(body) => return Ok(Ok(PastPart::Recorded(Box::new(body)))),
                    Err(why) => gone = Some(why),
                },
            }
        }
        Ok(Err(gone.map_or(NotShown::Nothing, NotShown::Unreadable)))
    }

    fn place(&self, held: &HeldParts, query: ShownQuery) -> Result<Result<PastPlace, NotShown>, Indexing> {
        let ShownQuery { at, step } = query;
        let shown = self.find(held, Seek::At(at))?;
        let time = shown.as_ref().map_or(at, PastPlace::time);
        let found = match (step, shown) {
            (None, shown) => shown,
            (Some(PastStep::Back), None) => None,
            (Some(PastStep::Back), Some(_)) => self.find(held, Seek::Before(time))?,
            (Some(PastStep::Forward), _) => self.find(held, Seek::After(time))?,
        };
        Ok(found.ok_or_else(|| match self.span(held) {
            None => NotShown::Nothing,
            Some((first, _)) if at < first => NotShown::BeforeFirst(first),
            Some(_) => NotShown::NoStep(time),
        }))
    }

    /// The earliest and the latest time.
    fn span(&self, held: &HeldParts) -> Option<(SystemTime, SystemTime)> {
        let recorded = self.archive.as_ref().and_then(|archive| archive.span(&self.name));
        let held = held.times().map(|(time, _)| time);
        let ends = recorded.map(|span| [span.first, span.last]).into_iter().flatten().chain(held);
        ends.map(|time| (time, time)).reduce(|(first, last), (time, _)| (first.min(time), last.max(time)))
    }

    /// Finds a part, of what is recorded and what is held the one that is nearer. The same part is rather taken from memory.
    fn find(&self, held: &HeldParts, seek: Seek) -> Result<Option<PastPlace>, Indexing> {
        let in_memory = find_held(held, seek).map(PastPlace::Held);
        let recorded = match self.archive.as_ref().map(|archive| archive.find(&self.name, seek)) {
            None => None,
            Some(Ok(found)) => found.map(PastPlace::Recorded),
            // What is held is newer than what is not read yet.
            Some(Err(_)) if in_memory.is_some() && !matches!(seek, Seek::After(_)) => None,
            Some(Err(indexing)) => return Err(indexing),
        };
        let both = recorded.into_iter().chain(in_memory);
        Ok(match seek {
            Seek::At(_) | Seek::Before(_) => both.max_by_key(PastPlace::time),
            // Of equal ones the last, as above.
            Seek::After(_) => both.reduce(|recorded, held| if held.time() <= recorded.time() { held } else { recorded }),
        })
    }

    /// The parts that are held and not recorded, in the order of their times.
    fn held_alone(&self, held: &HeldParts) -> Vec<(SystemTime, HeldPlace)> {
        let mut parts: Vec<_> = held.times().collect();
        if let Some(archive) = &self.archive {
            let times: Vec<SystemTime> = parts.iter().map(|(time, _)| *time).collect();
            let mut lacks = archive.lacks(&self.name, &times).into_iter();
            parts.retain(|_| lacks.next().unwrap_or(true));
        }
        parts.sort_by_key(|(time, _)| *time);
        parts
    }

    /// The span of all parts, and at most `max` of those in the stretch, spread evenly and in the order of their times.
    pub(super) fn list(&self, stretch: (SystemTime, SystemTime), max: usize) -> Result<PartList, Indexing> {
        let held = self.held();
        self.archive.as_ref().map_or(Ok(()), Archive::refresh)?;
        let span = self.span(&held);
        let alone = self.held_alone(&held);
        let recorded = self.archive.as_ref().and_then(|archive| archive.span(&self.name)).map_or(0, |span| span.count);
        let count = recorded + alone.len();
        let alone: Vec<_> = alone.into_iter().filter(|(time, _)| (stretch.0..=stretch.1).contains(time)).collect();
        let recorded = self.archive.as_ref().map_or(0, |archive| archive.count(&self.name, stretch));
        let (in_files, in_memory): (Vec<_>, Vec<_>) =
            spread(recorded + alone.len(), max).into_iter().partition(|position| *position < recorded);
        let found = self.archive.as_ref().map(|archive| archive.pick(&self.name, stretch, in_files)).unwrap_or_default();
        let mut reader = FoundReader::default();
        let listed = found.into_iter().filter_map(|found| {
            // Deleted meanwhile.
            let head = reader.head(&found).ok()?;
            let media = head.headers.media.as_ref().map(ToString::to_string).unwrap_or_default();
            Some(ListedPart { time: found.time, sequence: head.headers.sequence, media, bytes: head.length })
        });
        let held = in_memory.into_iter().filter_map(|position| alone.get(position - recorded)).map(|(time, place)| {
            let part = held.part(*place);
            let (sequence, media) = (Some(part.sequence()), part.media().to_string());
            ListedPart { time: *time, sequence, media, bytes: part.body().len() as u64 }
        });
        let mut parts: Vec<_> = listed.chain(held).collect();
        parts.sort_by_key(|part| part.time);
        Ok(PartList { span, count, parts })
    }
}

/// The time of a part that is held, as it is told and recorded.
fn stamp_of(part: &Encoded) -> SystemTime {
    stamp(part.time())
}

/// The part that is held: as `Archive::find` finds one that is recorded.
fn find_held(held: &HeldParts, seek: Seek) -> Option<Encoded> {
    let latest = |until: SystemTime, is_with: bool| {
        held.times().filter(|(time, _)| *time < until || is_with && *time == until).max_by_key(|(time, _)| *time)
    };
    let found = match seek {
        Seek::At(at) if held.times().all(|(time, _)| time <= at) => held.times().next_back(),
        Seek::At(at) => latest(at, true),
        Seek::Before(before) => latest(before, false),
        Seek::After(after) => held.times().rev().filter(|(time, _)| *time > after).min_by_key(|(time, _)| *time),
    };
    found.map(|(_, place)| held.part(place))
}

impl RecordedBody {
    fn open(found: &ArchivePart) -> io::Result<Self> {
        let mut reader = FoundReader::default();
        let head = reader.head(found)?;
        let recording = reader.into_recording().ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { head, time: found.time, recording, offset: 0 })
    }

    /// The whole body if it fits into one piece.
    pub(super) fn whole(&mut self) -> io::Result<Option<Bytes>> {
        if self.head.length > PIECE as u64 { Ok(None) } else { self.recording.body_piece(&self.head, 0, PIECE).map(Some) }
    }

    /// The next piece of the body; empty at its end.
    pub(super) fn next_piece(&mut self) -> io::Result<Bytes> {
        let piece = self.recording.body_piece(&self.head, self.offset, PIECE)?;
        self.offset += piece.len() as u64;
        Ok(piece)
    }
}

/// A stretch of some feeds, as a file that is about to be made.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) export: Export,
    /// The time of the first part.
    pub(super) start: SystemTime,
    /// What it keeps in memory.
    pub(super) leases: Vec<Weak<Lease>>,
}

/// Prepares the download of a stretch of these feeds; `only`: of the first of them alone, otherwise of all that is recorded. `None`
/// if there is no part in it.
pub(super) fn download(
    feeds: &[PastFeed],
    archive: Option<&Arc<Archive>>,
    only: Option<&str>,
    (from, to): (SystemTime, SystemTime),
    newest: Option<usize>,
) -> Result<Option<Download>, Indexing> {
    let held: Vec<_> = feeds.iter().map(|feed| (feed, feed.held())).collect();
    archive.map_or(Ok(()), Archive::refresh)?;
    let alone = held.iter().flat_map(|(feed, held)| {
        let name: Arc<str> = feed.name.as_str().into();
        feed.held_alone(held).into_iter().map(move |(time, place)| (time, name.clone(), held, place))
    });
    let mut alone: Vec<_> = alone.filter(|(time, ..)| (from..=to).contains(time)).collect();
    alone.sort_by_key(|(time, ..)| *time);
    let newest = newest.unwrap_or(usize::MAX);
    alone.drain(..alone.len().saturating_sub(newest));
    let recorded = newest - alone.len();
    let extents = archive.map(|archive| archive.extents(only, (from, to), Some(recorded))).unwrap_or_default();
    let starts = extents.first().map(Extent::start).into_iter().chain(alone.first().map(|(time, ..)| *time));
    let Some(start) = starts.min() else { return Ok(None) };
    let (parts, leases) = alone.into_iter().map(|(_, name, held, place)| lend(name, &held.part(place))).unzip();
    let unnamed = archive.map(|archive| archive.unnamed().to_owned()).unwrap_or_default();
    let stretch = ArchiveStretch { feed: only.map(str::to_owned), from, to, unnamed };
    Ok(Some(Download { export: Export::new(stretch, extents, parts), start, leases }))
}

fn lend(feed: Arc<str>, part: &Encoded) -> (RecordedPart, Weak<Lease>) {
    let (body, lease) = part.lend_body();
    let (media, time, sequence) = (part.media().clone(), stamp_of(part), part.sequence());
    (RecordedPart { feed, media, time, sequence, at: std::time::Instant::now(), kind: None, body }, lease)
}
