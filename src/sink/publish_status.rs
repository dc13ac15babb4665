//! How publishing goes, for `/state` and `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sync::Mutex;

/// How publishing goes.
#[derive(Debug)]
pub struct PublishStatus {
    url: String,
    state: Mutex<(PublishState, Option<String>)>,
    published: AtomicU64,
    connects: AtomicU64,
}

/// What the publisher does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishState {
    /// It makes a connection.
    Connecting,
    /// It has nothing to publish yet.
    Waiting,
    /// Parts are on their way.
    Live,
    /// The hub or broker is lost, or refuses; it is tried again later.
    Lost,
}

impl PublishState {
    /// The word in `/state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Waiting => "waiting",
            Self::Live => "live",
            Self::Lost => "lost",
        }
    }
}

impl PublishStatus {
    pub(super) fn new(url: String) -> Self {
        let state = Mutex::new((PublishState::Connecting, None));
        Self { url, state, published: AtomicU64::new(0), connects: AtomicU64::new(0) }
    }

    /// Sets the state. The reason of a loss stays until it is live again.
    pub(super) fn set(&self, state: PublishState) {
        let mut known = self.state.lock();
        let reason = known.1.take().filter(|_| state != PublishState::Live);
        *known = (state, reason);
    }

    pub(super) fn lose(&self, reason: String) {
        *self.state.lock() = (PublishState::Lost, Some(reason));
    }

    pub(super) fn count_connect(&self) {
        self.connects.fetch_add(1, Relaxed);
    }

    pub(super) fn count_parts(&self, parts: u64) {
        self.published.fetch_add(parts, Relaxed);
    }

    /// The hub or broker, without secrets.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the publisher does, and why it was lost last, if it has not been live since.
    pub fn state(&self) -> (PublishState, Option<String>) {
        self.state.lock().clone()
    }

    /// Parts that were sent, repeated ones not counted.
    pub fn published(&self) -> u64 {
        self.published.load(Relaxed)
    }

    /// Connections for parts that were begun.
    pub fn connects(&self) -> u64 {
        self.connects.load(Relaxed)
    }
}
