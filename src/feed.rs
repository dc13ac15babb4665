//! A feed: the one live sequence of parts, encoded once, held within bounds. A `Publisher` puts parts in; a
//! `Subscription` is a viewer's cursor on it. No sockets here, no waiting for viewers, and nobody here knows a source.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use slab::Slab;
use tokio::sync::Notify;

use crate::{
    part::Part,
    whole::{self, Family},
    wire::{self, Boundary, Encoded, Layout},
};

/// What a name keeps in a URL and in `X-Feed`: the unreserved characters of RFC 3986, section 2.3.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Plain bytes that one `take` joins at most, so that one viewer's turn stays short.
const RUN_BYTES: usize = 256 * 1024;

/// How a feed treats a viewer that is slower than its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A viewer takes the newest part; what was replaced meanwhile is dropped for it.
    Newest,
    /// Each part reaches each viewer, in order; who falls behind what is held skips ahead.
    Lines,
    /// One viewer's own run: the publisher waits for it (`Publisher::room`).
    Run,
}

/// What a feed holds and takes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Past parts that a viewer may ask for, at least 1.
    pub history: usize,
    /// Parts held for viewers that are behind; never fewer than `history`.
    pub held: usize,
    /// Bytes held, whatever the counts say; the newest part is always held.
    pub held_bytes: usize,
    /// Largest body that is taken.
    pub part_bytes: usize,
    /// Whether a part is pushed although its bytes are those of the one before.
    pub keep_same: bool,
}

/// The live sequence of parts.
#[derive(Debug)]
pub struct Feed {
    /// What it is called in URLs, `/state` and the log.
    pub name: String,
    /// The name percent-encoded, for URLs and headers.
    pub url_name: String,
    /// How it treats slow viewers.
    pub kind: Kind,
    boundary: Boundary,
    limits: Limits,
    state: Mutex<State>,
    watchers: Mutex<Slab<Waker>>,
    changed: Notify,
    dropped: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    held: VecDeque<Held>,
    held_bytes: usize,
    published: u64,
    /// Sequence that the viewers of a run have all taken.
    taken: u64,
    subscribers: usize,
    /// Whether there ever was a subscriber: a run whose viewer is yet to come is not abandoned.
    was_watched: bool,
    ended: bool,
}

#[derive(Debug)]
struct Held {
    part: Encoded,
    family: Option<Family>,
}

impl Held {
    fn family(&mut self) -> Family {
        let part = &self.part;
        *self.family.get_or_insert_with(|| whole::family(&part.media, &part.body()))
    }
}

/// Why a part was not taken. The feed stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// An empty body breaks readers (FIELD: ffmpeg, GStreamer, Chromium).
    Empty,
    /// Larger than the limit.
    TooLarge,
    /// The boundary stands in it.
    HasBoundary,
    /// The same bytes as the part before.
    Same,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLarge => "it is larger than --max-part",
            Self::HasBoundary => "it contains the boundary",
            Self::Same => "it is the same as the one before",
        })
    }
}

/// A feed's numbers, for `/state`.
#[derive(Debug, Clone, Serialize)]
pub struct FeedState {
    name: String,
    kind: Kind,
    ended: bool,
    history: usize,
    /// Parts since the start.
    pub published: u64,
    refused: u64,
    dropped: u64,
    viewers: usize,
    newest: Option<NewestState>,
}

impl FeedState {
    /// How old the newest part is.
    pub fn age(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Duration::try_from_secs_f64(now - self.newest.as_ref()?.timestamp).ok()
    }
}

#[derive(Debug, Clone, Serialize)]
struct NewestState {
    sequence: u64,
    #[serde(rename = "type")]
    media: String,
    bytes: usize,
    timestamp: f64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// A new feed and the one end that publishes into it.
    pub fn new(name: impl Into<String>, kind: Kind, boundary: Boundary, limits: Limits) -> (Publisher, Arc<Self>) {
        let name = name.into();
        let feed = Arc::new(Self {
            url_name: utf8_percent_encode(&name, NAME).to_string(),
            name,
            kind,
            boundary,
            limits,
            state: Mutex::default(),
            watchers: Mutex::default(),
            changed: Notify::new(),
            dropped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        (Publisher { feed: feed.clone() }, feed)
    }

    /// The boundary between its parts.
    pub fn boundary(&self) -> &Boundary {
        &self.boundary
    }

    /// The newest part.
    pub fn newest(&self) -> Option<Encoded> {
        lock(&self.state).held.back().map(|held| held.part.clone())
    }

    /// Waits until there is a part newer than `sequence`, or the feed has ended; then gives the newest, if any.
    pub async fn newer_than(&self, sequence: u64) -> Option<Encoded> {
        loop {
            let changed = self.changed.notified();
            {
                let state = lock(&self.state);
                if state.ended || state.published > sequence {
                    return state.held.back().map(|held| held.part.clone());
                }
            }
            changed.await;
        }
    }

    /// Whether no part will follow.
    pub fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// Ends the feed: viewers get what is left and the close-delimiter.
    pub fn end(&self) {
        lock(&self.state).ended = true;
        self.wake();
    }

    /// Has `waker` woken at every change, until the key is given to `unwatch`.
    pub fn watch(&self, waker: Waker) -> usize {
        lock(&self.watchers).insert(waker)
    }

    /// Ends a `watch`.
    pub fn unwatch(&self, key: usize) {
        lock(&self.watchers).try_remove(key);
    }

    /// Its numbers.
    pub fn state(&self) -> FeedState {
        let state = lock(&self.state);
        FeedState {
            name: self.name.clone(),
            kind: self.kind,
            ended: state.ended,
            history: self.limits.history,
            published: state.published,
            refused: self.refused.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            viewers: state.subscribers,
            newest: state.held.back().map(|held| NewestState {
                sequence: held.part.sequence,
                media: held.part.media.to_string(),
                bytes: held.part.body_len(),
                timestamp: held.part.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            }),
        }
    }

    /// A viewer's cursor, which begins `history` parts ago (1: with the newest). A log that has ended is given from its
    /// start where nothing was asked: nothing newer will come.
    pub fn subscribe(self: &Arc<Self>, history: Option<usize>, accepts: Accepts) -> Subscription {
        let mut state = lock(&self.state);
        state.subscribers += 1;
        state.was_watched = true;
        self.changed.notify_waiters();
        let all_there_is = state.ended && self.kind == Kind::Lines;
        let every_until = match self.kind {
            Kind::Newest if history.is_none() => 0,
            Kind::Newest => state.published,
            Kind::Lines | Kind::Run => u64::MAX,
        };
        let history = match history {
            None if all_there_is || self.kind == Kind::Run => usize::MAX,
            history => history.unwrap_or(1),
        };
        let count = history.min(self.limits.history).min(state.held.len()) as u64;
        let next = state.published + 1 - count;
        let mut subscription =
            Subscription { feed: self.clone(), next, every_until, started: false, accepts, layout: accepts.layout(), family: None };
        if count == 1 {
            subscription.step_back_to_a_picture(&mut state);
        }
        subscription
    }

    fn publish(&self, parts: &[Part], last: bool) {
        let first = lock(&self.state).published + 1;
        // Encoded outside the lock: there is one publisher, so the numbers stay ours.
        let encoded = wire::encode(parts, first, &self.boundary);
        let mut state = lock(&self.state);
        state.published += encoded.len() as u64;
        for part in encoded {
            state.held_bytes += part.len();
            state.held.push_back(Held { part, family: None });
        }
        while state.held.len() > self.limits.held || (state.held_bytes > self.limits.held_bytes && state.held.len() > 1) {
            let Some(old) = state.held.pop_front() else { break };
            state.held_bytes -= old.part.len();
        }
        state.ended |= last;
        drop(state);
        self.wake();
    }

    fn wake(&self) {
        self.changed.notify_waiters();
        for (_, waker) in lock(&self.watchers).iter() {
            waker.wake_by_ref();
        }
    }
}

/// What a viewer can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Every part.
    All,
    /// An `<img>`: pictures of one family, in the layout that its browser needs to paint them.
    Pictures(Layout),
}

impl Accepts {
    fn layout(self) -> Layout {
        match self {
            Self::All => Layout::Plain,
            Self::Pictures(layout) => layout,
        }
    }
}

/// A viewer's cursor on a feed.
#[derive(Debug)]
pub struct Subscription {
    feed: Arc<Feed>,
    /// The next sequence wanted.
    next: u64,
    /// Up to this one every part is given, whatever the kind.
    every_until: u64,
    /// Whether a part was given: from then on the next headers may have left early.
    started: bool,
    accepts: Accepts,
    layout: Layout,
    family: Option<Family>,
}

/// What a viewer takes at a time.
#[derive(Debug)]
pub struct Taken {
    /// One part or several that follow one another, without a first delimiter.
    pub bytes: Bytes,
    /// How many parts these are.
    pub parts: u64,
    /// Parts that were replaced before this viewer took them.
    pub dropped: u64,
    /// Parts that this viewer cannot take, left out.
    pub left_out: u64,
    /// Nothing follows: no delimiter is in `bytes`, the close-delimiter is to be written.
    pub last: bool,
}

impl Subscription {
    /// The feed it is on.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Takes what is next for this viewer, at most `most` parts, or nothing where it has seen everything. `Taken` without
    /// parts reports those that were left out. `last` is set where `most_is_all` and that many were taken, and at
    /// the end of the feed where `may_end`: a stream of several feeds ends with the last of them.
    pub fn take(&mut self, most: u64, most_is_all: bool, may_end: bool) -> Option<Taken> {
        let feed = self.feed.clone();
        let mut state = lock(&feed.state);
        let oldest = state.published + 1 - state.held.len() as u64;
        if self.next > state.published {
            return None;
        }
        let from = if self.next <= self.every_until { self.next.max(oldest) } else { state.published };
        let dropped = from - self.next;
        let (mut index, mut left_out) = ((from - oldest) as usize, 0);
        while index < state.held.len() && !self.can_take(&mut state.held[index]) {
            left_out += 1;
            index += 1;
        }
        self.feed.dropped.fetch_add(dropped, Relaxed);
        let run = self.run_at(&state, index, most);
        self.next = from + left_out + run;
        state.taken = state.taken.max(self.next - 1);
        if self.feed.kind == Kind::Run {
            self.feed.changed.notify_waiters();
        }
        let over = may_end && state.ended && self.next > state.published;
        let last = run > 0 && (over || most_is_all && run == most);
        let bytes = if run == 0 { Bytes::new() } else { self.bytes_of(&state, index, run as usize, last) };
        Some(Taken { bytes, parts: run, dropped, left_out, last })
    }

    /// The newest part once more, for a viewer that has it; `last` for the close-delimiter to follow.
    pub fn repeat(&mut self, last: bool) -> Option<Bytes> {
        let feed = self.feed.clone();
        let mut state = lock(&feed.state);
        let given = state.held.iter_mut().rev().find_map(|held| {
            let is_seen = self.started && held.part.sequence < self.next;
            (is_seen && self.can_take(held)).then_some(&held.part)
        })?;
        Some(given.bytes(self.layout, self.opened(), last))
    }

    /// Whether everything was taken and nothing will follow.
    pub fn is_over(&self) -> bool {
        let state = lock(&self.feed.state);
        state.ended && self.next > state.published
    }

    /// Whether there are parts that this viewer has not seen.
    pub fn has_news(&self) -> bool {
        self.next <= lock(&self.feed.state).published
    }

    fn opened(&self) -> bool {
        self.started && self.layout == Layout::EarlyHeaders
    }

    fn can_take(&self, held: &mut Held) -> bool {
        match (self.accepts, self.family) {
            (Accepts::All, _) => true,
            (Accepts::Pictures(_), None) => held.family() != Family::Other,
            (Accepts::Pictures(_), Some(family)) => held.family() == family,
        }
    }

    /// How many parts from `index` on leave together: lines of one block, otherwise one.
    fn run_at(&self, state: &State, index: usize, most: u64) -> u64 {
        let Some(first) = state.held.get(index).filter(|_| most > 0) else { return 0 };
        if self.accepts != Accepts::All || self.next > self.every_until {
            return 1;
        }
        let joins = |held: &&Held| first.part.run_to(&held.part, false).is_some_and(|run| run.len() <= RUN_BYTES);
        let later = state.held.iter().skip(index + 1).take(most as usize - 1).take_while(joins).count() as u64;
        1 + later.min(self.every_until.saturating_sub(first.part.sequence))
    }

    fn bytes_of(&mut self, state: &State, index: usize, run: usize, last: bool) -> Bytes {
        let (opened, first) = (self.opened(), &state.held[index].part);
        if let Accepts::Pictures(_) = self.accepts {
            self.family = state.held[index].family;
        }
        self.started = true;
        match run {
            1 => first.bytes(self.layout, opened, last),
            _ => first.run_to(&state.held[index + run - 1].part, last).unwrap_or_default(),
        }
    }

    /// An `<img>` that comes while the newest part is nothing for it begins with the newest that is.
    fn step_back_to_a_picture(&mut self, state: &mut State) {
        let newest = state.held.iter_mut().rev().find_map(|held| self.can_take(held).then_some(held.part.sequence));
        if let (Some(sequence), Accepts::Pictures(_)) = (newest, self.accepts) {
            self.next = sequence;
            self.every_until = self.every_until.max(sequence);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.feed.state).subscribers -= 1;
        self.feed.changed.notify_waiters();
    }
}

/// The end of a feed that parts are put into. Dropping it ends the feed.
#[derive(Debug)]
pub struct Publisher {
    feed: Arc<Feed>,
}

impl Publisher {
    /// Makes a part the newest.
    ///
    /// # Errors
    /// Says why the part was not taken; the feed is then as it was.
    pub fn publish(&self, part: Part) -> Result<(), Refused> {
        self.check(&part)?;
        self.feed.publish(&[part], false);
        Ok(())
    }

    /// Publishes the last part: the close-delimiter follows it directly.
    ///
    /// # Errors
    /// As `publish`; the feed ends all the same.
    pub fn publish_last(self, part: Part) -> Result<(), Refused> {
        self.check(&part)?;
        self.feed.publish(&[part], true);
        Ok(())
    }

    /// Publishes parts that came together, as one block. What a feed does not take is left out, and counted.
    pub fn publish_all(&self, mut parts: Vec<Part>) {
        parts.retain(|part| self.check(part).is_ok());
        if !parts.is_empty() {
            self.feed.publish(&parts, false);
        }
    }

    /// Waits until the viewer of a run has taken all that was published.
    /// Gives `false` when it has left.
    pub async fn room(&self) -> bool {
        loop {
            let changed = self.feed.changed.notified();
            {
                let state = lock(&self.feed.state);
                if state.was_watched && state.subscribers == 0 {
                    return false;
                }
                if state.was_watched && state.taken >= state.published {
                    return true;
                }
            }
            changed.await;
        }
    }

    /// The feed's name.
    pub fn name(&self) -> &str {
        &self.feed.name
    }

    /// The largest body that is taken, in bytes.
    pub fn part_bytes(&self) -> usize {
        self.feed.limits.part_bytes
    }

    fn check(&self, part: &Part) -> Result<(), Refused> {
        let feed = &self.feed;
        let is_same = |newest: Encoded| newest.media == part.media && newest.body() == part.body;
        if feed.kind == Kind::Newest && !feed.limits.keep_same && feed.newest().is_some_and(is_same) {
            return Err(Refused::Same);
        }
        let refused = match () {
            () if part.body.is_empty() => Refused::Empty,
            () if part.body.len() > feed.limits.part_bytes => Refused::TooLarge,
            () if feed.boundary.is_in(&part.body) => Refused::HasBoundary,
            () => return Ok(()),
        };
        feed.refused.fetch_add(1, Relaxed);
        Err(refused)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.feed.end();
    }
}

/// What a name in a URL stands for.
pub enum Offer {
    /// A feed that all viewers share.
    Live(Arc<Feed>),
    /// A run from the start for each viewer.
    Runs {
        /// Its name, as a feed's.
        name: String,
        /// The boundary of every run.
        boundary: Boundary,
        /// Begins a run.
        start: Box<dyn Fn() -> Arc<Feed> + Send + Sync>,
    },
}

impl Offer {
    /// The shared feed, where it is one.
    pub fn live(&self) -> Option<&Arc<Feed>> {
        match self {
            Self::Live(feed) => Some(feed),
            Self::Runs { .. } => None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Live(feed) => &feed.name,
            Self::Runs { name, .. } => name,
        }
    }

    /// Its boundary.
    pub fn boundary(&self) -> &Boundary {
        match self {
            Self::Live(feed) => feed.boundary(),
            Self::Runs { boundary, .. } => boundary,
        }
    }

    /// The feed for one more viewer: the shared one, or a new run, which plays while somebody subscribes to it.
    pub fn open(&self) -> Arc<Feed> {
        match self {
            Self::Live(feed) => feed.clone(),
            Self::Runs { start, .. } => start(),
        }
    }

    /// Its numbers.
    pub fn state(&self) -> FeedState {
        match self {
            Self::Live(feed) => feed.state(),
            Self::Runs { name, .. } => FeedState {
                name: name.clone(),
                kind: Kind::Run,
                ended: false,
                history: 0,
                published: 0,
                refused: 0,
                dropped: 0,
                viewers: 0,
                newest: None,
            },
        }
    }
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Offer").field(&self.name()).finish()
    }
}
