//! When each part of a recording is due when it is played: by the clock that never jumps where there is one, otherwise by the times
//! of the parts, which may jump. It counts from one anchor, so that nothing adds up, and waits for nothing itself.

use std::time::{Duration, SystemTime};

use super::head::{ClockReading, PartHead};

/// The times at which parts are due, counted from the first.
#[derive(Debug, Clone)]
pub struct Pacing {
    speed: f64,
    idle_limit: Option<Duration>,
    /// Between parts of which nothing tells the time.
    otherwise: Duration,
    last: Option<PartTimes>,
    /// The time in the recording since the first part, with pauses as they are limited.
    elapsed: Duration,
}

impl Pacing {
    /// `speed`: 2 plays twice as fast; must be above 0. `idle_limit`: the longest pause in the recording, before the speed applies;
    /// 0 leaves out all pauses. `otherwise`: the pause between parts without any time.
    pub fn new(speed: f64, idle_limit: Option<Duration>, otherwise: Duration) -> Self {
        Self { speed, idle_limit, otherwise, last: None, elapsed: Duration::ZERO }
    }

    /// How long after the first part this next one is due.
    pub fn due(&mut self, part: &PartHead) -> Duration {
        // A copy of a stretch begins with what was shown then, however old that was.
        let clock = part.clock.filter(|_| part.shown.is_none());
        let now = (clock, part.shown.or(part.headers.time));
        if let Some(last) = self.last.replace(now) {
            let pause = pause_between(last, now).unwrap_or(self.otherwise);
            self.elapsed = self.elapsed.saturating_add(self.idle_limit.map_or(pause, |limit| pause.min(limit)));
        }
        Duration::try_from_secs_f64(self.elapsed.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
    }
}

type PartTimes = (Option<ClockReading>, Option<SystemTime>);

/// The time from one part to the next; zero where it would run backwards, `None` where nothing tells.
fn pause_between((clock, time): PartTimes, (next_clock, next_time): PartTimes) -> Option<Duration> {
    match (clock, next_clock) {
        (Some(clock), Some(next)) if clock.name == next.name => Some(next.at.saturating_sub(clock.at)),
        _ => Some(next_time?.duration_since(time?).unwrap_or_default()),
    }
}
