//! The bound on connections that are not viewers (yet). A new one beyond it evicts the one that has been silent longest, so that a
//! crowd that connects and says nothing costs a bounded amount and keeps no peer out that asks at once. Where the replies in
//! flight hold too much memory, or the request heads that are not complete yet, those that began first are evicted too.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    stats::{Lease, Retained},
    sync::Mutex,
};

/// Connections that may be pending however many viewers there are.
const MIN_PENDING: usize = 8;

/// The bytes of a request head that every pending connection may hold.
const SHORT_HEAD: usize = 8192;
/// The bytes beyond those that all pending connections together may hold: some hundreds of the longest heads.
const LONG_HEADS: usize = 8 << 20;

/// The pending connections, the longest silent first.
#[derive(Debug)]
pub(crate) struct PendingConns {
    set: Mutex<PendingSet>,
    max_pending: usize,
    /// Pending connections and viewers together, at most.
    max_connections: usize,
    /// The bytes of heads beyond `SHORT_HEAD` each.
    long_heads: AtomicUsize,
}

#[derive(Debug, Default)]
struct PendingSet {
    waiting: BTreeMap<u64, Waiting>,
    /// Connections that were evicted for what their replies keep in memory.
    leaving: Vec<Waiting>,
    /// The number of the next request or connection, by which they are in order.
    next: u64,
}

#[derive(Debug, Clone, Default)]
struct Waiting {
    evicted: Arc<Notify>,
    reply: Arc<Mutex<Option<PendingReply>>>,
    /// Its share of `PendingConns::long_heads`.
    long_head: Arc<AtomicUsize>,
}

/// The last reply of a connection.
#[derive(Debug, Clone)]
struct PendingReply {
    since: Instant,
    /// What it keeps in memory, each for as long as it is being sent.
    leases: Arc<[Weak<Lease>]>,
}

impl Waiting {
    /// When its reply began, and the bytes that are in memory for readers alone.
    fn retained(&self) -> Option<(Instant, usize)> {
        let PendingReply { since, leases } = self.reply.lock().clone()?;
        let bytes = leases.iter().filter_map(Weak::upgrade).map(|lease| lease.retained()).sum();
        Some((since, bytes)).filter(|(_, bytes)| *bytes > 0)
    }
}

/// A pending connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct PendingConn {
    pending: Arc<PendingConns>,
    number: Mutex<u64>,
    waiting: Waiting,
}

impl PendingConns {
    /// At most `max_pending`, and fewer where they and the viewers would be more than `max_connections`.
    pub(crate) fn new(max_pending: usize, max_connections: usize) -> Arc<Self> {
        Arc::new(Self { set: Mutex::default(), max_pending, max_connections, long_heads: AtomicUsize::new(0) })
    }

    /// Whether the next connection evicts another one, with this number of viewers.
    pub(crate) fn is_full(&self, viewers: usize) -> bool {
        let room = self.max_connections.saturating_sub(viewers).clamp(MIN_PENDING.min(self.max_pending), self.max_pending);
        self.set.lock().waiting.len() >= room
    }

    /// Adds a connection, and evicts another one where there are too many.
    pub(crate) fn enter(self: &Arc<Self>, viewers: usize) -> PendingConn {
        if self.is_full(viewers) {
            self.make_room();
        }
        let waiting = Waiting::default();
        let number = self.set.lock().put(waiting.clone());
        PendingConn { pending: self.clone(), number: Mutex::new(number), waiting }
    }

    /// Evicts the connection that has been silent longest.
    pub(crate) fn make_room(&self) {
        if let Some((_, waiting)) = self.set.lock().waiting.pop_first() {
            waiting.evicted.notify_one();
        }
    }

    /// Whether the reply of a connection is being sent.
    pub(crate) fn is_replying(&self) -> bool {
        let is_alive = |waiting: &Waiting| {
            waiting.reply.lock().as_ref().is_some_and(|reply| reply.leases.iter().any(|lease| lease.strong_count() > 0))
        };
        self.set.lock().waiting.values().any(is_alive)
    }

    /// Evicts the connections that have been silent longest of those with a long head, until the others hold little enough.
    fn evict_long_heads(&self) {
        let mut set = self.set.lock();
        while self.long_heads.load(Relaxed) > LONG_HEADS {
            let is_long = |(number, waiting): (&u64, &Waiting)| (waiting.long_head.load(Relaxed) > 0).then_some(*number);
            let Some(waiting) = set.waiting.iter().find_map(is_long).and_then(|number| set.waiting.remove(&number)) else { return };
            self.long_heads.fetch_sub(waiting.long_head.swap(0, Relaxed), Relaxed);
            waiting.evicted.notify_one();
        }
    }

    /// Evicts the connections that have been at their replies for longest, where too much is in memory for readers alone: only
    /// those whose replies began before `until`, if a reader of another kind began then. `largest` is the largest block that such
    /// a reader keeps, in bytes. Returns by how many bytes too much is in memory when those are gone that were evicted.
    pub(crate) fn evict_slowest(&self, memory: &Retained, largest: usize, until: Option<Instant>) -> usize {
        if !memory.is_exceeded(0) {
            return 0;
        }
        let mut set = self.set.lock();
        let retained = |waiting: &Waiting| waiting.retained().map_or(0, |(_, bytes)| bytes);
        set.leaving.retain(|waiting| retained(waiting) > 0);
        let leaving: usize = set.leaving.iter().map(retained).sum();
        let replies = set.waiting.iter().filter_map(|(number, waiting)| Some((waiting.retained()?, *number)));
        let mut replies: Vec<((Instant, usize), u64)> = replies.collect();
        replies.sort_unstable();
        let largest = replies.iter().map(|((_, bytes), _)| *bytes).max().unwrap_or(0).max(largest);
        let mut excess = memory.excess(largest).saturating_sub(leaving);
        for ((since, bytes), number) in replies {
            if excess == 0 || until.is_some_and(|until| since >= until) {
                break;
            }
            excess = excess.saturating_sub(bytes);
            if let Some(waiting) = set.waiting.remove(&number) {
                waiting.evicted.notify_one();
                set.leaving.push(waiting);
            }
        }
        excess
    }
}

impl PendingSet {
    fn put(&mut self, waiting: Waiting) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, waiting);
        self.next
    }
}

impl PendingConn {
    /// Notes a request: the connection counts as silent from now on.
    pub(crate) fn mark_active(&self) {
        let mut number = self.number.lock();
        let mut set = self.pending.set.lock();
        // An evicted one is not there any more, and stays evicted.
        if let Some(waiting) = set.waiting.remove(&number) {
            *number = set.put(waiting);
        }
    }

    /// Counts what a reply keeps in memory, as long as it is being sent.
    pub(crate) fn count_reply(&self, leases: impl IntoIterator<Item = Weak<Lease>>) {
        *self.waiting.reply.lock() = Some(PendingReply { since: Instant::now(), leases: leases.into_iter().collect() });
    }

    /// Notes how many bytes of a request head it holds.
    pub(crate) fn note_head(&self, bytes: usize) {
        let long = bytes.saturating_sub(SHORT_HEAD);
        let before = self.waiting.long_head.swap(long, Relaxed);
        if long == before {
            return;
        }
        self.pending.long_heads.fetch_add(long, Relaxed);
        self.pending.long_heads.fetch_sub(before, Relaxed);
        if self.pending.long_heads.load(Relaxed) > LONG_HEADS {
            self.pending.evict_long_heads();
        }
    }

    /// Waits until it is evicted.
    pub(crate) async fn evicted(&self) {
        self.waiting.evicted.notified().await;
    }
}

impl Drop for PendingConn {
    fn drop(&mut self) {
        self.note_head(0);
        let number = *self.number.lock();
        self.pending.set.lock().waiting.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::stats;

    async fn is_evicted(conn: &PendingConn) -> bool {
        timeout(Duration::from_secs(1), conn.evicted()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_connection_is_evicted() {
        let pending = PendingConns::new(3, 100);
        let [first, second, third] = [(); 3].map(|()| pending.enter(0));
        first.mark_active();
        let _fourth = pending.enter(0);
        assert!(is_evicted(&second).await && !is_evicted(&first).await && !is_evicted(&third).await);
        pending.make_room();
        assert!(is_evicted(&third).await && !is_evicted(&first).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_closes_makes_room() {
        let pending = PendingConns::new(2, 100);
        let (first, second) = (pending.enter(0), pending.enter(0));
        drop(second);
        let third = pending.enter(0);
        assert!(!is_evicted(&first).await && !is_evicted(&third).await);
        drop((first, third));
        assert!(pending.set.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_been_longest_at_its_reply_goes_where_readers_keep_too_much() {
        const SIZE: usize = 20 << 20;
        let pending = PendingConns::new(100, 100);
        let conns: Vec<_> = (0..5).map(|_| pending.enter(0)).collect();
        let memory = Arc::new(Retained::default());
        let reply = |conn: &PendingConn, charge: Arc<stats::Charge>| {
            let lease = Arc::new(Lease::new(charge));
            conn.count_reply([Arc::downgrade(&lease)]);
            lease
        };
        let part = || {
            let charge = memory.charge(SIZE);
            charge.release();
            charge
        };
        let shared = part();
        let replies =
            [reply(&conns[0], part()), reply(&conns[1], shared.clone()), reply(&conns[2], shared), reply(&conns[3], part())];
        pending.evict_slowest(&memory, 0, None);
        assert!(!is_evicted(&conns[0]).await, "three of 20 MiB are none too many");
        let _fourth = reply(&conns[4], part());
        pending.evict_slowest(&memory, 0, None);
        pending.evict_slowest(&memory, 0, None);
        assert!(is_evicted(&conns[0]).await);
        for conn in &conns[1..] {
            assert!(!is_evicted(conn).await, "it is on its way out already, and that is enough");
        }
        drop(replies);
    }

    #[tokio::test(start_paused = true)]
    async fn long_heads_are_bounded_in_bytes() {
        let pending = PendingConns::new(10_000, 10_000);
        let conns: Vec<_> = (0..600).map(|_| pending.enter(0)).collect();
        let full = LONG_HEADS / (24 << 10);
        conns[0].note_head(SHORT_HEAD);
        conns[1..].iter().for_each(|conn| conn.note_head(32 << 10));
        assert!(pending.long_heads.load(Relaxed) <= LONG_HEADS);
        assert!(!is_evicted(&conns[0]).await && is_evicted(&conns[1]).await && !is_evicted(&conns[599]).await);
        assert_eq!(pending.set.lock().waiting.len(), full + 1);
        drop(conns);
        assert_eq!(pending.long_heads.load(Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_leave_room_for_a_few_pending_connections() {
        let pending = PendingConns::new(50, 20);
        let conns: Vec<_> = (0..9).map(|_| pending.enter(10)).collect();
        assert!(!pending.is_full(10) && pending.is_full(11) && pending.is_full(1000));
        let _more = pending.enter(1000);
        assert!(is_evicted(&conns[0]).await && !is_evicted(&conns[1]).await);
        let few = PendingConns::new(50, 20);
        let _conns: Vec<_> = (0..MIN_PENDING - 1).map(|_| few.enter(1000)).collect();
        assert!(!few.is_full(1000));
    }
}
