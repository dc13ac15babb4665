//! Whose guess is hashed next: one at a time, and of each source at most one waits for it, so that a crowd of guesses from one
//! source holds up its own alone. It knows addresses, not what is guessed.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{net::neighbourhood, sync::lock};

/// Hashes that are computed at once: each takes a core for up to a second, by design.
const HASHING: usize = 1;

/// The queue of the sources, and within each that of its guesses.
#[derive(Debug)]
pub(crate) struct HashQueue {
    hashing: Arc<Semaphore>,
    sources: Mutex<HashMap<Option<IpAddr>, Weak<Semaphore>>>,
}

/// The right to hash, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl HashQueue {
    /// Waits for the turn of a guess from this source. Whoever is dropped meanwhile leaves the queue.
    pub(crate) async fn wait(&self, source: Option<IpAddr>) -> Option<Permit> {
        let own = self.of(source.map(neighbourhood)).acquire_owned().await.ok()?;
        let of_all = self.hashing.clone().acquire_owned().await.ok()?;
        Some(Permit { _own: own, _of_all: of_all })
    }

    fn of(&self, source: Option<IpAddr>) -> Arc<Semaphore> {
        let mut sources = lock(&self.sources);
        if let Some(own) = sources.get(&source).and_then(Weak::upgrade) {
            return own;
        }
        // What is left are sources with a connection, of which there is a bounded number.
        sources.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(1));
        sources.insert(source, Arc::downgrade(&own));
        own
    }
}

impl Default for HashQueue {
    fn default() -> Self {
        Self { hashing: Arc::new(Semaphore::new(HASHING)), sources: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    fn guess(hash_queue: &Arc<HashQueue>, source: &str) -> tokio::task::JoinHandle<Instant> {
        let (hash_queue, source) = (hash_queue.clone(), source.parse().ok());
        tokio::spawn(async move {
            let _turn = hash_queue.wait(source).await;
            sleep(Duration::from_secs(1)).await;
            Instant::now()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn sources_take_turns_however_many_guesses_one_has() {
        let (hash_queue, start) = (Arc::new(HashQueue::default()), Instant::now());
        let crowd: Vec<_> = (0..20).map(|_| guess(&hash_queue, "192.0.2.1")).collect();
        tokio::task::yield_now().await;
        let [stranger, other] = ["192.0.2.2", "2001:db8::1"].map(|source| guess(&hash_queue, source));
        assert_eq!(stranger.await.unwrap() - start, Duration::from_secs(2), "behind the one that is being hashed");
        assert_eq!(other.await.unwrap() - start, Duration::from_secs(3));
        for one in crowd {
            one.await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::from_secs(22), "one at a time");
        hash_queue.of(None);
        assert_eq!(hash_queue.sources.lock().unwrap().len(), 1, "who is gone is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_takes_no_turn() {
        let (hash_queue, start) = (Arc::new(HashQueue::default()), Instant::now());
        let first = guess(&hash_queue, "192.0.2.1");
        let abandoned: Vec<_> = (3..20).map(|host| guess(&hash_queue, &format!("192.0.2.{host}"))).collect();
        tokio::task::yield_now().await;
        abandoned.iter().for_each(tokio::task::JoinHandle::abort);
        let last = guess(&hash_queue, "192.0.2.2");
        first.await.unwrap();
        assert_eq!(last.await.unwrap() - start, Duration::from_secs(2));
    }
}
