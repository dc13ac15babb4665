//! The feeds that are served. They come and go while the program runs: an [`Opener`] adds and removes them, which wakes the readers
//! of all feeds. It knows names and mounts, not URLs.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Waker,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    limits::{Kind, Limits, Settings},
    mount::Mount,
    publisher::Publisher,
    shard::Wakers,
    state::SourceState,
    store::Feed,
};
use crate::{sync::Mutex, wire::Boundary};

/// Names of removed feeds that are remembered, so that a feed that returns goes on with its sequence numbers.
const MOST_REMOVED: usize = 1000;

/// The mounts of a process, in the order in which they were added.
#[derive(Debug)]
pub struct Registry {
    settings: Settings,
    wakers: Vec<Arc<Wakers>>,
    mounts: Mutex<Mounts>,
    version: AtomicU64,
    openers: AtomicUsize,
    groups: AtomicU64,
    left_out: AtomicU64,
    /// Cancelled at the end of all feeds.
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct Mounts {
    list: Arc<Vec<Mounted>>,
    /// The number of the mount that was added last.
    last: u64,
    /// Mounts that the recorder has not seen, if there is one: it sees also what is removed at once.
    unseen: Vec<Arc<Mount>>,
    /// The feeds that were removed last, each with the sequence of its newest part.
    removed: VecDeque<(String, u64)>,
}

impl Mounts {
    /// Adds a mount under its name, or with a number after it if the name is in use.
    fn add<T>(&mut self, name: String, group: u64, make: impl FnOnce(String, u64) -> (Mount, T)) -> T {
        let name = free_name(&self.list, name);
        let removed = self.removed.iter().position(|(removed, _)| *removed == name);
        let sequence = removed.and_then(|at| self.removed.remove(at)).map_or(0, |(_, sequence)| sequence);
        self.last += 1;
        let (mount, made) = make(name, sequence);
        let mount = Arc::new(mount);
        self.unseen.push(mount.clone());
        Arc::make_mut(&mut self.list).push(Mounted { number: self.last, group, mount });
        made
    }

    /// Removes the mounts for which this holds.
    fn remove(&mut self, goes: impl Fn(&Mounted) -> bool) {
        let (gone, list) = self.list.iter().cloned().partition::<Vec<_>, _>(goes);
        self.list = Arc::new(list);
        for feed in gone.iter().filter_map(|mounted| mounted.mount.shared()) {
            self.removed.push_back((feed.name.clone(), feed.published()));
        }
        let excess = self.removed.len().saturating_sub(MOST_REMOVED);
        self.removed.drain(..excess);
    }
}

/// A mount with a number that is unique in this process and higher than those of earlier mounts.
#[derive(Debug, Clone)]
pub struct Mounted {
    /// The number, from 1.
    pub number: u64,
    /// The group of the opener that added it.
    group: u64,
    /// The mount.
    pub mount: Arc<Mount>,
}

impl Registry {
    /// An empty registry, and its first opener.
    pub fn new(settings: Settings) -> (Opener, Arc<Self>) {
        let shards = settings.shards.max(1) + usize::from(settings.has_recorder);
        let wakers = (0..shards).map(|_| Arc::default()).collect();
        let (mounts, ended) = (Mutex::default(), CancellationToken::new());
        let of_feeds = settings.clone();
        let registry = Arc::new(Self {
            settings,
            wakers,
            mounts,
            version: 0.into(),
            openers: 1.into(),
            groups: 0.into(),
            left_out: 0.into(),
            ended,
        });
        (Opener { registry: registry.clone(), settings: of_feeds, group: 0 }, registry)
    }

    /// The boundary of every feed in it.
    pub fn boundary(&self) -> &Boundary {
        &self.settings.boundary
    }

    /// The name of this process in `Via`.
    pub fn process(&self) -> &str {
        &self.settings.process
    }

    /// The settings of a feed in it, unless its opener has limits and a pace of its own.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The shard for a reader of every part (`Feed::subscribe_to_all`), if the settings have one.
    pub fn recorder_shard(&self) -> Option<usize> {
        self.settings.has_recorder.then_some(self.settings.shards.max(1))
    }

    /// The present mounts.
    pub fn list(&self) -> Arc<Vec<Mounted>> {
        self.mounts.lock().list.clone()
    }

    /// The mount of this name.
    pub fn find(&self, name: &str) -> Option<Arc<Mount>> {
        self.list().iter().find(|mounted| mounted.mount.name() == name).map(|mounted| mounted.mount.clone())
    }

    /// A number that changes with the list of mounts.
    pub fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// Whether no mount can be added any more, since every opener has been dropped, or all feeds have ended.
    pub fn is_sealed(&self) -> bool {
        self.openers.load(Relaxed) == 0 || self.has_ended()
    }

    /// Whether `end` was called.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until `end` is called.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// The number of feeds that sources have not opened, since they would be too many.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    /// Registers a waker for every change of a shared feed in a loop's shard and of the list. Returns the key for `remove_waker`.
    pub fn register_waker(&self, shard: usize, waker: Waker) -> usize {
        self.wakers[shard].insert(waker)
    }

    /// Removes the waker with this key.
    pub fn remove_waker(&self, shard: usize, key: usize) {
        self.wakers[shard].remove(key);
    }

    /// Ends every shared feed, for good: viewers get the remaining parts and the close-delimiter. A feed that is opened later has
    /// ended, too.
    pub fn end(&self) {
        self.ended.cancel();
        self.list().iter().filter_map(|mounted| mounted.mount.shared()).for_each(|feed| feed.end());
        self.wakers.iter().for_each(|wakers| wakers.wake());
    }

    /// The mounts that were added since the last call. For the recorder alone, which is to see each once.
    pub fn take_unseen(&self) -> Vec<Arc<Mount>> {
        std::mem::take(&mut self.mounts.lock().unseen)
    }

    /// Changes the list and wakes the loops.
    fn change<T>(&self, change: impl FnOnce(&mut Mounts) -> T) -> T {
        let result = {
            let mut mounts = self.mounts.lock();
            let result = change(&mut mounts);
            if !self.settings.has_recorder {
                mounts.unseen.clear();
            }
            self.version.fetch_add(1, Release);
            result
        };
        self.wakers.iter().for_each(|wakers| wakers.wake());
        result
    }
}

/// The right to add and remove mounts. Once all openers are dropped, the list is final.
#[derive(Debug)]
pub struct Opener {
    registry: Arc<Registry>,
    settings: Settings,
    /// What its mounts have in common, so that they can be removed together.
    group: u64,
}

impl Opener {
    /// An opener whose feeds have these limits and this pace, and are a group: they can be removed together.
    #[must_use]
    pub fn group(&self, limits: Limits, interval: Option<Duration>) -> Self {
        let group = self.registry.groups.fetch_add(1, Relaxed) + 1;
        let mut opener = self.clone();
        (opener.settings.limits, opener.settings.interval, opener.group) = (limits, interval, group);
        opener
    }

    /// The settings of the feeds that it opens.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Opens a shared feed. A name that is in use gets a number: `plot.png`, then `plot.png-2`. A feed of this name that was removed
    /// is continued: the sequence goes on. If the settings contain an interval, the caller has to run the feed's `keep_pace`.
    pub fn open(&self, name: impl Into<String>, kind: Kind) -> Publisher {
        let name = name.into();
        let publisher = self.registry.change(|mounts| {
            mounts.add(name, self.group, |name, sequence| {
                let feed = Feed::with_wakers(name, kind, &self.settings, &self.registry.wakers, Arc::default());
                feed.continue_after(sequence);
                (Mount::Shared(feed.clone()), Publisher::new(feed))
            })
        });
        if self.registry.has_ended() {
            publisher.feed().end();
        }
        publisher
    }

    /// Mounts runs: each viewer gets its own, which `start` begins with the publisher of a new feed.
    pub fn mount_runs(&self, name: impl Into<String>, start: impl Fn(Publisher) + Send + Sync + 'static) {
        let (name, settings) = (name.into(), self.settings.clone());
        self.registry.change(|mounts| {
            mounts.add(name, self.group, |name, _| {
                let (run_name, refused) = (name.clone(), Arc::<AtomicU64>::default());
                let counter = refused.clone();
                let start = Box::new(move || {
                    let (publisher, feed) = Feed::of_mount(run_name.clone(), &settings, counter.clone());
                    start(publisher);
                    feed
                });
                (Mount::PerViewer { name, start, refused }, ())
            });
        });
    }

    /// Removes the mount of this name, and ends its feed. Returns whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let Some(mount) = self.registry.find(name) else { return false };
        // The end comes first, so that a reader of all feeds finds the feed over when it sees the list change.
        mount.shared().inspect(|feed| feed.end());
        self.registry.change(|mounts| mounts.remove(|mounted| Arc::ptr_eq(&mounted.mount, &mount)));
        true
    }

    /// Removes the mounts of this group, and ends their feeds.
    pub fn remove_group(&self) {
        self.shared_feeds().iter().for_each(|feed| feed.end());
        self.registry.change(|mounts| mounts.remove(|mounted| mounted.group == self.group));
    }

    /// Ends the feeds of this group for this reason; they stay in the list.
    pub fn end_group(&self, reason: &str) {
        for feed in self.shared_feeds() {
            feed.end();
            feed.set_source(SourceState::Ended { reason: Some(reason.to_owned()) });
        }
    }

    fn shared_feeds(&self) -> Vec<Arc<Feed>> {
        let list = self.registry.list();
        let own = list.iter().filter(|mounted| mounted.group == self.group);
        own.filter_map(|mounted| mounted.mount.shared().cloned()).collect()
    }

    /// Puts the list into the order of these openers' groups.
    pub fn order<'a>(&self, openers: impl IntoIterator<Item = &'a Self>) {
        let groups: Vec<u64> = openers.into_iter().map(|opener| opener.group).collect();
        let place = |mounted: &Mounted| groups.iter().position(|group| *group == mounted.group);
        self.registry.change(|mounts| Arc::make_mut(&mut mounts.list).sort_by_key(place));
    }

    /// Counts a feed that is not opened, since there are too many.
    pub fn count_left_out(&self) {
        self.registry.left_out.fetch_add(1, Relaxed);
    }

    /// The registry itself.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        self.registry.openers.fetch_add(1, Relaxed);
        Self { registry: self.registry.clone(), settings: self.settings.clone(), group: self.group }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        if self.registry.openers.fetch_sub(1, Relaxed) == 1 {
            // Viewers of all feeds may be waiting for further feeds.
            self.registry.wakers.iter().for_each(|wakers| wakers.wake());
        }
    }
}

fn free_name(list: &[Mounted], name: String) -> String {
    let is_free = |name: &String| list.iter().all(|mounted| mounted.mount.name() != name);
    let mut names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    names.find(is_free).unwrap_or(name)
}
