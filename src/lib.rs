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

use std::{sync::Arc, thread, time::Duration};

use tokio::{runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    config::{Config, SourceConfig},
    conn::listen::Listener,
    error::{Error, Result},
    feed::Mount,
    panic::{PanicScope, catch_async},
    source::{Source, Work, demo, replay, stdin, watch},
    stats::Viewers,
    terminal::Terminal,
};

/// A server that lacks nothing but its socket: its source is there and makes sense.
pub struct Server {
    workshop: Workshop,
    work: Work,
    mounts: Arc<Vec<Mount>>,
    viewers: Arc<Viewers>,
    http: http::Options,
    exit_at_end: bool,
}

impl Server {
    /// Opens the source.
    ///
    /// # Errors
    /// Where the source cannot start.
    pub fn new(config: Config) -> Result<Self> {
        let workshop = Workshop::open()?;
        let Source { mounts, work } = source(config.source, config.feeds, &workshop.runtime)?;
        let (mounts, viewers) = (Arc::new(mounts), Viewers::with_limits(config.max_viewers, config.max_viewers_per_address));
        Ok(Self { workshop, work, mounts, viewers, http: config.http, exit_at_end: config.exit_at_end })
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
    pub async fn run(self, listeners: Vec<Listener>, terminal: Terminal, shutdown: CancellationToken) -> Result<()> {
        let live: Vec<_> = self.mounts.iter().filter_map(Mount::live).cloned().collect();
        for feed in &live {
            let feed = feed.clone();
            // A pace that broke begins anew: a feed must not stand still while its source works.
            tokio::spawn(async move { while catch_async(PanicScope::Source, feed.keep_pace()).await.is_err() {} });
        }
        let line = tokio::spawn(terminal.clone().show(self.mounts.clone(), self.viewers.clone()));
        let server = http::serve(listeners, self.mounts, self.viewers, self.http, shutdown.clone());
        let worked = self.workshop.start(self.work, shutdown.clone())?;
        let supervise = async {
            let result = worked.await;
            if result.is_ok() && !self.exit_at_end && !shutdown.is_cancelled() {
                info!("the input has ended; its last parts are served until Ctrl-C");
                shutdown.cancelled().await;
            }
            shutdown.cancel();
            live.iter().for_each(|feed| feed.end());
            result
        };
        let (result, served) = tokio::join!(supervise, server);
        line.abort();
        result.and(served.map_err(|panicked| Error::new("go on serving", panicked)))
    }
}

fn source(config: SourceConfig, feeds: source::FeedSettings, workshop: &runtime::Handle) -> Result<Source> {
    match config {
        SourceConfig::Demo => Ok(demo::source(feeds, workshop.clone())),
        SourceConfig::Dir(dir) => replay::source(dir, feeds, workshop.clone()),
        SourceConfig::Watch(watch) => Ok(watch::source(watch, &feeds)),
        SourceConfig::Stdin(stdin) => stdin::source(&stdin, &feeds),
    }
}

/// The work, what ends it, and where to report.
type Job = (Work, CancellationToken, oneshot::Sender<Result<()>>);

/// The thread on which sources work: a slow disk there holds up no viewer here.
struct Workshop {
    runtime: runtime::Handle,
    jobs: oneshot::Sender<Job>,
}

impl Workshop {
    fn open() -> Result<Self> {
        let cannot = |error| Error::new("start the source's thread", error);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let handle = runtime.handle().clone();
        let (jobs, job) = oneshot::channel::<Job>();
        let body = move || {
            runtime.block_on(async {
                let Ok((work, shutdown, report)) = job.await else { return };
                let work = catch_async(PanicScope::Source, work);
                let result = tokio::select! {
                    result = work => result.unwrap_or_else(|panicked| Err(Error::new("go on with the source", panicked))),
                    () = shutdown.cancelled() => Ok(()),
                };
                let _ = report.send(result);
                // Runs of single viewers go on after a shared source has ended.
                shutdown.cancelled().await;
            });
            runtime.shutdown_timeout(Duration::ZERO);
        };
        thread::Builder::new().name("source".to_owned()).spawn(body).map_err(cannot)?;
        Ok(Self { runtime: handle, jobs })
    }

    fn start(self, work: Work, shutdown: CancellationToken) -> Result<impl Future<Output = Result<()>>> {
        let broke = || Error::new("go on with the source", "its thread broke down");
        let (report, result) = oneshot::channel();
        self.jobs.send((work, shutdown, report)).map_err(|_| broke())?;
        Ok(async move { result.await.unwrap_or_else(|_| Err(broke())) })
    }
}

#[cfg(test)]
mod tests {
    use crate::*;

    async fn outcome(work: Work) -> (Result<()>, CancellationToken) {
        let shutdown = CancellationToken::new();
        (Workshop::open().unwrap().start(work, shutdown.clone()).unwrap().await, shutdown)
    }

    #[tokio::test]
    async fn a_source_that_panics_ends_with_its_error_and_not_in_silence() {
        let (result, shutdown) = outcome(Box::pin(async { panic!("lost count") })).await;
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "mxr: cannot go on with the source: a bug in mxr: lost count");
        assert_eq!(error.code(), error::ExitCode::Failure);
        shutdown.cancel();
    }

    #[tokio::test]
    async fn a_run_that_panics_ends_for_its_viewer_and_the_source_lives() {
        let workshop = Workshop::open().unwrap();
        let runtime = workshop.runtime.clone();
        let shutdown = CancellationToken::new();
        let limits = feed::Limits { history: 1, held: 1, held_bytes: 1, part_bytes: 1, keep_same: false };
        let (publisher, feed) = feed::Feed::new("run", feed::Kind::Run, wire::Boundary::random(), limits, 1);
        let result = workshop.start(Box::pin(std::future::pending()), shutdown.clone()).unwrap();
        let run = catch_async(PanicScope::Source, async move {
            let _publisher = publisher;
            panic!("in mid-run");
        });
        let run: std::result::Result<(), _> = runtime.spawn(run).await.unwrap();
        assert!(run.is_err() && feed.has_ended());
        assert_eq!(runtime.spawn(async { 1 }).await.unwrap(), 1);
        shutdown.cancel();
        result.await.unwrap();
    }
}
