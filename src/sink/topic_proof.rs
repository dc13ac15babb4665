//! Which topics a broker takes: MQTT 3.1.1 has no answer to a message that is not allowed, so some brokers cut the connection at a topic that
//! their rules or their taste forbid. It sends nothing.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;

/// Characters that some brokers do not take in topics: NATS before 2.10 has no dots, none has spaces (nats-server's server/mqtt.go).
const ODD: [char; 2] = ['.', ' '];
/// A connection that ends this soon behind a first message ends because of it, and not because the broker or the network is gone.
const RIGHT_BEHIND: Duration = Duration::from_secs(2);
/// What can be done about it.
pub(super) const TOPIC_HINT: &str = "its rules may not allow this topic; NATS takes no spaces, and before 2.10 no dots: --publish-name \
                                     gives another name";

/// What is known about the topics of a broker, by names of feeds.
#[derive(Debug, Default)]
pub(super) struct TopicProof {
    taken: HashSet<Arc<str>>,
    /// The one that was published to first, of which the broker has not said that it has it, and when.
    pending: Option<(Arc<str>, Instant)>,
}

impl TopicProof {
    /// Notes that there is a connection.
    pub(super) fn begin(&mut self) {
        self.pending = None;
    }

    /// Notes that something is about to be published about a feed. Returns whether it is the first time: then it is to be proven that
    /// the broker takes it.
    pub(super) fn send(&mut self, name: &Arc<str>) -> bool {
        let is_new = !self.taken.contains(name);
        self.pending = is_new.then(|| (name.clone(), Instant::now()));
        is_new
    }

    /// Notes that the broker has taken it.
    pub(super) fn prove(&mut self) {
        self.taken.extend(self.pending.take().map(|(name, _)| name));
    }

    /// The feed behind whose first message the connection has ended.
    pub(super) fn refused(&mut self) -> Option<Arc<str>> {
        self.pending.take().filter(|(_, since)| since.elapsed() <= RIGHT_BEHIND).map(|(name, _)| name)
    }

    /// Whether a feed would be refused like another one: it has the same odd character, and none that was taken has that.
    pub(super) fn is_alike(&self, name: &str, refused: &str) -> bool {
        let are_both = |odd: &char| name.contains(*odd) && refused.contains(*odd);
        !self.taken.contains(name)
            && ODD.iter().filter(|odd| are_both(odd)).any(|odd| self.taken.iter().all(|known| !known.contains(*odd)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_refused_like_another_one_with_the_same_odd_character_unless_such_a_one_was_taken() {
        let mut proof = TopicProof::default();
        let name = Arc::<str>::from;
        assert!(proof.send(&name("plot")));
        proof.prove();
        assert!(!proof.send(&name("plot")) && proof.refused().is_none());
        assert!(proof.send(&name("a.png")));
        assert_eq!(proof.refused().as_deref(), Some("a.png"));
        assert!(proof.is_alike("b.png", "a.png") && !proof.is_alike("plot", "a.png") && !proof.is_alike("b c", "a.png"));
        proof.send(&name("c.png"));
        proof.prove();
        assert!(!proof.is_alike("b.png", "a.png"));
    }
}
