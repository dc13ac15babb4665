//! mxr turns what a program produces into a live push feed over HTTP `multipart/x-mixed-replace`.
//!
//! ```text
//!   source ──▶ Part ──▶ Feed ──▶ wire::encode (once) ──▶ Subscription ──▶ http::stream ──▶ sockets
//!   demo dir            newest part,                     a cursor,        one loop over
//!   watch stdin         bounded history                  newest or every  the viewers
//! ```
//!
//! - [`cli`] what may be typed, [`config`] what it means, [`command`] one invocation, [`error`] how a failure is told
//! - [`source`] produces [`part`]s; [`whole`] knows when one is complete; `file` reads what was there at one moment
//! - [`feed`] holds the newest parts, [`wire`] writes their bytes, [`stats`] counts viewers, [`mod@contain`] keeps panics in
//! - [`http`] answers requests and fans parts out, on what [`listen`] and [`tls`] open; [`terminal`] is standard error,
//!   where `visible` shows control characters as escapes, [`systemd`] is told how it goes
//!
//! `http` never imports `source`, `source` never imports `http`; only this file and `config` see both.

#![cfg_attr(not(feature = "io-uring"), forbid(unsafe_code))]

pub mod auth;
pub mod cli;
pub mod config;
pub mod conn;
pub mod error;
mod escape;
mod fanout;
pub mod feed;
mod file;
pub mod format;
pub mod http;
mod net;
pub mod panic;
pub mod part;
pub mod run;
pub mod source;
pub mod stats;
mod sync;
pub mod systemd;
pub mod terminal;
pub mod wire;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    config::Config,
    conn::listen::Listener,
    error::{Error, Result},
    feed::Registry,
    source::{Context, SourceThread, Work},
    stats::Viewers,
    terminal::Terminal,
};

/// A server that lacks nothing but its socket: its source is there and makes sense.
pub struct Server {
    thread: SourceThread,
    work: Work,
    registry: Arc<Registry>,
    viewers: Arc<Viewers>,
    http: http::Options,
    exit_at_end: bool,
    shutdown: CancellationToken,
}

impl Server {
    /// Opens the source; `shutdown` ends it and the server.
    ///
    /// # Errors
    /// Where the source cannot start.
    pub fn new(config: Config, shutdown: CancellationToken) -> Result<Self> {
        let thread = SourceThread::new()?;
        let (opener, registry) = Registry::new(config.feeds);
        let context = Context { opener, media: config.media, runtime: thread.handle()?, shutdown: shutdown.clone() };
        let work = config.source.start(context)?;
        let viewers = Viewers::with_limits(config.max_viewers, config.max_viewers_per_address);
        Ok(Self { thread, work, registry, viewers, http: config.http, exit_at_end: config.exit_at_end, shutdown })
    }

    /// Who may look.
    pub fn access(&mut self) -> &mut auth::Access {
        &mut self.http.access
    }

    /// How it is served.
    pub fn http(&self) -> &http::Options {
        &self.http
    }

    /// Serves until the work is done or `shutdown` is cancelled; then every viewer has had its close-delimiter.
    ///
    /// # Errors
    /// Where the source fails for good.
    pub async fn run(self, listeners: Vec<Listener>, terminal: Terminal) -> Result<()> {
        let Self { thread, work, registry, viewers, http, exit_at_end, shutdown } = self;
        let line = tokio::spawn(terminal.clone().show(registry.clone(), viewers.clone()));
        let server = http::serve(listeners, registry.clone(), viewers, http, shutdown.clone());
        let worked = thread.run(work, shutdown.clone())?;
        let supervise = async {
            let result = worked.await;
            if result.is_ok() && !exit_at_end && !shutdown.is_cancelled() {
                info!("the input has ended; its last parts are served until Ctrl-C");
                shutdown.cancelled().await;
            }
            shutdown.cancel();
            registry.end();
            result
        };
        let (result, served) = tokio::join!(supervise, server);
        line.abort();
        result.and(served.map_err(|panicked| Error::new("go on serving", panicked)))
    }
}
