//! The copy of an input on standard output (`--tee`). A thread of its own writes it, so that an output that pauses does not hold up
//! the feed; no byte is dropped, so one that stays unread makes the input wait in the end. It knows bytes, and no parts.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use crate::sync::Mutex;

/// Bytes that wait for the output before the input waits for it, too.
const MAX_WAITING: usize = 16 << 20;
/// How long the output may take nothing before the log says so.
const STALL: Duration = Duration::from_secs(2);

/// The way to the output.
#[derive(Debug)]
pub(super) struct Tee {
    queue: Arc<TeeQueue>,
    has_warned: bool,
}

#[derive(Debug, Default)]
struct TeeQueue {
    state: Mutex<TeeState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct TeeState {
    bytes: Vec<u8>,
    /// Since when the output has taken nothing of what it was given.
    writing_since: Option<Instant>,
    has_ended: bool,
    has_failed: bool,
}

impl Tee {
    /// A copy on this output.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Arc::new(TeeQueue::default());
        let writer = queue.clone();
        thread::Builder::new().name("tee".to_owned()).spawn(move || writer.write_to(output))?;
        Ok(Self { queue, has_warned: false })
    }

    /// Copies these bytes, and waits if too many wait already.
    pub(super) fn copy(&mut self, data: &[u8]) {
        self.wait_while(|waiting| waiting.bytes.len() >= MAX_WAITING);
        let mut state = self.queue.state.lock();
        if !state.has_failed {
            state.bytes.extend_from_slice(data);
            self.queue.changed.notify_all();
        }
    }

    /// Waits until everything is written.
    pub(super) fn finish(mut self) {
        self.wait_while(|waiting| !waiting.bytes.is_empty() || waiting.writing_since.is_some());
    }

    /// Waits, and says so if the output takes nothing.
    fn wait_while(&mut self, has_to_wait: impl Fn(&TeeState) -> bool) {
        let mut state = self.queue.state.lock();
        loop {
            let is_stalled = state.writing_since.is_some_and(|since| since.elapsed() >= STALL);
            if is_stalled != self.has_warned && (is_stalled || state.bytes.is_empty()) {
                self.has_warned = is_stalled;
                match is_stalled {
                    true => warn!(
                        hint = "read it, or drop --tee",
                        "nobody reads standard output, where --tee copies the input; after 16 MiB the input waits for it"
                    ),
                    false => info!("standard output is read again"),
                }
            }
            if state.has_failed || !has_to_wait(&state) {
                return;
            }
            let waited = self.queue.changed.wait_timeout(state, STALL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.queue.state.lock().has_ended = true;
        self.queue.changed.notify_all();
    }
}

impl TeeQueue {
    /// Writes what waits, until the end.
    fn write_to(&self, mut output: impl Write) {
        loop {
            let mut state = self.state.lock();
            while state.bytes.is_empty() {
                if state.has_ended {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let bytes = std::mem::take(&mut state.bytes);
            drop(state);
            let result = self.write(&mut output, &bytes);
            let mut state = self.state.lock();
            state.writing_since = None;
            if let Err(error) = result {
                warn!(%error, "cannot copy to standard output any more");
                (state.has_failed, state.bytes) = (true, Vec::new());
            }
            let has_failed = state.has_failed;
            drop(state);
            self.changed.notify_all();
            if has_failed {
                return;
            }
        }
    }

    fn write(&self, output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(64 * 1024) {
            self.state.lock().writing_since = Some(Instant::now());
            output.write_all(piece)?;
        }
        output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// An output that takes each write when it is told to.
    struct Gated(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.1.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_takes_nothing_holds_up_nobody_and_misses_nothing() {
        let (open, gate) = channel();
        let (output, written) = channel();
        let mut tee = Tee::start(Gated(gate, output)).unwrap();
        let input: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; 10_000]).collect();
        input.iter().for_each(|data| tee.copy(data));
        (0..1000).for_each(|_| open.send(()).unwrap());
        tee.finish();
        assert_eq!(written.try_iter().flatten().collect::<Vec<_>>(), input.concat());
    }

    #[test]
    fn an_output_that_is_closed_ends_the_copy_alone() {
        let (open, gate) = channel::<()>();
        let mut tee = Tee::start(Gated(gate, channel().0)).unwrap();
        drop(open);
        (0..100).for_each(|_| tee.copy(&[0; 1 << 20]));
        tee.finish();
    }
}
