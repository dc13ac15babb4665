//! Shares the machine among tests. Tests run in parallel, except those that measure, whose results would depend on the others, and
//! those that compute for seconds, of which there is one at a time. Every test that starts mxr holds a share of the machine until
//! it ends.

use std::{
    cell::RefCell,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// A test that waits for the whole machine has priority over tests that begin later.
static MACHINE: RwLock<()> = RwLock::new(());

/// A test that computes has this, and a share.
static PROCESSOR: Mutex<()> = Mutex::new(());

#[expect(dead_code, reason = "held, not read")]
enum Use {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

thread_local! {
    /// Each test has its own thread, at whose end this is returned.
    static USE: RefCell<Option<Use>> = const { RefCell::new(None) };
    static TURN: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Takes a share for this test, after any test that has the machine to itself. To be called on the test's own thread.
pub fn share() {
    USE.with_borrow_mut(|held| {
        held.get_or_insert_with(|| Use::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner)));
    });
}

/// Waits until the other running tests have ended, and prevents others from starting mxr until this one ends.
pub fn alone() {
    USE.with_borrow_mut(|held| {
        if !matches!(held, Some(Use::Alone(_))) {
            *held = None;
            *held = Some(Use::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner)));
        }
    });
}

/// Waits for the turn of this test among those that keep a processor busy for seconds, and takes a share.
/// Not for one that calls `alone`.
pub fn busy() {
    // First: a test that has its turn must not wait for the machine.
    share();
    TURN.with_borrow_mut(|turn| {
        turn.get_or_insert_with(|| PROCESSOR.lock().unwrap_or_else(PoisonError::into_inner));
    });
}
