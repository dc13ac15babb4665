//! The kind of a feed, the limits on what it holds, and the settings that all feeds of a process share. Plain values: this file
//! does nothing with parts.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{history::History, hops::Hops};
use crate::{stats::Retained, wire::Boundary};

/// Lines held for readers that lag: half a second of 200,000 lines a second.
const HELD_LINES: usize = 100_000;
/// Past lines that a viewer may ask for, unless the user sets another number.
const HISTORY_LINES: usize = 10_000;
/// The most bytes of lines held, unless the user asks for more of them.
const HELD_LINES_BYTES: usize = 32 << 20;

/// How a feed treats a reader that is slower than its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Kind {
    /// A reader takes the newest part; parts replaced before that are dropped for it.
    Newest,
    /// Each reader takes each part, in order; a reader that lags behind the oldest part held skips ahead.
    Lines,
    /// A run for one viewer: the publisher waits for it (`Publisher::room`).
    Run,
}

impl Kind {
    /// The header with which mxr tells another one the kind of a feed: `newest` or `lines`.
    pub const HEADER: &str = "x-feed-kind";

    /// The kind that this value of the header means.
    pub fn of_header(value: &str) -> Option<Self> {
        [Self::Newest, Self::Lines].into_iter().find(|kind| kind.header_value() == Some(value))
    }

    /// The value of that header; none for a run, which is nobody else's.
    pub fn header_value(self) -> Option<&'static str> {
        match self {
            Self::Newest => Some("newest"),
            Self::Lines => Some("lines"),
            Self::Run => None,
        }
    }
}

/// How much a feed of one kind holds.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// Past parts that a viewer may ask for, at least 1.
    pub history: usize,
    /// Parts held for readers that lag; never fewer than `history`.
    pub parts: usize,
    /// Bytes held, which overrides `parts`; the newest block is always held.
    pub bytes: usize,
    /// Parts that stay beyond `bytes`, since the user asked for them; for all feeds together there is a bound of its own.
    pub asked: usize,
}

impl Hold {
    /// For a reader of every part: blocks wait until it has taken them, as far as there is room. It takes them at once, so that only one
    /// without a processor finds none. There is room beside the largest part.
    pub(super) fn until_taken(part_bytes: usize) -> Self {
        Self { history: 0, parts: usize::MAX, bytes: part_bytes.saturating_add(32 << 20), asked: 0 }
    }
}

/// How much a feed holds, and the parts that it accepts.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a feed of kind `Newest`.
    pub newest: Hold,
    /// For a feed of kind `Lines`.
    pub lines: Hold,
    /// The largest body accepted, in bytes.
    pub part_bytes: usize,
    /// Whether a part is published although its bytes equal those of the previous part.
    pub keep_same: bool,
}

impl Limits {
    /// The default limits; `history` is the number of past parts, if the user set one.
    pub fn new(history: Option<usize>, part_bytes: usize, keep_same: bool) -> Self {
        let (newest, lines) = (history.unwrap_or(1).max(1), history.unwrap_or(HISTORY_LINES).max(1));
        let asked = history.unwrap_or(0);
        Self {
            newest: Hold { history: newest, parts: newest, bytes: usize::MAX, asked },
            lines: Hold { history: lines, parts: lines.max(HELD_LINES), bytes: HELD_LINES_BYTES, asked },
            part_bytes,
            keep_same,
        }
    }

    /// How much a feed of this kind holds.
    pub(super) fn hold(&self, kind: Kind) -> Hold {
        match kind {
            Kind::Newest => self.newest,
            Kind::Lines => self.lines,
            Kind::Run => Hold { history: 1, parts: 1, bytes: usize::MAX, asked: 1 },
        }
    }
}

/// The settings that all feeds of a process share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The boundary between the parts of every feed.
    pub boundary: Boundary,
    /// The name of this process in `Via`.
    pub process: Arc<str>,
    /// The limits of each feed.
    pub limits: Limits,
    /// The least time between two parts, if the user set one.
    pub interval: Option<Duration>,
    /// Shards of each feed: one for each fan-out loop, at least 1.
    pub shards: usize,
    /// Whether each feed has one shard more, in which parts wait until a recorder has taken them.
    pub has_recorder: bool,
    /// The account of memory that readers keep in use.
    pub memory: Arc<Retained>,
    /// The bound on past parts.
    pub history: Arc<History>,
}

impl Settings {
    /// Settings with this boundary and these limits, without a pace and for one fan-out loop.
    pub fn new(boundary: Boundary, limits: Limits) -> Self {
        Self {
            boundary,
            process: Hops::new_name(),
            limits,
            interval: None,
            shards: 1,
            has_recorder: false,
            memory: Arc::default(),
            history: Arc::default(),
        }
    }
}
