//! One call of the kernel for many viewers (feature `io-uring`): what is ready to leave for the viewers of a loop is
//! submitted together. Who has to be waited for, and everything else, goes the way it goes without this file.

#![expect(unsafe_code, reason = "the kernel reads what is submitted by its address; `Flight` keeps that alive until it has")]

use std::{
    fmt,
    io::{self, Write},
    mem,
    os::fd::{AsRawFd, BorrowedFd},
};

use io_uring::{IoUring, Probe, opcode, types::Fd};
use rustix::net::SendFlags;
use tracing::debug;

/// Viewers that one call serves: the first of them waits until the last is asked.
const AT_ONCE: u32 = 128;
/// Why the kernel asks to be asked again: a signal came, or memory is short (io_uring_enter(2)).
const TRANSIENT: [io::ErrorKind; 3] = [io::ErrorKind::Interrupted, io::ErrorKind::ResourceBusy, io::ErrorKind::WouldBlock];

/// A queue to the kernel, opened by the thread that uses it first.
#[derive(Default)]
pub(super) struct Ring {
    /// Not yet opened; then `None` where the kernel has none to give: it is old, or forbids it (containers often do).
    ring: Option<Option<IoUring>>,
    outcomes: Vec<(usize, io::Result<usize>)>,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Ring {
    fn open() -> Option<IoUring> {
        let ring = IoUring::new(AT_ONCE).and_then(|ring| {
            // Some containers let a queue be made but not used, and the first kernels that had one did not send by it.
            ring.submit()?;
            let mut probe = Probe::new();
            ring.submitter().register_probe(&mut probe)?;
            probe.is_supported(opcode::Send::CODE).then_some(ring).ok_or_else(|| io::ErrorKind::Unsupported.into())
        });
        ring.inspect_err(|error| debug!(%error, "the kernel gives no io_uring: each viewer has a call of its own")).ok()
    }

    /// What became of each send since the last call, under its number.
    pub(super) fn take_outcomes(&mut self) -> Vec<(usize, io::Result<usize>)> {
        mem::take(&mut self.outcomes)
    }

    /// Takes the list back, for its room.
    pub(super) fn reuse_outcomes(&mut self, outcomes: Vec<(usize, io::Result<usize>)>) {
        self.outcomes = outcomes;
    }

    /// Sends bytes to each of these sockets as far as they have room at once, and notes under the number of each what `send`
    /// gave: where nothing can be sent this way, that there is no room. Without a queue nothing is sent and nothing noted.
    pub(super) fn send<'a>(&mut self, mut sends: impl Iterator<Item = (usize, Option<(BorrowedFd<'a>, &'a [u8])>)>) {
        let Some(ring) = self.ring.get_or_insert_with(Self::open) else { return };
        let flags = (SendFlags::DONTWAIT | SendFlags::NOSIGNAL).bits().cast_signed();
        loop {
            let mut seen = 0;
            let mut flight = Flight { ring, outcomes: &mut self.outcomes, aboard: 0 };
            for (number, send) in sends.by_ref().take(AT_ONCE as usize) {
                let is_aboard = send.is_some_and(|(socket, bytes)| {
                    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    let send = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), length).flags(flags);
                    // SAFETY: the kernel reads `bytes` and uses `socket` until it has completed the entry. Both are borrowed for
                    // 'a, which lasts longer than this call, and `flight`, which cannot leave it, waits for every entry when
                    // it is dropped, by a panic of `sends` as well.
                    unsafe { flight.ring.submission().push(&send.build().user_data(number as u64)) }.is_ok()
                });
                match is_aboard {
                    true => flight.aboard += 1,
                    false => flight.outcomes.push((number, Err(io::ErrorKind::WouldBlock.into()))),
                }
                seen += 1;
            }
            if seen == 0 {
                return;
            }
        }
    }
}

/// Entries that the kernel has not completed yet.
struct Flight<'r> {
    ring: &'r mut IoUring,
    outcomes: &'r mut Vec<(usize, io::Result<usize>)>,
    aboard: usize,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        while self.aboard > 0 {
            match self.ring.submit_and_wait(self.aboard) {
                Ok(_) => {}
                Err(error) if TRANSIENT.contains(&error.kind()) => std::thread::yield_now(),
                // What the kernel may still read must not be freed.
                Err(error) => {
                    let _ = writeln!(io::stderr(), "mxr: cannot go on: the kernel keeps what it was lent to send: {error}");
                    std::process::abort();
                }
            }
            for entry in self.ring.completion() {
                self.aboard -= 1;
                let sent = usize::try_from(entry.result()).map_err(|_| io::Error::from_raw_os_error(-entry.result()));
                self.outcomes.push((entry.user_data() as usize, sent));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::fd::AsFd, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn each_socket_takes_what_it_has_room_for_and_the_others_are_told_apart() {
        let mut ring = Ring::default();
        if Ring::open().is_none() {
            return;
        }
        let mut pairs: Vec<_> = (0..300).map(|_| UnixStream::pair().unwrap()).collect();
        let bytes = vec![7; 4 << 20];
        pairs[1].1.shutdown(std::net::Shutdown::Both).unwrap();
        let length = |number: usize| if number == 0 { bytes.len() } else { 1000 + number };
        ring.send(
            pairs
                .iter()
                .enumerate()
                .map(|(number, pair)| (number, (number != 2).then(|| (pair.0.as_fd(), &bytes[..length(number)])))),
        );
        ring.outcomes.sort_by_key(|(number, _)| *number);
        assert_eq!(ring.outcomes.len(), 300);
        for (number, outcome) in ring.outcomes.drain(..) {
            match (number, outcome) {
                (0, Ok(sent)) => assert!((1..bytes.len()).contains(&sent), "{sent}"),
                (1, Err(error)) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
                (2, Err(error)) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                (_, Ok(sent)) => assert_eq!(sent, length(number)),
                (_, Err(error)) => panic!("{number}: {error}"),
            }
        }
        ring.send([(0, Some((pairs[0].0.as_fd(), &bytes[..])))].into_iter());
        assert!(matches!(&ring.outcomes[..], [(0, Err(error))] if error.kind() == io::ErrorKind::WouldBlock));
        let mut got = vec![0; length(299)];
        pairs[299].1.read_exact(&mut got).unwrap();
        assert!(got.iter().all(|byte| *byte == 7));
    }
}
