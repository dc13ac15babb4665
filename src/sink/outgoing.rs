//! The feeds that are published, each from where the other side has it: their parts in turns. It is a reader of every feed all the time,
//! so that no source rests, and knows no connection and no bytes on it: one that ends is followed by another generation of cursors.

use std::{collections::HashMap, sync::Arc, task::Wake, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tracing::warn;

use super::{
    outgoing_feed::{OutgoingBatch, OutgoingFeed, Remote, SHARD},
    publish_status::PublishStatus,
};
use crate::{
    feed::{Registry, TakeLimit},
    sync::Mutex,
};

/// How long a feed that another one publishes is left alone, at first and at most.
const ASIDE: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(15 * 60));
/// How long a feed has to be gone before it is removed there: it may be opened again.
const GONE_AFTER: Duration = Duration::from_secs(5);

/// What the feeds are called there.
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
    /// Feeds that are refused, by their names there: until when, and for how long the next time.
    aside: HashMap<String, (Instant, Duration)>,
    /// What takes them.
    remote: Remote,
    generation: u64,
    /// Whose turn it is.
    turn: usize,
    /// The last part that was taken.
    latest: Option<(String, u64)>,
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
            remote: Remote::default(),
            generation: 0,
            turn: 0,
            latest: None,
        };
        let outgoing = Self { registry, key, changes, list: Mutex::new(list) };
        outgoing.list.lock().follow(&outgoing.registry, &outgoing.changes);
        outgoing
    }

    /// The name of this process.
    pub(super) fn process(&self) -> &str {
        self.registry.process()
    }

    /// Begins anew, behind what the other side has. Returns the number of this generation.
    pub(super) fn begin(&self, remote: Remote) -> u64 {
        let mut list = self.list.lock();
        list.generation += 1;
        (list.remote, list.latest) = (remote, None);
        list.follow(&self.registry, &self.changes);
        let OutgoingList { feeds, remote, .. } = &mut *list;
        feeds.iter_mut().for_each(|feed| {
            let has_begun = feed.has_begun && remote.is_retaining;
            feed.begin(remote.sent.get(&*feed.name).copied());
            feed.has_begun = has_begun;
        });
        list.generation
    }

    /// The next parts of one feed; `None` if there is none.
    pub(super) fn take(&self, generation: u64) -> Option<OutgoingBatch> {
        let mut list = self.list.lock();
        if list.generation != generation {
            return None;
        }
        list.follow(&self.registry, &self.changes);
        list.take()
    }

    /// The smallest of the newest parts again, as a sign of life.
    pub(super) fn repeat(&self, generation: u64) -> Option<OutgoingBatch> {
        let mut list = self.list.lock();
        if list.generation == generation { list.repeat() } else { None }
    }

    /// The newest part of a feed of which nothing was sent for this long, as a sign of its life.
    pub(super) fn repeat_after(&self, silence: Duration, generation: u64) -> Option<OutgoingBatch> {
        let mut list = self.list.lock();
        if list.generation == generation { list.repeat_after(silence) } else { None }
    }

    /// Whether a generation is over.
    pub(super) fn is_outdated(&self, generation: u64) -> bool {
        self.list.lock().generation != generation
    }

    /// Whether there is a part that can be sent.
    pub(super) fn has_parts(&self) -> bool {
        let mut list = self.list.lock();
        list.follow(&self.registry, &self.changes);
        list.feeds.iter().any(|feed| is_sent(feed, &list.aside, &list.remote) && feed.has_parts())
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
        list.feeds.iter().any(|feed| *feed.name == *name) || list.gone.iter().any(|(gone, _)| gone == name)
    }

    /// Leaves a feed alone that is refused, or that is another one's there. Returns for how long.
    pub(super) fn set_aside(&self, name: &str) -> Duration {
        let mut list = self.list.lock();
        let pause = list.aside.get(name).map_or(ASIDE.0, |(_, next)| *next);
        list.aside.insert(name.to_owned(), (Instant::now() + pause, (pause * 2).min(ASIDE.1)));
        // What was taken may not be there.
        list.feeds.iter_mut().filter(|feed| *feed.name == *name).for_each(|feed| feed.begin(None));
        pause
    }

    /// The names there of feeds that were removed a while ago, and have not returned.
    pub(super) fn gone(&self) -> Vec<String> {
        let OutgoingList { feeds, gone, .. } = &mut *self.list.lock();
        let is_due = |(_, since): &mut (String, Instant)| since.elapsed() >= GONE_AFTER;
        let due = gone.extract_if(.., is_due).map(|(name, _)| name);
        due.filter(|name| feeds.iter().all(|feed| *feed.name != **name)).collect()
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

/// What a place that keeps things is told beside parts, and asked before them.
#[cfg(feature = "mqtt")]
impl Outgoing {
    /// The feeds whose source has come or gone since their last part or the last call, by their names there, and whether it is there.
    pub(super) fn changed_lives(&self) -> Vec<(Arc<str>, bool)> {
        let mut list = self.list.lock();
        let begun = list.feeds.iter_mut().filter(|feed| feed.has_begun && !feed.is_gone);
        let changed = begun.filter_map(|feed| {
            let is_live = feed.feed.is_live();
            (std::mem::replace(&mut feed.was_live, is_live) != is_live).then(|| (feed.name.clone(), is_live))
        });
        changed.collect()
    }

    /// The feeds of which it has to be known whether they come from there, by their names there.
    pub(super) fn unchecked(&self) -> Vec<Arc<str>> {
        let list = self.list.lock();
        let needs_check = |feed: &&OutgoingFeed| feed.needs_check(&list.remote) && !is_aside(feed, &list.aside);
        list.feeds.iter().filter(needs_check).map(|feed| feed.name.clone()).collect()
    }

    /// Notes that a feed does not come from there.
    pub(super) fn set_checked(&self, name: &str) {
        self.list.lock().feeds.iter_mut().filter(|feed| *feed.name == *name).for_each(|feed| feed.is_checked = true);
    }

    /// The names there of all feeds.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.list.lock().feeds.iter().map(|feed| feed.name.clone()).collect()
    }

    /// The processes that a feed has passed before this one, by its name there.
    pub(super) fn hops(&self, name: &str) -> Option<crate::feed::Hops> {
        self.list.lock().feeds.iter().find(|feed| *feed.name == *name).map(|feed| feed.feed.hops())
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.registry.remove_waker(SHARD, self.key);
    }
}

/// Whether a feed is sent: it is not left alone, and does not come from there.
fn is_sent(feed: &OutgoingFeed, aside: &HashMap<String, (Instant, Duration)>, remote: &Remote) -> bool {
    !is_aside(feed, aside) && !feed.comes_from(remote) && !feed.needs_check(remote)
}

fn is_aside(feed: &OutgoingFeed, aside: &HashMap<String, (Instant, Duration)>) -> bool {
    aside.get(&*feed.name).is_some_and(|(until, _)| *until > Instant::now())
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
            let after = self.remote.sent.get(&name).copied();
            self.feeds.push(OutgoingFeed::new(mounted.number, &mounted.mount, name, after, changes.clone().into()));
        }
    }

    /// Forgets the feeds that were removed and whose parts are all taken.
    fn drop_gone(&mut self) {
        let is_over = |feed: &mut OutgoingFeed| feed.is_gone && !feed.subscription.has_news();
        let gone = self.feeds.extract_if(.., is_over).filter(|feed| feed.has_begun);
        self.gone.extend(gone.map(|feed| (feed.name.to_string(), Instant::now())));
    }

    fn take(&mut self) -> Option<OutgoingBatch> {
        self.drop_gone();
        loop {
            let batch = self.take_next()?;
            // Those of a batch may all be too large.
            if !batch.parts.is_empty() {
                return Some(batch);
            }
        }
    }

    fn take_next(&mut self) -> Option<OutgoingBatch> {
        let count = self.feeds.len();
        let Self { feeds, aside, remote, .. } = self;
        let next = (0..count).map(|at| (self.turn + at) % count).find_map(|at| {
            let feed = &mut feeds[at];
            let is_next = feed.subscription.has_news() && is_sent(feed, aside, remote);
            is_next.then(|| feed.subscription.take(TakeLimit::ALL).map(|batch| (at, batch)))?
        });
        let (at, taken) = next?;
        self.turn = at + 1;
        let feed = &mut self.feeds[at];
        let max_part = self.remote.max_part();
        let (small, large): (Vec<_>, Vec<_>) = taken.parts.parts().partition(|part| part.body().len() <= max_part);
        if let Some(part) = large.first() {
            feed.say_too_large(part.body().len(), &self.remote);
        }
        if let Some(last) = small.last() {
            feed.has_begun = true;
            self.latest = Some((feed.name.to_string(), last.sequence()));
        }
        self.status.count_parts(small.len() as u64);
        let batch = feed.batch(small);
        feed.was_live = batch.is_live;
        Some(batch)
    }

    fn repeat_after(&mut self, silence: Duration) -> Option<OutgoingBatch> {
        let Self { feeds, aside, remote, .. } = self;
        let mut sent = feeds.iter_mut().filter(|feed| is_sent(feed, aside, remote));
        let (part, feed) = sent.find_map(|feed| Some((feed.silent_part(silence, remote.max_part())?, feed)))?;
        Some(feed.batch(vec![part]))
    }

    fn repeat(&mut self) -> Option<OutgoingBatch> {
        let Self { feeds, aside, remote, .. } = self;
        let sent = feeds.iter_mut().filter(|feed| feed.has_begun && is_sent(feed, aside, remote));
        let newest = sent.filter_map(|feed| Some((feed.subscription.newest_taken()?, feed)));
        let newest = newest.filter(|(part, _)| part.body().len() <= remote.max_part());
        let (part, feed) = newest.min_by_key(|(part, _)| part.body().len())?;
        Some(feed.batch(vec![part]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        feed::{Kind, Limits, Settings},
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
        let generation = outgoing.begin(Remote::default());
        while outgoing.take(generation).is_some() {}
        let silence = Duration::from_secs(60);
        let repeated = || {
            let texts = std::iter::from_fn(|| outgoing.repeat_after(silence, generation));
            texts.map(|batch| batch.name.to_string()).collect::<Vec<_>>()
        };
        tokio::time::advance(silence / 2).await;
        publish(2, "second");
        assert!(outgoing.take(generation).is_some() && repeated().is_empty());
        tokio::time::advance(silence / 2).await;
        assert_eq!(repeated(), ["a", "b"]);
        tokio::time::advance(silence / 2).await;
        assert_eq!(repeated(), ["busy"]);
    }
}
