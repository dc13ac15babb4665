//! A visit to an upstream: one connection after the other, from the request to the end of a stream, or a plain picture that is asked
//! for again and again. It knows no demand and no pauses between visits.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

use super::{polling::Polling, settings::RelaySettings};
use crate::{
    client::{Awaited, Client, ClientError, Response, ResponseBody, StatusCode, Target, header},
    escape::Escaped,
    feed::Kind,
    format::{Completeness, Media, inspect},
    loss::Loss,
    source::{
        framing::split::{PartStamp, RawPart, Split},
        incoming::{Announced, PartReader, RemoteFeed, StreamTraits, document_type},
    },
    wire::begins_as_multipart,
};

/// How long a body without a length may take to be a document; one that takes longer is a stream.
const DOCUMENT_TIME: Duration = Duration::from_secs(1);
/// How long another mxr may have no part yet: it says nothing until it has one.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most letters of an error message that are shown.
const SHOWN_LETTERS: usize = 100;

/// What is asked of an upstream, and how.
pub(super) struct UpstreamVisits {
    pub(super) target: Target,
    pub(super) client: Client,
    /// The time from one request for a plain picture or document to the next.
    pub(super) every: Duration,
    /// The time without a byte, or without a whole part.
    pub(super) timeout: Duration,
    /// Past lines that are asked for at first.
    pub(super) history: Option<usize>,
    /// A stream that the upstream has begun already.
    pub(super) first: Option<Box<Response>>,
    /// Held from the first request of a visit to its answer.
    pub(super) asking: Arc<Mutex<()>>,
    /// Whether the last visit ended since another mxr had no part yet.
    pub(super) has_waited: bool,
}

/// What a response was.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// A stream, which has ended.
    Stream,
    /// A document, or word that there is no newer one.
    Document,
}

impl UpstreamVisits {
    pub(super) fn new(target: Target, client: Client, settings: &RelaySettings) -> Self {
        Self {
            target,
            client,
            every: settings.every,
            timeout: settings.timeout,
            history: None,
            first: None,
            asking: Arc::default(),
            has_waited: false,
        }
    }

    /// Reads the upstream until a stream has ended cleanly.
    pub(super) async fn visit(&mut self, feed: &mut RemoteFeed) -> Result<(), Loss> {
        feed.begin();
        feed.publisher().count_connect();
        self.has_waited = false;
        self.client.wait_for_head(self.timeout);
        let mut polling = Polling::default();
        let mut asking = Some(self.asking.clone().lock_owned().await);
        loop {
            let asked = Instant::now();
            let target = polling.target(&self.target, feed.resumes_from(), self.history);
            let response = match self.first.take() {
                Some(response) => *response,
                None => self.client.get(&target, &polling.headers(&feed.via())).await?,
            };
            drop(asking.take());
            if self.take(response, &mut polling, feed).await? == Answer::Stream {
                return Ok(());
            }
            if polling.is_waiting_for_newer() {
                self.client.wait_for_head(Polling::LONGEST_WAIT + self.timeout);
            }
            sleep_until(asked + self.every).await;
        }
    }

    async fn take(&mut self, response: Response, polling: &mut Polling, feed: &mut RemoteFeed) -> Result<Answer, Loss> {
        let is_unchanged = matches!(response.status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT);
        if is_unchanged && polling.has_asked() {
            return Ok(Answer::Document);
        }
        if response.status != StatusCode::OK {
            return Err(Loss::of_status(&response));
        }
        let announced = Announced::of(&response.headers);
        if feed.is_loop(&announced.hops) {
            return Err(Loss::new("it is relayed in a circle: the upstream has this feed from here"));
        }
        if let Some(coding) = announced.coding {
            return Err(Loss::new(format!("the server sends it as {}, which nobody asked for", Escaped(coding))));
        }
        let is_of_mxr = !announced.hops.is_empty();
        if is_of_mxr {
            feed.publisher().set_hops(announced.hops.clone());
        }
        let (run, is_of_edge) = (announced.boundary.clone(), announced.hops.pass_an_edge());
        let stream = StreamTraits { run, is_of_edge, kind: announced.kind, is_of_mxr, ..StreamTraits::default() };
        if announced.is_multipart() {
            let parts = PartReader::new(&Split::Multipart(announced.boundary), stream, feed);
            return self.stream(response.body, parts, Bytes::new(), feed).await.map(|_| Answer::Stream);
        }
        let is_error = feed.has_pictures() && announced.stamp.sequence.is_none() && !announced.is_image();
        if announced.is_of_lines() && !is_error {
            let stream = StreamTraits { is_text: true, media: announced.media, ..stream };
            let parts = PartReader::new(&Split::Lines, stream, feed);
            return self.stream(response.body, parts, Bytes::new(), feed).await.map(|_| Answer::Stream);
        }
        polling.note(&response, announced.stamp.sequence);
        self.document(response, announced, feed).await
    }

    /// A body that is one part, if it ends soon or has a length; otherwise a stream that does not say of what.
    async fn document(&mut self, mut response: Response, announced: Announced, feed: &mut RemoteFeed) -> Result<Answer, Loss> {
        let limit = feed.publisher().part_bytes();
        let body = if announced.is_document() {
            response.body.read_to_end(limit, self.timeout).await?
        } else {
            let (first, has_ended) = read_for(&mut response.body, DOCUMENT_TIME.min(self.timeout), limit).await?;
            if !has_ended {
                return self.unannounced(response.body, first, announced, feed).await;
            }
            first
        };
        let media = document_type(announced.media, Path::new(self.target.path()), &body);
        if feed.has_pictures() && announced.stamp.sequence.is_none() && !media.is_image() {
            return Err(Loss::new(format!("the server answers with text in place of a picture: {}", beginning(&body))));
        }
        if body.is_empty() {
            return Err(Loss::new("the server answers without a body"));
        }
        if !announced.has_length && inspect(&media, &body).completeness == Completeness::Truncated {
            return Err(Loss::new("the picture is cut off"));
        }
        let time = announced.stamp.time.or_else(|| modified(&response));
        let stamp = PartStamp { time, ..announced.stamp };
        let part = RawPart { media: Some(media), bytes: body, class: None, stamp };
        feed.take(&mut vec![part], &StreamTraits { kind: Some(Kind::Newest), ..StreamTraits::default() });
        Ok(Answer::Document)
    }

    /// A body that goes on and is not multipart by its type: lines, if it is text, or what its first bytes show.
    async fn unannounced(
        &mut self,
        body: ResponseBody,
        first: Bytes,
        announced: Announced,
        feed: &mut RemoteFeed,
    ) -> Result<Answer, Loss> {
        let is_json = |media: &Media| media.essence() == "application/json";
        let has_text_type = announced.media.as_ref().is_some_and(|media| media.is_text() || is_json(media));
        // Some cameras send multipart as text/plain.
        let is_text = (announced.is_of_lines() || has_text_type) && !begins_as_multipart(&first);
        if is_text && feed.has_pictures() {
            return Err(Loss::new(format!("the server answers with text in place of pictures: {}", beginning(&first))));
        }
        let media = announced.media.filter(|_| is_text);
        let split = if media.is_some() { Split::Lines } else { Split::Auto };
        let stream = StreamTraits { is_text: media.is_some(), media, ..StreamTraits::default() };
        let parts = PartReader::new(&split, stream, feed);
        let whole = self.stream(body, parts, first, feed).await?;
        match whole {
            0 if !is_text => Err(Loss::new("the server answers with nothing that is a part")),
            1 if !is_text => Ok(Answer::Document),
            _ => Ok(Answer::Stream),
        }
    }

    /// Reads a stream to its end. Returns the number of its whole parts.
    async fn stream(
        &mut self,
        mut body: ResponseBody,
        mut parts: PartReader,
        first: Bytes,
        feed: &mut RemoteFeed,
    ) -> Result<usize, Loss> {
        let is_mxr = parts.stream.is_of_mxr;
        let mut whole = parts.push(&first, feed);
        let patience = if is_mxr { self.timeout.max(PATIENCE) } else { self.timeout };
        let (mut whole_by, mut is_dripping) = (Instant::now() + patience, false);
        loop {
            match body.chunk(whole_by.saturating_duration_since(Instant::now())).await {
                Ok(Some(bytes)) => {
                    if whole == 0 {
                        // The first part has begun.
                        whole_by = whole_by.min(Instant::now() + self.timeout);
                    }
                    let more = parts.push(&bytes, feed);
                    if parts.is_error {
                        return Err(Loss::new("the server answers with text in place of pictures"));
                    }
                    is_dripping = more == 0;
                    if more > 0 {
                        whole += more;
                        whole_by = Instant::now() + self.timeout;
                    } else if whole_by <= Instant::now() {
                        return Err(self.silent(is_dripping));
                    }
                }
                Ok(None) => return Ok(whole + parts.finish(feed)),
                Err(ClientError::Timeout { waiting_for: Awaited::ResponseBody, .. }) if is_mxr && whole == 0 && !is_dripping => {
                    self.has_waited = true;
                    return Ok(0);
                }
                Err(ClientError::Timeout { waiting_for: Awaited::ResponseBody, .. }) => return Err(self.silent(is_dripping)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn silent(&self, is_dripping: bool) -> Loss {
        let what = if is_dripping { "whole part" } else { "data" };
        Loss::new(format!("no {what} within {}", humantime::format_duration(self.timeout)))
    }
}

/// Reads for this time at most. Returns what has come, and whether that is all.
async fn read_for(body: &mut ResponseBody, time: Duration, limit: usize) -> Result<(Bytes, bool), Loss> {
    let (mut bytes, until) = (Vec::new(), Instant::now() + time);
    loop {
        match body.chunk(until.saturating_duration_since(Instant::now())).await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok((bytes.into(), true)),
            Err(ClientError::Timeout { .. }) => return Ok((bytes.into(), false)),
            Err(error) => return Err(error.into()),
        }
        if bytes.len() > limit || until <= Instant::now() {
            return Ok((bytes.into(), false));
        }
    }
}

/// The first line of a message, without tags, for the log.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(16 * SHOWN_LETTERS)]).into_owned();
    let (mut shown, mut is_tag) = (String::new(), false);
    for letter in text.chars() {
        match letter {
            '<' => is_tag = true,
            '>' => is_tag = false,
            _ if is_tag => {}
            letter if letter.is_whitespace() && (shown.is_empty() || shown.ends_with(' ')) => {}
            letter if letter.is_whitespace() => shown.push(' '),
            letter => shown.push(letter),
        }
    }
    let letters: String = shown.trim().chars().take(SHOWN_LETTERS).collect();
    format!("{:?}", Escaped(letters))
}

/// When a document was modified, if that is some time ago: the header has whole seconds, and a server may be some ahead.
fn modified(response: &Response) -> Option<SystemTime> {
    let modified = httpdate::parse_http_date(response.header(header::LAST_MODIFIED)?).ok()?;
    let age = SystemTime::now().duration_since(modified).ok()?;
    (age > Duration::from_secs(2)).then_some(modified)
}
