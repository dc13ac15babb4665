//! The feed itself: checks the parts that are published, has them encoded once, on the thread of its source, and holds them. It
//! does not know its readers.

use std::{
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::warn;

use super::{
    demand::Readers,
    held::HeldParts,
    history::{History, Holder},
    hops::{Hops, HopsGuard, RelayReaders},
    limits::{Hold, Kind, Limits, Settings},
    name::url_name,
    pace::Pace,
    prepared::Prepared,
    refused::Refused,
    shard::{Shard, ShardState, Wakers},
    state::{FeedState, NewestState, SourceState, SourceStatus},
};
use crate::{
    part::Part,
    stats::Retained,
    sync::Mutex,
    wire::{self, Block, Boundary, Encoded},
};

/// From this size on, in bytes, the feed checks whether there is memory for the copy of a body.
const LARGE: usize = 1 << 20;
/// The least time between two warnings about refused parts.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The live sequence of parts.
#[derive(Debug)]
pub struct Feed {
    /// The name for `/state` and the log; URLs use `url_name`.
    pub name: String,
    /// The name percent-encoded, for URLs and headers.
    pub url_name: String,
    kind: AtomicU8,
    boundary: Boundary,
    /// The name of this process.
    pub(super) process: Arc<str>,
    /// The processes that it has passed before this one.
    hops: Mutex<Hops>,
    /// The relays that read it.
    relays: RelayReaders,
    limits: Limits,
    memory: Arc<Retained>,
    history: Arc<History>,
    this: Weak<Self>,
    pace: Option<Pace>,
    shards: Box<[Shard]>,
    pub(super) readers: Readers,
    /// Parts that were refused; the runs of one mount count together.
    refused: Arc<AtomicU64>,
    /// Whether the boundary was broken up in a part; the first time is logged.
    has_broken_up: AtomicBool,
    /// When a refusal was logged last.
    warned: Mutex<Option<Instant>>,
    pub(super) source: Mutex<SourceStatus>,
    /// Notifies the tasks that wait for a change of it.
    pub(super) source_changed: Notify,
    /// Locked while parts are numbered, encoded and held: they have one order, and none follows the end.
    publishing: Mutex<()>,
}

impl Feed {
    /// A feed that wakes its loops with these wakers, one for each shard.
    pub(super) fn with_wakers(
        name: String,
        kind: Kind,
        settings: &Settings,
        wakers: &[Arc<Wakers>],
        refused: Arc<AtomicU64>,
    ) -> Arc<Self> {
        // A run has one viewer, and so one shard; its viewer sets the pace.
        let shards = if kind == Kind::Run { &wakers[..1] } else { wakers };
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            this: this.clone(),
            url_name: url_name(&name),
            name,
            kind: AtomicU8::new(kind as u8),
            boundary: settings.boundary.clone(),
            process: settings.process.clone(),
            hops: Mutex::default(),
            relays: RelayReaders::default(),
            limits: settings.limits.clone(),
            memory: settings.memory.clone(),
            history: settings.history.clone(),
            pace: settings.interval.filter(|_| kind != Kind::Run).map(Pace::new),
            shards: shards
                .iter()
                .zip(1..)
                .map(|(wakers, count)| Shard::new(wakers.clone(), count > settings.shards.max(1)))
                .collect(),
            readers: Readers::default(),
            refused,
            has_broken_up: AtomicBool::new(false),
            warned: Mutex::default(),
            source: Mutex::default(),
            source_changed: Notify::new(),
            publishing: Mutex::default(),
        })
    }

    /// How it treats slow readers.
    pub fn kind(&self) -> Kind {
        match self.kind.load(Acquire) {
            kind if kind == Kind::Newest as u8 => Kind::Newest,
            kind if kind == Kind::Lines as u8 => Kind::Lines,
            _ => Kind::Run,
        }
    }

    pub(super) fn set_kind(&self, kind: Kind) {
        self.kind.store(kind as u8, Release);
    }

    /// Lets the sequence follow that of an earlier feed of this name, whose newest part had this number. To be called before the
    /// first part.
    pub(super) fn continue_after(&self, sequence: u64) {
        self.shards.iter().for_each(|shard| shard.lock().continue_after(sequence));
    }

    /// The sequence of the newest part.
    pub(super) fn published(&self) -> u64 {
        self.shards[0].lock().published
    }

    /// The boundary between its parts.
    pub fn boundary(&self) -> &Boundary {
        &self.boundary
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The shard of this number; a run has only one.
    pub(super) fn shard(&self, shard: usize) -> &Shard {
        &self.shards[shard.min(self.shards.len() - 1)]
    }

    /// The newest part.
    pub fn newest(&self) -> Option<Encoded> {
        self.shards[0].lock().newest()
    }

    /// All parts that it holds. Those of a run are its viewer's alone.
    pub fn held(&self) -> HeldParts {
        if self.kind() == Kind::Run {
            return HeldParts::default();
        }
        let (blocks, oldest) = self.shards[0].lock().held();
        HeldParts::new(blocks, oldest)
    }

    /// Waits for a part newer than `sequence`, or for the end of the feed; then returns the newest part, if any. A waiting caller
    /// counts as demand.
    pub async fn newer_than(&self, sequence: u64) -> Option<Encoded> {
        let _reader = self.readers.enter();
        loop {
            let changed = self.shards[0].changed.notified();
            {
                let state = self.shards[0].lock();
                if state.ended || state.published > sequence && state.len() > 0 {
                    return state.newest();
                }
            }
            changed.await;
        }
    }

    /// The newest part. If the source rests or has just been started, this waits for what it produces, for at most this time; the
    /// caller counts as demand.
    pub async fn current(&self, wait: Duration) -> Option<Encoded> {
        let _reader = self.readers.enter();
        let deadline = Instant::now() + wait;
        loop {
            let changed = self.shards[0].changed.notified();
            if self.has_ended() || !self.source.lock().is_waking() || timeout_at(deadline, changed).await.is_err() {
                return self.newest();
            }
        }
    }

    /// Whether no part will follow.
    pub fn has_ended(&self) -> bool {
        self.shards[0].lock().ended
    }

    /// Ends the feed: readers get the remaining parts, and viewers then the close-delimiter. No part follows: those that are published
    /// later are not held.
    pub fn end(&self) {
        // Locked until the end is noted: otherwise the clock could publish, or a newer part take the place of this one, in between.
        let mut slot = self.pace.as_ref().map(Pace::slot);
        let waiting = slot.as_mut().and_then(|slot| slot.take());
        self.put(waiting.into_iter().collect(), true);
        drop(slot);
        self.pace.iter().for_each(|pace| pace.changed.notify_one());
        self.source.lock().end();
        self.source_changed.notify_waiters();
    }

    /// The processes that the feed has passed before this one; none unless it is relayed.
    pub fn hops(&self) -> Hops {
        self.hops.lock().clone()
    }

    /// Sets them. Readers that are among them end: the feed would go in a circle.
    pub(super) fn set_hops(&self, hops: Hops) {
        *self.hops.lock() = hops.clone();
        self.relays.end_circles(&hops);
        self.shards.iter().for_each(Shard::wake);
    }

    /// The name of this process in `Via`.
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Notes that a relay is about to read it, whose request has passed these processes, until the guard is dropped; `None` if the feed
    /// comes from there.
    pub fn expect_relay(&self, hops: Hops) -> Option<HopsGuard> {
        // In this order, so that no change of them is missed.
        let relay = self.relays.enter(hops.clone());
        (!self.hops.lock().meets(&hops)).then_some(relay)
    }

    /// Registers a waker for every change in a loop's shard. Returns the key for `remove_waker`.
    pub fn register_waker(&self, shard: usize, waker: std::task::Waker) -> usize {
        self.shard(shard).wakers.insert(waker)
    }

    /// Removes the waker with this key.
    pub fn remove_waker(&self, shard: usize, key: usize) {
        self.shard(shard).wakers.remove(key);
    }

    /// The numbers for `/state`.
    pub fn state(&self) -> FeedState {
        let shards = self.shards.iter().map(Shard::lock).filter(|shard| !shard.is_recorders);
        let (viewers, dropped) =
            shards.fold((0, 0), |(viewers, dropped), shard| (viewers + shard.subscribers - shard.sinks, dropped + shard.dropped));
        let state = self.shards[0].lock();
        FeedState {
            name: self.name.clone(),
            kind: self.kind(),
            ended: state.ended,
            history: self.limits.hold(self.kind()).history,
            held: state.len(),
            held_bytes: state.bytes(),
            published: state.published,
            published_bytes: state.published_bytes,
            refused: self.refused.load(Relaxed),
            dropped,
            viewers,
            newest: state.newest().as_ref().map(NewestState::of),
            source: self.source.lock().clone(),
            via: self.hops(),
        }
    }

    /// Sets the state of the source; the feed itself sets `Live` at the first part, and `Ended` at the end.
    pub(super) fn set_source(&self, state: SourceState) {
        self.source.lock().set(state);
        self.source_changed.notify_waiters();
        self.shards[0].wake();
    }

    /// Notes that its source plays parts that were made long ago.
    pub(super) fn set_replay(&self) {
        self.source.lock().set_replay();
    }

    /// Counts a run of the command that is its source.
    pub(super) fn count_run(&self) {
        self.source.lock().runs().runs += 1;
    }

    /// Counts a visit to the upstream that is its source.
    pub(super) fn count_connect(&self) {
        self.source.lock().upstream().connects += 1;
    }

    /// Counts a visit that failed.
    pub(super) fn count_connect_failure(&self) {
        self.source.lock().upstream().connect_failures += 1;
    }

    /// Notes how such a run ended.
    pub(super) fn note_exit(&self, exit: String, status: i32) {
        let mut source = self.source.lock();
        let runs = source.runs();
        runs.failed_runs += u64::from(status != 0);
        (runs.exit, runs.exit_status) = (Some(exit), Some(status));
    }

    /// Publishes a part now, or when it is due if the feed has a pace.
    pub(super) fn publish(&self, part: Part) -> Result<(), Refused> {
        let Some(pace) = &self.pace else {
            self.put(vec![self.check(part)?], false);
            return Ok(());
        };
        let mut slot = pace.slot();
        let part = self.check(part).inspect_err(|why| {
            if *why == Refused::Same {
                drop(slot.take());
            }
        })?;
        if let Some(part) = pace.offer(&mut slot, part) {
            self.put(vec![part], false);
        }
        Ok(())
    }

    /// Publishes the last part.
    pub(super) fn publish_last(&self, part: Part) -> Result<(), Refused> {
        self.put(vec![self.check(part)?], true);
        Ok(())
    }

    /// Publishes parts that came together; of a feed with a pace only the newest, or, if it is refused, the newest before it.
    pub(super) fn publish_all(&self, parts: Vec<Part>) {
        if self.pace.is_some() {
            let is_done = |part| match self.publish(part) {
                Ok(()) | Err(Refused::Same) => true,
                Err(why) => {
                    self.say_refused(why);
                    false
                }
            };
            parts.into_iter().rev().any(is_done);
            return;
        }
        let mut checked = Vec::with_capacity(parts.len());
        for part in parts {
            match self.check(part) {
                Ok(part) => checked.push(part),
                Err(why) => self.say_refused(why),
            }
        }
        if !checked.is_empty() {
            self.put(checked, false);
        }
    }

    /// Logs, from time to time, why parts are refused that came with others.
    fn say_refused(&self, why: Refused) {
        let mut warned = self.warned.lock();
        if !matches!(why, Refused::Same | Refused::Empty) && warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            warn!(feed = self.name, "a part is left out: {why}");
        }
    }

    /// Publishes waiting parts when they are due, until the end of the feed; returns at once without a pace.
    pub async fn keep_pace(&self) {
        let Some(pace) = &self.pace else { return };
        while !self.has_ended() {
            pace.changed.notified().await;
            while let Some(due) = pace.due() {
                sleep_until(due).await;
                let mut slot = pace.slot();
                if let Some(part) = pace.take_due(&mut slot) {
                    self.put(vec![part], false);
                }
            }
        }
    }

    /// Counts refused parts.
    pub(super) fn count_refused(&self, parts: u64) {
        self.refused.fetch_add(parts, Relaxed);
    }

    /// The part as it is to be published: without the boundary in its body.
    fn check(&self, part: Part) -> Result<Part, Refused> {
        let Part { media, body, time, class } = part;
        let (size, came) = (body.len(), body.as_ptr());
        let checked = if size == 0 {
            Err(Refused::Empty)
        } else if size > self.limits.part_bytes {
            Err(Refused::TooLarge)
        } else if !has_memory(size) {
            Err(Refused::NoMemory)
        } else {
            wire::without_boundary(body, &media, &self.boundary).ok_or(Refused::HasBoundary)
        };
        let body = checked.inspect_err(|_| self.count_refused(1))?;
        let is_same = |newest: Encoded| *newest.media() == media && newest.body() == body;
        if self.kind() == Kind::Newest && !self.limits.keep_same && self.newest().is_some_and(is_same) {
            return Err(Refused::Same);
        }
        if body.as_ptr() != came && !self.has_broken_up.swap(true, Relaxed) {
            warn!(feed = self.name, "text contains the boundary, which is sent broken up; --boundary chooses another one");
        }
        Ok(Part { media, body, time, class })
    }

    /// Checks a part, and encodes it for all runs.
    pub(super) fn prepare(&self, part: Part) -> Result<Prepared, Refused> {
        let part = self.check(part)?;
        Ok(Prepared(wire::encode(vec![part], 1, None, &self.boundary, &self.memory)))
    }

    /// Publishes a part that was encoded for all runs. None follows the `last`.
    pub(super) fn publish_prepared(&self, part: &Prepared, last: bool) {
        let _publishing = self.publishing.lock();
        let Some((sequence, before)) = self.next() else { return };
        self.hold(&[wire::renumber(&part.0, sequence, SystemTime::now(), before)], last);
    }

    /// Encodes parts and holds them; `last`: none follows. A feed that has ended stays as it is.
    fn put(&self, parts: Vec<Part>, last: bool) {
        let _publishing = self.publishing.lock();
        let Some((first, before)) = self.next() else { return };
        // Encoded outside the lock of a shard, for which viewers wait.
        let blocks = wire::encode_in_blocks(parts, first, before, &self.boundary, &self.memory);
        if self.kind() == Kind::Run {
            blocks.iter().for_each(|block| block.charge().release());
        }
        self.hold(&blocks, last);
    }

    /// The sequence of the next part, and the time of the part before it; `None` after the end.
    fn next(&self) -> Option<(u64, Option<SystemTime>)> {
        let state = self.shards[0].lock();
        (!state.ended).then(|| (state.published + 1, state.newest().map(|newest| newest.time())))
    }

    /// Holds blocks for the readers. The caller has locked `publishing`.
    fn hold(&self, blocks: &[Arc<Block>], last: bool) {
        let (kind, mut released) = (self.kind(), Vec::new());
        let (hold, until_taken) = (self.limits.hold(kind), Hold::until_taken(self.limits.part_bytes));
        let newest_before = self.shards[0].lock().newest_block();
        self.change(|state| {
            match state.is_recorders {
                // The feed's own blocks are those of the other shards.
                true => blocks.iter().for_each(|block| state.hold(block, until_taken, drop)),
                false => blocks.iter().for_each(|block| state.hold(block, hold, |old| released.push(old))),
            }
            state.ended |= last;
        });
        if newest_before.is_none() && !blocks.is_empty() {
            self.source.lock().publish();
            self.source_changed.notify_waiters();
        }
        // The parts of a run never count as held: it is there for its viewer alone, or they are those of all runs, which their source
        // holds.
        if kind != Kind::Run {
            self.count_past(newest_before.iter().chain(blocks), released);
        }
    }

    /// Counts the blocks that have become past ones, which are all but the newest, and no longer those that were released.
    fn count_past<'a>(&self, blocks: impl DoubleEndedIterator<Item = &'a Arc<Block>>, released: Vec<Arc<Block>>) {
        let (past, gone): (Vec<_>, Vec<_>) =
            blocks.rev().skip(1).partition(|block| released.iter().all(|old| !Arc::ptr_eq(old, block)));
        past.iter().for_each(|block| self.history.add(block, self.this.clone()));
        // A block that goes as soon as it is past was never counted, which is the rule without --history.
        let counted = released.iter().filter(|old| gone.iter().all(|block| !Arc::ptr_eq(old, block)));
        counted.for_each(|old| self.history.remove(old));
        released.iter().for_each(|old| old.charge().release());
        if !past.is_empty() {
            self.history.cut();
        }
    }

    /// Forgets the newest part of a run that its viewer has taken: it is kept for repeats alone.
    pub fn forget_taken(&self) {
        let mut state = self.shards[0].lock();
        if self.kind() == Kind::Run && state.taken >= state.published {
            drop(state.clear());
        }
    }

    /// Changes every shard, and wakes its loop.
    fn change(&self, mut change: impl FnMut(&mut ShardState)) {
        for shard in &self.shards {
            change(&mut shard.lock());
            shard.wake();
        }
    }
}

impl Holder for Feed {
    fn drop_up_to(&self, number: u64) {
        for shard in &self.shards {
            let mut state = shard.lock();
            let dropped = if state.is_recorders { Vec::new() } else { state.drop_up_to(number) };
            drop(state);
            dropped.iter().for_each(|block| block.charge().release());
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let blocks = self.shards[0].lock().clear();
        if self.kind() != Kind::Run {
            // Readers may keep its last parts longer, on their own account.
            blocks.iter().for_each(|block| {
                self.history.remove(block);
                block.charge().release();
            });
        }
    }
}

/// Whether there is memory to encode a body. Without it encoding would abort the program, so this tries an allocation first.
fn has_memory(bytes: usize) -> bool {
    bytes < LARGE || Vec::<u8>::new().try_reserve_exact(bytes + LARGE).is_ok()
}
