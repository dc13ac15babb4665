//! What arrives on standard input. A thread of its own reads, since a blocking read cannot be
//! cancelled: it must not keep the process alive, nor wait for viewers.

use std::{
    io::{self, IsTerminal, Read, Write},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{
    FeedSettings, Source,
    pipe::{Pipe, PipeSettings},
    split::{Makes, Split, Splitter},
};
use crate::{
    error::{Error, Result},
    feed::Offer,
};

/// Read at a time; also the most that is published in one block.
const READ_BYTES: usize = 64 * 1024;
/// First bytes that are looked at for what no text has.
const FIRST_BYTES: usize = 4096;

/// How standard input becomes parts.
#[derive(Debug, Clone)]
pub struct StdinSettings {
    /// How it is cut.
    pub pipe: PipeSettings,
    /// Copy the input to standard output.
    pub tee: bool,
}

/// Standard input as a source.
///
/// # Errors
/// Where it cannot be read at all: a directory.
pub fn source(stdin: &StdinSettings, settings: &FeedSettings) -> Result<Source> {
    let (pipe, feed) = Pipe::new("stdin", &stdin.pipe, settings);
    look_at_stdin()?;
    let reader = Reader { pipe, first: First::new(&stdin.pipe), tee: stdin.tee.then(io::stdout) };
    Ok(Source { offers: vec![Offer::Live(feed)], work: Box::pin(work(reader)) })
}

fn look_at_stdin() -> Result<()> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        info!("reading from the terminal: type lines, Ctrl-D ends them");
    }
    #[cfg(unix)]
    if rustix::fs::fstat(&stdin).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()) {
        let error = Error::new("read standard input", "it is a directory");
        return Err(error.hint("pipe something into it (`tail -f log | mxr stdin`), or use `mxr serve DIR`"));
    }
    Ok(())
}

async fn work(reader: Reader) -> Result<()> {
    let (sender, done) = oneshot::channel();
    let reader = move || {
        let _ = sender.send(reader.run());
    };
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(reader)
        .map_err(|error| Error::new("start a thread for standard input", error))?;
    match done.await {
        Ok(result) => result.map_err(|error| Error::new("read standard input", error)),
        Err(_) => Err(Error::new("read standard input", "its thread broke down")),
    }
}

struct Reader {
    pipe: Pipe,
    first: Option<First>,
    tee: Option<io::Stdout>,
}

impl Reader {
    fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if let Some(due) = self.pipe.hint_due()
                && !is_readable_before(due)
            {
                self.pipe.hint();
            }
            let read = read(&mut buffer)?;
            if read == 0 {
                self.pipe.finish();
                return Ok(());
            }
            self.first.take_if(|first| first.is_enough(&buffer[..read]));
            self.copy(&buffer[..read]);
            self.pipe.push(&buffer[..read]);
        }
    }

    fn copy(&mut self, data: &[u8]) {
        let Some(stdout) = &mut self.tee else { return };
        if let Err(error) = stdout.write_all(data).and_then(|()| stdout.flush()) {
            warn!(%error, "cannot copy to standard output any more");
            self.tee = None;
        }
    }
}

/// The first bytes of what may be cut at line ends: a film or an archive would become lines of rubbish without a word.
struct First {
    /// Tells what they are taken for.
    splitter: Splitter,
    seen: usize,
    has_nul: bool,
}

impl First {
    fn new(pipe: &PipeSettings) -> Option<Self> {
        let split = if pipe.window.is_some() { &Split::Lines } else { &pipe.split };
        let is_in_doubt = matches!(split, Split::Auto | Split::Lines);
        is_in_doubt.then(|| Self { splitter: split.splitter(FIRST_BYTES, true), seen: 0, has_nul: false })
    }

    /// Takes what was read, and warns where it is no text. Gives whether nothing more needs to be looked at.
    fn is_enough(&mut self, data: &[u8]) -> bool {
        let data = &data[..data.len().min(FIRST_BYTES - self.seen)];
        self.seen += data.len();
        self.has_nul |= data.contains(&0);
        self.splitter.push(data, &mut Vec::new());
        let makes = self.splitter.makes();
        let is_binary = self.has_nul && makes == Some(Makes::Text);
        if is_binary {
            let hint = "JPEGs, PNGs and multipart are recognized (from ffmpeg: -f mjpeg, or -f image2pipe -c:v png); for anything \
                        else --split says where a part ends";
            warn!(hint, "the input is no text (it has NUL bytes) and is cut at line ends all the same");
        }
        is_binary || makes == Some(Makes::Frames) || self.seen == FIRST_BYTES
    }
}

/// Reads what is there, and waits where nothing is, also on an inherited non-blocking standard input.
fn read(buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match io::stdin().lock().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_readable()?,
            result => return result,
        }
    }
}

#[cfg(unix)]
fn wait_readable() -> io::Result<()> {
    if poll_stdin(None).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(not(unix))]
fn wait_readable() -> io::Result<()> {
    std::thread::sleep(Duration::from_millis(50));
    Ok(())
}

/// Whether there is something to read before that moment, be it the end.
#[cfg(unix)]
fn is_readable_before(moment: Instant) -> bool {
    let left = moment.saturating_duration_since(Instant::now());
    let timeout = rustix::event::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    // What cannot be waited for is read, and blocks as long as it likes.
    !left.is_zero() && !matches!(poll_stdin(Some(&timeout)), Ok(0))
}

#[cfg(not(unix))]
fn is_readable_before(moment: Instant) -> bool {
    moment > Instant::now()
}

#[cfg(unix)]
fn poll_stdin(timeout: Option<&rustix::event::Timespec>) -> rustix::io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, poll};
    let stdin = io::stdin();
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], timeout) {
        Err(rustix::io::Errno::INTR) => Ok(1),
        result => result,
    }
}
