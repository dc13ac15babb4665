//! A feed in numbers and its source in a word, for `/state`, the page and the status line.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::limits::Kind;
use crate::{part::unix_time, wire::Encoded};

/// How the source of a feed is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum SourceState {
    /// Nobody watches, so it rests.
    Idle,
    /// It works and has had no part yet.
    Starting,
    /// Its parts come as it makes them.
    Live,
    /// It is gone for now and is being looked for; the last part stays.
    Lost {
        /// Why, in a few words.
        reason: String,
    },
    /// No part will follow.
    Ended {
        /// With what, where there is something to tell: the exit status of a command.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// The state, and since when.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SourceStatus {
    #[serde(flatten)]
    state: SourceState,
    /// Seconds since 1970.
    since: f64,
}

impl Default for SourceStatus {
    fn default() -> Self {
        Self { state: SourceState::Starting, since: now() }
    }
}

impl SourceStatus {
    /// Another state, from now on; the same one goes on.
    pub(super) fn set(&mut self, state: SourceState) {
        if self.state != state {
            *self = Self { state, since: now() };
        }
    }

    /// The first part is there.
    pub(super) fn publish(&mut self) {
        if self.state == SourceState::Starting {
            self.set(SourceState::Live);
        }
    }

    /// The feed has ended; a reason that was given stays.
    pub(super) fn end(&mut self) {
        if !matches!(self.state, SourceState::Ended { .. }) {
            self.set(SourceState::Ended { reason: None });
        }
    }
}

fn now() -> f64 {
    unix_time(SystemTime::now()).as_secs_f64()
}

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
    pub(super) source: SourceStatus,
}

impl FeedState {
    /// Of a mount whose runs are each viewer's own: there is nothing to tell of all of them.
    pub(super) fn of_runs(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Run,
            ended: false,
            history: 0,
            published: 0,
            published_bytes: 0,
            refused: 0,
            dropped: 0,
            viewers: 0,
            newest: None,
            source: SourceStatus { state: SourceState::Live, since: now() },
        }
    }

    /// How its source is.
    pub fn source(&self) -> &SourceState {
        &self.source.state
    }

    /// How old the newest part is; 0 where the clock was set back since.
    pub fn age(&self) -> Option<Duration> {
        Some(Duration::try_from_secs_f64(now() - self.newest.as_ref()?.timestamp).unwrap_or_default())
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
            sequence: part.sequence(),
            media: part.media().to_string(),
            bytes: part.body().len(),
            timestamp: unix_time(part.time()).as_secs_f64(),
        }
    }
}
