//! What a feed is and what it holds: its kind, its bounds, and the settings that all feeds of a process share.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use crate::{stats::Retained, wire::Boundary};

/// Lines held for readers that are behind: half a second of 200,000 lines a second.
const HELD_LINES: usize = 100_000;
/// Past lines that a viewer may ask for where the user names no number.
const HISTORY_LINES: usize = 10_000;
/// Bytes held of lines at most.
const HELD_LINES_BYTES: usize = 32 << 20;
/// Bytes held of past pictures at most.
const HELD_BYTES: usize = 256 << 20;

/// How a feed treats a reader that is slower than its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Kind {
    /// A reader takes the newest part; the parts replaced meanwhile are dropped for it.
    Newest,
    /// Each part reaches each reader, in order; a reader that falls behind what is held skips ahead.
    Lines,
    /// One viewer's own run: the publisher waits for it (`Publisher::room`).
    Run,
}

/// What is held of one kind of feed.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// Past parts that a viewer may ask for, at least 1.
    pub history: usize,
    /// Parts held for readers that are behind; never fewer than `history`.
    pub parts: usize,
    /// Bytes held, whatever the counts say; the newest parts are always held.
    pub bytes: usize,
}

/// What a feed holds and takes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of a feed whose newest part counts.
    pub newest: Hold,
    /// Of a feed whose every part counts.
    pub lines: Hold,
    /// Largest body that is taken, in bytes.
    pub part_bytes: usize,
    /// Whether a part is published although its bytes are those of the one before.
    pub keep_same: bool,
}

impl Limits {
    /// The usual bounds, with so many past parts where the user named a number.
    pub fn new(history: Option<usize>, part_bytes: usize, keep_same: bool) -> Self {
        let (newest, lines) = (history.unwrap_or(1).max(1), history.unwrap_or(HISTORY_LINES).max(1));
        Self {
            newest: Hold { history: newest, parts: newest, bytes: HELD_BYTES },
            lines: Hold { history: lines, parts: lines.max(HELD_LINES), bytes: HELD_LINES_BYTES },
            part_bytes,
            keep_same,
        }
    }

    /// What a feed of this kind holds.
    pub(super) fn hold(&self, kind: Kind) -> Hold {
        match kind {
            Kind::Newest => self.newest,
            Kind::Lines => self.lines,
            Kind::Run => Hold { history: 1, parts: 1, bytes: usize::MAX },
        }
    }
}

/// What all feeds of a process have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The boundary between the parts of every feed.
    pub boundary: Boundary,
    /// What each of them holds and takes.
    pub limits: Limits,
    /// The least time between two parts, where the user set one.
    pub interval: Option<Duration>,
    /// Shards of each feed: one for each fan-out loop, at least 1.
    pub shards: usize,
    /// The account of the memory that readers keep alive.
    pub memory: Arc<Retained>,
}

impl Settings {
    /// With this boundary and these limits, unpaced and for one fan-out loop.
    pub fn new(boundary: Boundary, limits: Limits) -> Self {
        Self { boundary, limits, interval: None, shards: 1, memory: Arc::default() }
    }
}
