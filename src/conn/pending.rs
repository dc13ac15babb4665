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
pub(crate) struct Lobby {
    guests: Mutex<Guests>,
    most: usize,
    /// Connections that there may be, viewers among them.
    connections: usize,
}

#[derive(Debug, Default)]
struct Guests {
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

/// A place in the lobby until it is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    lobby: Arc<Lobby>,
    number: Mutex<u64>,
    waiting: Waiting,
}

/// Carries a reply's bytes to a guest, and counts them until they are sent.
#[derive(Debug, Clone)]
pub(crate) struct Tray {
    lobby: Arc<Lobby>,
    reply: Arc<Mutex<Span>>,
}

impl Lobby {
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
    pub(crate) fn enter(self: &Arc<Self>, viewers: usize) -> Guest {
        if self.is_full(viewers) {
            self.make_room();
        }
        let waiting = Waiting::default();
        let number = self.lock().put(waiting.clone());
        Guest { lobby: self.clone(), number: Mutex::new(number), waiting }
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
        if evict::may_be_too_much(replies.iter().map(|(_, reply)| reply.len()).sum()) {
            for waiting in evict::who_goes(replies.into_iter()).iter().filter_map(|number| guests.waiting.remove(number)) {
                waiting.called.notify_one();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Guests> {
        lock(&self.guests)
    }
}

impl Guests {
    fn put(&mut self, waiting: Waiting) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, waiting);
        self.next
    }
}

impl Guest {
    /// Notes that it asked for something.
    pub(crate) fn has_asked(&self) {
        let mut number = lock(&self.number);
        let mut guests = self.lobby.lock();
        // One that was called away already goes all the same.
        if let Some(waiting) = guests.waiting.remove(&number) {
            *number = guests.put(waiting);
        }
    }

    /// What its replies are brought with.
    pub(crate) fn tray(&self) -> Tray {
        Tray { lobby: self.lobby.clone(), reply: self.waiting.reply.clone() }
    }

    /// Waits until it has to make room.
    pub(crate) async fn is_called_away(&self) {
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
        self.lobby.cut_the_slowest();
        Bytes::from_owner(Carried { bytes, reply: self.reply.clone() })
    }
}

struct Carried {
    bytes: Bytes,
    reply: Arc<Mutex<Span>>,
}

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        *lock(&self.reply) = 0..0;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let number = *lock(&self.number);
        self.lobby.lock().waiting.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn is_called(guest: &Guest) -> bool {
        timeout(Duration::from_secs(1), guest.is_called_away()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_makes_room() {
        let lobby = Lobby::new(3, 100);
        let [first, second, third] = [(); 3].map(|()| lobby.enter(0));
        first.has_asked();
        let _fourth = lobby.enter(0);
        assert!(is_called(&second).await && !is_called(&first).await && !is_called(&third).await);
        lobby.make_room();
        assert!(is_called(&third).await && !is_called(&first).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_frees_a_place() {
        let lobby = Lobby::new(2, 100);
        let (first, second) = (lobby.enter(0), lobby.enter(0));
        drop(second);
        let third = lobby.enter(0);
        assert!(!is_called(&first).await && !is_called(&third).await);
        drop((first, third));
        assert!(lobby.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_longest_at_a_reply_goes_where_all_keep_too_much() {
        const SIZE: usize = 20 << 20;
        let lobby = Lobby::new(100, 100);
        let guests: Vec<_> = (0..5).map(|_| lobby.enter(0)).collect();
        let reply = |guest: &Guest| guest.tray().carry(vec![0; SIZE].into());
        let first = reply(&guests[0]);
        drop(reply(&guests[1]));
        let shared = vec![1; SIZE];
        let shared = Bytes::from(shared);
        let _others = [guests[2].tray().carry(shared.clone()), guests[3].tray().carry(shared)];
        let third = reply(&guests[4]);
        assert!(!is_called(&guests[0]).await, "three of 20 MiB are none too many");
        guests[1].has_asked();
        let _fourth = reply(&guests[1]);
        assert!(is_called(&guests[0]).await);
        for guest in &guests[1..] {
            assert!(!is_called(guest).await);
        }
        drop((first, third));
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_take_room_but_never_all() {
        let lobby = Lobby::new(50, 20);
        let guests: Vec<_> = (0..9).map(|_| lobby.enter(10)).collect();
        assert!(!lobby.is_full(10) && lobby.is_full(11) && lobby.is_full(1000));
        let _more = lobby.enter(1000);
        assert!(is_called(&guests[0]).await && !is_called(&guests[1]).await);
        let few = Lobby::new(50, 20);
        let _guests: Vec<_> = (0..FEWEST - 1).map(|_| few.enter(1000)).collect();
        assert!(!few.is_full(1000));
    }
}
