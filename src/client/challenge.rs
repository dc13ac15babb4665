//! Reads the challenges of `WWW-Authenticate` (RFC 9110, section 11.6.1) as servers write them: several in one header or in several,
//! commas in quotes or missing, quotes that never end. It answers none.

use hyper::{HeaderMap, header};

/// One challenge: a scheme and its parameters. Values are bytes, as cameras write realms in Latin-1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    params: Vec<(String, Vec<u8>)>,
}

impl Challenge {
    /// All challenges of a response, in its order.
    pub(super) fn all(headers: &HeaderMap) -> Vec<Self> {
        let mut challenges = Vec::new();
        for value in headers.get_all(header::WWW_AUTHENTICATE) {
            ChallengeReader(value.as_bytes()).read(&mut challenges);
        }
        challenges
    }

    pub(super) fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The value of a parameter, without quotes and escapes.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// The value of a parameter as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// Appends to an unquoted list: `qop=auth,auth-int` looks like a parameter and a scheme.
    fn takes(&mut self, word: &str) -> bool {
        let last = self.params.last_mut().filter(|(key, _)| key.eq_ignore_ascii_case("qop"));
        let Some((_, value)) = last.filter(|_| word.eq_ignore_ascii_case("auth") || word.eq_ignore_ascii_case("auth-int")) else {
            return false;
        };
        value.push(b',');
        value.extend_from_slice(word.as_bytes());
        true
    }
}

/// What is left of a header.
struct ChallengeReader<'a>(&'a [u8]);

impl<'a> ChallengeReader<'a> {
    fn read(mut self, challenges: &mut Vec<Challenge>) {
        // Those of the header before are complete.
        let begin = challenges.len();
        while let Some((word, follows_comma)) = self.word() {
            let word = String::from_utf8_lossy(word).into_owned();
            let current = challenges.get_mut(begin..).and_then(<[_]>::last_mut);
            if self.is_padding() {
                // The end of a token68, as in `Negotiate oRQ==`.
                self.value();
            } else if self.has_equals() {
                let value = self.value();
                if let Some(challenge) = current {
                    challenge.params.push((word, value));
                }
            } else if let Some(challenge) = current {
                let is_token68 = challenge.params.is_empty() && !follows_comma;
                if !is_token68 && !challenge.takes(&word) {
                    challenges.push(Challenge { scheme: word, params: Vec::new() });
                }
            } else {
                challenges.push(Challenge { scheme: word, params: Vec::new() });
            }
        }
    }

    /// The next word, and whether a comma is before it.
    fn word(&mut self) -> Option<(&'a [u8], bool)> {
        let mut follows_comma = false;
        loop {
            let skipped = self.take(|byte| byte == b',' || byte.is_ascii_whitespace());
            follows_comma |= skipped.contains(&b',');
            let word = self.take(|byte| !matches!(byte, b',' | b'=' | b'"') && !byte.is_ascii_whitespace());
            if !word.is_empty() {
                return Some((word, follows_comma));
            }
            // A sign that begins nothing.
            self.0 = self.0.get(1..)?;
        }
    }

    /// Whether `=` follows and no value.
    fn is_padding(&self) -> bool {
        let after = self.0.trim_ascii_start();
        let signs = after.iter().take_while(|byte| **byte == b'=').count();
        let next = after.get(signs);
        signs > 1 && next.is_none_or(|byte| *byte == b',')
    }

    fn has_equals(&mut self) -> bool {
        let after = self.0.trim_ascii_start();
        let has_equals = after.starts_with(b"=");
        if has_equals {
            self.0 = after;
        }
        has_equals
    }

    /// What is behind `=`.
    fn value(&mut self) -> Vec<u8> {
        self.0 = self.0.strip_prefix(b"=").unwrap_or(self.0).trim_ascii_start();
        if !self.0.starts_with(b"\"") {
            return self.take(|byte| byte != b',' && !byte.is_ascii_whitespace()).to_vec();
        }
        let (mut value, mut bytes) = (Vec::new(), self.0[1..].iter());
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => value.extend(bytes.next()),
                byte => value.push(*byte),
            }
        }
        self.0 = bytes.as_slice();
        value
    }

    fn take(&mut self, is_taken: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.0.iter().take_while(|byte| is_taken(**byte)).count();
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Challenge::all(&headers)
    }

    /// Shown as `Digest[realm=a][nonce=b]`.
    fn shown(values: &[&str]) -> String {
        let show = |challenge: &Challenge| {
            let params = challenge.params.iter().map(|(key, value)| format!("[{key}={}]", String::from_utf8_lossy(value)));
            challenge.scheme.clone() + &params.collect::<String>()
        };
        read(values).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn odd_challenges_are_read_as_they_are_meant() {
        for (value, meant) in [
            // Commas without blanks (Amcrest).
            (
                r#"Digest realm="Login to x",qop="auth",nonce="12",opaque="""#,
                "Digest[realm=Login to x][qop=auth][nonce=12][opaque=]",
            ),
            // A comma, a quote and a backslash in the realm.
            (r#"Digest realm="a, \"b\" \\ c", nonce="n""#, r#"Digest[realm=a, "b" \ c][nonce=n]"#),
            // A nonce that ends in `==`, with quotes and without.
            (r#"Digest nonce="YWJj==", realm="r""#, "Digest[nonce=YWJj==][realm=r]"),
            ("Digest nonce=YWJj==, realm=r", "Digest[nonce=YWJj==][realm=r]"),
            // A nonce that holds the name of another parameter.
            (r#"Digest nonce="realm=1,qop=auth", realm="r""#, "Digest[nonce=realm=1,qop=auth][realm=r]"),
            // Blanks around `=`, names in capitals.
            (r#"DIGEST  REALM = "r" ,NONCE= "n""#, "DIGEST[REALM=r][NONCE=n]"),
            // No commas at all.
            (r#"Digest realm="r" nonce="n" algorithm=MD5"#, "Digest[realm=r][nonce=n][algorithm=MD5]"),
            // A list without quotes.
            ("Digest nonce=n, qop=auth,auth-int, realm=r", "Digest[nonce=n][qop=auth,auth-int][realm=r]"),
            // A quote that never ends, and an escape there.
            (r#"Digest realm="r", nonce="n"#, "Digest[realm=r][nonce=n]"),
            (r#"Digest realm="r\"#, "Digest[realm=r]"),
            // Several in one header, some with a token68 or with nothing.
            (
                r#"Negotiate, NTLM TlRM==, Digest realm="r", nonce="n", Basic realm="b""#,
                "Negotiate NTLM Digest[realm=r][nonce=n] Basic[realm=b]",
            ),
            ("NTLM TlRM, Basic realm=b", "NTLM Basic[realm=b]"),
            // Commas too many.
            (r#", ,Basic realm="b",, "#, "Basic[realm=b]"),
            // No scheme, nothing, signs alone.
            (r#"realm="r", nonce="n""#, ""),
            ("", ""),
            (r#"="",=,""#, ""),
        ] {
            assert_eq!(shown(&[value]), meant, "{value}");
        }
        assert_eq!(shown(&[r#"Digest realm="r""#, r#"nonce="x""#, "Basic realm=b"]), "Digest[realm=r] Basic[realm=b]");
    }

    #[test]
    fn parameters_are_found_whatever_their_case_and_letters() {
        let mut headers = HeaderMap::new();
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_bytes(b"digest Realm=\"K\xfcche\", noncE=n").unwrap());
        let challenges = Challenge::all(&headers);
        assert!(challenges[0].is("Digest"));
        assert_eq!(challenges[0].get("realm"), Some(b"K\xfcche".as_slice()));
        assert_eq!((challenges[0].text("realm"), challenges[0].text("nonce"), challenges[0].text("qop")), (None, Some("n"), None));
    }

    proptest! {
        #[test]
        fn whatever_a_server_sends_is_read_to_its_end(value in r#"([ ,="\\a-z]|auth|qop|Digest|Basic|.){0,40}"#) {
            let mut challenges = Vec::new();
            ChallengeReader(value.as_bytes()).read(&mut challenges);
            let length: usize = challenges.iter().map(|challenge| challenge.scheme.len()).sum();
            prop_assert!(length <= value.len());
        }
    }
}
