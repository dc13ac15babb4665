//! One upstream as a feed: visited while somebody reads the feed, and again after each loss. It decides when; `visit` reads.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::{
    loss::{Loss, Retry, refused_pause},
    upstream_feed::UpstreamFeed,
    visit::Visitor,
};
use crate::{
    feed::SourceState,
    source::{back_off::BackOff, wanted::Wanted},
};

/// The pause after the first loss, at most, and the shortest one after a loss when somebody comes.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After a visit of this length that had a part, the pause is the shortest again.
const LONG_VISIT: Duration = Duration::from_secs(3);

/// An upstream and its feed.
pub(super) struct Upstream {
    visitor: Visitor,
    feed: UpstreamFeed,
    wanted: Wanted,
    back_off: BackOff,
    /// Refusals in a row.
    refusals: usize,
    /// The loss since which it was not live.
    lost: Option<String>,
}

impl Upstream {
    pub(super) fn new(visitor: Visitor, feed: UpstreamFeed, linger: Option<Duration>) -> Self {
        let wanted = Wanted::of(feed.publisher(), None, linger);
        // Before anybody can ask: a snapshot waits for a source that rests, and for no other.
        feed.publisher().set_source(SourceState::Idle);
        let back_off = BackOff::new(SHORTEST_PAUSE, LONGEST_PAUSE, LONG_VISIT);
        Self { visitor, feed, wanted, back_off, refusals: 0, lost: None }
    }

    /// Visits it for ever.
    pub(super) async fn work(mut self) {
        loop {
            if !self.wanted.is_there() {
                self.lost = None;
                self.feed.publisher().set_source(SourceState::Idle);
            }
            self.wanted.wait().await;
            self.visit_once().await;
        }
    }

    /// One visit, and the pause after it.
    async fn visit_once(&mut self) {
        let is_resting = *self.feed.publisher().feed().state().source() == SourceState::Idle;
        if is_resting {
            self.feed.publisher().set_source(SourceState::Starting);
        }
        let began = Instant::now();
        let Self { visitor, feed, wanted, .. } = self;
        let result = tokio::select! {
            result = visitor.visit(feed) => result,
            () = wanted.is_over() => {
                info!(feed = feed.name(), upstream = %visitor.target, "the upstream is left, since nobody watches");
                return;
            }
        };
        let length = if self.feed.has_made_part() { began.elapsed() } else { Duration::ZERO };
        if self.feed.has_made_part() {
            (self.refusals, self.lost) = (0, None);
        }
        let pause = self.back_off.jittered(length);
        let loss = match result {
            Ok(()) if length >= LONG_VISIT => {
                // Some cameras end their streams every few seconds: nobody is to notice.
                debug!(feed = self.feed.name(), ?pause, "the upstream has ended the stream, and is asked again");
                return sleep(pause).await;
            }
            Ok(()) => Loss::new("the upstream has ended the stream"),
            Err(loss) => loss,
        };
        self.note(loss, pause).await;
    }

    /// Says that the upstream is lost, and waits.
    async fn note(&mut self, loss: Loss, pause: Duration) {
        let Loss { reason, hint, retry } = loss;
        self.feed.publisher().count_connect_failure();
        let pause = match retry {
            Retry::Soon => pause,
            Retry::NotBefore(asked) => pause.max(asked),
            Retry::Refused => {
                self.refusals += 1;
                refused_pause(self.refusals)
            }
        };
        let (feed, upstream) = (self.feed.name(), &self.visitor.target);
        if self.lost.as_ref() == Some(&reason) {
            debug!(feed, %upstream, ?pause, "still lost: {reason}");
        } else {
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            warn!(feed, %upstream, ?pause, "lost: {reason}{hint}");
        }
        self.feed.publisher().set_source(SourceState::Lost { reason: reason.clone() });
        self.lost = Some(reason);
        self.pause(pause, retry).await;
    }

    /// Waits, for somebody who comes no longer than the shortest pause, unless the upstream has asked to be left alone.
    async fn pause(&mut self, pause: Duration, retry: Retry) {
        let (now, newcomer) = (Instant::now(), self.wanted.newcomer());
        if retry != Retry::Soon {
            return sleep_until(now + pause).await;
        }
        tokio::select! {
            () = sleep_until(now + pause) => {}
            () = async { newcomer.await; sleep_until(now + SHORTEST_PAUSE).await } => {}
            () = self.wanted.is_over() => {}
        }
    }
}
