//! Viewers in numbers, one record each, shared by the loop that counts and `/state` that tells; connections that failed; the memory
//! that readers keep alive. It knows numbers alone.

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

use crate::{net::neighbourhood, part::unix_time, sync::lock};

pub use self::counters::{Codes, ConnError, Counters, Disconnect, Limit, Reason};
pub use self::retained::{Charge, Lease, Retained};

/// All viewers of a process, at most as many as there are permits.
#[derive(Debug)]
pub struct Viewers {
    permits: Mutex<Permits>,
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
struct Permits {
    taken: Slab<Arc<ViewerStats>>,
    of_address: HashMap<IpAddr, usize>,
    came: u64,
    /// What the viewers were sent that are gone.
    gone: Sent,
}

/// What viewers were sent, one or all together, since they came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Parts handed to sockets.
    pub parts: u64,
    /// Bytes handed to sockets.
    pub bytes: u64,
    /// Parts that were replaced before they were taken.
    pub dropped: u64,
    /// Parts that could not have been taken (text for an `<img>`).
    pub left_out: u64,
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.parts += other.parts;
        self.bytes += other.bytes;
        self.dropped += other.dropped;
        self.left_out += other.left_out;
    }
}

/// One viewer's counters since it came: written by the loop that serves it, read by `/state`.
#[derive(Debug)]
pub struct ViewerStats {
    /// A number of its own, counting from 1.
    pub id: u64,
    /// Where it connects from; nothing for a Unix socket.
    pub peer: Option<SocketAddr>,
    since: Instant,
    /// As `Sent::parts`.
    pub sent: AtomicU64,
    /// As `Sent::bytes`.
    pub bytes: AtomicU64,
    /// As `Sent::dropped`.
    pub dropped: AtomicU64,
    /// As `Sent::left_out`.
    pub left_out: AtomicU64,
    /// Bytes of its part that wait for its socket.
    pub backlog: AtomicUsize,
}

impl ViewerStats {
    fn new(id: u64, peer: Option<SocketAddr>) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            id,
            peer,
            since: Instant::now(),
            sent: zero(),
            bytes: zero(),
            dropped: zero(),
            left_out: zero(),
            backlog: AtomicUsize::new(0),
        }
    }

    /// The counters as they are now.
    pub fn sent(&self) -> Sent {
        let [parts, bytes, dropped, left_out] =
            [&self.sent, &self.bytes, &self.dropped, &self.left_out].map(|count| count.load(Relaxed));
        Sent { parts, bytes, dropped, left_out }
    }
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
            permits: Mutex::default(),
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
    /// Where all permits are taken, or all that one address may have.
    pub fn enter(self: &Arc<Self>, peer: Option<SocketAddr>) -> Result<ViewerPermit, Limit> {
        let mut permits = self.lock();
        let address = peer.map(|peer| neighbourhood(peer.ip()));
        let of_address = address.and_then(|address| permits.of_address.get(&address).copied()).unwrap_or(0);
        let limit = match () {
            () if permits.taken.len() >= self.most => Some(Limit::Full),
            () if of_address >= self.most_of_address => Some(Limit::Address),
            () => None,
        };
        if let Some(why) = limit {
            self.refused.count(why);
            return Err(why);
        }
        if let Some(address) = address {
            permits.of_address.insert(address, of_address + 1);
        }
        permits.came += 1;
        let stats = Arc::new(ViewerStats::new(permits.came, peer));
        let key = permits.taken.insert(stats.clone());
        self.taken.store(permits.taken.len(), Relaxed);
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
        let permits = self.lock();
        let mut sent = permits.gone;
        permits.taken.iter().for_each(|(_, stats)| sent += stats.sent());
        (permits.came, sent)
    }

    /// When this process began to serve.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Seconds since the start, and an identifier of this start.
    pub fn uptime(&self) -> (f64, String) {
        let at = unix_time(self.started_at);
        (self.started.elapsed().as_secs_f64(), format!("{:x}-{:x}", at.as_micros(), std::process::id()))
    }

    /// Everybody's numbers.
    pub fn states(&self) -> Vec<ViewerState> {
        let state = |stats: &Arc<ViewerStats>| {
            let Sent { parts, bytes, dropped, left_out } = stats.sent();
            let (seconds, backlog) = (stats.since.elapsed().as_secs_f64(), stats.backlog.load(Relaxed));
            ViewerState { id: stats.id, peer: stats.peer, seconds, sent: parts, bytes, dropped, left_out, backlog }
        };
        self.lock().taken.iter().map(|(_, stats)| state(stats)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Permits> {
        lock(&self.permits)
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
        let mut permits = self.viewers.lock();
        if let Some(stats) = permits.taken.try_remove(self.key) {
            permits.gone += stats.sent();
        }
        if let Some(address) = self.stats.peer.map(|peer| neighbourhood(peer.ip()))
            && let Some(taken) = permits.of_address.get_mut(&address)
        {
            *taken -= 1;
            if *taken == 0 {
                permits.of_address.remove(&address);
            }
        }
        self.viewers.taken.store(permits.taken.len(), Relaxed);
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
        let permits = [viewers.enter(from("192.0.2.1")).unwrap(), viewers.enter(from("::ffff:192.0.2.1")).unwrap()];
        assert_eq!(viewers.enter(from("192.0.2.1")).unwrap_err(), Limit::Address);
        let other = viewers.enter(from("192.0.2.2")).unwrap();
        drop(permits);
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
