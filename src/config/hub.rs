//! The options of `mxr hub`: which feeds may be made, and who may push.

use std::{path::Path, sync::Arc};

use super::{Config, access::read_secret, pattern};
use crate::{
    auth::{PushTokens, Token},
    cli::{HubArgs, Typed},
    error::{Error, Result},
    http::{PushOptions, Refusals},
    source::{
        SourceStart,
        hub::{Hub, HubSettings},
    },
};

impl Config {
    /// From `mxr hub`.
    ///
    /// # Errors
    /// If a value is invalid.
    pub(super) fn hub(mut hub: HubArgs, typed: Typed) -> Result<Self> {
        if hub.common.parts.name.take().is_some() && typed.has("name") {
            return Err(Error::usage("use --name", "the feeds of a hub are called as they are pushed"));
        }
        if hub.max_feeds == 0 {
            return Err(Error::usage("use --max-feeds 0", "nobody could push"));
        }
        if hub.allow.iter().any(String::is_empty) {
            return Err(Error::usage("use --allow \"\"", "no name is empty").hint("without --allow every name may be pushed"));
        }
        let allow = hub.allow.into_iter().map(|glob| pattern("--allow", glob)).collect::<Result<_>>()?;
        let expire = (!hub.expire.is_zero()).then_some(hub.expire);
        let tokens = tokens(hub.push_token.as_deref(), hub.push_token_file.as_deref())?;
        let hub_source = Arc::new(Hub::new(HubSettings { allow, max_feeds: hub.max_feeds, expire }));
        let intake = hub_source.clone();
        let start = SourceStart::new(move |context| hub_source.source(context));
        let mut config = Self::new(start, hub.common, typed)?;
        config.http.push = Some(PushOptions { intake, tokens, refusals: Refusals::default() });
        Ok(config.publishing_several(true))
    }
}

/// The tokens that give the right to push.
fn tokens(typed: Option<&str>, file: Option<&Path>) -> Result<PushTokens> {
    let mut tokens = PushTokens::default();
    if let Some(text) = typed {
        let token = Token::parse(text).map_err(|why| Error::usage("use --push-token", why))?;
        tokens.add(token, None).map_err(|why| Error::usage("use --push-token", why.to_string()))?;
    }
    let Some(path) = file else { return Ok(tokens) };
    let text = read_secret(path, "--push-token-file")?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let cannot = |why: String| {
            let what = format!("use line {number} of --push-token-file {}", path.display());
            Error::new(what, why).hint("a line is TOKEN, or TOKEN GLOB; a token may have several lines, and a comment has its own; ? in a pattern is any letter, a space too")
        };
        let (token, names) =
            line.split_once(char::is_whitespace).map_or((line, None), |(token, names)| (token, Some(names.trim())));
        let token = Token::parse(token).map_err(|why| cannot(why.to_owned()))?;
        // It would be taken for one pattern, which no name has.
        if names.is_some_and(|names| names.contains(char::is_whitespace) || names.starts_with('#')) {
            return Err(cannot("more than a pattern stands behind the token".to_owned()));
        }
        tokens.add(token, names.map(str::to_owned)).map_err(|why| cannot(why.to_string()))?;
    }
    if tokens.is_empty() {
        return Err(Error::new(format!("use --push-token-file {}", path.display()), "it has no token"));
    }
    Ok(tokens)
}
