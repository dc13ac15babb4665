//! What a guard is told: the command and how to end it. It goes through the socket, so that a list of processes shows the command
//! once. It knows neither end of the socket.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    time::Duration,
};

/// The command and how to end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuardOrder {
    /// The program and its arguments.
    pub(super) command: Vec<OsString>,
    /// The time between the request to end and the kill.
    pub(super) kill_after: Duration,
    /// Whether its standard output is its controlling terminal.
    pub(super) has_terminal: bool,
    /// The number of files that it may have open, where that is not ours.
    pub(super) open_files: Option<u64>,
}

impl GuardOrder {
    /// As bytes: their number (4 bytes), then fields that each end with NUL, which no argument contains.
    ///
    /// # Errors
    /// If one does.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let head = [
            self.kill_after.as_millis().to_string(),
            u8::from(self.has_terminal).to_string(),
            self.open_files.map(|count| count.to_string()).unwrap_or_default(),
        ];
        let fields = head.iter().map(String::as_bytes).chain(self.command.iter().map(|arg| arg.as_bytes()));
        let mut bytes = vec![0; 4];
        for field in fields {
            if field.contains(&0) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "an argument contains NUL"));
            }
            bytes.extend_from_slice(field);
            bytes.push(0);
        }
        let length = u32::try_from(bytes.len() - 4).map_err(|_| io::ErrorKind::InvalidInput)?;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        Ok(bytes)
    }

    /// Reads one.
    ///
    /// # Errors
    /// If the input ends before, or if it is none.
    pub(super) fn read(mut input: impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let mut bytes = Vec::new();
        let length = u32::from_le_bytes(length);
        input.take(length.into()).read_to_end(&mut bytes)?;
        if bytes.len() < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::decode(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let mut text = || std::str::from_utf8(fields.next()?).ok();
        let kill_after = Duration::from_millis(text()?.parse().ok()?);
        let has_terminal = text()? == "1";
        let open_files = text()?.parse().ok();
        let command: Vec<_> = fields.map(|field| OsString::from_vec(field.to_vec())).collect();
        (!command.is_empty()).then_some(Self { command, kill_after, has_terminal, open_files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(args: &[&[u8]]) -> GuardOrder {
        let command = args.iter().map(|arg| OsString::from_vec(arg.to_vec())).collect();
        GuardOrder { command, kill_after: Duration::from_millis(1500), has_terminal: true, open_files: Some(1024) }
    }

    #[test]
    fn arguments_arrive_as_they_are() {
        for args in [&[b"ls".as_slice(), b"", b"a b\n", b"\xff", b"--"][..], &[b"x"]] {
            for sent in [order(args), GuardOrder { open_files: None, has_terminal: false, ..order(args) }] {
                assert_eq!(GuardOrder::read(&sent.encode().unwrap()[..]).unwrap(), sent);
            }
        }
    }

    #[test]
    fn an_order_that_is_cut_off_is_none() {
        let bytes = order(&[b"sleep", b"300"]).encode().unwrap();
        for length in 0..bytes.len() {
            assert!(GuardOrder::read(&bytes[..length]).is_err(), "{length}");
        }
        assert!(order(&[b"a\0b"]).encode().is_err());
    }
}
