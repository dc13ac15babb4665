//! What is let in: well-formed requests, for a host that is ours, from a site that may. It decides; `response` words the
//! refusal. Who may look is for `access` to say.

use std::net::{IpAddr, SocketAddr};

use hyper::{
    Method, Request, Uri, Version,
    header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER, TRANSFER_ENCODING, USER_AGENT},
    http::uri::Authority,
};

use super::route::SEC_FETCH_DEST;
use crate::auth::Denial;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not answered as asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// 400: it is not a request that RFC 9112 allows.
    Malformed(&'static str),
    /// 403: a name that is not ours in Host, as with DNS rebinding.
    ForeignHost(String),
    /// 403: a page of another site wants more than a picture.
    ForeignSite,
    /// 401, 403 or 429: no password and no token, or a wrong one.
    Denied { denial: Denial, wants_password: bool },
    /// 405: neither GET nor HEAD.
    Method,
}

/// The names under which the server may be asked for, beside `localhost` and plain addresses.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    names: Vec<String>,
    any: bool,
}

impl Hosts {
    /// These names, and this machine's own; `*` stands for any.
    pub fn new(allowed: &[String]) -> Self {
        let own = hostname::get().ok().and_then(|name| name.into_string().ok()).map(|name| name.to_ascii_lowercase());
        let own = own.into_iter().filter(|name| !name.is_empty()).flat_map(|name| [format!("{name}.local"), name]);
        let names = allowed.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).chain(own).collect();
        Self { names, any: allowed.iter().any(|name| name == "*") }
    }

    fn allow(&self, authority: &Authority) -> bool {
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        // An address cannot be rebound: only names resolve.
        let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        // Nor can a name without a dot be an attacker's: mjpg-streamer's proxies and containers call each other so.
        self.any
            || is_address
            || !host.contains('.')
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.names.contains(&host)
    }
}

/// Who asks, as far as it is believed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Visitor {
    /// Where it connects from; nothing over a Unix socket. The port is 0 where a proxy told of the address alone.
    pub(super) source: Option<SocketAddr>,
    /// Whether it came over https, here or at the proxy.
    pub(super) is_secure: bool,
    /// The host that it asks for.
    authority: Option<Authority>,
}

impl Visitor {
    /// Who is behind a connection. A proxy's word counts only where it is trusted: anybody can write such headers.
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

    /// The name that it asks for, where that is one to put into a policy.
    pub(super) fn host(&self) -> Option<&str> {
        let host = self.authority.as_ref()?.host();
        host.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-.".contains(&letter)).then_some(host)
    }
}

/// The last word of the nearest proxy: what stands before it anybody can have written.
fn forwarded<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// An address, with or without a port.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, 0)))
}

/// Lets a request pass or says why not. Nothing has been answered yet.
pub(super) fn check<B>(request: &Request<B>, hosts: &Hosts, visitor: &mut Visitor) -> Result<(), Rejection> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Rejection::Method);
    }
    if is_body_in_doubt(request.headers()) {
        return Err(Rejection::Malformed("where its body ends is in doubt"));
    }
    if request.uri().path() == "*" || request.uri().path().is_empty() {
        return Err(Rejection::Malformed("the target is not a path"));
    }
    let asked = authority(request.uri(), request.headers(), request.version())?;
    visitor.authority = visitor.authority.take().or(asked);
    match &visitor.authority {
        Some(authority) if !hosts.allow(authority) => Err(Rejection::ForeignHost(authority.host().to_owned())),
        _ => Ok(()),
    }
}

/// The host that is asked for (RFC 9112, section 3.2): of the target where it has one, otherwise of `Host`.
fn authority(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<Option<Authority>, Rejection> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => return Err(Rejection::Malformed("Host is missing")),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(Rejection::Malformed("there is more than one Host")),
        (Some(host), None) => Some(Authority::try_from(host.as_bytes()).map_err(|_| Rejection::Malformed("Host is not a host"))?),
    };
    let authority = uri.authority().cloned().or(host);
    match authority {
        Some(authority) if authority.as_str().contains('@') || authority.host().is_empty() || !is_sound(&authority) => {
            Err(Rejection::Malformed("Host is not a host"))
        }
        authority => Ok(authority),
    }
}

/// Brackets hold an address, and what stands behind the host is a port or nothing.
fn is_sound(authority: &Authority) -> bool {
    let host = authority.host();
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let has_brackets_right = inside.map_or(!host.contains(['[', ']']), |inside| inside.parse::<std::net::Ipv6Addr>().is_ok());
    let port = authority.as_str().strip_prefix(host).unwrap_or_default();
    has_brackets_right && (matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// Whether a proxy in front may have read the body's length otherwise (RFC 9112, section 6.1): the start of smuggling.
fn is_body_in_doubt(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return false };
    codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
}

/// Whether a body comes with the request. It is not read.
pub(super) fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

/// Whether another site may have caused a request: what the browser says of it, where it does; otherwise where it came from.
/// A browser that says neither (to plain http beyond localhost, of a page that forbids the Referer) may be under another
/// site's orders; a program is not.
pub(super) fn is_cross_site(headers: &HeaderMap, visitor: &Visitor) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let host = visitor.authority.as_ref().map(Authority::as_str).unwrap_or_default();
    let is_foreign = |value: &HeaderValue| {
        let from = value.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        from.as_ref().and_then(Uri::authority).is_none_or(|from| !from.as_str().eq_ignore_ascii_case(host))
    };
    let mut origins = [ORIGIN, REFERER].into_iter().filter_map(|name| headers.get(name)).peekable();
    match origins.peek() {
        Some(_) => origins.any(is_foreign),
        None => headers.contains_key(SEC_FETCH_DEST) || is_browser(headers),
    }
}

/// Whether a browser asks: all of them have called themselves Mozilla since 1995.
pub(super) fn is_browser(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"))
}

/// What pages of other sites may do.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    /// Origins whose scripts may read; `*` for all.
    pub origins: Vec<String>,
    /// Origins that may put the viewer page and feeds into frames; `*` for all.
    pub embedders: Vec<String>,
}

impl Sites {
    /// Pictures may be shown by any site, and links may lead here; all else has to come from this site, or from one that is
    /// allowed. Browsers say `Sec-Fetch-*` to localhost and over https; elsewhere the headers of `reply` are what they obey.
    pub(super) fn check(&self, headers: &HeaderMap, is_picture: bool) -> Result<(), Rejection> {
        let said = |name| headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let is_allowed = said(SEC_FETCH_SITE) != b"cross-site"
            || match said(SEC_FETCH_DEST) {
                b"image" => is_picture,
                b"document" => true,
                b"iframe" | b"frame" | b"object" | b"embed" => !self.embedders.is_empty(),
                b"empty" => self.allowed_origin(headers).is_some(),
                _ => false,
            };
        if is_allowed { Ok(()) } else { Err(Rejection::ForeignSite) }
    }

    /// What `Access-Control-Allow-Origin` is to say.
    pub(super) fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.iter().any(|origin| origin == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let asked = headers.get(ORIGIN)?;
        self.origins.iter().any(|origin| origin.as_bytes() == asked.as_bytes()).then(|| asked.clone())
    }

    /// The policy that says whose frames this may stand in: this host's, on whatever port, and those allowed.
    pub(super) fn frame_policy(&self, visitor: &Visitor) -> String {
        let own = visitor.host().map(|host| format!(" http://{host}:* https://{host}:*")).unwrap_or_default();
        let others: String = self.embedders.iter().flat_map(|origin| [" ", origin]).collect();
        format!("frame-ancestors 'self'{own}{others}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, hosts: &Hosts) -> Result<(), Rejection> {
        let request = Request::get("/stream").header(HOST, host).body(()).unwrap();
        super::check(&request, hosts, &mut Visitor::default())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_our_own_names_are_served() {
        let hosts = Hosts::new(&["cam.example".to_owned()]);
        for ours in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:1",
            "[::1]:80",
            "10.0.0.7",
            "a.localhost",
            "CAM.example.:8080",
            "mjpgstreamer1",
        ] {
            assert_eq!(check(ours, &hosts), Ok(()), "{ours}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(matches!(check(foreign, &hosts), Err(Rejection::ForeignHost(_))), "{foreign}");
        }
        assert_eq!(check("any.thing", &Hosts::new(&["*".to_owned()])), Ok(()));
    }

    #[test]
    fn a_host_that_is_none_is_malformed() {
        let hosts = Hosts::default();
        for bad in [
            "a/b",
            "user@localhost",
            "local host",
            ":80",
            "localhost:http",
            "localhost:65536",
            "[::1]:-1",
            "127.0.0.1[:]:0",
            "[localhost]",
        ] {
            assert!(matches!(check(bad, &hosts), Err(Rejection::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn what_another_site_caused_is_told_apart() {
        let is_cross_site = |pairs: &[(&'static str, &str)]| {
            let visitor = Visitor { authority: Some("localhost:1".parse().unwrap()), ..Visitor::default() };
            is_cross_site(&headers(pairs), &visitor)
        };
        assert!(!is_cross_site(&[]));
        assert!(!is_cross_site(&[("sec-fetch-site", "same-origin")]));
        assert!(is_cross_site(&[("sec-fetch-site", "cross-site")]));
        assert!(is_cross_site(&[("sec-fetch-site", "same-site")]));
        assert!(is_cross_site(&[("origin", "http://evil.example")]));
        assert!(is_cross_site(&[("origin", "null")]));
        assert!(!is_cross_site(&[("referer", "http://localhost:1/view")]));
    }

    #[test]
    fn another_site_may_show_pictures_and_link_here() {
        let check = |sites: &Sites, dest: &str, is_picture| {
            let headers = headers(&[("sec-fetch-site", "cross-site"), ("sec-fetch-dest", dest), ("origin", "http://a.example")]);
            sites.check(&headers, is_picture).is_ok()
        };
        let strict = Sites::default();
        assert!(check(&strict, "image", true) && check(&strict, "document", true));
        assert!(!check(&strict, "image", false));
        for dest in ["empty", "iframe", "object", "embed", "script", "style", "video", "", "new-thing"] {
            assert!(!check(&strict, dest, true), "{dest}");
        }
        let list = |origin: &str| vec![origin.to_owned()];
        let reads = Sites { origins: list("http://a.example"), ..Sites::default() };
        assert!(check(&reads, "empty", true) && !check(&reads, "iframe", true));
        assert!(!check(&Sites { origins: list("http://b.example"), ..Sites::default() }, "empty", true));
        let frames = Sites { embedders: list("*"), ..Sites::default() };
        assert!(check(&frames, "iframe", false) && !check(&frames, "empty", true));
        for site in ["same-origin", "same-site", "none"] {
            let headers = headers(&[("sec-fetch-site", site), ("sec-fetch-dest", "empty")]);
            assert_eq!(strict.check(&headers, false), Ok(()), "{site}");
        }
    }

    #[test]
    fn a_proxy_is_believed_only_where_it_is_trusted() {
        let peer = Some("127.0.0.1:5".parse().unwrap());
        let said = headers(&[
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "cam.example"),
        ]);
        let doubted = Visitor::new(peer, false, &said, false);
        assert_eq!(doubted, Visitor { source: peer, ..Visitor::default() });
        let trusted = Visitor::new(peer, false, &said, true);
        assert_eq!(trusted.source, Some("192.0.2.7:0".parse().unwrap()));
        assert_eq!((trusted.is_secure, trusted.host()), (true, Some("cam.example")));
        for (text, source) in [("[2001:db8::1]:443", "2001:db8::1"), ("2001:db8::1", "2001:db8::1"), ("192.0.2.7:80", "192.0.2.7")]
        {
            let visitor = Visitor::new(peer, false, &headers(&[("x-forwarded-for", text)]), true);
            assert_eq!(visitor.address(), Some(source.parse().unwrap()), "{text}");
        }
        assert_eq!(Visitor::new(peer, false, &headers(&[("x-forwarded-for", "unknown")]), true).source, peer);
    }

    #[test]
    fn a_frame_policy_holds_nothing_that_a_host_header_brought() {
        let policy = |host: &str| {
            let visitor = Visitor { authority: Some(host.parse().unwrap()), ..Visitor::default() };
            Sites { embedders: vec!["https://a.example".to_owned()], ..Sites::default() }.frame_policy(&visitor)
        };
        assert_eq!(policy("cam:80"), "frame-ancestors 'self' http://cam:* https://cam:* https://a.example");
        for host in ["a;script-src", "[::1]:80", "a,b", "a'b"] {
            assert_eq!(policy(host), "frame-ancestors 'self' https://a.example", "{host}");
        }
    }
}
