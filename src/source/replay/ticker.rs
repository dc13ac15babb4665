//! When the next frame is due. It knows no frame.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Ticks every interval; what came too late is not made up for.
pub(super) struct Ticker {
    next: Instant,
    interval: Duration,
}

impl Ticker {
    pub(super) fn new(interval: Duration) -> Self {
        Self { next: Instant::now(), interval }
    }

    pub(super) async fn tick(&mut self) {
        sleep_until(self.next).await;
        self.next = (self.next + self.interval).max(Instant::now());
    }
}
