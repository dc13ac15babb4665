//! What arrives on standard input, a part a line. A thread of its own reads, since a blocking read cannot be
//! cancelled: it must not keep the process alive, nor wait for viewers.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal, Read, Write},
    sync::Arc,
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{FeedSettings, Source, split::Lines};
use crate::{
    error::{Error, Result},
    feed::{Feed, Kind, Offer, Publisher},
    part::{Media, Part},
};

/// Read at a time; also the most that is published in one block.
const READ_BYTES: usize = 64 * 1024;

/// How standard input becomes parts.
#[derive(Debug, Clone, Copy)]
pub struct StdinSettings {
    /// Each part is this many last lines.
    pub window: Option<usize>,
    /// Copy the input to standard output.
    pub tee: bool,
}

/// Standard input as a source.
///
/// # Errors
/// Where it cannot be read at all: a directory.
pub fn source(stdin: StdinSettings, settings: &FeedSettings) -> Result<Source> {
    let kind = if stdin.window.is_some() { Kind::Newest } else { Kind::Lines };
    let (publisher, feed) = settings.feed("stdin", kind);
    let media = settings.media.clone().unwrap_or_else(|| Media::from_known(Media::TEXT));
    look_at_stdin()?;
    let offers = vec![Offer::Live(Arc::<Feed>::clone(&feed))];
    Ok(Source { offers, work: Box::pin(work(stdin, media, publisher)) })
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

async fn work(stdin: StdinSettings, media: Media, publisher: Publisher) -> Result<()> {
    let (sender, done) = oneshot::channel();
    let reader = move || {
        let _ = sender.send(Pipe::new(stdin, media, publisher).run());
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

struct Pipe {
    lines: Lines,
    window: Option<Window>,
    tee: Option<io::Stdout>,
    media: Media,
    publisher: Publisher,
}

impl Pipe {
    fn new(stdin: StdinSettings, media: Media, publisher: Publisher) -> Self {
        let limit = publisher.part_bytes();
        Self {
            lines: Lines::new(limit, media.as_str().starts_with("text/")),
            window: stdin.window.map(|most| Window { most, limit, lines: VecDeque::new(), bytes: 0 }),
            tee: stdin.tee.then(io::stdout),
            media,
            publisher,
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let mut found = Vec::new();
        loop {
            let read = read(&mut buffer)?;
            if read == 0 {
                found.extend(self.lines.finish());
                self.publish(&mut found);
                return Ok(());
            }
            self.copy(&buffer[..read]);
            self.lines.push(&buffer[..read], &mut found);
            self.publish(&mut found);
        }
    }

    fn publish(&mut self, found: &mut Vec<Bytes>) {
        if found.is_empty() {
            return;
        }
        let part = |body| Part::now(self.media.clone(), body);
        match &mut self.window {
            None => self.publisher.publish_all(found.drain(..).map(part).collect()),
            Some(window) => {
                found.drain(..).for_each(|line| window.push(line));
                if let Err(why @ (crate::feed::Refused::TooLarge | crate::feed::Refused::HasBoundary)) =
                    self.publisher.publish(part(window.document()))
                {
                    warn!("window not pushed: {why}");
                }
            }
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
    use rustix::event::{PollFd, PollFlags, poll};
    let stdin = io::stdin();
    match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(_) => {
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        }
    }
}

#[cfg(not(unix))]
fn wait_readable() -> io::Result<()> {
    std::thread::sleep(Duration::from_millis(50));
    Ok(())
}

/// The last lines as one document.
#[derive(Debug)]
struct Window {
    most: usize,
    limit: usize,
    lines: VecDeque<Bytes>,
    bytes: usize,
}

impl Window {
    fn push(&mut self, line: Bytes) {
        let line = if line == "\n" { Bytes::new() } else { line };
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.lines.len() > self.most || (self.bytes > self.limit && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
        }
    }

    fn document(&self) -> Bytes {
        let mut document = BytesMut::with_capacity(self.bytes);
        for line in &self.lines {
            document.put_slice(line);
            document.put_u8(b'\n');
        }
        document.freeze()
    }
}
