//! The feeds of a hub: who pushes into each, and since when nobody does. It does not look at bodies.

use std::{
    collections::HashMap,
    ffi::OsStr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::settings::HubSettings;
use crate::{
    feed::{Kind, SourceState, check_name},
    intake::PushRefusal,
    source::{Context, incoming::RemoteFeed, name_filter::NameFilter},
    sync::Mutex,
};

/// Bytes of parts that are not whole yet, of all bodies together. One body is always taken.
const HELD_BYTES: usize = 256 << 20;
/// Bytes of each body that do not count: large ones that stall do not keep small ones out.
const SMALL_BYTES: usize = 128 << 10;

/// The feeds of a hub.
#[derive(Debug)]
pub(super) struct HubFeeds {
    settings: HubSettings,
    context: OnceLock<Context>,
    feeds: Mutex<HashMap<String, Arc<HubFeed>>>,
    held: AtomicUsize,
}

/// A feed of a hub.
#[derive(Debug)]
pub(super) struct HubFeed {
    state: Mutex<HubFeedState>,
}

/// Who pushes into a feed.
#[derive(Debug, Clone)]
pub(super) struct Pusher {
    /// Cancelled when the feed is another's, or removed.
    pub(super) has_lost: CancellationToken,
    /// Cancelled when another one has taken over any of the feeds that its body is for.
    pub(super) body: CancellationToken,
}

impl Pusher {
    /// Of a body that is for one feed.
    pub(super) fn of_one() -> Self {
        let has_lost = CancellationToken::new();
        Self { body: has_lost.clone(), has_lost }
    }

    /// Of one feed of such a body.
    pub(super) fn of_several(body: &CancellationToken) -> Self {
        Self { has_lost: CancellationToken::new(), body: body.clone() }
    }

    pub(super) fn has_lost_it(&self) -> bool {
        self.has_lost.is_cancelled()
    }
}

/// What is known of it, and its end of the feed.
#[derive(Debug)]
pub(super) struct HubFeedState {
    pub(super) feed: RemoteFeed,
    pusher: Option<Pusher>,
    /// When it was last pushed into, if nobody does so now.
    idle_since: Instant,
}

impl HubFeed {
    /// Does this with the feed, if this pusher still has it.
    pub(super) fn with<T>(&self, pusher: &Pusher, work: impl FnOnce(&mut RemoteFeed) -> T) -> Result<T, PushRefusal> {
        let mut state = self.state.lock();
        if pusher.has_lost_it() {
            return Err(PushRefusal::Replaced);
        }
        Ok(work(&mut state.feed))
    }

    /// Ends what this pusher has begun; the feed stays, and says why nothing comes.
    pub(super) fn leave(&self, pusher: &Pusher, reason: &str) {
        let mut state = self.state.lock();
        if pusher.has_lost_it() {
            return;
        }
        (state.pusher, state.idle_since) = (None, Instant::now());
        state.feed.publisher().set_source(SourceState::Lost { reason: reason.to_owned() });
    }

    /// The same for a pusher of single parts: the feed goes on to be live.
    pub(super) fn leave_live(&self, pusher: &Pusher) {
        let mut state = self.state.lock();
        if !pusher.has_lost_it() {
            (state.pusher, state.idle_since) = (None, Instant::now());
        }
    }
}

impl HubFeeds {
    pub(super) fn new(settings: HubSettings) -> Self {
        Self { settings, context: OnceLock::new(), feeds: Mutex::default(), held: AtomicUsize::new(0) }
    }

    /// Gives it the right to open feeds.
    pub(super) fn start(&self, context: Context) {
        let _ = self.context.set(context);
    }

    /// Checks that something may be pushed under this name. Returns the largest part that is taken, in bytes.
    pub(super) fn check(&self, name: &str) -> Result<usize, PushRefusal> {
        let part_bytes = self.part_bytes()?;
        check_name(name).map_err(PushRefusal::Name)?;
        let allows = |filter: &NameFilter| filter.covers(OsStr::new(name));
        if !self.settings.allow.is_empty() && !self.settings.allow.iter().any(allows) {
            return Err(PushRefusal::NotAllowed);
        }
        self.check_room(&self.feeds.lock(), name)?;
        Ok(part_bytes)
    }

    fn check_room(&self, feeds: &HashMap<String, Arc<HubFeed>>, name: &str) -> Result<(), PushRefusal> {
        let has_room = feeds.contains_key(name) || feeds.len() < self.settings.max_feeds;
        if has_room { Ok(()) } else { Err(PushRefusal::TooManyFeeds(self.settings.max_feeds)) }
    }

    /// Gives the feed of this name to this pusher, who takes it over from another one. Returns it, and whether it is new.
    pub(super) fn take_over(&self, name: &str, pusher: &Pusher) -> Result<(Arc<HubFeed>, bool), PushRefusal> {
        self.check(name)?;
        let context = self.context.get().ok_or(PushRefusal::Ending)?;
        // Until its pusher is known, no other request and no lapse of time removes it.
        let mut feeds = self.feeds.lock();
        self.check_room(&feeds, name)?;
        let (feed, is_new) = match feeds.get(name) {
            Some(feed) => (feed.clone(), false),
            None => {
                let feed = RemoteFeed::new(context.open(name, Kind::Newest), context.media.clone(), None);
                let state = HubFeedState { feed, pusher: None, idle_since: Instant::now() };
                (Arc::new(HubFeed { state: Mutex::new(state) }), true)
            }
        };
        feeds.insert(name.to_owned(), feed.clone());
        let mut state = feed.state.lock();
        if let Some(before) = state.pusher.replace(pusher.clone()) {
            info!(feed = name, "another pusher takes the feed over");
            before.has_lost.cancel();
            before.body.cancel();
        }
        state.feed.begin();
        drop(state);
        Ok((feed, is_new))
    }

    /// The name of this process in `Via`.
    pub(super) fn process(&self) -> Option<&str> {
        Some(self.context.get()?.opener.registry().process())
    }

    /// The largest part that is taken, in bytes.
    pub(super) fn part_bytes(&self) -> Result<usize, PushRefusal> {
        let context = self.context.get().filter(|context| !context.opener.registry().has_ended()).ok_or(PushRefusal::Ending)?;
        Ok(context.part_bytes())
    }

    /// The feeds whose last part was of this run, with its sequence.
    pub(super) fn received(&self, run: &str) -> Vec<(String, u64)> {
        let feeds = self.feeds.lock().clone();
        let of_run = |(name, feed): (String, Arc<HubFeed>)| Some((name, feed.state.lock().feed.sequence_in(run)?));
        feeds.into_iter().filter_map(of_run).collect()
    }

    /// Removes a feed, and ends its pusher. Returns whether there was one.
    pub(super) fn remove(&self, name: &str) -> bool {
        let mut feeds = self.feeds.lock();
        feeds.remove(name).inspect(|feed| self.close(name, feed)).is_some()
    }

    /// Removes the feeds that nobody has pushed into for long enough.
    pub(super) fn remove_expired(&self) {
        let Some(expire) = self.settings.expire else { return };
        let is_expired = |feed: &HubFeed| {
            let state = feed.state.lock();
            state.pusher.is_none() && state.idle_since.elapsed() >= expire
        };
        let mut feeds = self.feeds.lock();
        for (name, feed) in feeds.extract_if(|_, feed| is_expired(feed)) {
            info!(feed = name, "nobody has pushed into the feed for {}: it is removed", humantime::format_duration(expire));
            self.close(&name, &feed);
        }
    }

    /// Ends a feed that has left the list, which stays locked meanwhile: another one of its name would be ended in its place.
    fn close(&self, name: &str, feed: &HubFeed) {
        feed.state.lock().pusher.take().iter().for_each(|pusher| pusher.has_lost.cancel());
        if let Some(context) = self.context.get() {
            context.opener.remove(name);
        }
    }
}

/// The bytes that a body holds until they are a whole part.
#[derive(Debug)]
pub(super) struct HeldBytes {
    feeds: Arc<HubFeeds>,
    counted: usize,
}

impl HeldBytes {
    /// Of a body that holds none.
    pub(super) fn new(feeds: Arc<HubFeeds>) -> Self {
        Self { feeds, counted: 0 }
    }

    /// Notes how many they are now.
    ///
    /// # Errors
    /// `PushRefusal::Busy` where they become more, and all bodies together hold too many.
    pub(super) fn set(&mut self, bytes: usize) -> Result<(), PushRefusal> {
        let before = std::mem::replace(&mut self.counted, bytes.saturating_sub(SMALL_BYTES));
        let Some(more) = self.counted.checked_sub(before) else {
            self.feeds.held.fetch_sub(before - self.counted, Relaxed);
            return Ok(());
        };
        let all = self.feeds.held.fetch_add(more, Relaxed);
        let is_busy = more > 0 && all > before && all.saturating_add(more) > HELD_BYTES;
        if is_busy { Err(PushRefusal::Busy) } else { Ok(()) }
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.feeds.held.fetch_sub(self.counted, Relaxed);
    }
}
