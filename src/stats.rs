//! Who is watching, in numbers: one record a viewer, shared by the loop that counts and `/state` that tells.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use serde::Serialize;
use slab::Slab;

/// All viewers of a process, at most as many as there are seats.
#[derive(Debug)]
pub struct Viewers {
    seats: Mutex<Slab<Arc<ViewerStats>>>,
    most: usize,
    taken: AtomicUsize,
    came: AtomicU64,
    refused: AtomicU64,
    started: Instant,
    started_at: SystemTime,
}

/// One viewer's counters since it came.
#[derive(Debug)]
pub struct ViewerStats {
    /// A number of its own, counting from 1.
    pub id: u64,
    /// Where it connects from; nothing for a Unix socket.
    pub peer: Option<SocketAddr>,
    since: Instant,
    /// Parts handed to its socket.
    pub sent: AtomicU64,
    /// Bytes handed to its socket.
    pub bytes: AtomicU64,
    /// Parts that were replaced before it took them.
    pub dropped: AtomicU64,
    /// Parts that it could not have taken (text for an `<img>`).
    pub left_out: AtomicU64,
    /// Bytes of its part that wait for its socket.
    pub backlog: AtomicUsize,
}

/// A viewer's numbers, for `/state`.
#[derive(Debug, Serialize)]
pub struct ViewerState {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<SocketAddr>,
    seconds: f64,
    sent: u64,
    bytes: u64,
    dropped: u64,
    left_out: u64,
    backlog: usize,
}

impl Viewers {
    /// Room for `most` viewers.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            seats: Mutex::default(),
            most,
            taken: AtomicUsize::new(0),
            came: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            started: Instant::now(),
            started_at: SystemTime::now(),
        })
    }

    /// A seat for a viewer until it is dropped, or `None` where all are taken.
    pub fn enter(self: &Arc<Self>, peer: Option<SocketAddr>) -> Option<Seat> {
        let mut seats = self.lock();
        if seats.len() >= self.most {
            self.refused.fetch_add(1, Relaxed);
            return None;
        }
        let stats = Arc::new(ViewerStats {
            id: self.came.fetch_add(1, Relaxed) + 1,
            peer,
            since: Instant::now(),
            sent: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            backlog: AtomicUsize::new(0),
        });
        let key = seats.insert(stats.clone());
        self.taken.store(seats.len(), Relaxed);
        Some(Seat { viewers: self.clone(), key, stats })
    }

    /// How many are watching.
    pub fn count(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// How many were turned away for want of a seat.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Seconds since the start, and an identifier of this start.
    pub fn uptime(&self) -> (f64, String) {
        let at = self.started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (self.started.elapsed().as_secs_f64(), format!("{:x}-{:x}", at.as_micros(), std::process::id()))
    }

    /// Everybody's numbers.
    pub fn states(&self) -> Vec<ViewerState> {
        let state = |stats: &Arc<ViewerStats>| ViewerState {
            id: stats.id,
            peer: stats.peer,
            seconds: stats.since.elapsed().as_secs_f64(),
            sent: stats.sent.load(Relaxed),
            bytes: stats.bytes.load(Relaxed),
            dropped: stats.dropped.load(Relaxed),
            left_out: stats.left_out.load(Relaxed),
            backlog: stats.backlog.load(Relaxed),
        };
        self.lock().iter().map(|(_, stats)| state(stats)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slab<Arc<ViewerStats>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A viewer's seat; dropping it frees it.
#[derive(Debug)]
pub struct Seat {
    viewers: Arc<Viewers>,
    key: usize,
    /// Its counters.
    pub stats: Arc<ViewerStats>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.viewers.lock();
        seats.try_remove(self.key);
        self.viewers.taken.store(seats.len(), Relaxed);
    }
}
