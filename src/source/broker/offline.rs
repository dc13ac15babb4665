//! Prefixes whose publisher is offline, and since when. It knows no feed.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// How long a publisher has to be offline: another one of the same prefix contradicts at once.
const OFFLINE_AFTER: Duration = Duration::from_secs(1);
/// The most that are remembered; anybody may publish any number.
const MOST: usize = 1024;

/// Prefixes whose publisher is offline, and from when on that counts.
#[derive(Debug, Default)]
pub(super) struct OfflinePrefixes {
    from: HashMap<String, Instant>,
    /// Those that do not count yet.
    coming: Vec<(Instant, String)>,
}

impl OfflinePrefixes {
    /// Notes that the publisher of a prefix is offline. Returns whether that is new, and counts from now on.
    pub(super) fn insert(&mut self, prefix: &str, is_retained: bool, now: Instant) -> bool {
        if self.from.len() >= MOST || self.from.contains_key(prefix) {
            return false;
        }
        let from = if is_retained { now } else { now + OFFLINE_AFTER };
        if !is_retained {
            self.coming.push((from, prefix.to_owned()));
        }
        self.from.insert(prefix.to_owned(), from);
        is_retained
    }

    /// Notes that the publisher of a prefix is there.
    pub(super) fn remove(&mut self, prefix: &str) {
        if self.from.remove(prefix).is_some() {
            self.coming.retain(|(_, coming)| coming != prefix);
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        (self.from, self.coming) = Default::default();
    }

    /// Since when the publisher of this topic has been offline.
    pub(super) fn since(&self, topic: &str, now: Instant) -> Option<Instant> {
        self.from.iter().filter(|(prefix, from)| **from <= now && is_below(topic, prefix)).map(|(_, from)| *from).max()
    }

    /// When the next one begins to count.
    pub(super) fn due(&self) -> Option<Instant> {
        self.coming.iter().map(|(from, _)| *from).min()
    }

    /// Those that begin to count.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<String> {
        self.coming.extract_if(.., |(from, _)| *from <= now).map(|(_, prefix)| prefix).collect()
    }
}

/// Whether a topic is below a prefix.
pub(super) fn is_below(topic: &str, prefix: &str) -> bool {
    topic.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_that_goes_counts_after_a_second_unless_it_is_contradicted_and_one_that_was_gone_at_once() {
        let (mut offline, now) = (OfflinePrefixes::default(), Instant::now());
        assert!(offline.insert("lab", true, now) && !offline.insert("lab", true, now));
        assert!(!offline.insert("home", false, now) && !offline.insert("shed", false, now));
        offline.remove("shed");
        assert_eq!(
            (offline.since("lab/a", now), offline.since("labs/a", now), offline.since("home/a", now)),
            (Some(now), None, None)
        );
        let then = now + OFFLINE_AFTER;
        assert_eq!((offline.due(), offline.take_due(now).len()), (Some(then), 0));
        assert_eq!((offline.take_due(then), offline.due()), (vec!["home".to_owned()], None));
        assert_eq!(offline.since("home/a", then), Some(then));
    }

    #[test]
    fn of_a_flood_of_prefixes_a_limited_number_is_remembered() {
        let (mut offline, now) = (OfflinePrefixes::default(), Instant::now());
        for number in 0..100_000 {
            offline.insert(&format!("p{number}"), number % 2 == 0, now);
        }
        assert_eq!((offline.from.len(), offline.coming.len()), (MOST, MOST / 2));
        offline.remove("p0");
        assert!(offline.insert("q", true, now));
    }
}
