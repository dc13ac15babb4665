//! Whether a broker keeps what is published as retained. Some deliver a part and do not keep it, or swallow it without a word, if it is
//! larger than a limit; MQTT has no answer that tells. It subscribes to nothing itself.

use tokio::time::{Duration, Instant};

/// A part this many times larger than one that was retained is looked for again.
const LARGER: usize = 4;
/// How long the broker has for what it retains.
const WITHIN: Duration = Duration::from_secs(10);
/// The most parts of which the sizes are remembered meanwhile.
const MOST: usize = 1000;

/// What is known about that.
#[derive(Debug, Default)]
pub(super) struct RetainCheck {
    /// The largest part that was seen to be retained, in bytes.
    seen: usize,
    /// What is looked for.
    looked_for: Option<LookedFor>,
    /// Whether it is known that the broker does not retain, or does not let this process look.
    has_failed: bool,
}

#[derive(Debug)]
struct LookedFor {
    topic: String,
    since: Instant,
    /// The sizes of the parts that were published there since.
    sizes: Vec<usize>,
}

impl RetainCheck {
    /// Forgets what is looked for: the connection is another one.
    pub(super) fn begin(&mut self) {
        self.looked_for = None;
    }

    /// Notes a part that was published. Returns whether its topic is to be subscribed to.
    pub(super) fn publish(&mut self, topic: &str, bytes: usize) -> bool {
        if let Some(looked_for) = &mut self.looked_for {
            if looked_for.topic == topic && looked_for.sizes.len() < MOST {
                looked_for.sizes.push(bytes);
            }
            return false;
        }
        let is_due = !self.has_failed && bytes >= self.seen.saturating_mul(LARGER);
        if is_due {
            self.looked_for = Some(LookedFor { topic: topic.to_owned(), since: Instant::now(), sizes: vec![bytes] });
        }
        is_due
    }

    /// Notes a message. Returns whether its topic is to be subscribed to no longer.
    pub(super) fn receive(&mut self, topic: &str, bytes: usize, is_retained: bool) -> bool {
        let is_it = |looked_for: &mut LookedFor| looked_for.topic == topic && is_retained && looked_for.sizes.contains(&bytes);
        let found = self.looked_for.take_if(is_it).is_some();
        self.seen = if found { self.seen.max(bytes) } else { self.seen };
        found
    }

    /// Gives up, if the time is over. Returns the topic, and the size of the part that was not retained.
    pub(super) fn expire(&mut self) -> Option<(String, usize)> {
        let late = self.looked_for.take_if(|looked_for| looked_for.since.elapsed() >= WITHIN)?;
        self.has_failed = true;
        Some((late.topic, late.sizes.first().copied().unwrap_or_default()))
    }

    /// Notes that topics cannot be subscribed to.
    pub(super) fn refuse(&mut self) {
        (self.looked_for, self.has_failed) = (None, true);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_is_looked_for_at_first_and_when_one_is_four_times_larger() {
        let mut check = RetainCheck::default();
        assert!(check.publish("a", 1000) && !check.publish("a", 1001) && !check.publish("b", 9000));
        // One that was retained before, one that is not retained, and one of another feed.
        assert!(!check.receive("a", 7, true) && !check.receive("a", 1001, false) && !check.receive("b", 1000, true));
        assert!(check.receive("a", 1001, true));
        assert!(!check.publish("b", 4003) && check.publish("b", 4004));
        advance(WITHIN / 2).await;
        assert_eq!(check.expire(), None);
        advance(WITHIN / 2).await;
        assert_eq!(check.expire(), Some(("b".to_owned(), 4004)));
        assert!(!check.publish("b", 1_000_000), "it is told of once");
    }
}
