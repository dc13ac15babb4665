//! A directory of frames as a source, replayed in natural order: as a loop, once for each viewer, or as they come. What a frame
//! is and when it is complete is for `frame_cache` to know.

mod frame_cache;
mod run_frames;

use std::{collections::HashSet, ffi::OsString, io, path::PathBuf, sync::Arc, time::Duration};

use self::{
    frame_cache::{FrameCache, SETTLE},
    run_frames::RunFrames,
};
use super::{
    context::{Context, Work, name_of},
    fs_events::{EventBatch, Watcher},
    natural_order::compare,
};
use crate::{
    error::{Error, Result},
    feed::{Kind, Publisher},
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How often the directory is listed without an event: for new frames, and for those that were left out.
const LIST_INTERVAL: Duration = Duration::from_secs(1);

pub use self::frame_cache::{DirSettings, Mode};

/// A directory as a source.
///
/// # Errors
/// Where the directory cannot be read.
pub fn source(dir: DirSettings, context: &Context) -> Result<Work> {
    let cannot = |error| Error::new(format!("read the directory {}", dir.path.display()), error);
    std::fs::read_dir(&dir.path).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => cannot(error).hint("to push one file, use `mxr watch FILE`"),
        _ => cannot(error),
    })?;
    let (name, interval) = (name_of(&dir.path), dir.interval);
    let frames = FrameCache::new(&dir, context.media.clone(), context.part_bytes());
    if dir.mode == Mode::Once {
        let frames = Arc::new(RunFrames::new(frames));
        context.open_runs(name, move |publisher| play_once(frames.clone(), interval, publisher));
        return Ok(Box::pin(std::future::pending()));
    }
    let publisher = context.open(name, Kind::Newest);
    Ok(Box::pin(async move {
        match dir.mode {
            Mode::Follow => follow(&frames, interval, &publisher).await,
            _ => play_in_a_loop(&frames, interval, &publisher).await,
        }
        Ok(())
    }))
}

async fn play_in_a_loop(frames: &FrameCache, interval: Duration, publisher: &Publisher) {
    let mut ticker = Ticker::new(interval);
    let mut listed = None;
    let mut list = Vec::new();
    loop {
        // A round may be as short as one frame: new frames, and those that were left out, are not looked for in each.
        if listed.is_none_or(|listed: Instant| listed.elapsed() >= LIST_INTERVAL) {
            (list, listed) = (frames.list(), Some(Instant::now()));
        }
        let mut shown = Vec::new();
        for path in list {
            if let Some(frame) = frames.read(&path, publisher) {
                ticker.tick().await;
                frames.push(publisher, frame.part, &path);
                shown.push(path);
            }
        }
        list = shown;
        if list.is_empty() {
            frames.say_empty();
            sleep(LIST_INTERVAL).await;
        }
    }
}

async fn play_once(frames: Arc<RunFrames>, interval: Duration, publisher: Publisher) {
    let mut ticker = Ticker::new(interval);
    let mut paths = frames.frames.list().into_iter();
    let is_accepted = |path: &PathBuf| frames.get(path, &publisher).is_some();
    let mut next = paths.find(is_accepted);
    // Between two frames a run holds neither: it would be in memory for this viewer alone.
    while let Some(path) = next {
        ticker.tick().await;
        if !publisher.room().await {
            return;
        }
        let frame = frames.get(&path, &publisher);
        // One ahead, so that the last is known when it is published and the close-delimiter follows it directly.
        next = paths.find(is_accepted);
        if let Some(frame) = frame {
            publisher.publish_prepared(&frame, next.is_none());
        }
        tokio::task::yield_now().await;
    }
}

async fn follow(frames: &FrameCache, interval: Duration, publisher: &Publisher) {
    let mut ticker = Ticker::new(interval);
    let mut watcher = Watcher::new();
    let mut played: HashSet<OsString> = HashSet::new();
    let mut finished: HashSet<OsString> = HashSet::new();
    loop {
        watcher.watch(&HashSet::from([frames.directory.as_path()]));
        let list = frames.list();
        played.retain(|name| list.binary_search_by(|path| compare(path.file_name().unwrap_or_default(), name)).is_ok());
        let mut wait = LIST_INTERVAL;
        for path in list {
            let name = path.file_name().unwrap_or_default().to_owned();
            // A frame that is not complete yet is played when it is.
            if !played.contains(&name)
                && let Some(frame) = frames.read(&path, publisher)
            {
                if frame.may_grow() && !finished.contains(&name) {
                    wait = SETTLE;
                    continue;
                }
                ticker.tick().await;
                frames.push(publisher, frame.part, &path);
                played.insert(name);
            }
        }
        if played.is_empty() && wait == LIST_INTERVAL {
            frames.say_empty();
        }
        let batch = changes(&mut watcher, wait).await;
        finished = batch.finished().filter_map(|path| path.file_name().map(ToOwned::to_owned)).collect();
    }
}

/// The events since the last time as soon as there are changes among them, or after `wait`. Files that are read, by mxr among
/// others, have not changed.
async fn changes(watcher: &mut Watcher, wait: Duration) -> EventBatch {
    let deadline = Instant::now() + wait;
    loop {
        let batch = watcher.take();
        if batch.has_changes() || deadline <= Instant::now() {
            return batch;
        }
        // A timeout is seen above.
        let _ = timeout_at(deadline, watcher.readable()).await;
    }
}

/// Ticks every interval; what came too late is not made up for.
struct Ticker {
    next: Instant,
    interval: Duration,
}

impl Ticker {
    fn new(interval: Duration) -> Self {
        Self { next: Instant::now(), interval }
    }

    async fn tick(&mut self) {
        sleep_until(self.next).await;
        self.next = (self.next + self.interval).max(Instant::now());
    }
}
