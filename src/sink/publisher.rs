//! Publishes all feeds of this process to a hub: one connection for all of them, another one after each loss, or, where a proxy holds a
//! body back until its end, a request for each few parts. It knows no bytes of parts.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::{
    arrivals::Arrivals,
    hub_client::{HubAccess, HubClient, HubRefusal},
    outgoing::{Outgoing, PublishNames},
    parts_body::{PartsBody, PartsFeeder},
    publish_status::{PublishState, PublishStatus},
};
use crate::{
    error::Result,
    feed::Registry,
    loss::{Loss, Losses},
    panic::{PanicScope, catch_async},
    wire::Boundary,
};

/// When the hub is asked whether parts arrive: this long after the first has left, and then from time to time.
const ASK_AFTER: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_secs(60);
/// How often removed feeds are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the hub may take nothing when this process ends, and how long the rest may take.
const LAST: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// The pause after one feed of several was refused.
const SHORT: Duration = Duration::from_millis(200);
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

/// Where feeds are published, and under which names.
#[derive(Debug, Clone)]
pub struct PublishSettings {
    /// The hub.
    pub hub: HubAccess,
    /// What the first feed is called there, if the user gave a name; it comes before the names of the others.
    pub name: Option<String>,
    /// Whether it comes before all names.
    pub are_several: bool,
    /// The silence after which a part is repeated.
    pub keepalive: Duration,
}

/// Publishes the feeds of a registry.
#[derive(Debug)]
pub struct HubPublisher {
    settings: PublishSettings,
    boundary: Boundary,
    process: String,
    outgoing: Arc<Outgoing>,
    status: Arc<PublishStatus>,
    /// For questions and whole bodies; a body that goes on has a client of its own.
    hub: HubClient,
    /// A proxy held a body back; until then no other is tried.
    held_until: Option<Instant>,
    /// Whether it was live before.
    was_live: bool,
    /// Whether a part that was too large was told of.
    has_said_large: bool,
}

/// How a connection has ended.
enum EndOfVisit {
    /// There is nothing more to publish.
    Over,
    /// One feed is refused, and left alone.
    OneRefused,
    /// A proxy holds bodies back.
    Held,
}

impl HubPublisher {
    /// A publisher of these feeds, which it reads from now on.
    ///
    /// # Errors
    /// If the certificates for the hub cannot be used.
    pub fn new(settings: PublishSettings, registry: &Arc<Registry>) -> Result<Self> {
        let boundary = registry.boundary().clone();
        let process = registry.process().to_owned();
        let hub = HubClient::new(&settings.hub, &boundary, &process)?;
        let status = Arc::new(PublishStatus::new(settings.hub.root.to_string()));
        let names = PublishNames { given: settings.name.clone(), are_several: settings.are_several };
        let outgoing = Arc::new(Outgoing::new(registry.clone(), names, status.clone()));
        Ok(Self { settings, boundary, process, outgoing, status, hub, held_until: None, was_live: false, has_said_large: false })
    }

    /// How it goes.
    pub fn status(&self) -> Arc<PublishStatus> {
        self.status.clone()
    }

    /// Publishes until all feeds have ended and the hub has the rest, for which it has a limited time.
    pub async fn run(mut self) {
        let (outgoing, status) = (self.outgoing.clone(), self.status.clone());
        let work = async {
            // A panic has been logged.
            while catch_async(PanicScope::Publisher, self.work()).await.is_err() {
                sleep(LAST.0).await;
            }
        };
        let mut work = pin!(work);
        tokio::select! {
            () = &mut work => return,
            () = outgoing.ended() => {}
        }
        let deadline = Instant::now() + LAST.1;
        let mut sent = status.published();
        while timeout(LAST.0, &mut work).await.is_err() {
            let before = std::mem::replace(&mut sent, status.published());
            if sent == before || Instant::now() >= deadline {
                warn!("the hub does not take the last parts");
                return;
            }
        }
    }

    async fn work(&mut self) {
        let mut losses = Losses::new(self.status.url().to_owned());
        loop {
            let was_ended = self.outgoing.has_ended();
            self.status.set(PublishState::Connecting);
            let began = Instant::now();
            let was_live = self.was_live;
            self.was_live = false;
            let ended = self.visit(was_live).await;
            let is_good = self.was_live && began.elapsed() >= Duration::from_secs(3);
            if self.was_live {
                losses.note_live(is_good);
            }
            self.was_live |= was_live;
            match ended {
                Ok(EndOfVisit::Over) => return,
                Ok(_) => sleep(SHORT).await,
                Err(loss) if was_ended => {
                    return warn!(hub = self.status.url(), "the last parts may not be at the hub: {}", loss.reason);
                }
                Err(loss) => {
                    let (pause, is_new) = losses.note(&loss);
                    self.say_lost(&loss, pause, is_new);
                    tokio::select! {
                        () = sleep(pause) => {}
                        // One more attempt is made then.
                        () = self.outgoing.ended() => {}
                    }
                }
            }
        }
    }

    fn say_lost(&self, loss: &Loss, pause: Duration, is_new: bool) {
        let (hub, reason) = (self.status.url(), &loss.reason);
        match is_new {
            true => warn!(hub, ?pause, "not publishing: {reason}{}", loss.hint_text()),
            false => debug!(hub, ?pause, "still not publishing: {reason}"),
        }
        self.status.lose(reason.clone());
    }

    /// Notes that parts are on their way.
    fn note_live(&mut self, was_live: bool) {
        if !self.was_live {
            let hub = self.status.url();
            info!(hub, "{}", if was_live { "publishing again" } else { "publishing" });
        }
        self.was_live = true;
        self.status.set(PublishState::Live);
    }

    /// One connection.
    async fn visit(&mut self, was_live: bool) -> std::result::Result<EndOfVisit, Loss> {
        let state = self.hub.ask().await.map_err(|refusal| refusal.loss)?;
        let generation = self.outgoing.begin(&state);
        while !self.outgoing.has_parts() {
            if self.outgoing.has_ended() {
                return Ok(EndOfVisit::Over);
            }
            self.status.set(PublishState::Waiting);
            self.outgoing.changed().await;
        }
        self.status.count_connect();
        if self.held_until.is_some_and(|until| Instant::now() < until) {
            return self.post_parts(was_live).await;
        }
        match self.stream(generation, state.received(), was_live).await? {
            EndOfVisit::Held => {
                self.held_until = Some(Instant::now() + HELD_FOR);
                let hub = self.status.url();
                warn!(hub, hint = NGINX, "a proxy holds the upload back; from now on a request is made for each few parts");
                self.post_parts(was_live).await
            }
            end => Ok(end),
        }
    }

    /// Sends parts in a body that goes on.
    async fn stream(
        &mut self,
        generation: u64,
        before: HashMap<String, u64>,
        was_live: bool,
    ) -> std::result::Result<EndOfVisit, Loss> {
        let feeder = PartsFeeder::new(self.outgoing.clone(), generation, self.boundary.clone(), self.settings.keepalive);
        let mut progress = feeder.progress();
        let client = HubClient::new(&self.settings.hub, &self.boundary, &self.process);
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
                result = &mut upload => return self.end_of_stream(result, &arrivals),
                changed = progress.changed() => {
                    let now = progress.borrow_and_update().clone();
                    if now.has_begun {
                        self.note_live(was_live);
                    }
                    if let Some((feed, sequence, at)) = now.first.filter(|_| arrivals.next.is_none()) {
                        (arrivals.next, arrivals.expected) = (Some(at + ASK_AFTER), Some((feed, sequence)));
                    }
                    if changed.is_err() {
                        // The connection has ended; the response tells why.
                        let result = upload.as_mut().await;
                        return self.end_of_stream(result, &arrivals);
                    }
                }
                () = sleep(LOOK_EVERY) => self.remove_gone().await,
                () = ask => {
                    if !arrivals.is_expected() {
                        (arrivals.next, arrivals.expected) = (Some(Instant::now() + ASK_AFTER), self.outgoing.latest());
                        continue;
                    }
                    let received = self.hub.ask().await;
                    arrivals.next = Some(Instant::now() + ASK_EVERY);
                    // Whether the hub is lost, the connection itself tells best.
                    let Ok(received) = received.map(|state| state.received()) else { continue };
                    match arrivals.has_come(&received) {
                        true => arrivals.expected = self.outgoing.latest(),
                        false if arrivals.is_proven => return Err(Loss::new("parts no longer arrive at the hub")),
                        false => return Ok(EndOfVisit::Held),
                    }
                }
            }
        }
    }

    /// Removes what is no longer here.
    async fn remove_gone(&mut self) {
        for name in self.outgoing.gone() {
            match self.hub.remove(&name).await {
                Ok(()) => info!(hub = self.status.url(), feed = name, "the feed is gone here, and removed there"),
                Err(refusal) => debug!(feed = name, "not removed: {}", refusal.loss.reason),
            }
        }
    }

    fn end_of_stream(
        &self,
        result: std::result::Result<(), HubRefusal>,
        arrivals: &Arrivals,
    ) -> std::result::Result<EndOfVisit, Loss> {
        match result {
            Ok(()) if self.outgoing.has_ended() => Ok(EndOfVisit::Over),
            // An answer in the middle of the body: what gave it does not wait for the rest.
            Ok(()) if !arrivals.is_proven => Ok(EndOfVisit::Held),
            Ok(()) => Err(Loss::new("the hub has ended the stream")),
            Err(refusal) => {
                let is_of_length = refusal.status.is_some_and(|status| matches!(status.as_u16(), 411 | 413 | 501));
                if is_of_length && !refusal.is_of_hub {
                    return Ok(EndOfVisit::Held);
                }
                self.refused(refusal).map(|()| EndOfVisit::OneRefused)
            }
        }
    }

    /// Leaves one feed alone, if the refusal is about one of those that are published.
    fn refused(&self, refusal: HubRefusal) -> std::result::Result<(), Loss> {
        let HubRefusal { feed, loss, .. } = refusal;
        let Some(feed) = feed.filter(|feed| self.outgoing.has(feed)) else { return Err(loss) };
        let (pause, hub, reason) = (self.outgoing.set_aside(&feed), self.status.url(), &loss.reason);
        warn!(hub, feed, ?pause, "not publishing this feed: {reason}{}", loss.hint_text());
        self.status.lose(loss.reason);
        Ok(())
    }

    /// Sends parts in a body for each few of them, until one is refused.
    async fn post_parts(&mut self, was_live: bool) -> std::result::Result<EndOfVisit, Loss> {
        let state = self.hub.ask().await.map_err(|refusal| refusal.loss)?;
        let generation = self.outgoing.begin(&state);
        let (mut asked, mut expected) = (Instant::now(), None);
        loop {
            let chunks = self.chunks(generation).await;
            if chunks.is_empty() {
                return Ok(EndOfVisit::Over);
            }
            self.remove_gone().await;
            self.outgoing.begin_body();
            if let Err(refusal) = self.post(&chunks).await {
                return self.refused(refusal).map(|()| EndOfVisit::OneRefused);
            }
            self.note_live(was_live);
            if asked.elapsed() >= ASK_EVERY {
                let now = self.hub.ask().await.map_err(|refusal| refusal.loss)?;
                if now.process != state.process {
                    return Err(Loss::new("the hub was started again"));
                }
                let received = now.received();
                asked = Instant::now();
                if let Some((feed, _)) = expected.filter(|(feed, _): &(String, u64)| !received.contains_key(feed)) {
                    let pause = self.outgoing.set_aside(&feed);
                    let hub = self.status.url();
                    warn!(hub, feed, ?pause, "not publishing this feed: another one publishes under this name");
                }
                expected = self.outgoing.latest();
            }
        }
    }

    /// The parts for one body, as they were taken; none at the end of all feeds.
    async fn chunks(&self, generation: u64) -> Vec<Vec<u8>> {
        let mut chunks: Vec<Vec<u8>> = Vec::new();
        let next = || self.outgoing.repeat_after(REPEAT_AFTER, generation).or_else(|| self.outgoing.take(generation));
        loop {
            while chunks.iter().map(Vec::len).sum::<usize>() < BATCH
                && let Some(chunk) = next()
            {
                chunks.push(chunk);
            }
            if !chunks.is_empty() || self.outgoing.has_ended() {
                return chunks;
            }
            tokio::select! {
                () = self.outgoing.changed() => {}
                () = sleep(REPEAT_LOOK) => {}
            }
        }
    }

    /// Posts these chunks in one body; one by one where a proxy takes no such body.
    async fn post(&mut self, chunks: &[Vec<u8>]) -> std::result::Result<(), HubRefusal> {
        let result = self.hub.post(self.body(chunks)).await;
        let is_too_large = |refusal: &HubRefusal| refusal.status.is_some_and(|status| status.as_u16() == 413);
        match (result, chunks) {
            (Err(refusal), [chunk]) if is_too_large(&refusal) => {
                if !std::mem::replace(&mut self.has_said_large, true) {
                    let (hub, bytes, reason) = (self.status.url(), chunk.len(), &refusal.loss.reason);
                    warn!(hub, bytes, hint = NGINX, "a part is too large to be published: {reason}");
                }
                Ok(())
            }
            (Err(refusal), [_, _, ..]) if is_too_large(&refusal) => {
                for chunk in chunks {
                    Box::pin(self.post(std::slice::from_ref(chunk))).await?;
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
