//! Asks the kernel whether a writer has a file open, by a lease that is given back at once (fcntl(2), F_SETLEASE). Readers do not
//! count. It knows no paths, and decides nothing.

#[cfg(target_os = "linux")]
pub(crate) use linux::Leases;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::Leases;

/// Whether a writer has a file open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writers {
    /// No writer, on this machine.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "no other system tells"))]
    None,
    /// At least one.
    Some,
    /// The system does not tell.
    Unknown,
}

#[cfg(target_os = "linux")]
mod linux {
    #![expect(unsafe_code, reason = "no crate wraps F_SETLEASE; the call takes a descriptor and a number, no memory")]

    use std::{
        fs::File,
        io,
        os::fd::{AsRawFd, BorrowedFd},
    };

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Writers;

    /// The right to ask: while it lives, SIGIO is handled. A writer that opens a file in the moment of the lease is held up until
    /// the lease is given back, and the kernel sends us SIGIO, which would end the program.
    #[derive(Debug)]
    pub(crate) struct Leases {
        _handler: Signal,
    }

    impl Leases {
        /// Handles SIGIO from now on. `None` where that fails, or outside a runtime of tokio that drives signals.
        pub(crate) fn new() -> Option<Self> {
            signal(SignalKind::io()).ok().map(|handler| Self { _handler: handler })
        }

        /// Whether a writer has this file open, which is open for reading alone. The kernel tells the owner of the file, and
        /// processes with CAP_LEASE.
        pub(crate) fn writers(&self, file: &File) -> Writers {
            let file = std::os::fd::AsFd::as_fd(file);
            match set_lease(file, libc::F_RDLCK) {
                Ok(()) => {
                    // It ends with the descriptor at the latest.
                    let _ = set_lease(file, libc::F_UNLCK);
                    Writers::None
                }
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Writers::Some,
                Err(_) => Writers::Unknown,
            }
        }
    }

    fn set_lease(file: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
        // SAFETY: the descriptor is open, as it is borrowed; the kernel reads and writes no memory of ours.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::fs::File;

    use super::Writers;

    /// Never there: no other system tells.
    #[derive(Debug)]
    pub(crate) enum Leases {}

    impl Leases {
        pub(crate) fn new() -> Option<Self> {
            None
        }

        pub(crate) fn writers(&self, _: &File) -> Writers {
            Writers::Unknown
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        fs::{File, OpenOptions},
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[tokio::test]
    async fn a_writer_is_told_from_readers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let writer = File::create(&path).unwrap();
        let leases = Leases::new().unwrap();
        let (file, _reader) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        assert_eq!(leases.writers(&file), Writers::Some);
        drop(writer);
        assert_eq!(leases.writers(&file), Writers::None);
        let _again = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(leases.writers(&file), Writers::Some);
        let (pipe, _end) = std::io::pipe().unwrap();
        assert_eq!(leases.writers(&File::from(std::os::fd::OwnedFd::from(pipe))), Writers::Unknown);
    }

    #[tokio::test]
    async fn writers_that_open_a_file_in_the_moment_of_the_lease_open_it_and_no_signal_ends_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        File::create(&path).unwrap();
        let (leases, is_over) = (Leases::new().unwrap(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let file = File::open(&path).unwrap();
                while !is_over.load(Relaxed) {
                    leases.writers(&file);
                }
            });
            let start = Instant::now();
            let mut opened = 0;
            while opened < 60_000 && start.elapsed() < Duration::from_secs(5) {
                drop(OpenOptions::new().write(true).open(&path).unwrap());
                opened += 1;
            }
            is_over.store(true, Relaxed);
            assert!(opened > 100, "{opened} times in {:?}", start.elapsed());
        });
    }
}
