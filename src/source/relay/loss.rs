//! Why an upstream is lost, and how long it is left alone then. It asks for nothing itself.

use std::time::Duration;

use crate::client::{ClientError, Response, StatusCode};

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
            ClientError::PasswordRefused => Retry::Refused,
            _ => Retry::Soon,
        };
        Self { reason: error.to_string(), hint: error.hint(), retry }
    }
}

/// The pause after this many refusals in a row.
pub(super) fn refused_pause(refusals: usize) -> Duration {
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
