//! Pushes a screen at a pace. A program draws a screen in many writes: what stands there in between is torn. So the screen is pushed
//! when nothing came for a moment, but not more seldom than `LONGEST` while it keeps coming, and no more often than `REDRAW_INTERVAL`. A
//! program that has only cleared the screen gets more time for its first one. This file knows the screen and its feed, not what the
//! bytes mean.

use std::time::{Duration, Instant};

use tracing::warn;

use super::emulator::{LineFeeds, REDRAW_INTERVAL, Screen, ScreenSize};
use crate::{
    feed::{Kind, Publisher, Refused},
    format::Media,
    panic::{PanicScope, catch},
    part::Part,
    source::{context::Context, framing::NoPart},
};

/// A screen is pushed when nothing came for this long.
const SETTLE: Duration = Duration::from_millis(15);
/// A screen that keeps changing is pushed after this long.
const LONGEST: Duration = Duration::from_millis(100);
/// A first screen on which nothing stands yet is pushed after this long: programs clear the screen before they know what to draw.
const LONGEST_BLANK: Duration = Duration::from_secs(1);

/// When to push.
#[derive(Debug, Default)]
struct ScreenPace {
    /// When the first bytes came that are not pushed yet, and when the last.
    pending: Option<(Instant, Instant)>,
    pushed: Option<Instant>,
    /// Whether what is pending is a first screen on which nothing stands.
    is_blank: bool,
}

impl ScreenPace {
    fn came(&mut self, now: Instant, is_blank: bool) {
        let first = self.pending.filter(|_| is_blank == self.is_blank).map_or(now, |(first, _)| first);
        (self.pending, self.is_blank) = (Some((first, now)), is_blank);
    }

    fn due(&self) -> Option<Instant> {
        let (first, last) = self.pending?;
        let due = if self.is_blank { first + LONGEST_BLANK } else { (last + SETTLE).min(first + LONGEST) };
        Some(self.pushed.map_or(due, |pushed| due.max(pushed + REDRAW_INTERVAL)))
    }

    fn push(&mut self, now: Instant) {
        (self.pending, self.pushed) = (None, Some(now));
    }
}

/// A screen that is pushed into a feed.
#[derive(Debug)]
pub(in crate::source) struct ScreenFeed {
    screen: Screen,
    size: ScreenSize,
    line_feeds: LineFeeds,
    pace: ScreenPace,
    publisher: Publisher,
    media: Media,
    has_made_part: bool,
    has_refused: bool,
}

impl ScreenFeed {
    /// A screen in a new feed of this name.
    pub(in crate::source) fn new(name: &str, size: ScreenSize, line_feeds: LineFeeds, context: &Context) -> Self {
        Self::into(context.open(name, Kind::Newest), size, line_feeds, context)
    }

    /// A new screen in the feed of this publisher.
    pub(in crate::source) fn into(publisher: Publisher, size: ScreenSize, line_feeds: LineFeeds, context: &Context) -> Self {
        // The page draws such a part as a grid of cells.
        let media = context.media_or(&format!("{}; screen={}x{}", Media::TEXT, size.cols, size.rows));
        let screen = Screen::new(size, line_feeds);
        Self { screen, size, line_feeds, pace: ScreenPace::default(), publisher, media, has_made_part: false, has_refused: false }
    }

    /// Takes what the program writes. After this, `act` when it is due.
    pub(in crate::source) fn push(&mut self, bytes: &[u8]) {
        if let Err(panicked) = catch(PanicScope::Source, || self.screen.push(bytes)) {
            warn!(feed = self.publisher.name(), "the screen is empty again: {panicked}");
            self.screen = Screen::new(self.size, self.line_feeds);
        }
        let is_blank = !self.has_made_part && self.screen.is_blank();
        self.pace.came(Instant::now(), is_blank);
    }

    /// When to call `act`, however much comes by then.
    pub(in crate::source) fn due(&self) -> Option<Instant> {
        self.pace.due()
    }

    /// Pushes the screen, if it is due.
    pub(in crate::source) fn act(&mut self) {
        let now = Instant::now();
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.publish();
        self.pace.push(now);
        if self.screen.is_held() {
            self.pace.came(now, false);
        }
    }

    /// Takes the end of the bytes: pushes the last screen, and ends the feed. Returns why there was no part, if there was none.
    pub(in crate::source) fn finish(mut self) -> Option<NoPart> {
        self.end();
        let is_empty = self.publisher.feed().newest().is_none();
        is_empty.then(NoPart::without_bytes)
    }

    /// The publisher of its feed.
    pub(in crate::source) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Whether a screen was pushed since the start, or since the last `begin`.
    pub(in crate::source) fn has_made_part(&self) -> bool {
        self.has_made_part
    }

    /// The answers of the terminal to the program.
    pub(in crate::source) fn replies(&mut self) -> Vec<u8> {
        self.screen.replies()
    }

    /// Begins another run, on an empty screen. The last one stays until it writes.
    pub(in crate::source) fn begin(&mut self) {
        self.screen = Screen::new(self.size, self.line_feeds);
        (self.pace.pending, self.has_made_part) = (None, false);
    }

    /// Takes the end of the bytes of one run: pushes the last screen.
    pub(in crate::source) fn end(&mut self) {
        if self.pace.pending.is_some() {
            self.screen.release();
            self.publish();
            self.pace.push(Instant::now());
        }
    }

    fn publish(&mut self) {
        match self.publisher.publish(Part::now(self.media.clone(), self.screen.document())) {
            Ok(()) | Err(Refused::Same) => self.has_made_part = true,
            Err(why) if !self.has_refused => {
                self.has_refused = true;
                warn!(feed = self.publisher.name(), "a screen is not pushed: {why}");
            }
            Err(_) => {}
        }
    }
}
