//! The feeds that are published, each from where the hub has it: the bytes of their parts in turns. It is a reader of every feed all the
//! time, so that no source rests, and knows no connection: one that ends is followed by another generation of cursors.

use std::{collections::HashMap, sync::Arc, task::Wake, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tracing::warn;

use super::{hub_client::HubState, publish_status::PublishStatus};
use crate::{
    feed::{Feed, Hops, Kind, Mount, Registry, StartAt, Subscription, TakeLimit, url_name},
    sync::Mutex,
    wire::{Encoded, Layout},
};

/// The shard that it reads.
const SHARD: usize = 0;
/// How long a feed that another one publishes is left alone, at first and at most.
const ASIDE: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(15 * 60));
/// How long a feed has to be gone before it is removed there: it may be opened again.
const GONE_AFTER: Duration = Duration::from_secs(5);

/// What the feeds are called at the hub.
#[derive(Debug, Clone, Default)]
pub(super) struct PublishNames {
    /// The name that the user gave.
    pub(super) given: Option<String>,
    /// Whether it comes before the names of all feeds. Otherwise the first feed has it alone.
    pub(super) are_several: bool,
}

impl PublishNames {
    fn name_of(&self, own: &str, is_first: bool) -> String {
        match &self.given {
            None => own.to_owned(),
            Some(given) if is_first && !self.are_several => given.clone(),
            Some(given) => format!("{given}/{own}"),
        }
    }
}

/// The feeds that are published, shared by the connection that sends them and the publisher.
#[derive(Debug)]
pub(super) struct Outgoing {
    registry: Arc<Registry>,
    key: usize,
    changes: Arc<FeedChanges>,
    list: Mutex<OutgoingList>,
}

/// Wakes one who waits for a change of a feed.
#[derive(Debug, Default)]
struct FeedChanges(Notify);

impl Wake for FeedChanges {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[derive(Debug)]
struct OutgoingList {
    names: PublishNames,
    status: Arc<PublishStatus>,
    /// The version of the registry that was followed last.
    version: Option<u64>,
    /// The number of the first mount.
    first: Option<u64>,
    feeds: Vec<OutgoingFeed>,
    /// Feeds that were removed, by their names there, and when.
    gone: Vec<(String, Instant)>,
    /// Feeds that the hub refuses, by their names there: until when, and for how long the next time.
    aside: HashMap<String, (Instant, Duration)>,
    /// The largest part that the hub takes, in bytes.
    max_part: usize,
    /// The name of the hub's process, and how far it has each feed.
    hub: Option<String>,
    received: HashMap<String, u64>,
    generation: u64,
    /// Whose turn it is.
    turn: usize,
    /// The last part that was taken.
    latest: Option<(String, u64)>,
}

#[derive(Debug)]
struct OutgoingFeed {
    number: u64,
    feed: Arc<Feed>,
    /// Its name there, and as it is sent.
    name: String,
    url_name: String,
    subscription: Subscription,
    /// The key of the waker of a run.
    waker: Option<usize>,
    /// What this connection has been told of the way of the feed.
    told: Option<Hops>,
    /// Whether this connection has a part of it.
    has_begun: bool,
    /// When a part of it was taken last.
    sent: Instant,
    /// Whether it was removed; its last parts are still sent.
    is_gone: bool,
    /// Whether a part that is too large was told of.
    has_said_large: bool,
}

impl Outgoing {
    pub(super) fn new(registry: Arc<Registry>, names: PublishNames, status: Arc<PublishStatus>) -> Self {
        let changes = Arc::<FeedChanges>::default();
        let key = registry.register_waker(SHARD, changes.clone().into());
        let list = OutgoingList {
            names,
            status,
            version: None,
            first: None,
            feeds: Vec::new(),
            gone: Vec::new(),
            aside: HashMap::new(),
            max_part: usize::MAX,
            hub: None,
            received: HashMap::new(),
            generation: 0,
            turn: 0,
            latest: None,
        };
        let outgoing = Self { registry, key, changes, list: Mutex::new(list) };
        outgoing.list.lock().follow(&outgoing.registry, &outgoing.changes);
        outgoing
    }

    /// Begins anew, behind what the hub has. Returns the number of this generation.
    pub(super) fn begin(&self, hub: &HubState) -> u64 {
        let mut list = self.list.lock();
        list.generation += 1;
        (list.hub, list.received, list.latest) = (Some(hub.process.clone()), hub.received(), None);
        list.max_part = hub.max_part.unwrap_or(usize::MAX);
        list.follow(&self.registry, &self.changes);
        let OutgoingList { feeds, received, .. } = &mut *list;
        feeds.iter_mut().for_each(|feed| feed.begin(received.get(&feed.name).copied()));
        list.generation
    }

    /// Has every feed told anew: another body begins.
    pub(super) fn begin_body(&self) {
        self.list.lock().feeds.iter_mut().for_each(|feed| feed.told = None);
    }

    /// The bytes of the next parts, with the delimiter behind each; `None` if there is none.
    pub(super) fn take(&self, generation: u64) -> Option<Vec<u8>> {
        let mut list = self.list.lock();
        if list.generation != generation {
            return None;
        }
        list.follow(&self.registry, &self.changes);
        list.take(self.registry.process())
    }

    /// The smallest of the newest parts again, as a sign of life.
    pub(super) fn repeat(&self, generation: u64) -> Option<Vec<u8>> {
        let mut list = self.list.lock();
        let process = self.registry.process();
        if list.generation == generation { list.repeat(process) } else { None }
    }

    /// The newest part of a feed of which nothing was sent for this long, as a sign of its life.
    pub(super) fn repeat_after(&self, silence: Duration, generation: u64) -> Option<Vec<u8>> {
        let mut list = self.list.lock();
        let process = self.registry.process();
        if list.generation == generation { list.repeat_after(silence, process) } else { None }
    }

    /// Whether a generation is over.
    pub(super) fn is_outdated(&self, generation: u64) -> bool {
        self.list.lock().generation != generation
    }

    /// Whether there is a part that can be sent.
    pub(super) fn has_parts(&self) -> bool {
        let mut list = self.list.lock();
        list.follow(&self.registry, &self.changes);
        let OutgoingList { feeds, aside, hub, .. } = &mut *list;
        feeds.iter().any(|feed| is_sent(feed, aside, hub.as_deref()) && feed.has_parts())
    }

    /// Whether nothing will follow.
    pub(super) fn has_ended(&self) -> bool {
        self.registry.has_ended()
    }

    /// Waits until nothing will follow.
    pub(super) async fn ended(&self) {
        self.registry.ended().await;
    }

    /// The last part that was taken: the name of its feed there, and its sequence.
    pub(super) fn latest(&self) -> Option<(String, u64)> {
        self.list.lock().latest.clone()
    }

    /// Whether it is a feed of here, or was one.
    pub(super) fn has(&self, name: &str) -> bool {
        let list = self.list.lock();
        list.feeds.iter().any(|feed| feed.name == name) || list.gone.iter().any(|(gone, _)| gone == name)
    }

    /// Leaves a feed alone that the hub refuses, or that is another one's there. Returns for how long.
    pub(super) fn set_aside(&self, name: &str) -> Duration {
        let mut list = self.list.lock();
        let pause = list.aside.get(name).map_or(ASIDE.0, |(_, next)| *next);
        list.aside.insert(name.to_owned(), (Instant::now() + pause, (pause * 2).min(ASIDE.1)));
        // What was taken, the hub may not have.
        list.feeds.iter_mut().filter(|feed| feed.name == name).for_each(|feed| feed.begin(None));
        pause
    }

    /// The names there of feeds that were removed a while ago, and have not returned.
    pub(super) fn gone(&self) -> Vec<String> {
        let OutgoingList { feeds, gone, .. } = &mut *self.list.lock();
        let is_due = |(_, since): &mut (String, Instant)| since.elapsed() >= GONE_AFTER;
        let due = gone.extract_if(.., is_due).map(|(name, _)| name);
        due.filter(|name| feeds.iter().all(|feed| feed.name != *name)).collect()
    }

    /// Waits for a change of the feeds, or until one is no longer left alone.
    pub(super) async fn changed(&self) {
        let now = Instant::now();
        let due = self.list.lock().aside.values().map(|(until, _)| *until).filter(|until| *until > now).min();
        let back = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.changes.0.notified() => {}
            () = back => {}
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.registry.remove_waker(SHARD, self.key);
    }
}

/// Whether a feed is sent: it is not left alone, and does not come from the hub.
fn is_sent(feed: &OutgoingFeed, aside: &HashMap<String, (Instant, Duration)>, hub: Option<&str>) -> bool {
    aside.get(&feed.name).is_none_or(|(until, _)| *until <= Instant::now()) && !hub.is_some_and(|hub| feed.feed.hops().has(hub))
}

impl OutgoingList {
    /// Follows the list of feeds. One that was removed goes when all of its parts are taken.
    fn follow(&mut self, registry: &Registry, changes: &Arc<FeedChanges>) {
        if self.version == Some(registry.version()) {
            return;
        }
        self.version = Some(registry.version());
        let list = registry.list();
        self.feeds.iter_mut().for_each(|feed| feed.is_gone = !list.iter().any(|mounted| mounted.number == feed.number));
        for mounted in list.iter() {
            if self.feeds.iter().any(|feed| feed.number == mounted.number) {
                continue;
            }
            let is_first = *self.first.get_or_insert(mounted.number) == mounted.number;
            let name = self.names.name_of(mounted.mount.name(), is_first);
            if let Err(why) = crate::feed::check_name(&name) {
                warn!(feed = mounted.mount.name(), "it cannot be published as {name:?}: {why}");
                self.aside.insert(name.clone(), (Instant::now() + ASIDE.1, ASIDE.1));
            }
            let after = self.received.get(&name).copied();
            self.feeds.push(OutgoingFeed::new(mounted.number, &mounted.mount, name, after, changes));
        }
    }

    /// Forgets the feeds that were removed and whose parts are all taken.
    fn drop_gone(&mut self) {
        let is_over = |feed: &mut OutgoingFeed| feed.is_gone && !feed.subscription.has_news();
        let gone = self.feeds.extract_if(.., is_over).filter(|feed| feed.has_begun);
        self.gone.extend(gone.map(|feed| (feed.name.clone(), Instant::now())));
    }

    fn take(&mut self, process: &str) -> Option<Vec<u8>> {
        self.drop_gone();
        loop {
            let bytes = self.take_next(process)?;
            // Those of a batch may all be too large.
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
    }

    fn take_next(&mut self, process: &str) -> Option<Vec<u8>> {
        let count = self.feeds.len();
        let Self { feeds, aside, hub, .. } = self;
        let next = (0..count).map(|at| (self.turn + at) % count).find_map(|at| {
            let feed = &mut feeds[at];
            let is_next = feed.subscription.has_news() && is_sent(feed, aside, hub.as_deref());
            is_next.then(|| feed.subscription.take(TakeLimit::ALL).map(|batch| (at, batch)))?
        });
        let (at, batch) = next?;
        self.turn = at + 1;
        let feed = &mut self.feeds[at];
        let mut bytes = Vec::new();
        let (small, large): (Vec<_>, Vec<_>) = batch.parts.parts().partition(|part| part.body().len() <= self.max_part);
        if let Some(part) = large.first() {
            feed.say_too_large(part.body().len(), self.max_part);
        }
        small.iter().for_each(|part| feed.append(part, process, &mut bytes));
        if let Some(last) = small.last() {
            feed.has_begun = true;
            self.latest = Some((feed.name.clone(), last.sequence()));
        }
        self.status.count_parts(small.len() as u64);
        Some(bytes)
    }

    fn repeat_after(&mut self, silence: Duration, process: &str) -> Option<Vec<u8>> {
        let Self { feeds, aside, hub, max_part, .. } = self;
        let mut sent = feeds.iter_mut().filter(|feed| is_sent(feed, aside, hub.as_deref()));
        let (part, feed) = sent.find_map(|feed| Some((feed.silent_part(silence, *max_part)?, feed)))?;
        let mut bytes = Vec::new();
        feed.append(&part, process, &mut bytes);
        Some(bytes)
    }

    fn repeat(&mut self, process: &str) -> Option<Vec<u8>> {
        let Self { feeds, aside, hub, .. } = self;
        let sent = feeds.iter_mut().filter(|feed| feed.has_begun && is_sent(feed, aside, hub.as_deref()));
        let newest = sent.filter_map(|feed| Some((feed.subscription.newest_taken()?, feed)));
        let newest = newest.filter(|(part, _)| part.body().len() <= self.max_part);
        let (part, feed) = newest.min_by_key(|(part, _)| part.body().len())?;
        let mut bytes = Vec::new();
        feed.append(&part, process, &mut bytes);
        Some(bytes)
    }
}

impl OutgoingFeed {
    /// The part to repeat of a feed that has been silent.
    fn silent_part(&self, silence: Duration, most: usize) -> Option<Encoded> {
        let is_due = self.has_begun && self.sent.elapsed() >= silence;
        self.subscription.newest_taken().filter(|part| is_due && part.body().len() <= most)
    }

    fn new(number: u64, mount: &Mount, name: String, after: Option<u64>, changes: &Arc<FeedChanges>) -> Self {
        let feed = mount.open();
        let subscription = subscribe(&feed, after);
        // Shared feeds wake by the registry.
        let waker = mount.shared().is_none().then(|| feed.register_waker(SHARD, changes.clone().into()));
        Self {
            number,
            url_name: url_name(&name),
            name,
            feed,
            subscription,
            waker,
            told: None,
            has_begun: false,
            sent: Instant::now(),
            is_gone: false,
            has_said_large: false,
        }
    }

    /// Begins anew, behind what the hub has.
    fn begin(&mut self, after: Option<u64>) {
        // A run is played once.
        if self.feed.kind() != Kind::Run {
            self.subscription = subscribe(&self.feed, after);
        }
        (self.told, self.has_begun) = (None, false);
    }

    fn say_too_large(&mut self, bytes: usize, limit: usize) {
        if !std::mem::replace(&mut self.has_said_large, true) {
            let (feed, hint) = (&self.name, "--max-part of the hub allows more");
            warn!(feed, bytes, limit, hint, "a part is too large for the hub, and is not published");
        }
    }

    fn has_parts(&self) -> bool {
        self.subscription.has_news() || self.subscription.newest_taken().is_some()
    }

    /// Appends a part with its headers and the delimiter behind it.
    fn append(&mut self, part: &Encoded, process: &str, bytes: &mut Vec<u8>) {
        let mut head = format!("X-Feed: {}\r\n", self.url_name);
        let hops = self.feed.hops();
        if self.told.as_ref() != Some(&hops) {
            let kind = self.feed.kind().header_value().or(Kind::Newest.header_value()).unwrap_or_default();
            head += &format!("X-Feed-Kind: {kind}\r\nX-Feed-Via: {}\r\n", hops.clone().with(process));
            self.told = Some(hops);
        }
        self.sent = Instant::now();
        bytes.extend_from_slice(head.as_bytes());
        part.pieces(Layout::Plain, false, false).iter().for_each(|piece| bytes.extend_from_slice(piece.bytes()));
    }
}

impl Drop for OutgoingFeed {
    fn drop(&mut self) {
        if let Some(key) = self.waker {
            self.feed.remove_waker(SHARD, key);
        }
    }
}

/// A cursor behind what the hub has: at the newest picture, or at the oldest line that it lacks. The last that it has comes once more, so
/// that it knows the feed to be live.
fn subscribe(feed: &Arc<Feed>, after: Option<u64>) -> Subscription {
    let start = match feed.kind() {
        Kind::Lines => {
            let published = feed.state().published;
            let after = after.filter(|after| *after <= published).unwrap_or(0);
            StartAt { history: None, after: Some(after.saturating_sub(1)) }
        }
        Kind::Newest | Kind::Run => StartAt::default(),
    };
    feed.subscribe_from(SHARD, start).for_sink()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        feed::{Limits, Settings},
        format::Media,
        part::Part,
        wire::Boundary,
    };

    #[tokio::test(start_paused = true)]
    async fn every_feed_that_is_silent_is_repeated_while_another_one_is_busy() {
        let (opener, registry) = Registry::new(Settings::new(Boundary::random(), Limits::new(None, 1 << 20, true)));
        let feeds = ["a", "b", "busy"].map(|name| opener.open(name, Kind::Newest));
        let publish = |at: usize, text: &'static str| {
            let _ = feeds[at].publish(Part::now(Media::from_known("text/html"), text));
        };
        (0..3).for_each(|at| publish(at, "first"));
        let outgoing = Outgoing::new(registry, PublishNames::default(), Arc::new(PublishStatus::new(String::new())));
        let generation = outgoing.begin(&HubState::for_tests());
        while outgoing.take(generation).is_some() {}
        let silence = Duration::from_secs(60);
        let repeated = || {
            let texts = std::iter::from_fn(|| outgoing.repeat_after(silence, generation));
            texts.map(|bytes| String::from_utf8(bytes).unwrap().lines().next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        tokio::time::advance(silence / 2).await;
        publish(2, "second");
        assert!(outgoing.take(generation).is_some() && repeated().is_empty());
        tokio::time::advance(silence / 2).await;
        assert_eq!(repeated(), ["X-Feed: a", "X-Feed: b"]);
        tokio::time::advance(silence / 2).await;
        assert_eq!(repeated(), ["X-Feed: busy"]);
    }
}
