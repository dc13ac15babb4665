//! What happened, counted by its cause. Every cause is there from the start, at nought: a number that appears only with
//! the first failure cannot be watched.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::{Serialize, Serializer};

use crate::sync::lock;

/// A closed list of causes and what they are called.
pub trait Reason: Copy + PartialEq + 'static {
    /// Every cause with its name in metrics and `/state`.
    const ALL: &'static [(Self, &'static str)];

    /// Its name.
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(cause, _)| *cause == self).map_or("unknown", |(_, name)| name)
    }
}

/// Why a viewer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnect {
    /// It closed its connection.
    Left,
    /// Its connection broke.
    Broken,
    /// It took nothing for `--stall-timeout`, and was cut.
    Stalled,
    /// Too many old parts were in memory for slow viewers, and it had been at its own for longest: it was cut.
    Crowded,
    /// It has had the close-delimiter.
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
    /// All are taken.
    Full,
    /// Its address has as many as one may have.
    Address,
}

impl Reason for Limit {
    const ALL: &'static [(Self, &'static str)] = &[(Self::Full, "full"), (Self::Address, "address")];
}

/// Why a connection came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnError {
    /// It could not be accepted: no file descriptors, no memory.
    Accept,
    /// What came was not HTTP.
    Malformed,
    /// Its request took too long, or it took too long over the reply.
    TimedOut,
    /// It broke or closed in mid-request or mid-reply.
    Broken,
    /// There were too many connections, or too much in replies that are not taken, and it had been there longest.
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

/// Counts by cause.
#[derive(Debug)]
pub struct Counters<C> {
    counts: Vec<AtomicU64>,
    causes: PhantomData<C>,
}

impl<C: Reason> Default for Counters<C> {
    fn default() -> Self {
        Self { counts: C::ALL.iter().map(|_| AtomicU64::new(0)).collect(), causes: PhantomData }
    }
}

impl<C: Reason> Counters<C> {
    /// Counts one more.
    pub fn count(&self, cause: C) {
        for (_, count) in C::ALL.iter().zip(&self.counts).filter(|((listed, _), _)| *listed == cause) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// All causes by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        C::ALL.iter().zip(&self.counts).map(|((_, name), count)| (*name, count.load(Relaxed)))
    }

    /// All causes together.
    pub fn sum(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }
}

impl<C: Reason> Serialize for Counters<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Replies by their status code, those alone that were given.
#[derive(Debug, Default)]
pub struct Codes(Mutex<BTreeMap<u16, u64>>);

impl Codes {
    /// Counts one more.
    pub fn count(&self, code: u16) {
        *self.lock().entry(code).or_default() += 1;
    }

    /// Every code that was given, and how often.
    pub fn counts(&self) -> Vec<(u16, u64)> {
        self.lock().iter().map(|(code, count)| (*code, *count)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u16, u64>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_there_before_it_happened() {
        let tally = Counters::default();
        tally.count(Disconnect::Stalled);
        tally.count(Disconnect::Stalled);
        let counts: Vec<_> = tally.iter().collect();
        assert_eq!(counts, [("left", 0), ("broken", 0), ("stalled", 2), ("crowded", 0), ("finished", 0), ("panicked", 0)]);
        assert_eq!(tally.sum(), 2);
    }
}
