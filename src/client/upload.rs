//! Requests with a body: a whole one, or one that goes on while there is something new. No redirect is followed with it and no
//! challenge answered, so that any status is a response. A body that goes on waits until the server asks for it.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    body::{Body, Frame, SizeHint},
    ext::on_informational,
    header::{self, HeaderValue},
};
use tokio::time::{Sleep, sleep, timeout};

use super::{
    connection::{Connected, RequestBody},
    exchange::Client,
    failure::{Awaited, ClientError},
    head::HeadFault,
    proxy,
    response::{Response, ResponseBody},
    target::Target,
};
use crate::sync::Mutex;

/// How long a body waits for `100 Continue`: many servers and proxies never say it.
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

impl Client {
    /// Sends a request with a whole body, on the connection of the request before if that is still open.
    ///
    /// # Errors
    /// As `ClientError` says; nothing of a challenge or a redirect.
    pub async fn send(
        &mut self,
        method: Method,
        target: &Target,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, ClientError> {
        let mut headers = headers.clone();
        // hyper says nothing of an empty body.
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        let whole = || Full::new(body.clone()).map_err(|never: Infallible| match never {}).boxed_unsync();
        let within = Some(self.settings.head_timeout);
        let idle = self.idle.lock().take();
        if let Some(connected) = idle.filter(|connected| connected.is_for(target.origin())) {
            let request = request(method.clone(), target, &headers, whole(), &connected);
            match self.send_upload(connected, target, request, within).await {
                // The server has closed it meanwhile.
                Err(ClientError::Closed | ClientError::Head { fault: HeadFault::Unasked, .. }) => {}
                result => return result,
            }
        }
        let connected = self.connect(target.origin()).await?;
        let request = request(method, target, &headers, whole(), &connected);
        self.send_upload(connected, target, request, within).await
    }

    /// Posts a body that goes on, on a connection of its own, and waits for the response, however long that takes. The body is polled
    /// when there is room for more, and not before the server says `100 Continue`, or for a second nothing.
    ///
    /// # Errors
    /// The same.
    pub async fn post_stream<B>(&mut self, target: &Target, headers: &HeaderMap, body: B) -> Result<Response, ClientError>
    where
        B: Body<Data = Bytes, Error = io::Error> + Send + Unpin + 'static,
    {
        let connected = Connected::open(target.origin(), &self.settings, &mut self.trust, true).await?;
        let gate = Arc::<Gate>::default();
        let parked = ParkedBody { gate: gate.clone(), wait: Box::pin(sleep(CONTINUE_WAIT)), body };
        let mut request = request(Method::POST, target, headers, parked.boxed_unsync(), &connected);
        request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        let told = gate.clone();
        on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                told.set(GateState::Open);
            }
        });
        // Also where this is given up: the body is not begun behind a final response.
        let _closed = CloseGate(gate);
        self.send_upload(connected, target, request, None).await
    }

    async fn send_upload(
        &self,
        mut connected: Connected,
        target: &Target,
        request: Request<RequestBody>,
        within: Option<Duration>,
    ) -> Result<Response, ClientError> {
        let sent = match within {
            None => connected.send(request).await,
            Some(after) => {
                let late = |_| ClientError::Timeout { waiting_for: Awaited::ResponseHead, after };
                timeout(after, connected.send(request)).await.map_err(late)?
            }
        };
        let (head, incoming) = match sent {
            Ok(response) => response.into_parts(),
            Err(error) => {
                // Behind `100 Continue` there may be nothing.
                let (fault, head) = (connected.head.fault(&error), connected.head.take());
                return Err(if head.is_empty() { ClientError::Closed } else { ClientError::Head { fault, head } });
            }
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

fn request(method: Method, target: &Target, given: &HeaderMap, body: RequestBody, connected: &Connected) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target.path_and_query().clone());
    let headers = request.headers_mut();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("mxr/", env!("CARGO_PKG_VERSION"))));
    if let Ok(host) = HeaderValue::from_str(&target.origin().host_header()) {
        headers.insert(header::HOST, host);
    }
    headers.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    if let Some(through) = &connected.proxy {
        if let Some(value) = proxy::authorization(through).and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(header::PROXY_AUTHORIZATION, value);
        }
        if let Ok(uri) = format!("{}{}", target.origin(), target.path_and_query()).parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Whether a body may be sent.
#[derive(Debug, Default)]
struct Gate(Mutex<(GateState, Option<Waker>)>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum GateState {
    #[default]
    Waiting,
    Open,
    /// The response is there: no body is begun any more.
    Closed,
}

impl Gate {
    /// Decides, once.
    fn set(&self, state: GateState) {
        let waker = {
            let mut gate = self.0.lock();
            if gate.0 != GateState::Waiting {
                return;
            }
            gate.0 = state;
            gate.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

struct CloseGate(Arc<Gate>);

impl Drop for CloseGate {
    fn drop(&mut self) {
        self.0.set(GateState::Closed);
    }
}

/// A body behind a gate, which opens by itself after a while.
struct ParkedBody<B> {
    gate: Arc<Gate>,
    wait: Pin<Box<Sleep>>,
    body: B,
}

impl<B: Body<Data = Bytes, Error = io::Error> + Unpin> Body for ParkedBody<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let state = {
            let mut gate = this.gate.0.lock();
            if gate.0 == GateState::Waiting {
                gate.1 = Some(cx.waker().clone());
                if this.wait.as_mut().poll(cx).is_ready() {
                    gate.0 = GateState::Open;
                }
            }
            gate.0
        };
        match state {
            GateState::Open => Pin::new(&mut this.body).poll_frame(cx),
            GateState::Waiting | GateState::Closed => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
