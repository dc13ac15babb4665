//! A body whose parts name their feeds, as another mxr publishes them: each feed is taken over with its first part, and a part that came
//! before, in this body or an earlier one of its run, is a sign of life alone. It knows no connection.

use std::{collections::HashMap, sync::Arc};

use percent_encoding::percent_decode_str;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::feeds::{HeldBytes, HubFeed, HubFeeds, Pusher};
use crate::{
    feed::{Hops, Kind, url_name},
    intake::{Push, PushOutcome, PushRefusal, SeveralHead},
    source::{
        framing::split::{RawPart, whole_part},
        incoming::{Announced, StreamTraits},
    },
    wire::{Bounds, Decoded, Decoder},
};

/// A body whose parts name their feeds.
pub(super) struct SeveralBody {
    decoder: Decoder,
    run: Option<String>,
    /// Whether it is one of many, each with an end of its own, rather than a stream as long as its feeds last.
    has_length: bool,
    may_push: Box<dyn Fn(&str) -> bool + Send>,
    /// By their names as they are sent.
    taken: HashMap<String, NamedFeed>,
    bytes: u64,
    parts: u64,
    has_new_feed: bool,
    end: &'static str,
    held: HeldBytes,
    feeds: Arc<HubFeeds>,
    body: CancellationToken,
}

/// A feed that it has taken over.
struct NamedFeed {
    name: String,
    feed: Arc<HubFeed>,
    pusher: Pusher,
    stream: StreamTraits,
    /// Parts that have come together.
    parts: Vec<RawPart>,
}

impl SeveralBody {
    /// A body of parts of at most `limit` bytes.
    pub(super) fn new(head: SeveralHead, announced: Announced, limit: usize, feeds: Arc<HubFeeds>) -> Self {
        Self {
            decoder: Decoder::new(announced.boundary.as_deref(), Bounds::bodies(limit)),
            run: announced.boundary,
            has_length: head.length.is_some(),
            may_push: head.may_push,
            taken: HashMap::new(),
            bytes: 0,
            parts: 0,
            has_new_feed: false,
            end: "its pusher is gone",
            held: HeldBytes::new(feeds.clone()),
            feeds,
            body: CancellationToken::new(),
        }
    }

    /// Takes parts, and returns how many they are.
    fn take(&mut self, parts: Vec<Decoded>) -> Result<usize, PushRefusal> {
        let mut whole = 0;
        let mut before: Option<String> = None;
        for mut part in parts {
            let Some(name) = part.headers.feed.take().map(in_one_spelling) else {
                return Err(PushRefusal::Type("a part does not name its feed by X-Feed".to_owned()));
            };
            if let Some(before) = before.replace(name.clone()).filter(|before| *before != name) {
                whole += self.publish(&before)?;
            }
            let of_feed = |why| PushRefusal::OfFeed(decoded(&name), Box::new(why));
            let hops = part.headers.feed_via.as_deref().map(|via| Hops::of_via([via]));
            if self.is_loop(hops.as_ref()) {
                return Err(of_feed(PushRefusal::Loop));
            }
            if !self.taken.contains_key(&name) {
                let feed = self.take_over(&name).map_err(of_feed)?;
                self.taken.insert(name.clone(), feed);
            }
            let Some(feed) = self.taken.get_mut(&name) else { continue };
            feed.note(&part, hops).map_err(of_feed)?;
            feed.parts.extend(whole_part(part));
        }
        Ok(whole + before.map_or(Ok(0), |name| self.publish(&name))?)
    }

    /// Whether a feed comes from this process. It is not taken over then: its pusher is another one.
    fn is_loop(&self, hops: Option<&Hops>) -> bool {
        self.feeds.process().zip(hops).is_some_and(|(process, hops)| hops.has(process))
    }

    /// Publishes the parts of this feed that have come together.
    fn publish(&mut self, name: &str) -> Result<usize, PushRefusal> {
        let Some(NamedFeed { name, feed, pusher, stream, parts }) = self.taken.get_mut(name) else { return Ok(0) };
        let whole = feed.with(pusher, |feed| feed.take(parts, stream));
        let whole = whole.map_err(|why| PushRefusal::OfFeed(name.clone(), Box::new(why)))?;
        self.parts += whole as u64;
        Ok(whole)
    }

    fn take_over(&mut self, encoded: &str) -> Result<NamedFeed, PushRefusal> {
        let name = percent_decode_str(encoded).decode_utf8().map_err(|_| PushRefusal::Name("it is not in UTF-8"))?.into_owned();
        if !(self.may_push)(&name) {
            return Err(PushRefusal::OtherFeeds);
        }
        let pusher = Pusher::of_several(&self.body);
        let (feed, is_new) = self.feeds.take_over(&name, &pusher)?;
        feed.with(&pusher, |feed| feed.forget_pictures())?;
        self.has_new_feed |= is_new;
        if !self.has_length {
            info!(feed = name, "a pusher has come");
        }
        let stream = StreamTraits { run: self.run.clone(), is_of_mxr: true, ..StreamTraits::default() };
        Ok(NamedFeed { name, feed, pusher, stream, parts: Vec::new() })
    }

    /// Which feed of it another one has.
    fn lost(&self) -> Option<PushRefusal> {
        let lost = self.taken.values().find(|feed| feed.pusher.has_lost_it())?;
        Some(PushRefusal::OfFeed(lost.name.clone(), Box::new(PushRefusal::Replaced)))
    }

    fn leave(&mut self, reason: &str) {
        for (_, NamedFeed { name, feed, pusher, .. }) in self.taken.drain() {
            if !pusher.has_lost_it() {
                info!(feed = name, "{reason}");
            }
            feed.leave(&pusher, reason);
        }
    }
}

impl NamedFeed {
    /// Notes what the headers of a part say of the feed.
    fn note(&mut self, part: &Decoded, hops: Option<Hops>) -> Result<(), PushRefusal> {
        if let Some(kind) = part.headers.feed_kind.as_deref().and_then(Kind::of_header) {
            self.stream.kind = Some(kind);
        }
        let Some(hops) = hops else { return Ok(()) };
        self.feed.with(&self.pusher, |feed| feed.publisher().set_hops(hops))
    }
}

impl Push for SeveralBody {
    fn note_end(&mut self, reason: &'static str) {
        self.end = reason;
    }

    fn push(&mut self, bytes: &[u8]) -> Result<usize, PushRefusal> {
        // One that was removed shows when a part of it comes.
        if let Some(lost) = self.lost().filter(|_| self.body.is_cancelled()) {
            return Err(lost);
        }
        self.bytes += bytes.len() as u64;
        let mut parts = Vec::new();
        self.decoder.push(bytes, &mut parts);
        let whole = self.take(parts)?;
        self.held.set(self.decoder.pending())?;
        Ok(whole)
    }

    fn finish(mut self: Box<Self>) -> Result<PushOutcome, PushRefusal> {
        let mut parts = Vec::new();
        self.decoder.finish(&mut parts);
        self.take(parts)?;
        match self.has_length {
            true => self.taken.drain().for_each(|(_, feed)| feed.feed.leave_live(&feed.pusher)),
            false => self.leave("its pusher has ended"),
        }
        match (self.bytes, self.parts) {
            (0, _) => Err(PushRefusal::Empty),
            (bytes, 0) => Err(PushRefusal::NoPart(bytes)),
            (_, parts) => Ok(PushOutcome { parts, is_new_feed: self.has_new_feed }),
        }
    }

    fn replaced(&self) -> CancellationToken {
        self.body.clone()
    }
}

impl Drop for SeveralBody {
    fn drop(&mut self) {
        self.leave(self.end);
    }
}

/// A name in the spelling of `url_name`, so that two spellings of one feed do not take it from each other.
fn in_one_spelling(name: String) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    match percent_decode_str(&name).decode_utf8() {
        Ok(decoded) if !is_plain => url_name(&decoded),
        _ => name,
    }
}

fn decoded(encoded: &str) -> String {
    percent_decode_str(encoded).decode_utf8_lossy().into_owned()
}
