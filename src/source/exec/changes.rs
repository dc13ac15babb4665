//! The files whose changes run a command. `watch` decides when one has changed and is whole: it publishes them into feeds that nobody
//! serves, and this counts what comes. It knows no command.

use std::{
    path::PathBuf,
    sync::Arc,
    task::{Wake, Waker},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep_until};

use crate::{
    error::Result,
    feed::{Limits, Registry, Settings},
    source::{
        context::{Context, Work},
        name_filter::NameFilter,
        watch::{self, TailSettings, WatchSettings},
    },
    wire::Boundary,
};

/// The least time between two starts: an editor that writes several files makes two runs, not twenty.
const LEAST_PAUSE: Duration = Duration::from_millis(150);
/// How long a file must have been quiet that nobody was seen to close, as for `watch`.
const SETTLE: Duration = Duration::from_millis(100);

/// The files whose changes run a command.
#[derive(Debug)]
pub(super) struct Changes {
    registry: Arc<Registry>,
    /// The changes before the last run; `None` before the first.
    seen: Option<u64>,
    changed: Arc<Changed>,
}

#[derive(Debug, Default)]
struct Changed(Notify);

impl Wake for Changed {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Changes {
    /// Those of these files, and of the files in these directories; and the work that finds them.
    ///
    /// # Errors
    /// As for `watch`.
    pub(super) fn of(paths: Vec<PathBuf>, context: &Context) -> Result<(Self, Work)> {
        // A file that was written again with the same bytes has changed, too.
        let limits = Limits::new(None, context.part_bytes(), true);
        let (opener, registry) = Registry::new(Settings::new(Boundary::random(), limits));
        let tail = TailSettings { names: Vec::new(), lines: 0, window: None };
        let settings = WatchSettings { paths, names: NameFilter::default(), tail, settle: SETTLE, poll: None };
        let changed = Arc::<Changed>::default();
        registry.register_waker(0, Waker::from(changed.clone()));
        let work = watch::source(settings, &Context { opener, media: None, name: None, ..context.clone() })?;
        Ok((Self { registry, seen: None, changed }, work))
    }

    /// Whether there was a change since the last call, or this is the first one.
    pub(super) fn take(&mut self) -> bool {
        let count = Some(self.count());
        std::mem::replace(&mut self.seen, count) != count
    }

    /// Forgets the last call: the run was not finished.
    pub(super) fn forget(&mut self) {
        self.seen = None;
    }

    /// Waits for a change since the last `take`, at which the last run began.
    pub(super) async fn wait(&mut self, began: tokio::time::Instant) {
        while self.seen == Some(self.count()) {
            self.changed.0.notified().await;
        }
        sleep_until(began + LEAST_PAUSE).await;
    }

    fn count(&self) -> u64 {
        let feeds = self.registry.list();
        feeds.iter().filter_map(|mounted| Some(mounted.mount.shared()?.state().published)).sum()
    }
}
