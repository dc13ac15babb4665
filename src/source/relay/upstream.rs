//! One upstream as a feed: visited while somebody reads the feed, and again after each loss. It decides when; `visit` reads.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info};

use super::visit::UpstreamVisits;
use crate::{
    feed::SourceState,
    loss::{GOOD_VISIT, Loss, Losses, Retry, SHORTEST_PAUSE},
    source::{incoming::RemoteFeed, wanted::Wanted},
};

/// After a visit with this many new parts the pauses are short again: what gives one and ends would be asked all the time.
const GOOD_PARTS: u64 = 2;

/// An upstream and its feed.
pub(super) struct Upstream {
    visits: UpstreamVisits,
    feed: RemoteFeed,
    wanted: Wanted,
    losses: Losses,
}

impl Upstream {
    pub(super) fn new(visits: UpstreamVisits, feed: RemoteFeed, linger: Option<Duration>) -> Self {
        let wanted = Wanted::of(feed.publisher(), None, linger);
        // Before anybody can ask: a snapshot waits for a source that rests, and for no other.
        feed.publisher().set_source(SourceState::Idle);
        let losses = Losses::new(visits.target.to_string());
        Self { visits, feed, wanted, losses }
    }

    /// Visits it for ever.
    pub(super) async fn work(mut self) {
        if self.visits.first.is_some() {
            self.visit_once().await;
        }
        loop {
            if !self.wanted.is_there() {
                self.losses.forget();
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
        // Somebody who comes during the visit is one, too.
        let (began, newcomer) = (Instant::now(), self.wanted.newcomer());
        let Self { visits, feed, wanted, .. } = self;
        let asking = visits.asking.clone();
        let result = tokio::select! {
            result = visits.visit(feed) => result,
            // A password that is wrong would be tried again by each viewer that does not stay for the answer.
            () = async { wanted.is_over().await; drop(asking.lock().await) } => {
                visits.client.disconnect();
                info!(feed = feed.name(), upstream = %visits.target, "the upstream is left, since nobody watches");
                return;
            }
        };
        let has_lasted = self.feed.has_made_part() && began.elapsed() >= GOOD_VISIT;
        let was_good = has_lasted || self.feed.new_parts() >= GOOD_PARTS;
        if self.feed.has_made_part() {
            self.losses.note_live(was_good);
        }
        let loss = match result {
            Ok(()) if self.visits.has_waited => return sleep(SHORTEST_PAUSE).await,
            Ok(()) if was_good => {
                // Some cameras end their streams every few seconds: nobody is to notice.
                debug!(feed = self.feed.name(), "the upstream has ended the stream, and is asked again");
                return sleep(self.losses.pause()).await;
            }
            Ok(()) => Loss::new("the upstream has ended the stream"),
            Err(loss) => loss,
        };
        self.feed.publisher().count_connect_failure();
        self.feed.publisher().set_source(SourceState::Lost { reason: loss.reason.clone() });
        let retry = loss.retry;
        let pause = self.losses.pause_after(loss);
        self.pause(pause, retry, newcomer).await;
    }

    /// Waits, for somebody who comes no longer than the shortest pause, unless the upstream has asked to be left alone.
    async fn pause(&mut self, pause: Duration, retry: Retry, newcomer: impl Future<Output = ()>) {
        let now = Instant::now();
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
