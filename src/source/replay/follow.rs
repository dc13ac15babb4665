//! Frames as they come: each is played once, in natural order as far as it has come, when its writer is done. Which frames there are
//! is for `listing` to know.

use std::collections::{BTreeSet, HashSet};

use tokio::time::Instant;

use super::{
    frame_cache::SETTLE,
    listing::{CHECK_INTERVAL, FrameName, Listing, ListingChanges},
    player::Player,
};

/// The frames that have not been played.
#[derive(Debug, Default)]
struct Unplayed {
    /// To be looked at, the next first.
    ready: BTreeSet<FrameName>,
    /// Looked at, and not complete: until an event, or the next look.
    resting: BTreeSet<FrameName>,
    /// Those whose writer was seen to be done.
    finished: HashSet<FrameName>,
}

impl Unplayed {
    fn note(&mut self, changes: ListingChanges) {
        for name in changes.removed {
            self.ready.remove(&name);
            self.resting.remove(&name);
            self.finished.remove(&name);
        }
        self.ready.extend(changes.added);
        for name in changes.touched {
            self.finished.remove(&name);
            if self.resting.remove(&name) {
                self.ready.insert(name);
            }
        }
        self.finished.extend(changes.finished.into_iter().filter(|name| self.ready.contains(name)));
    }

    /// Looks at all again.
    fn retry(&mut self) {
        self.ready.append(&mut self.resting);
    }
}

/// Plays frames as they come.
pub(super) async fn follow(player: &mut Player, listing: &mut Listing) {
    let mut unplayed = Unplayed::default();
    let mut has_played = false;
    let mut next_retry = Instant::now() + CHECK_INTERVAL;
    loop {
        unplayed.note(listing.update(&player.frames));
        if Instant::now() >= next_retry {
            unplayed.retry();
            next_retry = Instant::now() + CHECK_INTERVAL;
        }
        let Some(name) = unplayed.ready.pop_first() else {
            if !has_played {
                player.frames.say_empty();
            }
            listing.changed(next_retry).await;
            continue;
        };
        let path = listing.path(&name);
        match player.read(&path) {
            // It is played when it is complete.
            None => drop(unplayed.resting.insert(name)),
            Some(frame) if frame.may_grow() && !unplayed.finished.contains(&name) => {
                unplayed.resting.insert(name);
                next_retry = next_retry.min(Instant::now() + SETTLE);
            }
            Some(frame) => {
                unplayed.finished.remove(&name);
                player.play(&name, frame, &path).await;
                has_played = true;
            }
        }
    }
}
