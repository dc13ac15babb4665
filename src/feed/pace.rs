//! Thins a feed at its source (`--max-fps`): of each interval the newest part, and the last one always. A part that comes
//! early waits, and is replaced by a newer one; the feed's own clock or its end lets it go.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Feed, Publisher, Refused};
use crate::part::Part;

/// The pace of one feed.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    slot: Mutex<Slot>,
    /// Rings when a part begins to wait, and at the end.
    bell: Notify,
}

#[derive(Debug)]
struct Slot {
    waiting: Option<Part>,
    /// When the next part may leave.
    due: Instant,
}

impl Pace {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, slot: Mutex::new(Slot { waiting: None, due: Instant::now() }), bell: Notify::new() }
    }

    /// Publishes a part, or has it wait. Whatever waits already is older and is never published.
    pub(super) fn offer(&self, publisher: &Publisher, part: Part) -> Result<(), Refused> {
        // Held over the checks too: the clock must not publish in between.
        let mut slot = self.lock();
        publisher.check(&part).inspect_err(|why| {
            if *why == Refused::Same {
                slot.waiting = None;
            }
        })?;
        let now = Instant::now();
        if now >= slot.due {
            (slot.waiting, slot.due) = (None, now + self.interval);
            publisher.feed.publish(&[part], false);
        } else if slot.waiting.replace(part).is_none() {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Publishes what waits as the last part. `false` where nothing does.
    pub(super) fn end(&self, feed: &Feed) -> bool {
        let mut slot = self.lock();
        self.bell.notify_one();
        let last = slot.waiting.take();
        last.is_some_and(|part| {
            feed.publish(&[part], true);
            true
        })
    }

    /// Lets waiting parts go when they are due, until the feed has ended.
    pub(super) async fn keep(&self, feed: &Feed) {
        while !feed.has_ended() {
            self.bell.notified().await;
            while let Some(due) = self.due() {
                sleep_until(due).await;
                self.let_go(feed);
            }
        }
    }

    /// When the part that waits is due.
    fn due(&self) -> Option<Instant> {
        let slot = self.lock();
        slot.waiting.as_ref().map(|_| slot.due)
    }

    fn let_go(&self, feed: &Feed) {
        let mut slot = self.lock();
        if slot.due <= Instant::now()
            && let Some(part) = slot.waiting.take()
        {
            // Not counted from now, or a late timer would slow the feed down.
            slot.due += self.interval;
            feed.publish(&[part], false);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
