//! The memory that readers keep alive: blocks of parts that every feed has let go and that somebody is still being sent. It is
//! counted exactly, when a block is made, let go and dropped, for streams, snapshots and all threads together.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

/// Bytes that readers may keep alive together; in any case three parts.
const LIMIT: usize = 64 << 20;
/// Parts that are always allowed, however large.
const PARTS: usize = 3;

/// The account of a process.
#[derive(Debug, Default)]
pub struct Retained {
    alive: AtomicUsize,
    held: AtomicUsize,
}

impl Retained {
    /// Counts bytes that a feed holds from now on.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Arc<Charge> {
        self.alive.fetch_add(bytes, Relaxed);
        self.held.fetch_add(bytes, Relaxed);
        Arc::new(Charge { memory: self.clone(), bytes, is_released: AtomicBool::new(false) })
    }

    /// Bytes that are in memory for readers alone.
    pub fn bytes(&self) -> usize {
        self.alive.load(Relaxed).saturating_sub(self.held.load(Relaxed))
    }

    /// Whether some reader has to go, where the largest block that one keeps has so many bytes.
    pub fn is_exceeded(&self, largest: usize) -> bool {
        self.excess(largest) > 0
    }

    /// By how many bytes too much is in memory for readers alone.
    pub fn excess(&self, largest: usize) -> usize {
        self.bytes().saturating_sub(LIMIT.max(PARTS.saturating_mul(largest)))
    }
}

/// Bytes that count until this is dropped, with the memory that it stands for.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<Retained>,
    bytes: usize,
    is_released: AtomicBool,
}

impl Charge {
    /// The feed lets go: from now on these bytes are in memory for readers alone.
    pub fn release(&self) {
        if !self.is_released.swap(true, Relaxed) {
            self.memory.held.fetch_sub(self.bytes, Relaxed);
        }
    }

    /// Whether the feed has let go.
    pub fn is_released(&self) -> bool {
        self.is_released.load(Relaxed)
    }

    /// How many bytes these are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.release();
        self.memory.alive.fetch_sub(self.bytes, Relaxed);
    }
}

/// What one reply keeps in memory, for as long as this lives.
#[derive(Debug)]
pub struct Lease(Arc<Charge>);

impl Lease {
    /// On this memory.
    pub fn new(charge: Arc<Charge>) -> Self {
        Self(charge)
    }

    /// How many bytes are in memory for readers alone: none as long as the feed holds them.
    pub fn retained(&self) -> usize {
        if self.0.is_released() { self.0.bytes } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_from_the_moment_the_feed_lets_go_until_the_last_reader_does() {
        let memory = Arc::new(Retained::default());
        let (block, other) = (memory.charge(100), memory.charge(10));
        let lease = Lease::new(block.clone());
        assert_eq!((memory.bytes(), lease.retained()), (0, 0));
        block.release();
        block.release();
        assert_eq!((memory.bytes(), lease.retained()), (100, 100));
        drop(other);
        drop(block);
        assert_eq!(memory.bytes(), 100);
        drop(lease);
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn three_large_parts_are_always_allowed() {
        let memory = Arc::new(Retained::default());
        let blocks = [(); 3].map(|()| memory.charge(50 << 20));
        blocks.iter().for_each(|block| block.release());
        assert!(memory.is_exceeded(0) && !memory.is_exceeded(50 << 20));
    }
}
