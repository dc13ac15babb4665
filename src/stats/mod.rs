//! Who is watching, in numbers: one record a viewer, shared by the loop that counts and `/state` that tells.

mod counters;
mod retained;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use serde::Serialize;
use slab::Slab;

use crate::{net::neighbourhood, sync::lock};

pub use self::counters::{Codes, ConnError, Counters, Disconnect, Limit, Reason};
pub use self::retained::{Charge, Lease, Retained};

/// All viewers of a process, at most as many as there are seats.
#[derive(Debug)]
pub struct Viewers {
    seats: Mutex<Seats>,
    most: usize,
    most_of_address: usize,
    taken: AtomicUsize,
    /// Those that did not get a permit.
    pub refused: Counters<Limit>,
    /// Those that are gone.
    pub gone: Counters<Disconnect>,
    /// Connections that came to nothing.
    pub conn_errors: Counters<ConnError>,
    /// Replies by their status code.
    pub replies: Codes,
    started: Instant,
    started_at: SystemTime,
}

#[derive(Debug, Default)]
struct Seats {
    taken: Slab<Arc<ViewerStats>>,
    of_address: HashMap<IpAddr, usize>,
    came: u64,
    /// What those had who are gone.
    had: Sent,
}

/// What viewers were sent, all together, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Parts.
    pub parts: u64,
    /// Bytes.
    pub bytes: u64,
    /// Parts that were replaced before they were taken.
    pub dropped: u64,
    /// Parts that could not have been taken.
    pub left_out: u64,
}

impl Sent {
    fn add(&mut self, stats: &ViewerStats) {
        self.parts += stats.sent.load(Relaxed);
        self.bytes += stats.bytes.load(Relaxed);
        self.dropped += stats.dropped.load(Relaxed);
        self.left_out += stats.left_out.load(Relaxed);
    }
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
        Self::with_limits(most, None)
    }

    /// Room for `most` viewers, and for so many of one address: of IPv6 a network of 64 bits, which one household has.
    pub fn with_limits(most: usize, most_of_address: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            seats: Mutex::default(),
            most,
            most_of_address: most_of_address.unwrap_or(usize::MAX),
            taken: AtomicUsize::new(0),
            refused: Counters::default(),
            gone: Counters::default(),
            conn_errors: Counters::default(),
            replies: Codes::default(),
            started: Instant::now(),
            started_at: SystemTime::now(),
        })
    }

    /// A permit for a viewer until it is dropped.
    ///
    /// # Errors
    /// Where all seats are taken, or all that one address may have.
    pub fn enter(self: &Arc<Self>, peer: Option<SocketAddr>) -> Result<ViewerPermit, Limit> {
        let mut seats = self.lock();
        let address = peer.map(|peer| neighbourhood(peer.ip()));
        let of_address = address.and_then(|address| seats.of_address.get(&address).copied()).unwrap_or(0);
        let no_seat = match () {
            () if seats.taken.len() >= self.most => Some(Limit::Full),
            () if of_address >= self.most_of_address => Some(Limit::Address),
            () => None,
        };
        if let Some(why) = no_seat {
            self.refused.count(why);
            return Err(why);
        }
        if let Some(address) = address {
            seats.of_address.insert(address, of_address + 1);
        }
        seats.came += 1;
        let stats = Arc::new(ViewerStats {
            id: seats.came,
            peer,
            since: Instant::now(),
            sent: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            backlog: AtomicUsize::new(0),
        });
        let key = seats.taken.insert(stats.clone());
        self.taken.store(seats.taken.len(), Relaxed);
        Ok(ViewerPermit { viewers: self.clone(), key, end: Disconnect::Broken, stats })
    }

    /// How many are watching.
    pub fn count(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// How many may watch.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many have come since the start, and what they were sent.
    pub fn sent(&self) -> (u64, Sent) {
        let seats = self.lock();
        let mut sent = seats.had;
        seats.taken.iter().for_each(|(_, stats)| sent.add(stats));
        (seats.came, sent)
    }

    /// When this process began to serve.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
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
        self.lock().taken.iter().map(|(_, stats)| state(stats)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seats> {
        lock(&self.seats)
    }
}

/// A viewer's permit; dropping it frees it.
#[derive(Debug)]
pub struct ViewerPermit {
    viewers: Arc<Viewers>,
    key: usize,
    end: Disconnect,
    /// Its counters.
    pub stats: Arc<ViewerStats>,
}

impl ViewerPermit {
    /// Says why its viewer is about to leave it. One that is dropped without a word broke off before its stream began.
    pub fn leave(&mut self, end: Disconnect) {
        self.end = end;
    }
}

impl Drop for ViewerPermit {
    fn drop(&mut self) {
        let mut seats = self.viewers.lock();
        if let Some(stats) = seats.taken.try_remove(self.key) {
            seats.had.add(&stats);
        }
        if let Some(address) = self.stats.peer.map(|peer| neighbourhood(peer.ip()))
            && let Some(taken) = seats.of_address.get_mut(&address)
        {
            *taken -= 1;
            if *taken == 0 {
                seats.of_address.remove(&address);
            }
        }
        self.viewers.taken.store(seats.taken.len(), Relaxed);
        self.viewers.gone.count(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 1))
    }

    #[test]
    fn an_address_has_so_many_seats_and_gets_them_back() {
        let viewers = Viewers::with_limits(4, Some(2));
        let seats = [viewers.enter(from("192.0.2.1")).unwrap(), viewers.enter(from("::ffff:192.0.2.1")).unwrap()];
        assert_eq!(viewers.enter(from("192.0.2.1")).unwrap_err(), Limit::Address);
        let other = viewers.enter(from("192.0.2.2")).unwrap();
        drop(seats);
        let again = viewers.enter(from("192.0.2.1")).unwrap();
        assert_eq!((viewers.count(), again.stats.id), (2, 4));
        assert_eq!(viewers.refused.iter().collect::<Vec<_>>(), [("full", 0), ("address", 1)]);
        drop((other, again));
        assert!(viewers.lock().of_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_unix_socket_is_none() {
        let viewers = Viewers::with_limits(4, Some(1));
        let _first = viewers.enter(from("2001:db8::1")).unwrap();
        assert_eq!(viewers.enter(from("2001:db8::2")).unwrap_err(), Limit::Address);
        let _rest = [from("2001:db8:0:1::2"), None, None].map(|peer| viewers.enter(peer).unwrap());
        assert_eq!(viewers.enter(None).unwrap_err(), Limit::Full);
    }

    #[test]
    fn what_a_viewer_had_stays_in_the_sums_when_it_is_gone() {
        let viewers = Viewers::new(4);
        let mut permit = viewers.enter(None).unwrap();
        permit.stats.sent.store(3, Relaxed);
        let before = viewers.sent();
        permit.leave(Disconnect::Stalled);
        drop(permit);
        assert_eq!(before, viewers.sent());
        assert_eq!(before, (1, Sent { parts: 3, ..Sent::default() }));
        assert_eq!(viewers.gone.iter().find(|(_, count)| *count > 0), Some(("stalled", 1)));
    }
}
