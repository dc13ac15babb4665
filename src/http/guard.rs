//! Who is let in: well-formed requests, for a host that is ours. It decides; `reply` words the refusal.

use hyper::{
    Method, Request, Uri, Version,
    header::{CONTENT_LENGTH, HOST, HeaderMap, ORIGIN, REFERER, TRANSFER_ENCODING},
    http::uri::Authority,
};

/// Why a request is not answered as asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400: it is not a request that RFC 9112 allows.
    Malformed(&'static str),
    /// 403: a name that is not ours in Host, as with DNS rebinding.
    ForeignHost(String),
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

/// Lets a request pass or says why not. Nothing has been answered yet.
pub(super) fn check<B>(request: &Request<B>, hosts: &Hosts) -> Result<(), Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Refusal::Method);
    }
    if is_body_in_doubt(request.headers()) {
        return Err(Refusal::Malformed("where its body ends is in doubt"));
    }
    if request.uri().path() == "*" || request.uri().path().is_empty() {
        return Err(Refusal::Malformed("the target is not a path"));
    }
    let Some(authority) = authority(request.uri(), request.headers(), request.version())? else { return Ok(()) };
    match hosts.allow(&authority) {
        true => Ok(()),
        false => Err(Refusal::ForeignHost(authority.host().to_owned())),
    }
}

/// The host that is asked for (RFC 9112, section 3.2): of the target where it has one, otherwise of `Host`.
fn authority(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<Option<Authority>, Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => return Err(Refusal::Malformed("Host is missing")),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(Refusal::Malformed("there is more than one Host")),
        (Some(host), None) => Some(Authority::try_from(host.as_bytes()).map_err(|_| Refusal::Malformed("Host is not a host"))?),
    };
    let authority = uri.authority().cloned().or(host);
    match authority {
        Some(authority) if authority.as_str().contains('@') || authority.host().is_empty() || !is_sound(&authority) => {
            Err(Refusal::Malformed("Host is not a host"))
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

/// Whether a request was caused by another site: what the browser says of it, where it does; otherwise where it came from.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_foreign = |value: &hyper::header::HeaderValue| {
        let from = value.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        from.as_ref().and_then(Uri::authority).is_none_or(|from| !from.as_str().eq_ignore_ascii_case(host))
    };
    headers.get(ORIGIN).is_some_and(is_foreign) || headers.get(REFERER).is_some_and(is_foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: &str) -> Request<()> {
        Request::get("/stream").header(HOST, host).body(()).unwrap()
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
            assert_eq!(check(&request(ours), &hosts), Ok(()), "{ours}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(matches!(check(&request(foreign), &hosts), Err(Refusal::ForeignHost(_))), "{foreign}");
        }
        assert_eq!(check(&request("any.thing"), &Hosts::new(&["*".to_owned()])), Ok(()));
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
            assert!(matches!(check(&request(bad), &hosts), Err(Refusal::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn what_another_site_caused_is_told_apart() {
        let headers = |pairs: &[(&'static str, &str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
        };
        assert!(!is_cross_site(&headers(&[("host", "localhost:1")])));
        assert!(!is_cross_site(&headers(&[("host", "localhost:1"), ("sec-fetch-site", "same-origin")])));
        assert!(is_cross_site(&headers(&[("host", "localhost:1"), ("sec-fetch-site", "cross-site")])));
        assert!(is_cross_site(&headers(&[("host", "localhost:1"), ("sec-fetch-site", "same-site")])));
        assert!(is_cross_site(&headers(&[("host", "localhost:1"), ("origin", "http://evil.example")])));
        assert!(is_cross_site(&headers(&[("host", "localhost:1"), ("origin", "null")])));
        assert!(!is_cross_site(&headers(&[("host", "localhost:1"), ("referer", "http://localhost:1/view")])));
    }
}
