//! What every source is given and what it gives back.

use std::{fmt, future::Future, path::Path, pin::Pin, time::Duration};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    error::Result,
    feed::{Kind, Opener, Publisher},
    format::Media,
    panic::{PanicScope, catch_async},
};

/// The work of a source, run on a thread of its own: it may read files without asking. It ends when there will be no more parts, or
/// with an error that ends the program.
pub type Work = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A source whose settings are known and make sense: given its context, it opens its feeds and gives its work.
pub struct Start(Box<dyn FnOnce(Context) -> Result<Work> + Send>);

impl Start {
    /// By this constructor.
    pub fn new(start: impl FnOnce(Context) -> Result<Work> + Send + 'static) -> Self {
        Self(Box::new(start))
    }

    /// Starts.
    ///
    /// # Errors
    /// Where the source cannot start.
    pub fn start(self, context: Context) -> Result<Work> {
        (self.0)(context)
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Start")
    }
}

/// What every source is given. A source that keeps it can open and remove feeds as long as it works; once it is dropped, no feed will
/// come any more.
#[derive(Debug, Clone)]
pub struct Context {
    /// The right to open feeds.
    pub opener: Opener,
    /// The type of every part, where the user gave one.
    pub media: Option<Media>,
    /// Where its work runs: for what it spawns.
    pub runtime: Handle,
    /// Cancelled when the program ends.
    pub shutdown: CancellationToken,
}

impl Context {
    /// One for tests of a source: it keeps every part, whatever it is.
    #[cfg(test)]
    pub(super) fn for_tests(media: Option<Media>) -> Self {
        use crate::feed::{Limits, Registry, Settings};
        let settings = Settings::new(crate::wire::Boundary::random(), Limits::new(None, 1 << 20, true));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (opener, _) = Registry::new(settings);
        Self { opener, media, runtime: runtime.handle().clone(), shutdown: CancellationToken::new() }
    }

    /// Opens a feed that all viewers share, under this name or, where it is taken, one with a number behind it.
    pub fn open(&self, name: impl Into<String>, kind: Kind) -> Publisher {
        let publisher = self.opener.open(name, kind);
        if self.interval().is_some() {
            let feed = publisher.feed().clone();
            // A pace that broke begins anew: a feed must not stand still while its source works.
            self.runtime.spawn(async move { while catch_async(PanicScope::Source, feed.keep_pace()).await.is_err() {} });
        }
        publisher
    }

    /// Offers runs under this name: `play` fills one for each viewer, from its start.
    pub fn open_runs<F>(&self, name: impl Into<String>, play: impl Fn(Publisher) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = self.runtime.clone();
        let start = move |publisher| drop(runtime.spawn(catch_async(PanicScope::Source, play(publisher))));
        self.opener.mount_runs(name, start);
    }

    /// The least time between two parts of a feed, where the user set one: what would only be thinned out need not be read.
    pub fn interval(&self) -> Option<Duration> {
        self.opener.registry().settings().interval
    }

    /// The largest body that a feed takes, in bytes.
    pub fn part_bytes(&self) -> usize {
        self.opener.registry().settings().limits.part_bytes
    }
}

/// What a path is called: its last component, also of `.` and `frames/`.
pub(super) fn name_of(path: &Path) -> String {
    let own = path.file_name().map(ToOwned::to_owned);
    let name = own.or_else(|| path.canonicalize().ok()?.file_name().map(ToOwned::to_owned));
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
