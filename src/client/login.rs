//! Chooses among the challenges of a server and answers them, this time and before they are asked again. It sends nothing.

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::header::HeaderValue;

use super::{
    challenge::Challenge,
    credentials::Credentials,
    digest::{Covered, DigestSession},
    failure::ClientError,
};

/// How often the nonce may turn out to be too old in one request.
const MOST_STALE: u32 = 2;

/// The most letters of what a server asks for that are shown.
const SHOWN: usize = 100;

/// A way to answer that a server has asked for.
#[derive(Debug)]
pub(super) enum Login {
    Basic,
    Digest(Box<DigestSession>),
}

impl Login {
    /// The strongest of the challenges that can be answered.
    pub(super) fn strongest(challenges: &[Challenge]) -> Result<Self, ClientError> {
        let mut unknown = Vec::new();
        let mut digests = Vec::new();
        for challenge in challenges.iter().filter(|challenge| !challenge.is("Basic")) {
            if !challenge.is("Digest") {
                unknown.push(challenge.scheme.clone());
                continue;
            }
            match DigestSession::new(challenge) {
                Ok(session) => digests.push(session),
                Err(asked) => unknown.push(asked),
            }
        }
        if let Some(strongest) = digests.into_iter().max_by_key(DigestSession::strength) {
            return Ok(Self::Digest(Box::new(strongest)));
        }
        if challenges.iter().any(|challenge| challenge.is("Basic")) {
            return Ok(Self::Basic);
        }
        if unknown.is_empty() {
            Err(ClientError::NoChallenge)
        } else if challenges.iter().any(|challenge| challenge.is("Bearer")) {
            Err(ClientError::TokenAsked)
        } else {
            Err(ClientError::ChallengeUnknown { asked: list(unknown) })
        }
    }

    /// Whether another answer to `next` makes sense, after this one, which was sent, was refused. `answered` counts the challenges
    /// that were answered in this request. A password that is guessed at again and again locks the address out of cameras.
    pub(super) fn may_follow(&self, next: &Self, answered: u32) -> bool {
        match (self, next) {
            (Self::Basic, Self::Basic) => false,
            // The nonce was too old, not the password wrong. Of an earlier request it may be that even where that is not said.
            (_, Self::Digest(digest)) => answered == 0 || (digest.is_stale && answered <= MOST_STALE),
            (Self::Digest(_), Self::Basic) => answered == 0,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Basic => "Basic",
            Self::Digest(session) => session.name(),
        }
    }

    /// The value of `Authorization` for the next request.
    pub(super) fn authorization(&mut self, credentials: &Credentials, covered: Covered<'_>) -> Option<HeaderValue> {
        let mut value = match self {
            Self::Basic => {
                let pair = format!("{}:{}", credentials.user(), credentials.password());
                HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).ok()?
            }
            Self::Digest(session) => session.authorization(credentials, covered)?,
        };
        value.set_sensitive(true);
        Some(value)
    }
}

/// The schemes of challenges, for people.
pub(super) fn schemes(challenges: &[Challenge]) -> String {
    let mut schemes: Vec<_> = challenges.iter().map(|challenge| challenge.scheme.clone()).collect();
    schemes.dedup();
    list(schemes)
}

/// As a sentence has them: a server may send any number, of any length.
fn list(names: Vec<String>) -> String {
    names.join(", ").chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, header};

    use super::*;

    fn strongest(values: &[&str]) -> Result<Login, ClientError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Login::strongest(&Challenge::all(&headers))
    }

    #[test]
    fn the_strongest_challenge_is_answered_wherever_it_stands() {
        const MD5: &str = "Digest realm=r, nonce=n, qop=auth";
        const SHA: &str = "Digest realm=r, nonce=n, algorithm=SHA-256";
        const INT: &str = "Digest realm=r, nonce=n, qop=auth-int";
        for (values, name) in [
            (&["Basic realm=b", MD5, SHA][..], "Digest SHA-256"),
            (&[SHA, MD5, "Basic realm=b"], "Digest SHA-256"),
            (
                &["Digest realm=r, nonce=n, algorithm=MD5, Digest realm=r, nonce=m, algorithm=SHA-256, Basic realm=b"],
                "Digest SHA-256",
            ),
            (&["Negotiate, Basic realm=b, Digest realm=r, nonce=n"], "Digest MD5"),
            (&["Digest realm=r, nonce=n, algorithm=SHA3", "Basic realm=b"], "Basic"),
            (&[INT, "BASIC"], "Basic"),
        ] {
            assert_eq!(strongest(values).unwrap().name(), name, "{values:?}");
        }
        assert!(matches!(strongest(&["realm=x"]), Err(ClientError::NoChallenge)));
        let asked = |values: &[&str]| strongest(values).unwrap_err().to_string();
        assert_eq!(asked(&[INT]), "the server asks for Digest with qop auth-int, which is not supported");
        assert!(matches!(strongest(&["Bearer realm=\"mxr\""]), Err(ClientError::TokenAsked)));
        assert_eq!(asked(&["Negotiate, NTLM"]), "the server asks for Negotiate, NTLM, which is not supported");
        assert_eq!(asked(&["x".repeat(30_000).as_str()]).matches('x').count(), SHOWN);
    }

    #[test]
    fn basic_is_user_and_password_in_utf_8() {
        let covered = Covered { method: "GET", uri: "/" };
        let value = Login::Basic.authorization(&Credentials::new("test", "123\u{a3}").unwrap(), covered).unwrap();
        // RFC 7617, section 2.1.
        assert_eq!(value, "Basic dGVzdDoxMjPCow==");
        assert!(value.is_sensitive());
    }
}
