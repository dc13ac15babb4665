//! Watched files as a source: events say when to look at a path, and `settling` decides what is shown of it. A look at each
//! path every second finds what no event told: a write through a hard link elsewhere, a directory that was deleted and made
//! again. A log is a feed of its lines instead. Nothing here knows how parts travel.

mod entry;
mod growth;
mod index;
mod log;
mod path;
mod resolve;
mod scan;
mod settings;
mod settling;
mod tail;
mod tailed_dir;
mod tailed_file;
mod tailed_path;

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

pub use self::settings::{TailSettings, WatchSettings};
use self::{entry::Entry, index::PathIndex, path::PathSettings, resolve::ResolvedDirectories, scan::DirScan};
use super::{
    context::{Context, Work},
    file_systems::silent_file_system,
    fs_events::{Change, Watcher},
    name_filter::NameFilter,
    writers::FileWriters,
};
use crate::{
    error::Result,
    panic::{PanicScope, catch},
};

/// How often to look without an event: a change that is found so, and has rested, shows within a second.
const CHECK_INTERVAL: Duration = Duration::from_millis(700);
/// The same where events do not tell of every change.
const SHORT_CHECK_INTERVAL: Duration = Duration::from_millis(300);
/// How long the start waits for files that were written just before.
const START: Duration = Duration::from_millis(200);

/// Watched paths as a source: a feed each, and one for each log of a directory.
///
/// # Errors
/// None: a path that is not there yet is waited for.
pub fn source(watch: WatchSettings, context: &Context) -> Result<Work> {
    let settings = PathSettings {
        filter: watch.names,
        media: context.media.clone(),
        settle: watch.settle,
        interval: context.interval(),
        writers: FileWriters::new(context).into(),
    };
    let tail = Arc::new(watch.tail);
    let mut paths: Vec<_> = watch.paths.into_iter().flat_map(|path| Entry::of(path, &settings, &tail, context)).collect();
    show_what_is_there(&mut paths);
    Ok(Box::pin(work(paths, watch.poll)))
}

/// The file of a directory that is shown at first, and how many there are to choose from.
///
/// # Errors
/// If the directory cannot be listed.
pub(crate) fn newest_file(directory: &Path) -> std::io::Result<(Option<PathBuf>, usize)> {
    let (filter, files) = (NameFilter::default(), Cell::new(0));
    let wants = |path: &Path| {
        let is_wanted = path.file_name().is_some_and(|name| filter.matches(name)) && path.is_file();
        files.set(files.get() + usize::from(is_wanted));
        is_wanted
    };
    let newest = DirScan::default().list(directory, wants, false)?;
    Ok((newest, files.get()))
}

/// Files that exist already are the newest parts before a viewer can ask; also those that were written just before.
fn show_what_is_there(paths: &mut [Entry]) {
    let deadline = Instant::now() + START;
    paths.iter_mut().for_each(|path| path.check(true));
    loop {
        paths.iter_mut().filter(|path| path.is_due()).for_each(look);
        let due = paths.iter().filter(|path| path.is_on_its_way()).filter_map(Entry::due).min();
        match due.filter(|due| *due < deadline) {
            Some(due) => std::thread::sleep(due.saturating_duration_since(Instant::now())),
            None => return,
        }
    }
}

async fn work(mut paths: Vec<Entry>, poll: Option<Duration>) -> Result<()> {
    let mut watcher = if poll.is_none() { Watcher::new() } else { Watcher::none() };
    let interval = check_interval(&paths, poll, &watcher);
    let mut index = PathIndex::default();
    let mut next_check = Instant::now();
    loop {
        if next_check <= Instant::now() {
            check(&mut watcher, &mut index, &mut paths, interval == CHECK_INTERVAL);
            next_check = Instant::now() + interval;
        }
        let due = paths.iter().filter_map(Entry::due).min();
        if due.is_some_and(|due| due <= Instant::now()) {
            // An event came while a path was looked at. A timer would cost a millisecond: it is no finer.
            yield_now().await;
        } else {
            tokio::select! {
                () = watcher.readable() => {}
                () = sleep_until(due.map_or(next_check, |due| due.min(next_check))) => {}
            }
        }
        apply_events(&mut watcher, &mut index, &mut paths);
        for at in 0..paths.len() {
            if paths[at].is_due() {
                look(&mut paths[at]);
                // The next look has to know of these events. Those of our own reading are among them, and would wake us again.
                apply_events(&mut watcher, &mut index, &mut paths);
            }
        }
        for mut path in paths.iter_mut().filter_map(Entry::split).collect::<Vec<_>>() {
            path.check(true);
            index.add(paths.len(), path.resolved());
            paths.push(path);
        }
    }
}

/// Looks at every path without an event. `trusts_events`: the file systems tell of changes.
fn check(watcher: &mut Watcher, index: &mut PathIndex, paths: &mut [Entry], trusts_events: bool) {
    let (mut directories, mut has_moved) = (ResolvedDirectories::default(), false);
    let has_events = trusts_events && watcher.is_complete();
    for path in &mut *paths {
        has_moved |= path.patrol(&mut directories, has_events);
    }
    if has_moved || index.is_empty() {
        *index = PathIndex::of(paths.iter().map(Entry::resolved));
    }
    watcher.watch(&paths.iter().flat_map(|path| path.resolved().directories()).collect());
}

fn apply_events(watcher: &mut Watcher, index: &mut PathIndex, paths: &mut [Entry]) {
    let batch = watcher.take();
    if batch.paths.values().any(|events| events.change == Change::Moved) {
        paths.iter_mut().for_each(|path| path.note_moves(&batch));
    }
    for (at, affecting) in index.affected(&batch) {
        if paths[at].apply(&batch, &affecting) {
            index.add(at, paths[at].resolved());
        }
    }
}

/// Looks at a path. A file that makes mxr panic is skipped like an incomplete one: its feed and the others live on.
fn look(path: &mut Entry) {
    if catch(PanicScope::Source, || path.look_if_due()).is_err() {
        path.skip();
    }
}

/// How often to look without an event: as the user says, or the backend and the file systems allow. The log says which.
fn check_interval(paths: &[Entry], poll: Option<Duration>, watcher: &Watcher) -> Duration {
    if let Some(poll) = poll {
        info!(every = ?poll, "looking for changes, as --poll says");
        return poll;
    }
    let mut interval = if watcher.reports_closes() { CHECK_INTERVAL } else { SHORT_CHECK_INTERVAL };
    for path in paths.iter().map(Entry::path) {
        if let Some(file_system) = silent_file_system(existing(path)) {
            interval = SHORT_CHECK_INTERVAL;
            let path = path.display();
            warn!(%path, file_system, every = ?interval, "this file system does not tell of every change; looking for changes as well");
        }
    }
    interval
}

/// The path, or the nearest directory above it that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use super::{path::WatchedPath, *};
    use crate::{
        feed::{Feed, Kind, Limits, Settings},
        wire::Boundary,
    };

    /// A viewer that panics when there is a new part.
    struct PanickingViewer;

    impl Wake for PanickingViewer {
        fn wake(self: Arc<Self>) {
            panic!("a new part");
        }
    }

    #[tokio::test]
    async fn a_file_that_makes_us_panic_is_skipped_and_the_next_is_pushed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        let settings = Settings::new(Boundary::random(), Limits::new(None, 1000, false));
        let (publisher, feed) = Feed::new("a.txt", Kind::Newest, &settings);
        let mut path = Entry::Whole(WatchedPath::new(file.clone(), &PathSettings::default(), publisher));
        let mut push = |text: &str| {
            std::fs::write(&file, text).unwrap();
            path.check(false);
            while let Some(due) = path.due() {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                look(&mut path);
            }
        };
        let key = feed.register_waker(0, Waker::from(Arc::new(PanickingViewer)));
        push("one");
        feed.remove_waker(0, key);
        push("and two");
        assert_eq!(feed.newest().unwrap().body(), b"and two");
    }
}
