//! Parts that many runs play: checked and encoded once, and shared by all of them. It knows no run.

use std::sync::{Arc, Weak};

use crate::wire::Block;

/// A part that was checked and encoded once, for any number of runs. It counts as held by its source until it is
/// released.
#[derive(Debug, Clone)]
pub struct Prepared(pub(super) Arc<Block>);

/// A prepared part, as long as somebody keeps it.
#[derive(Debug, Clone)]
pub struct WeakPrepared(Weak<Block>);

impl Prepared {
    /// Notes that from now on only the viewers of runs keep it in memory.
    pub fn release(&self) {
        self.0.charge().release();
    }

    /// Bytes of memory that it occupies.
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// The part, for a caller that does not keep it in memory.
    pub fn downgrade(&self) -> WeakPrepared {
        WeakPrepared(Arc::downgrade(&self.0))
    }
}

impl WeakPrepared {
    /// The part, if it is still in memory.
    pub fn upgrade(&self) -> Option<Prepared> {
        self.0.upgrade().map(Prepared)
    }
}
