//! Everything that is recorded at a path, a file or a directory of segments, while it grows: parts are found by their times. It keeps
//! an index of 16 bytes a part, and no file open. It knows no feeds and no HTTP.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tracing::debug;

use super::{
    catalog::{Catalog, CatalogFile},
    found::{ArchivePart, Extent},
    index::{FeedIndex, Indexed, micros, time_of},
    order,
    reader::spread,
    segments::Segment,
};
use crate::sync::Mutex;

/// For so long the index is read on while others wait for it.
const SLICE: Duration = Duration::from_millis(20);
/// For so long those that wait get it between two slices.
const PAUSE: Duration = Duration::from_millis(1);

/// The recording at a path, which need not be there yet. Its functions read the disk and block.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    /// The feed of parts that name none.
    unnamed: String,
    catalog: Mutex<Catalog>,
    is_indexing: AtomicBool,
    is_played: bool,
}

/// The index does not go so far yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexing {
    /// Bytes of files that it covers.
    pub read: u64,
    /// Bytes of all files.
    pub of: u64,
}

impl fmt::Display for Indexing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.read.saturating_mul(100).checked_div(self.of).unwrap_or(0);
        write!(f, "the recording is being indexed, {percent} % so far")
    }
}

/// Which part. Of parts with equal times it is the last that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// The newest at or before a time. After all times it is the last that was recorded, whatever its time is.
    At(SystemTime),
    /// The newest before a time.
    Before(SystemTime),
    /// The oldest after a time.
    After(SystemTime),
}

/// A part of those that are recorded and of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpreadPart {
    /// It is recorded.
    Recorded(ArchivePart),
    /// One of the others, by its position.
    Other(usize),
}

/// Where the newest parts begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestParts {
    /// How many there are.
    pub count: usize,
    /// The time of the first of them; the beginning of the range if they are all.
    pub from: SystemTime,
    /// How many other parts of that time come before.
    pub without: usize,
}

/// The times of a feed's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveSpan {
    /// The earliest.
    pub first: SystemTime,
    /// The latest.
    pub last: SystemTime,
    /// How many parts there are.
    pub count: usize,
}

impl Archive {
    /// The recording at this path. Nothing is read before somebody asks. Parts that name no feed belong to one that is called after
    /// the file.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let unnamed = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { path, unnamed, catalog: Mutex::default(), is_indexing: AtomicBool::new(false), is_played: false }
    }

    /// The same of a recording that is played: what its feeds hold is in it.
    pub fn open_played(path: impl Into<PathBuf>) -> Self {
        Self { is_played: true, ..Self::open(path) }
    }

    /// Whether its feeds play it.
    pub fn is_played(&self) -> bool {
        self.is_played
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the index up to date. Costs a few calls of stat(2) where nothing is new.
    ///
    /// # Errors
    /// There is more to read than fits into a moment: another thread reads on.
    pub fn refresh(self: &Arc<Self>) -> Result<(), Indexing> {
        self.refresh_near(None)
    }

    /// The same for a part of a time, if one is given: the files that may have it come first.
    ///
    /// # Errors
    /// As for `refresh`; the part may be found all the same.
    pub fn refresh_near(self: &Arc<Self>, time: Option<SystemTime>) -> Result<(), Indexing> {
        let progress = {
            let mut catalog = self.catalog.lock();
            catalog.look(&self.path);
            if catalog.read(&self.unnamed, time, Instant::now() + SLICE) {
                return Ok(());
            }
            indexing(&catalog)
        };
        if !self.is_indexing.swap(true, AcqRel) {
            let archive = Arc::downgrade(self);
            let started = thread::Builder::new().name("archive".to_owned()).spawn(move || index_to_the_end(&archive));
            if let Err(why) = started {
                debug!("cannot start a thread that indexes: {why}");
                self.is_indexing.store(false, Release);
            }
        }
        Err(progress)
    }

    /// The feeds that parts were recorded of, by name.
    pub fn feeds(&self) -> BTreeSet<String> {
        self.catalog.lock().files().flat_map(|(_, file)| file.feeds.keys().cloned()).collect()
    }

    /// Whether there is a part of the feed.
    pub fn has(&self, feed: &str) -> bool {
        self.catalog.lock().files().any(|(_, file)| file.feeds.contains_key(feed))
    }

    /// The times of a feed's parts, if there are any.
    pub fn span(&self, feed: &str) -> Option<ArchiveSpan> {
        let catalog = self.catalog.lock();
        let indexes = indexes(&catalog, feed);
        let spans = indexes.filter_map(|(_, _, index)| Some((index.range()?, index.parts().len())));
        let ((first, last), count) = spans.reduce(|((first, last), count), ((other_first, other_last), more)| {
            ((first.min(other_first), last.max(other_last)), count + more)
        })?;
        Some(ArchiveSpan { first: time_of(first), last: time_of(last), count })
    }

    /// Finds a part of a feed.
    ///
    /// # Errors
    /// The index does not go so far yet.
    pub fn find(&self, feed: &str, seek: Seek) -> Result<Option<ArchivePart>, Indexing> {
        let catalog = self.catalog.lock();
        let indexes = indexes(&catalog, feed);
        let (found, until) = match seek {
            Seek::At(time) => (newest(indexes, micros(time), true), micros(time)),
            Seek::Before(time) => match micros(time).checked_sub(1) {
                Some(until) => (newest(indexes, until, false), until),
                None => return Ok(None),
            },
            Seek::After(time) => {
                let after = indexes.rev().filter_map(|(segment, file, index)| Some((segment, file, index.after(micros(time))?)));
                (after.min_by_key(|(.., part)| part.micros), u64::MAX)
            }
        };
        let is_certain = match seek {
            Seek::After(_) => catalog.files().all(|(_, file)| file.is_read()),
            _ => is_certain(&catalog, found.as_ref().map(|(segment, ..)| *segment), until),
        };
        if is_certain { Ok(found.map(|(_, file, part)| found_in(file, part))) } else { Err(indexing(&catalog)) }
    }

    /// For each of these times, whether no part of the feed has exactly this one.
    pub fn lacks(&self, feed: &str, times: &[SystemTime]) -> Vec<bool> {
        let Some((first, last)) = times.iter().min().zip(times.iter().max()) else { return Vec::new() };
        let (catalog, first, last) = (self.catalog.lock(), micros(*first), micros(*last));
        let overlaps = |index: &FeedIndex| index.range().is_some_and(|(from, to)| from <= last && to >= first);
        let near: Vec<_> = indexes(&catalog, feed).map(|(.., index)| index).filter(|index| overlaps(index)).collect();
        let has = |time: u64| near.iter().any(|index| index.between(time, time).next().is_some());
        times.iter().map(|time| !has(micros(*time))).collect()
    }

    /// At most `max` of the parts of a feed with times in this range and of these others, whose times ascend: spread evenly over both
    /// in the order of time, with the first and the last.
    pub fn spread(&self, feed: &str, range: (SystemTime, SystemTime), others: &[SystemTime], max: usize) -> Vec<SpreadPart> {
        let (catalog, others) = (self.catalog.lock(), indexed(others));
        let pieces = pieces(&catalog, Some(feed), range, &others);
        let picked = order::pick(&pieces, spread(order::count(&pieces), max));
        let place = |(file, part): (Option<&CatalogFile>, Indexed)| {
            file.map_or(SpreadPart::Other(part.at as usize), |file| SpreadPart::Recorded(found_in(file, part)))
        };
        picked.map(place).collect()
    }

    /// Where the newest so many parts begin, of one feed or of all with times in this range and of these others, whose times ascend.
    pub fn newest(&self, feed: Option<&str>, range: (SystemTime, SystemTime), others: &[SystemTime], newest: usize) -> NewestParts {
        let (catalog, others) = (self.catalog.lock(), indexed(others));
        let pieces = pieces(&catalog, feed, range, &others);
        let count = order::count(&pieces);
        let Some(first) = count.checked_sub(newest) else { return NewestParts { count, from: range.0, without: 0 } };
        let from = order::pick(&pieces, [first]).next().map_or(micros(range.0), |(_, part)| part.micros);
        let before: usize = pieces.iter().map(|(_, parts)| parts.partition_point(|part| part.micros < from)).sum();
        NewestParts { count: count - first, from: time_of(from), without: first - before }
    }

    /// Where the parts with times in this range are, of one feed or of all.
    pub fn extents(&self, feed: Option<&str>, (from, to): (SystemTime, SystemTime)) -> Vec<Extent> {
        let catalog = self.catalog.lock();
        let extent = |file: &CatalogFile| {
            let indexes = file.feeds.iter().filter(|(name, _)| feed.is_none_or(|feed| feed == *name));
            let pieces = indexes.flat_map(|(_, index)| index.between(micros(from), micros(to)));
            let ends = pieces.filter_map(|piece| Some((*piece.first()?, *piece.last()?)));
            let (first, last) = ends.reduce(|(first, last), (other_first, other_last)| {
                (
                    if other_first.at < first.at { other_first } else { first },
                    if other_last.at > last.at { other_last } else { last },
                )
            })?;
            Some(Extent { file: file.path.clone(), first: first.at, last: last.at, time: time_of(first.micros) })
        };
        catalog.files().filter_map(|(_, file)| extent(file)).collect()
    }

    /// The name of the feed of a part that has none.
    pub fn unnamed(&self) -> &str {
        &self.unnamed
    }
}

fn index_to_the_end(archive: &Weak<Archive>) {
    while let Some(archive) = archive.upgrade() {
        // Whoever finds the index incomplete from now on starts another thread.
        let is_done = archive.catalog.lock().read(&archive.unnamed, None, Instant::now() + SLICE);
        if is_done {
            archive.is_indexing.store(false, Release);
            return;
        }
        drop(archive);
        thread::sleep(PAUSE);
    }
}

fn indexing(catalog: &Catalog) -> Indexing {
    let (read, of) = catalog.progress();
    Indexing { read, of }
}

fn found_in(file: &CatalogFile, part: Indexed) -> ArchivePart {
    ArchivePart { time: time_of(part.micros), file: file.path.clone(), at: part.at }
}

/// Others than those that are recorded, by their positions.
fn indexed(times: &[SystemTime]) -> Vec<Indexed> {
    times.iter().zip(0..).map(|(time, at)| Indexed { at, micros: micros(*time) }).collect()
}

/// The parts of one feed or of all with times in a range, in pieces of files, and others.
fn pieces<'a>(
    catalog: &'a Catalog,
    feed: Option<&str>,
    (from, to): (SystemTime, SystemTime),
    others: &'a [Indexed],
) -> Vec<(Option<&'a CatalogFile>, &'a [Indexed])> {
    let mut pieces = Vec::new();
    for (_, file) in catalog.files() {
        let indexes = file.feeds.iter().filter(|(name, _)| feed.is_none_or(|feed| feed == *name));
        pieces.extend(indexes.flat_map(|(_, index)| index.between(micros(from), micros(to))).map(|piece| (Some(file), piece)));
    }
    pieces.push((None, others));
    pieces
}

type InFile<'a, T> = (&'a Segment, &'a CatalogFile, T);

fn indexes<'a>(catalog: &'a Catalog, feed: &str) -> impl DoubleEndedIterator<Item = InFile<'a, &'a FeedIndex>> {
    catalog.files().filter_map(move |(segment, file)| Some((segment, file, file.feeds.get(feed)?)))
}

/// The part with the latest time up to this one; `whatever`: after all times the last of the last file instead.
fn newest<'a>(
    indexes: impl DoubleEndedIterator<Item = InFile<'a, &'a FeedIndex>>,
    until: u64,
    whatever: bool,
) -> Option<InFile<'a, Indexed>> {
    let (mut found, mut last, mut is_after_all) = (None::<InFile<'a, Indexed>>, None, true);
    for (segment, file, index) in indexes {
        let Some((first, latest)) = index.range() else { continue };
        is_after_all &= until >= latest;
        last = index.parts().last().map(|part| (segment, file, *part));
        let best = found.as_ref().map_or(0, |(.., part)| part.micros);
        // Most files need no search.
        if first <= until && latest >= best {
            let here = index.until(until).filter(|part| part.micros >= best);
            found = here.map(|part| (segment, file, part)).or(found);
        }
    }
    if whatever && is_after_all { last } else { found }
}

/// Whether what is not read yet cannot hold a later part up to this time than the one in this file: by the names of the files, and
/// in the file that is being read by the times so far.
fn is_certain(catalog: &Catalog, found_in: Option<&Segment>, until: u64) -> bool {
    let mut unread = catalog.files().filter(|(_, file)| !file.is_read());
    unread.all(|(segment, file)| {
        let is_passed = file.feeds.values().any(|index| index.range().is_some_and(|(_, latest)| latest > until));
        micros(segment.start) > until
            || found_in.is_some_and(|found_in| segment < found_in || segment == found_in && is_passed)
            || (found_in.is_none() && is_passed)
    })
}
