//! The fan-out: one loop over all viewers of a thread. A part that is published goes to every socket with one
//! `send` of the same shared bytes; only a viewer whose socket is full is waited for, by its own bell.

pub(crate) mod ready;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod uring;
pub(crate) mod viewer;

use std::{
    cmp::Reverse,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Waker},
    time::Duration,
};

use slab::Slab;
use tokio::{
    sync::mpsc,
    task::{coop, yield_now},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, debug_span, error, field, field::display};

use self::{
    ready::Porch,
    viewer::{Times, Turn, Viewer},
};
use crate::conn::{evict, transport::Connection};
use crate::{
    feed::{Feed, Kind},
    panic::{Place, contained},
    stats::{Cause, End, ViewerStats},
};

/// The number of the bell that the feeds ring; the viewers' bells have their keys.
const FEEDS: usize = usize::MAX;
/// How long viewers have at the end to take the close-delimiter.
const FAREWELL: Duration = Duration::from_millis(1500);
/// The least time between two looks at what those keep in memory who are behind.
const HOARD_LOOK: Duration = Duration::from_millis(200);
/// When nothing is due.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Where connections become viewers.
#[derive(Debug, Clone)]
pub(crate) struct Entrance<T>(mpsc::UnboundedSender<Viewer<T>>);

impl<T> Entrance<T> {
    /// Hands a viewer to the loop, for good.
    pub(crate) fn admit(&self, viewer: Viewer<T>) {
        // The loop is gone only when the server ends; dropping the viewer then closes its connection.
        let _ = self.0.send(viewer);
    }
}

/// The loop and all it owns.
#[derive(Debug)]
pub(crate) struct Fanout<T> {
    viewers: Slab<Seated<T>>,
    /// Which lane of the feeds is this loop's.
    lane: usize,
    porch: Arc<Porch>,
    feeds: Vec<(Arc<Feed>, usize)>,
    arrivals: mpsc::UnboundedReceiver<Viewer<T>>,
    times: Times,
    deadline: Instant,
    look_again: Instant,
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    ring: uring::Ring,
}

#[derive(Debug)]
struct Seated<T> {
    viewer: Viewer<T>,
    bell: Waker,
    /// What the log says of this viewer, it says in here.
    span: Span,
    /// The feeds that ring this viewer's own bell: those that nobody else watches.
    runs: Vec<(Arc<Feed>, usize)>,
}

impl<T: Connection> Fanout<T> {
    /// The loop of this lane, for viewers of these feeds and of runs of their own.
    pub(crate) fn new(feeds: &[Arc<Feed>], lane: usize, times: Times) -> (Entrance<T>, Self) {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let porch = Arc::new(Porch::default());
        let feeds = feeds.iter().map(|feed| (feed.clone(), feed.watch(lane, porch.bell(FEEDS)))).collect();
        let now = Instant::now();
        let fanout = Self {
            viewers: Slab::new(),
            lane,
            porch,
            feeds,
            arrivals,
            times,
            deadline: now + NEVER,
            look_again: now,
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            ring: uring::Ring::default(),
        };
        (Entrance(sender), fanout)
    }

    /// Serves until `shutdown`, then until every viewer has its close-delimiter, for a bounded time.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        // tokio's budget would stop a pass over many viewers half-way; the loop yields itself, between passes.
        coop::unconstrained(self.serve(shutdown)).await;
    }

    async fn serve(mut self, shutdown: CancellationToken) {
        let mut rung = Vec::new();
        let mut end = None;
        // One for all rounds: a timer that is made anew costs a system call where it is the only one.
        let mut due = pin!(sleep_until(self.deadline));
        loop {
            if self.viewers.is_empty() && end.is_some() && self.arrivals.is_empty() {
                return;
            }
            if due.deadline() != self.deadline {
                due.as_mut().reset(self.deadline);
            }
            let farewell = end.unwrap_or(self.deadline + NEVER);
            tokio::select! {
                biased;
                () = self.porch.collect(&mut rung) => {
                    self.answer(&rung);
                    rung.clear();
                }
                Some(viewer) = self.arrivals.recv() => self.seat(viewer),
                () = due.as_mut() => {
                    self.sweep();
                    yield_now().await;
                }
                () = shutdown.cancelled(), if end.is_none() => end = Some(Instant::now() + FAREWELL),
                () = sleep_until(farewell), if end.is_some() => return,
            }
            if self.porch.is_called() {
                // Whatever else runs on this thread has its turn before the next pass.
                yield_now().await;
            }
        }
    }

    fn seat(&mut self, viewer: Viewer<T>) {
        let entry = self.viewers.vacant_entry();
        let key = entry.key();
        let bell = self.porch.bell(key);
        let runs = viewer.cursors().iter().map(|cursor| cursor.feed()).filter(|feed| feed.kind() == Kind::Run);
        let runs = runs.map(|feed| (feed.clone(), feed.watch(self.lane, bell.clone()))).collect();
        let span = span_of(&viewer);
        debug!(parent: &span, "viewer came");
        entry.insert(Seated { viewer, bell, span, runs });
        self.turn(key, Instant::now(), Viewer::attend);
    }

    fn answer(&mut self, rung: &[usize]) {
        let now = Instant::now();
        for &number in rung {
            if number == FEEDS {
                self.push_all(now);
            } else {
                self.turn(number, now, Viewer::attend);
            }
        }
    }

    /// A feed has news: everybody who is not behind gets them now.
    fn push_all(&mut self, now: Instant) {
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        self.send_at_once(now);
        let mut kept = 0;
        for key in 0..self.viewers.capacity() {
            match self.viewers.get_mut(key) {
                Some(Seated { viewer, .. }) if viewer.is_blocked() => {
                    viewer.fall_behind();
                    kept += viewer.kept_bytes();
                }
                Some(_) => self.turn(key, now, Viewer::push),
                None => {}
            }
        }
        if evict::may_be_too_much(kept) && now >= self.look_again {
            self.look_again = now + HOARD_LOOK;
            self.cut_the_slowest();
        }
    }

    /// Memory is bounded whatever viewers do: where too much is kept for those that are behind, the slowest of them go.
    fn cut_the_slowest(&mut self) {
        let mut behind: Vec<_> = self.viewers.iter().filter(|(_, seated)| seated.viewer.is_blocked()).collect();
        behind.sort_by_key(|(_, seated)| Reverse(seated.viewer.keeps().0));
        let pieces = behind.iter().flat_map(|(key, seated)| seated.viewer.keeps().1.map(|span| (*key, span)));
        for key in evict::who_goes(pieces) {
            self.unseat(key, End::Crowded);
        }
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        self.deadline = now + NEVER;
        for key in 0..self.viewers.capacity() {
            let Some(seated) = self.viewers.get(key) else { continue };
            match seated.viewer.deadline(self.times) {
                Some(at) if at <= now => {
                    let times = self.times;
                    self.turn(key, now, |viewer, now, cx| viewer.at_deadline(now, times, cx));
                }
                Some(at) => self.deadline = self.deadline.min(at),
                None => {}
            }
        }
    }

    fn turn(&mut self, key: usize, now: Instant, act: impl FnOnce(&mut Viewer<T>, Instant, &mut Context<'_>) -> Turn) {
        // A bell may ring for a viewer that has left meanwhile.
        let Some(Seated { viewer, bell, .. }) = self.viewers.get_mut(key) else { return };
        // Whatever goes wrong in here is this viewer's alone.
        let turn = contained(Place::Viewer, || act(viewer, now, &mut Context::from_waker(bell)));
        match turn.unwrap_or(Turn::Over(End::Panicked)) {
            Turn::Resting => {}
            Turn::WantsMore => bell.wake_by_ref(),
            Turn::Over(end) => return self.unseat(key, end),
        }
        if let Some(at) = viewer.deadline(self.times) {
            self.deadline = self.deadline.min(at);
        }
    }

    fn unseat(&mut self, key: usize, end: End) {
        let Seated { mut viewer, span, runs, .. } = self.viewers.remove(key);
        for (feed, watch) in runs {
            feed.unwatch(self.lane, watch);
        }
        let ViewerStats { id, sent, bytes, dropped, left_out, .. } = &*viewer.seat.stats;
        let [sent, bytes, dropped, left_out] = [sent, bytes, dropped, left_out].map(|count| count.load(Relaxed));
        debug!(parent: &span, why = end.name(), sent, bytes, dropped, left_out, "viewer left");
        if end == End::Panicked {
            error!(viewer = id, "a viewer is cut: serving it went wrong");
        }
        viewer.seat.leave(end);
        // What panicked once may do so again.
        let _ = contained(Place::Viewer, || drop(viewer));
        if self.viewers.is_empty() {
            self.viewers.shrink_to_fit();
        }
    }
}

/// One span a viewer: where the log is JSON, each of its lines names the viewer, its address and its feeds.
fn span_of<T: Connection>(viewer: &Viewer<T>) -> Span {
    let stats = &viewer.seat.stats;
    let span = debug_span!("viewer", id = stats.id, peer = field::Empty, feed = field::Empty);
    if !span.is_disabled() {
        let feeds: Vec<&str> = viewer.cursors().iter().map(|cursor| cursor.feed().name.as_str()).collect();
        span.record("feed", feeds.join(", "));
        stats.peer.map(|peer| span.record("peer", display(peer)));
    }
    span
}

impl<T> Drop for Fanout<T> {
    fn drop(&mut self) {
        for (feed, watch) in self.feeds.drain(..) {
            feed.unwatch(self.lane, watch);
        }
    }
}
