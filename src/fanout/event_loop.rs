//! The loop itself: gives viewers their turns, and disconnects them. It does not know how a viewer chooses or encodes parts.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{coop, yield_now},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, debug_span, error, field, field::display};

#[cfg(test)]
use super::tests;
use super::{
    cursor::Cursor,
    deadlines::{Deadline, Deadlines},
    options::Times,
    ready::ReadyList,
    slots::Slots,
    viewer::{Turn, Viewer},
};
#[cfg(all(feature = "io-uring", target_os = "linux"))]
use super::{uring::Ring, viewer::disconnect};
use crate::{
    conn::{pending::PendingConns, transport::Connection},
    feed::Registry,
    panic::{PanicScope, catch},
    stats::{Disconnect, Reason, Sent},
};

/// The number of the feeds in the ready list; a viewer's number is its key.
const FEEDS: usize = usize::MAX;
/// The time that viewers have after shutdown (a signal, an error) to take the rest and the close-delimiter.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(1500);
/// The time that requests which are on their way have after the end of all feeds.
const LATE_REQUESTS: Duration = Duration::from_millis(200);
/// The least time between two checks of the memory that slow viewers keep.
const MEMORY_CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// The timer if nothing is due.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The way to hand viewers to a loop.
#[derive(Debug, Clone)]
pub(crate) struct FanoutHandle<T>(mpsc::UnboundedSender<Viewer<T>>);

impl<T> FanoutHandle<T> {
    /// Hands a viewer over to the loop.
    pub(crate) fn admit(&self, viewer: Viewer<T>) {
        // The loop is gone only when the server ends; dropping the viewer then closes its connection.
        let _ = self.0.send(viewer);
    }
}

/// The loop and its viewers.
#[derive(Debug)]
pub(crate) struct Fanout<T> {
    viewers: Slots<Slot<T>>,
    deadlines: Deadlines,
    /// The loop's shard of the feeds.
    shard: usize,
    ready_list: Arc<ReadyList>,
    registry: Arc<Registry>,
    /// Connections that read replies; what these keep in memory counts together with what viewers keep.
    pending: Arc<PendingConns>,
    /// The key of the loop's waker in the registry.
    waker: usize,
    arrivals: mpsc::UnboundedReceiver<Viewer<T>>,
    times: Times,
    /// When the feeds ended for good, once they have.
    ended: Option<Instant>,
    next_memory_check: Instant,
    /// Whether too much was in memory for readers alone at the last look, so that the next check is due.
    is_over_memory: bool,
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    ring: Ring,
}

#[derive(Debug)]
struct Slot<T> {
    viewer: Viewer<T>,
    waker: Waker,
    deadline: Deadline,
    /// The span of this viewer's log lines.
    span: Span,
}

impl<T: Connection> Fanout<T> {
    /// The loop of this shard, for viewers of the registry's feeds and of runs.
    pub(crate) fn new(registry: Arc<Registry>, pending: Arc<PendingConns>, shard: usize, times: Times) -> (FanoutHandle<T>, Self) {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let ready_list = Arc::new(ReadyList::default());
        let waker = registry.register_waker(shard, ready_list.waker(FEEDS));
        // The feeds may have ended before there was anybody to wake.
        ready_list.waker(FEEDS).wake();
        let now = Instant::now();
        let fanout = Self {
            viewers: Slots::new(),
            deadlines: Deadlines::default(),
            shard,
            ready_list,
            registry,
            pending,
            waker,
            arrivals,
            times,
            ended: None,
            next_memory_check: now,
            is_over_memory: false,
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            ring: Ring::default(),
        };
        (FanoutHandle(sender), fanout)
    }

    /// Serves until `shutdown`, and then, for a limited time, until every viewer has its close-delimiter; or until all feeds have
    /// ended, and then until every viewer has the rest and its close-delimiter, or has taken no byte for the stall time.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        // tokio's budget would stop a pass over many viewers half-way; the loop itself yields between passes.
        coop::unconstrained(self.serve(shutdown)).await;
    }

    async fn serve(mut self, shutdown: CancellationToken) {
        let mut ready = Vec::new();
        let mut end = None;
        // One timer for all rounds: a new one costs a system call if it is the only one.
        let mut due = pin!(sleep_until(Instant::now() + NEVER));
        loop {
            let is_empty = self.viewers.is_empty() && self.arrivals.is_empty();
            if is_empty && (end.is_some() || self.has_served_all()) {
                return;
            }
            // Without one the timer stays, and is set far ahead once it has fired.
            let is_set = |at: &Instant| *at > Instant::now();
            let idle = || Some(due.deadline()).filter(is_set).unwrap_or_else(|| Instant::now() + NEVER);
            let deadline = self.next_deadline().unwrap_or_else(idle);
            if due.deadline() != deadline {
                due.as_mut().reset(deadline);
            }
            let close_deadline = end.unwrap_or(deadline + NEVER);
            tokio::select! {
                biased;
                () = self.ready_list.drain(&mut ready) => {
                    self.serve_ready(&ready);
                    ready.clear();
                }
                Some(viewer) = self.arrivals.recv() => self.admit(viewer),
                () = due.as_mut() => {
                    self.sweep();
                    yield_now().await;
                }
                () = shutdown.cancelled(), if end.is_none() => end = Some(Instant::now() + CLOSE_TIMEOUT),
                () = sleep_until(close_deadline), if end.is_some() => return,
                // Requests and replies tell nobody that they are over.
                () = sleep(LATE_REQUESTS), if self.ended.is_some() && is_empty => {}
            }
            if self.ready_list.has_ready() {
                // Other tasks of this thread have their turn before the next pass.
                yield_now().await;
            }
        }
    }

    /// The earliest turn or check of the memory.
    fn next_deadline(&self) -> Option<Instant> {
        let check = self.is_over_memory.then_some(self.next_memory_check);
        self.deadlines.next().into_iter().chain(check).min()
    }

    /// Whether the feeds have ended for good, and no request or reply is on its way.
    fn has_served_all(&self) -> bool {
        self.ended.is_some_and(|ended| ended.elapsed() >= LATE_REQUESTS) && !self.pending.is_replying()
    }

    fn admit(&mut self, mut viewer: Viewer<T>) {
        if self.ended.is_some() {
            viewer.hurry();
        }
        let span = span_of(&viewer);
        debug!(parent: &span, "viewer came");
        let ready_list = &self.ready_list;
        let key = self.viewers.insert(|key| Slot { viewer, waker: ready_list.waker(key), deadline: Deadline::default(), span });
        self.turn(key, Instant::now(), Viewer::read_and_push);
    }

    fn serve_ready(&mut self, ready: &[usize]) {
        let now = Instant::now();
        for &number in ready {
            if number == FEEDS {
                self.push_all(now);
            } else {
                self.turn(number, now, Viewer::read_and_push);
            }
        }
        self.limit_memory(now);
    }

    /// A feed has a new part, or the list of feeds has changed: every viewer whose socket is not full is served now.
    fn push_all(&mut self, now: Instant) {
        if self.ended.is_none() && self.registry.has_ended() {
            self.ended = Some(now);
            self.viewers.iter_mut().for_each(|(_, slot)| slot.viewer.hurry());
        }
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        self.send_at_once(now);
        for place in (0..self.viewers.len()).rev() {
            let Some(key) = self.viewers.key_at(place) else { continue };
            match self.viewers.get_mut(key) {
                Some(Slot { viewer, .. }) if viewer.is_blocked() => viewer.skip_to_newest(),
                Some(_) => self.turn(key, now, Viewer::push),
                None => {}
            }
        }
    }

    /// Limits the memory that readers can keep, now or when the next check is due. A part of a run wakes its viewer alone, so every
    /// round checks.
    fn limit_memory(&mut self, now: Instant) {
        self.is_over_memory = self.registry.settings().memory.is_exceeded(0);
        if !self.is_over_memory {
            return;
        }
        if now >= self.next_memory_check {
            self.next_memory_check = now + MEMORY_CHECK_INTERVAL;
            self.evict_slowest();
        }
    }

    /// While too much is in memory for readers alone, this forgets what viewers keep for repeats alone, and then disconnects the
    /// readers that have been at their parts for longest, whether these are viewers of this loop or readers of snapshots.
    fn evict_slowest(&mut self) {
        let has_some = |(_, slot): &&mut (usize, Slot<T>)| slot.viewer.retained().1 > 0;
        self.viewers.iter_mut().filter(has_some).for_each(|(_, slot)| slot.viewer.forget_repeats());
        let retained = self.viewers.iter().map(|(key, slot)| (slot.viewer.retained(), *key));
        let mut readers: Vec<_> = retained.filter(|((_, bytes), _)| *bytes > 0).collect();
        readers.sort_unstable();
        let largest = readers.iter().map(|((_, bytes), _)| *bytes).max().unwrap_or(0);
        let memory = self.registry.settings().memory.clone();
        for ((since, _), key) in readers {
            if self.pending.evict_slowest(&memory, largest, Some(since)) == 0 {
                return;
            }
            self.remove(key, Disconnect::Crowded);
        }
        self.pending.evict_slowest(&memory, 0, None);
    }

    /// Submits the sends to viewers on plain sockets that are not full, all at once. Viewers that have more to send, or no room,
    /// then have an ordinary turn.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    fn send_at_once(&mut self, now: Instant) {
        let mut panicked = Vec::new();
        let ready = self.viewers.iter_mut().filter(|(_, slot)| !slot.viewer.is_blocked());
        self.ring.send(ready.filter_map(|(key, Slot { viewer, waker, .. })| {
            let Ok(next) = catch(PanicScope::Viewer, || viewer.next(now, &mut Context::from_waker(waker))) else {
                panicked.push(*key);
                return None;
            };
            let (io, bytes) = next?;
            Some((*key, io.plain_socket().zip(bytes)))
        }));
        for key in panicked {
            self.remove(key, Disconnect::Panicked);
        }
        let mut outcomes = self.ring.take_outcomes();
        for (key, outcome) in outcomes.drain(..) {
            self.turn(key, now, |viewer, now, cx| {
                match outcome {
                    Ok(sent) => viewer.advance(sent, now),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Turn::Over(disconnect(&error)),
                }
                if viewer.is_blocked() { viewer.push(now, cx) } else { Turn::Idle }
            });
        }
        self.ring.reuse_outcomes(outcomes);
    }

    /// Gives the viewers their turns that are due.
    fn sweep(&mut self) {
        let (now, times) = (Instant::now(), self.times);
        for key in self.deadlines.due(now) {
            #[cfg(test)]
            tests::LOOKS.with(|looks| looks.set(looks.get() + 1));
            let Some(Slot { viewer, deadline, .. }) = self.viewers.get_mut(key) else { continue };
            self.deadlines.forget(key, deadline);
            match viewer.deadline(times) {
                Some(at) if at <= now => self.turn(key, now, |viewer, now, cx| viewer.at_deadline(now, times, cx)),
                Some(at) => self.deadlines.note(key, deadline, at),
                None => {}
            }
        }
        self.limit_memory(now);
    }

    fn turn(&mut self, key: usize, now: Instant, act: impl FnOnce(&mut Viewer<T>, Instant, &mut Context<'_>) -> Turn) {
        // A waker may be woken after its viewer has left.
        let Some(Slot { viewer, waker, deadline, .. }) = self.viewers.get_mut(key) else { return };
        // A panic in here ends this viewer only.
        let turn = catch(PanicScope::Viewer, || act(viewer, now, &mut Context::from_waker(waker)));
        match turn.unwrap_or(Turn::Over(Disconnect::Panicked)) {
            Turn::Idle => {}
            Turn::WantsMore => waker.wake_by_ref(),
            Turn::Over(end) => return self.remove(key, end),
        }
        if let Some(at) = viewer.deadline(self.times) {
            self.deadlines.note(key, deadline, at);
        }
    }

    fn remove(&mut self, key: usize, end: Disconnect) {
        let Some(Slot { mut viewer, span, mut deadline, .. }) = self.viewers.remove(key) else { return };
        self.deadlines.forget(key, &mut deadline);
        let stats = &*viewer.permit.stats;
        let Sent { parts, bytes, dropped, left_out } = stats.sent();
        debug!(parent: &span, why = end.name(), sent = parts, bytes, dropped, left_out, "viewer left");
        if end == Disconnect::Panicked {
            error!(viewer = stats.id, "a viewer is disconnected: serving it went wrong");
        }
        viewer.permit.leave(end);
        // A viewer that panicked may panic again when it is dropped.
        let _ = catch(PanicScope::Viewer, || drop(viewer));
    }
}

/// A span for each viewer: with it each line of a JSON log names the viewer, its address and its feeds.
fn span_of<T: Connection>(viewer: &Viewer<T>) -> Span {
    let stats = &viewer.permit.stats;
    let span = debug_span!("viewer", id = stats.id, peer = field::Empty, feed = field::Empty);
    if !span.is_disabled() {
        let feeds: Vec<&str> = viewer.cursors().iter().map(Cursor::feed_name).collect();
        span.record("feed", feeds.join(", "));
        stats.peer.map(|peer| span.record("peer", display(peer)));
    }
    span
}

impl<T> Drop for Fanout<T> {
    fn drop(&mut self) {
        self.registry.remove_waker(self.shard, self.waker);
    }
}
