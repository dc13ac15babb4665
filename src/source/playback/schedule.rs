//! When parts are due: counted from one moment, so that nothing adds up, and when a round begins again. It waits exactly, and knows
//! neither files nor feeds.

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio::task::yield_now;

use super::settings::PlaybackSettings;
use crate::recording::{Pacing, PartHead};

/// A delay beyond this is not made up for: the machine slept, or the disk did.
const LATE: Duration = Duration::from_secs(1);
/// The least time of a round that takes none by itself.
const LEAST_ROUND: Duration = Duration::from_secs(1);
/// The last stretch of a wait, for which the runtime's timer of a millisecond is too coarse.
const FINE: Duration = Duration::from_millis(2);

/// The times of one round.
#[derive(Debug)]
pub(super) struct Schedule {
    pacing: Pacing,
    /// When the round began.
    anchor: Instant,
    /// When the last part was due after that, and the pause before it.
    last: Duration,
    pause: Duration,
    /// How long a part is shown of which nothing tells the time.
    interval: Duration,
}

impl Schedule {
    /// A round that begins at this moment.
    pub(super) fn new(anchor: Instant, settings: &PlaybackSettings) -> Self {
        let pacing = Pacing::new(settings.speed, settings.idle_limit, settings.interval);
        let interval = Duration::try_from_secs_f64(settings.interval.as_secs_f64() / settings.speed).unwrap_or(LEAST_ROUND);
        Self { pacing, anchor, last: Duration::ZERO, pause: Duration::ZERO, interval }
    }

    /// Lets the round begin at this time of the recording, which is before the next part.
    pub(super) fn begin_at(&mut self, time: SystemTime) {
        let mut head = PartHead::default();
        head.headers.time = Some(time);
        self.pacing.due(&head);
    }

    /// When the next part is due; `now` moves it if the time has passed by far.
    pub(super) fn deadline(&mut self, head: &PartHead, now: Instant) -> Instant {
        let due = self.pacing.due(head);
        (self.last, self.pause) = (due, due.saturating_sub(self.last));
        let deadline = later(self.anchor, due);
        let late = now.saturating_duration_since(deadline);
        if late > LATE {
            self.anchor += late;
            return now;
        }
        deadline
    }

    /// When the next round begins: the last part stays as long as the one before it did, and never shorter than a part without a time.
    /// A round that takes no time is not repeated more than once a second.
    pub(super) fn restart(&self) -> Instant {
        let least = if self.last < self.interval { self.interval.max(LEAST_ROUND) } else { self.interval };
        later(self.anchor, self.last.saturating_add(self.pause.max(least)))
    }
}

/// A moment after another; within a year, so that no clock overflows.
fn later(anchor: Instant, after: Duration) -> Instant {
    anchor + after.min(Duration::from_secs(365 * 24 * 3600))
}

/// Waits until this moment, exactly.
pub(super) async fn wait_until(deadline: Instant) {
    if let Some(coarse) = deadline.checked_sub(FINE).filter(|coarse| *coarse > Instant::now()) {
        tokio::time::sleep_until(coarse.into()).await;
    } else {
        // Other tasks of this thread have their turn, and the end of the program is seen.
        yield_now().await;
    }
    thread::sleep(deadline.saturating_duration_since(Instant::now()).min(FINE));
}
