//! The HTTP/1.1 client with which feeds of other machines are read: TLS, passwords, redirects, deadlines, and heads as they were
//! received. It knows nothing of feeds, parts and multipart.
//!
//! ```no_run
//! # async fn read() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use mxr::client::{Client, ClientSettings, HeaderMap, Target};
//!
//! let target: Target = "http://user:password@camera/stream".parse()?;
//! let mut client = Client::new(ClientSettings::default())?;
//! let mut response = client.get(&target, &HeaderMap::new()).await?;
//! while let Some(bytes) = response.body.chunk(Duration::from_secs(10)).await? {
//!     println!("{} bytes", bytes.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A client is for one upstream and does one request at a time. `http_proxy` and its like in the environment are ignored: they catch
//! cameras on the local network too (sigoden/aichat#1013).

mod connection;
mod credentials;
mod failure;
mod head;
mod response;
mod target;
#[cfg(test)]
mod tests;
mod trust;

use std::{fmt, path::PathBuf, time::Duration};

use http_body_util::{BodyExt, Empty};
pub use hyper::{HeaderMap, StatusCode, header};
use hyper::{Method, Request, Uri, header::HeaderValue};
use tokio::time::timeout;

use self::{
    connection::{Connected, Idle, RequestBody},
    failure::Result,
    trust::Trust,
};
pub use self::{
    credentials::Credentials,
    failure::{Awaited, ClientError, RedirectFault},
    head::HeadFault,
    response::{Response, ResponseBody},
    target::{Target, TargetError},
};

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

/// A client for one upstream.
pub struct Client {
    settings: ClientSettings,
    trust: Trust,
    /// The connection of the response before, where its body was read to the end.
    idle: Idle,
}

impl Client {
    /// A client that has no connection yet.
    ///
    /// # Errors
    /// Where the file of certificates cannot be used.
    pub fn new(settings: ClientSettings) -> crate::error::Result<Self> {
        let trust = Trust::new(settings.ca.clone(), settings.insecure);
        Ok(Self { settings, trust, idle: Idle::default() })
    }

    /// Asks for a target, with these headers beside those of the settings: they go wherever redirects lead, and win over the
    /// client's own (`Accept`, `User-Agent`). Any status is a response but 401 and redirects, which are answered and followed.
    ///
    /// # Errors
    /// As `ClientError` says.
    pub async fn get(&mut self, target: &Target, headers: &HeaderMap) -> std::result::Result<Response, ClientError> {
        self.send(target, headers).await
    }

    async fn send(&mut self, target: &Target, headers: &HeaderMap) -> Result<Response> {
        let mut connected =
            Connected::open(target.origin(), self.settings.unix.as_deref(), &mut self.trust, self.settings.connect_timeout).await?;
        let after = self.settings.head_timeout;
        let sent = timeout(after, connected.send(request(target, headers))).await;
        let sent = sent.map_err(|_| ClientError::Timeout { waiting_for: Awaited::ResponseHead, after })?;
        let (head, incoming) = match sent {
            Ok(response) => response.into_parts(),
            Err(_) if connected.head.is_empty() => return Err(ClientError::Closed),
            Err(error) => return Err(ClientError::Head { fault: connected.head.fault(&error), head: connected.head.take() }),
        };
        Ok(Response {
            status: head.status,
            version: head.version,
            headers: head.headers,
            raw_head: connected.head.take(),
            target: target.clone(),
            redirects: Vec::new(),
            authenticated_by: None,
            peer: connected.peer,
            tls: connected.tls.clone(),
            body: ResponseBody::new(incoming, connected, self.idle.clone()),
        })
    }
}

fn request(target: &Target, headers: &HeaderMap) -> Request<RequestBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::new(body);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = Uri::from(target.path_and_query().clone());
    let own = request.headers_mut();
    own.insert(header::USER_AGENT, HeaderValue::from_static(concat!("mxr/", env!("CARGO_PKG_VERSION"))));
    own.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    if let Ok(host) = HeaderValue::from_str(&target.origin().host_header()) {
        own.insert(header::HOST, host);
    }
    for name in headers.keys() {
        own.remove(name);
        for value in headers.get_all(name) {
            own.append(name.clone(), value.clone());
        }
    }
    request
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.settings)
    }
}
