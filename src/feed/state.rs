//! A feed in numbers, for `/state` and the status line.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Kind;
use crate::wire::Encoded;

/// A feed's numbers, for `/state`.
#[derive(Debug, Clone, Serialize)]
pub struct FeedState {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) ended: bool,
    pub(super) history: usize,
    /// Parts since the start.
    pub published: u64,
    pub(super) refused: u64,
    pub(super) dropped: u64,
    pub(super) viewers: usize,
    pub(super) newest: Option<NewestState>,
}

impl FeedState {
    /// Of an offer whose runs are each viewer's own: there is nothing to tell of all of them.
    pub(super) fn of_runs(name: &str) -> Self {
        let (kind, name) = (Kind::Run, name.to_owned());
        Self { name, kind, ended: false, history: 0, published: 0, refused: 0, dropped: 0, viewers: 0, newest: None }
    }

    /// How old the newest part is.
    pub fn age(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Duration::try_from_secs_f64(now - self.newest.as_ref()?.timestamp).ok()
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
