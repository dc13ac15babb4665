//! Whether a body may be shown: what its format proves, against what is known of its writers.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    facts::{Content, Evidence, PATIENCE, Rest, SettleTimes},
    habits::Habits,
};
use crate::{format::Completeness, lease::Writers, source::fs_events::Change};

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is shown.
    Show,
    /// It was read before it had rested, and its checksums do not prove that it is whole.
    TooEarly,
    /// Its writer does not rest, and it proves nothing.
    Busy,
    /// It has rested, and its writer still has it open.
    WhileOpen,
    /// Bytes are missing, as far as its format tells. It is shown as it is once it has rested for so much longer.
    Truncated(Option<Duration>),
}

/// What a body is judged against.
#[derive(Debug)]
pub(super) struct Situation<'a> {
    pub(super) times: &'a SettleTimes,
    pub(super) writers: Writers,
    pub(super) habits: &'a Habits,
    /// The last change of the file.
    pub(super) change: Change,
    /// Since when every state of it was truncated, if the last was.
    pub(super) truncated_since: Option<Instant>,
}

impl Situation<'_> {
    /// How long a file must have rested for bytes that prove nothing themselves.
    pub(super) fn rest_to_trust(&self) -> Duration {
        match (self.writers, self.change) {
            (Writers::None | Writers::Unknown, Change::Moved) => Duration::ZERO,
            (Writers::None, _) | (Writers::Unknown, Change::Closed) => self.times.settle_after_close,
            (Writers::Some | Writers::Unknown, _) => self.times.settle,
        }
    }

    pub(super) fn verdict(&self, evidence: &Evidence, rest: Rest, now: Instant) -> Verdict {
        if evidence.completeness == Completeness::Complete && evidence.is_checksummed {
            return Verdict::Show;
        }
        if evidence.content != Content::Bytes {
            return self.empty(evidence, rest);
        }
        if rest.either < self.rest_to_trust() || !evidence.is_usable() {
            return match self.habits.is_overdue(now) {
                true if self.may_show_while_busy(evidence, now) => Verdict::Show,
                true => Verdict::Busy,
                false => Verdict::TooEarly,
            };
        }
        match evidence.completeness {
            Completeness::Complete if self.may_be_half_written_over(evidence) => self.kept_end(rest),
            Completeness::Complete | Completeness::Readable => Verdict::Show,
            _ if self.writers == Writers::Some => Verdict::WhileOpen,
            Completeness::Unknown => Verdict::Show,
            Completeness::Truncated => self.truncated(rest, now),
        }
    }

    /// Whether a body may be shown though its writer does not rest.
    fn may_show_while_busy(&self, evidence: &Evidence, now: Instant) -> bool {
        match evidence.completeness {
            _ if !evidence.is_usable() => false,
            Completeness::Readable => true,
            // A writer that closes is met at a close. One that writes a picture over another leaves the end mark of the old one.
            Completeness::Complete => {
                evidence.is_text || self.habits.is_cut() || self.writers == Writers::Some && self.habits.trusts_end_marks(now)
            }
            Completeness::Unknown | Completeness::Truncated => false,
        }
    }

    /// Whether its end mark may be that of the part before.
    fn may_be_half_written_over(&self, evidence: &Evidence) -> bool {
        self.writers == Writers::Some && evidence.keeps_end
    }

    /// A writer that closes its file is waited for. One that never did may keep it open for ever, and write pictures that end alike.
    fn kept_end(&self, rest: Rest) -> Verdict {
        match PATIENCE.saturating_sub(rest.either) {
            _ if self.habits.closes() => Verdict::WhileOpen,
            missing if missing.is_zero() => Verdict::Show,
            missing => Verdict::Truncated(Some(missing)),
        }
    }

    /// What a decoder takes is not held back for ever, whatever our walk of its format says: once no writer has it open and it has
    /// rested, it is shown as it is.
    fn truncated(&self, rest: Rest, now: Instant) -> Verdict {
        // A writer that replaces the file again and again leaves it no rest.
        let is_replaced = self.change == Change::Moved || self.change == Change::Closed && self.habits.is_replaced();
        let is_always_so = is_replaced && self.truncated_since.is_some_and(|since| now - since >= PATIENCE);
        match self.missing_rest(rest) {
            missing if is_always_so || missing.is_zero() => Verdict::Show,
            missing => Verdict::Truncated(Some(missing)),
        }
    }

    /// Programs empty a file right before they write it anew: only an emptiness that lasts is shown.
    fn empty(&self, evidence: &Evidence, rest: Rest) -> Verdict {
        match self.missing_rest(rest) {
            _ if evidence.content == Content::Nothing => Verdict::Truncated(None),
            missing if missing.is_zero() => Verdict::Show,
            missing => Verdict::Truncated(Some(missing)),
        }
    }

    /// For how much longer a file has to rest before it is shown as it is.
    fn missing_rest(&self, rest: Rest) -> Duration {
        match self.writers {
            Writers::Unknown => PATIENCE.max(self.times.settle).saturating_sub(rest.seen),
            _ => PATIENCE.saturating_sub(rest.either),
        }
    }
}
