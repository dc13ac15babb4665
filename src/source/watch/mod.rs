//! Watched files as a source: events say when to look, `target` decides what is seen. A look every second finds what no
//! event told: a write through a hard link elsewhere, a directory that was deleted and made again.

mod index;
mod path;
mod resolve;
mod scan;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use self::{index::PathIndex, path::WatchedPath};
use super::{
    context::{Context, Work, name_of},
    fs_events::Watcher,
    name_filter::NameFilter,
};
use crate::{
    error::Result,
    feed::Kind,
    panic::{PanicScope, catch},
};

/// How often to look without an event: what is found, and has rested, is shown within a second.
const PATROL: Duration = Duration::from_millis(700);
/// The same where the file system does not tell of changes.
const POLL: Duration = Duration::from_millis(300);

/// What to watch.
#[derive(Debug)]
pub struct WatchSettings {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Which files of a directory.
    pub names: NameFilter,
    /// How long a file must have been quiet that nobody was seen to close.
    pub settle: Duration,
    /// Look this often instead of waiting for events.
    pub poll: Option<Duration>,
}

/// Watched paths as a source: a feed each.
///
/// # Errors
/// None: a path that is not there yet is waited for.
pub fn source(watch: WatchSettings, context: &Context) -> Result<Work> {
    let mut targets = Vec::new();
    for path in watch.paths {
        let publisher = context.open(name_of(&path), Kind::Newest);
        let (names, media) = (watch.names.clone(), context.media.clone());
        targets.push(WatchedPath::new(path, names, media, watch.settle, context.interval(), publisher));
    }
    // What is there already is the newest part before anybody can ask.
    for target in &mut targets {
        target.patrol(true);
        look(target);
    }
    Ok(Box::pin(work(targets, watch.poll)))
}

async fn work(mut targets: Vec<WatchedPath>, poll: Option<Duration>) -> Result<()> {
    let interval = interval(&targets, poll);
    let mut notices = if poll.is_none() { Watcher::new() } else { Watcher::none() };
    let mut routes = PathIndex::of(targets.iter().map(WatchedPath::resolved));
    let mut patrol = Instant::now();
    loop {
        if patrol <= Instant::now() {
            if targets.iter_mut().filter_map(|target| target.resolve().then_some(())).count() > 0 {
                routes = PathIndex::of(targets.iter().map(WatchedPath::resolved));
            }
            notices.watch(&targets.iter().flat_map(|target| target.resolved().directories()).collect());
            let listens = interval == PATROL && notices.listens();
            targets.iter_mut().for_each(|target| target.patrol(listens));
            patrol = Instant::now() + interval;
        }
        let next = targets.iter().filter_map(WatchedPath::due).min().map_or(patrol, |due| due.min(patrol));
        tokio::select! {
            () = notices.news() => {}
            () = sleep_until(next) => {}
        }
        hear(&mut notices, &mut routes, &mut targets);
        for at in 0..targets.len() {
            // Another one's look may have taken its time, and what happened meanwhile counts.
            if targets[at].is_due() {
                hear(&mut notices, &mut routes, &mut targets);
                look(&mut targets[at]);
            }
        }
    }
}

fn hear(notices: &mut Watcher, routes: &mut PathIndex, targets: &mut [WatchedPath]) {
    let heard = notices.take();
    for (at, paths) in routes.affected(&heard) {
        if targets[at].hear(&heard, &paths) {
            routes.add(at, targets[at].resolved());
        }
    }
}

/// A file that mxr itself breaks on is passed over like one that is not whole: the other feeds live on, and so does this.
fn look(target: &mut WatchedPath) {
    if catch(PanicScope::Source, || target.look_if_due()).is_err() {
        target.pass_over();
    }
}

/// How often to look without an event, as the user or the file systems have it. The log says which.
fn interval(targets: &[WatchedPath], poll: Option<Duration>) -> Duration {
    if let Some(poll) = poll {
        info!(every = ?poll, "looking for changes, as --poll says");
        return poll;
    }
    let mut interval = if cfg!(target_os = "linux") { PATROL } else { POLL };
    for path in targets.iter().map(WatchedPath::path) {
        if let Some(file_system) = resolve::silent_file_system(existing(path)) {
            let path = path.display();
            warn!(%path, file_system, every = ?POLL, "this file system does not tell of every change; looking for changes as well");
            interval = POLL;
        }
    }
    interval
}

/// The path, or the nearest directory above it that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        task::{Wake, Waker},
    };

    use super::*;
    use crate::{
        feed::{Feed, Limits, Settings},
        wire::Boundary,
    };

    /// Somebody who watches a feed and panics at the news.
    struct Nervous;

    impl Wake for Nervous {
        fn wake(self: Arc<Self>) {
            panic!("news");
        }
    }

    #[tokio::test]
    async fn a_file_that_panics_is_passed_over_and_the_next_is_pushed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let settings = Settings::new(Boundary::random(), Limits::new(None, 1000, false));
        let (publisher, feed) = Feed::new("a.txt", Kind::Newest, &settings);
        let mut target = WatchedPath::new(path.clone(), NameFilter::default(), None, Duration::ZERO, None, publisher);
        let mut push = |text: &str| {
            std::fs::write(&path, text).unwrap();
            target.patrol(false);
            look(&mut target);
        };
        let key = feed.register_waker(0, Waker::from(Arc::new(Nervous)));
        push("one");
        feed.remove_waker(0, key);
        push("and two");
        assert_eq!(feed.newest().unwrap().body(), b"and two");
    }
}
