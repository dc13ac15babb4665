//! Access: viewers need a password or the token, unless neither is set. The token comes in the URL (for `<img>`), as a bearer token,
//! or as a cookie that stands for it (for the page). It decides; `http` words the refusal.

mod password;
mod push;
mod redact;
mod shown;
mod throttle;
mod token;

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use hyper::{Uri, header::HeaderMap};

pub(crate) use self::{
    password::HasLeft,
    push::{PushDenial, PushRight},
};
pub use self::{password::Passwords, push::PushTokens, token::Token};
use self::{
    password::{HashTurns, NotHashed, same},
    throttle::{LoginThrottle, TooMany},
};
use crate::sync::Mutex;

/// How long a browser keeps the cookie, in seconds: a tablet on the wall stays logged in.
const COOKIE_AGE: u32 = 30 * 24 * 3600;

/// The secrets that open the feeds.
#[derive(Debug, Default)]
pub struct Access {
    passwords: Passwords,
    token: Option<Token>,
    /// Opens the page once, for the browser that `--open` starts: other users of the machine see its command line.
    once: Mutex<Option<String>>,
    throttle: LoginThrottle,
    denied: AtomicU64,
}

/// Why access is denied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The request has no secret, or only the cookie of another token: a page of an earlier start, not a guess.
    Nothing,
    /// Its secret is wrong.
    Wrong,
    /// Too many of its address were wrong; the next guess is heard after this time.
    TooMany(Duration),
    /// The peer closed its connection before its password was checked.
    PeerLeft,
}

/// Where a guess comes from.
#[derive(Clone, Copy)]
pub(crate) struct Guesser<'a> {
    pub(crate) address: Option<IpAddr>,
    pub(crate) has_left: HasLeft<'a>,
    pub(crate) site: Site,
}

/// The site as a browser knows it, by which its cookie is named.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Site {
    /// The port of its URL, if that has one.
    pub(crate) port: Option<u16>,
    /// Whether it is https.
    pub(crate) is_secure: bool,
    /// Whether nothing else is on this host and port: no proxy that has mxr below a path.
    pub(crate) is_whole: bool,
}

impl Site {
    /// Cookies know no ports: each server on a machine has its own name. `__Host-` keeps other hosts of the domain from setting it,
    /// and is for the whole site (RFC 6265bis, section 4.1.3.2).
    fn cookie_name(self) -> String {
        let port = self.port.unwrap_or(if self.is_secure { 443 } else { 80 });
        let prefix = if self.is_host_bound() { "__Host-" } else { "" };
        format!("{prefix}mxr-{port}")
    }

    fn is_host_bound(self) -> bool {
        self.is_secure && self.is_whole
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

    /// Draws the query of a URL that opens the page once, in place of the one before; nothing if there is no token.
    pub fn draw_once(&self) -> Option<String> {
        self.token.as_ref()?;
        let secret = token::random_text();
        let query = shown::once_query(&secret);
        *self.once.lock() = Some(secret);
        Some(query)
    }

    /// Whether a browser can be asked for a password.
    pub(crate) fn has_passwords(&self) -> bool {
        !self.passwords.is_empty()
    }

    /// How many requests were denied.
    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Relaxed)
    }

    /// Admits a request with one right secret, at once, whatever others of its address have guessed. A wrong one is answered late,
    /// and only its own source waits.
    pub(crate) async fn check(&self, uri: &Uri, headers: &HeaderMap, guesser: Guesser<'_>) -> Result<(), Denial> {
        if self.is_open() {
            return Ok(());
        }
        self.counted(self.judge(uri, headers, guesser).await)
    }

    /// Admits a token that somebody typed, as `check` does.
    pub(crate) async fn check_form(&self, form: &[u8], guesser: Guesser<'_>) -> Result<(), Denial> {
        let typed = shown::token_in_form(form).unwrap_or_default();
        if self.token.as_ref().is_some_and(|token| token.is(&typed)) {
            return Ok(());
        }
        self.counted(Err(self.wrong(guesser, false).await))
    }

    fn counted(&self, result: Result<(), Denial>) -> Result<(), Denial> {
        self.denied.fetch_add(u64::from(result.is_err()), Relaxed);
        result
    }

    async fn judge(&self, uri: &Uri, headers: &HeaderMap, guesser: Guesser<'_>) -> Result<(), Denial> {
        let mut has_guessed = false;
        if let Some(token) = &self.token {
            let (in_url, bearer) = (shown::token_in(uri), shown::bearer(headers));
            let has_cookie = shown::cookies(headers, &guesser.site.cookie_name()).any(|shown| token.is_cookie(shown));
            if has_cookie || in_url.iter().any(|shown| token.is(shown)) || bearer.is_some_and(|shown| token.is(shown)) {
                return Ok(());
            }
            has_guessed = in_url.is_some() || bearer.is_some();
        }
        let pair = self.has_passwords().then(|| shown::pair(headers)).flatten();
        if let Some((name, password)) = &pair {
            let turns = HashTurns { throttle: &self.throttle, address: guesser.address, has_left: guesser.has_left };
            match self.passwords.confirm(name, password, &turns).await {
                Ok(true) => return Ok(()),
                Ok(false) => has_guessed = true,
                Err(NotHashed::PeerLeft) => return Err(Denial::PeerLeft),
                Err(NotHashed::TooMany(TooMany(wait))) => return Err(Denial::TooMany(wait)),
            }
        }
        Err(if has_guessed { self.wrong(guesser, pair.is_some() && self.passwords.are_hashed()).await } else { Denial::Nothing })
    }

    async fn wrong(&self, guesser: Guesser<'_>, was_hashed: bool) -> Denial {
        match self.throttle.charge(guesser.address, was_hashed).await {
            Ok(()) => Denial::Wrong,
            Err(TooMany(wait)) => Denial::TooMany(wait),
        }
    }

    /// Whether a URL has the secret that opens once, and its peer may use it; from then on it opens nothing more.
    pub(crate) fn take_once(&self, uri: &Uri, may_use: impl FnOnce() -> bool) -> bool {
        let Some(shown) = shown::once_in(uri) else { return false };
        let is_right = |secret: &String| same(secret, &shown).into();
        let is_asked = self.once.lock().as_ref().is_some_and(is_right);
        is_asked && may_use() && self.once.lock().take_if(|secret| is_right(secret)).is_some()
    }

    /// If the URL has the right token: the `Set-Cookie` value for it, and the query without it.
    pub(crate) fn cookie_instead(&self, uri: &Uri, site: Site) -> Option<(String, String)> {
        let (token, shown) = (self.token.as_ref()?, shown::token_in(uri)?);
        token.is(&shown).then(|| self.log_in(uri, site)).flatten()
    }

    /// The `Set-Cookie` value for the token, and the query of the URL without secrets.
    pub(crate) fn log_in(&self, uri: &Uri, site: Site) -> Option<(String, String)> {
        // Lax, not Strict: a user who follows a link in a mail would be denied after the redirect. Other sites' pages and
        // pictures get no cookie either way. Without a Path it is for the folder of the page, whatever a proxy calls that.
        let path = if site.is_host_bound() { "; Path=/" } else { "" };
        let secure = if site.is_secure { "; Secure" } else { "" };
        let (name, value) = (site.cookie_name(), self.token.as_ref()?.cookie());
        let cookie = format!("{name}={value}; HttpOnly; SameSite=Lax; Max-Age={COOKIE_AGE}{path}{secure}");
        Some((cookie, shown::query_without_secrets(uri)))
    }

    /// A target for the log: without what it calls a token, right or wrong, and without secrets in any other place.
    pub(crate) fn redacted_target(&self, uri: &Uri) -> String {
        self.redacted(&shown::target_without_secrets(uri))
    }

    /// A text from a request, or about one, for the log: without secrets.
    pub fn redacted(&self, text: &str) -> String {
        let (token, once) = (self.token.as_ref(), self.once.lock().clone());
        let passwords: Vec<String> = self.passwords.in_plain().collect();
        let tokens = token.iter().flat_map(|token| [token.reveal(), token.cookie()]);
        let secrets: Vec<&str> = tokens.chain(once.as_deref()).chain(passwords.iter().map(String::as_str)).collect();
        redact::redact(text, &secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access::new(Passwords::typed("me:secret").unwrap(), Some(Token::parse("T0ken").unwrap()))
    }

    async fn check(access: &Access, target: &str, lines: &[(&'static str, &str)]) -> Result<(), Denial> {
        let headers = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let guesser = Guesser { address: None, has_left: &|| false, site: Site::default() };
        access.check(&target.parse().unwrap(), &headers, guesser).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_right_secret_is_enough() {
        let access = access();
        let value = access.token.as_ref().unwrap().cookie().to_owned();
        let cookie = format!("a=b; mxr-80=of another start; mxr-80={value}");
        let bearer = format!("Bearer {value}");
        for (target, lines) in [
            ("/?token=T0ken", &[][..]),
            ("/?x=1&token=T0ken&fps=2", &[]),
            ("/?t%6fken=T%30ken", &[]),
            ("/", &[("authorization", "Bearer T0ken")]),
            ("/", &[("authorization", "basic bWU6c2VjcmV0")]),
            ("/", &[("cookie", &cookie)]),
            ("/?token=old", &[("cookie", &cookie)]),
            ("/", &[("cookie", "other=ä"), ("cookie", &cookie)]),
            ("/?token=old", &[("authorization", "Basic bWU6c2VjcmV0")]),
        ] {
            assert_eq!(check(&access, target, lines).await, Ok(()), "{target} {lines:?}");
        }
        for (target, lines) in [
            ("/?token=t0ken", &[][..]),
            ("/?token=", &[]),
            ("/?token=T0ke", &[]),
            ("/", &[("authorization", "Bearer x")]),
            ("/", &[("authorization", &bearer)]),
            ("/", &[("authorization", "Basic !!")]),
            ("/", &[("authorization", "Basic bWU6c2VjcmV")]),
            ("/", &[("authorization", "Basic bWU6d3Jvbmc=")]),
            ("/?token=a&token=T0ken", &[]),
        ] {
            assert_eq!(check(&access, target, lines).await, Err(Denial::Wrong), "{target} {lines:?}");
        }
        for (target, lines) in [("/", &[][..]), ("/?Token=T0ken", &[]), ("/", &[("cookie", "mxr-80=T0ken")]), ("/?once=", &[])] {
            assert_eq!(check(&access, target, lines).await, Err(Denial::Nothing), "{target} {lines:?}");
        }
        assert_eq!(access.denied(), 13);
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
            ("/a?once=abc&token=wrong", "/a?once=…&token=…"),
            ("/T0ken?key=%540ken&b=secret", "/…?key=…&b=…"),
        ] {
            assert_eq!(access().redacted_target(&target.parse().unwrap()), logged);
        }
        assert!(!format!("{:?}", access()).contains("T0ken"));
    }

    #[test]
    fn the_cookie_takes_the_tokens_place_and_does_not_contain_it() {
        let site = |is_secure, is_whole| Site { port: Some(8080), is_secure, is_whole };
        let instead = |target: &str, site| access().cookie_instead(&target.parse().unwrap(), site);
        let (cookie, query) = instead("/view?a=1&token=T0ken&b&once=x", site(false, true)).unwrap();
        assert!(cookie.starts_with("mxr-8080=") && cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
        assert!(!["T0ken", "Secure", "Path"].iter().any(|text| cookie.contains(text)), "{cookie}");
        assert_eq!(query, "a=1&b");
        let (cookie, _) = instead("/?token=T0ken", site(true, true)).unwrap();
        assert!(cookie.starts_with("__Host-mxr-8080=") && cookie.ends_with("; Path=/; Secure"), "{cookie}");
        let (cookie, _) = instead("/?token=T0ken", site(true, false)).unwrap();
        assert!(cookie.starts_with("mxr-8080=") && !cookie.contains("Path") && cookie.ends_with("; Secure"), "{cookie}");
        assert_eq!(instead("/?token=wrong", site(false, true)), None);
        assert_eq!(instead("/", site(false, true)), None);
        assert_eq!(Site { is_secure: true, ..Site::default() }.cookie_name(), "mxr-443");
    }

    #[test]
    fn what_opens_once_opens_once() {
        let access = access();
        let uri = |query: &str| format!("/?{query}").parse::<Uri>().unwrap();
        let (first, second) = (access.draw_once().unwrap(), access.draw_once().unwrap());
        for wrong in [first.as_str(), "once=", "x"] {
            assert!(!access.take_once(&uri(wrong), || true), "{wrong}");
        }
        assert!(!access.take_once(&uri(&second), || false), "of another user, who does not use it up");
        assert!(access.take_once(&uri(&second), || true) && !access.take_once(&uri(&second), || true));
        assert_eq!(Access::default().draw_once(), None, "there is nothing to hide");
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_secret_is_admitted_at_once_whatever_its_address_has_guessed() {
        let access = access();
        let start = tokio::time::Instant::now();
        for _ in 0..100 {
            let wrong = check(&access, "/?token=wrong", &[]);
            let _ = tokio::time::timeout(Duration::ZERO, wrong).await;
        }
        assert!(matches!(check(&access, "/?token=wrong", &[]).await, Err(Denial::TooMany(_))));
        let cookie = format!("mxr-80={}", access.token.as_ref().unwrap().cookie());
        for lines in [[("cookie", cookie.as_str())], [("authorization", "Bearer T0ken")], [("authorization", "Basic bWU6c2VjcmV0")]]
        {
            assert_eq!(check(&access, "/", &lines).await, Ok(()), "{lines:?}");
        }
        assert_eq!(check(&access, "/?token=T0ken", &[]).await, Ok(()));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
