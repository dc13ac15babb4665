//! How upstreams are asked. It holds values, and checks none.

use std::{fmt, path::PathBuf, time::Duration};

use hyper::HeaderMap;

use super::{credentials::Credentials, proxy::ProxyRules};

/// How upstreams are asked.
#[derive(Clone)]
pub struct ClientSettings {
    /// User and password for the server of the URL, where that has none itself. They are sent after a challenge alone.
    pub credentials: Option<Credentials>,
    /// Headers for the server of the URL; a redirect takes them to no other scheme, host or port.
    pub headers: HeaderMap,
    /// Certificates in PEM: of the authorities that are believed in place of the system's, or of servers themselves.
    pub ca: Option<PathBuf>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// A Unix socket to connect to, whatever the URL's host is.
    pub unix: Option<PathBuf>,
    /// The proxies on the way; none for cameras, which are in the local network.
    pub proxies: ProxyRules,
    /// The time for a connection: looking up the host, connecting, TLS.
    pub connect_timeout: Duration,
    /// The time from the request to the whole head of its response.
    pub head_timeout: Duration,
    /// Redirects at most.
    pub redirects: usize,
}

impl Default for ClientSettings {
    fn default() -> Self {
        let timeout = Duration::from_secs(10);
        Self {
            credentials: None,
            headers: HeaderMap::new(),
            ca: None,
            insecure: false,
            unix: None,
            proxies: ProxyRules::default(),
            connect_timeout: timeout,
            head_timeout: timeout,
            redirects: 5,
        }
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of headers may be secrets.
        write!(f, "ClientSettings({} headers, {:?})", self.headers.len(), self.credentials)
    }
}
