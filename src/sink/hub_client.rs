//! The requests to a hub: how far it has the parts of this process, a body of parts, and what it says where it refuses. It decides
//! nothing, and knows no feed but by name.

use std::{collections::HashMap, io, time::Duration};

use bytes::Bytes;
use hyper::body::Body;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::outgoing_feed::Remote;
use crate::{
    client::{Client, ClientError, ClientSettings, HeaderMap, Method, PROXY_PASSWORD, Response, StatusCode, Target, header},
    error::Result,
    escape::Escaped,
    feed::{Hops, url_name},
    loss::{Loss, Retry},
    wire::Boundary,
};

/// The most bytes of a reply that are read, and for how long.
const REPLY: (usize, Duration) = (1 << 20, Duration::from_secs(10));
/// The most characters of a sentence that is repeated.
const SENTENCE: usize = 200;
/// The pause after 429 where the hub asks for none, and the longest that it may ask for.
const TOO_MANY: Duration = Duration::from_secs(60);
const LONGEST_ASKED: Duration = Duration::from_secs(15 * 60);

/// A hub, and the right to push into it.
#[derive(Debug, Clone)]
pub struct HubAccess {
    /// Its root, which ends with a slash, without user and password.
    pub root: Target,
    /// `Authorization`, if a token is known.
    pub authorization: Option<header::HeaderValue>,
    /// How it is asked.
    pub client: ClientSettings,
}

/// A client of one hub.
#[derive(Debug)]
pub(super) struct HubClient {
    client: Client,
    root: Target,
    headers: HeaderMap,
    run: String,
}

/// What a hub has.
#[derive(Debug, Deserialize)]
pub(super) struct HubState {
    /// The name of its process.
    pub(super) process: String,
    /// The largest part that it takes, in bytes.
    pub(super) max_part: Option<usize>,
    feeds: Vec<ReceivedFeed>,
}

#[derive(Debug, Deserialize)]
struct ReceivedFeed {
    name: String,
    sequence: u64,
}

impl HubState {
    /// How far it has each feed.
    pub(super) fn received(&self) -> HashMap<String, u64> {
        self.feeds.iter().map(|feed| (feed.name.clone(), feed.sequence)).collect()
    }

    /// What is sent to it.
    pub(super) fn remote(&self) -> Remote {
        // The last line that it has comes once more, so that it knows the feed to be live.
        let sent = self.feeds.iter().map(|feed| (feed.name.clone(), feed.sequence.saturating_sub(1))).collect();
        let size_hint = "--max-part of the hub allows more";
        Remote { process: Some(self.process.clone()), sent, max_part: self.max_part, size_hint, is_retaining: false }
    }
}

/// Why a hub does not take something.
#[derive(Debug)]
pub(super) struct HubRefusal {
    /// The status; none where there was no response.
    pub(super) status: Option<StatusCode>,
    /// Whether a hub says it, and no proxy on the way.
    pub(super) is_of_hub: bool,
    /// The one feed that it is about.
    pub(super) feed: Option<String>,
    pub(super) loss: Loss,
}

impl HubClient {
    /// A client for parts with this boundary, of this process.
    pub(super) fn new(access: &HubAccess, boundary: &Boundary, process: &str) -> Result<Self> {
        let mut headers = HeaderMap::new();
        let via = Hops::of_names([process]).to_string();
        headers.extend(via.parse().ok().map(|via| (header::VIA, via)));
        headers.extend(access.authorization.clone().map(|value| (header::AUTHORIZATION, value)));
        let media = format!("multipart/x-mixed-replace; boundary={}", boundary.as_str());
        headers.extend(media.parse().ok().map(|media| (header::CONTENT_TYPE, media)));
        let client = Client::new(access.client.clone()).map_err(|error| error.map(&of_publish))?;
        Ok(Self { client, root: access.root.clone(), headers, run: boundary.as_str().to_owned() })
    }

    fn target(&self, route: &str) -> std::result::Result<Target, HubRefusal> {
        let target = self.root.with_path(&format!("{}{route}", self.root.path()));
        target.map_err(|error| HubRefusal::without_response(Loss::new(error.to_string())))
    }

    /// Asks how far the hub has what this process publishes.
    pub(super) async fn ask(&mut self) -> std::result::Result<HubState, HubRefusal> {
        let target = self.target(&format!("streams?received={}", self.run))?;
        let mut response = self.client.send(Method::POST, &target, &self.headers, Bytes::new()).await?;
        if response.status != StatusCode::OK {
            return Err(HubRefusal::of(response).await);
        }
        let body = response.body.read_to_end(REPLY.0, REPLY.1).await?;
        serde_json::from_slice(&body).map_err(|_| {
            let loss = Loss { retry: Retry::Refused, ..Loss::new("what answers there is no hub of mxr") };
            HubRefusal::without_response(loss)
        })
    }

    /// Removes a feed.
    pub(super) async fn remove(&mut self, name: &str) -> std::result::Result<(), HubRefusal> {
        let target = self.target(&format!("stream/{}", url_name(name)))?;
        let response = self.client.send(Method::DELETE, &target, &self.headers, Bytes::new()).await?;
        HubRefusal::check(response).await
    }

    /// Posts a body that goes on, until the response.
    pub(super) async fn stream<B>(&mut self, body: B) -> std::result::Result<(), HubRefusal>
    where
        B: Body<Data = Bytes, Error = io::Error> + Send + Unpin + 'static,
    {
        let target = self.target("streams")?;
        let response = self.client.post_stream(&target, &self.headers, body).await?;
        HubRefusal::check(response).await
    }

    /// Posts a whole body.
    pub(super) async fn post(&mut self, body: Bytes) -> std::result::Result<(), HubRefusal> {
        let target = self.target("streams")?;
        let response = self.client.send(Method::POST, &target, &self.headers, body).await?;
        HubRefusal::check(response).await
    }
}

impl HubRefusal {
    fn without_response(loss: Loss) -> Self {
        Self { status: None, is_of_hub: false, feed: None, loss }
    }

    async fn check(mut response: Response) -> std::result::Result<(), Self> {
        if !response.status.is_success() {
            return Err(Self::of(response).await);
        }
        // The connection is used again.
        let _ = response.body.read_to_end(REPLY.0, REPLY.1).await;
        Ok(())
    }

    /// What a response says that is no success.
    async fn of(mut response: Response) -> Self {
        let body = response.body.read_to_end(REPLY.0, REPLY.1).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let sentence = text.strip_prefix("mxr: ").and_then(|text| text.lines().next());
        let sentence = sentence.map(|line| line.chars().take(SENTENCE).collect::<String>());
        let feed = response.header("X-Feed").map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned());
        let status = response.status;
        let reason = match &sentence {
            Some(sentence) => format!("the hub answers {}: {}", status.as_u16(), Escaped(sentence)),
            None => format!("the hub answers {status}"),
        };
        let asked = response.retry_after().map(|pause| pause.min(LONGEST_ASKED));
        let retry = match status.as_u16() {
            300..=399 | 401 | 403 | 404 | 405 | 409 | 415 | 508 => Retry::Refused,
            429 => Retry::NotBefore(asked.unwrap_or_default().max(TOO_MANY)),
            _ => asked.map_or(Retry::Soon, Retry::NotBefore),
        };
        let hint = match status.as_u16() {
            300..=399 => Some(redirect_hint(response.header("Location")).into()),
            401 => Some("--publish-token-file or MXR_PUBLISH_TOKEN gives the token to push that the hub has printed".into()),
            407 => Some(PROXY_PASSWORD.into()),
            400 if feed.is_some() => None,
            400 | 404 | 405 => Some("it takes the URL of a `mxr hub`, with the path that a proxy puts before its routes".into()),
            409 => Some("--publish-name gives it another name there".into()),
            508 => Some("the hub is this process, or reads from it".into()),
            _ => None,
        };
        Self { status: Some(status), is_of_hub: sentence.is_some(), feed, loss: Loss { reason, hint, retry } }
    }
}

impl From<ClientError> for HubRefusal {
    fn from(error: ClientError) -> Self {
        let mut loss = Loss::from(error);
        loss.hint = loss.hint.map(|hint| of_publish(&hint).into());
        Self::without_response(loss)
    }
}

/// What to do about a redirect to this URL, which stands in a line of the log.
fn redirect_hint(location: Option<&str>) -> String {
    let place = location.and_then(|location| location.split(['?', '#']).next());
    let root = place.map(|place| place.strip_suffix("streams").unwrap_or(place)).filter(|root| !root.contains('@'));
    let root: String = root.unwrap_or_default().chars().take(SENTENCE).collect();
    match root.as_str() {
        "" => "nothing is published to where it redirects: give that URL".to_owned(),
        root => format!("nothing is published to where it redirects: give that URL, {}", Escaped(root)),
    }
}

/// A text about the options of upstreams, for those of the publisher.
pub(super) fn of_publish(text: &str) -> String {
    text.replace("--upstream-auth-file", "--publish-token-file").replace("--upstream-", "--publish-")
}
