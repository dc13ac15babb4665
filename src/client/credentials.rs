//! User and password for an upstream. Nothing displays the password.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use hyper::header::HeaderValue;

/// A user and a password, as they were before any encoding.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// Nothing where one of them has a control character, which no header can carry.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Option<Self> {
        let credentials = Self { user: user.into(), password: password.into() };
        let can_be_sent = !credentials.user.chars().chain(credentials.password.chars()).any(char::is_control);
        can_be_sent.then_some(credentials)
    }

    /// The value of `Authorization` for a server that takes one unasked: a user without a password is a token.
    pub fn authorization(&self) -> Option<HeaderValue> {
        let value = match self.password.as_str() {
            "" => format!("Bearer {}", self.user),
            password => format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{password}", self.user))),
        };
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}
