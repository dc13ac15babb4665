//! The boundary parameter and the delimiters built from it (RFC 2046, section 5.1). It knows neither headers nor parts, and no
//! other module formats a close-delimiter.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use memchr::memmem;
use rand::Rng;

/// The boundary parameter: a bare token, so that every reader accepts it without quotes.
#[derive(Clone)]
pub struct Boundary(Arc<BoundaryToken>);

struct BoundaryToken {
    text: String,
    finder: memmem::Finder<'static>,
}

impl Boundary {
    /// Generates 128 random bits, as hexadecimal digits after a readable prefix.
    pub fn random() -> Self {
        Self::from_token(format!("mxr-{:032x}", rand::rng().random::<u128>()))
    }

    /// Checks the user's own token: 1 to 70 letters, digits and `-` (RFC 2046 allows more, readers do not).
    ///
    /// # Errors
    /// Describes what is wrong with the token.
    pub fn parse(token: &str) -> Result<Self, &'static str> {
        match token {
            "" => Err("it is empty"),
            _ if token.len() > 70 => Err("it is longer than 70 characters"),
            _ if !token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                Err("only letters, digits and '-' are understood by every reader")
            }
            _ => Ok(Self::from_token(token.to_owned())),
        }
    }

    fn from_token(token: String) -> Self {
        let finder = memmem::Finder::new(token.as_bytes()).into_owned();
        Self(Arc::new(BoundaryToken { text: token, finder }))
    }

    /// The token, for `boundary=`.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether the bytes contain the token. It crashes Chromium's tab even in the middle of a line (docs/field.md, Browsers).
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.find(bytes).is_some()
    }

    /// Where the bytes contain the token first.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<usize> {
        self.0.finder.find(bytes)
    }

    /// `--B CRLF`: the first delimiter, without the leading CRLF, which would be a preamble.
    pub fn first_delimiter(&self) -> Bytes {
        format!("--{}\r\n", self.0.text).into()
    }

    /// `CRLF--B CRLF`: between two parts.
    pub fn delimiter(&self) -> Bytes {
        format!("\r\n--{}\r\n", self.0.text).into()
    }

    /// `CRLF--B-- CRLF`: follows the last part's body.
    pub fn close_delimiter(&self) -> Bytes {
        format!("\r\n--{}--\r\n", self.0.text).into()
    }

    /// `--B-- CRLF`: the complete body of a feed without a part.
    pub fn close_delimiter_alone(&self) -> Bytes {
        format!("--{}--\r\n", self.0.text).into()
    }

    /// Bytes of the delimiter between two parts, `CRLF--B CRLF`.
    pub(super) fn delimiter_len(&self) -> usize {
        self.0.text.len() + 6
    }
}

impl fmt::Debug for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_those_of_rfc_2046() {
        let boundary = Boundary::parse("B-1").unwrap();
        assert_eq!(boundary.first_delimiter(), "--B-1\r\n");
        assert_eq!(boundary.delimiter(), "\r\n--B-1\r\n");
        assert_eq!(boundary.close_delimiter(), "\r\n--B-1--\r\n");
        assert_eq!(boundary.close_delimiter_alone(), "--B-1--\r\n");
        assert!(boundary.is_in(b"xxB-1xx") && !boundary.is_in(b"B-2"));
        assert!(Boundary::parse("a b").is_err() && Boundary::parse("").is_err());
    }

    #[test]
    fn every_process_has_a_boundary_of_its_own() {
        let (a, b) = (Boundary::random(), Boundary::random());
        assert_ne!(a.as_str(), b.as_str());
        assert!(Boundary::parse(a.as_str()).is_ok());
    }
}
