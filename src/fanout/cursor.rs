//! One feed as one viewer sees it: the parts that the viewer can show, their layout, and the headers for this viewer only. It knows
//! parts and their bytes, no sockets.

use std::{task::Waker, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    feed::{Kind, Subscription, TakeLimit},
    format::ImageClass,
    wire::{Encoded, Layout, Piece, Prefix, Run},
};

/// The parts that a viewer can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Accepts {
    /// Every part.
    #[default]
    All,
    /// An `<img>`: pictures of one class, in the layout that its browser needs to paint them.
    Pictures(Layout),
}

impl Accepts {
    /// The same for several feeds on one stream: there the next headers cannot be sent early, since they may be another feed's.
    pub(super) fn of_several(self) -> Self {
        if self == Self::All { self } else { Self::Pictures(Layout::Plain) }
    }

    fn layout(self) -> Layout {
        match self {
            Self::All => Layout::Plain,
            Self::Pictures(layout) => layout,
        }
    }
}

/// A viewer's place in one feed.
#[derive(Debug)]
pub(crate) struct Cursor {
    subscription: Subscription,
    accepts: Accepts,
    /// Whether the viewer has a part, which can be repeated: from then on the next headers may have been sent early.
    has_begun: bool,
    /// Whether the viewer goes on where an earlier connection broke off: it is told of all parts that it missed.
    resumes: bool,
    /// The class of pictures that its `<img>` shows: Chromium's tab crashes when they mix (docs/field.md, Browsers).
    class: Option<ImageClass>,
    /// The last picture sent, kept for a repeat: by then the feed may hold only text.
    picture: Option<Encoded>,
    /// The key of the waker in a run, which wakes this viewer only.
    waker: Option<usize>,
    /// Parts that were replaced since the last part of this feed, which its next one reports.
    missed: u64,
    /// When the next part is due, if there is an interval.
    due: Instant,
}

/// The parts taken from a feed for a viewer.
#[derive(Debug)]
pub(super) struct Taken {
    /// The parts; `None` if the viewer can show none of them.
    pub(super) run: Option<Run>,
    /// Parts that were replaced before this viewer took them.
    pub(super) dropped: u64,
    /// Parts that this viewer cannot show.
    pub(super) left_out: u64,
    /// Whether no part follows in this feed.
    pub(super) ended: bool,
}

impl Cursor {
    /// Begins where the subscription does; for an `<img>`, with the newest picture.
    pub(crate) fn new(mut subscription: Subscription, accepts: Accepts) -> Self {
        if accepts != Accepts::All {
            subscription.step_back_to(|part| part.class() != ImageClass::Other);
        }
        let (due, missed) = (Instant::now(), subscription.missed());
        let has_begun = missed == Some(0) && subscription.newest_taken().is_some();
        let (resumes, missed) = (missed.is_some(), missed.unwrap_or(0));
        Self { subscription, accepts, has_begun, resumes, class: None, picture: None, waker: None, missed, due }
    }

    pub(super) fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Whether the viewer has a part of the feed, from this connection or an earlier one.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Drops the parts that are replaced while the viewer is busy. Returns how many.
    pub(super) fn skip_to_newest(&mut self) -> u64 {
        let dropped = self.subscription.skip_to_newest();
        self.missed += dropped;
        dropped
    }

    /// Until when a part that has come has to wait, with this time between two parts. Half an interval of slack: a source that keeps
    /// the requested rate a little unevenly loses no part.
    pub(super) fn early_until(&self, interval: Duration, now: Instant) -> Option<Instant> {
        let until = self.due - interval / 2;
        (now < until && self.subscription.has_news()).then_some(until)
    }

    /// Notes that a part is sent now: the next one is due an interval later.
    pub(super) fn keep_interval(&mut self, interval: Duration, now: Instant) {
        self.due = self.due.max(now) + interval;
    }

    /// The feed's name.
    pub(super) fn feed_name(&self) -> &str {
        &self.subscription.feed().name
    }

    /// Whether the feed is of kind `Newest`.
    pub(super) fn is_of_pictures(&self) -> bool {
        self.subscription.feed().kind() == Kind::Newest
    }

    /// Registers the viewer's waker in a run; shared feeds wake the loop.
    pub(super) fn register(&mut self, waker: &Waker) {
        let feed = self.subscription.feed();
        if feed.kind() == Kind::Run && self.waker.is_none() {
            self.waker = Some(feed.register_waker(0, waker.clone()));
        }
    }

    /// Takes parts that the viewer can show, within this limit; `None` if it has taken all.
    pub(super) fn take(&mut self, limit: TakeLimit) -> Option<Taken> {
        let taken = self.take_shown(limit)?;
        self.missed += taken.dropped;
        Some(taken)
    }

    fn take_shown(&mut self, limit: TakeLimit) -> Option<Taken> {
        if self.accepts == Accepts::All {
            let batch = self.subscription.take(limit)?;
            return Some(Taken { run: Some(batch.parts), dropped: batch.dropped, left_out: 0, ended: batch.ended });
        }
        let mut taken: Option<Taken> = None;
        while let Some(batch) = self.subscription.take(TakeLimit { parts: 1, ..limit }) {
            let taken = taken.get_or_insert(Taken { run: None, dropped: 0, left_out: 0, ended: false });
            (taken.dropped, taken.ended) = (taken.dropped + batch.dropped, batch.ended);
            if self.shows(&batch.parts.last()) {
                taken.run = Some(batch.parts);
                break;
            }
            taken.left_out += 1;
        }
        taken
    }

    fn shows(&self, part: &Encoded) -> bool {
        match self.class {
            None => part.class() != ImageClass::Other,
            Some(class) => part.class() == class,
        }
    }

    /// The bytes of parts to send now. `last`: a close-delimiter follows them.
    pub(super) fn choose(&mut self, run: Run, last: bool) -> [Piece; 2] {
        let has_early_headers = self.has_early_headers();
        if self.accepts != Accepts::All {
            let picture = run.last();
            self.class = Some(picture.class());
            self.picture = Some(picture);
        }
        self.has_begun = true;
        run.pieces(self.accepts.layout(), has_early_headers, last)
    }

    /// The newest part again, for a viewer that has it. `last`: a close-delimiter follows it.
    pub(super) fn repeat(&self, last: bool) -> Option<[Piece; 2]> {
        let part = match self.accepts {
            Accepts::All => self.subscription.newest_taken().filter(|_| self.has_begun)?,
            Accepts::Pictures(_) => self.picture.clone()?,
        };
        Some(part.pieces(self.accepts.layout(), self.has_early_headers(), last))
    }

    /// The newest part again for a browser that shows nothing before it has read some bytes; `None` for other viewers.
    pub(super) fn repeat_for_sniffing(&self) -> Option<[Piece; 2]> {
        (self.accepts == Accepts::Pictures(Layout::EarlyHeaders)).then(|| self.repeat(false))?
    }

    fn has_early_headers(&self) -> bool {
        self.has_begun && self.accepts.layout() == Layout::EarlyHeaders
    }

    /// Header lines for this viewer only, for the next part. They report dropped parts of a feed of lines, and of every feed if they
    /// name the feed or the viewer resumes.
    pub(super) fn prefix(&mut self, is_named: bool) -> Bytes {
        let missed = std::mem::take(&mut self.missed);
        let feed = self.subscription.feed();
        let dropped = if is_named || self.resumes || feed.kind() == Kind::Lines { missed } else { 0 };
        Prefix { feed: is_named.then_some(feed.url_name.as_str()), dropped }.bytes()
    }

    /// The header lines for a repeat.
    pub(super) fn repeat_prefix(&self, is_named: bool) -> Bytes {
        Prefix { feed: is_named.then_some(self.subscription.feed().url_name.as_str()), dropped: 0 }.bytes()
    }

    /// The bytes of the largest block that is in memory for readers alone, and for this one's repeats at least.
    pub(super) fn retained(&self) -> usize {
        let picture = self.picture.as_ref().map_or(0, |picture| picture.charge().retained());
        // A run has no other reader.
        let feed = self.subscription.feed();
        let newest = if feed.kind() == Kind::Run { feed.newest() } else { None };
        picture.max(newest.map_or(0, |newest| newest.charge().retained()))
    }

    /// Forgets the part that is kept for repeats alone.
    pub(super) fn forget(&mut self) {
        if self.retained() > 0 {
            self.picture = None;
            self.subscription.feed().forget_taken();
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if let Some(key) = self.waker {
            self.subscription.feed().remove_waker(0, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        feed::{Feed, Hold, Limits, Publisher, Settings},
        format::Media,
        part::Part,
        wire::Boundary,
    };

    fn feed(kind: Kind) -> (Publisher, std::sync::Arc<Feed>) {
        let hold = Hold { history: 10, parts: 10, bytes: 1 << 20, asked: 0 };
        let limits = Limits { newest: hold, lines: hold, part_bytes: 1000, keep_same: false };
        Feed::new("test", kind, &Settings::new(Boundary::parse("B").unwrap(), limits))
    }

    fn text(body: &'static str) -> Part {
        Part::now(Media::from_known("text/plain"), body)
    }

    fn bytes(pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| String::from_utf8(piece.bytes().to_vec()).unwrap()).collect()
    }

    /// The next parts as bytes, and how many could not be shown.
    fn next(cursor: &mut Cursor) -> (u64, String) {
        let taken = cursor.take(TakeLimit::ALL).unwrap();
        (taken.left_out, taken.run.map_or_else(String::new, |run| bytes(&cursor.choose(run, false))))
    }

    #[test]
    fn an_img_gets_pictures_of_one_class_with_the_next_headers_early() {
        let svg = || Part { class: ImageClass::Svg, ..Part::now(Media::from_known("image/svg+xml"), "<svg/>") };
        let (publisher, feed) = feed(Kind::Lines);
        let mut cursor = Cursor::new(feed.subscribe(0, None), Accepts::Pictures(Layout::EarlyHeaders));
        publisher.publish_all(vec![text("no"), svg(), text("no"), svg()]);
        let (left_out, first) = next(&mut cursor);
        assert_eq!(left_out, 1);
        assert!(first.starts_with("Content-Type: image/svg+xml\r\nContent-Length: 6"));
        assert!(first.ends_with("<svg/>\r\n--B\r\nContent-Type: image/svg+xml\r\n\r\n"));
        assert_eq!(next(&mut cursor), (1, "<svg/>\r\n--B\r\nContent-Type: image/svg+xml\r\n\r\n".to_owned()));
        assert_eq!(bytes(&cursor.repeat(true).unwrap()), "<svg/>");
    }

    #[test]
    fn an_img_that_comes_after_a_text_begins_with_the_picture_before_it() {
        let (publisher, feed) = feed(Kind::Newest);
        publisher.publish(Part { class: ImageClass::Raster, ..Part::now(Media::from_known("image/png"), "<svg/>") }).unwrap();
        publisher.publish(text("caption")).unwrap();
        let mut cursor = Cursor::new(feed.subscribe(0, None), Accepts::Pictures(Layout::Plain));
        assert!(next(&mut cursor).1.contains("<svg/>"));
    }
}
