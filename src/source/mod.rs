//! What produces parts. Every source has one shape: built from its settings, it gives the mounts that viewers
//! may open and the work that fills them. No source knows how parts travel.

pub mod demo;
pub mod framing;
mod fs_events;
pub mod name_filter;
pub mod replay;
pub mod stdin;
pub mod watch;

use std::{fmt, future::Future, path::Path, pin::Pin, time::Duration};

use crate::{
    error::Result,
    feed::{Feed, Kind, Limits, Mount, Publisher},
    format::Media,
    wire::Boundary,
};

/// A source that is ready to work.
pub struct Source {
    /// What viewers may open.
    pub mounts: Vec<Mount>,
    /// What fills it. It ends when there will be no more parts, or with an error that ends the program.
    pub work: Work,
}

/// The work of a source, run on a thread of its own: it may read files without asking.
pub type Work = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}

/// What every source is told of the feeds that it makes.
#[derive(Debug, Clone)]
pub struct FeedSettings {
    /// The boundary of every feed.
    pub boundary: Boundary,
    /// The type of every part, where the user gave one.
    pub media: Option<Media>,
    /// Past parts that viewers may ask for, where the user gave a number.
    pub history: Option<usize>,
    /// Largest body.
    pub part_bytes: usize,
    /// Whether identical bytes are pushed again.
    pub keep_same: bool,
    /// The least time between two parts of a feed, where the user gave one.
    pub interval: Option<Duration>,
    /// Fan-out loops that serve it.
    pub shards: usize,
}

/// Parts held of a log for viewers that are behind (half a second of 200,000 lines a second).
const HELD_LINES: usize = 100_000;
/// Past lines offered where the user says nothing.
const HISTORY_LINES: usize = 10_000;
/// Bytes held of a log at most.
const HELD_LINES_BYTES: usize = 32 << 20;
/// Bytes held of past pictures at most.
const HELD_BYTES: usize = 256 << 20;

impl FeedSettings {
    fn feed(&self, name: impl Into<String>, kind: Kind) -> (Publisher, std::sync::Arc<Feed>) {
        // A run has one viewer.
        let shards = if kind == Kind::Run { 1 } else { self.shards };
        let (publisher, feed) = Feed::new(name, kind, self.boundary.clone(), self.limits(kind), shards);
        if let Some(interval) = self.interval.filter(|_| kind != Kind::Run) {
            publisher.keep_pace(interval);
        }
        (publisher, feed)
    }

    fn limits(&self, kind: Kind) -> Limits {
        let history = self.history.unwrap_or(if kind == Kind::Lines { HISTORY_LINES } else { 1 }).max(1);
        let (held, held_bytes) = match kind {
            Kind::Lines => (history.max(HELD_LINES), HELD_LINES_BYTES),
            Kind::Newest => (history, HELD_BYTES),
            Kind::Run => (1, HELD_BYTES),
        };
        Limits { history, held, held_bytes, part_bytes: self.part_bytes, keep_same: self.keep_same }
    }
}

/// What a path is called: its last component, also of `.` and `frames/`.
fn name_of(path: &Path) -> String {
    let own = path.file_name().map(ToOwned::to_owned);
    let name = own.or_else(|| path.canonicalize().ok()?.file_name().map(ToOwned::to_owned));
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
