//! What is published, and how it goes on one connection after another: what the publisher and a connection of it know together.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    outgoing::Outgoing,
    publish_status::{PublishState, PublishStatus},
};
use crate::loss::{GOOD_VISIT, Loss, Losses};

/// How a connection has ended.
pub(super) enum EndOfVisit {
    /// There is nothing more to publish.
    Over,
    /// Another connection is made.
    Again,
}

/// What is published, and how it goes.
#[derive(Debug)]
pub(super) struct PublishProgress {
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) status: Arc<PublishStatus>,
    /// Since when parts are on their way on this connection.
    live_since: Option<Instant>,
    /// Whether they were on one before.
    was_live: bool,
}

impl PublishProgress {
    pub(super) fn new(outgoing: Arc<Outgoing>, status: Arc<PublishStatus>) -> Self {
        Self { outgoing, status, live_since: None, was_live: false }
    }

    /// The place without secrets.
    pub(super) fn url(&self) -> &str {
        self.status.url()
    }

    /// Notes that parts are on their way.
    pub(super) fn note_live(&mut self) {
        if self.live_since.is_none() {
            let to = self.url();
            info!(to, "{}", if self.was_live { "publishing again" } else { "publishing" });
            (self.live_since, self.was_live) = (Some(Instant::now()), true);
        }
        self.status.set(PublishState::Live);
    }

    /// Notes that there is a connection, and nothing to publish.
    #[cfg(feature = "mqtt")]
    pub(super) fn note_waiting(&self) {
        if self.live_since.is_none() {
            self.status.set(PublishState::Waiting);
        }
    }

    /// Notes the end of a connection.
    pub(super) fn end_visit(&mut self, losses: &mut Losses) {
        if let Some(since) = self.live_since.take() {
            losses.note_live(since.elapsed() >= GOOD_VISIT);
        }
    }

    pub(super) fn say_lost(&self, loss: &Loss, pause: Duration, is_new: bool) {
        let (to, reason) = (self.url(), &loss.reason);
        match is_new {
            true => warn!(to, ?pause, "not publishing: {reason}{}", loss.hint_text()),
            false => debug!(to, ?pause, "still not publishing: {reason}"),
        }
        self.status.lose(reason.clone());
    }
}
