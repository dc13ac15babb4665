//! A command as a source: one process for all viewers, which runs while somebody watches. It decides when a command runs and what
//! becomes of its output; `process` runs it, and `framing` cuts the output.

mod changes;
mod command;
mod periodic;
mod settings;
mod streaming;

use std::{ffi::OsString, path::Path};

use tracing::warn;

pub use self::settings::{CommandMessages, CommandTerminal, ExecMode, ExecSettings, Restart, RunTrigger};
use self::{
    changes::Changes,
    command::CommandRunner,
    periodic::{Periodic, RunFeeds, Trigger},
};
use super::{
    context::{Context, Work, name_of},
    framing::{Framing, FramingSettings, split::Split},
    screen::LineFeeds,
    stream_feed::StreamFeed,
};
use crate::{error::Result, feed::Kind, process::program_exists};

/// A command as a source.
///
/// # Errors
/// None: what is wrong with the command shows when it is started.
pub fn source(settings: ExecSettings, context: &Context) -> Result<Work> {
    let ExecSettings { command, mode, stderr, terminal, linger, kill_after } = settings;
    let name = name_of(Path::new(command.first().map_or("".as_ref(), OsString::as_os_str)));
    if let Some(program) = command.first().filter(|program| !program_exists(program)) {
        warn!(program = %program.display(), "there is no such command; it is tried all the same");
    }
    let runner = CommandRunner { command, stderr, terminal, kill_after };
    let messages = |output: &str| (stderr == CommandMessages::Feed).then(|| message_feed(output, context));
    Ok(match mode {
        ExecMode::Streaming { parts, restart } => {
            let output = StreamFeed::new(&name, &parts, LineFeeds::Down, context);
            let messages = messages(output.publisher().name()).map(|messages| StreamFeed::Split(Box::new(messages)));
            Box::pin(streaming::Streaming::new(runner, output, messages, restart, linger).work())
        }
        ExecMode::Periodic { trigger, file, timeout } => {
            let (trigger, changes) = match trigger {
                RunTrigger::Every(every) => (Trigger::Every(every), None),
                RunTrigger::When(paths) => {
                    let (changes, work) = Changes::of(paths, context)?;
                    (Trigger::Changes(changes), Some(work))
                }
            };
            let name = file.as_deref().map_or(name, name_of);
            let publisher = context.open(name, Kind::Newest);
            let messages = messages(publisher.name());
            let feeds = RunFeeds::new(publisher, context.media.clone(), messages, file, terminal != CommandTerminal::None);
            let runs = Periodic::new(runner, feeds, linger, timeout).work(trigger);
            match changes {
                None => Box::pin(runs),
                Some(changes) => Box::pin(async move {
                    tokio::select! {
                        result = runs => result,
                        result = async { changes.await?; std::future::pending().await } => result,
                    }
                }),
            }
        }
    })
}

/// The feed of the messages, named after that of the output.
fn message_feed(output: &str, context: &Context) -> Framing {
    let context = Context { name: Some(format!("{output}-stderr")), media: None, hooks: context.hooks.none(), ..context.clone() };
    Framing::new("stderr", &FramingSettings { split: Split::Lines, window: None }, &context)
}
