//! A command that runs to its end again and again; the whole output of a run is one part. Runs begin at multiples of a time from the
//! first one on, so that the length of a run does not add up, and never overlap.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::{
    changes::Changes,
    command::{CommandNews, CommandRunner},
};
use crate::{
    error::Result,
    feed::{Publisher, Refused, SourceState},
    file::{self, Reading, Signature},
    format::{Completeness, Media, inspect},
    part::Part,
    process::Exit,
    source::{framing::Framing, kinds::media_of, wanted::Wanted},
};

/// A command that runs again and again.
pub(super) struct Periodic {
    runner: CommandRunner,
    feeds: RunFeeds,
    wanted: Wanted,
    /// The time after which a run is ended.
    timeout: Option<Duration>,
}

/// What is made of the output of a run.
pub(super) struct RunFeeds {
    publisher: Publisher,
    /// The type of every part, if the user set one.
    media: Option<Media>,
    messages: Option<Framing>,
    /// The file that is the part, in place of the output.
    file: Option<PathBuf>,
    /// That file before the run.
    before: Option<Signature>,
    /// The output so far; a byte more than a part may have if it is too large.
    output: Vec<u8>,
    has_terminal: bool,
    /// What was logged last, so that the same is not logged each time.
    logged: Option<String>,
}

/// When the next run begins.
pub(super) enum Trigger {
    Every(Duration),
    Changes(Changes),
}

impl Trigger {
    /// Whether a run would give anything else than the last one.
    fn begin(&mut self) -> bool {
        match self {
            Self::Every(_) => true,
            Self::Changes(changes) => changes.take(),
        }
    }

    /// The run that has begun was not finished.
    fn forget(&mut self) {
        if let Self::Changes(changes) = self {
            changes.forget();
        }
    }

    /// Waits for the time of the next run; the first one and the last one began at these times.
    async fn next(&mut self, first: Instant, last: Instant) {
        match self {
            Self::Every(every) => sleep_until(first + until_next(first.elapsed(), *every)).await,
            Self::Changes(changes) => changes.wait(last).await,
        }
    }
}

/// Why a run is over.
enum RunOver {
    Exit(Exit),
    TimedOut(Duration),
    Unwanted,
}

impl Periodic {
    pub(super) fn new(runner: CommandRunner, mut feeds: RunFeeds, linger: Option<Duration>, timeout: Option<Duration>) -> Self {
        let wanted = Wanted::of(&feeds.publisher, feeds.messages.as_ref().map(Framing::publisher), linger);
        // Before anybody can ask: a snapshot waits for a source that rests, and for no other.
        feeds.set_source(&SourceState::Idle);
        Self { runner, feeds, wanted, timeout }
    }

    /// Runs it at once when somebody comes, and then as `trigger` says, while somebody is there.
    pub(super) async fn work(mut self, mut trigger: Trigger) -> Result<()> {
        loop {
            self.wanted.wait().await;
            self.feeds.set_source(&SourceState::Starting);
            self.runs(&mut trigger).await;
            self.feeds.set_source(&SourceState::Idle);
        }
    }

    /// Runs it until nobody is there.
    async fn runs(&mut self, trigger: &mut Trigger) {
        let Self { runner, feeds, wanted, timeout } = self;
        let mut unwanted = std::pin::pin!(wanted.is_over());
        let first = Instant::now();
        loop {
            let began = Instant::now();
            if !trigger.begin() {
                feeds.set_source(&SourceState::Live);
            } else {
                match feeds.run(runner, *timeout, unwanted.as_mut()).await {
                    Ok(RunOver::Unwanted) => return trigger.forget(),
                    Ok(over) => feeds.end_run(over),
                    Err(error) => feeds.end_run(RunOver::Exit(Exit::Unknown(format!("the command cannot be started: {error}")))),
                }
            }
            tokio::select! {
                () = trigger.next(first, began) => {}
                () = &mut unwanted => return,
            }
        }
    }
}

/// When the next run begins, counted from the first one, if the last one was over at `elapsed`. Starts that were missed are left out.
fn until_next(elapsed: Duration, every: Duration) -> Duration {
    let periods = elapsed.as_nanos() / every.as_nanos().max(1) + 1;
    let nanos = periods.saturating_mul(every.as_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl RunFeeds {
    pub(super) fn new(
        publisher: Publisher,
        media: Option<Media>,
        messages: Option<Framing>,
        file: Option<PathBuf>,
        has_terminal: bool,
    ) -> Self {
        Self { publisher, media, messages, file, before: None, output: Vec::new(), has_terminal, logged: None }
    }

    fn set_source(&mut self, state: &SourceState) {
        self.publisher.set_source(state.clone());
        self.messages.iter().for_each(|messages| messages.publisher().set_source(state.clone()));
    }

    /// One run; its output is in `output` then.
    async fn run(
        &mut self,
        runner: &CommandRunner,
        timeout: Option<Duration>,
        mut unwanted: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> io::Result<RunOver> {
        self.output.clear();
        self.messages.iter_mut().for_each(Framing::begin);
        self.publisher.count_run();
        self.before = self.file.as_ref().and_then(|file| Some(Signature::of(&file.metadata().ok()?)));
        let mut run = runner.start()?;
        let mut late = std::pin::pin!(sleep(timeout.unwrap_or_default()));
        let exit = loop {
            tokio::select! {
                news = run.next() => match news {
                    CommandNews::Ended(exit) => break exit,
                    news => self.take(news),
                },
                () = &mut late, if timeout.is_some() => {
                    run.stop(|news| self.take(news)).await;
                    return Ok(RunOver::TimedOut(timeout.unwrap_or_default()));
                }
                () = &mut unwanted => {
                    self.set_source(&SourceState::Idle);
                    run.stop(|_| {}).await;
                    return Ok(RunOver::Unwanted);
                }
            }
        };
        run.rest(|news| self.take(news)).await;
        Ok(RunOver::Exit(exit))
    }

    fn take(&mut self, news: CommandNews<'_>) {
        match (news, &mut self.messages) {
            (CommandNews::Output(_), _) if self.file.is_some() => {}
            (CommandNews::Output(bytes), _) => {
                let left = (self.publisher.part_bytes() + 1).saturating_sub(self.output.len());
                self.output.extend_from_slice(&bytes[..left.min(bytes.len())]);
            }
            (CommandNews::Messages(bytes), Some(messages)) => messages.push(bytes),
            _ => {}
        }
    }

    /// Publishes what a run gave, and says how it ended.
    fn end_run(&mut self, over: RunOver) {
        self.messages.iter_mut().for_each(Framing::end);
        let (why, sentence, status) = match &over {
            RunOver::Exit(exit) => (exit.to_string(), exit.to_sentence(), exit.status()),
            RunOver::TimedOut(timeout) => {
                let why = format!("ended by --timeout after {timeout:?}");
                (why.clone(), format!("the command was {why}"), TIMED_OUT)
            }
            RunOver::Unwanted => return,
        };
        self.publisher.note_exit(why, status);
        let is_whole = matches!(over, RunOver::Exit(_));
        let published = if is_whole { self.publish(status == 0) } else { Err(None) };
        let lost = match published {
            // A status alone says little: diff(1) and grep(1) end with 1 and are right.
            Ok(()) => None,
            Err(None) if status == 0 => None,
            Err(reason) => Some(reason.unwrap_or_else(|| sentence.clone())),
        };
        self.log(status == 0 && lost.is_none(), lost.clone().unwrap_or(sentence));
        self.set_source(&lost.map_or(SourceState::Live, |reason| SourceState::Lost { reason }));
    }

    /// Logs how a run ended, if the one before ended otherwise.
    fn log(&mut self, is_right: bool, why: String) {
        let feed = self.publisher.name();
        match &self.logged {
            Some(logged) if *logged == why => debug!(feed, "{why}"),
            None if is_right => debug!(feed, "{why}"),
            _ if is_right => info!(feed, "{why}"),
            _ => warn!(feed, "{why}"),
        }
        self.logged = Some(why);
    }

    /// Whether its parts are text, as far as is known.
    fn is_of_text(&self) -> bool {
        let is_text = |media: &Media| media.is_text();
        self.media.as_ref().map_or_else(|| self.publisher.feed().newest().is_none_or(|newest| is_text(newest.media())), is_text)
    }

    /// Makes a part of the output, or of the file.
    ///
    /// # Errors
    /// If there is none; with the reason, where it is another one than how the run ended.
    fn publish(&mut self, is_success: bool) -> std::result::Result<(), Option<String>> {
        let mut body = std::mem::take(&mut self.output);
        if self.has_terminal {
            body = without_returns(&body);
        }
        let (guessed, body) = match &self.file {
            Some(file) => {
                let body = self.read(file, is_success)?;
                (Media::guess(file, &body), body)
            }
            // What the run before said is no longer so.
            None if body.is_empty() && is_success && self.is_of_text() => {
                (Media::from_known(Media::TEXT), Bytes::from_static(EMPTY_LINE))
            }
            None => (media_of(Path::new(""), &body), body.into()),
        };
        let media = self.media.clone().unwrap_or(guessed);
        // A command that failed may have left half a picture.
        if !is_success && inspect(&media, &body).completeness == Completeness::Truncated {
            return Err(None);
        }
        match self.publisher.publish(Part::now(media, body)) {
            Ok(()) | Err(Refused::Same) => Ok(()),
            Err(Refused::Empty) => Err(None),
            Err(why) => Err(Some(format!("the output is left out: {why}"))),
        }
    }

    /// Reads the file that is the part. One that a failed run has not touched is of an earlier one.
    fn read(&self, file: &Path, is_success: bool) -> std::result::Result<Bytes, Option<String>> {
        let path = file.display();
        let reason = match file::read(file, self.publisher.part_bytes()) {
            Ok(Reading::Whole(_, now)) if !is_success && Some(now) == self.before => return Err(None),
            Ok(Reading::Whole(body, _) | Reading::Grown(body, _) | Reading::Changed(body, _)) => return Ok(body),
            Ok(Reading::TooLarge(size)) => format!("{path} is left out: it has {size} bytes, more than --max-part allows"),
            Ok(Reading::NotAFile) => format!("{path} is no regular file"),
            Err(_) if !is_success => return Err(None),
            Err(_) => format!("there is no {path} that can be read"),
        };
        Err(Some(reason))
    }
}

/// What is shown of a run that printed nothing, as of a text file that was emptied: a part without a byte breaks readers
/// (docs/field.md, Players and readers).
const EMPTY_LINE: &[u8] = b"\n";

/// The status of timeout(1) for a command that it ended.
const TIMED_OUT: i32 = 124;

/// Lines as they were before the terminal added a return to each.
fn without_returns(bytes: &[u8]) -> Vec<u8> {
    let is_kept = |at: &usize| bytes[*at] != b'\r' || bytes.get(at + 1) != Some(&b'\n');
    (0..bytes.len()).filter(is_kept).map(|at| bytes[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_begin_at_multiples_of_the_time_and_missed_ones_are_left_out() {
        for (elapsed, every, next) in
            [(600, 1000, 1000), (0, 1000, 1000), (1500, 1000, 2000), (2000, 1000, 3000), (9999, 500, 10_000)]
        {
            let millis = Duration::from_millis;
            assert_eq!(until_next(millis(elapsed), millis(every)), millis(next), "{elapsed} of {every}");
        }
    }

    #[test]
    fn the_returns_of_a_terminal_are_taken_off_at_line_ends_alone() {
        for (bytes, lines) in [(&b"a\r\nb\r\n"[..], &b"a\nb\n"[..]), (b"10%\r20%\r\n", b"10%\r20%\n"), (b"\r", b"\r")] {
            assert_eq!(without_returns(bytes), lines);
        }
    }
}
