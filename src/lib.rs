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
//! - [`sink`] pushes the feeds into a hub
//! - [`recording`] writes the parts of feeds to files and reads them again
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

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    config::Config,
    conn::listen::Listener,
    error::{Error, Result},
    feed::Registry,
    hooks::Hooks,
    sink::HubPublisher,
    source::{Context, SourceThread, Work},
    stats::Viewers,
    terminal::Terminal,
};

/// A server that is ready but for its listeners: its source has been opened.
pub struct Server {
    thread: SourceThread,
    work: Work,
    registry: Arc<Registry>,
    viewers: Arc<Viewers>,
    http: http::Options,
    publisher: Option<HubPublisher>,
    exit_at_end: bool,
    shutdown: CancellationToken,
}

impl Server {
    /// Opens the source; cancelling `shutdown` ends it and the server.
    ///
    /// # Errors
    /// If the source cannot start.
    pub fn new(config: Config, shutdown: CancellationToken) -> Result<Self> {
        let thread = SourceThread::new()?;
        let (opener, registry) = Registry::new(config.feeds);
        let runtime = thread.handle()?;
        // Hooks are watched where viewers are served; without a runtime of its own the caller shares the source's.
        let hooks = Hooks { settings: config.hooks, runtime: Handle::try_current().unwrap_or_else(|_| runtime.clone()) };
        let context = Context { opener, media: config.media, name: config.name, hooks, runtime, shutdown: shutdown.clone() };
        let work = config.source.start(context)?;
        let publisher = config.publish.map(|settings| HubPublisher::new(settings, &registry)).transpose()?;
        let published = publisher.as_ref().map(HubPublisher::status);
        let http = http::Options { published, ..config.http };
        let viewers = Viewers::with_limits(config.max_viewers, config.max_viewers_per_address);
        Ok(Self { thread, work, registry, viewers, http, publisher, exit_at_end: config.exit_at_end, shutdown })
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
    /// If the source fails for good, or the server panics.
    pub async fn run(self, listeners: Vec<Listener>, terminal: Terminal) -> Result<()> {
        let Self { thread, work, registry, viewers, http, publisher, exit_at_end, shutdown } = self;
        let status_line = tokio::spawn(terminal.clone().show(registry.clone(), viewers.clone()));
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
        let publish = async {
            if let Some(publisher) = publisher {
                publisher.run().await;
            }
        };
        let (result, served, ()) = tokio::join!(supervise, server, publish);
        shutdown.cancel();
        status_line.abort();
        result.and(served.map_err(|panicked| Error::new("go on serving", panicked)))
    }
}
