//! Connections that are no viewers (yet): so many at most. Where one more comes, the one that has been silent longest makes
//! room, so that a crowd that connects and says nothing costs a bounded amount and keeps nobody out who asks at once. So do
//! those that have been longest at their replies where too much is kept in memory for all of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::evict::{self, Span};
use crate::sync::lock;

/// However many viewers there are, so many may be about to become some.
const FEWEST: usize = 8;

/// Replies up to this length are not counted: a socket takes them at once, or the connection's own buffer does.
const SMALL: usize = 16 * 1024;

/// The connections, longest silent first.
#[derive(Debug)]
pub(crate) struct PendingConns {
    guests: Mutex<PendingSet>,
    most: usize,
    /// Connections that there may be, viewers among them.
    connections: usize,
}

#[derive(Debug, Default)]
struct PendingSet {
    waiting: BTreeMap<u64, Waiting>,
    /// The number of the next sign of life.
    next: u64,
}

#[derive(Debug, Clone, Default)]
struct Waiting {
    called: Arc<Notify>,
    /// What it is being sent; empty where nothing is.
    reply: Arc<Mutex<Span>>,
}

/// A place among them until it is dropped.
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
    /// Room for so many, and fewer where they and the viewers would be more connections than this.
    pub(crate) fn new(most: usize, connections: usize) -> Arc<Self> {
        Arc::new(Self { guests: Mutex::default(), most, connections })
    }

    /// Whether the next one drives another out, beside so many viewers.
    pub(crate) fn is_full(&self, viewers: usize) -> bool {
        let room = self.connections.saturating_sub(viewers).clamp(FEWEST.min(self.most), self.most);
        self.lock().waiting.len() >= room
    }

    /// Takes one in, and asks another to go where there are too many.
    pub(crate) fn enter(self: &Arc<Self>, viewers: usize) -> PendingConn {
        if self.is_full(viewers) {
            self.make_room();
        }
        let waiting = Waiting::default();
        let number = self.lock().put(waiting.clone());
        PendingConn { pending: self.clone(), number: Mutex::new(number), waiting }
    }

    /// Asks the one to go that has been silent longest.
    pub(crate) fn make_room(&self) {
        if let Some((_, waiting)) = self.lock().waiting.pop_first() {
            waiting.called.notify_one();
        }
    }

    /// Asks those to go that have been longest at their replies, where too much is kept for all.
    fn cut_the_slowest(&self) {
        let mut guests = self.lock();
        let replies = guests.waiting.iter().rev().map(|(number, waiting)| (*number, lock(&waiting.reply).clone()));
        let replies: Vec<(u64, Span)> = replies.filter(|(_, reply)| !reply.is_empty()).collect();
        if evict::may_exceed(replies.iter().map(|(_, reply)| reply.len()).sum()) {
            for waiting in evict::pick_victims(replies.into_iter()).iter().filter_map(|number| guests.waiting.remove(number)) {
                waiting.called.notify_one();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PendingSet> {
        lock(&self.guests)
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
    /// Notes that it asked for something.
    pub(crate) fn mark_active(&self) {
        let mut number = lock(&self.number);
        let mut guests = self.pending.lock();
        // One that was called away already goes all the same.
        if let Some(waiting) = guests.waiting.remove(&number) {
            *number = guests.put(waiting);
        }
    }

    /// What its replies are brought with.
    pub(crate) fn tray(&self) -> Tray {
        Tray { pending: self.pending.clone(), reply: self.waiting.reply.clone() }
    }

    /// Waits until it has to make room.
    pub(crate) async fn evicted(&self) {
        self.waiting.called.notified().await;
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

    async fn is_called(conn: &PendingConn) -> bool {
        timeout(Duration::from_secs(1), conn.evicted()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_makes_room() {
        let pending = PendingConns::new(3, 100);
        let [first, second, third] = [(); 3].map(|()| pending.enter(0));
        first.mark_active();
        let _fourth = pending.enter(0);
        assert!(is_called(&second).await && !is_called(&first).await && !is_called(&third).await);
        pending.make_room();
        assert!(is_called(&third).await && !is_called(&first).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_frees_a_place() {
        let pending = PendingConns::new(2, 100);
        let (first, second) = (pending.enter(0), pending.enter(0));
        drop(second);
        let third = pending.enter(0);
        assert!(!is_called(&first).await && !is_called(&third).await);
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
        assert!(!is_called(&guests[0]).await, "three of 20 MiB are none too many");
        guests[1].mark_active();
        let _fourth = reply(&guests[1]);
        assert!(is_called(&guests[0]).await);
        for conn in &guests[1..] {
            assert!(!is_called(conn).await);
        }
        drop((first, third));
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_take_room_but_never_all() {
        let pending = PendingConns::new(50, 20);
        let guests: Vec<_> = (0..9).map(|_| pending.enter(10)).collect();
        assert!(!pending.is_full(10) && pending.is_full(11) && pending.is_full(1000));
        let _more = pending.enter(1000);
        assert!(is_called(&guests[0]).await && !is_called(&guests[1]).await);
        let few = PendingConns::new(50, 20);
        let _guests: Vec<_> = (0..FEWEST - 1).map(|_| few.enter(1000)).collect();
        assert!(!few.is_full(1000));
    }
}
