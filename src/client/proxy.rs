//! Proxies between this machine and a server: which of them the environment names for it (as curl reads `https_proxy`, `http_proxy` and
//! `no_proxy`), and the tunnel through one. It sends no request of the client's.

use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD, Engine};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    failure::ClientError,
    target::{Origin, Target, TargetError},
};

/// The head of a proxy's answer in bytes, at most.
const MOST_HEAD: usize = 16 * 1024;

/// The proxies on the way to servers.
#[derive(Debug, Clone, Default)]
pub struct ProxyRules {
    https: Option<Target>,
    http: Option<Target>,
    /// Hosts that are reached without one.
    without: Vec<String>,
}

impl ProxyRules {
    /// Those that the environment names. `HTTP_PROXY` in capitals is not read: a CGI program gets it from a request.
    ///
    /// # Errors
    /// The variable whose value is no proxy that can be used, and why.
    pub fn of_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self, (&'static str, TargetError)> {
        let proxy = |names: &[&'static str]| {
            let found = names.iter().find_map(|name| Some((*name, get(name).filter(|value| !value.trim().is_empty())?)));
            found.map(|(name, value)| read(&value).map_err(|why| (name, why))).transpose()
        };
        let without = ["no_proxy", "NO_PROXY"].into_iter().find_map(&get).unwrap_or_default();
        let without = without.split([',', ' ']).map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty());
        Ok(Self { https: proxy(&["https_proxy", "HTTPS_PROXY"])?, http: proxy(&["http_proxy"])?, without: without.collect() })
    }

    /// The proxy on the way to this server. This machine itself is reached without one.
    pub(super) fn way_to(&self, origin: &Origin) -> Option<&Target> {
        let proxy = if origin.is_tls { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !is_here(&origin.host) && !self.without.iter().any(|host| is_named(host, origin)))
    }
}

/// A proxy, whose scheme may be missing.
fn read(value: &str) -> Result<Target, TargetError> {
    let value = value.trim();
    let target: Target = if value.contains("://") { value.parse()? } else { format!("http://{value}").parse()? };
    if target.is_tls() { Err(TargetError::Scheme("https".to_owned())) } else { Ok(target) }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether a word of `no_proxy` means this server: all, a domain with what is below it, or an address, each with a port or without.
fn is_named(word: &str, origin: &Origin) -> bool {
    let host = origin.host.as_str();
    let (name, port) = match word.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (word, None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).unwrap_or(name);
    let is_below = || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    name == "*" || port.is_none_or(|port| port == origin.port.to_string()) && (host == name || is_below())
}

/// `Proxy-Authorization` for a proxy whose URL has user and password.
pub(super) fn authorization(proxy: &Target) -> Option<String> {
    let credentials = proxy.credentials()?;
    Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", credentials.user(), credentials.password()))))
}

/// Asks a proxy for a connection to this server.
pub(super) async fn tunnel<T: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut T,
    origin: &Origin,
    proxy: &Target,
) -> Result<(), ClientError> {
    let failed = |cause: String| ClientError::Proxy { proxy: proxy.origin().to_string(), cause };
    let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
    let place = format!("{host}:{}", origin.port);
    let secret = authorization(proxy).map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default();
    let request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{secret}\r\n");
    socket.write_all(request.as_bytes()).await.map_err(|error| failed(format!("takes no request: {error}")))?;
    let mut head = Vec::new();
    while !has_end(&head) {
        let read = socket.read_buf(&mut head).await.map_err(|error| failed(format!("does not answer: {error}")))?;
        if read == 0 || head.len() > MOST_HEAD {
            return Err(failed("does not answer as a proxy".to_owned()));
        }
    }
    let text = String::from_utf8_lossy(&head);
    let status = text.lines().next().and_then(|line| line.split_once(' ')).map_or("", |(_, status)| status);
    match status.starts_with('2') {
        // The server behind it waits for TLS to begin here, so nothing follows the head.
        true if head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") => Ok(()),
        true => Err(failed("sends more than the head of its answer".to_owned())),
        false => Err(failed(format!("answers {status}"))),
    }
}

/// Whether the empty line behind a head is there. An error has a body behind it.
fn has_end(head: &[u8]) -> bool {
    head.windows(2).any(|end| end == b"\n\n") || head.windows(3).any(|end| end == b"\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(variables: &[(&str, &str)]) -> ProxyRules {
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        ProxyRules::of_environment(get).unwrap()
    }

    fn way(rules: &ProxyRules, url: &str) -> Option<String> {
        let target: Target = url.parse().unwrap();
        rules.way_to(target.origin()).map(|proxy| proxy.origin().to_string())
    }

    #[test]
    fn the_environment_says_which_proxy_leads_to_a_server() {
        let rules = rules(&[("HTTPS_PROXY", "proxy:3128"), ("http_proxy", "http://plain:8000"), ("HTTP_PROXY", "http://cgi")]);
        assert_eq!(way(&rules, "https://hub.example/").as_deref(), Some("http://proxy:3128"));
        assert_eq!(way(&rules, "http://hub.example/").as_deref(), Some("http://plain:8000"));
        for here in ["https://localhost/", "https://127.0.0.2:8443/", "http://[::1]/"] {
            assert_eq!(way(&rules, here), None, "{here}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_domains_and_ports() {
        let rules =
            rules(&[("https_proxy", "http://u:p@proxy"), ("NO_PROXY", "lab.example, .home,10.0.0.7, *.x.y,hub:8443,[fd00::1]")]);
        for (url, is_direct) in [
            ("https://lab.example/", true),
            ("https://a.lab.example/", true),
            ("https://notlab.example/", false),
            ("https://nas.home/", true),
            ("https://10.0.0.7:1/", true),
            ("https://10.0.0.70/", false),
            ("https://b.x.y/", true),
            ("https://hub:8443/", true),
            ("https://hub/", false),
            ("https://[fd00::1]/", true),
        ] {
            assert_eq!(way(&rules, url).is_none(), is_direct, "{url}");
        }
        assert_eq!(way(&self::rules(&[("https_proxy", "http://proxy"), ("no_proxy", "*")]), "https://a/"), None);
    }

    #[test]
    fn what_is_no_proxy_of_http_is_refused_with_its_variable() {
        for (value, why) in [("socks5://proxy", "socks5"), ("https://proxy", "https")] {
            let get = |name: &str| (name == "HTTPS_PROXY").then(|| value.to_owned());
            let (variable, error) = ProxyRules::of_environment(get).unwrap_err();
            assert!(variable == "HTTPS_PROXY" && error.to_string().contains(why), "{error}");
        }
    }
}
