//! A directory of frames as a source, replayed in natural order: as a loop, once for each viewer, or as they come. What a frame
//! is and when it is complete is for `frame_cache` to know, which frames there are for `listing`.

mod follow;
mod frame_cache;
mod listing;
mod player;
mod run_frames;
mod ticker;

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use self::{
    frame_cache::FrameCache,
    listing::{CHECK_INTERVAL, FrameName, Listing},
    player::Player,
    run_frames::RunFrames,
    ticker::Ticker,
};
use super::{
    context::{Context, Work, name_of},
    writers::FileWriters,
};
use crate::{
    error::{Error, Result},
    feed::{Kind, Publisher},
};

pub use self::frame_cache::{DirSettings, Mode};

/// Why there is nothing to play at a path, which may be meant as something else.
fn unreadable(path: &Path, error: io::Error) -> Error {
    let typed = path.to_string_lossy();
    match error.kind() {
        io::ErrorKind::NotFound if typed.starts_with("http://") || typed.starts_with("https://") => {
            let error = Error::new(format!("serve {typed}"), "it is a URL, no file and no directory");
            error.hint(format!("mxr relay {typed}"))
        }
        io::ErrorKind::NotFound => Error::new(format!("serve {typed}"), "there is no such file or directory"),
        io::ErrorKind::NotADirectory if path.exists() => {
            let error =
                Error::new(format!("serve {typed} with --glob"), "--glob selects from a directory of frames, and this is a file");
            error.hint("a recording is played without --glob; to push one file, use `mxr watch FILE`")
        }
        _ => Error::new(format!("read the directory {typed}"), error),
    }
}

/// A directory as a source.
///
/// # Errors
/// Where the directory cannot be read.
pub fn source(dir: DirSettings, context: &Context) -> Result<Work> {
    std::fs::read_dir(&dir.path).map_err(|error| unreadable(&dir.path, error))?;
    let (name, interval) = (name_of(&dir.path), dir.interval);
    let frames = FrameCache::new(&dir, context.media.clone(), context.part_bytes(), FileWriters::new(context));
    let mut listing = Listing::new(&dir);
    if dir.mode == Mode::Once {
        let frames = Arc::new(RunFrames::new(frames, listing));
        let runs = frames.clone();
        context.open_runs(name, move |publisher| play_once(runs.clone(), interval, publisher));
        return Ok(Box::pin(async move {
            // Listed before the first viewer comes.
            frames.begin();
            std::future::pending().await
        }));
    }
    let publisher = context.open(name, Kind::Newest);
    let mut player = Player::new(frames, publisher, interval);
    player.show_first(&listing, dir.mode);
    Ok(Box::pin(async move {
        match dir.mode {
            Mode::Follow => follow::follow(&mut player, &mut listing).await,
            _ => play_in_a_loop(&mut player, &mut listing).await,
        }
        Ok(())
    }))
}

/// Plays all frames, round after round.
async fn play_in_a_loop(player: &mut Player, listing: &mut Listing) {
    let mut last_search = None;
    let mut shown: Vec<FrameName> = Vec::new();
    loop {
        // A round may be as short as one frame: new frames, and those that were left out, are not looked for in each.
        let is_search = last_search.is_none_or(|search: Instant| search.elapsed() >= CHECK_INTERVAL);
        if is_search {
            last_search = Some(Instant::now());
        }
        let mut known = std::mem::take(&mut shown).into_iter();
        let mut name = None;
        loop {
            if listing.is_due() {
                listing.update(&player.frames);
            }
            name = if is_search { listing.after(name.as_ref()) } else { known.next() };
            let Some(name) = &name else { break };
            let path = listing.path(name);
            if let Some(frame) = player.read(&path) {
                player.play(name, frame, &path).await;
                shown.push(name.clone());
            }
        }
        if shown.is_empty() {
            player.frames.say_empty();
            sleep(CHECK_INTERVAL).await;
        }
    }
}

async fn play_once(frames: Arc<RunFrames>, interval: Duration, publisher: Publisher) {
    let mut ticker = Ticker::new(interval);
    let Some(last) = frames.begin() else { return };
    let mut next = frames.after(None, &last, &publisher);
    // Between two frames a run holds neither: it would be in memory for this viewer alone.
    while let Some(name) = next {
        ticker.tick().await;
        if !publisher.room().await {
            return;
        }
        let frame = frames.get(&name, &publisher);
        // One ahead, so that the last is known when it is published and the close-delimiter follows it directly.
        next = frames.after(Some(name), &last, &publisher);
        if let Some(frame) = frame {
            publisher.publish_prepared(&frame, next.is_none());
        }
        tokio::task::yield_now().await;
    }
}
