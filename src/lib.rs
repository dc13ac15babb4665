//! mxr turns what a program produces into a live push feed over HTTP `multipart/x-mixed-replace`.
//!
//! ```text
//!   source ──▶ Part ──▶ Feed ──▶ wire::encode (once) ──▶ Subscription ──▶ fanout ──▶ sockets
//!                       newest part,                     a cursor,        one loop over
//!                       bounded history                  newest or every  the viewers
//! ```
//!
//! - [`cli`] defines the command line, [`config`] validates it, [`run`] executes one invocation, [`error`] reports failures
//! - [`source`] produces [`part`]s; [`format`](mod@format) knows when one is complete; `file` reads a file as it was at one moment
//! - [`feed`] holds the newest parts, [`wire`] encodes and decodes them, [`stats`] counts, [`mod@panic`] isolates panics
//! - [`http`] answers requests over the connections of [`conn`], with the checks of [`auth`]; `fanout` sends parts to viewers
//! - [`client`] asks other machines over HTTP; [`intake`] is the seam between the server and the source of what others push in
//! - [`process`] starts commands and ends them; [`hooks`] runs those of the user when a feed becomes stale or live
//! - [`recording`] writes parts to files and reads them again; [`sink`] takes them from feeds
//! - [`sink`] pushes the feeds into a hub or a broker
//! - `mqtt` speaks with brokers
//! - [`doctor`] says what is wrong with a feed or a file
//! - [`terminal`] writes to standard error, `escape` makes control characters visible there, [`systemd`] receives the status
//!
//! `http` never imports `source`, `source` never imports `http`; only this file and `config` see both.

pub mod auth;
mod back_off;
pub mod cli;
pub mod client;
pub mod config;
pub mod conn;
pub mod doctor;
pub mod error;
mod escape;
mod fanout;
pub mod feed;
mod file;
pub mod format;
pub mod hooks;
pub mod http;
pub mod intake;
mod lease;
mod loss;
#[cfg(feature = "mqtt")]
pub mod mqtt;
mod net;
pub mod panic;
pub mod part;
pub mod process;
pub mod recording;
pub mod run;
pub mod sink;
pub mod source;
pub mod stats;
mod sync;
pub mod systemd;
pub mod terminal;
pub mod wire;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{runtime::Handle, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    config::{Config, record::RecordConfig},
    conn::listen::Listener,
    error::{Error, Result},
    feed::Registry,
    hooks::{HookSettings, Hooks},
    recording::Archive,
    sink::{FeedPublisher, FeedRecorder, RecordOutputs},
    source::{Context, SourceThread, Work},
    stats::Viewers,
    terminal::Terminal,
};

/// A server that is ready but for its listeners: its source has been opened.
pub struct Server {
    thread: SourceThread,
    work: Work,
    registry: Arc<Registry>,
    recorder: Option<FeedRecorder>,
    viewers: Arc<Viewers>,
    http: http::Options,
    publisher: Option<FeedPublisher>,
    exit_at_end: bool,
    shutdown: CancellationToken,
}

impl Server {
    /// Opens the source; cancelling `shutdown` ends it and the server.
    ///
    /// # Errors
    /// If the source cannot start, or what it makes cannot be recorded.
    pub fn new(config: Config, shutdown: CancellationToken) -> Result<Self> {
        let thread = SourceThread::new()?;
        let path = config.record_to.as_ref().and_then(|to| to.path().map(Path::to_owned));
        let outputs = config.record_to.map(RecordOutputs::open).transpose()?;
        let (opener, registry) = Registry::new(feed::Settings { has_recorder: outputs.is_some(), ..config.feeds });
        let runtime = thread.handle()?;
        // Hooks are watched where viewers are served; without a runtime of its own the caller shares the source's.
        let hooks = Hooks { settings: config.hooks, runtime: Handle::try_current().unwrap_or_else(|_| runtime.clone()) };
        let context = Context { opener, media: config.media, name: config.name, hooks, runtime, shutdown: shutdown.clone() };
        let work = config.source.start(context)?;
        let publisher = config.publish.map(|settings| FeedPublisher::new(settings, &registry)).transpose()?;
        let published = publisher.as_ref().map(FeedPublisher::status);
        let viewers = Viewers::with_limits(config.max_viewers, config.max_viewers_per_address);
        let recorder = outputs.map(|outputs| FeedRecorder::start(registry.clone(), outputs)).transpose()?;
        let recorded = recorder.as_ref().map(|recorder| recorder.counters().clone()).unwrap_or_default();
        // What is recorded is what viewers can go back to.
        let archive = config.http.archive.or_else(|| path.map(|path| Arc::new(Archive::open(path))));
        let http = http::Options { published, recorded, archive, ..config.http };
        Ok(Self { thread, work, registry, recorder, viewers, http, publisher, exit_at_end: config.exit_at_end, shutdown })
    }

    /// The rules for access.
    pub fn access(&mut self) -> &mut auth::Access {
        &mut self.http.access
    }

    /// Generates a token to push, if others may push and there is none. Returns it.
    pub fn generate_push_token(&mut self) -> Option<String> {
        self.http.push.as_mut().filter(|push| push.tokens.is_empty()).map(|push| push.tokens.generate())
    }

    /// The options of the HTTP server.
    pub fn http(&self) -> &http::Options {
        &self.http
    }

    /// Serves until `shutdown` is cancelled or the source fails, and every viewer has its close-delimiter, for which it has a limited
    /// time; or until the source ends, if the program is to exit then, and every viewer has taken the rest.
    ///
    /// # Errors
    /// If the source fails for good, the server panics, or the disk does not take the end of the recording.
    pub async fn run(self, listeners: Vec<Listener>, terminal: Terminal) -> Result<()> {
        let Self { thread, work, registry, recorder, viewers, http, publisher, exit_at_end, shutdown } = self;
        let status_line = tokio::spawn(terminal.show(registry.clone(), Some(viewers.clone()), http.recorded.clone()));
        let server = http::serve(listeners, registry.clone(), viewers, http, shutdown.clone());
        let source = thread.run(work, shutdown.clone())?;
        let supervise = async {
            let result = source.await;
            if result.is_ok() && !exit_at_end && !shutdown.is_cancelled() {
                info!("the source has ended; its last parts are served until Ctrl-C");
                shutdown.cancelled().await;
            }
            if result.is_err() || !exit_at_end {
                shutdown.cancel();
            }
            registry.end();
            result
        };
        let record = async {
            registry.ended().await;
            finish(recorder).await
        };
        let publish = async {
            if let Some(publisher) = publisher {
                publisher.run().await;
            }
        };
        let (result, served, recorded, ()) = tokio::join!(supervise, server, record, publish);
        shutdown.cancel();
        status_line.abort();
        result.and(served.map_err(|panicked| Error::new("go on serving", panicked))).and(recorded)
    }
}

/// Returns once all is on the disk, or it is clear that it will not be.
async fn finish(recorder: Option<FeedRecorder>) -> Result<()> {
    let Some(recorder) = recorder else { return Ok(()) };
    let finished = spawn_blocking(|| recorder.finish()).await;
    finished.unwrap_or_else(|panicked| Err(Error::new("finish the recording", panicked)))
}

/// A recording of feeds of other machines that is ready to begin. Nothing is served.
pub struct Capture {
    thread: SourceThread,
    work: Work,
    registry: Arc<Registry>,
    recorder: FeedRecorder,
    record_for: Option<Duration>,
    shutdown: CancellationToken,
}

impl Capture {
    /// Opens what is recorded to, and the source; cancelling `shutdown` ends it.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub fn new(config: RecordConfig, shutdown: CancellationToken) -> Result<Self> {
        let (thread, outputs) = (SourceThread::new()?, RecordOutputs::open(config.record_to)?);
        let (opener, registry) = Registry::new(feed::Settings { has_recorder: true, ..config.feeds });
        let runtime = thread.handle()?;
        let hooks = Hooks { settings: HookSettings::default(), runtime: runtime.clone() };
        let context = Context { opener, media: None, name: config.name, hooks, runtime, shutdown: shutdown.clone() };
        let work = config.source.start(context)?;
        let recorder = FeedRecorder::start(registry.clone(), outputs)?;
        Ok(Self { thread, work, registry, recorder, record_for: config.record_for, shutdown })
    }

    /// Records until `shutdown` is cancelled, the time is over or the source ends, and all is on the disk.
    ///
    /// # Errors
    /// If the source fails for good, or if the end of the recording is not on the disk.
    pub async fn run(self, terminal: Terminal) -> Result<()> {
        let Self { thread, work, registry, recorder, record_for, shutdown } = self;
        let counters = recorder.counters().clone();
        let status_line = tokio::spawn(terminal.show(registry.clone(), None, counters.clone()));
        let source = thread.run(work, shutdown.clone())?;
        let time_is_over = async {
            match record_for {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            result = source => result,
            () = shutdown.cancelled() => Ok(()),
            () = time_is_over => match counters.has_parts() {
                true => Ok(()),
                false => Err(Error::new("record anything", "no part has come in this time")),
            },
        };
        shutdown.cancel();
        registry.end();
        let finished = finish(Some(recorder)).await;
        status_line.abort();
        let whole = counters.report();
        result.and(finished).and(whole)
    }
}
