//! Connections that are no viewers (yet): so many at most. Where one more comes, the one that has been silent longest makes
//! room, so that a crowd that connects and says nothing costs a bounded amount and keeps nobody out who asks at once. So do
//! those that have been longest at their replies where too much is kept in memory for all of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use tokio::sync::Notify;

use crate::{
    stats::{Lease, Retained},
    sync::lock,
};

/// However many viewers there are, so many may be about to become some.
const FEWEST: usize = 8;

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
    /// Those that were asked to go for what their replies keep in memory.
    leaving: Vec<Waiting>,
    /// The number of the next sign of life.
    next: u64,
}

#[derive(Debug, Clone, Default)]
struct Waiting {
    called: Arc<Notify>,
    /// What its reply keeps in memory, for as long as it is being sent.
    reply: Arc<Mutex<Weak<Lease>>>,
}

impl Waiting {
    fn retained(&self) -> usize {
        lock(&self.reply).upgrade().map_or(0, |lease| lease.retained())
    }
}

/// A place among them until it is dropped.
#[derive(Debug)]
pub(crate) struct PendingConn {
    pending: Arc<PendingConns>,
    number: Mutex<u64>,
    waiting: Waiting,
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

    /// Asks the connections to go that have been at their replies for longest, where too much is in memory for readers alone.
    pub(crate) fn evict_slowest(&self, memory: &Retained) {
        if !memory.is_exceeded(0) {
            return;
        }
        let mut set = self.lock();
        set.leaving.retain(|waiting| waiting.retained() > 0);
        let leaving: usize = set.leaving.iter().map(Waiting::retained).sum();
        let readers: Vec<(u64, usize)> = set.waiting.iter().map(|(number, waiting)| (*number, waiting.retained())).collect();
        let mut excess = memory.excess(readers.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0)).saturating_sub(leaving);
        for (number, bytes) in readers.into_iter().filter(|(_, bytes)| *bytes > 0) {
            if excess == 0 {
                return;
            }
            excess = excess.saturating_sub(bytes);
            if let Some(waiting) = set.waiting.remove(&number) {
                waiting.called.notify_one();
                set.leaving.push(waiting);
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

    /// Counts what a reply keeps in memory, as long as it is being sent.
    pub(crate) fn count_reply(&self, lease: Weak<Lease>) {
        *lock(&self.waiting.reply) = lease;
    }

    /// Waits until it has to make room.
    pub(crate) async fn evicted(&self) {
        self.waiting.called.notified().await;
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
    use crate::stats;

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
    async fn a_connection_that_has_been_longest_at_its_reply_goes_where_readers_keep_too_much() {
        const SIZE: usize = 20 << 20;
        let pending = PendingConns::new(100, 100);
        let conns: Vec<_> = (0..5).map(|_| pending.enter(0)).collect();
        let memory = Arc::new(Retained::default());
        let reply = |conn: &PendingConn, charge: Arc<stats::Charge>| {
            let lease = Arc::new(Lease::new(charge));
            conn.count_reply(Arc::downgrade(&lease));
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
        pending.evict_slowest(&memory);
        assert!(!is_called(&conns[0]).await, "three of 20 MiB are none too many");
        let _fourth = reply(&conns[4], part());
        pending.evict_slowest(&memory);
        pending.evict_slowest(&memory);
        assert!(is_called(&conns[0]).await);
        for conn in &conns[1..] {
            assert!(!is_called(conn).await, "it is on its way out already, and that is enough");
        }
        drop(replies);
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
