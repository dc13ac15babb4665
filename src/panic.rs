//! Panic isolation: a panic ends the work of one viewer, connection or source, and nothing else. The caller decides how to go on;
//! this module counts and logs.

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

/// The kind of work that may panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanicScope {
    /// One viewer's turn in the fan-out.
    Viewer,
    /// One connection's requests.
    Connection,
    /// A source, or one file of it.
    Source,
    /// A look of the recorder at the feeds.
    Recorder,
    /// The publisher to a hub.
    Publisher,
    /// The server itself: a fan-out loop, an acceptor.
    Server,
}

const NAMES: [&str; 6] = ["viewer", "connection", "source", "recorder", "publisher", "server"];

/// Counts of the whole process, to which the panic hook also belongs.
static PANICS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

/// The message of a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked(String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a bug in mxr: {}", self.0)
    }
}

impl std::error::Error for Panicked {}

impl Panicked {
    fn new(scope: PanicScope, payload: &(dyn Any + Send)) -> Self {
        PANICS[scope as usize].fetch_add(1, Relaxed);
        Self(message(payload).to_owned())
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

/// Runs a function that may panic.
///
/// # Errors
/// The message of the panic, if it panicked.
pub fn catch<T>(scope: PanicScope, act: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|payload| Panicked::new(scope, &*payload))
}

/// Runs a future that may panic; it is not polled again after that.
///
/// # Errors
/// The message of the panic, if it panicked.
pub async fn catch_async<F: Future>(scope: PanicScope, work: F) -> Result<F::Output, Panicked> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch(scope, || work.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// The name of each kind of work, and how often it has panicked in this process.
pub fn panics() -> impl Iterator<Item = (&'static str, u64)> {
    NAMES.into_iter().zip(&PANICS).map(|(name, count)| (name, count.load(Relaxed)))
}

/// Installs a hook that logs panics in the log's own format, with the location in the code.
pub fn report_in_log() {
    std::panic::set_hook(Box::new(|panic| {
        let message = message(panic.payload());
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        match panic.location() {
            Some(at) => error!(%at, thread, "a bug in mxr: {message}"),
            None => error!(thread, "a bug in mxr: {message}"),
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(scope: PanicScope) -> u64 {
        panics().find(|(name, _)| *name == NAMES[scope as usize]).map_or(0, |(_, count)| count)
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error_and_is_counted() {
        let before = count(PanicScope::Server);
        assert_eq!(catch(PanicScope::Server, || 1), Ok(1));
        assert_eq!(catch_async(PanicScope::Server, async { 2 }).await, Ok(2));
        let failed = catch_async(PanicScope::Server, async {
            tokio::task::yield_now().await;
            assert_eq!(1, 2, "sums are off");
        });
        let message = failed.await.unwrap_err().to_string();
        assert!(message.starts_with("a bug in mxr: ") && message.contains("sums are off"), "{message}");
        assert_eq!(count(PanicScope::Server), before + 1);
    }
}
