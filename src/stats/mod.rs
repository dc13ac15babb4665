//! The numbers: of viewers, with a record for each that its loop writes and `/state` reads, of failed connections, and of the memory
//! that readers keep. It knows numbers only, no sockets and no feeds.

mod counters;
mod retained;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use serde::Serialize;
use slab::Slab;

use crate::{net::neighbourhood, part::unix_time, sync::Mutex};

pub use self::counters::{Codes, ConnError, Counters, Disconnect, Limit, Reason};
pub use self::retained::{Charge, Lease, Retained};

/// All viewers of a process, limited by permits.
#[derive(Debug)]
pub struct Viewers {
    permits: Mutex<Permits>,
    limit: usize,
    limit_per_address: usize,
    taken: AtomicUsize,
    /// Viewers that did not get a permit.
    pub rejected: Counters<Limit>,
    /// Viewers that are gone.
    pub gone: Counters<Disconnect>,
    /// Connections that failed.
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
    /// The counters of viewers that are gone.
    gone: Sent,
}

/// The counters of one viewer, or of all together, since they connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Parts handed to sockets.
    pub parts: u64,
    /// Bytes handed to sockets.
    pub bytes: u64,
    /// Parts that were replaced before the viewer took them.
    pub dropped: u64,
    /// Parts that the viewer cannot show (text for an `<img>`).
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

/// One viewer's counters since it connected: written by the loop that serves it, read by `/state`.
#[derive(Debug)]
pub struct ViewerStats {
    /// Its unique number, counting from 1.
    pub id: u64,
    /// Its address; `None` for a Unix socket.
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
    /// Bytes that wait for its socket.
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

    /// The present counters.
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
    /// Permits for `limit` viewers.
    pub fn new(limit: usize) -> Arc<Self> {
        Self::with_limits(limit, None)
    }

    /// Permits for `limit` viewers, and for `limit_per_address` of one address: for IPv6, a network of 64 bits, which one household has.
    pub fn with_limits(limit: usize, limit_per_address: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            permits: Mutex::default(),
            limit,
            limit_per_address: limit_per_address.unwrap_or(usize::MAX),
            taken: AtomicUsize::new(0),
            rejected: Counters::default(),
            gone: Counters::default(),
            conn_errors: Counters::default(),
            replies: Codes::default(),
            started: Instant::now(),
            started_at: SystemTime::now(),
        })
    }

    /// A permit for a viewer, valid until it is dropped.
    ///
    /// # Errors
    /// The limit that is reached: of all permits, or of those for one address.
    pub fn enter(self: &Arc<Self>, peer: Option<SocketAddr>) -> Result<ViewerPermit, Limit> {
        let mut permits = self.permits.lock();
        let address = peer.map(|peer| neighbourhood(peer.ip()));
        let of_address = address.and_then(|address| permits.of_address.get(&address).copied()).unwrap_or(0);
        let reached = if permits.taken.len() >= self.limit {
            Some(Limit::Full)
        } else if of_address >= self.limit_per_address {
            Some(Limit::Address)
        } else {
            None
        };
        if let Some(limit) = reached {
            self.rejected.count(limit);
            return Err(limit);
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

    /// The number of viewers.
    pub fn count(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// The most viewers at a time.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The number of viewers since the start, and their counters.
    pub fn sent(&self) -> (u64, Sent) {
        let permits = self.permits.lock();
        let mut sent = permits.gone;
        permits.taken.iter().for_each(|(_, stats)| sent += stats.sent());
        (permits.came, sent)
    }

    /// The time at which this process began to serve.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Seconds since the start, and an identifier of this start.
    pub fn uptime(&self) -> (f64, String) {
        let at = unix_time(self.started_at);
        (self.started.elapsed().as_secs_f64(), format!("{:x}-{:x}", at.as_micros(), std::process::id()))
    }

    /// The numbers of each viewer.
    pub fn states(&self, shows_addresses: bool) -> Vec<ViewerState> {
        let state = |stats: &Arc<ViewerStats>| {
            let Sent { parts, bytes, dropped, left_out } = stats.sent();
            let (seconds, backlog) = (stats.since.elapsed().as_secs_f64(), stats.backlog.load(Relaxed));
            let peer = stats.peer.filter(|_| shows_addresses);
            ViewerState { id: stats.id, peer, seconds, sent: parts, bytes, dropped, left_out, backlog }
        };
        self.permits.lock().taken.iter().map(|(_, stats)| state(stats)).collect()
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
    /// Sets the reason for the disconnect. A permit dropped without one counts as broken: its stream never began.
    pub fn leave(&mut self, end: Disconnect) {
        self.end = end;
    }
}

impl Drop for ViewerPermit {
    fn drop(&mut self) {
        let mut permits = self.viewers.permits.lock();
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
    fn an_address_has_a_limited_number_of_permits_and_gets_them_back() {
        let viewers = Viewers::with_limits(4, Some(2));
        let permits = [viewers.enter(from("192.0.2.1")).unwrap(), viewers.enter(from("::ffff:192.0.2.1")).unwrap()];
        assert_eq!(viewers.enter(from("192.0.2.1")).unwrap_err(), Limit::Address);
        let other = viewers.enter(from("192.0.2.2")).unwrap();
        drop(permits);
        let again = viewers.enter(from("192.0.2.1")).unwrap();
        assert_eq!((viewers.count(), again.stats.id), (2, 4));
        assert_eq!(viewers.rejected.iter().collect::<Vec<_>>(), [("full", 0), ("address", 1)]);
        drop((other, again));
        assert!(viewers.permits.lock().of_address.is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_unix_socket_has_none() {
        let viewers = Viewers::with_limits(4, Some(1));
        let _first = viewers.enter(from("2001:db8::1")).unwrap();
        assert_eq!(viewers.enter(from("2001:db8::2")).unwrap_err(), Limit::Address);
        let _rest = [from("2001:db8:0:1::2"), None, None].map(|peer| viewers.enter(peer).unwrap());
        assert_eq!(viewers.enter(None).unwrap_err(), Limit::Full);
    }

    #[test]
    fn the_counters_of_a_viewer_that_is_gone_stay_in_the_sums() {
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
