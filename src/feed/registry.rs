//! The feeds that are served. They come and go while the program runs: an [`Opener`] adds and removes them, which wakes the readers
//! of all feeds. It knows names and mounts, not URLs.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Waker,
};

use tokio_util::sync::CancellationToken;

use super::{
    limits::{Kind, Settings},
    mount::Mount,
    publisher::Publisher,
    shard::Wakers,
    store::Feed,
};
use crate::{sync::Mutex, wire::Boundary};

/// The mounts of a process, in the order in which they were added.
#[derive(Debug)]
pub struct Registry {
    settings: Settings,
    wakers: Vec<Arc<Wakers>>,
    mounts: Mutex<Mounts>,
    version: AtomicU64,
    openers: AtomicUsize,
    /// Cancelled at the end of all feeds.
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct Mounts {
    list: Arc<Vec<Mounted>>,
    /// The number of the mount that was added last.
    last: u64,
}

/// A mount with a number that is unique in this process and higher than those of earlier mounts.
#[derive(Debug, Clone)]
pub struct Mounted {
    /// The number, from 1.
    pub number: u64,
    /// The mount.
    pub mount: Arc<Mount>,
}

impl Registry {
    /// An empty registry, and its first opener.
    pub fn new(settings: Settings) -> (Opener, Arc<Self>) {
        let wakers = (0..settings.shards.max(1)).map(|_| Arc::default()).collect();
        let (mounts, ended) = (Mutex::default(), CancellationToken::new());
        let registry = Arc::new(Self { settings, wakers, mounts, version: 0.into(), openers: 1.into(), ended });
        (Opener { registry: registry.clone() }, registry)
    }

    /// The boundary of every feed in it.
    pub fn boundary(&self) -> &Boundary {
        &self.settings.boundary
    }

    /// The settings of every feed in it.
    pub fn settings(&self) -> &Settings {
        &self.settings
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

    /// Changes the list and wakes the loops.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Mounted>, &mut u64) -> T) -> T {
        let result = {
            let mut mounts = self.mounts.lock();
            let Mounts { list, last } = &mut *mounts;
            let result = change(Arc::make_mut(list), last);
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
}

impl Opener {
    /// Opens a shared feed. A name that is in use gets a number: `plot.png`, then `plot.png-2`. If the settings contain an interval,
    /// the caller has to run the feed's `keep_pace`.
    pub fn open(&self, name: impl Into<String>, kind: Kind) -> Publisher {
        let name = name.into();
        let publisher = self.registry.change(|list, last| {
            let (settings, wakers) = (&self.registry.settings, &self.registry.wakers);
            let feed = Feed::with_wakers(free_name(list, name), kind, settings, wakers, Arc::default());
            let publisher = Publisher::new(feed.clone());
            push(list, last, Mount::Shared(feed));
            publisher
        });
        if self.registry.has_ended() {
            publisher.feed().end();
        }
        publisher
    }

    /// Mounts runs: each viewer gets its own, which `start` begins with the publisher of a new feed.
    pub fn mount_runs(&self, name: impl Into<String>, start: impl Fn(Publisher) + Send + Sync + 'static) {
        let (name, settings) = (name.into(), self.registry.settings.clone());
        self.registry.change(|list, last| {
            let name = free_name(list, name);
            let (run_name, refused) = (name.clone(), Arc::<AtomicU64>::default());
            let counter = refused.clone();
            let start = Box::new(move || {
                let (publisher, feed) = Feed::of_mount(run_name.clone(), &settings, counter.clone());
                start(publisher);
                feed
            });
            push(list, last, Mount::PerViewer { name, start, refused });
        });
    }

    /// Removes the mount of this name, and ends its feed. Returns whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let Some(mount) = self.registry.find(name) else { return false };
        // The end comes first, so that a reader of all feeds finds the feed over when it sees the list change.
        mount.shared().inspect(|feed| feed.end());
        self.registry.change(|list, _| list.retain(|mounted| !Arc::ptr_eq(&mounted.mount, &mount)));
        true
    }

    /// The registry itself.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        self.registry.openers.fetch_add(1, Relaxed);
        Self { registry: self.registry.clone() }
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

fn push(list: &mut Vec<Mounted>, last: &mut u64, mount: Mount) {
    *last += 1;
    list.push(Mounted { number: *last, mount: Arc::new(mount) });
}

fn free_name(list: &[Mounted], name: String) -> String {
    let is_free = |name: &String| list.iter().all(|mounted| mounted.mount.name() != name);
    let mut names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    names.find(is_free).unwrap_or(name)
}
