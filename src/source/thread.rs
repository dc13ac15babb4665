//! The thread on which sources work, so that a slow disk delays no viewer. It knows the work of a source, not its feeds.

use std::{thread, time::Duration};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use super::context::Work;
use crate::{
    error::{Error, Result},
    panic::{PanicScope, catch_async},
};

/// The thread, which `run` starts; its runtime exists before that.
#[derive(Debug)]
pub struct SourceThread(Option<Runtime>);

impl SourceThread {
    /// Creates the runtime.
    ///
    /// # Errors
    /// If the system cannot provide one.
    pub fn new() -> Result<Self> {
        Ok(Self(Some(Builder::new_current_thread().enable_all().build().map_err(cannot_start)?)))
    }

    /// A handle to spawn tasks on its runtime.
    ///
    /// # Errors
    /// None before `run`, which takes the runtime.
    pub fn handle(&self) -> Result<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone()).ok_or_else(|| cannot_start("it has run"))
    }

    /// Runs the work to its end, or until `shutdown`; tasks that it has spawned run until `shutdown`. The future returns the result of
    /// the work.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn run(mut self, work: Work, shutdown: CancellationToken) -> Result<impl Future<Output = Result<()>>> {
        let (report, result) = oneshot::channel();
        let runtime = self.0.take().ok_or_else(|| cannot_start("it has run"))?;
        let body = move || {
            runtime.block_on(async {
                let work = catch_async(PanicScope::Source, work);
                let result = tokio::select! {
                    result = work => result.unwrap_or_else(|panicked| Err(Error::new("go on with the source", panicked))),
                    () = shutdown.cancelled() => Ok(()),
                };
                let _ = report.send(result);
                // Runs for single viewers continue after the work has ended.
                shutdown.cancelled().await;
            });
            runtime.shutdown_timeout(Duration::ZERO);
        };
        thread::Builder::new().name("source".to_owned()).spawn(body).map_err(cannot_start)?;
        Ok(async move { result.await.unwrap_or_else(|_| Err(Error::new("go on with the source", "its thread panicked"))) })
    }
}

fn cannot_start(error: impl std::fmt::Display) -> Error {
    Error::new("start the source's thread", error)
}

impl Drop for SourceThread {
    fn drop(&mut self) {
        // Dropping a runtime in async code panics.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ExitCode,
        feed::{Feed, Kind, Limits, Settings},
        wire::Boundary,
    };

    async fn outcome(work: Work) -> (Result<()>, CancellationToken) {
        let shutdown = CancellationToken::new();
        (SourceThread::new().unwrap().run(work, shutdown.clone()).unwrap().await, shutdown)
    }

    #[tokio::test]
    async fn a_source_that_panics_ends_with_an_error() {
        let (result, shutdown) = outcome(Box::pin(async { panic!("lost count") })).await;
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "mxr: cannot go on with the source: a bug in mxr: lost count");
        assert_eq!(error.code(), ExitCode::Failure);
        shutdown.cancel();
    }

    #[tokio::test]
    async fn a_run_that_panics_ends_only_for_its_viewer() {
        let thread = SourceThread::new().unwrap();
        let runtime = thread.handle().unwrap();
        let shutdown = CancellationToken::new();
        let settings = Settings::new(Boundary::random(), Limits::new(None, 1, false));
        let (publisher, feed) = Feed::new("run", Kind::Run, &settings);
        let result = thread.run(Box::pin(std::future::pending()), shutdown.clone()).unwrap();
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
