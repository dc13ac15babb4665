//! Which requests are answered: well-formed ones, for a host that is ours. It also reads who asks, behind a proxy too. It decides;
//! `response` words the refusal. `auth` checks secrets, `origin` other sites.

use std::net::{IpAddr, SocketAddr};

use hyper::{
    Method, Request,
    header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, HeaderMap, ORIGIN, TRANSFER_ENCODING},
    http::uri::{Authority, Scheme},
};

use super::host::{self, Hosts};
use crate::auth::Denial;

/// Why a request is not answered as asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// 400: it is not a request that RFC 9112 allows.
    Malformed(&'static str),
    /// 403: a name that is not ours in Host, as with DNS rebinding.
    ForeignHost(String),
    /// 403: a page of another site wants more than a picture.
    ForeignSite,
    /// 401, 403 or 429: no password or token, or a wrong one.
    Denied { denial: Denial, wants_password: bool },
    /// 508: it has passed this process already.
    Loop,
    /// 405: a method that this path does not have.
    Method,
    /// 421: for an https resource, without TLS.
    Insecure,
}

/// The client behind a request: the peer, or the one that a trusted proxy names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Visitor {
    /// Where it connects from; `None` over a Unix socket. The port is 0 if a proxy gave the address alone.
    pub(super) source: Option<SocketAddr>,
    /// Whether it uses https, here or at the proxy.
    pub(super) is_secure: bool,
    /// The host that it asks for.
    pub(super) authority: Option<Authority>,
}

impl Visitor {
    /// Reads `X-Forwarded-*` only where the proxy is trusted: any client can send such headers.
    pub(super) fn new(peer: Option<SocketAddr>, is_tls: bool, headers: &HeaderMap, trust_proxy: bool) -> Self {
        if !trust_proxy {
            return Self { source: peer, is_secure: is_tls, ..Self::default() };
        }
        Self {
            source: forwarded(headers, "x-forwarded-for").and_then(address).or(peer),
            is_secure: forwarded(headers, "x-forwarded-proto").map_or(is_tls, |scheme| scheme.eq_ignore_ascii_case("https")),
            authority: forwarded(headers, "x-forwarded-host").and_then(|host| host.parse().ok()),
        }
    }

    /// The address that it connects from.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.source.map(|source| source.ip())
    }

    /// Whether it is on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.address().is_none_or(|address| address.to_canonical().is_loopback())
    }

    /// The name that it asks for, if it can be put into a policy.
    pub(super) fn host(&self) -> Option<&str> {
        let host = self.authority.as_ref()?.host();
        host.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-.".contains(&letter)).then_some(host)
    }
}

/// The value that the nearest proxy added, the last one: any client can have sent those before it.
fn forwarded<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// An address, with or without a port.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, 0)))
}

/// Checks that a request is one to read, well-formed and for a host that is ours, and notes that host in the visitor.
pub(super) fn check<B>(request: &Request<B>, hosts: &Hosts, visitor: &mut Visitor) -> Result<(), Rejection> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) && !is_preflight(request) {
        return Err(Rejection::Method);
    }
    check_target(request, hosts, visitor)
}

/// The same for a request of any method.
pub(super) fn check_target<B>(request: &Request<B>, hosts: &Hosts, visitor: &mut Visitor) -> Result<(), Rejection> {
    if is_body_in_doubt(request.headers()) {
        return Err(Rejection::Malformed("where its body ends is in doubt"));
    }
    if request.uri().path() == "*" || request.uri().path().is_empty() {
        return Err(Rejection::Malformed("the target is not a path"));
    }
    // The target of a proxy's request has a scheme (RFC 9110, sections 4.2.2 and 7.4).
    match request.uri().scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS && !visitor.is_secure => return Err(Rejection::Insecure),
        Some(scheme) if ![Scheme::HTTP, Scheme::HTTPS].contains(scheme) => {
            return Err(Rejection::Malformed("the target is not of http"));
        }
        _ => {}
    }
    let asked = host::asked_for(request).map_err(Rejection::Malformed)?;
    visitor.authority = visitor.authority.take().or(asked);
    match &visitor.authority {
        Some(authority) if !hosts.allow(authority) => Err(Rejection::ForeignHost(authority.host().to_owned())),
        _ => Ok(()),
    }
}

/// Whether a browser asks what another site's script may ask for (Fetch Standard, section 3.3.2).
fn is_preflight<B>(request: &Request<B>) -> bool {
    let has = |name| request.headers().contains_key(name);
    request.method() == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether a proxy may see another length of the body (RFC 9112, section 6.1), as request smuggling needs.
fn is_body_in_doubt(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return false };
    codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
}

/// Whether the request has a body, which is not read.
pub(super) fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn forwarded_headers_count_only_from_a_trusted_proxy() {
        let peer = Some("127.0.0.1:5".parse().unwrap());
        let forwarded = headers(&[
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "cam.example"),
        ]);
        let doubted = Visitor::new(peer, false, &forwarded, false);
        assert_eq!(doubted, Visitor { source: peer, ..Visitor::default() });
        let trusted = Visitor::new(peer, false, &forwarded, true);
        assert_eq!(trusted.source, Some("192.0.2.7:0".parse().unwrap()));
        assert_eq!((trusted.is_secure, trusted.host()), (true, Some("cam.example")));
        for (text, source) in [("[2001:db8::1]:443", "2001:db8::1"), ("2001:db8::1", "2001:db8::1"), ("192.0.2.7:80", "192.0.2.7")]
        {
            let visitor = Visitor::new(peer, false, &headers(&[("x-forwarded-for", text)]), true);
            assert_eq!(visitor.address(), Some(source.parse().unwrap()), "{text}");
        }
        assert_eq!(Visitor::new(peer, false, &headers(&[("x-forwarded-for", "unknown")]), true).source, peer);
    }
}
