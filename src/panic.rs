//! A panic ends the work it happened in and nothing else. Whoever runs work on behalf of one viewer, one connection or one
//! source runs it in here; what became of it is for the caller to say.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::Poll,
};

use tracing::error;

/// On whose behalf the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanicScope {
    /// One viewer's turn in the fan-out.
    Viewer,
    /// One connection's requests.
    Connection,
    /// A source, or one file of it.
    Source,
    /// The server itself: a fan-out loop, the door.
    Server,
}

const NAMES: [&str; 4] = ["viewer", "connection", "source", "server"];

/// A panic belongs to the process, as the hook that reports it does: so does their number.
static PANICS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

/// Work that panicked, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked(String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a bug in mxr: {}", self.0)
    }
}

impl std::error::Error for Panicked {}

impl Panicked {
    fn new(place: PanicScope, payload: &(dyn Any + Send)) -> Self {
        PANICS[place as usize].fetch_add(1, Relaxed);
        Self(words(payload).to_owned())
    }
}

fn words(payload: &(dyn Any + Send)) -> &str {
    let plain = payload.downcast_ref::<&str>().copied();
    plain.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}

/// Does something that may panic.
///
/// # Errors
/// Where it did.
pub fn catch<T>(place: PanicScope, act: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|payload| Panicked::new(place, &*payload))
}

/// Runs work that may panic; where it does, it is over.
///
/// # Errors
/// Where it did.
pub async fn catch_async<F: Future>(place: PanicScope, work: F) -> Result<F::Output, Panicked> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch(place, || work.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// How often work of each kind has panicked in this process.
pub fn panics() -> impl Iterator<Item = (&'static str, u64)> {
    NAMES.into_iter().zip(&PANICS).map(|(name, count)| (name, count.load(Relaxed)))
}

/// Has panics told in the log, in the log's own form, with the place in the code.
pub fn report_in_log() {
    std::panic::set_hook(Box::new(|panic| {
        let said = words(panic.payload());
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        match panic.location() {
            Some(at) => error!(%at, thread, "a bug in mxr: {said}"),
            None => error!(thread, "a bug in mxr: {said}"),
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(place: PanicScope) -> u64 {
        panics().find(|(name, _)| *name == NAMES[place as usize]).map_or(0, |(_, count)| count)
    }

    #[tokio::test]
    async fn a_panic_is_given_as_an_error_and_counted() {
        let before = count(PanicScope::Server);
        assert_eq!(catch(PanicScope::Server, || 1), Ok(1));
        assert_eq!(catch_async(PanicScope::Server, async { 2 }).await, Ok(2));
        let failed = catch_async(PanicScope::Server, async {
            tokio::task::yield_now().await;
            assert_eq!(1, 2, "sums are off");
        });
        let said = failed.await.unwrap_err().to_string();
        assert!(said.starts_with("a bug in mxr: ") && said.contains("sums are off"), "{said}");
        assert_eq!(count(PanicScope::Server), before + 1);
    }
}
