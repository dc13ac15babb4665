//! Records the feeds of a registry, also those that appear later: takes each part of each, and hands it over. It is a reader as any
//! other, so a source that is recorded does not rest, and it never waits for a disk. It knows no file.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Wake, Waker},
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tracing::warn;

use super::outputs::{RecordOutputs, RecordedCounters};
use crate::{
    error::{Error, Result},
    feed::{Mount, Registry, Subscription, TakeLimit},
    panic::{PanicScope, catch},
    recording::RecordedPart,
    wire::Encoded,
};

/// So much is taken of a feed before the others have their turn: all that is there, unless it comes as fast as it is taken.
const MOST_BATCHES: usize = 1000;
/// The most bytes of parts that are copied together.
const MOST_BYTES: usize = 256 << 10;
/// How often at most it is said that parts are lost.
const TELL: Duration = Duration::from_secs(10);

/// A thread that takes every part of all feeds.
#[derive(Debug)]
pub struct FeedRecorder {
    thread: JoinHandle<RecordOutputs>,
    is_over: Arc<AtomicBool>,
    counters: RecordedCounters,
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl FeedRecorder {
    /// Starts it. The settings of the registry's feeds say that there is a recorder.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start(registry: Arc<Registry>, outputs: RecordOutputs) -> Result<Self> {
        let (counters, is_over) = (outputs.counters(), Arc::new(AtomicBool::new(false)));
        let shard = registry.recorder_shard().unwrap_or_default();
        let is_told = is_over.clone();
        let body = move || {
            let waker: Waker = Arc::new(Unpark(thread::current())).into();
            let key = registry.register_waker(shard, waker.clone());
            let mut collector = Collector { registry, shard, outputs, waker, version: None, feeds: Vec::new(), told: None };
            collector.run(&is_told);
            collector.registry.remove_waker(shard, key);
            collector.outputs
        };
        let thread = thread::Builder::new().name("record-feeds".to_owned()).spawn(body);
        let thread = thread.map_err(|why| Error::new("start recording", why))?;
        Ok(Self { thread, is_over, counters })
    }

    /// What it has recorded so far.
    pub fn counters(&self) -> &RecordedCounters {
        &self.counters
    }

    /// Takes what feeds still have, and returns once it is on the disk; or after a limited time, if the disk stands still.
    ///
    /// # Errors
    /// If the disk has not taken all.
    pub fn finish(self) -> Result<()> {
        self.is_over.store(true, Relaxed);
        self.thread.thread().unpark();
        let outputs = self.thread.join().map_err(|_| Error::new("finish the recording", "its thread panicked"))?;
        outputs.finish()
    }
}

struct Collector {
    registry: Arc<Registry>,
    shard: usize,
    outputs: RecordOutputs,
    waker: Waker,
    /// The version of the list that was read last.
    version: Option<u64>,
    feeds: Vec<RecordedFeed>,
    /// When it was said last that parts are lost.
    told: Option<Instant>,
}

/// A feed that is recorded.
struct RecordedFeed {
    name: Arc<str>,
    subscription: Subscription,
}

impl Collector {
    fn run(&mut self, is_over: &AtomicBool) {
        loop {
            // What was published before the end was told is there now.
            let is_last = is_over.load(Relaxed);
            // A bug costs the parts of one look.
            let is_idle = catch(PanicScope::Recorder, || self.look()).unwrap_or(true);
            match (is_idle, is_last) {
                (true, true) => return,
                (true, false) => thread::park(),
                (false, _) => {}
            }
        }
    }

    /// Takes what there is, and hands it over in the order in which it was published. Returns whether there was nothing.
    fn look(&mut self) -> bool {
        if self.version != Some(self.registry.version()) {
            self.follow();
        }
        let mut taken = Vec::new();
        for feed in &mut self.feeds {
            let source = feed.subscription.feed().clone();
            let batches = std::iter::from_fn(|| feed.subscription.take(TakeLimit::ALL));
            for batch in batches.take(MOST_BATCHES) {
                if batch.dropped > 0 {
                    self.outputs.count_lost(batch.dropped);
                    if self.told.is_none_or(|told| told.elapsed() >= TELL) {
                        self.told = Some(Instant::now());
                        warn!(feed = %feed.name, lost = batch.dropped, "parts came faster than the recorder took them, and are lost");
                    }
                }
                let kind = source.kind().header_value();
                taken.extend(batch.parts.parts().map(|part| TakenPart { feed: feed.name.clone(), kind, part }));
            }
        }
        taken.sort_by_key(|taken| taken.part.published_at());
        let is_idle = taken.is_empty();
        let mut rest = &taken[..];
        while !rest.is_empty() {
            let (group, behind) = rest.split_at(together(rest));
            self.outputs.push(recorded(group));
            rest = behind;
        }
        is_idle
    }

    /// Follows the list of feeds: one that is over goes when all of its parts are taken.
    fn follow(&mut self) {
        self.version = Some(self.registry.version());
        self.feeds.retain(|feed| !feed.subscription.is_over());
        let unseen = self.registry.take_unseen();
        self.feeds.extend(unseen.iter().map(|mount| RecordedFeed::of(mount, self.shard, &self.waker)));
    }
}

impl RecordedFeed {
    /// Of runs it records one.
    fn of(mount: &Mount, shard: usize, waker: &Waker) -> Self {
        let feed = mount.open();
        let subscription = feed.subscribe_to_all(shard);
        if mount.shared().is_none() {
            feed.register_waker(shard, waker.clone());
        }
        Self { name: mount.name().into(), subscription }
    }
}

/// A part that waits to be handed over.
struct TakenPart {
    feed: Arc<str>,
    kind: Option<&'static str>,
    part: Encoded,
}

/// How many of these parts, at least one, are copied together.
fn together(parts: &[TakenPart]) -> usize {
    let mut bytes = 0;
    let fits = parts.iter().take_while(|taken| {
        bytes += taken.part.body().len();
        bytes <= MOST_BYTES
    });
    fits.count().max(1)
}

/// The parts with one copy of their bodies: while they wait for the disk they must not keep their blocks, which count as memory of
/// viewers.
fn recorded(parts: &[TakenPart]) -> Vec<RecordedPart> {
    let bodies: Vec<&[u8]> = parts.iter().map(|taken| taken.part.body()).collect();
    let (bodies, mut end) = (Bytes::from(bodies.concat()), 0);
    let part = |TakenPart { feed, kind, part }: &TakenPart| {
        let start = end;
        end += part.body().len();
        RecordedPart {
            feed: feed.clone(),
            media: part.media().clone(),
            time: part.time(),
            sequence: part.sequence(),
            at: part.published_at(),
            kind: *kind,
            body: bodies.slice(start..end),
        }
    };
    parts.iter().map(part).collect()
}
