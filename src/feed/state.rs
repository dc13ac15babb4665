//! The numbers of a feed and the state of its source, for `/state`, the page and the status line. It reports, and changes no feed.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{hops::Hops, limits::Kind};
use crate::{part::unix_time, wire::Encoded};

/// The state of a feed's source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum SourceState {
    /// It rests, since nobody watches.
    Idle,
    /// It works, and has not produced a part yet.
    Starting,
    /// It produces parts.
    Live,
    /// It is gone for now, and mxr tries to find it again; the last part stays.
    Lost {
        /// The reason, in a few words.
        reason: String,
    },
    /// No part will follow.
    Ended {
        /// The reason, if there is one to report, such as the exit status of a command.
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
    /// Whether it rests when nobody watches.
    #[serde(skip)]
    rests: bool,
    /// Whether it plays parts that were made long ago, so that their age says nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replay: bool,
    /// The runs of its command, if it has one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    runs: Option<CommandRuns>,
    /// The visits to its upstream, if it has one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamCounts>,
}

/// The visits of a source that is an upstream.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct UpstreamCounts {
    /// The number of visits that were begun.
    pub connects: u64,
    /// The number of visits that failed, or ended soon.
    pub connect_failures: u64,
}

/// The runs of a source that is a command.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CommandRuns {
    /// The number of runs that were started.
    pub runs: u64,
    /// The number of runs that ended otherwise than with the exit status 0, of themselves.
    pub failed_runs: u64,
    /// How the last run ended, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// The same as a number, as in shells: 128 and the signal's number if a signal ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<i32>,
}

impl Default for SourceStatus {
    fn default() -> Self {
        Self::of(SourceState::Starting)
    }
}

impl SourceStatus {
    /// The state.
    pub(super) fn state(&self) -> &SourceState {
        &self.state
    }

    fn of(state: SourceState) -> Self {
        Self { state, since: now(), rests: false, replay: false, runs: None, upstream: None }
    }

    /// Sets the state from now on; the same state keeps its time.
    pub(super) fn set(&mut self, state: SourceState) {
        self.rests |= state == SourceState::Idle;
        if self.state != state {
            (self.state, self.since) = (state, now());
        }
    }

    /// Whether a part is about to come because somebody asks for one.
    pub(super) fn is_waking(&self) -> bool {
        self.rests && matches!(self.state, SourceState::Idle | SourceState::Starting)
    }

    /// Notes that its parts were made long ago.
    pub(super) fn set_replay(&mut self) {
        self.replay = true;
    }

    /// The runs of its command.
    pub(super) fn runs(&mut self) -> &mut CommandRuns {
        self.runs.get_or_insert_default()
    }

    /// The visits to its upstream.
    pub(super) fn upstream(&mut self) -> &mut UpstreamCounts {
        self.upstream.get_or_insert_default()
    }

    /// Notes the first part.
    pub(super) fn publish(&mut self) {
        if self.state == SourceState::Starting {
            self.set(SourceState::Live);
        }
    }

    /// Notes the end of the feed, and keeps a reason that was set.
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
    /// The feed's name.
    pub name: String,
    pub(super) kind: Kind,
    /// Whether no part will follow.
    pub ended: bool,
    /// Past parts that a viewer may ask for.
    pub(super) history: usize,
    /// Parts in memory for it and for readers that lag, with the newest.
    pub held: usize,
    /// Bytes of memory that they take.
    pub held_bytes: usize,
    /// Parts since the start.
    pub published: u64,
    /// Bytes of their bodies.
    pub published_bytes: u64,
    /// Parts that were refused: empty, too large, or binary and containing the boundary.
    pub refused: u64,
    /// Parts that were replaced before a viewer took them, counted for each viewer.
    pub dropped: u64,
    /// The present viewers.
    pub viewers: usize,
    pub(super) newest: Option<NewestState>,
    pub(super) source: SourceStatus,
    /// The processes that it has passed before this one.
    #[serde(skip_serializing_if = "Hops::is_empty")]
    pub(super) via: Hops,
}

impl FeedState {
    /// The state of a mount of runs, each of which belongs to one viewer: they have no numbers but that of refused parts.
    pub(super) fn of_runs(name: &str, refused: u64) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Run,
            ended: false,
            history: 0,
            held: 0,
            held_bytes: 0,
            published: 0,
            published_bytes: 0,
            refused,
            dropped: 0,
            viewers: 0,
            newest: None,
            source: SourceStatus::of(SourceState::Live),
            via: Hops::default(),
        }
    }

    /// The state of its source.
    pub fn source(&self) -> &SourceState {
        &self.source.state
    }

    /// The runs of its command, if it is one.
    pub fn runs(&self) -> Option<&CommandRuns> {
        self.source.runs.as_ref()
    }

    /// The visits to its upstream, if it has one.
    pub fn upstream(&self) -> Option<UpstreamCounts> {
        self.source.upstream
    }

    /// The age of the newest part; 0 if the clock was set back since. None for a recording that is played: its parts are old.
    pub fn age(&self) -> Option<Duration> {
        if self.source.replay {
            return None;
        }
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
