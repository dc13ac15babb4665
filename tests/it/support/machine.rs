//! Who may use the machine. Tests run beside one another, as many as it has processors, but for those that measure: what they
//! find would be that of their neighbours. Every test that starts mxr has a share of the machine until it ends.

use std::{
    cell::RefCell,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// A test that waits for the machine is let in before tests that begin later.
static MACHINE: RwLock<()> = RwLock::new(());

#[expect(dead_code, reason = "held, not read")]
enum Use {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

thread_local! {
    /// A test has a thread of its own, at whose end this is given back.
    static USE: RefCell<Option<Use>> = const { RefCell::new(None) };
}

/// Gives this test its share, for which it waits while another has the machine alone. On the test's own thread.
pub fn share() {
    USE.with_borrow_mut(|held| {
        held.get_or_insert_with(|| Use::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner)));
    });
}

/// Waits until the other tests that have begun are done, and keeps further ones from starting mxr until this one ends.
pub fn alone() {
    USE.with_borrow_mut(|held| {
        if !matches!(held, Some(Use::Alone(_))) {
            *held = None;
            *held = Some(Use::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner)));
        }
    });
}
