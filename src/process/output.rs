//! mxr's end of a command's output: of a pipe, or of a terminal. It knows bytes, and not what they mean.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::io::{Errno, ioctl_fionbio};
use tokio::{net::unix::pipe::Receiver, task::yield_now};

/// What a command writes. Dropping it closes it.
#[derive(Debug)]
pub struct CommandOutput(Receiver);

impl CommandOutput {
    /// A pipe: this end of it, and the one for the command. To be called within a runtime.
    ///
    /// # Errors
    /// If the system has no descriptors left.
    pub fn pipe() -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = io::pipe()?;
        Ok((Self::of(reader.into())?, writer.into()))
    }

    /// The output on a pseudo-terminal, of which this is the master. To be called within a runtime.
    ///
    /// # Errors
    /// If the runtime cannot wait for it.
    pub fn of(reader: OwnedFd) -> io::Result<Self> {
        ioctl_fionbio(&reader, true)?;
        // A terminal is read in the same way as a pipe.
        Receiver::from_owned_fd_unchecked(reader).map(Self)
    }

    /// Reads what is there, or waits for it; 0 at the end.
    ///
    /// # Errors
    /// As for read(2).
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // A pipe that is never empty is always ready: its reader would never pause, and nothing could stop the command.
        yield_now().await;
        loop {
            self.0.readable().await?;
            if let Some(read) = self.read_now(buffer)? {
                return Ok(read);
            }
        }
    }

    /// Writes what the terminal takes at once, as if it had been typed; the rest is dropped, for a command that does not read must
    /// hold up nobody.
    pub fn type_now(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let _ = rustix::io::write(&self.0, bytes);
        }
    }

    /// Reads what is there; `None` if nothing is.
    ///
    /// # Errors
    /// As for read(2).
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            return match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                // The terminal has been closed by all that had it.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(Some(0)),
                result => result.map(Some),
            };
        }
    }
}

impl AsFd for CommandOutput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
