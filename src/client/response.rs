//! A response and its body. The reader of a body says how long it waits; a body that ends gives its connection back.

use std::{
    fmt, io,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{HeaderMap, StatusCode, Version, body::Incoming, header};
use tokio::time::timeout;

use super::{
    connection::{Connected, Idle},
    failure::{Awaited, ClientError},
    target::Target,
};

/// A response whose head has arrived. Any status but 401 and those of redirects.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The head as it was received, from the status line to the empty line.
    pub raw_head: Bytes,
    /// Where it comes from: what was asked for, or where redirects have led.
    pub target: Target,
    /// The redirects on the way there: what was asked first, then each target but the last.
    pub redirects: Vec<Target>,
    /// The scheme by which the server was satisfied, as `Digest SHA-256`; nothing where no password was sent.
    pub authenticated_by: Option<&'static str>,
    /// The address of the server; nothing over a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The version of TLS, as `TLSv1_3`.
    pub tls: Option<String>,
    /// What follows.
    pub body: ResponseBody,
}

/// The body of a response, without transfer encoding.
pub struct ResponseBody {
    incoming: Incoming,
    /// The connection, and where it waits for the next request.
    connected: Option<(Connected, Idle)>,
}

impl Response {
    /// The value of a header as text.
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long `Retry-After` asks to wait, in seconds or up to a date (RFC 9110, section 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, SystemTime::now())
    }
}

pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than there are numbers are for ever, too.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    // A date that has passed asks for no pause.
    Some(httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default())
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, connected: Connected, idle: Idle) -> Self {
        Self { incoming, connected: Some((connected, idle)) }
    }

    /// The next bytes; nothing at the end. Waiting may be given up and begun again.
    ///
    /// # Errors
    /// Where nothing has come for `silence`, or the body broke off.
    pub async fn chunk(&mut self, silence: Duration) -> Result<Option<Bytes>, ClientError> {
        let next = timeout(silence, self.data()).await;
        next.map_err(|_| ClientError::Timeout { waiting_for: Awaited::ResponseBody, after: silence })?
    }

    /// The whole body.
    ///
    /// # Errors
    /// Where it is longer than `limit` bytes, is not there `within` this time, or broke off.
    pub async fn read_to_end(&mut self, limit: usize, within: Duration) -> Result<Bytes, ClientError> {
        let whole = timeout(within, async {
            let mut whole = BytesMut::new();
            while let Some(chunk) = self.data().await? {
                if whole.len() + chunk.len() > limit {
                    return Err(ClientError::BodyTooLarge { limit });
                }
                whole.extend_from_slice(&chunk);
            }
            Ok(whole.freeze())
        });
        whole.await.map_err(|_| ClientError::Timeout { waiting_for: Awaited::ResponseBody, after: within })?
    }

    async fn data(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.incoming.frame().await {
                // Trailers are nothing to a reader.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    self.connected = None;
                    return Err(ClientError::Body { cause: in_words(&error) });
                }
                None => {
                    if let Some((connected, idle)) = self.connected.take() {
                        *idle.lock() = Some(connected);
                    }
                    return Ok(None);
                }
            }
        }
    }
}

/// What an error of hyper says, with what is behind it.
fn in_words(error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error);
    let io = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    if error.is_incomplete_message() || io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
        return "the server closed the connection early".to_owned();
    }
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may hold cookies.
        write!(f, "Response({} of {})", self.status, self.target)
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody")
    }
}
