//! Pseudo-terminals: a pair of descriptors, and their size. It knows no process and no screen.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, unlockpt},
    termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};

/// Opens a pseudo-terminal of this size in characters: the master, which mxr keeps, and the slave, which is the command's terminal.
///
/// # Errors
/// If the system has none left.
pub fn open_pty(cols: u16, rows: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | CLOSE_ON_EXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = open_slave(&master)?;
    // A size of 0 by 0 is what full-screen programs find otherwise; they draw nothing then.
    resize(&master, cols, rows)?;
    Ok((master, slave))
}

/// Sets the size; the command gets SIGWINCH.
///
/// # Errors
/// If it is no terminal.
pub fn resize(master: impl AsFd, cols: u16, rows: u16) -> io::Result<()> {
    Ok(tcsetwinsize(master, Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 })?)
}

/// Leaves line ends as the command writes them: otherwise a terminal puts a return before each newline, which is for screens.
///
/// # Errors
/// If it is no terminal.
pub fn keep_line_ends(terminal: impl AsFd) -> io::Result<()> {
    let mut modes = tcgetattr(&terminal)?;
    modes.output_modes.remove(OutputModes::ONLCR);
    Ok(tcsetattr(&terminal, OptionalActions::Now, &modes)?)
}

#[cfg(target_os = "linux")]
const CLOSE_ON_EXEC: OpenptFlags = OpenptFlags::CLOEXEC;
#[cfg(not(target_os = "linux"))]
const CLOSE_ON_EXEC: OpenptFlags = OpenptFlags::empty();

/// Also where `/dev/pts` is another one, or none.
#[cfg(target_os = "linux")]
fn open_slave(master: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(rustix::pty::ioctl_tiocgptpeer(master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | CLOSE_ON_EXEC)?)
}

#[cfg(not(target_os = "linux"))]
fn open_slave(master: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::{
        fs::{Mode, OFlags, open},
        io::{FdFlags, fcntl_setfd},
        pty::ptsname,
    };
    fcntl_setfd(master, FdFlags::CLOEXEC)?;
    Ok(open(ptsname(master, Vec::new())?, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use rustix::termios::tcgetwinsize;

    use super::*;

    #[test]
    fn a_terminal_has_its_size_from_the_start_and_can_be_resized() {
        let (master, slave) = open_pty(80, 24).unwrap();
        let size = || tcgetwinsize(&slave).map(|size| (size.ws_col, size.ws_row)).unwrap();
        assert_eq!(size(), (80, 24));
        resize(&master, 132, 50).unwrap();
        assert_eq!(size(), (132, 50));
    }
}
