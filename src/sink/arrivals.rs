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

    /// Whether the hub has what is expected.
    pub(super) fn has_come(&mut self, received: &HashMap<String, u64>) -> bool {
        let Some((feed, sequence)) = &self.expected else { return true };
        let has_come = received.get(feed).is_some_and(|received| received >= sequence);
        self.is_proven |= has_come;
        has_come
    }
}
