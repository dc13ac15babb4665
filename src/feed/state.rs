//! A feed in numbers, for `/state` and the status line.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Kind;
use crate::wire::Encoded;

/// A feed's numbers, for `/state`.
#[derive(Debug, Clone, Serialize)]
pub struct FeedState {
    /// What it is called.
    pub name: String,
    pub(super) kind: Kind,
    /// Whether no part will follow.
    pub ended: bool,
    pub(super) history: usize,
    /// Parts since the start.
    pub published: u64,
    /// Bytes of their bodies.
    pub published_bytes: u64,
    /// Parts that were not taken: empty, too large, with the boundary in them.
    pub refused: u64,
    /// Parts that were replaced before a viewer took them, counted for each viewer.
    pub dropped: u64,
    /// Viewers that it has.
    pub viewers: usize,
    pub(super) newest: Option<NewestState>,
}

impl FeedState {
    /// Of a mount whose runs are each viewer's own: there is nothing to tell of all of them.
    pub(super) fn of_runs(name: &str) -> Self {
        let (kind, name) = (Kind::Run, name.to_owned());
        Self {
            name,
            kind,
            ended: false,
            history: 0,
            published: 0,
            published_bytes: 0,
            refused: 0,
            dropped: 0,
            viewers: 0,
            newest: None,
        }
    }

    /// How old the newest part is; 0 where the clock was set back since.
    pub fn age(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let age = now - self.newest.as_ref()?.timestamp;
        Some(Duration::try_from_secs_f64(age).unwrap_or_default())
    }
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct NewestState {
    sequence: u64,
    #[serde(rename = "type")]
    media: String,
    bytes: usize,
    timestamp: f64,
}

impl NewestState {
    pub(super) fn of(part: &Encoded) -> Self {
        Self {
            sequence: part.sequence,
            media: part.media.to_string(),
            bytes: part.body_len(),
            timestamp: part.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        }
    }
}
