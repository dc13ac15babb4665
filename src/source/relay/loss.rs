//! Why an upstream is lost, and how long it is left alone then. It asks for nothing itself.

use std::time::Duration;

use tracing::{debug, warn};

use crate::{
    client::{ClientError, Response, StatusCode},
    source::back_off::BackOff,
};

/// The pause after the first loss, at most, and the shortest one after a loss when somebody comes.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After a visit of this length that had a part, the pause is the shortest again.
pub(super) const GOOD_VISIT: Duration = Duration::from_secs(3);

/// The pauses after an upstream has refused: cameras lock addresses out that try a wrong password again and again.
const REFUSED_PAUSES: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(15 * 60)];
/// The longest pause that an upstream may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(15 * 60);

/// Why a visit has ended before its time.
#[derive(Debug)]
pub(super) struct Loss {
    /// The cause in words, without secrets.
    pub(super) reason: String,
    /// What the user can do about it.
    pub(super) hint: Option<&'static str>,
    pub(super) retry: Retry,
}

/// When the next attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// After a pause that grows.
    Soon,
    /// Not before this time has passed, since the upstream asks for it.
    NotBefore(Duration),
    /// After minutes, whoever asks: it refused a password or a token.
    Refused,
}

impl Loss {
    /// A loss after which the next attempt is made soon.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None, retry: Retry::Soon }
    }

    /// A response that has no parts.
    pub(super) fn of_status(response: &Response) -> Self {
        let status = response.status;
        let retry = match response.retry_after() {
            _ if status == StatusCode::FORBIDDEN => Retry::Refused,
            Some(pause) => Retry::NotBefore(pause.min(LONGEST_ASKED)),
            None => Retry::Soon,
        };
        let hint = (status == StatusCode::LOOP_DETECTED).then_some("the upstream relays this feed itself");
        Self { reason: format!("the server answers {status}"), hint, retry }
    }
}

impl From<ClientError> for Loss {
    fn from(error: ClientError) -> Self {
        let retry = match error {
            ClientError::PasswordRefused | ClientError::TokenAsked => Retry::Refused,
            _ => Retry::Soon,
        };
        Self { reason: error.to_string(), hint: error.hint(), retry }
    }
}

/// The losses of one upstream: how long it is left alone after each, and whether the log has said why.
#[derive(Debug)]
pub(super) struct Losses {
    /// The upstream, without secrets.
    upstream: String,
    back_off: BackOff,
    /// Refusals since it was live.
    refusals: usize,
    /// Whether the last loss was one.
    is_refusal: bool,
    /// The reason since which it was not live.
    said: Option<String>,
}

impl Losses {
    pub(super) fn new(upstream: String) -> Self {
        let back_off = BackOff::new(SHORTEST_PAUSE, LONGEST_PAUSE, GOOD_VISIT);
        Self { upstream, back_off, refusals: 0, is_refusal: false, said: None }
    }

    /// Notes a visit with parts. After a good one the pauses are short again.
    pub(super) fn note_live(&mut self, was_good: bool) {
        (self.refusals, self.said) = (0, None);
        if was_good {
            self.back_off = BackOff::new(SHORTEST_PAUSE, LONGEST_PAUSE, GOOD_VISIT);
        }
    }

    /// Forgets what the log has said.
    pub(super) fn forget(&mut self) {
        self.said = None;
    }

    /// The pause after a stream that has ended as it should.
    pub(super) fn pause(&mut self) -> Duration {
        self.back_off.jittered(Duration::ZERO)
    }

    /// Whether the last loss was a refusal.
    pub(super) fn is_refusal(&self) -> bool {
        self.is_refusal
    }

    /// The pause after this loss, which the log says, unless it is the same as before.
    pub(super) fn pause_after(&mut self, loss: Loss) -> Duration {
        let Loss { reason, hint, retry } = loss;
        let pause = self.pause();
        self.is_refusal = retry == Retry::Refused;
        self.refusals += usize::from(self.is_refusal);
        let pause = match retry {
            Retry::Soon => pause,
            Retry::NotBefore(asked) => pause.max(asked),
            Retry::Refused => refused_pause(self.refusals),
        };
        let (upstream, hint) = (&self.upstream, hint.map(|hint| format!("; {hint}")).unwrap_or_default());
        if self.said.as_ref() == Some(&reason) {
            debug!(upstream, ?pause, "still lost: {reason}");
        } else {
            warn!(upstream, ?pause, "lost: {reason}{hint}");
        }
        self.said = Some(reason);
        pause
    }
}

/// The pause after this many refusals in a row.
fn refused_pause(refusals: usize) -> Duration {
    REFUSED_PAUSES[refusals.clamp(1, REFUSED_PAUSES.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_password_waits_1_then_5_then_15_minutes() {
        assert_eq!([1, 2, 3, 4, 100].map(|refusals| refused_pause(refusals).as_secs() / 60), [1, 5, 15, 15, 15]);
    }
}
