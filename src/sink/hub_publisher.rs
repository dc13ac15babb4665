//! One connection to a hub for all feeds, or, where a proxy holds a body back until its end, a request for each few parts. It knows no
//! bytes of parts.

use std::{collections::HashMap, pin::pin, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::{
    arrivals::Arrivals,
    hub_client::{HubAccess, HubClient, HubRefusal},
    parts_body::{PartsBody, PartsFeeder, PartsWriter},
    publish_progress::{EndOfVisit, PublishProgress},
    publish_status::PublishState,
};
use crate::{error::Result, feed::Registry, loss::Loss, wire::Boundary};

/// When the hub is asked whether parts arrive: this long after the first has left, and then from time to time.
const ASK_AFTER: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_secs(60);
/// How often removed feeds are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A body of several parts is not made larger than this, in bytes: nginx takes 1 MiB unless it is told otherwise.
const BATCH: usize = 64 << 10;
/// After how long a part of each feed is repeated where that costs a request, and how often that is looked for: a hub removes feeds that
/// nobody pushes into.
const REPEAT_AFTER: Duration = Duration::from_secs(60);
const REPEAT_LOOK: Duration = Duration::from_secs(10);
/// How long a proxy that has held a body back is not tried with another one.
const HELD_FOR: Duration = Duration::from_secs(60 * 60);
/// What lets nginx pass a body on as it comes.
const NGINX: &str =
    "for nginx: proxy_request_buffering off; client_max_body_size 0; proxy_http_version 1.1; proxy_read_timeout 1h;";

/// Publishes to a hub.
#[derive(Debug)]
pub(super) struct HubPublisher {
    access: HubAccess,
    keepalive: Duration,
    boundary: Boundary,
    process: String,
    /// For questions and whole bodies; a body that goes on has a client of its own.
    hub: HubClient,
    /// A proxy held a body back; until then no other is tried.
    held_until: Option<Instant>,
    /// Whether a part that was too large was told of.
    has_said_large: bool,
}

/// How a body has ended.
enum EndOfBody {
    /// There is nothing more to publish.
    Over,
    /// One feed is refused, and left alone.
    OneRefused,
    /// A proxy holds bodies back.
    Held,
}

impl EndOfBody {
    fn of_visit(self) -> EndOfVisit {
        match self {
            Self::Over => EndOfVisit::Over,
            Self::OneRefused | Self::Held => EndOfVisit::Again,
        }
    }
}

impl HubPublisher {
    /// One for the feeds of this registry, with this silence after which a part is repeated.
    pub(super) fn new(access: HubAccess, keepalive: Duration, registry: &Registry) -> Result<Self> {
        let (boundary, process) = (registry.boundary().clone(), registry.process().to_owned());
        let hub = HubClient::new(&access, &boundary, &process)?;
        Ok(Self { access, keepalive, boundary, process, hub, held_until: None, has_said_large: false })
    }

    /// One connection.
    pub(super) async fn visit(&mut self, progress: &mut PublishProgress) -> std::result::Result<EndOfVisit, Loss> {
        let state = self.hub.ask().await.map_err(|refusal| refusal.loss)?;
        let generation = progress.outgoing.begin(state.remote());
        while !progress.outgoing.has_parts() {
            if progress.outgoing.has_ended() {
                return Ok(EndOfVisit::Over);
            }
            progress.status.set(PublishState::Waiting);
            progress.outgoing.changed().await;
        }
        progress.status.count_connect();
        if self.held_until.is_some_and(|until| Instant::now() < until) {
            return self.post_parts(progress).await.map(EndOfBody::of_visit);
        }
        let end = match self.stream(progress, generation, state.received()).await? {
            EndOfBody::Held => {
                self.held_until = Some(Instant::now() + HELD_FOR);
                let hub = progress.status.url();
                warn!(hub, hint = NGINX, "a proxy holds the upload back; from now on a request is made for each few parts");
                self.post_parts(progress).await?
            }
            end => end,
        };
        Ok(end.of_visit())
    }

    /// Sends parts in a body that goes on.
    async fn stream(
        &mut self,
        progress: &mut PublishProgress,
        generation: u64,
        before: HashMap<String, u64>,
    ) -> std::result::Result<EndOfBody, Loss> {
        let feeder = PartsFeeder::new(progress.outgoing.clone(), generation, self.boundary.clone(), self.keepalive);
        let mut upload_progress = feeder.progress();
        let client = HubClient::new(&self.access, &self.boundary, &self.process);
        let mut client = client.map_err(|error| Loss::new(error.sentence()))?;
        let mut upload = pin!(client.stream(PartsBody::new(feeder)));
        let mut arrivals = Arrivals { before, ..Arrivals::default() };
        loop {
            let next = arrivals.next;
            let ask = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                result = &mut upload => return self.end_of_stream(progress, result, &arrivals),
                changed = upload_progress.changed() => {
                    let now = upload_progress.borrow_and_update().clone();
                    if now.has_begun {
                        progress.note_live();
                    }
                    if let Some((feed, sequence, at)) = now.first.filter(|_| arrivals.next.is_none()) {
                        (arrivals.next, arrivals.expected) = (Some(at + ASK_AFTER), Some((feed, sequence)));
                    }
                    if changed.is_err() {
                        // The connection has ended; the response tells why.
                        let result = upload.as_mut().await;
                        return self.end_of_stream(progress, result, &arrivals);
                    }
                }
                () = sleep(LOOK_EVERY) => self.remove_gone(progress).await,
                () = ask => {
                    if !arrivals.is_expected() {
                        (arrivals.next, arrivals.expected) = (Some(Instant::now() + ASK_AFTER), progress.outgoing.latest());
                        continue;
                    }
                    let received = self.hub.ask().await;
                    arrivals.next = Some(Instant::now() + ASK_EVERY);
                    // Whether the hub is lost, the connection itself tells best.
                    let Ok(received) = received.map(|state| state.received()) else { continue };
                    match arrivals.has_come(&received) {
                        true => arrivals.expected = progress.outgoing.latest(),
                        false if arrivals.is_proven => return Err(Loss::new("parts no longer arrive at the hub")),
                        false => return Ok(EndOfBody::Held),
                    }
                }
            }
        }
    }

    /// Removes what is no longer here.
    async fn remove_gone(&mut self, progress: &PublishProgress) {
        for name in progress.outgoing.gone() {
            match self.hub.remove(&name).await {
                Ok(()) => info!(hub = progress.status.url(), feed = name, "the feed is gone here, and removed there"),
                Err(refusal) => debug!(feed = name, "not removed: {}", refusal.loss.reason),
            }
        }
    }

    fn end_of_stream(
        &self,
        progress: &PublishProgress,
        result: std::result::Result<(), HubRefusal>,
        arrivals: &Arrivals,
    ) -> std::result::Result<EndOfBody, Loss> {
        match result {
            Ok(()) if progress.outgoing.has_ended() => Ok(EndOfBody::Over),
            // An answer in the middle of the body: what gave it does not wait for the rest.
            Ok(()) if !arrivals.is_proven => Ok(EndOfBody::Held),
            Ok(()) => Err(Loss::new("the hub has ended the stream")),
            Err(refusal) => {
                let is_of_length = refusal.status.is_some_and(|status| matches!(status.as_u16(), 411 | 413 | 501));
                if is_of_length && !refusal.is_of_hub {
                    return Ok(EndOfBody::Held);
                }
                refused(progress, refusal).map(|()| EndOfBody::OneRefused)
            }
        }
    }

    /// Sends parts in a body for each few of them, until one is refused.
    async fn post_parts(&mut self, progress: &mut PublishProgress) -> std::result::Result<EndOfBody, Loss> {
        let state = self.hub.ask().await.map_err(|refusal| refusal.loss)?;
        let generation = progress.outgoing.begin(state.remote());
        let (mut asked, mut expected) = (Instant::now(), None);
        loop {
            let chunks = self.chunks(progress, generation).await;
            if chunks.is_empty() {
                return Ok(EndOfBody::Over);
            }
            self.remove_gone(progress).await;
            if let Err(refusal) = self.post(progress, &chunks).await {
                return refused(progress, refusal).map(|()| EndOfBody::OneRefused);
            }
            progress.note_live();
            if asked.elapsed() >= ASK_EVERY {
                let now = self.hub.ask().await.map_err(|refusal| refusal.loss)?;
                if now.process != state.process {
                    return Err(Loss::new("the hub was started again"));
                }
                let received = now.received();
                asked = Instant::now();
                if let Some((feed, _)) = expected.filter(|(feed, _): &(String, u64)| !received.contains_key(feed)) {
                    let pause = progress.outgoing.set_aside(&feed);
                    let hub = progress.status.url();
                    warn!(hub, feed, ?pause, "not publishing this feed: another one publishes under this name");
                }
                expected = progress.outgoing.latest();
            }
        }
    }

    /// The parts for one body, as they were taken; none at the end of all feeds.
    async fn chunks(&self, progress: &PublishProgress, generation: u64) -> Vec<Vec<u8>> {
        let (mut chunks, mut writer): (Vec<Vec<u8>>, _) = (Vec::new(), PartsWriter::new(&self.process));
        let next = || progress.outgoing.repeat_after(REPEAT_AFTER, generation).or_else(|| progress.outgoing.take(generation));
        loop {
            while chunks.iter().map(Vec::len).sum::<usize>() < BATCH
                && let Some(batch) = next()
            {
                chunks.push(writer.write(&batch));
            }
            if !chunks.is_empty() || progress.outgoing.has_ended() {
                return chunks;
            }
            tokio::select! {
                () = progress.outgoing.changed() => {}
                () = sleep(REPEAT_LOOK) => {}
            }
        }
    }

    /// Posts these chunks in one body; one by one where a proxy takes no such body.
    async fn post(&mut self, progress: &PublishProgress, chunks: &[Vec<u8>]) -> std::result::Result<(), HubRefusal> {
        let result = self.hub.post(self.body(chunks)).await;
        let is_too_large = |refusal: &HubRefusal| refusal.status.is_some_and(|status| status.as_u16() == 413);
        match (result, chunks) {
            (Err(refusal), [chunk]) if is_too_large(&refusal) => {
                if !std::mem::replace(&mut self.has_said_large, true) {
                    let (hub, bytes, reason) = (progress.status.url(), chunk.len(), &refusal.loss.reason);
                    warn!(hub, bytes, hint = NGINX, "a part is too large to be published: {reason}");
                }
                Ok(())
            }
            (Err(refusal), [_, _, ..]) if is_too_large(&refusal) => {
                for chunk in chunks {
                    Box::pin(self.post(progress, std::slice::from_ref(chunk))).await?;
                }
                Ok(())
            }
            (result, _) => result,
        }
    }

    fn body(&self, chunks: &[Vec<u8>]) -> Bytes {
        let (first, last) = (self.boundary.first_delimiter(), self.boundary.close_delimiter_alone());
        let parts = chunks.iter().map(Vec::as_slice);
        [&first[..]].into_iter().chain(parts).chain([&last[..]]).collect::<Vec<_>>().concat().into()
    }
}

/// Leaves one feed alone, if the refusal is about one of those that are published.
fn refused(progress: &PublishProgress, refusal: HubRefusal) -> std::result::Result<(), Loss> {
    let HubRefusal { feed, loss, .. } = refusal;
    let Some(feed) = feed.filter(|feed| progress.outgoing.has(feed)) else { return Err(loss) };
    let (pause, hub, reason) = (progress.outgoing.set_aside(&feed), progress.status.url(), &loss.reason);
    warn!(hub, feed, ?pause, "not publishing this feed: {reason}{}", loss.hint_text());
    progress.status.lose(loss.reason);
    Ok(())
}
