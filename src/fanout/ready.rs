//! Wakes one task for many: each viewer's socket rings its own bell, the fan-out loop collects who rang.
//! It knows numbers and wakers, neither sockets nor feeds.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Wake, Waker},
};

use crate::sync::lock;

/// Collects the numbers of the bells that rang.
#[derive(Debug, Default)]
pub(crate) struct Porch {
    rung: Mutex<Rung>,
}

#[derive(Debug, Default)]
struct Rung {
    bells: Vec<Arc<Bell>>,
    listener: Option<Waker>,
}

/// One bell. It rings once until it is collected.
#[derive(Debug)]
pub(crate) struct Bell {
    number: usize,
    ringing: AtomicBool,
    porch: Arc<Porch>,
}

impl Porch {
    /// A waker that rings the bell of this number.
    pub(crate) fn bell(self: &Arc<Self>, number: usize) -> Waker {
        Arc::new(Bell { number, ringing: AtomicBool::new(false), porch: self.clone() }).into()
    }

    /// Whether a bell rings that was not collected yet.
    pub(crate) fn is_called(&self) -> bool {
        !lock(&self.rung).bells.is_empty()
    }

    /// Waits until a bell rings, then puts the numbers of all that did into `numbers`.
    pub(crate) async fn collect(&self, numbers: &mut Vec<usize>) {
        poll_fn(|cx| {
            let mut rung = lock(&self.rung);
            if rung.bells.is_empty() {
                if !rung.listener.as_ref().is_some_and(|listener| listener.will_wake(cx.waker())) {
                    rung.listener = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
            numbers.extend(rung.bells.drain(..).map(|bell| {
                bell.ringing.store(false, Ordering::Release);
                bell.number
            }));
            Poll::Ready(())
        })
        .await;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if self.ringing.swap(true, Ordering::AcqRel) {
            return;
        }
        let porch = self.porch.clone();
        let mut rung = lock(&porch.rung);
        rung.bells.push(self);
        if rung.bells.len() == 1
            && let Some(listener) = &rung.listener
        {
            listener.wake_by_ref();
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.ringing.load(Ordering::Acquire) {
            self.clone().wake();
        }
    }
}
