//! One feed as one viewer sees it: the parts that the viewer can show, their layout, and the headers for this viewer only. It knows
//! parts and their bytes, no sockets.

use std::task::Waker;

use bytes::Bytes;

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
    /// Whether a part has been sent: from then on the next headers may have been sent early.
    has_begun: bool,
    /// The class of pictures that its `<img>` shows: Chromium's tab crashes when they mix (docs/field.md, Browsers).
    class: Option<ImageClass>,
    /// The last picture sent, kept for a repeat: by then the feed may hold only text.
    picture: Option<Encoded>,
    /// The key of the waker in a run, which wakes this viewer only.
    waker: Option<usize>,
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
        Self { subscription, accepts, has_begun: false, class: None, picture: None, waker: None }
    }

    pub(super) fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    pub(super) fn subscription_mut(&mut self) -> &mut Subscription {
        &mut self.subscription
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

    /// Takes at most this many parts that the viewer can show; `None` if it has taken all.
    pub(super) fn take(&mut self, parts: u64) -> Option<Taken> {
        if self.accepts == Accepts::All {
            let batch = self.subscription.take(TakeLimit { parts })?;
            return Some(Taken { run: Some(batch.parts), dropped: batch.dropped, left_out: 0, ended: batch.ended });
        }
        let mut taken: Option<Taken> = None;
        while let Some(batch) = self.subscription.take(TakeLimit::ONE) {
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

    fn has_early_headers(&self) -> bool {
        self.has_begun && self.accepts.layout() == Layout::EarlyHeaders
    }

    /// Header lines for this viewer only. They report dropped parts of a feed of lines, and of every feed if they name the feed.
    pub(super) fn prefix(&self, is_named: bool, dropped: u64) -> Bytes {
        let feed = self.subscription.feed();
        let dropped = if is_named || feed.kind() == Kind::Lines { dropped } else { 0 };
        Prefix { feed: is_named.then_some(feed.url_name.as_str()), dropped }.bytes()
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
        let taken = cursor.take(u64::MAX).unwrap();
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
