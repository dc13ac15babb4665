//! Whether parts that have left arrive: a proxy may hold a body back until its end. It asks nobody.

use std::collections::HashMap;

use tokio::time::Instant;

/// What the hub ought to have by now.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// How far it was before this connection.
    pub(super) before: HashMap<String, u64>,
    /// A part that has left.
    pub(super) expected: Option<(String, u64)>,
    /// When the hub is asked.
    pub(super) next: Option<Instant>,
    /// Whether parts of this connection have arrived.
    pub(super) is_proven: bool,
}

impl Arrivals {
    /// Whether there is a part to expect that the hub did not have before.
    pub(super) fn is_expected(&self) -> bool {
        let is_new = |(feed, sequence): &(String, u64)| self.before.get(feed).is_none_or(|before| before < sequence);
        self.expected.as_ref().is_some_and(is_new)
    }

    /// Whether the hub, which has this, gets what has left: at first anything new, later the part that is expected. A feed that it does not
    /// have any more is another one's there, or was removed, which it tells itself.
    pub(super) fn has_come(&mut self, received: &HashMap<String, u64>) -> bool {
        if !self.is_proven {
            let is_new = |(feed, sequence): (&String, &u64)| self.before.get(feed).is_none_or(|before| before < sequence);
            self.is_proven = received.iter().any(is_new);
            return self.is_proven;
        }
        let has = |(feed, sequence): &(String, u64)| received.get(feed).is_none_or(|received| received >= sequence);
        self.expected.as_ref().is_none_or(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(feeds: &[(&str, u64)]) -> HashMap<String, u64> {
        feeds.iter().map(|(feed, sequence)| ((*feed).to_owned(), *sequence)).collect()
    }

    #[test]
    fn what_the_hub_had_before_proves_nothing_and_anything_new_does() {
        let mut arrivals = Arrivals { before: of(&[("a", 5)]), expected: Some(("a".to_owned(), 5)), ..Arrivals::default() };
        assert!(!arrivals.is_expected(), "it is the part that the hub had");
        assert!(!arrivals.has_come(&of(&[("a", 5)])));
        assert!(arrivals.has_come(&of(&[("a", 5), ("b", 1)])) && arrivals.is_proven);
        arrivals.expected = Some(("b".to_owned(), 9));
        assert!(!arrivals.has_come(&of(&[("a", 9), ("b", 8)])));
        assert!(arrivals.has_come(&of(&[("b", 9)])) && arrivals.has_come(&of(&[("a", 9)])));
    }
}
