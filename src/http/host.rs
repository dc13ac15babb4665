//! The names under which the server answers. A page whose name resolves to our address (DNS rebinding) is recognized by
//! the host that its browser asks for.

use std::net::{IpAddr, Ipv6Addr};

use hyper::{Request, Version, header::HOST, http::uri::Authority};

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

    pub(super) fn allow(&self, authority: &Authority) -> bool {
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        // An address cannot be rebound: only names resolve.
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        // Nor can a name without a dot be an attacker's: mjpg-streamer's proxies and containers call each other so.
        self.any
            || is_address
            || !host.contains('.')
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.names.contains(&host)
    }
}

/// The host that is asked for (RFC 9112, section 3.2): of the target where it has one, otherwise of `Host`.
///
/// # Errors
/// Why the request is malformed.
pub(super) fn asked_for<B>(request: &Request<B>) -> Result<Option<Authority>, &'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => return Err("Host is missing"),
        (None, _) => None,
        (Some(_), Some(_)) => return Err("there is more than one Host"),
        (Some(host), None) => Some(Authority::try_from(host.as_bytes()).map_err(|_| "Host is not a host")?),
    };
    match request.uri().authority().cloned().or(host) {
        Some(authority) if !is_sound(&authority) => Err("Host is not a host"),
        authority => Ok(authority),
    }
}

/// Whether there is a host without a user, brackets hold an address, and what follows the host is a port or nothing.
fn is_sound(authority: &Authority) -> bool {
    let host = authority.host();
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let has_brackets_right = inside.map_or(!host.contains(['[', ']']), |inside| inside.parse::<Ipv6Addr>().is_ok());
    let port = authority.as_str().strip_prefix(host).unwrap_or_default();
    let is_host = !authority.as_str().contains('@') && !host.is_empty();
    is_host && has_brackets_right && (matches!(port, "" | ":") || authority.port_u16().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(host: &str) -> Result<Authority, &'static str> {
        let request = Request::get("/stream").header(HOST, host).body(()).unwrap();
        asked_for(&request).map(Option::unwrap)
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
            assert!(hosts.allow(&authority(ours).unwrap()), "{ours}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(!hosts.allow(&authority(foreign).unwrap()), "{foreign}");
        }
        assert!(Hosts::new(&["*".to_owned()]).allow(&authority("any.thing").unwrap()));
    }

    #[test]
    fn a_host_that_is_none_is_malformed() {
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
            assert!(authority(bad).is_err(), "{bad}");
        }
    }
}
