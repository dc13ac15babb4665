//! How large a part may be for a broker that does not tell: MQTT 3.1.1 has no answer to a message that is too large, so brokers cut the
//! connection. It sends nothing.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use crate::loss::Loss;

/// No broker has a limit below this, in bytes.
const SMALL: usize = 1024;
/// A connection that ends this soon behind a part ends because of it.
const RIGHT_BEHIND: Duration = Duration::from_secs(2);
/// A broker that was away for so long may have another limit. So may one that was there for so long and is lost for another reason: it may have
/// been started again.
const LONG: Duration = Duration::from_secs(60);
/// What sets the limit.
pub(super) const SIZE_HINT: &str = "a broker's limit is message_size_limit or max_packet_size (mosquitto), max_payload (NATS), \
                                    max_packet_size (EMQX)";

/// What is known about a broker's limit.
#[derive(Debug, Default)]
pub(super) struct SizeLimit {
    /// The largest part that it has taken, in bytes.
    passed: usize,
    /// The smallest part that it has not taken.
    refused: Option<usize>,
    /// The part of a new size that is on its way.
    unproven: Option<SentPart>,
    /// The last part of a known size.
    last: Option<SentPart>,
    /// Connections in a row that have ended behind a part.
    cuts: u32,
    /// Since when this connection is there.
    since: Option<Instant>,
    /// When the broker was there last.
    seen: Option<Instant>,
}

/// Why a connection has ended.
#[derive(Debug)]
pub(super) enum SizeVerdict {
    /// A part was too large.
    Refused(Loss),
    /// It is not known.
    Unknown(Loss),
}

#[derive(Debug)]
struct SentPart {
    feed: Arc<str>,
    bytes: usize,
    at: Instant,
}

impl SizeLimit {
    /// The largest part that is to be sent, if there is a limit.
    pub(super) fn max_part(&self) -> Option<usize> {
        self.refused.map(|refused| refused - 1)
    }

    /// Notes that there is a connection.
    pub(super) fn begin(&mut self) {
        if self.seen.is_some_and(|seen| seen.elapsed() >= LONG) {
            self.forget();
        }
        (self.since, self.unproven, self.last) = (Some(Instant::now()), None, None);
    }

    /// Notes that a part is about to be sent. Returns whether it is larger than all that were taken: then it is to be proven that the
    /// broker takes it.
    pub(super) fn send(&mut self, feed: &Arc<str>, bytes: usize) -> bool {
        let part = (bytes >= SMALL).then(|| SentPart { feed: feed.clone(), bytes, at: Instant::now() });
        let is_new = bytes > self.passed;
        match is_new {
            true => self.unproven = part,
            false => self.last = part.or(self.last.take()),
        }
        is_new && self.unproven.is_some()
    }

    /// Notes that the broker has taken that part.
    pub(super) fn prove(&mut self) {
        if let Some(part) = self.unproven.take() {
            (self.passed, self.cuts) = (part.bytes, 0);
        }
    }

    /// Notes the end of the connection, and tells if it was the size of a part.
    pub(super) fn end(&mut self, loss: Loss) -> SizeVerdict {
        let Some(since) = self.since.take() else { return SizeVerdict::Unknown(loss) };
        self.seen = Some(Instant::now());
        let is_right_behind = |part: &SentPart| part.at.elapsed() <= RIGHT_BEHIND;
        if let Some(part) = self.unproven.take() {
            self.cuts += 1;
            // A large part on a slow line may be lost with it; twice is no chance.
            return match is_right_behind(&part) || self.cuts > 1 {
                true => SizeVerdict::Refused(self.refuse(part, loss)),
                false => SizeVerdict::Unknown(loss),
            };
        }
        match self.last.take().is_some_and(|part| is_right_behind(&part)) {
            // Once it may be anything, even if parts of this size have passed.
            true if self.cuts > 0 => (self.passed, self.cuts) = (0, 0),
            true => self.cuts += 1,
            false => self.cuts = 0,
        }
        if since.elapsed() >= LONG {
            self.forget();
        }
        SizeVerdict::Unknown(loss)
    }

    fn refuse(&mut self, part: SentPart, loss: Loss) -> Loss {
        let SentPart { feed, bytes, .. } = part;
        (self.refused, self.cuts) = (Some(self.refused.map_or(bytes, |refused| refused.min(bytes))), 0);
        let reason = format!("{} at a part of {bytes} bytes of {feed:?}", loss.reason);
        let hint = format!("it seems too large: as large ones are no longer sent; {SIZE_HINT}");
        Loss { reason, hint: Some(hint.into()), ..loss }
    }

    fn forget(&mut self) {
        (self.passed, self.refused, self.cuts) = (0, None, 0);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn loss() -> Loss {
        Loss::new("the broker has closed the connection")
    }

    /// A connection on which parts of these sizes are sent and taken, and then one that is not.
    fn visit(limit: &mut SizeLimit, taken: &[usize], last: Option<usize>) -> Loss {
        limit.begin();
        for bytes in taken {
            if limit.send(&"a".into(), *bytes) {
                limit.prove();
            }
        }
        last.iter().for_each(|bytes| assert!(limit.send(&"big".into(), *bytes)));
        match limit.end(loss()) {
            SizeVerdict::Refused(loss) | SizeVerdict::Unknown(loss) => loss,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_a_connection_ends_behind_is_named_and_the_limit_until_the_broker_was_away_for_long() {
        let mut limit = SizeLimit::default();
        let loss = visit(&mut limit, &[100, 10_000], Some(100_000));
        assert_eq!(loss.reason, "the broker has closed the connection at a part of 100000 bytes of \"big\"");
        assert!(loss.hint.unwrap().contains("max_payload (NATS)"));
        assert_eq!(limit.max_part(), Some(99_999));
        visit(&mut limit, &[10_000], Some(60_000));
        assert_eq!(limit.max_part(), Some(59_999));
        advance(LONG).await;
        visit(&mut limit, &[], None);
        assert_eq!(limit.max_part(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_size_that_has_passed_is_not_suspected_for_a_broker_that_is_started_again() {
        let mut limit = SizeLimit::default();
        for _ in 0..3 {
            let reason = visit(&mut limit, &[100_000], None).reason;
            assert_eq!((reason, limit.max_part()), (loss().reason, None));
        }
        // Twice behind a size that had passed: from now on it has to be proven again.
        visit(&mut limit, &[], Some(100_000));
        assert_eq!(limit.max_part(), Some(99_999));
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_part_that_a_slow_line_loses_half_way_is_sent_again_once() {
        let mut limit = SizeLimit::default();
        for expected in [None, Some(4_999_999)] {
            limit.begin();
            assert!(limit.send(&"big".into(), 5_000_000));
            advance(RIGHT_BEHIND * 5).await;
            limit.end(loss());
            assert_eq!(limit.max_part(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_messages_are_never_suspected_and_a_broker_that_was_there_for_long_is_tried_again() {
        let mut limit = SizeLimit::default();
        limit.begin();
        assert!(!limit.send(&"a".into(), 500));
        limit.end(loss());
        assert_eq!(limit.max_part(), None);
        visit(&mut limit, &[], Some(100_000));
        limit.begin();
        advance(LONG).await;
        limit.end(loss());
        assert_eq!(limit.max_part(), None);
    }
}
