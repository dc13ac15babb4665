//! The meaning of the flags about access: passwords and tokens with the files they come from, host names, origins, and the
//! route prefix.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use hyper::Uri;
use tracing::warn;

use crate::{
    auth::{Access, Passwords, Token},
    cli,
    error::{Error, Result},
    http::{Hosts, Sites},
};

/// Passwords and the token that viewers need.
pub(super) fn access(flags: &cli::AccessArgs) -> Result<Access> {
    let mut passwords = Passwords::default();
    for pair in &flags.auth {
        let typed =
            Passwords::typed(pair).map_err(|why| Error::usage("use --auth", why).hint("it looks like --auth USER:PASSWORD"))?;
        passwords.join(typed).map_err(|why| Error::usage("use --auth", why))?;
    }
    if let Some(path) = &flags.auth_file {
        passwords.join(auth_file(path)?).map_err(|why| Error::usage("use --auth with --auth-file", why))?;
    }
    Ok(Access::new(passwords, token(flags)?))
}

fn auth_file(path: &Path) -> Result<Passwords> {
    let what = || format!("use --auth-file {}", path.display());
    let text = read_secret(path, "--auth-file")?;
    let passwords = Passwords::read(&text).map_err(|(line, why)| {
        Error::new(format!("use line {line} of --auth-file {}", path.display()), why)
            .hint("a line is USER:PASSWORD, or as `htpasswd -B` writes it; --auth and MXR_AUTH take any password as it is")
    })?;
    match passwords.is_empty() {
        true => Err(Error::new(what(), "it has no line USER:PASSWORD")),
        false => Ok(passwords),
    }
}

/// Reads a file, or a FIFO (a shell's `<(…)`), that other users should not be able to read. It strips a byte order mark, which
/// would otherwise become part of the secret.
pub(super) fn read_secret(path: &Path, option: &str) -> Result<String> {
    let cannot = |error: io::Error| Error::new(format!("use {option} {}", path.display()), error);
    let found = fs::metadata(path).map_err(cannot)?;
    if found.is_file() && found.mode() & 0o004 != 0 {
        let hint = format!("chmod o= {}", path.display());
        warn!(file = %path.display(), hint, "every user of this machine can read it");
    }
    let bytes = fs::read(path).map_err(cannot)?;
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Err(error) => {
            let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
            let error = Error::new(format!("use line {line} of {option} {}", path.display()), "it is not in UTF-8");
            Err(error.hint(format!("for a file in Latin-1: iconv -f latin1 -t utf-8 {}", path.display())))
        }
    }
}

/// The token, with a warning if it is short: a right secret is answered at once, so only its length keeps it from being guessed.
fn token(flags: &cli::AccessArgs) -> Result<Option<Token>> {
    let token = chosen_token(flags)?;
    if token.as_ref().is_some_and(Token::is_short) {
        let hint = "--token without a value generates a long one; openssl rand -hex 16 prints one to keep";
        warn!(hint, "the token has less than 16 letters, and may be guessed");
    }
    Ok(token)
}

fn chosen_token(flags: &cli::AccessArgs) -> Result<Option<Token>> {
    match (&flags.token, &flags.token_file) {
        (Some(_), Some(_)) => Err(Error::usage("use --token with --token-file", "there can be only one token")),
        (Some(text), None) if text == cli::RANDOM_TOKEN => Ok(Some(Token::generate())),
        (Some(text), None) if Path::new(text).exists() => {
            // It may be a secret after all.
            let error = Error::usage("use --token with this value", "it is also the name of a file here");
            Err(error.hint("put --token after the file names to have a token generated, or choose another token"))
        }
        (Some(text), None) => Ok(Some(Token::parse(text).map_err(|why| Error::usage("use --token", why))?)),
        (None, Some(path)) => {
            let what = || format!("use --token-file {}", path.display());
            let text = read_secret(path, "--token-file")?;
            Ok(Some(Token::parse(text.trim()).map_err(|why| Error::new(what(), why))?))
        }
        (None, None) => Ok(None),
    }
}

/// The names that the Host header may have.
pub(super) fn hosts(flags: &cli::AccessArgs) -> Result<Hosts> {
    let is_name = |name: &str| {
        name == "*" || !name.is_empty() && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-._".contains(&letter))
    };
    match flags.allow_host.iter().find(|name| !is_name(name)) {
        Some(name) => Err(Error::usage(format!("use --allow-host {name:?}"), "it is not a name")
            .hint("a name looks like cam.example, without http:// and without a port; * means any")),
        None => Ok(Hosts::new(&flags.allow_host)),
    }
}

/// What pages of other sites may do.
pub(super) fn sites(flags: &cli::AccessArgs) -> Result<Sites> {
    for (flag, origins) in [("--allow-origin", &flags.allow_origin), ("--allow-embed", &flags.allow_embed)] {
        if let Some(origin) = origins.iter().find(|origin| *origin != "*" && !is_origin(origin)) {
            let error = Error::usage(format!("use {flag} {origin:?}"), "it is not an origin");
            return Err(
                error.hint("an origin looks like http://mainsail.local or http://10.0.0.7:81, in lower case and without a path")
            );
        }
    }
    Ok(Sites { origins: flags.allow_origin.clone(), embedders: flags.allow_embed.clone() })
}

/// An origin becomes part of a Content-Security-Policy, where a semicolon would start another directive.
fn is_origin(text: &str) -> bool {
    // Browsers write it in lower case.
    let is_plain =
        text.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || b":/.-_[]".contains(&letter));
    let has_no_path = |uri: Uri| uri.scheme().is_some() && uri.path() == "/" && !text.ends_with('/');
    is_plain && text.parse::<Uri>().is_ok_and(has_no_path)
}

/// The path before every route, without a trailing slash.
pub(super) fn prefix(flags: &cli::AccessArgs) -> Result<String> {
    let Some(text) = &flags.route_prefix else { return Ok(String::new()) };
    let prefix = text.trim_end_matches('/');
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-._~".contains(&letter))
    };
    match prefix.strip_prefix('/') {
        Some(path) if path.split('/').all(is_segment) => Ok(prefix.to_owned()),
        None if prefix.is_empty() => Ok(String::new()),
        _ => Err(Error::usage(format!("use --route-prefix {text:?}"), "it is not a path")
            .hint("a path begins with '/', such as /cam or /house/cam, and has letters, digits, '-', '.', '_' and '~'")),
    }
}
