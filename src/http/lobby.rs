//! Connections that are no viewers (yet): so many at most. Where one more comes, the one that has been silent longest makes
//! room, so that a crowd that connects and says nothing costs a bounded amount and keeps nobody out who asks at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

use crate::contain::lock;

/// However many viewers there are, so many may be about to become some.
const FEWEST: usize = 8;

/// The connections, longest silent first.
#[derive(Debug)]
pub(super) struct Lobby {
    guests: Mutex<Guests>,
    most: usize,
    /// Connections that there may be, viewers among them.
    connections: usize,
}

#[derive(Debug, Default)]
struct Guests {
    waiting: BTreeMap<u64, Arc<Notify>>,
    /// The number of the next sign of life.
    next: u64,
}

/// A place in the lobby until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    lobby: Arc<Lobby>,
    number: Mutex<u64>,
    called: Arc<Notify>,
}

impl Lobby {
    /// Room for so many, and fewer where they and the viewers would be more connections than this.
    pub(super) fn new(most: usize, connections: usize) -> Arc<Self> {
        Arc::new(Self { guests: Mutex::default(), most, connections })
    }

    /// Whether the next one drives another out, beside so many viewers.
    pub(super) fn is_full(&self, viewers: usize) -> bool {
        let room = self.connections.saturating_sub(viewers).clamp(FEWEST.min(self.most), self.most);
        self.lock().waiting.len() >= room
    }

    /// Takes one in, and asks another to go where there are too many.
    pub(super) fn enter(self: &Arc<Self>, viewers: usize) -> Guest {
        if self.is_full(viewers) {
            self.make_room();
        }
        let called = Arc::new(Notify::new());
        let number = self.lock().put(called.clone());
        Guest { lobby: self.clone(), number: Mutex::new(number), called }
    }

    /// Asks the one to go that has been silent longest.
    pub(super) fn make_room(&self) {
        if let Some((_, called)) = self.lock().waiting.pop_first() {
            called.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Guests> {
        lock(&self.guests)
    }
}

impl Guests {
    fn put(&mut self, called: Arc<Notify>) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, called);
        self.next
    }
}

impl Guest {
    /// Notes that it asked for something.
    pub(super) fn has_asked(&self) {
        let mut number = lock(&self.number);
        let mut guests = self.lobby.lock();
        // One that was called away already goes all the same.
        if let Some(called) = guests.waiting.remove(&number) {
            *number = guests.put(called);
        }
    }

    /// Waits until it has to make room.
    pub(super) async fn is_called_away(&self) {
        self.called.notified().await;
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
