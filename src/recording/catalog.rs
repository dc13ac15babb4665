//! The files of an archive with the index of each, brought up to date in slices of time. It sees that a file has grown, or that there
//! is another, without a look at each of them. It does not search by time.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tracing::debug;

use super::{
    head::{FileHead, PartHead},
    index::FeedIndex,
    reader::Recording,
    segments::{Segment, segments_of},
};
use crate::file::Signature;

/// How many files are looked at each time: those that changed last. A program that records writes to one, the others rest.
const RECENT: usize = 8;
/// After this time all files are looked at, since a file of another machine's clock may not be among those.
const LOOK_AT_ALL: Duration = Duration::from_secs(10);
/// Times of directories are exact to a few milliseconds, on some file systems to two seconds: for so long after a change of one a
/// further change may leave no mark.
const UNSURE: Duration = Duration::from_secs(3);
/// Parts that are read between two looks at the clock.
const AT_ONCE: usize = 64;

/// The files, in the order of the times in their names.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    files: BTreeMap<Segment, CatalogFile>,
    /// Those that changed last, the latest first.
    recent: VecDeque<Segment>,
    folder: Option<FolderLook>,
}

/// What is known of the directory.
#[derive(Debug)]
struct FolderLook {
    signature: Signature,
    /// When it was seen to change.
    changed: Instant,
    listed: Option<Instant>,
    looked_at_all: Option<Instant>,
}

/// A file with its index.
#[derive(Debug)]
pub(super) struct CatalogFile {
    pub(super) path: Arc<Path>,
    pub(super) feeds: BTreeMap<String, FeedIndex>,
    /// Its state when it was last looked at, and when it was last read to its end.
    seen: Option<Signature>,
    read: Option<Signature>,
    /// Where the next part begins.
    cursor: Option<u64>,
    /// The last part that was read, by its offset and the mark of its head and the file's.
    last: Option<(u64, u64)>,
}

impl Catalog {
    /// The files.
    pub(super) fn files(&self) -> impl DoubleEndedIterator<Item = (&Segment, &CatalogFile)> {
        self.files.iter()
    }

    /// Looks for files that are new, gone or changed.
    pub(super) fn look(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.look_into_folder(path, Signature::of(&metadata)),
            Ok(metadata) => {
                let only = Segment { start: SystemTime::UNIX_EPOCH, number: 0, path: path.to_owned() };
                if !self.files.contains_key(&only) {
                    *self = Self::default();
                    self.files.insert(only.clone(), CatalogFile::new(path));
                }
                self.note(&only, Signature::of(&metadata));
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => *self = Self::default(),
            Err(why) => debug!(path = %path.display(), "cannot look at the recording: {why}"),
        }
    }

    fn look_into_folder(&mut self, path: &Path, signature: Signature) {
        let now = Instant::now();
        let mut listing = match self.folder.take() {
            Some(listing) if listing.signature == signature => listing,
            Some(listing) => FolderLook { signature, changed: now, ..listing },
            None => FolderLook { signature, changed: now, listed: None, looked_at_all: None },
        };
        if listing.listed.is_none_or(|listed| listed <= listing.changed + UNSURE) {
            match segments_of(path) {
                Ok(segments) => self.take_list(segments),
                Err(why) => debug!(path = %path.display(), "cannot list the recordings: {why}"),
            }
            listing.listed = Some(now);
        }
        if listing.looked_at_all.is_none_or(|looked| now >= looked + LOOK_AT_ALL) {
            self.look_at_all();
            listing.looked_at_all = Some(now);
        } else {
            self.recent.clone().iter().for_each(|segment| self.look_at(segment));
        }
        self.folder = Some(listing);
    }

    fn take_list(&mut self, listed: Vec<Segment>) {
        let mut known = std::mem::take(&mut self.files);
        let mut new = Vec::new();
        for segment in listed {
            let file = known.remove(&segment).unwrap_or_else(|| {
                new.push(segment.clone());
                CatalogFile::new(&segment.path)
            });
            self.files.insert(segment, file);
        }
        self.recent.retain(|segment| self.files.contains_key(segment));
        if new.len() <= RECENT {
            new.iter().for_each(|segment| self.look_at(segment));
        } else {
            self.look_at_all();
        }
    }

    /// Looks at all files, in the order in which they changed.
    fn look_at_all(&mut self) {
        let states =
            self.files.keys().filter_map(|segment| Some((Signature::of(&fs::metadata(&segment.path).ok()?), segment.clone())));
        let mut states: Vec<_> = states.collect();
        states.sort_by_key(|(signature, _)| signature.time());
        states.iter().for_each(|(signature, segment)| self.note(segment, *signature));
    }

    fn look_at(&mut self, segment: &Segment) {
        if let Ok(metadata) = fs::metadata(&segment.path) {
            self.note(segment, Signature::of(&metadata));
        }
    }

    /// Notes the state of a file.
    fn note(&mut self, segment: &Segment, signature: Signature) {
        let Some(file) = self.files.get_mut(segment) else { return };
        if file.seen == Some(signature) {
            return;
        }
        file.note(signature);
        self.recent.retain(|other| other != segment);
        self.recent.push_front(segment.clone());
        self.recent.truncate(RECENT);
    }

    /// Reads files that have changed until this time, a few parts in any case: the newest first, and of all those first that may have a
    /// part of a time that is asked for. Returns whether all are read.
    pub(super) fn read(&mut self, unnamed: &str, near: Option<SystemTime>, until: Instant) -> bool {
        let is_near = |segment: &Segment| near.is_none_or(|near| segment.start <= near);
        for is_turn in [true, false] {
            let unread = self.files.iter_mut().rev().filter(|(segment, file)| is_near(segment) == is_turn && !file.is_read());
            for (_, file) in unread {
                file.read_on(unnamed, until);
                if Instant::now() >= until {
                    return self.files.values().all(CatalogFile::is_read);
                }
            }
        }
        true
    }

    /// Bytes that are read of those that there are.
    pub(super) fn progress(&self) -> (u64, u64) {
        let sizes = self.files.values().map(|file| {
            let size = file.seen.map_or(0, |seen| seen.size);
            (if file.is_read() { size } else { file.cursor.unwrap_or(0).min(size) }, size)
        });
        sizes.fold((0, 0), |(done, all), (read, size)| (done + read, all + size))
    }
}

impl CatalogFile {
    fn new(path: &Path) -> Self {
        Self { path: path.into(), feeds: BTreeMap::new(), seen: None, read: None, cursor: None, last: None }
    }

    /// Whether the index goes to the end.
    pub(super) fn is_read(&self) -> bool {
        self.seen == self.read
    }

    fn note(&mut self, signature: Signature) {
        let is_other = self.seen.is_some_and(|seen| !signature.is_of_same_file(&seen));
        if is_other || self.cursor.is_some_and(|cursor| signature.size < cursor) {
            self.forget();
        }
        self.seen = Some(signature);
    }

    fn forget(&mut self) {
        (self.feeds, self.cursor, self.last) = (BTreeMap::new(), None, None);
    }

    fn read_on(&mut self, unnamed: &str, until: Instant) {
        let is_done = self.read_parts(unnamed, until).unwrap_or_else(|why| {
            // Nothing, or what is not there yet; it is tried again when the file changes.
            debug!(file = %self.path.display(), "not read: {why}");
            true
        });
        if is_done {
            self.read = self.seen;
        }
    }

    fn read_parts(&mut self, unnamed: &str, until: Instant) -> io::Result<bool> {
        let mut recording = Recording::open(&self.path)?;
        if let Some((at, mark)) = self.last
            && recording.part_at(at)?.is_none_or(|part| mark_of(recording.head(), &part) != mark)
        {
            // Another file was copied over it.
            self.forget();
        }
        let mut last = None;
        let is_done = self.read_parts_of(&mut recording, unnamed, until, &mut last);
        self.last = last.map(|part| (part.at, mark_of(recording.head(), &part))).or(self.last);
        is_done
    }

    fn read_parts_of(
        &mut self,
        recording: &mut Recording,
        unnamed: &str,
        until: Instant,
        last: &mut Option<PartHead>,
    ) -> io::Result<bool> {
        let mut cursor = self.cursor.unwrap_or_else(|| recording.start());
        loop {
            for _ in 0..AT_ONCE {
                let Some(part) = next_part(recording, &mut cursor)? else { return Ok(true) };
                self.cursor = Some(cursor);
                let feed = part.feed.as_deref().unwrap_or(unnamed);
                match self.feeds.get_mut(feed) {
                    Some(index) => index.push(part.at, part.headers.time),
                    None => self.feeds.entry(feed.to_owned()).or_default().push(part.at, part.headers.time),
                }
                *last = Some(part);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }
}

/// Tells a part from another one at its place.
fn mark_of(head: &FileHead, part: &PartHead) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{head:?} {part:?}").hash(&mut hasher);
    hasher.finish()
}

/// The next part of a file that another thread or program may be writing to. What looked damaged may have been written meanwhile.
fn next_part(recording: &mut Recording, cursor: &mut u64) -> io::Result<Option<PartHead>> {
    let before = *cursor;
    let part = recording.next_part(cursor)?;
    if part.as_ref().is_some_and(|part| part.at > before)
        && let Some(part) = recording.part_at(before)?
    {
        *cursor = part.end();
        return Ok(Some(part));
    }
    Ok(part)
}
