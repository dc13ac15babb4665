//! Logging a browser in: the form that a navigation without the right token gets, the token that comes from it, and the URL that
//! `--open` opens once. Each ends with a redirect that sets the cookie. It words pages; `auth` judges.

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderMap},
};
use ring::digest::{SHA256, digest};
use tracing::warn;

use super::{
    headers,
    options::Options,
    request::{self, Rejection, Visitor},
    response::{self, Reply},
    route::{self, Route},
};
use crate::{
    auth::{Denial, Guesser, HasLeft},
    conn::local::SocketPair,
};

/// No form is larger: a token has at most 512 letters, and may come in a URL.
const FORM_BYTES: usize = 4096;
/// The time that a browser has to send it.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);

const STYLE: &str = include_str!("page/login.css");
const HTML: &str = include_str!("page/login.html");

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'self'")
});

/// Whether a request is the form, filled in.
pub(super) fn is_form<B>(request: &Request<B>, options: &Options) -> bool {
    let kind = headers::text(request.headers(), CONTENT_TYPE).split(';').next().unwrap_or_default();
    request.method() == Method::POST
        && options.access.token().is_some()
        && kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Answers the form: with the cookie for the right token, with the form again for a wrong one.
pub(super) async fn answer_form(
    form: &Request<()>,
    body: Incoming,
    visitor: &mut Visitor,
    has_left: HasLeft<'_>,
    options: &Options,
) -> Result<Reply, Rejection> {
    // From here on it is a request for the page that showed the form.
    let mut request = form.clone();
    *request.method_mut() = Method::GET;
    request::check(&request, &options.hosts, visitor)?;
    if route::route(&request, &options.prefix) == Route::NotFound {
        return Err(Rejection::Method);
    }
    let guesser = Guesser { address: visitor.address(), has_left, site: options.site(visitor) };
    let form = tokio::time::timeout(FORM_TIMEOUT, Limited::new(body, FORM_BYTES).collect()).await;
    let Ok(Ok(form)) = form else { return Err(Rejection::Malformed("the form is too long, or did not come in time")) };
    match options.access.check_form(&form.to_bytes(), guesser).await {
        Ok(()) => Ok(logged_in(&request, visitor, options)),
        Err(denial) => Err(denied(denial, visitor, options)),
    }
}

/// Answers the URL of `--open`, for a browser of the user who started the program; nothing for any other request.
pub(super) fn answer_once<B>(
    request: &Request<B>,
    visitor: &mut Visitor,
    ends: Option<SocketPair>,
    options: &Options,
) -> Option<Reply> {
    let mut may_use = || {
        request.method() == Method::GET
            && ends.is_some_and(SocketPair::are_of_own_user)
            && request::check(request, &options.hosts, visitor).is_ok()
    };
    let is_taken = options.access.take_once(request.uri(), &mut may_use);
    is_taken.then(|| logged_in(request, visitor, options))
}

/// A redirect to the same URL without secrets, with the cookie.
fn logged_in<B>(request: &Request<B>, visitor: &Visitor, options: &Options) -> Reply {
    match options.access.log_in(request.uri(), options.site(visitor)) {
        Some((cookie, query)) => response::see_other(&without_token(request.uri(), &query), &cookie),
        None => response::text(StatusCode::NOT_FOUND, "mxr: there is no token"),
    }
}

/// The denial of a secret, which is logged unless its source is over the rate limit: there may be thousands, which must not fill a
/// disk.
pub(super) fn denied(denial: Denial, visitor: &Visitor, options: &Options) -> Rejection {
    if denial == Denial::Wrong {
        warn!(source = visitor.address().map(display), "a wrong password or token");
    }
    Rejection::Denied { denial, wants_password: options.access.has_passwords() }
}

/// The form in place of the text of a denial, where a person can fill it in.
pub(super) fn offer_form(reply: Reply, rejection: &Rejection, headers: &HeaderMap, options: &Options) -> Reply {
    let Rejection::Denied { denial, .. } = rejection else { return reply };
    if options.access.token().is_none() || !headers::is_navigation(headers) {
        return reply;
    }
    let said = match denial {
        Denial::Nothing | Denial::PeerLeft => "",
        Denial::Wrong => "<p role=alert>That is not the token.",
        Denial::TooMany(_) => "<p role=alert>That is not the token, and too many wrong ones came from your address.",
    };
    // A frame on another site gets no cookie: there the URL keeps the token.
    let method = if headers::may_be_framed(headers, !options.sites.embedders.is_empty()) { "get" } else { "post" };
    let html = HTML.replace("{{css}}", STYLE).replace("{{said}}", said).replace("{{method}}", method);
    response::with_page(reply, html, &POLICY)
}

/// The page's URL without the token. Relative, like every redirect: a proxy may serve mxr under a path of its own.
pub(super) fn without_token(uri: &Uri, query: &str) -> String {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let name = if name.is_empty() { "./" } else { name };
    if query.is_empty() { name.to_owned() } else { format!("{name}?{query}") }
}
