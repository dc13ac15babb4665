//! Counters by reason. Every reason is listed from the start, with zero: an alert cannot use a number that appears only at the first
//! failure. It counts, and knows nothing of viewers or connections.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Serialize, Serializer};

use crate::sync::Mutex;

/// A closed list of reasons and their names.
pub trait Reason: Copy + PartialEq + 'static {
    /// Every reason with its name in metrics and `/state`.
    const ALL: &'static [(Self, &'static str)];

    /// Its name.
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(reason, _)| *reason == self).map_or("unknown", |(_, name)| name)
    }
}

/// Why a viewer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnect {
    /// It closed its connection.
    Left,
    /// Its connection broke.
    Broken,
    /// It took no byte for `--stall-timeout`, and was disconnected.
    Stalled,
    /// Slow viewers kept too much memory, and its parts were among the oldest: it was disconnected.
    Crowded,
    /// It received the close-delimiter.
    Finished,
    /// The code that served it panicked.
    Panicked,
}

impl Reason for Disconnect {
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Left, "left"),
        (Self::Broken, "broken"),
        (Self::Stalled, "stalled"),
        (Self::Crowded, "crowded"),
        (Self::Finished, "finished"),
        (Self::Panicked, "panicked"),
    ];
}

/// Why a viewer did not get a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No permit is free.
    Full,
    /// Its address has the most permits that one may have.
    Address,
}

impl Reason for Limit {
    const ALL: &'static [(Self, &'static str)] = &[(Self::Full, "full"), (Self::Address, "address")];
}

/// Why a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnError {
    /// It could not be accepted: no file descriptors, no memory.
    Accept,
    /// It did not send HTTP.
    Malformed,
    /// Sending its request, or taking the reply, took too long.
    TimedOut,
    /// It broke or closed during a request or a reply.
    Broken,
    /// Pending connections were too many, or kept too much memory, and it was the oldest.
    Crowded,
}

impl Reason for ConnError {
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Accept, "accept"),
        (Self::Malformed, "malformed"),
        (Self::TimedOut, "timeout"),
        (Self::Broken, "broken"),
        (Self::Crowded, "crowded"),
    ];
}

/// Counts by reason.
#[derive(Debug)]
pub struct Counters<C> {
    counts: Vec<AtomicU64>,
    reasons: PhantomData<C>,
}

impl<C: Reason> Default for Counters<C> {
    fn default() -> Self {
        Self { counts: C::ALL.iter().map(|_| AtomicU64::new(0)).collect(), reasons: PhantomData }
    }
}

impl<C: Reason> Counters<C> {
    /// Counts one more.
    pub fn count(&self, reason: C) {
        for (_, count) in C::ALL.iter().zip(&self.counts).filter(|((listed, _), _)| *listed == reason) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// The name and count of every reason.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        C::ALL.iter().zip(&self.counts).map(|((_, name), count)| (*name, count.load(Relaxed)))
    }

    /// The sum over all reasons.
    pub fn sum(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }
}

impl<C: Reason> Serialize for Counters<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Replies by status code; a code is listed from its first reply on.
#[derive(Debug, Default)]
pub struct Codes(Mutex<BTreeMap<u16, u64>>);

impl Codes {
    /// Counts one more.
    pub fn count(&self, code: u16) {
        *self.0.lock().entry(code).or_default() += 1;
    }

    /// Every code that was sent, with its count.
    pub fn counts(&self) -> Vec<(u16, u64)> {
        self.0.lock().iter().map(|(code, count)| (*code, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_listed_before_it_occurs() {
        let counters = Counters::default();
        counters.count(Disconnect::Stalled);
        counters.count(Disconnect::Stalled);
        let counts: Vec<_> = counters.iter().collect();
        assert_eq!(counts, [("left", 0), ("broken", 0), ("stalled", 2), ("crowded", 0), ("finished", 0), ("panicked", 0)]);
        assert_eq!(counters.sum(), 2);
    }
}
