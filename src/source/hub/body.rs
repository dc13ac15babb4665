//! The bodies that are pushed: one part, or a stream of them. Each takes its feed over with its first bytes.

use std::{path::Path, sync::Arc};

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::feeds::{HeldBytes, HubFeed, HubFeeds, Pusher};
use crate::{
    feed::{Hops, Kind},
    format::Media,
    intake::{Push, PushOutcome, PushRefusal},
    source::{
        framing::split::{Markup, PartStamp, RawPart, Split},
        incoming::{Announced, PartReader, StreamTraits, document_type},
    },
};

/// Types that programs write where nobody has told them one: curl and wget for a POST, browsers for bytes.
const SAYS_NOTHING: [&str; 3] = ["application/x-www-form-urlencoded", "application/octet-stream", "binary/octet-stream"];

/// The type of a body, unless it says nothing.
fn told_type(announced: &Announced) -> Option<Media> {
    let says = |media: &Media| !SAYS_NOTHING.iter().any(|nothing| media.essence().eq_ignore_ascii_case(nothing));
    announced.media.clone().filter(says)
}

/// A body that is one part.
pub(super) struct PartBody {
    name: String,
    media: Option<Media>,
    stamp: PartStamp,
    hops: Hops,
    bytes: Vec<u8>,
    held: HeldBytes,
    limit: usize,
    feeds: Arc<HubFeeds>,
    pusher: Pusher,
}

impl PartBody {
    /// A body of at most `limit` bytes. It takes room as it comes: one that only says its length keeps nobody out.
    pub(super) fn new(name: String, announced: Announced, limit: usize, feeds: Arc<HubFeeds>) -> Self {
        // A number says nothing of a part that is alone.
        let stamp = PartStamp { sequence: None, ..announced.stamp };
        let (media, held) = (told_type(&announced), HeldBytes::new(feeds.clone()));
        Self { name, media, stamp, hops: announced.hops, bytes: Vec::new(), held, limit, feeds, pusher: Pusher::of_one() }
    }
}

impl Push for PartBody {
    fn note_end(&mut self, _: &'static str) {}

    fn push(&mut self, bytes: &[u8]) -> Result<usize, PushRefusal> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(PushRefusal::TooLarge(self.limit));
        }
        self.held.set(self.bytes.len() + bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(0)
    }

    fn finish(mut self: Box<Self>) -> Result<PushOutcome, PushRefusal> {
        if self.bytes.is_empty() {
            return Err(PushRefusal::Empty);
        }
        let media = document_type(self.media.take(), Path::new(&self.name), &self.bytes);
        if media.essence() == "application/octet-stream" {
            let why = "neither its Content-Type nor its name nor its content says what it is".to_owned();
            return Err(PushRefusal::Type(why));
        }
        let bytes = std::mem::take(&mut self.bytes).into();
        let part = RawPart { media: Some(media), bytes, class: None, stamp: self.stamp };
        let (feed, is_new_feed) = self.feeds.take_over(&self.name, &self.pusher)?;
        let hops = std::mem::take(&mut self.hops);
        feed.with(&self.pusher, |feed| {
            feed.forget_pictures();
            feed.publisher().set_hops(hops);
            feed.take(&mut vec![part], &StreamTraits { kind: Some(Kind::Newest), ..StreamTraits::default() })
        })?;
        feed.leave_live(&self.pusher);
        Ok(PushOutcome { parts: 1, is_new_feed })
    }

    fn replaced(&self) -> CancellationToken {
        // It has the feed only for an instant.
        CancellationToken::new()
    }
}

/// A body of parts one after the other.
pub(super) struct StreamBody {
    name: String,
    rule: Split,
    traits: StreamTraits,
    hops: Hops,
    /// Whether nothing but its bytes says what it is.
    is_guessed: bool,
    taken: Option<TakenFeed>,
    bytes: u64,
    parts: u64,
    /// Why it ends, if it is cut off.
    end: &'static str,
    held: HeldBytes,
    feeds: Arc<HubFeeds>,
    pusher: Pusher,
}

/// The feed, once it is that of this body.
struct TakenFeed {
    feed: Arc<HubFeed>,
    reader: PartReader,
    is_new: bool,
}

impl StreamBody {
    pub(super) fn new(name: String, announced: Announced, feeds: Arc<HubFeeds>) -> Self {
        let hops = announced.hops.clone();
        let (rule, traits) = rule_of(announced);
        let is_guessed = rule == Split::Auto && traits.media.is_none();
        Self {
            name,
            rule,
            traits,
            hops,
            is_guessed,
            taken: None,
            bytes: 0,
            parts: 0,
            end: "its pusher is gone",
            held: HeldBytes::new(feeds.clone()),
            feeds,
            pusher: Pusher::of_one(),
        }
    }

    /// The feed, which it takes over if it has not done so yet.
    fn take_over(&mut self) -> Result<&mut TakenFeed, PushRefusal> {
        match self.taken {
            Some(ref mut taken) => Ok(taken),
            None => {
                let (feed, is_new) = self.feeds.take_over(&self.name, &self.pusher)?;
                let hops = std::mem::take(&mut self.hops);
                let reader = feed.with(&self.pusher, |feed| {
                    feed.forget_pictures();
                    feed.publisher().set_hops(hops);
                    PartReader::new(&self.rule, self.traits.clone(), feed)
                })?;
                info!(feed = self.name, "a pusher has come");
                Ok(self.taken.insert(TakenFeed { feed, reader, is_new }))
            }
        }
    }
}

/// Where the parts of a body end, and what is known of them.
fn rule_of(announced: Announced) -> (Split, StreamTraits) {
    if announced.is_multipart() {
        let traits = StreamTraits { run: announced.boundary.clone(), kind: announced.kind, ..StreamTraits::default() };
        return (Split::Multipart(announced.boundary), traits);
    }
    // Pictures one behind the other show their types themselves.
    let Some(media) = told_type(&announced) else { return (Split::Auto, StreamTraits::default()) };
    let markup = Markup::of(&media).filter(|_| !announced.is_of_lines());
    let is_text = markup.is_none() && (announced.is_of_lines() || media.is_text());
    match markup {
        Some(markup) => {
            let traits = StreamTraits { media: Some(media), ..StreamTraits::default() };
            (Split::Documents { markup, is_recognized: false }, traits)
        }
        None if is_text => (Split::Lines, StreamTraits { is_text, media: Some(media), ..StreamTraits::default() }),
        None => (Split::Auto, StreamTraits::default()),
    }
}

impl Push for StreamBody {
    fn note_end(&mut self, reason: &'static str) {
        self.end = reason;
    }

    fn push(&mut self, bytes: &[u8]) -> Result<usize, PushRefusal> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let is_first = self.bytes == 0;
        self.bytes += bytes.len() as u64;
        if is_first && self.is_guessed && bytes.contains(&0) && !is_known(bytes) {
            let why = "neither its Content-Type nor its first bytes say what it is".to_owned();
            return Err(PushRefusal::Type(why));
        }
        let pusher = self.pusher.clone();
        let TakenFeed { feed, reader, .. } = self.take_over()?;
        let whole = feed.with(&pusher, |feed| reader.push(bytes, feed))?;
        let pending = reader.pending();
        self.parts += whole as u64;
        self.held.set(pending)?;
        Ok(whole)
    }

    fn finish(mut self: Box<Self>) -> Result<PushOutcome, PushRefusal> {
        let (bytes, mut parts) = (self.bytes, self.parts);
        let Some(TakenFeed { feed, mut reader, is_new }) = self.taken.take() else { return Err(PushRefusal::Empty) };
        parts += feed.with(&self.pusher, |feed| reader.finish(feed))? as u64;
        feed.leave(&self.pusher, "its pusher has ended");
        info!(feed = self.name, parts, "the pusher has ended");
        if parts == 0 { Err(PushRefusal::NoPart(bytes)) } else { Ok(PushOutcome { parts, is_new_feed: is_new }) }
    }

    fn replaced(&self) -> CancellationToken {
        self.pusher.body.clone()
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if let Some(TakenFeed { feed, .. }) = self.taken.take() {
            if !self.pusher.has_lost_it() {
                info!(feed = self.name, "{}", self.end);
            }
            feed.leave(&self.pusher, self.end);
        }
    }
}

/// Whether these first bytes are of a format that is recognized.
fn is_known(bytes: &[u8]) -> bool {
    Media::guess(Path::new(""), bytes).essence() != "application/octet-stream" || crate::wire::begins_as_multipart(bytes)
}
