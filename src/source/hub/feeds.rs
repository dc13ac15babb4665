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
    source::{
        Context,
        incoming::{PartReader, RemoteFeed},
        name_filter::NameFilter,
    },
    sync::Mutex,
};

/// Bytes of bodies that are parts of their own and are not whole yet. One is always taken.
const HELD_BYTES: usize = 256 << 20;

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
    /// Of a stream that comes in several requests: where the next of them begins, and what cuts it.
    next_piece: Option<(u64, PartReader)>,
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
        (state.pusher, state.next_piece, state.idle_since) = (None, None, Instant::now());
        state.feed.publisher().set_source(SourceState::Lost { reason: reason.to_owned() });
    }

    /// The same for a pusher of single parts: the feed goes on to be live.
    pub(super) fn leave_live(&self, pusher: &Pusher) {
        self.leave_for(pusher, None);
    }

    /// The same for a request behind which the stream goes on at this offset, to be cut by this reader.
    pub(super) fn leave_for(&self, pusher: &Pusher, next: Option<(u64, PartReader)>) {
        let mut state = self.state.lock();
        if !pusher.has_lost_it() {
            (state.pusher, state.next_piece, state.idle_since) = (None, next, Instant::now());
        }
    }

    /// Whether a stream is to go on at this offset.
    fn goes_on(&self, offset: u64) -> bool {
        self.state.lock().next_piece.as_ref().is_some_and(|(next, _)| *next == offset)
    }

    /// What has cut the stream up to this offset, if that was the last to be pushed.
    pub(super) fn reader_from(&self, offset: u64) -> Option<PartReader> {
        let (next, reader) = self.state.lock().next_piece.take()?;
        (next == offset).then_some(reader)
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
        let feeds = self.feeds.lock();
        if !feeds.contains_key(name) && feeds.len() >= self.settings.max_feeds {
            return Err(PushRefusal::TooManyFeeds(self.settings.max_feeds));
        }
        Ok(part_bytes)
    }

    /// Gives the feed of this name to this pusher, who takes it over from another one. Returns it, and whether it is new.
    pub(super) fn take_over(&self, name: &str, pusher: &Pusher) -> Result<(Arc<HubFeed>, bool), PushRefusal> {
        // The limit may have been reached since the check.
        self.check(name)?;
        let context = self.context.get().ok_or(PushRefusal::Ending)?;
        let mut feeds = self.feeds.lock();
        let (feed, is_new) = match feeds.get(name) {
            Some(feed) => (feed.clone(), false),
            None => {
                let feed = RemoteFeed::new(context.open(name, Kind::Newest), context.media.clone(), None);
                let state = HubFeedState { feed, pusher: None, next_piece: None, idle_since: Instant::now() };
                (Arc::new(HubFeed { state: Mutex::new(state) }), true)
            }
        };
        feeds.insert(name.to_owned(), feed.clone());
        drop(feeds);
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

    /// Whether a stream of this name is to go on at this offset.
    pub(super) fn goes_on(&self, name: &str, offset: u64) -> bool {
        self.feeds.lock().get(name).is_some_and(|feed| feed.goes_on(offset))
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
        let removed = self.feeds.lock().remove(name);
        removed.inspect(|feed| self.close(name, feed)).is_some()
    }

    /// Removes the feeds that nobody has pushed into for long enough.
    pub(super) fn remove_expired(&self) {
        let Some(expire) = self.settings.expire else { return };
        let is_expired = |feed: &HubFeed| {
            let state = feed.state.lock();
            state.pusher.is_none() && state.idle_since.elapsed() >= expire
        };
        let expired: Vec<_> = self.feeds.lock().extract_if(|_, feed| is_expired(feed)).collect();
        for (name, feed) in expired {
            info!(feed = name, "nobody has pushed into the feed for {}: it is removed", humantime::format_duration(expire));
            self.close(&name, &feed);
        }
    }

    fn close(&self, name: &str, feed: &HubFeed) {
        feed.state.lock().pusher.take().iter().for_each(|pusher| pusher.has_lost.cancel());
        if let Some(context) = self.context.get() {
            context.opener.remove(name);
        }
    }

    /// Notes bytes that a body holds until it is whole.
    ///
    /// # Errors
    /// `PushRefusal::Busy` where all bodies together hold too many.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), PushRefusal> {
        let before = self.held.fetch_add(bytes, Relaxed);
        if before > 0 && before.saturating_add(bytes) > HELD_BYTES {
            self.release(bytes);
            return Err(PushRefusal::Busy);
        }
        Ok(())
    }

    /// Notes that they are not held any more.
    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
    }
}
