//! A command whose output is a stream: it starts with the first reader, stops after the last, and is started again as the user wants.
//! It does not know how the output is cut.

use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};
use tracing::{info, warn};

use super::{
    command::{CommandNews, CommandRunner},
    settings::Restart,
};
use crate::{
    back_off::BackOff,
    error::Result,
    feed::SourceState,
    process::Exit,
    source::{stream_feed::StreamFeed, wanted::Wanted},
};

/// The pause after the first run.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After a run of this length the pause is the shortest again.
const LONG_RUN: Duration = Duration::from_secs(10);

/// A command whose output is a stream.
pub(super) struct Streaming {
    runner: CommandRunner,
    feeds: Feeds,
    wanted: Wanted,
    restart: Restart,
}

/// What is made of its output.
struct Feeds {
    output: StreamFeed,
    messages: Option<StreamFeed>,
}

/// Why a run is over.
enum RunEnd {
    /// It ended of itself.
    Exit(Exit),
    /// Nobody watches, so it was stopped.
    Unwanted,
}

impl Streaming {
    pub(super) fn new(
        runner: CommandRunner,
        output: StreamFeed,
        messages: Option<StreamFeed>,
        restart: Restart,
        linger: Option<Duration>,
    ) -> Self {
        let wanted = Wanted::of(output.publisher(), messages.as_ref().map(StreamFeed::publisher), linger);
        let mut feeds = Feeds { output, messages };
        // Before anybody can ask: a snapshot waits for a source that rests, and for no other.
        feeds.set_source(&SourceState::Idle);
        Self { runner, feeds, wanted, restart }
    }

    /// Runs it until it has ended for good.
    pub(super) async fn work(mut self) -> Result<()> {
        let (feed, mut back_off) =
            (self.feeds.output.publisher().name().to_owned(), BackOff::new(SHORTEST_PAUSE, LONGEST_PAUSE, LONG_RUN));
        loop {
            if !self.wanted.is_there() {
                self.feeds.set_source(&SourceState::Idle);
            }
            self.wanted.wait().await;
            let began = Instant::now();
            let (exit, is_again) = match self.run().await {
                Ok(RunEnd::Unwanted) => {
                    info!(feed, "the command is stopped, since nobody watches");
                    continue;
                }
                Ok(RunEnd::Exit(exit)) => {
                    let is_again = self.restart.covers(exit.is_success());
                    (exit, is_again)
                }
                Err(error) => (Exit::Unknown(format!("the command cannot be started: {error}")), true),
            };
            self.feeds.end_run(&exit);
            let reason = exit.to_sentence();
            if !is_again {
                self.feeds.set_source(&SourceState::Ended { reason: Some(reason.clone()) });
                if exit.is_success() {
                    info!(feed, "{reason}")
                } else {
                    warn!(feed, "{reason}")
                }
                return Ok(());
            }
            let pause = back_off.after(began.elapsed());
            let reason = format!("{reason}, and is started again after {pause:?}");
            if exit.is_success() {
                info!(feed, "{reason}")
            } else {
                warn!(feed, "{reason}")
            }
            self.feeds.set_source(&SourceState::Lost { reason });
            sleep(pause).await;
        }
    }

    /// One run, from its start to the end of all that it left.
    async fn run(&mut self) -> std::io::Result<RunEnd> {
        let Self { runner, feeds, wanted, .. } = self;
        feeds.begin_run();
        let mut run = runner.start()?;
        let mut unwanted = std::pin::pin!(wanted.is_over());
        let exit = loop {
            let due = feeds.output.due();
            tokio::select! {
                news = run.next() => match news {
                    CommandNews::Ended(exit) => break exit,
                    news => {
                        feeds.take(news);
                        run.answer(&feeds.output.replies());
                    }
                },
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => feeds.act(),
                () = &mut unwanted => {
                    // Whoever comes now waits for the next run.
                    feeds.set_source(&SourceState::Idle);
                    run.stop(|news| feeds.take_last(news)).await;
                    return Ok(RunEnd::Unwanted);
                }
            }
        };
        run.rest(|news| feeds.take(news)).await;
        Ok(RunEnd::Exit(exit))
    }
}

impl Feeds {
    fn all(&mut self) -> impl Iterator<Item = &mut StreamFeed> {
        [&mut self.output].into_iter().chain(self.messages.as_mut())
    }

    fn set_source(&mut self, state: &SourceState) {
        self.all().for_each(|framing| framing.publisher().set_source(state.clone()));
    }

    fn begin_run(&mut self) {
        self.set_source(&SourceState::Starting);
        self.all().for_each(|framing| {
            framing.begin();
            framing.publisher().count_run();
        });
    }

    /// Takes the rest of what it wrote, and how it ended.
    fn end_run(&mut self, exit: &Exit) {
        self.all().for_each(|framing| {
            framing.end();
            framing.publisher().note_exit(exit.to_string(), exit.status());
        });
    }

    /// Does what is due, which may make the first part of a run.
    fn act(&mut self) {
        let was_live = self.output.has_made_part();
        self.output.act();
        if !was_live && self.output.has_made_part() {
            self.output.publisher().set_source(SourceState::Live);
        }
    }

    fn take(&mut self, news: CommandNews<'_>) {
        let (framing, bytes) = match (news, &mut self.messages) {
            (CommandNews::Output(bytes), _) => (&mut self.output, bytes),
            (CommandNews::Messages(bytes), Some(messages)) => (messages, bytes),
            _ => return,
        };
        let was_live = framing.has_made_part();
        framing.push(bytes);
        if !was_live && framing.has_made_part() {
            framing.publisher().set_source(SourceState::Live);
        }
    }

    /// Takes what a command writes that was told to end: its feeds rest already.
    fn take_last(&mut self, news: CommandNews<'_>) {
        match (news, &mut self.messages) {
            (CommandNews::Output(bytes), _) => self.output.push(bytes),
            (CommandNews::Messages(bytes), Some(messages)) => messages.push(bytes),
            _ => {}
        }
    }
}
