//! Access: viewers need a password or the token, unless neither is set. The token comes in the URL (for `<img>`), as a cookie (for
//! the page) or as a bearer token. It decides; `http::response` words the refusal.

mod password;
mod throttle;

use std::{
    borrow::Cow,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use hyper::{
    Uri,
    header::{AUTHORIZATION, COOKIE, HeaderMap},
};
use rand::{Rng, distr::Alphanumeric};

pub use self::password::Passwords;
use self::{
    password::{HasLeft, PeerLeft, same},
    throttle::{LoginThrottle, TooMany},
};

/// Letters and digits of a generated token: 131 bits.
const GENERATED_LENGTH: usize = 22;
/// How long a browser keeps the cookie, in seconds: a tablet on the wall stays logged in.
const COOKIE_AGE: u32 = 30 * 24 * 3600;
/// The query key of the token.
const KEY: &str = "token";

/// The secrets that open the feeds.
#[derive(Debug, Default)]
pub struct Access {
    passwords: Passwords,
    token: Option<Token>,
    throttle: LoginThrottle,
    denied: AtomicU64,
}

/// A secret of letters, digits, `-`, `.`, `_` and `~`, which pass through URLs and cookies as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    /// Whether mxr made it up, so that it has to be printed.
    pub is_generated: bool,
}

/// Why access is denied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The request has no secret.
    Nothing,
    /// Its secret is wrong.
    Wrong,
    /// Too many of its address were wrong; the next guess is admitted after this time.
    TooMany(Duration),
    /// The peer closed its connection before its password was checked.
    PeerLeft,
}

/// Where a guess comes from.
#[derive(Clone, Copy)]
pub(crate) struct Guesser<'a> {
    pub(crate) address: Option<IpAddr>,
    pub(crate) has_left: HasLeft<'a>,
}

impl Token {
    /// A random one.
    pub fn generate() -> Self {
        Self { text: rand::rng().sample_iter(Alphanumeric).take(GENERATED_LENGTH).map(char::from).collect(), is_generated: true }
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
            text if text.bytes().all(passes) => Ok(Self { text: text.to_owned(), is_generated: false }),
            _ => Err("a token is made of letters, digits, '-', '.', '_' and '~'"),
        }
    }

    /// The token itself, for the URL that is shown to the person who started the program.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    fn is(&self, shown: &str) -> bool {
        same(&self.text, shown).into()
    }

    /// Cookies know no ports: servers on one machine tell theirs apart by the token.
    fn cookie_name(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("mxr-{:08x}", hasher.finish() & 0xffff_ffff)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }
}

impl Access {
    /// Opens to one of these passwords or this token; to everybody if there is neither.
    pub fn new(passwords: Passwords, token: Option<Token>) -> Self {
        Self { passwords, token, ..Self::default() }
    }

    /// Whether everybody may look.
    pub fn is_open(&self) -> bool {
        self.passwords.is_empty() && self.token.is_none()
    }

    /// Asks for a token that is generated now.
    pub fn generate_token(&mut self) {
        self.token = Some(Token::generate());
    }

    /// The token, if there is one.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Whether a browser can be asked for a password.
    pub(crate) fn has_passwords(&self) -> bool {
        !self.passwords.is_empty()
    }

    /// How many requests were denied.
    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Relaxed)
    }

    /// Admits a request with one right secret. A wrong one is answered late, and only its own source waits.
    pub(crate) async fn check(&self, uri: &Uri, headers: &HeaderMap, guesser: Guesser<'_>) -> Result<(), Denial> {
        if self.is_open() {
            return Ok(());
        }
        let result = self.judge(uri, headers, guesser).await;
        if result.is_err() {
            self.denied.fetch_add(1, Relaxed);
        }
        result
    }

    async fn judge(&self, uri: &Uri, headers: &HeaderMap, guesser: Guesser<'_>) -> Result<(), Denial> {
        let tokens = self.tokens_shown(uri, headers);
        let pair = self.has_passwords().then(|| pair_shown(headers)).flatten();
        if tokens.is_empty() && pair.is_none() {
            return Err(Denial::Nothing);
        }
        let permit = self.throttle.admit(guesser.address).await.map_err(|TooMany(wait)| Denial::TooMany(wait))?;
        let has_token = self.token.as_ref().is_some_and(|token| tokens.iter().any(|shown| token.is(shown)));
        let has_password = match pair {
            Some((name, password)) if !has_token => {
                let confirmed = self.passwords.confirm(&name, &password, &permit, guesser.has_left).await;
                confirmed.map_err(|PeerLeft| Denial::PeerLeft)?
            }
            _ => false,
        };
        if !has_token && !has_password {
            return Err(Denial::Wrong);
        }
        permit.forgive();
        Ok(())
    }

    /// At most three, so that one request is never many guesses.
    fn tokens_shown<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Vec<Cow<'a, str>> {
        let Some(token) = &self.token else { return Vec::new() };
        let name = token.cookie_name();
        let bearer = authorization(headers, "bearer").map(Cow::Borrowed);
        [token_in(uri), bearer, cookie(headers, &name).map(Cow::Borrowed)].into_iter().flatten().collect()
    }

    /// If the URL has the right token: the `Set-Cookie` value for it, and the query without it.
    pub(crate) fn cookie_instead(&self, uri: &Uri, is_secure: bool) -> Option<(String, String)> {
        let (token, shown) = (self.token.as_ref()?, token_in(uri)?);
        // Lax, not Strict: a user who follows a link in a mail would be denied after the redirect. Other sites' pages and
        // pictures get no cookie either way. Without a Path it is for the folder of the page, whatever a proxy calls that.
        let secure = if is_secure { "; Secure" } else { "" };
        let cookie = format!("{}={}; HttpOnly; SameSite=Lax; Max-Age={COOKIE_AGE}{secure}", token.cookie_name(), token.text);
        let rest: Vec<_> = uri.query().unwrap_or_default().split('&').filter(|piece| !is_token(piece)).collect();
        token.is(&shown).then(|| (cookie, rest.join("&")))
    }
}

fn token_in(uri: &Uri) -> Option<Cow<'_, str>> {
    form_urlencoded::parse(uri.query()?.as_bytes()).find(|(key, _)| key == KEY).map(|(_, value)| value)
}

fn is_token(piece: &str) -> bool {
    form_urlencoded::parse(piece.as_bytes()).next().is_some_and(|(key, _)| key == KEY)
}

/// A target without secrets, for the log.
pub(crate) fn redacted(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return uri.path().to_owned() };
    let pieces = query.split('&').map(|piece| if is_token(piece) { "token=…" } else { piece });
    format!("{}?{}", uri.path(), pieces.collect::<Vec<_>>().join("&"))
}

/// The credentials of a scheme, whose name has no case (RFC 9110, section 11.1).
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (named, shown) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| shown.trim())
}

/// User and password as RFC 7617 has them.
fn pair_shown(headers: &HeaderMap) -> Option<(String, String)> {
    let bytes = BASE64_STANDARD.decode(authorization(headers, "basic")?).unwrap_or_default();
    let pair = String::from_utf8(bytes).unwrap_or_default();
    // Credentials that cannot be read are wrong, not missing.
    let (name, password) = pair.split_once(':').unwrap_or_default();
    Some((name.to_owned(), password.to_owned()))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(named, _)| *named == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access::new(Passwords::typed("me:secret").unwrap(), Some(Token::parse("T0ken").unwrap()))
    }

    async fn check(access: &Access, target: &str, lines: &[(&'static str, &str)]) -> Result<(), Denial> {
        let headers = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let guesser = Guesser { address: None, has_left: &|| false };
        access.check(&target.parse().unwrap(), &headers, guesser).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_right_secret_is_enough() {
        let access = access();
        let cookie = format!("a=b; {}=T0ken", access.token.as_ref().unwrap().cookie_name());
        for (target, lines) in [
            ("/?token=T0ken", &[][..]),
            ("/?x=1&token=T0ken&fps=2", &[]),
            ("/?t%6fken=T%30ken", &[]),
            ("/", &[("authorization", "Bearer T0ken")]),
            ("/", &[("authorization", "basic bWU6c2VjcmV0")]),
            ("/", &[("cookie", &cookie)]),
            ("/?token=old", &[("cookie", &cookie)]),
        ] {
            assert_eq!(check(&access, target, lines).await, Ok(()), "{target} {lines:?}");
        }
        for (target, lines) in [
            ("/?token=t0ken", &[][..]),
            ("/?token=", &[]),
            ("/?token=T0ke", &[]),
            ("/", &[("authorization", "Bearer x")]),
            ("/", &[("authorization", "Basic !!")]),
            ("/", &[("authorization", "Basic bWU6c2VjcmV")]),
            ("/", &[("authorization", "Basic bWU6d3Jvbmc=")]),
            ("/?token=a&token=T0ken", &[]),
        ] {
            assert_eq!(check(&access, target, lines).await, Err(Denial::Wrong), "{target} {lines:?}");
        }
        for (target, lines) in [("/", &[][..]), ("/?Token=T0ken", &[]), ("/", &[("cookie", "mxr=T0ken")])] {
            assert_eq!(check(&access, target, lines).await, Err(Denial::Nothing), "{target} {lines:?}");
        }
        assert_eq!(access.denied(), 11);
    }

    #[tokio::test]
    async fn without_a_secret_everybody_may_look() {
        assert_eq!(check(&Access::default(), "/?token=x", &[("authorization", "Basic x")]).await, Ok(()));
    }

    #[test]
    fn logs_show_no_token() {
        for (target, logged) in [
            ("/a?token=T0ken", "/a?token=…"),
            ("/a?x=1&tok%65n=T0ken&y", "/a?x=1&token=…&y"),
            ("/a", "/a"),
            ("/a?x=token", "/a?x=token"),
        ] {
            assert_eq!(redacted(&target.parse().unwrap()), logged);
        }
        assert!(!format!("{:?}", access()).contains("T0ken"));
    }

    #[test]
    fn the_cookie_takes_the_tokens_place() {
        let instead = |target: &str, is_secure| access().cookie_instead(&target.parse().unwrap(), is_secure);
        let (cookie, query) = instead("/view?a=1&token=T0ken&b", false).unwrap();
        assert!(cookie.contains("=T0ken; HttpOnly; SameSite=Lax"), "{cookie}");
        assert!(!cookie.contains("Secure") && !cookie.contains("Path"), "{cookie}");
        assert_eq!(query, "a=1&b");
        assert!(instead("/?token=T0ken", true).unwrap().0.ends_with("; Secure"));
        assert_eq!(instead("/?token=wrong", false), None);
        assert_eq!(instead("/", false), None);
    }

    #[test]
    fn a_token_passes_through_urls_and_cookies() {
        assert_eq!(Token::generate().reveal().len(), GENERATED_LENGTH);
        assert_ne!(Token::generate(), Token::generate());
        assert_eq!(Token::parse(Token::generate().reveal()).map(|_| ()), Ok(()));
        for bad in ["", "a b", "a;b", "a&b", "ä", "a/b", &"x".repeat(513)] {
            assert!(Token::parse(bad).is_err(), "{bad}");
        }
    }
}
