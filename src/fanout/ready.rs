//! The ready list: each viewer's waker puts its number on the list and wakes the fan-out loop, which drains it. It knows numbers
//! and wakers, neither sockets nor feeds.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Wake, Waker},
};

use crate::sync::Mutex;

/// Collects the numbers of wakers that were woken.
#[derive(Debug, Default)]
pub(crate) struct ReadyList {
    ready: Mutex<Ready>,
}

#[derive(Debug, Default)]
struct Ready {
    wakers: Vec<Arc<ReadyWaker>>,
    listener: Option<Waker>,
}

/// One waker. It is on the list at most once until the list is drained.
#[derive(Debug)]
pub(crate) struct ReadyWaker {
    number: usize,
    is_ready: AtomicBool,
    ready_list: Arc<ReadyList>,
}

impl ReadyList {
    /// A waker that puts this number on the list.
    pub(crate) fn waker(self: &Arc<Self>, number: usize) -> Waker {
        Arc::new(ReadyWaker { number, is_ready: AtomicBool::new(false), ready_list: self.clone() }).into()
    }

    /// Whether the list has numbers.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.lock().wakers.is_empty()
    }

    /// Waits until the list has numbers, and moves them to `numbers`.
    pub(crate) async fn drain(&self, numbers: &mut Vec<usize>) {
        poll_fn(|cx| {
            let mut ready = self.ready.lock();
            if ready.wakers.is_empty() {
                if !ready.listener.as_ref().is_some_and(|listener| listener.will_wake(cx.waker())) {
                    ready.listener = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
            numbers.extend(ready.wakers.drain(..).map(|waker| {
                waker.is_ready.store(false, Ordering::Release);
                waker.number
            }));
            Poll::Ready(())
        })
        .await;
    }
}

impl Wake for ReadyWaker {
    fn wake(self: Arc<Self>) {
        if self.is_ready.swap(true, Ordering::AcqRel) {
            return;
        }
        let ready_list = self.ready_list.clone();
        let mut ready = ready_list.ready.lock();
        ready.wakers.push(self);
        if ready.wakers.len() == 1
            && let Some(listener) = &ready.listener
        {
            listener.wake_by_ref();
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_ready.load(Ordering::Acquire) {
            self.clone().wake();
        }
    }
}
