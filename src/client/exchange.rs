//! One request from its first byte to a response that its caller can use: connections used again, challenges answered, redirects
//! followed. Each server gets the secrets that are meant for it.

use std::{fmt, time::Duration};

use http_body_util::{BodyExt, Empty};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{self, HeaderName, HeaderValue},
};
use tokio::time::timeout;

use super::{
    challenge::Challenge,
    connection::{Connected, Idle, RequestBody},
    credentials::Credentials,
    digest::Covered,
    failure::{Awaited, ClientError, RedirectFault},
    head::HeadFault,
    login::{Login, schemes},
    response::{Response, ResponseBody},
    settings::ClientSettings,
    target::{Origin, Target},
    trust::Trust,
};

/// The body of a 401 or a redirect, in bytes and in time: one that is longer costs its connection.
const DRAINED: (usize, Duration) = (64 * 1024, Duration::from_secs(1));

/// Of the caller's headers those that go to no other server.
const SECRET: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// A client for one upstream.
pub struct Client {
    pub(super) settings: ClientSettings,
    pub(super) trust: Trust,
    /// The connection of the response before, where its body was read to the end.
    pub(super) idle: Idle,
    /// How the server before was satisfied.
    login: Option<(Origin, Login)>,
}

impl Client {
    /// A client that has no connection yet.
    ///
    /// # Errors
    /// Where the file of certificates cannot be used.
    pub fn new(settings: ClientSettings) -> crate::error::Result<Self> {
        let trust = Trust::new(settings.ca.as_deref(), settings.insecure)?;
        Ok(Self { settings, trust, idle: Idle::default(), login: None })
    }

    /// Asks for a target, with these headers beside those of the settings. They win over the client's own (`Accept`, `User-Agent`)
    /// and, unless they are secret, go wherever redirects lead. Any status is a response but 401 and redirects, which are answered and followed.
    ///
    /// # Errors
    /// As `ClientError` says.
    pub async fn get(&mut self, target: &Target, headers: &HeaderMap) -> Result<Response, ClientError> {
        Exchange { client: self, first: target, headers }.run().await
    }

    /// Sets the time from a request to the head of its response: some servers answer only once there is something new.
    pub fn wait_for_head(&mut self, timeout: Duration) {
        self.settings.head_timeout = timeout;
    }

    /// Closes the connection that waits for the next request.
    pub fn disconnect(&mut self) {
        *self.idle.lock() = None;
    }

    pub(super) async fn connect(&mut self, origin: &Origin) -> Result<Connected, ClientError> {
        // The connection before is closed by a task of its own, and some cameras take no second one.
        tokio::task::yield_now().await;
        Connected::open(origin, &self.settings, &mut self.trust, false).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.settings)
    }
}

/// A request on its way: what is the same over all its hops.
struct Exchange<'a> {
    client: &'a mut Client,
    /// What the caller asked for; the secrets are for its server.
    first: &'a Target,
    /// The caller's headers.
    headers: &'a HeaderMap,
}

impl Exchange<'_> {
    /// Follows redirects to the response.
    async fn run(mut self) -> Result<Response, ClientError> {
        let (mut at, mut redirects) = (self.first.clone(), Vec::new());
        loop {
            let mut response = self.ask(&at).await?;
            if !is_redirect(response.status) {
                response.redirects = redirects;
                return Ok(response);
            }
            let next = self.next(&response, &redirects).map_err(|fault| ClientError::Redirect { from: at.to_string(), fault })?;
            if next.origin() == at.origin() {
                drain(&mut response).await;
            }
            redirects.push(std::mem::replace(&mut at, next));
        }
    }

    fn next(&self, response: &Response, passed: &[Target]) -> Result<Target, RedirectFault> {
        let location = response.headers.get(header::LOCATION).ok_or(RedirectFault::NoLocation)?;
        let next = response.target.resolve(&String::from_utf8_lossy(location.as_bytes())).map_err(RedirectFault::Location)?;
        if passed.iter().chain([&response.target]).any(|target| target.is_same_place(&next)) {
            return Err(RedirectFault::Circle(next.to_string()));
        }
        let limit = self.client.settings.redirects;
        if passed.len() >= limit { Err(RedirectFault::TooMany(limit)) } else { Ok(next) }
    }

    /// Asks one server, and once more with the password after its challenge: some cameras answer nothing when one is sent unasked
    /// (Hikvision). Later requests answer in advance.
    async fn ask(&mut self, at: &Target) -> Result<Response, ClientError> {
        let mut answered = 0;
        loop {
            let authorization = self.authorization(at);
            let is_sent = authorization.is_some();
            let mut response = self.send(at, authorization).await?;
            let sent = self.client.login.as_ref().map(|(_, login)| login).filter(|_| is_sent);
            if response.status != StatusCode::UNAUTHORIZED {
                response.authenticated_by = sent.map(Login::name);
                return Ok(response);
            }
            let next = self.answer(at, &response, sent, answered);
            // What was refused is not sent in advance any more.
            self.client.login = None;
            let next = next?;
            self.client.login = Some((at.origin().clone(), next));
            answered += 1;
            drain(&mut response).await;
        }
    }

    /// The answer to a 401.
    fn answer(&self, at: &Target, response: &Response, sent: Option<&Login>, answered: u32) -> Result<Login, ClientError> {
        if self.has_own_authorization(at) {
            return Err(ClientError::PasswordRefused);
        }
        let challenges = Challenge::all(&response.headers);
        let next = match Login::strongest(&challenges) {
            // To a password, and so it is not by chance that there is no challenge (now and then there is none to a request without).
            Err(ClientError::NoChallenge) if answered > 0 => return Err(ClientError::PasswordRefused),
            next => next,
        };
        let next = next?;
        if self.credentials(at).is_none() {
            let is_withheld = !self.is_own(at) && (self.given().is_some() || !self.client.settings.headers.is_empty());
            return Err(ClientError::PasswordAsked { schemes: schemes(&challenges), is_withheld });
        }
        match sent {
            Some(sent) if !sent.may_follow(&next, answered) => Err(ClientError::PasswordRefused),
            _ => Ok(next),
        }
    }

    fn authorization(&mut self, at: &Target) -> Option<HeaderValue> {
        let credentials = self.credentials(at)?.clone();
        let (origin, login) = self.client.login.as_mut()?;
        let covered = Covered { method: Method::GET.as_str(), uri: at.path_and_query().as_str() };
        if origin == at.origin() { login.authorization(&credentials, covered) } else { None }
    }

    /// Whether this is the server that the user named.
    fn is_own(&self, at: &Target) -> bool {
        at.origin() == self.first.origin()
    }

    /// The password that the user gave.
    fn given(&self) -> Option<&Credentials> {
        self.first.credentials().or(self.client.settings.credentials.as_ref())
    }

    /// The password for this server.
    fn credentials(&self, at: &Target) -> Option<&Credentials> {
        self.given().filter(|_| self.is_own(at) && !self.has_own_authorization(at))
    }

    /// Whether the user wrote the header of the password.
    fn has_own_authorization(&self, at: &Target) -> bool {
        let given = [self.headers, &self.client.settings.headers];
        self.is_own(at) && given.iter().any(|headers| headers.contains_key(header::AUTHORIZATION))
    }

    async fn send(&mut self, at: &Target, authorization: Option<HeaderValue>) -> Result<Response, ClientError> {
        let idle = self.client.idle.lock().take();
        if let Some(connected) = idle.filter(|connected| connected.is_for(at.origin())) {
            match self.send_on(connected, at, authorization.clone()).await {
                // The server has closed it meanwhile, some with a word (408).
                Err(ClientError::Closed | ClientError::Head { fault: HeadFault::Unasked, .. }) => {}
                result => return result,
            }
        }
        let connected = self.client.connect(at.origin()).await?;
        self.send_on(connected, at, authorization).await
    }

    async fn send_on(
        &self,
        mut connected: Connected,
        at: &Target,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, ClientError> {
        let after = self.client.settings.head_timeout;
        let request = self.request(at, authorization);
        let sent = timeout(after, connected.send(request)).await;
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
            target: at.clone(),
            redirects: Vec::new(),
            authenticated_by: None,
            peer: connected.peer,
            tls: connected.tls.clone(),
            body: ResponseBody::new(incoming, connected, self.client.idle.clone()),
        })
    }

    fn request(&self, at: &Target, authorization: Option<HeaderValue>) -> Request<RequestBody> {
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = Uri::from(at.path_and_query().clone());
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("mxr/", env!("CARGO_PKG_VERSION"))));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if let Ok(host) = HeaderValue::from_str(&at.origin().host_header()) {
            headers.insert(header::HOST, host);
        }
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value);
        }
        overwrite(headers, self.headers);
        if self.is_own(at) {
            overwrite(headers, &self.client.settings.headers);
        } else {
            SECRET.iter().for_each(|name| drop(headers.remove(name)));
        }
        request
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Reads what nobody wants, so that the connection can be used again.
async fn drain(response: &mut Response) {
    let (limit, within) = DRAINED;
    let _ = response.body.read_to_end(limit, within).await;
}

/// Each name of `with` with its values in place of those that are there.
fn overwrite(headers: &mut HeaderMap, with: &HeaderMap) {
    for name in with.keys() {
        headers.remove(name);
        for value in with.get_all(name) {
            headers.append(name, value.clone());
        }
    }
}
