//! Answers a Digest challenge (RFC 7616, and RFC 2069 where the challenge has no qop). By hand, since the crates for it bring a second
//! generation of hashes into the tree.

use hyper::header::HeaderValue;
use md5::{Digest as _, Md5};
use ring::digest::{SHA256, SHA512_256, digest};

use super::{challenge::Challenge, credentials::Credentials};

/// A hash, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DigestHash {
    Md5,
    Sha256,
    Sha512_256,
}

/// A challenge that can be answered, and how often it has been.
#[derive(Debug)]
pub(super) struct DigestSession {
    hash: DigestHash,
    /// Whether the password's hash is made anew for each challenge (`MD5-sess`).
    is_per_session: bool,
    /// `algorithm` as the server spells it, if it does.
    algorithm: Option<String>,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    opaque: Option<Vec<u8>>,
    /// Whether it has `qop=auth`.
    has_qop: bool,
    hides_user: bool,
    /// Whether the server says that only the nonce before was too old.
    pub(super) is_stale: bool,
    client_nonce: String,
    /// Requests with this nonce.
    count: u32,
}

/// A request as Digest covers it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Covered<'a> {
    pub(super) method: &'a str,
    /// Path and query as they stand in the request line.
    pub(super) uri: &'a str,
}

impl DigestHash {
    fn of(&self, parts: &[&[u8]]) -> String {
        let joined = parts.join(&b':');
        match self {
            Self::Md5 => hex(&Md5::digest(&joined)),
            Self::Sha256 => hex(digest(&SHA256, &joined).as_ref()),
            Self::Sha512_256 => hex(digest(&SHA512_256, &joined).as_ref()),
        }
    }
}

impl DigestSession {
    /// Ready to answer a challenge; what it asks for, where that is not supported.
    pub(super) fn new(challenge: &Challenge) -> Result<Self, String> {
        let algorithm = challenge.text("algorithm").map(str::trim).filter(|algorithm| !algorithm.is_empty());
        let unknown = || format!("Digest with algorithm {}", algorithm.unwrap_or_default());
        let (hash, is_per_session) = hash(algorithm.unwrap_or("MD5")).ok_or_else(unknown)?;
        let offered = challenge.text("qop").unwrap_or_default();
        let mut qops = offered.split([',', ' ', '\t']).filter(|qop| !qop.is_empty()).peekable();
        let has_qop = qops.peek().is_some();
        if has_qop && !qops.any(|qop| qop.eq_ignore_ascii_case("auth")) {
            return Err(format!("Digest with qop {offered}"));
        }
        Ok(Self {
            hash,
            is_per_session,
            algorithm: algorithm.map(str::to_owned),
            realm: challenge.get("realm").unwrap_or_default().to_vec(),
            nonce: challenge.get("nonce").ok_or("Digest without a nonce")?.to_vec(),
            opaque: challenge.get("opaque").map(<[u8]>::to_vec),
            has_qop,
            hides_user: is_true(challenge, "userhash"),
            is_stale: is_true(challenge, "stale"),
            client_nonce: format!("{:032x}", rand::random::<u128>()),
            count: 0,
        })
    }

    /// Orders challenges by their strength.
    pub(super) fn strength(&self) -> DigestHash {
        self.hash
    }

    pub(super) fn name(&self) -> &'static str {
        match self.hash {
            DigestHash::Md5 => "Digest MD5",
            DigestHash::Sha256 => "Digest SHA-256",
            DigestHash::Sha512_256 => "Digest SHA-512-256",
        }
    }

    /// The value of `Authorization` for the next request with this nonce. The order of the parameters is curl's, which cameras are
    /// tried with; what the grammar has without quotes is without them.
    pub(super) fn authorization(&mut self, credentials: &Credentials, covered: Covered<'_>) -> Option<HeaderValue> {
        self.count += 1;
        let count = format!("{:08x}", self.count);
        let user_hash = self.hash.of(&[credentials.user().as_bytes(), &self.realm]);
        let user = if self.hides_user { user_hash.as_bytes() } else { credentials.user().as_bytes() };
        let response = self.response(credentials, covered, &count);
        let mut value = b"Digest ".to_vec();
        quoted(&mut value, "username", user);
        quoted(&mut value, ", realm", &self.realm);
        quoted(&mut value, ", nonce", &self.nonce);
        quoted(&mut value, ", uri", covered.uri.as_bytes());
        if self.has_qop || self.is_per_session {
            quoted(&mut value, ", cnonce", self.client_nonce.as_bytes());
        }
        if self.has_qop {
            value.extend_from_slice(format!(", nc={count}, qop=auth").as_bytes());
        }
        quoted(&mut value, ", response", response.as_bytes());
        // An empty one is sent back too.
        if let Some(opaque) = &self.opaque {
            quoted(&mut value, ", opaque", opaque);
        }
        if let Some(algorithm) = &self.algorithm {
            value.extend_from_slice(format!(", algorithm={algorithm}").as_bytes());
        }
        if self.hides_user {
            value.extend_from_slice(b", userhash=true");
        }
        HeaderValue::from_bytes(&value).ok()
    }

    /// RFC 7616, section 3.4.1; without qop as RFC 2069 has it.
    fn response(&self, credentials: &Credentials, covered: Covered<'_>, count: &str) -> String {
        let client_nonce = self.client_nonce.as_bytes();
        let mut secret = self.hash.of(&[credentials.user().as_bytes(), &self.realm, credentials.password().as_bytes()]);
        if self.is_per_session {
            secret = self.hash.of(&[secret.as_bytes(), &self.nonce, client_nonce]);
        }
        let request = self.hash.of(&[covered.method.as_bytes(), covered.uri.as_bytes()]);
        if self.has_qop {
            let parts = [secret.as_bytes(), &self.nonce, count.as_bytes(), client_nonce, b"auth", request.as_bytes()];
            self.hash.of(&parts)
        } else {
            self.hash.of(&[secret.as_bytes(), &self.nonce, request.as_bytes()])
        }
    }
}

/// The hash of an algorithm, and whether it is per session.
fn hash(algorithm: &str) -> Option<(DigestHash, bool)> {
    let upper = algorithm.to_ascii_uppercase();
    let (name, is_per_session) = upper.strip_suffix("-SESS").map_or((upper.as_str(), false), |name| (name, true));
    let hash = match name {
        "MD5" => DigestHash::Md5,
        "SHA-256" => DigestHash::Sha256,
        "SHA-512-256" => DigestHash::Sha512_256,
        _ => return None,
    };
    Some((hash, is_per_session))
}

fn is_true(challenge: &Challenge, name: &str) -> bool {
    challenge.text(name).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

fn quoted(value: &mut Vec<u8>, name: &str, text: &[u8]) {
    value.extend_from_slice(name.as_bytes());
    value.extend_from_slice(b"=\"");
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            value.push(b'\\');
        }
        value.push(*byte);
    }
    value.push(b'"');
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, header};

    use super::*;

    const RFC_7616: &str = r#"realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;
    const RFC_7616_CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    const INDEX: Covered<'_> = Covered { method: "GET", uri: "/dir/index.html" };

    fn session(challenge: &str) -> Result<DigestSession, String> {
        let mut headers = HeaderMap::new();
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_str(&format!("Digest {challenge}")).unwrap());
        DigestSession::new(&Challenge::all(&headers)[0])
    }

    fn session_with(challenge: &str, client_nonce: &str) -> DigestSession {
        DigestSession { client_nonce: client_nonce.to_owned(), ..session(challenge).unwrap() }
    }

    fn answer(session: &mut DigestSession, user: &str, password: &str, covered: Covered<'_>) -> String {
        let value = session.authorization(&Credentials::new(user, password).unwrap(), covered).unwrap();
        String::from_utf8(value.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_examples_of_rfc_7616_are_answered_as_there() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let mut session = session_with(&format!("{RFC_7616}, algorithm={algorithm}"), RFC_7616_CNONCE);
            let answer = answer(&mut session, "Mufasa", "Circle of Life", INDEX);
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(answer.contains(", nc=00000001, qop=auth, "), "{answer}");
            assert!(answer.ends_with(&format!("opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", algorithm={algorithm}")));
        }
    }

    /// Section 3.9.2 with the response of erratum 4897.
    #[test]
    fn a_user_is_sent_as_a_hash_where_the_server_asks_for_that() {
        let challenge = r#"realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#;
        let mut session = session_with(challenge, "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v");
        let covered = Covered { method: "GET", uri: "/doe.json" };
        let answer = answer(&mut session, "J\u{e4}s\u{f8}n Doe", "Secret, or not?", covered);
        assert!(answer.contains(r#"username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b""#), "{answer}");
        assert!(answer.contains(r#"response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5""#), "{answer}");
        assert!(answer.ends_with("userhash=true"), "{answer}");
    }

    #[test]
    fn the_example_of_rfc_2617_is_answered_as_there_and_each_request_is_counted() {
        let challenge = r#"realm="testrealm@host.com",qop="auth,auth-int",nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let mut session = session_with(challenge, "0a4f113b");
        let first = answer(&mut session, "Mufasa", "Circle Of Life", INDEX);
        assert!(first.contains(r#"response="6629fae49393a05397450978507c4ef1""#), "{first}");
        assert!(!first.contains("algorithm"), "{first}");
        let second = answer(&mut session, "Mufasa", "Circle Of Life", INDEX);
        assert!(second.contains("nc=00000002") && second.contains("cnonce=\"0a4f113b\""), "{second}");
        assert!(!second.contains("6629fae49393a05397450978507c4ef1"));
    }

    /// With the response of erratum 749 to RFC 2069.
    #[test]
    fn without_qop_the_answer_is_that_of_rfc_2069() {
        let challenge = r#"realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#;
        for challenge in [challenge.to_owned(), format!("{challenge}, qop=\"\"")] {
            let answer = answer(&mut session(&challenge).unwrap(), "Mufasa", "CircleOfLife", INDEX);
            let end = r#"uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea""#;
            assert!(answer.ends_with(end), "{answer}");
        }
    }

    /// Made with Python's hashlib after RFC 7616, section 3.4.2.
    #[test]
    fn the_hash_of_a_session_has_both_nonces_in_it() {
        for (algorithm, response) in [
            ("MD5-sess", "e783283f46242139c486a698fec7211d"),
            ("SHA-256-sess", "2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7"),
        ] {
            let mut session = session_with(&format!("{RFC_7616}, algorithm={algorithm}"), RFC_7616_CNONCE);
            let answer = answer(&mut session, "Mufasa", "Circle of Life", INDEX);
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
        }
    }

    #[test]
    fn auth_is_picked_out_of_any_list_and_what_cannot_be_answered_is_named() {
        for list in ["auth", "auth,auth-int", "auth-int, auth", "auth-int,auth", " AUTH ", "auth-int auth"] {
            assert!(session(&format!("realm=r, nonce=n, qop=\"{list}\"")).unwrap().has_qop, "{list}");
        }
        for (challenge, asked) in [
            ("realm=r, nonce=n, qop=auth-int", "Digest with qop auth-int"),
            ("realm=r, nonce=n, algorithm=SHA-1", "Digest with algorithm SHA-1"),
            ("realm=r", "Digest without a nonce"),
        ] {
            assert_eq!(session(challenge).unwrap_err(), asked);
        }
    }

    #[test]
    fn quotes_and_backslashes_go_back_as_they_came_and_an_empty_opaque_does_too() {
        let mut session = session(r#"realm="a \"b\" \\", nonce="n", opaque="""#).unwrap();
        let answer = answer(&mut session, r#"us"er"#, "p", INDEX);
        assert!(answer.starts_with(r#"Digest username="us\"er", realm="a \"b\" \\", nonce="n""#), "{answer}");
        assert!(answer.ends_with(r#", opaque="""#), "{answer}");
        let expected = DigestHash::Md5.of(&[br#"us"er"#, br#"a "b" \"#, b"p"]);
        let response =
            DigestHash::Md5.of(&[expected.as_bytes(), b"n", DigestHash::Md5.of(&[b"GET", b"/dir/index.html"]).as_bytes()]);
        assert!(answer.contains(&response), "{answer}");
    }
}
