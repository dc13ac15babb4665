//! The bound on connections that are not viewers (yet). A new one beyond it evicts the one that has been silent longest, so that a
//! crowd that connects and says nothing costs a bounded amount and keeps no peer out that asks at once. Where the replies in
//! flight hold too much memory, those that began first are evicted too.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::evict::{self, Span};
use crate::sync::lock;

/// Connections that may be pending however many viewers there are.
const MIN_PENDING: usize = 8;

/// Replies up to this length are not counted: a socket takes them at once, or the connection's own buffer does.
const SMALL: usize = 16 * 1024;

/// The pending connections, the longest silent first.
#[derive(Debug)]
pub(crate) struct PendingConns {
    set: Mutex<PendingSet>,
    max_pending: usize,
    /// Pending connections and viewers together, at most.
    max_connections: usize,
}

#[derive(Debug, Default)]
struct PendingSet {
    waiting: BTreeMap<u64, Waiting>,
    /// The number of the next request or connection, by which they are in order.
    next: u64,
}

#[derive(Debug, Clone, Default)]
struct Waiting {
    evicted: Arc<Notify>,
    /// What it is being sent; empty where nothing is.
    reply: Arc<Mutex<Span>>,
}

/// A pending connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct PendingConn {
    pending: Arc<PendingConns>,
    number: Mutex<u64>,
    waiting: Waiting,
}

/// Carries a reply's bytes to a connection, and counts them until they are sent.
#[derive(Debug, Clone)]
pub(crate) struct Tray {
    pending: Arc<PendingConns>,
    reply: Arc<Mutex<Span>>,
}

impl PendingConns {
    /// At most `max_pending`, and fewer where they and the viewers would be more than `max_connections`.
    pub(crate) fn new(max_pending: usize, max_connections: usize) -> Arc<Self> {
        Arc::new(Self { set: Mutex::default(), max_pending, max_connections })
    }

    /// Whether the next connection evicts another one, with this number of viewers.
    pub(crate) fn is_full(&self, viewers: usize) -> bool {
        let room = self.max_connections.saturating_sub(viewers).clamp(MIN_PENDING.min(self.max_pending), self.max_pending);
        self.lock().waiting.len() >= room
    }

    /// Adds a connection, and evicts another one where there are too many.
    pub(crate) fn enter(self: &Arc<Self>, viewers: usize) -> PendingConn {
        if self.is_full(viewers) {
            self.make_room();
        }
        let waiting = Waiting::default();
        let number = self.lock().put(waiting.clone());
        PendingConn { pending: self.clone(), number: Mutex::new(number), waiting }
    }

    /// Evicts the connection that has been silent longest.
    pub(crate) fn make_room(&self) {
        if let Some((_, waiting)) = self.lock().waiting.pop_first() {
            waiting.evicted.notify_one();
        }
    }

    /// Asks those to go that have been longest at their replies, where too much is kept for all.
    fn cut_the_slowest(&self) {
        let mut guests = self.lock();
        let replies = guests.waiting.iter().rev().map(|(number, waiting)| (*number, lock(&waiting.reply).clone()));
        let replies: Vec<(u64, Span)> = replies.filter(|(_, reply)| !reply.is_empty()).collect();
        if evict::may_exceed(replies.iter().map(|(_, reply)| reply.len()).sum()) {
            for waiting in evict::pick_victims(replies.into_iter()).iter().filter_map(|number| guests.waiting.remove(number)) {
                waiting.evicted.notify_one();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PendingSet> {
        lock(&self.set)
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
        let mut number = lock(&self.number);
        let mut set = self.pending.lock();
        // An evicted one is not there any more, and stays evicted.
        if let Some(waiting) = set.waiting.remove(&number) {
            *number = set.put(waiting);
        }
    }

    /// What its replies are brought with.
    pub(crate) fn tray(&self) -> Tray {
        Tray { pending: self.pending.clone(), reply: self.waiting.reply.clone() }
    }

    /// Waits until it is evicted.
    pub(crate) async fn evicted(&self) {
        self.waiting.evicted.notified().await;
    }
}

impl Tray {
    /// The same bytes, counted until they are dropped.
    pub(crate) fn carry(&self, bytes: Bytes) -> Bytes {
        if bytes.len() <= SMALL {
            return bytes;
        }
        *lock(&self.reply) = evict::span(&bytes, 0);
        self.pending.cut_the_slowest();
        Bytes::from_owner(CountedBytes { bytes, reply: self.reply.clone() })
    }
}

struct CountedBytes {
    bytes: Bytes,
    reply: Arc<Mutex<Span>>,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        *lock(&self.reply) = 0..0;
    }
}

impl Drop for PendingConn {
    fn drop(&mut self) {
        let number = *lock(&self.number);
        self.pending.lock().waiting.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

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
        assert!(pending.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_longest_at_a_reply_goes_where_all_keep_too_much() {
        const SIZE: usize = 20 << 20;
        let pending = PendingConns::new(100, 100);
        let guests: Vec<_> = (0..5).map(|_| pending.enter(0)).collect();
        let reply = |conn: &PendingConn| conn.tray().carry(vec![0; SIZE].into());
        let first = reply(&guests[0]);
        drop(reply(&guests[1]));
        let shared = vec![1; SIZE];
        let shared = Bytes::from(shared);
        let _others = [guests[2].tray().carry(shared.clone()), guests[3].tray().carry(shared)];
        let third = reply(&guests[4]);
        assert!(!is_evicted(&guests[0]).await, "three of 20 MiB are none too many");
        guests[1].mark_active();
        let _fourth = reply(&guests[1]);
        assert!(is_evicted(&guests[0]).await);
        for conn in &guests[1..] {
            assert!(!is_evicted(conn).await);
        }
        drop((first, third));
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
