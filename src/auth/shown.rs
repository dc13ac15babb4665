//! The secrets that a request shows: in its URL, its cookies and its `Authorization`. It reads them and does not judge.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine};
use hyper::{
    Uri,
    header::{AUTHORIZATION, COOKIE, HeaderMap},
};

/// The query key of the token.
const TOKEN: &str = "token";
/// The query key of the secret that opens once.
const ONCE: &str = "once";
/// Cookies of one name that are read: a browser sends one for each folder.
const COOKIES: usize = 4;

/// The token of a URL.
pub(super) fn token_in(uri: &Uri) -> Option<Cow<'_, str>> {
    value(uri.query()?.as_bytes(), TOKEN)
}

/// The token of a form's content, alone or within the URL that somebody pasted.
pub(super) fn token_in_form(form: &[u8]) -> Option<String> {
    let typed = value(form, TOKEN)?;
    let typed = typed.trim();
    Some(typed.rsplit_once("token=").map_or(typed, |(_, token)| token).to_owned())
}

/// The secret of a URL that opens once.
pub(super) fn once_in(uri: &Uri) -> Option<Cow<'_, str>> {
    value(uri.query()?.as_bytes(), ONCE)
}

/// The query of a URL that opens once.
pub(super) fn once_query(secret: &str) -> String {
    format!("{ONCE}={secret}")
}

fn value<'a>(pairs: &'a [u8], key: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(pairs).find(|(named, _)| named == key).map(|(_, value)| value)
}

fn secret_key(piece: &str) -> Option<&'static str> {
    let (key, _) = form_urlencoded::parse(piece.as_bytes()).next()?;
    [TOKEN, ONCE].into_iter().find(|secret| key == *secret)
}

/// The query without secrets.
pub(super) fn query_without_secrets(uri: &Uri) -> String {
    let pieces = uri.query().unwrap_or_default().split('&').filter(|piece| secret_key(piece).is_none());
    pieces.collect::<Vec<_>>().join("&")
}

/// A target whose secrets by name, right or wrong, are hidden.
pub(super) fn target_without_secrets(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return uri.path().to_owned() };
    let pieces = query.split('&').map(|piece| match secret_key(piece) {
        Some(key) => Cow::Owned(format!("{key}=…")),
        None => Cow::Borrowed(piece),
    });
    format!("{}?{}", uri.path(), pieces.collect::<Vec<_>>().join("&"))
}

/// The bearer token (RFC 6750).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    authorization(headers, "bearer")
}

/// The credentials of a scheme, whose name has no case (RFC 9110, section 11.1).
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (named, shown) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| shown.trim())
}

/// User and password as RFC 7617 has them. What is not UTF-8 is Latin-1: requests and aiohttp send it, and so do Home Assistant and
/// OctoPrint.
pub(super) fn pair(headers: &HeaderMap) -> Option<(String, String)> {
    let bytes = BASE64_STANDARD.decode(authorization(headers, "basic")?).unwrap_or_default();
    let pair = String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    // Credentials that cannot be read are wrong, not missing.
    let (name, password) = pair.split_once(':').unwrap_or_default();
    Some((name.to_owned(), password.to_owned()))
}

/// The values of the cookies of this name, that of the nearest folder first (RFC 6265, section 5.4). Cookies of other programs on
/// the same host may hold any bytes.
pub(super) fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let named = pairs.filter_map(|pair| str::from_utf8(pair).ok()?.trim().split_once('=')).filter(move |(named, _)| *named == name);
    named.map(|(_, value)| value).take(COOKIES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_utf_8_or_latin_1() {
        // `me:é` in UTF-8, in Latin-1, and what is neither.
        for (shown, expected) in [("bWU6w6k=", ("me", "é")), ("bWU66Q==", ("me", "é")), ("!!", ("", ""))] {
            let headers = [(AUTHORIZATION, format!("Basic {shown}").parse().unwrap())].into_iter().collect();
            let pair = pair(&headers).unwrap();
            assert_eq!((pair.0.as_str(), pair.1.as_str()), expected, "{shown}");
        }
    }

    #[test]
    fn a_token_is_found_in_a_form_and_in_a_url_that_was_pasted() {
        for (form, token) in [
            ("token=T0ken", Some("T0ken")),
            ("x=1&token=+T0ken+", Some("T0ken")),
            ("token=http%3A%2F%2Fcam%3A8080%2F%3Ftoken%3DT0ken", Some("T0ken")),
            ("token=", Some("")),
            ("Token=T0ken", None),
        ] {
            assert_eq!(token_in_form(form.as_bytes()).as_deref(), token, "{form}");
        }
    }
}
