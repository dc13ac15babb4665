//! The interface of every source: the context that it receives, and the work that it returns. It knows feeds, and no particular
//! source.

use std::{fmt, future::Future, path::Path, pin::Pin, time::Duration};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    error::Result,
    feed::{Kind, Opener, Publisher},
    format::Media,
    hooks::Hooks,
    panic::{PanicScope, catch_async},
};

/// The work of a source, on its own thread, where it may block to read files. It ends when no more parts will come, or with an error
/// that ends the program.
pub type Work = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A source with validated settings: with its context, it opens its feeds and returns its work.
pub struct SourceStart(Box<dyn FnOnce(Context) -> Result<Work> + Send>);

impl SourceStart {
    /// A source with this constructor.
    pub fn new(start: impl FnOnce(Context) -> Result<Work> + Send + 'static) -> Self {
        Self(Box::new(start))
    }

    /// Starts the source.
    ///
    /// # Errors
    /// If the source cannot start.
    pub fn start(self, context: Context) -> Result<Work> {
        (self.0)(context)
    }
}

impl fmt::Debug for SourceStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceStart")
    }
}

/// The context of a source. A source that keeps it can open and remove feeds while it works; once it is dropped, the list of feeds is
/// final.
#[derive(Debug, Clone)]
pub struct Context {
    /// The right to open feeds.
    pub opener: Opener,
    /// The type of every part, if the user set one.
    pub media: Option<Media>,
    /// What the user calls the only feed of the source, if so.
    pub name: Option<String>,
    /// What runs when a feed becomes stale or live.
    pub hooks: Hooks,
    /// The runtime of its work, for tasks that it spawns.
    pub runtime: Handle,
    /// Cancelled when the program ends.
    pub shutdown: CancellationToken,
}

impl Context {
    /// A context for tests of a source, whose feeds keep repeated parts too.
    #[cfg(test)]
    pub(super) fn for_tests(media: Option<Media>) -> Self {
        use crate::{
            feed::{Limits, Registry, Settings},
            hooks::HookSettings,
        };
        let settings = Settings::new(crate::wire::Boundary::random(), Limits::new(None, 1 << 20, true));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (opener, _) = Registry::new(settings);
        let hooks = Hooks { settings: HookSettings::default(), runtime: runtime.handle().clone() };
        Self { opener, media, name: None, hooks, runtime: runtime.handle().clone(), shutdown: CancellationToken::new() }
    }

    /// Opens a feed that all viewers share, under the user's name or else this one, or with a number after it if the name is in use.
    pub fn open(&self, name: impl Into<String>, kind: Kind) -> Publisher {
        let publisher = self.opener.open(self.name_or(name), kind);
        self.hooks.watch(publisher.feed().clone(), self.shutdown.clone());
        if self.interval().is_some() {
            let feed = publisher.feed().clone();
            // After a panic the pace restarts: a feed must not stop while its source works.
            self.runtime.spawn(async move { while catch_async(PanicScope::Source, feed.keep_pace()).await.is_err() {} });
        }
        publisher
    }

    /// The type of a part: the user's, or else this one, which is known to be well-formed.
    pub fn media_or(&self, usual: &str) -> Media {
        self.media.clone().unwrap_or_else(|| Media::from_known(usual))
    }

    fn name_or(&self, usual: impl Into<String>) -> String {
        self.name.clone().unwrap_or_else(|| usual.into())
    }

    /// Offers runs under the user's name or else this one: `play` publishes one for each viewer, from the start.
    pub fn open_runs<F>(&self, name: impl Into<String>, play: impl Fn(Publisher) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = self.runtime.clone();
        let start = move |publisher| drop(runtime.spawn(catch_async(PanicScope::Source, play(publisher))));
        self.opener.mount_runs(self.name_or(name), start);
    }

    /// The least time between two parts of a feed, if the user set one: a source need not read parts that the pace would drop.
    pub fn interval(&self) -> Option<Duration> {
        self.opener.settings().interval
    }

    /// The largest body that a feed accepts, in bytes.
    pub fn part_bytes(&self) -> usize {
        self.opener.settings().limits.part_bytes
    }
}

/// The name of a path: its last component, also for `.` and `frames/`.
pub(super) fn name_of(path: &Path) -> String {
    let own = path.file_name().map(ToOwned::to_owned);
    let name = own.or_else(|| path.canonicalize().ok()?.file_name().map(ToOwned::to_owned));
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        task::{Wake, Waker},
        time::Duration,
    };

    use super::*;
    use crate::{
        feed::{Limits, Registry, Settings},
        hooks::HookSettings,
        part::Part,
        source::SourceThread,
        wire::Boundary,
    };

    /// Reports the threads that wake it: a feed wakes its loops where it has encoded a part.
    struct Reporter(mpsc::Sender<Option<String>>);

    impl Wake for Reporter {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(std::thread::current().name().map(str::to_owned));
        }
    }

    #[test]
    fn a_part_that_waited_for_its_time_is_encoded_on_the_sources_thread() {
        let limits = Limits::new(None, 1 << 20, true);
        let settings = Settings { interval: Some(Duration::from_millis(50)), ..Settings::new(Boundary::random(), limits) };
        let (opener, registry) = Registry::new(settings);
        let (thread, shutdown) = (SourceThread::new().unwrap(), CancellationToken::new());
        let runtime = thread.handle().unwrap();
        let hooks = Hooks { settings: HookSettings::default(), runtime: runtime.clone() };
        let context = Context { opener, media: None, name: None, hooks, runtime, shutdown: shutdown.clone() };
        let publisher = context.open("feed", Kind::Newest);
        let source = thread.run(Box::pin(std::future::pending()), shutdown.clone()).unwrap();
        let (sender, wakers) = mpsc::channel();
        let part = |body| Part::now(Media::from_known(Media::TEXT), body);
        publisher.publish(part("one")).unwrap();
        let _key = registry.register_waker(0, Waker::from(Arc::new(Reporter(sender))));
        publisher.publish(part("two")).unwrap();
        let waker = wakers.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!((waker.as_deref(), publisher.feed().newest().unwrap().body()), (Some("source"), &b"two"[..]));
        shutdown.cancel();
        drop(source);
    }
}
