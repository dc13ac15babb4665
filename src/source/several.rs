//! Several sources in one process. Each has a thread, limits and feeds of its own, so that none waits for another or ends it. When
//! the list of sources is read again, those that stayed the same work on. It knows no file: the list is handed to it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    context::{Context, SourceStart, Work},
    thread::SourceThread,
};
use crate::{
    error::Result,
    feed::{Limits, Opener},
    format::Media,
    hooks::{HookSettings, Hooks},
    panic::{PanicScope, catch},
    process,
};

/// How long a source that is replaced or removed may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// One of the sources, ready to start.
#[derive(Debug)]
pub struct Member {
    /// What its feed is called.
    pub name: String,
    /// What it was made from: a member with the same identity is the same.
    pub identity: Vec<String>,
    /// The type of every part, where the user gave one.
    pub media: Option<Media>,
    /// The limits of its feeds.
    pub limits: Limits,
    /// The least time between two parts.
    pub interval: Option<Duration>,
    /// What runs when its feed becomes stale or live.
    pub hooks: HookSettings,
    /// Whether it reads standard input, which can be read only once.
    pub is_stdin: bool,
    /// Starts it.
    pub start: SourceStart,
}

/// The sources, and how they are read again.
pub struct SeveralSettings {
    /// The sources, in the order of their feeds.
    pub members: Vec<Member>,
    /// Reads them again; `None` if the new list is invalid, which has been logged.
    pub read_again: Box<dyn FnMut() -> Option<Vec<Member>> + Send>,
    /// When to do that.
    pub reload: Arc<Notify>,
}

/// Several sources as one.
///
/// # Errors
/// If one of them cannot start.
pub fn source(settings: SeveralSettings, context: &Context) -> Result<Work> {
    let SeveralSettings { members, mut read_again, reload } = settings;
    let mut several = Several { context: context.clone(), running: Vec::new(), has_read_stdin: false };
    for member in members {
        several.start(member)?;
    }
    Ok(Box::pin(async move {
        loop {
            reload.notified().await;
            // A bug in reading leaves the feeds as they are.
            if let Ok(Some(members)) = catch(PanicScope::Source, &mut read_again) {
                several.change_to(members).await;
            }
        }
    }))
}

struct Several {
    context: Context,
    running: Vec<RunningSource>,
    has_read_stdin: bool,
}

/// A member at work.
struct RunningSource {
    name: String,
    identity: Vec<String>,
    is_stdin: bool,
    opener: Opener,
    stop: CancellationToken,
    /// Ends with its work.
    task: JoinHandle<()>,
}

impl Several {
    fn start(&mut self, member: Member) -> Result<()> {
        let Member { name, identity, media, limits, interval, hooks, is_stdin, start } = member;
        let thread = SourceThread::new()?;
        let (opener, stop) = (self.context.opener.group(limits, interval), self.context.shutdown.child_token());
        let hooks = Hooks { settings: hooks, ..self.context.hooks.clone() };
        let context = Context {
            opener: opener.clone(),
            media,
            name: Some(name.clone()),
            hooks,
            runtime: thread.handle()?,
            shutdown: stop.clone(),
        };
        let work = start.start(context).and_then(|work| thread.run(work, stop.clone())).inspect_err(|_| opener.remove_group())?;
        self.has_read_stdin |= is_stdin;
        let (feed, of_feed) = (name.clone(), opener.clone());
        let task = self.context.runtime.spawn(async move {
            if let Err(failure) = work.await {
                error!(feed, "{failure:#}");
                of_feed.end_group(&format!("{failure:#}"));
            }
        });
        self.running.push(RunningSource { name, identity, is_stdin, opener, stop, task });
        Ok(())
    }

    /// Ends what is not in the new list, and starts what is new in it.
    async fn change_to(&mut self, members: Vec<Member>) {
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let (mut same, mut gone) = (Vec::new(), Vec::new());
        for running in self.running.drain(..) {
            match members.iter().find(|member| member.name == running.name) {
                Some(member) if running.is_same(member) => same.push(running),
                _ => gone.push(running),
            }
        }
        self.running = same;
        let new: Vec<Member> = members.into_iter().filter(|member| !self.has(&member.name)).collect();
        let ended = gone.iter().filter(|gone| !names.contains(&gone.name)).map(|gone| gone.name.clone()).collect::<Vec<_>>();
        let started: Vec<String> = new.iter().map(|member| member.name.clone()).collect();
        let unchanged = self.running.len();
        gone.iter().for_each(|running| running.stop.cancel());
        let deadline = Instant::now() + END_TIMEOUT;
        for running in gone {
            running.end_by(deadline).await;
        }
        // Two commands must not hold one camera.
        let _ = timeout_at(deadline, process::ending_gone()).await;
        for member in new {
            let name = member.name.clone();
            if member.is_stdin && self.has_read_stdin {
                warn!(feed = name, "standard input can be read only once; restart mxr for this feed");
            } else if let Err(failure) = self.start(member) {
                error!(feed = name, "{failure:#}");
            }
        }
        self.running.sort_by_key(|running| names.iter().position(|name| *name == running.name));
        self.context.opener.order(self.running.iter().map(|running| &running.opener));
        info!(unchanged, ?started, ?ended, "the feeds were read again");
    }

    fn has(&self, name: &str) -> bool {
        self.running.iter().any(|running| running.name == name)
    }
}

impl RunningSource {
    /// Whether it does what this member would; standard input stays with its reader.
    fn is_same(&self, member: &Member) -> bool {
        let is_kept = self.is_stdin && member.is_stdin;
        if is_kept && self.identity != member.identity {
            warn!(feed = self.name, "the feed of standard input changes after a restart");
        }
        is_kept || self.identity == member.identity
    }

    /// Waits for its end, and removes its feeds.
    async fn end_by(self, deadline: Instant) {
        if timeout_at(deadline, self.task).await.is_err() {
            warn!(feed = self.name, "the source has not ended; its feed is removed all the same");
        }
        self.opener.remove_group();
    }
}
