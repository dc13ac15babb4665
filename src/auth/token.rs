//! The token, and the cookie that stands for it: a keyed hash, from which nobody gets the token back. It knows nothing of requests.

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use rand::{Rng, distr::Alphanumeric};
use ring::hmac::{HMAC_SHA256, Key, sign};

use super::password::same;

/// Letters and digits of a generated token: 131 bits.
const GENERATED_LENGTH: usize = 22;
/// Below this length a token that the user chose may be guessed: 16 letters and digits at random are 95 bits.
const SHORT: usize = 16;
/// What is hashed with the token as the key. A change makes every cookie invalid.
const COOKIE_DOMAIN: &[u8] = b"mxr cookie 1";

/// A secret of letters, digits, `-`, `.`, `_` and `~`, which pass through URLs and cookies as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    cookie: String,
    /// Whether mxr made it up, so that it has to be printed.
    pub is_generated: bool,
}

impl Token {
    /// A random one.
    pub fn generate() -> Self {
        Self::new(random_text(), true)
    }

    /// A token that the user chose.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let passes = |letter: u8| letter.is_ascii_alphanumeric() || b"-._~".contains(&letter);
        match text {
            "" => Err("it is empty"),
            text if text.len() > 512 => Err("it is longer than 512 letters"),
            text if text.bytes().all(passes) => Ok(Self::new(text.to_owned(), false)),
            _ => Err("a token is made of letters, digits, '-', '.', '_' and '~'"),
        }
    }

    fn new(text: String, is_generated: bool) -> Self {
        let key = Key::new(HMAC_SHA256, text.as_bytes());
        let cookie = BASE64_URL_SAFE_NO_PAD.encode(sign(&key, COOKIE_DOMAIN));
        Self { text, cookie, is_generated }
    }

    /// The token itself, for the URL that is shown to the person who started the program.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether it is short enough to be guessed.
    pub fn is_short(&self) -> bool {
        self.text.len() < SHORT
    }

    pub(super) fn is(&self, shown: &str) -> bool {
        same(&self.text, shown).into()
    }

    /// What a browser keeps in its place: the same after a restart with the same token.
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    pub(super) fn is_cookie(&self, shown: &str) -> bool {
        same(&self.cookie, shown).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }
}

/// Letters and digits that nobody can guess.
pub(super) fn random_text() -> String {
    rand::rng().sample_iter(Alphanumeric).take(GENERATED_LENGTH).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_passes_through_urls_and_cookies() {
        assert_eq!(Token::generate().reveal().len(), GENERATED_LENGTH);
        assert_ne!(Token::generate(), Token::generate());
        assert_eq!(Token::parse(Token::generate().reveal()).map(|_| ()), Ok(()));
        for bad in ["", "a b", "a;b", "a&b", "ä", "a/b", &"x".repeat(513)] {
            assert!(Token::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_cookie_is_a_hash_with_a_fixed_algorithm() {
        let token = Token::parse("T0ken").unwrap();
        // `printf 'mxr cookie 1' | openssl dgst -sha256 -hmac T0ken -binary | basenc --base64url`
        assert_eq!(token.cookie(), "WZxBCt_xRXENzYWH54PeOM3ZTARzhoCgKTBelfMt4qg");
        assert!(!token.is(token.cookie()) && !token.is_cookie("T0ken"));
    }
}
