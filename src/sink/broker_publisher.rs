//! One connection to a broker for all feeds (docs/mqtt.md): the parts of each in a topic, what is to be known about them in another, and
//! whether this process is there. It makes no second connection.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    broker_link::BrokerLink,
    discovery::DiscoveredAs,
    hub_client::of_publish,
    outgoing_feed::{OutgoingBatch, Remote},
    publish_progress::{EndOfVisit, PublishProgress},
    retain_check::RetainCheck,
    size_limit::{SIZE_HINT, SizeLimit, SizeVerdict},
    topic_proof::{TOPIC_HINT, TopicProof},
};
use crate::{
    error::Error,
    feed::Kind,
    format::Media,
    loss::{GOOD_VISIT, Loss, Retry},
    mqtt::{BrokerConnection, BrokerSettings, LastWill, Message, PartMeta, TopicPrefix},
    wire::Encoded,
};

/// What stands in the topic about this process.
const ONLINE: &str = "online";
const OFFLINE: &str = "offline";
/// How often removed feeds are looked for, and what has changed of feeds while parts are sent.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a broker is left alone that accepts a connection and ends it soon, for no reason that is known.
const AFTER_SHORT: Duration = Duration::from_secs(4);
/// How long the broker has for what it knows of a relayed feed.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// A broker, and where feeds are published there.
#[derive(Debug, Clone)]
pub struct BrokerAccess {
    /// How it is reached.
    pub broker: BrokerSettings,
    /// What all topics begin with.
    pub prefix: TopicPrefix,
    /// Whether pictures are announced to Home Assistant.
    pub discovery: Option<DiscoveredAs>,
}

/// Without user and password.
impl fmt::Display for BrokerAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.broker.broker, self.prefix.as_str())
    }
}

/// Publishes to a broker.
#[derive(Debug)]
pub(super) struct BrokerPublisher {
    access: BrokerAccess,
    /// The last part of each feed that was sent, by its name there.
    sent: HashMap<String, u64>,
    /// What was told last of each feed.
    metas: HashMap<Arc<str>, PartMeta>,
    topics: TopicProof,
    sizes: SizeLimit,
    retained: RetainCheck,
    /// The type of the pictures of each feed that was announced on this connection; none where its parts are no pictures.
    announced: HashMap<Arc<str>, Option<Media>>,
    /// Relayed feeds of which the broker is asked what it knows, by topic, and since when.
    asked: HashMap<String, (Arc<str>, Instant)>,
}

impl BrokerPublisher {
    /// A publisher that has no connection yet.
    ///
    /// # Errors
    /// If the certificates for the broker cannot be used.
    pub(super) fn new(access: BrokerAccess) -> Result<Self, Error> {
        access.broker.check().map_err(|error| error.map(&of_publish))?;
        let (topics, sizes, retained) = Default::default();
        Ok(Self {
            access,
            sent: HashMap::new(),
            metas: HashMap::new(),
            topics,
            sizes,
            retained,
            announced: HashMap::new(),
            asked: HashMap::new(),
        })
    }

    /// One connection.
    pub(super) async fn visit(&mut self, progress: &mut PublishProgress) -> Result<EndOfVisit, Loss> {
        let will = LastWill { topic: self.access.prefix.status(), payload: OFFLINE };
        let opened = BrokerConnection::open(&self.access.broker, Some(will)).await;
        let connection = opened.map_err(|loss| Loss { hint: loss.hint.map(|hint| of_publish(&hint).into()), ..loss })?;
        self.topics.begin();
        self.sizes.begin();
        self.retained.begin();
        self.announced.clear();
        self.asked.clear();
        let (began, mut link) = (Instant::now(), BrokerLink::new(connection));
        match self.serve(progress, &mut link).await {
            Ok(()) => {
                link.connection.close().await;
                Ok(EndOfVisit::Over)
            }
            Err(loss) => Err(self.note_loss(progress, loss, began)),
        }
    }

    /// Finds out why a connection has ended.
    fn note_loss(&mut self, progress: &PublishProgress, loss: Loss, began: Instant) -> Loss {
        if let Some(name) = self.topics.refused() {
            let alike = progress.outgoing.names().into_iter().filter(|other| self.topics.is_alike(other, &name));
            alike.chain(Some(name.clone())).collect::<HashSet<_>>().iter().for_each(|name| {
                progress.outgoing.set_aside(name);
            });
            let reason =
                format!("{} at the topic {:?}, which is left out for minutes", loss.reason, self.access.prefix.body(&name));
            return Loss { reason, hint: Some(TOPIC_HINT.into()), ..loss };
        }
        match self.sizes.end(loss) {
            SizeVerdict::Refused(loss) => loss,
            SizeVerdict::Unknown(loss) if began.elapsed() < GOOD_VISIT => Loss { retry: Retry::NotBefore(AFTER_SHORT), ..loss },
            SizeVerdict::Unknown(loss) => loss,
        }
    }

    async fn serve(&mut self, progress: &mut PublishProgress, link: &mut BrokerLink) -> Result<(), Loss> {
        let status = self.access.prefix.status();
        link.publish(&status, ONLINE, true).await?;
        // Another process may publish below the same prefix, and end.
        link.subscribe(&status).await?;
        progress.status.count_connect();
        let outgoing = progress.outgoing.clone();
        let generation = outgoing.begin(self.remote());
        let mut next_look = Instant::now();
        loop {
            // Not those that come meanwhile: parts have their turn too.
            for message in link.inbox.take() {
                self.receive(progress, link, message).await?;
            }
            let batch = outgoing.take(generation);
            if batch.is_none() || Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_EVERY;
                self.look(progress, link).await?;
            }
            match batch {
                Some(batch) => {
                    self.send(link, outgoing.process(), &batch).await?;
                    progress.note_live();
                }
                None if outgoing.has_ended() => return self.say_goodbye(link).await,
                None => {
                    progress.note_waiting();
                    tokio::select! {
                        () = outgoing.changed() => {}
                        message = link.connection.next() => link.inbox.put(message?),
                        () = sleep(LOOK_EVERY) => {}
                    }
                }
            }
        }
    }

    fn remote(&self) -> Remote {
        let (sent, max_part) = (self.sent.clone(), self.sizes.max_part());
        Remote { process: None, sent, max_part, size_hint: SIZE_HINT, is_retaining: true }
    }

    /// Sends parts, and before each, or before several lines of this process, what is to be known about it.
    async fn send(&mut self, link: &mut BrokerLink, process: &str, batch: &OutgoingBatch) -> Result<(), Loss> {
        let OutgoingBatch { name, kind, parts, .. } = batch;
        let is_retained = *kind != Kind::Lines;
        for (at, part) in parts.iter().enumerate() {
            // Lines that a relay gives again after a restart are known by their times.
            if at == 0 || is_retained || !batch.hops.is_empty() {
                let meta = meta_of(batch, part, process);
                let is_to_be_proven = self.topics.send(name);
                link.publish(&self.access.prefix.meta(name), meta.to_json(), true).await?;
                if is_to_be_proven {
                    link.settle(&self.access.prefix).await?;
                    self.topics.prove();
                }
                self.metas.insert(name.clone(), meta);
            }
            self.send_body(link, name, part, is_retained).await?;
            self.sent.insert(name.to_string(), part.sequence());
        }
        let Some(last) = parts.last() else { return Ok(()) };
        self.announce(link, name, last.media()).await
    }

    async fn send_body(&mut self, link: &mut BrokerLink, name: &Arc<str>, part: &Encoded, is_retained: bool) -> Result<(), Loss> {
        let (topic, body) = (self.access.prefix.body(name), part.body());
        let is_to_be_proven = self.sizes.send(name, body.len());
        link.publish(&topic, Bytes::copy_from_slice(body), is_retained).await?;
        if is_to_be_proven {
            link.settle(&self.access.prefix).await?;
            self.sizes.prove();
        }
        if is_retained && self.retained.publish(&topic, body.len()) && !link.subscribe(&topic).await? {
            info!(to = %self.access, topic, "the broker does not let this user read the topic: whether parts arrive is not known");
            self.retained.refuse();
        }
        Ok(())
    }

    /// Announces a feed to Home Assistant, if its parts are pictures.
    async fn announce(&mut self, link: &mut BrokerLink, name: &Arc<str>, media: &Media) -> Result<(), Loss> {
        let Some(discovery) = self.access.discovery else { return Ok(()) };
        let media = Some(media).filter(|media| DiscoveredAs::shows(media));
        if self.announced.get(name).is_some_and(|known| known.as_ref() == media) {
            return Ok(());
        }
        let config = media.map(|media| discovery.config(&self.access.prefix, name, media));
        self.announced.insert(name.clone(), media.cloned());
        link.publish(&discovery.topic(&self.access.prefix, name), config.unwrap_or_default(), true).await
    }

    /// Looks what has changed beside parts.
    async fn look(&mut self, progress: &PublishProgress, link: &mut BrokerLink) -> Result<(), Loss> {
        let (outgoing, prefix) = (&progress.outgoing, self.access.prefix.clone());
        for (name, is_live) in outgoing.changed_lives() {
            let Some(meta) = self.metas.get_mut(&name) else { continue };
            meta.live = is_live;
            link.publish(&prefix.meta(&name), meta.to_json(), true).await?;
        }
        for name in outgoing.gone() {
            self.forget(link, &name).await?;
            info!(to = progress.url(), feed = name, "the feed is gone here, and removed there");
        }
        for name in outgoing.unchecked() {
            if let Entry::Vacant(place) = self.asked.entry(prefix.meta(&name)) {
                link.subscribe(place.key()).await?;
                place.insert((name, Instant::now()));
            }
        }
        let is_unknown = |_: &String, (_, since): &mut (Arc<str>, Instant)| since.elapsed() >= KNOWN_WITHIN;
        for (topic, (name, _)) in self.asked.extract_if(is_unknown).collect::<Vec<_>>() {
            outgoing.set_checked(&name);
            link.unsubscribe(&topic).await?;
        }
        if let Some((topic, bytes)) = self.retained.expire() {
            let (to, hint) = (
                progress.url(),
                "may the user write and read it (acl_file)? Does the broker retain messages of that size (of mosquitto: \
                 retain_available, message_size_limit; of EMQX: retainer.max_payload_size)?",
            );
            warn!(
                to,
                topic, bytes, hint, "this part does not come back from the broker: readers that come later do not have it at once"
            );
            link.unsubscribe(&topic).await?;
        }
        Ok(())
    }

    /// Empties the topics of a feed.
    async fn forget(&mut self, link: &mut BrokerLink, name: &str) -> Result<(), Loss> {
        let prefix = &self.access.prefix;
        let mut topics = vec![prefix.body(name), prefix.meta(name)];
        topics.extend(self.access.discovery.map(|discovery| discovery.topic(prefix, name)));
        for topic in topics {
            link.publish(&topic, Bytes::new(), true).await?;
        }
        self.metas.remove(name);
        self.announced.remove(name);
        Ok(())
    }

    async fn receive(&mut self, progress: &PublishProgress, link: &mut BrokerLink, message: Message) -> Result<(), Loss> {
        let Message { topic, payload, is_retained } = message;
        if topic == self.access.prefix.status() {
            return match &payload[..] == OFFLINE.as_bytes() {
                true => link.publish(&topic, ONLINE, true).await,
                false => Ok(()),
            };
        }
        if let Some((name, _)) = self.asked.remove(&topic) {
            check_way(progress, &name, &payload);
            return link.unsubscribe(&topic).await;
        }
        match self.retained.receive(&topic, payload.len(), is_retained) {
            true => link.unsubscribe(&topic).await,
            false => Ok(()),
        }
    }

    /// Says that this process and its feeds are no longer there. Their last parts stay.
    async fn say_goodbye(&mut self, link: &mut BrokerLink) -> Result<(), Loss> {
        for (name, meta) in self.metas.iter_mut().filter(|(_, meta)| meta.live) {
            meta.live = false;
            link.publish(&self.access.prefix.meta(name), meta.to_json(), true).await?;
        }
        link.publish(&self.access.prefix.status(), OFFLINE, true).await
    }
}

/// What is to be known about a part.
fn meta_of(batch: &OutgoingBatch, part: &Encoded, process: &str) -> PartMeta {
    let via = batch.hops.clone().with(process);
    PartMeta {
        media: part.media().to_string(),
        time: PartMeta::seconds(part.time()),
        sequence: part.sequence(),
        bytes: part.body().len(),
        kind: batch.kind.header_value().or(Kind::Newest.header_value()).unwrap_or_default().to_owned(),
        via: via.names().map(str::to_owned).collect(),
        live: batch.is_live,
    }
}

/// Leaves a relayed feed alone if it comes from the very topic that it would be published to, as far as is told there.
fn check_way(progress: &PublishProgress, name: &str, told: &[u8]) {
    let (meta, hops) = (PartMeta::parse(told), progress.outgoing.hops(name).unwrap_or_default());
    if !meta.as_ref().and_then(PartMeta::process).is_some_and(|process| hops.has(process)) {
        return progress.outgoing.set_checked(name);
    }
    let (pause, to) = (progress.outgoing.set_aside(name), progress.url());
    let hint = "--publish-name, or another prefix in the URL";
    warn!(to, feed = name, ?pause, hint, "not publishing this feed: it comes from this topic, and would go in a circle");
}
