//! One topic as a feed: which of what mxr tells about parts is about which body, and what a body is of which nothing is told. It knows
//! no other topic, and waits for nothing.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use super::opener::FeedOpener;
use crate::{
    feed::{Hops, Kind, SourceState},
    format::Media,
    mqtt::PartMeta,
    source::{
        framing::split::{PartStamp, RawPart},
        incoming::{RemoteFeed, StreamTraits},
        kinds::{is_text, kind_of_part, media_of},
    },
};

/// A feed that has ended at its publisher goes after this time; it may be opened again.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// A feed of which a broker that was started again has nothing goes after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10 * 60);

/// One topic.
pub(super) struct TopicFeed {
    /// What its feed is called, below the name that the user gave.
    name: String,
    feed: Option<RemoteFeed>,
    /// What its publisher tells of the newest part; nothing of a topic of another program.
    meta: Option<PartMeta>,
    stream: StreamTraits,
    /// What is told of the next body that comes live.
    next: Option<NextBody>,
    /// A body that was retained, until it is known whether anything is told of it.
    held: Option<Bytes>,
    /// The body that was retained when it was last asked for, by its length and checksum.
    retained: Option<(usize, u32)>,
    /// The type of the last part.
    media: Option<Media>,
    /// Whether its parts come from here.
    is_circle: bool,
    /// When something last came live.
    alive_at: Option<Instant>,
    /// Whether nothing has come since the connection began.
    is_awaited: bool,
    /// What the feed was told of its source last.
    state: Option<SourceState>,
    gone_at: Option<Instant>,
}

/// What is known of a body before it comes.
struct NextBody {
    stamp: PartStamp,
    /// Its length, unless it is a line behind the one that it was told of.
    bytes: Option<usize>,
}

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyFate {
    /// It was taken, or known.
    Taken,
    /// It waits for what may be told of it.
    Held,
    /// It is nothing that can be shown.
    Unknown,
}

impl TopicFeed {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            feed: None,
            meta: None,
            stream: StreamTraits::default(),
            next: None,
            held: None,
            retained: None,
            media: None,
            is_circle: false,
            alive_at: None,
            is_awaited: false,
            state: None,
            gone_at: None,
        }
    }

    /// The name of its feed here, if it has one.
    pub(super) fn feed_name(&self) -> Option<&str> {
        self.feed.as_ref().map(RemoteFeed::name)
    }

    /// When it is to be removed.
    pub(super) fn gone_at(&self) -> Option<Instant> {
        self.gone_at
    }

    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// The length of the body that is held.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, Bytes::len)
    }

    /// Whether a publisher of mxr tells of its parts.
    pub(super) fn is_of_mxr(&self) -> bool {
        self.meta.is_some()
    }

    /// Notes what is told of a part, and publishes a body that has waited for that. Returns whether it has turned out that the feed comes
    /// from this process.
    pub(super) fn note_meta(&mut self, meta: PartMeta, is_retained: bool, opener: &mut FeedOpener) -> bool {
        self.note_sign(is_retained);
        let hops = Hops::of_names(meta.via.iter().map(String::as_str));
        if hops.has(opener.process()) {
            (self.held, self.next) = (None, None);
            return !std::mem::replace(&mut self.is_circle, true);
        }
        self.is_circle = false;
        self.stream = StreamTraits {
            run: meta.process().map(str::to_owned),
            has_unique_run: true,
            is_of_edge: hops.pass_an_edge(),
            kind: Kind::of_header(&meta.kind),
            is_of_mxr: true,
            ..StreamTraits::default()
        };
        // What is retained may be of a line before those that come now, or of a part that is there.
        let known = self.feed.as_ref().and_then(|feed| feed.sequence_in(meta.process()?));
        let is_of_next = !is_retained || (self.stream.kind != Some(Kind::Lines) && known != Some(meta.sequence));
        self.next = is_of_next.then(|| NextBody { stamp: stamp_of(&meta), bytes: Some(meta.bytes) });
        self.meta = Some(meta);
        if let Some(feed) = &self.feed {
            feed.publisher().set_hops(hops);
        } else if self.stream.kind == Some(Kind::Lines) {
            self.open(Kind::Lines, opener);
        }
        self.release(false, opener);
        false
    }

    fn open(&mut self, kind: Kind, opener: &mut FeedOpener) {
        let feed = opener.open(&self.name, kind);
        if let Some(meta) = &self.meta {
            feed.publisher().set_hops(Hops::of_names(meta.via.iter().map(String::as_str)));
        }
        self.feed = Some(feed);
    }

    /// Notes that it has ended: it is removed soon, unless something comes.
    pub(super) fn note_end(&mut self) {
        (self.held, self.next) = (None, None);
        self.gone_at.get_or_insert(Instant::now() + GONE_AFTER);
    }

    /// Takes a body that has come live.
    pub(super) fn take_live(&mut self, body: Bytes, opener: &mut FeedOpener) -> BodyFate {
        self.note_sign(false);
        // What was retained is older, and shows that the topic has a value.
        if let Some(held) = self.held.take().filter(|_| !self.is_of_mxr()) {
            self.stream.kind.get_or_insert(Kind::Newest);
            self.retained = Some(digest(&held));
        }
        let told = self.next.take_if(|next| next.bytes.is_none_or(|bytes| bytes == body.len()));
        let Some(NextBody { stamp, .. }) = told else { return self.publish(body, None, false, opener) };
        if self.stream.kind == Some(Kind::Lines) {
            let sequence = stamp.sequence.map(|sequence| sequence.saturating_add(1));
            // It is told of the first line alone, and the others were sent together with it.
            self.next = Some(NextBody { stamp: PartStamp { sequence, ..stamp }, bytes: None });
        }
        self.publish(body, Some(stamp), false, opener)
    }

    /// Takes a body that the broker had before it was asked. What is told of it comes before or after it.
    pub(super) fn take_retained(&mut self, body: Bytes, opener: &mut FeedOpener) -> BodyFate {
        self.note_sign(true);
        self.held = Some(body);
        self.release(false, opener)
    }

    /// Publishes the body that is held, once it is told of. `is_last`: nothing will be told of it any more.
    pub(super) fn release(&mut self, is_last: bool, opener: &mut FeedOpener) -> BodyFate {
        let Some(body) = self.held.take_if(|_| !self.is_circle) else { return BodyFate::Taken };
        match self.told_of(&body) {
            Some(stamp) => self.publish_retained(body, stamp, opener),
            None if is_last => {
                // One that comes again would be older than what has come live.
                let is_again = self.retained.replace(digest(&body)) == Some(digest(&body));
                if is_again || self.is_newest(&body) {
                    return BodyFate::Taken;
                }
                self.publish(body, None, true, opener)
            }
            None => {
                self.held = Some(body);
                BodyFate::Held
            }
        }
    }

    fn told_of(&self, body: &Bytes) -> Option<PartStamp> {
        self.meta.as_ref().filter(|meta| meta.bytes == body.len()).map(stamp_of)
    }

    fn publish_retained(&mut self, body: Bytes, stamp: PartStamp, opener: &mut FeedOpener) -> BodyFate {
        self.next = None;
        let feed = self.feed.as_ref();
        let is_of_other_run =
            self.stream.run.as_deref().is_some_and(|run| feed.is_some_and(|feed| feed.sequence_in(run).is_none()));
        let newest = feed.and_then(|feed| feed.publisher().feed().newest()).map(|newest| newest.time());
        let is_older = newest.zip(stamp.time).is_some_and(|(newest, time)| time < newest);
        if is_of_other_run && is_older {
            debug!(feed = self.name, "the broker retains an older part, which is left out");
            return BodyFate::Taken;
        }
        self.publish(body, Some(stamp), true, opener)
    }

    fn note_sign(&mut self, is_retained: bool) {
        (self.is_awaited, self.gone_at) = (false, None);
        if !is_retained {
            self.alive_at = Some(Instant::now());
        }
    }

    fn is_newest(&self, body: &Bytes) -> bool {
        let newest = self.feed.as_ref().and_then(|feed| feed.publisher().feed().newest());
        newest.is_some_and(|newest| newest.body() == *body)
    }

    fn publish(&mut self, body: Bytes, told: Option<PartStamp>, is_retained: bool, opener: &mut FeedOpener) -> BodyFate {
        if self.is_circle {
            return BodyFate::Taken;
        }
        let media = self.media_of(&body, told.is_some());
        if media.essence() == "application/octet-stream" && told.is_none() && !opener.has_type() {
            return BodyFate::Unknown;
        }
        let line = without_line_end(&body);
        let kind = match self.stream.kind {
            Some(kind) if told.is_some() || kind == Kind::Newest || is_text(&media) => kind,
            _ if is_retained => Kind::Newest,
            _ => kind_of_part(&media, &line),
        };
        let bytes = if kind == Kind::Lines && told.is_none() { line } else { body };
        self.stream.kind = Some(kind);
        self.media = Some(media.clone());
        if self.feed.is_none() {
            self.open(kind, opener);
        }
        let part = RawPart { media: Some(media), bytes, class: None, stamp: told.unwrap_or_default() };
        if let Some(feed) = &mut self.feed {
            // The log says of the broker that it is there again, not of each feed.
            if let Some(SourceState::Lost { .. }) = self.state {
                self.state = None;
                feed.publisher().set_source(SourceState::Live);
            }
            feed.take(&mut vec![part], &self.stream);
        }
        BodyFate::Taken
    }

    /// The type of a body: what is told of it, or what it shows, or that of the part before it.
    fn media_of(&self, body: &Bytes, is_told: bool) -> Media {
        if let Some(media) = self.meta.as_ref().filter(|_| is_told).and_then(|meta| Media::parse(&meta.media).ok()) {
            return media;
        }
        let shown = media_of(Path::new(&self.name), body);
        let says_little = shown.as_str() == Media::TEXT || shown.essence() == "application/octet-stream";
        let before = self.media.clone().filter(|before| says_little && self.is_of_mxr() && !before.is_image());
        before.unwrap_or(shown)
    }

    /// Notes that a connection begins.
    pub(super) fn begin(&mut self) {
        (self.held, self.next, self.is_awaited) = (None, None, true);
        if let Some(feed) = &mut self.feed {
            feed.begin();
            feed.publisher().count_connect();
        }
    }

    /// Notes that the connection is lost, or that there was none.
    pub(super) fn lose(&mut self, reason: &str) {
        (self.held, self.next, self.gone_at) = (None, None, None);
        self.feed.iter().for_each(|feed| feed.publisher().count_connect_failure());
        self.set_source(SourceState::Lost { reason: reason.to_owned() });
    }

    /// Notes that the broker has told all that it had: what it has nothing of has gone with it.
    pub(super) fn note_all_told(&mut self) {
        if self.is_awaited && self.is_of_mxr() {
            self.gone_at.get_or_insert(Instant::now() + FORGOTTEN_AFTER);
            self.set_source(SourceState::Lost { reason: "the broker has nothing of it, and waits for its publisher".to_owned() });
        }
    }

    /// Says how the source is, as far as the publisher tells it, which has been offline since then.
    pub(super) fn settle(&mut self, offline_since: Option<Instant>) {
        let lost = |reason: &str| SourceState::Lost { reason: reason.to_owned() };
        let Some(feed) = &self.feed else { return };
        match &self.meta {
            Some(_) if offline_since.is_some() && offline_since >= self.alive_at => {
                self.set_source(lost("its publisher is offline"))
            }
            Some(meta) if !meta.live => self.set_source(lost("its publisher has lost the source")),
            Some(_) if self.is_awaited => {}
            _ if feed.publisher().feed().newest().is_some() => self.set_source(SourceState::Live),
            _ => self.set_source(SourceState::Starting),
        }
    }

    fn set_source(&mut self, state: SourceState) {
        if let Some(feed) = self.feed.as_ref().filter(|_| self.state.as_ref() != Some(&state)) {
            self.state = Some(state.clone());
            feed.publisher().set_source(state);
        }
    }
}

fn stamp_of(meta: &PartMeta) -> PartStamp {
    PartStamp { time: meta.time(), sequence: Some(meta.sequence) }
}

/// The length and checksum of a body.
fn digest(body: &Bytes) -> (usize, u32) {
    (body.len(), crc32fast::hash(body))
}

/// A text that is one line, as `echo` makes it, without the end of the line.
fn without_line_end(body: &Bytes) -> Bytes {
    let end = body.strip_suffix(b"\n").map_or(body.len(), |line| line.strip_suffix(b"\r").unwrap_or(line).len());
    if end == 0 || body[..end].contains(&b'\n') { body.clone() } else { body.slice(..end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_line_is_no_part_of_it_and_a_document_stays_as_it_is() {
        for (body, line) in [("21.5\n", "21.5"), ("on\r\n", "on"), ("on", "on"), ("a\nb\n", "a\nb\n"), ("\n", "\n"), ("", "")] {
            assert_eq!(without_line_end(&Bytes::from_static(body.as_bytes())), line, "{body:?}");
        }
    }
}
