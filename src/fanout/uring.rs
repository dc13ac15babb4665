//! One system call for many viewers (feature `io-uring`): submits the sends to a loop's viewers together (docs/field.md, Sockets).
//! It knows sockets and bytes only; waiting for a socket, and everything else, works as without this file.

#![expect(unsafe_code, reason = "the kernel reads submitted bytes by their address; `InFlight` keeps them alive until it has")]

use std::{
    fmt,
    io::{self, Write},
    mem,
    os::fd::{AsRawFd, BorrowedFd},
};

use io_uring::{IoUring, Probe, opcode, types::Fd};
use rustix::net::SendFlags;
use tracing::debug;

/// Viewers that one call serves: the first of them waits until the last is submitted.
const BATCH: u32 = 128;
/// Errors after which a call is repeated: a signal came, or memory is short (io_uring_enter(2)).
const TRANSIENT: [io::ErrorKind; 3] = [io::ErrorKind::Interrupted, io::ErrorKind::ResourceBusy, io::ErrorKind::WouldBlock];

/// A queue to the kernel, opened at its first use.
#[derive(Default)]
pub(super) struct Ring {
    /// Not opened yet; afterwards `None` if the kernel is too old, or forbids it (containers often do).
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
        let ring = IoUring::new(BATCH).and_then(|ring| {
            // Some containers allow a queue but not its use, and the first kernels with io_uring cannot send with it.
            ring.submit()?;
            let mut probe = Probe::new();
            ring.submitter().register_probe(&mut probe)?;
            probe.is_supported(opcode::Send::CODE).then_some(ring).ok_or_else(|| io::ErrorKind::Unsupported.into())
        });
        ring.inspect_err(|error| debug!(%error, "the kernel gives no io_uring: each viewer has a call of its own")).ok()
    }

    /// The result of each send since the last call, with its number.
    pub(super) fn take_outcomes(&mut self) -> Vec<(usize, io::Result<usize>)> {
        mem::take(&mut self.outcomes)
    }

    /// Takes the list back, to reuse its allocation.
    pub(super) fn reuse_outcomes(&mut self, outcomes: Vec<(usize, io::Result<usize>)>) {
        self.outcomes = outcomes;
    }

    /// Sends bytes to each of these sockets as far as it has room now, and stores the result of `send` with its number; without a
    /// socket to send to, the result is `WouldBlock`. Without a queue it sends and stores nothing.
    pub(super) fn send<'a>(&mut self, mut sends: impl Iterator<Item = (usize, Option<(BorrowedFd<'a>, &'a [u8])>)>) {
        let Some(ring) = self.ring.get_or_insert_with(Self::open) else { return };
        let flags = (SendFlags::DONTWAIT | SendFlags::NOSIGNAL).bits().cast_signed();
        loop {
            let mut count = 0;
            let mut in_flight = InFlight { ring, outcomes: &mut self.outcomes, entries: 0 };
            for (number, send) in sends.by_ref().take(BATCH as usize) {
                let is_submitted = send.is_some_and(|(socket, bytes)| {
                    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    let send = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), length).flags(flags);
                    // SAFETY: the kernel reads `bytes` and uses `socket` until it has completed the entry. Both are borrowed for
                    // 'a, which lasts longer than this call, and `in_flight`, which cannot leave it, waits for every entry when
                    // it is dropped, by a panic of `sends` as well.
                    unsafe { in_flight.ring.submission().push(&send.build().user_data(number as u64)) }.is_ok()
                });
                if is_submitted {
                    in_flight.entries += 1;
                } else {
                    in_flight.outcomes.push((number, Err(io::ErrorKind::WouldBlock.into())));
                }
                count += 1;
            }
            if count == 0 {
                return;
            }
        }
    }
}

/// Entries that the kernel has not completed yet.
struct InFlight<'r> {
    ring: &'r mut IoUring,
    outcomes: &'r mut Vec<(usize, io::Result<usize>)>,
    entries: usize,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        while self.entries > 0 {
            match self.ring.submit_and_wait(self.entries) {
                Ok(_) => {}
                Err(error) if TRANSIENT.contains(&error.kind()) => std::thread::yield_now(),
                // Memory that the kernel may still read must not be freed.
                Err(error) => {
                    let _ =
                        writeln!(io::stderr(), "mxr: cannot continue: the kernel may still read memory submitted to it: {error}");
                    std::process::abort();
                }
            }
            for entry in self.ring.completion() {
                self.entries -= 1;
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
    fn each_socket_takes_as_much_as_it_has_room_for_and_errors_are_matched_to_it() {
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
