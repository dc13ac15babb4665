//! Standard input as a source. It reads on its own thread, since a blocking read cannot be cancelled: it must not keep the process
//! alive (docs/field.md, Pipes), nor wait for viewers. `framing` splits the bytes; this file does not examine them.

use std::{
    io::{self, IsTerminal, Read},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{
    context::{Context, Work},
    framing::NoPart,
    screen::LineFeeds,
    stream_feed::{StreamFeed, StreamParts},
    tee::Tee,
};
use crate::error::{Error, Result};

/// Bytes per read, and so the most that is published in one block.
const READ_BYTES: usize = 64 * 1024;

/// The settings of standard input as a source.
#[derive(Debug, Clone)]
pub struct StdinSettings {
    /// How it becomes parts.
    pub parts: StreamParts,
    /// Whether to copy the input to standard output.
    pub tee: bool,
    /// Whether an input that gave no part is an error at its end.
    pub needs_part: bool,
}

/// Standard input as a source.
///
/// # Errors
/// If it cannot be read at all: a directory.
pub fn source(stdin: &StdinSettings, context: &Context) -> Result<Work> {
    let feed = StreamFeed::new("stdin", &stdin.parts, LineFeeds::Guess, context);
    check_stdin()?;
    let tee = stdin.tee.then(|| Tee::start(io::stdout())).transpose();
    let reader = StdinReader { feed, tee: tee.map_err(|error| Error::new("start a thread for --tee", error))? };
    Ok(Box::pin(work(reader, stdin.needs_part)))
}

fn check_stdin() -> Result<()> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        info!("reading from the terminal: type lines, Ctrl-D ends them");
    }
    if rustix::fs::fstat(&stdin).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()) {
        let error = Error::new("read standard input", "it is a directory");
        return Err(error.hint("pipe something into it (`tail -f log | mxr stdin`), or use `mxr serve DIR`"));
    }
    Ok(())
}

async fn work(reader: StdinReader, needs_part: bool) -> Result<()> {
    let (sender, done) = oneshot::channel();
    let reader = move || {
        let _ = sender.send(reader.run());
    };
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(reader)
        .map_err(|error| Error::new("start a thread for standard input", error))?;
    match done.await {
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(NoPart { cause, hint }))) if needs_part => Err(Error::new("push standard input", cause).hint(hint)),
        Ok(Ok(Some(NoPart { cause, hint }))) => {
            warn!(hint, "standard input gave no part: {cause}");
            Ok(())
        }
        Ok(Err(error)) => Err(Error::new("read standard input", error)),
        Err(_) => Err(Error::new("read standard input", "its thread panicked")),
    }
}

struct StdinReader {
    feed: StreamFeed,
    tee: Option<Tee>,
}

impl StdinReader {
    fn run(mut self) -> io::Result<Option<NoPart>> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if let Some(due) = self.feed.due()
                && !wait_readable_until(due)
            {
                self.feed.act();
                continue;
            }
            let read = read(&mut buffer)?;
            if read == 0 {
                let without_part = self.feed.finish();
                if let Some(tee) = self.tee {
                    tee.finish();
                }
                return Ok(without_part);
            }
            if let Some(tee) = &mut self.tee {
                tee.copy(&buffer[..read]);
            }
            self.feed.push(&buffer[..read]);
        }
    }
}

/// Reads, and waits for bytes even if the inherited standard input is non-blocking (docs/field.md, Pipes).
fn read(buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match io::stdin().lock().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_readable()?,
            result => return result,
        }
    }
}

fn wait_readable() -> io::Result<()> {
    if poll_stdin(None).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits until there are bytes or the end to read. Returns `false` if neither has come by `deadline`.
fn wait_readable_until(deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = rustix::event::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    // Input that poll(2) cannot wait for is read at once, and the read may block.
    !left.is_zero() && !matches!(poll_stdin(Some(&timeout)), Ok(0))
}

fn poll_stdin(timeout: Option<&rustix::event::Timespec>) -> rustix::io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, poll};
    let stdin = io::stdin();
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], timeout) {
        Err(rustix::io::Errno::INTR) => Ok(1),
        result => result,
    }
}
