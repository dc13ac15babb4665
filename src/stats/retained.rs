//! The memory that only readers keep: blocks of parts that their feed has released and that are still being sent. The account is
//! exact, for streams, snapshots and all threads together: it changes when a block is made, released and dropped. It does not know
//! the readers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

/// Bytes that all readers together may keep; `PARTS` parts are always allowed.
const LIMIT: usize = 64 << 20;
/// Parts that are always allowed, of any size.
const PARTS: usize = 3;

/// The account of a process.
#[derive(Debug, Default)]
pub struct Retained {
    alive: AtomicUsize,
    held: AtomicUsize,
}

impl Retained {
    /// Charges the bytes of a block that a feed holds from now on.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Arc<Charge> {
        self.alive.fetch_add(bytes, Relaxed);
        self.held.fetch_add(bytes, Relaxed);
        Arc::new(Charge { memory: self.clone(), bytes, is_released: AtomicBool::new(false) })
    }

    /// Bytes in memory, whether a feed holds them or only readers do.
    pub fn alive(&self) -> usize {
        self.alive.load(Relaxed)
    }

    /// Bytes that only readers keep in memory.
    pub fn bytes(&self) -> usize {
        self.alive.load(Relaxed).saturating_sub(self.held.load(Relaxed))
    }

    /// Whether readers keep more than the limit, if the largest block that one keeps has `largest` bytes.
    pub fn is_exceeded(&self, largest: usize) -> bool {
        self.excess(largest) > 0
    }

    /// The bytes over the limit that only readers keep in memory.
    pub fn excess(&self, largest: usize) -> usize {
        self.bytes().saturating_sub(LIMIT.max(PARTS.saturating_mul(largest)))
    }
}

/// The entry of one block, dropped with the block.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<Retained>,
    bytes: usize,
    is_released: AtomicBool,
}

impl Charge {
    /// Notes that the feed has released the block: from now on only readers keep it.
    pub fn release(&self) {
        if !self.is_released.swap(true, Relaxed) {
            self.memory.held.fetch_sub(self.bytes, Relaxed);
        }
    }

    /// The bytes that only readers keep in memory: 0 as long as the feed holds the block.
    pub fn retained(&self) -> usize {
        if self.is_released.load(Relaxed) { self.bytes } else { 0 }
    }

    /// The bytes of the block.
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

/// A reply's hold on a block, until this is dropped.
#[derive(Debug)]
pub struct Lease(Arc<Charge>);

impl Lease {
    /// A hold on the block of this entry.
    pub fn new(charge: Arc<Charge>) -> Self {
        Self(charge)
    }

    /// The bytes that only readers keep in memory: 0 as long as the feed holds the block.
    pub fn retained(&self) -> usize {
        self.0.retained()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_from_its_release_by_the_feed_until_the_last_reader_drops_it() {
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
