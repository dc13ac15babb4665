//! Tells the log which pushes were refused, and why: a loop that does not look at the reply goes on as if all were well. Anybody can be
//! refused, and again and again, so a line is written once a minute for each sender and status. It refuses nothing itself.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use hyper::StatusCode;
use tracing::warn;

use super::response::Reply;
use crate::sync::Mutex;

/// How long the same is not told again.
const PAUSE: Duration = Duration::from_secs(60);
/// The most senders and statuses in a minute that are told.
const MOST: usize = 50;

/// The sentence with which a reply refuses what is pushed.
#[derive(Debug, Clone)]
pub(super) struct Sentence(String);

/// The refusals of the last minute that the log has told.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Vec<(Option<IpAddr>, StatusCode, Instant)>>);

impl Sentence {
    /// Of a text with a hint in its second line, which is for the sender.
    pub(super) fn of(text: &str) -> Self {
        Self(text.lines().next().unwrap_or_default().trim_start_matches("mxr: ").to_owned())
    }
}

impl Refusals {
    /// Tells of a reply that refuses. That another pusher has taken a feed over is told where it happens.
    pub(super) fn tell(&self, reply: &Reply, sender: Option<IpAddr>, path: &str) {
        let Some(Sentence(reason)) = reply.extensions().get() else { return };
        if reply.status() != StatusCode::CONFLICT && self.is_due(sender, reply.status(), Instant::now()) {
            warn!(source = sender.map(tracing::field::display), path, reason, "a push is refused");
        }
    }

    /// Whether this was not told for a minute; then it is now.
    fn is_due(&self, sender: Option<IpAddr>, status: StatusCode, now: Instant) -> bool {
        let mut told = self.0.lock();
        told.retain(|(_, _, at)| now.saturating_duration_since(*at) < PAUSE);
        let is_due = told.len() < MOST && told.iter().all(|(by, with, _)| (*by, *with) != (sender, status));
        if is_due {
            told.push((sender, status, now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_once_a_minute_for_each_sender_and_status_and_a_flood_is_bounded() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let is_due = |last: u8, status, seconds| {
            let sender = Some(IpAddr::from([192, 0, 2, last]));
            refusals.is_due(sender, status, start + Duration::from_secs(seconds))
        };
        assert!(is_due(1, StatusCode::UNAUTHORIZED, 0));
        assert!(!is_due(1, StatusCode::UNAUTHORIZED, 59));
        assert!(is_due(1, StatusCode::FORBIDDEN, 59) && is_due(2, StatusCode::UNAUTHORIZED, 59));
        assert!(is_due(1, StatusCode::UNAUTHORIZED, 60));
        assert!((0..=255).filter(|last| is_due(*last, StatusCode::LENGTH_REQUIRED, 61)).count() < MOST);
    }
}
