//! The right to push: tokens of their own, each for all feeds or for those whose names match a pattern. It decides; `http` words the
//! refusal.

use std::net::IpAddr;

use hyper::{Uri, header::HeaderMap};

use super::{
    redact, shown,
    throttle::{LoginThrottle, TooMany},
    token::Token,
};

/// The tokens that give the right to push.
#[derive(Debug, Default)]
pub struct PushTokens {
    tokens: Vec<PushToken>,
    throttle: LoginThrottle,
}

/// A token, and the feeds that it is for.
#[derive(Debug)]
struct PushToken {
    token: Token,
    /// A pattern of names; `None` for all.
    names: Option<String>,
}

/// The right to push: patterns of the names that it is for; `None` is for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PushRight(Vec<Option<String>>);

/// Why nobody may push so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PushDenial {
    /// The request shows no token.
    Nothing,
    /// Its token is wrong.
    Wrong,
    /// Too many of its address were wrong.
    TooMany(std::time::Duration),
}

impl PushTokens {
    /// Adds a token, for the names that match a pattern or for all.
    ///
    /// # Errors
    /// The mistake in the pattern.
    pub fn add(&mut self, token: Token, names: Option<String>) -> Result<(), fast_glob::Error> {
        names.as_deref().map_or(Ok(()), fast_glob::validate)?;
        self.tokens.push(PushToken { token, names });
        Ok(())
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Adds a token for all feeds that is generated now, and returns it.
    pub fn generate(&mut self) -> String {
        let token = Token::generate();
        let text = token.reveal().to_owned();
        self.tokens.push(PushToken { token, names: None });
        text
    }

    /// The right of a request that shows a token: as a bearer token, in the URL, or as the password of any user. A wrong one is
    /// answered late.
    pub(crate) async fn right(&self, uri: &Uri, headers: &HeaderMap, address: Option<IpAddr>) -> Result<PushRight, PushDenial> {
        let pair = shown::pair(headers);
        let in_url = shown::token_in(uri);
        let shown = [in_url.as_deref(), shown::bearer(headers), pair.as_ref().map(|(_, password)| password.as_str())];
        // An empty one is shown where a variable is not set.
        let shown: Vec<&str> = shown.into_iter().flatten().filter(|shown| !shown.is_empty()).collect();
        let right: Vec<_> = self.tokens.iter().filter(|known| shown.iter().any(|shown| known.token.is(shown))).collect();
        match right.is_empty() {
            true if shown.is_empty() => Err(PushDenial::Nothing),
            true => Err(match self.throttle.charge(address, false).await {
                Ok(()) => PushDenial::Wrong,
                Err(TooMany(wait)) => PushDenial::TooMany(wait),
            }),
            false => Ok(PushRight(right.iter().map(|known| known.names.clone()).collect())),
        }
    }

    /// A text from a request for the log: without the tokens.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let secrets: Vec<&str> = self.tokens.iter().map(|known| known.token.reveal()).collect();
        redact::redact(text, &secrets)
    }
}

impl PushRight {
    /// The right to every feed.
    pub(crate) fn to_all() -> Self {
        Self(vec![None])
    }

    /// Whether it is a right to the feed of this name.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.0.iter().any(|names| names.as_ref().is_none_or(|names| fast_glob::glob_match(names, name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(tokens: &PushTokens, target: &str, lines: &[(&'static str, &str)], name: &str) -> Result<bool, PushDenial> {
        let headers = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        tokens.right(&target.parse().unwrap(), &headers, None).await.map(|right| right.covers(name))
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_shown_in_three_ways_and_is_for_the_names_of_its_pattern() {
        let mut tokens = PushTokens::default();
        tokens.add(Token::parse("all").unwrap(), None).unwrap();
        tokens.add(Token::parse("door").unwrap(), Some("door-*".to_owned())).unwrap();
        assert!(tokens.add(Token::parse("x").unwrap(), Some("[".to_owned())).is_err());
        for (target, lines) in [
            ("/?token=door", &[][..]),
            ("/", &[("authorization", "Bearer door")]),
            ("/", &[("authorization", "Basic dXNlcjpkb29y")]),
        ] {
            assert_eq!(check(&tokens, target, lines, "door-1").await, Ok(true), "{target} {lines:?}");
            assert_eq!(check(&tokens, target, lines, "window").await, Ok(false), "{target} {lines:?}");
        }
        assert_eq!(check(&tokens, "/?token=all", &[], "window").await, Ok(true));
        assert_eq!(check(&tokens, "/", &[], "window").await, Err(PushDenial::Nothing));
        assert_eq!(check(&tokens, "/?token=", &[("authorization", "Basic YW55Og==")], "window").await, Err(PushDenial::Nothing));
        assert_eq!(check(&tokens, "/?token=al", &[], "window").await, Err(PushDenial::Wrong));
    }
}
