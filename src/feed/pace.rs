//! Thins a feed at its source (`--max-fps`): the feed publishes the newest part of each interval, and always the last one. A part
//! that comes early waits until its time or the end of the feed, unless a newer one replaces it. This file decides when; the feed
//! publishes.

use std::{sync::MutexGuard, time::Duration};

use tokio::{sync::Notify, time::Instant};

use crate::{part::Part, sync::Mutex};

/// The slowest pace, so that no addition to a clock overflows.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// The time between two parts at this many a second; `None` for a rate that is not positive, or below one part a day.
pub fn interval_at(fps: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(1.0 / fps).ok().filter(|interval| fps > 0.0 && fps.is_finite() && *interval <= A_DAY)
}

/// The pace of one feed.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    slot: Mutex<PaceSlot>,
    /// Wakes `Feed::keep_pace` when a part begins to wait, or when the feed ends.
    pub(super) changed: Notify,
}

/// The part that waits. `Feed::publish` keeps this locked while it checks a part, so that the clock does not publish in between.
#[derive(Debug)]
pub(super) struct PaceSlot {
    waiting: Option<Part>,
    /// When the next part may be published.
    due: Instant,
}

impl Pace {
    pub(super) fn new(interval: Duration) -> Self {
        let slot = PaceSlot { waiting: None, due: Instant::now() };
        Self { interval, slot: Mutex::new(slot), changed: Notify::new() }
    }

    pub(super) fn slot(&self) -> MutexGuard<'_, PaceSlot> {
        self.slot.lock()
    }

    /// Returns the part if it may be published now; otherwise it waits, in place of an older one.
    pub(super) fn offer(&self, slot: &mut PaceSlot, part: Part) -> Option<Part> {
        let now = Instant::now();
        if now >= slot.due {
            (slot.waiting, slot.due) = (None, now + self.interval);
            return Some(part);
        }
        if slot.waiting.replace(part).is_none() {
            self.changed.notify_one();
        }
        None
    }

    /// When the waiting part is due; `None` without one.
    pub(super) fn due(&self) -> Option<Instant> {
        let slot = self.slot();
        slot.waiting.as_ref().map(|_| slot.due)
    }

    /// Takes the waiting part, if it is due.
    pub(super) fn take_due(&self, slot: &mut PaceSlot) -> Option<Part> {
        let part = if slot.due <= Instant::now() { slot.waiting.take() } else { None };
        if part.is_some() {
            // Counted from when it was due: a late timer must not slow the feed down.
            slot.due += self.interval;
        }
        part
    }
}

impl PaceSlot {
    /// Takes the waiting part, due or not.
    pub(super) fn take(&mut self) -> Option<Part> {
        self.waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::time::{Instant, sleep};

    use super::interval_at;
    use crate::feed::{Feed, Hold, Kind, Limits, Publisher, Refused, Settings, TakeLimit};
    use crate::{format::Media, part::Part, wire::Boundary};

    const INTERVAL: Duration = Duration::from_millis(100);

    fn feed(kind: Kind) -> (Publisher, Arc<Feed>) {
        let hold = Hold { history: 1000, parts: 1000, bytes: 1 << 20 };
        let limits = Limits { newest: hold, lines: hold, part_bytes: 1000, keep_same: false };
        let settings = Settings { interval: Some(INTERVAL), ..Settings::new(Boundary::parse("B").unwrap(), limits) };
        let (publisher, feed) = Feed::new("test", kind, &settings);
        let clock = feed.clone();
        tokio::spawn(async move { clock.keep_pace().await });
        (publisher, feed)
    }

    fn part(n: u32) -> Part {
        Part::now(Media::from_known("text/plain"), n.to_string())
    }

    fn newest(feed: &Feed) -> String {
        feed.newest().map_or_else(String::new, |part| String::from_utf8(part.body().to_vec()).unwrap())
    }

    #[test]
    fn a_pace_is_positive_and_at_least_a_part_a_day() {
        assert_eq!(interval_at(4.0), Some(Duration::from_millis(250)));
        assert_eq!(interval_at(1.0 / 3600.0), Some(Duration::from_secs(3600)));
        for fps in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, 1e-19, 1e-5, f64::MIN_POSITIVE] {
            assert_eq!(interval_at(fps), None, "{fps}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_keeps_its_pace_and_shows_the_newest_of_each_interval() {
        let (publisher, feed) = feed(Kind::Newest);
        let start = Instant::now();
        let mut seen = Vec::new();
        for n in 0..60 {
            publisher.publish(part(n)).unwrap();
            sleep(INTERVAL / 6).await;
            let sequence = feed.newest().map_or(0, |part| part.sequence());
            if seen.last().is_none_or(|(last, _)| *last < sequence) {
                seen.push((sequence, newest(&feed).parse::<u32>().unwrap()));
            }
        }
        let intervals = (start.elapsed().as_millis() / INTERVAL.as_millis()) as usize;
        assert!((intervals..=intervals + 1).contains(&seen.len()), "{} parts in {intervals} intervals: {seen:?}", seen.len());
        assert!(seen.windows(2).all(|pair| (5..=7).contains(&(pair[1].1 - pair[0].1))), "{seen:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_part_is_published_when_it_is_due_or_at_the_end() {
        let (publisher, feed) = feed(Kind::Newest);
        (0..3).for_each(|n| publisher.publish(part(n)).unwrap());
        assert_eq!(newest(&feed), "0");
        sleep(INTERVAL * 2).await;
        assert_eq!(newest(&feed), "2");
        (3..6).for_each(|n| publisher.publish(part(n)).unwrap());
        assert_eq!(newest(&feed), "3");
        let mut cursor = feed.subscribe(0, None);
        drop(publisher);
        assert_eq!(newest(&feed), "5");
        assert!(cursor.take(TakeLimit::ALL).is_some_and(|batch| batch.ended), "the close-delimiter follows it directly");
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_slower_than_its_pace_is_not_delayed() {
        let (publisher, feed) = feed(Kind::Newest);
        for n in 0..5 {
            publisher.publish(part(n)).unwrap();
            assert_eq!(newest(&feed), n.to_string());
            sleep(INTERVAL + Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_part_is_dropped_when_the_source_returns_to_the_published_one() {
        let (publisher, feed) = feed(Kind::Newest);
        publisher.publish(part(1)).unwrap();
        publisher.publish(part(2)).unwrap();
        assert_eq!(publisher.publish(part(1)), Err(Refused::Same));
        sleep(INTERVAL * 3).await;
        assert_eq!((newest(&feed).as_str(), feed.state().published), ("1", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_paced_feed_publishes_the_last_valid_line_of_a_batch() {
        let (publisher, feed) = feed(Kind::Lines);
        let empty = || Part::now(Media::from_known("text/plain"), "");
        publisher.publish_all(vec![part(1), part(2), empty()]);
        assert_eq!((newest(&feed).as_str(), feed.state().published), ("2", 1));
        publisher.publish_all(vec![part(3), part(4)]);
        publisher.publish_all(vec![empty()]);
        sleep(INTERVAL * 2).await;
        assert_eq!((newest(&feed).as_str(), feed.state().published), ("4", 2));
    }
}
