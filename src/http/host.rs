//! The names under which the server answers. A page whose name resolves to our address (DNS rebinding) is recognized by
//! the host that its browser asks for.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
};

use hyper::{Request, Version, header::HOST, http::uri::Authority};
use tracing::warn;

use crate::sync::Mutex;

/// Foreign names that are warned of: any client can send as many as it likes.
const WARNED_NAMES: usize = 16;
/// The longest name that the domain name system has (RFC 1035, section 2.3.4).
const NAME_LENGTH: usize = 253;

/// The names under which the server may be asked for, beside `localhost` and plain addresses.
#[derive(Debug, Default)]
pub struct Hosts {
    names: Vec<String>,
    /// This machine's name, without a domain.
    own: Option<String>,
    any: bool,
    /// Foreign names that have been warned of.
    warned: Mutex<Vec<String>>,
}

impl Hosts {
    /// These names, and this machine's own; `*` stands for any.
    pub fn new(allowed: &[String]) -> Self {
        let own = hostname::get().ok().and_then(|name| name.into_string().ok()).map(|name| name.to_ascii_lowercase());
        let own = own.filter(|name| !name.is_empty());
        let short = own.as_ref().and_then(|name| name.split('.').next()).filter(|name| !name.is_empty()).map(str::to_owned);
        let names = allowed.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).chain(own).collect();
        Self { names, own: short, any: allowed.iter().any(|name| name == "*"), warned: Mutex::default() }
    }

    /// Whether this is the machine's own name in the network's domain: `pi.local`, or `pi.lan` where the resolver's search list has
    /// `lan`. The list is read each time, since a machine may start before its network.
    fn is_own(&self, host: &str) -> bool {
        self.is_own_in(host, || fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
    }

    fn is_own_in(&self, host: &str, resolv_conf: impl Fn() -> String) -> bool {
        let own = self.own.as_deref().and_then(|own| host.strip_prefix(own)).and_then(|rest| rest.strip_prefix('.'));
        own.is_some_and(|domain| domain == "local" || search_list(&resolv_conf()).any(|listed| listed.eq_ignore_ascii_case(domain)))
    }

    /// Warns once of a foreign name, with the flag that lets it pass.
    pub(super) fn warn_of(&self, name: &str) {
        let name: String = name.trim_end_matches('.').to_ascii_lowercase().chars().take(NAME_LENGTH).collect();
        let mut warned = self.warned.lock();
        if warned.len() > WARNED_NAMES || warned.contains(&name) {
            return;
        }
        if warned.len() == WARNED_NAMES {
            warn!("requests for still more foreign names are refused, and not logged any more");
        } else {
            let hint = format!("--allow-host {name} lets it pass");
            warn!(host = name, hint, "refused: this server is not known under the name that was asked for");
        }
        warned.push(name);
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
            || self.is_own(&host)
    }
}

/// The domains of `search` and `domain` in resolv.conf(5), without the root.
fn search_list(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::split_ascii_whitespace);
    let domains = lines.filter_map(|mut words| matches!(words.next(), Some("search" | "domain")).then_some(words)).flatten();
    domains.map(|domain| domain.trim_end_matches('.')).filter(|domain| !domain.is_empty())
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
    fn the_search_list_of_the_resolver_is_read() {
        let text = "# search evil.example\nnameserver 1.1.1.1\ndomain fritz.box\n  search lan. home.arpa .\nsearching x\n";
        assert_eq!(search_list(text).collect::<Vec<_>>(), ["fritz.box", "lan", "home.arpa"]);
    }

    #[test]
    fn the_machine_s_own_name_passes_in_the_network_s_domain_and_in_no_other() {
        let hosts = Hosts { own: Some("pi".to_owned()), ..Hosts::default() };
        let is_own = |host| hosts.is_own_in(host, || "search Fritz.Box lan\n".to_owned());
        assert!(["pi.local", "pi.fritz.box", "pi.lan"].into_iter().all(is_own));
        assert!(!["pi.home", "pi", "pi.", "other.lan", "xpi.lan", "pi.lan.evil.example", "pi2.lan"].into_iter().any(is_own));
    }

    #[test]
    fn foreign_names_are_warned_of_once_and_not_without_end() {
        let hosts = Hosts::default();
        (0..1000).for_each(|number| hosts.warn_of(&format!("{}.example", number % 500)));
        hosts.warn_of(&"x".repeat(9000));
        assert_eq!(hosts.warned.lock().len(), WARNED_NAMES + 1);
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
