//! Why another machine is lost, and how long it is left alone then. It asks for nothing itself.

use std::{borrow::Cow, time::Duration};

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{
    back_off::BackOff,
    client::{ClientError, Response, StatusCode},
};

/// How long without a loss until the log says the same reason again: a program that asks for a snapshot each second is to fill no log.
const SAID_FOR: Duration = Duration::from_secs(60);
/// The pause after the first loss, at most, and the shortest one after a loss when somebody comes.
pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After a visit of this length that had a part, the pause is the shortest again.
pub(crate) const GOOD_VISIT: Duration = Duration::from_secs(3);

/// The pauses after an upstream has refused: cameras lock addresses out that try a wrong password again and again.
const REFUSED_PAUSES: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(15 * 60)];
/// The longest pause that an upstream may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(15 * 60);

/// Why a visit has ended before its time.
#[derive(Debug)]
pub(crate) struct Loss {
    /// The cause in words, without secrets.
    pub(crate) reason: String,
    /// What the user can do about it.
    pub(crate) hint: Option<Cow<'static, str>>,
    pub(crate) retry: Retry,
}

/// When the next attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// After a pause that grows.
    Soon,
    /// Not before this time has passed, since the upstream asks for it.
    NotBefore(Duration),
    /// After minutes, whoever asks: it refused a password or a token.
    Refused,
}

impl Loss {
    /// A loss after which the next attempt is made soon.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None, retry: Retry::Soon }
    }

    /// The hint behind the reason.
    pub(crate) fn hint_text(&self) -> String {
        self.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default()
    }

    /// A response that has no parts.
    pub(crate) fn of_status(response: &Response) -> Self {
        let status = response.status;
        let retry = match response.retry_after() {
            _ if status == StatusCode::FORBIDDEN => Retry::Refused,
            Some(pause) => Retry::NotBefore(pause.min(LONGEST_ASKED)),
            None => Retry::Soon,
        };
        let hint = (status == StatusCode::LOOP_DETECTED).then_some("the upstream relays this feed itself".into());
        Self { reason: format!("the server answers {status}"), hint, retry }
    }
}

impl From<ClientError> for Loss {
    fn from(error: ClientError) -> Self {
        let retry = match error {
            ClientError::PasswordRefused | ClientError::TokenAsked => Retry::Refused,
            _ => Retry::Soon,
        };
        Self { reason: error.to_string(), hint: error.hint().map(Into::into), retry }
    }
}

/// The losses of one machine: how long it is left alone after each, and whether the log has said why.
#[derive(Debug)]
pub(crate) struct Losses {
    /// What is read there or written to it, without secrets.
    place: String,
    back_off: BackOff,
    /// Refusals since it was live.
    refusals: usize,
    /// Whether the last loss was one.
    is_refusal: bool,
    /// The reason since which it was not live, and when it was one last.
    said: Option<(String, Instant)>,
}

impl Losses {
    pub(crate) fn new(place: String) -> Self {
        let back_off = BackOff::new(SHORTEST_PAUSE, LONGEST_PAUSE, GOOD_VISIT);
        Self { place, back_off, refusals: 0, is_refusal: false, said: None }
    }

    /// Notes a visit with parts. After a good one the pauses are short again.
    pub(crate) fn note_live(&mut self, was_good: bool) {
        (self.refusals, self.said) = (0, None);
        if was_good {
            self.back_off = BackOff::new(SHORTEST_PAUSE, LONGEST_PAUSE, GOOD_VISIT);
        }
    }

    /// Forgets what the log has said, if that is long ago.
    pub(crate) fn forget(&mut self) {
        self.said.take_if(|(_, last)| last.elapsed() >= SAID_FOR);
    }

    /// The pause after a stream that has ended as it should.
    pub(crate) fn pause(&mut self) -> Duration {
        self.back_off.jittered(Duration::ZERO)
    }

    /// Whether the last loss was a refusal.
    pub(crate) fn is_refusal(&self) -> bool {
        self.is_refusal
    }

    /// The pause after this loss of an upstream, which the log says, unless it is the same as before.
    pub(crate) fn pause_after(&mut self, loss: Loss) -> Duration {
        let (pause, is_new) = self.note(&loss);
        let (upstream, reason) = (&self.place, &loss.reason);
        match is_new {
            true => warn!(upstream, ?pause, "lost: {reason}{}", loss.hint_text()),
            false => debug!(upstream, ?pause, "still lost: {reason}"),
        }
        pause
    }

    /// The pause after this loss, and whether it is another one than before.
    pub(crate) fn note(&mut self, loss: &Loss) -> (Duration, bool) {
        let Loss { reason, retry, .. } = loss;
        let pause = self.pause();
        self.is_refusal = *retry == Retry::Refused;
        self.refusals += usize::from(self.is_refusal);
        let pause = match retry {
            Retry::Soon => pause,
            Retry::NotBefore(asked) => pause.max(*asked),
            Retry::Refused => refused_pause(self.refusals),
        };
        // The log has no nanoseconds.
        let pause = Duration::from_millis(pause.as_millis() as u64);
        let is_new = self.said.as_ref().is_none_or(|(said, _)| said != reason);
        self.said = Some((reason.clone(), Instant::now()));
        (pause, is_new)
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
