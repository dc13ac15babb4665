//! The feeds that a recording plays into, one for each name in it. It decides what they are called, what kind they are, and which
//! parts are repeats. It knows neither files nor times.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tracing::warn;

use super::file_reader::FoundPart;
use crate::{
    feed::{Kind, Publisher, Refused, SourceState},
    format::Media,
    part::Part,
    recording::{PartHead, PlayedTime},
    source::{
        Context,
        kinds::{is_text, kind_of_part},
    },
};

/// The most feeds of one recording.
const MOST: usize = 1000;
/// The longest name of a feed, in bytes.
const LONGEST: usize = 200;
/// The least time between two warnings about parts that are left out.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The feeds of a recording.
#[derive(Debug)]
pub(super) struct PlayedFeeds {
    /// Its name is what the user calls the only feed, or the others together.
    context: Context,
    /// The name for parts that have none, after the file.
    stem: String,
    feeds: HashMap<String, PlayedFeed>,
    playing: Arc<PlayedTime>,
    warned: Option<Instant>,
    /// Whether the log says that a feed has another name here.
    has_told_name: bool,
}

#[derive(Debug)]
struct PlayedFeed {
    publisher: Publisher,
    /// `None` before the first part.
    kind: Option<Kind>,
    /// The last part's number and time: a stream that was saved repeats its newest part while nothing changes.
    last: Option<(u64, Option<SystemTime>)>,
}

impl PlayedFeed {
    /// Decides the kind as the recording tells it; otherwise by the first part, and by pictures or documents that follow lines.
    fn decide(&mut self, part: &Part, told: Option<&str>) {
        let kind = match self.kind {
            _ if told == Kind::Lines.header_value() => Kind::Lines,
            _ if told == Kind::Newest.header_value() => Kind::Newest,
            None => kind_of_part(&part.media, &part.body),
            Some(Kind::Lines) if !is_text(&part.media) => Kind::Newest,
            Some(_) => return,
        };
        if self.kind.replace(kind) != Some(kind) {
            self.publisher.decide(kind);
        }
    }
}

impl PlayedFeeds {
    pub(super) fn new(context: &Context, stem: String, playing: Arc<PlayedTime>) -> Self {
        Self { context: context.clone(), stem, feeds: HashMap::new(), playing, warned: None, has_told_name: false }
    }

    /// The largest body that they accept, in bytes.
    pub(super) fn part_bytes(&self) -> usize {
        self.context.part_bytes()
    }

    /// Opens the feeds of these parts, which are known before the first one is played.
    pub(super) fn open_all(&mut self, heads: &[PartHead]) {
        let mut names: Vec<&str> = Vec::new();
        heads.iter().map(|head| self.name_of(head)).for_each(|name| {
            if !names.contains(&name) {
                names.push(name);
            }
        });
        let is_alone = names.len() == 1;
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        for name in names {
            let head = heads.iter().find(|head| self.name_of(head) == name);
            let is_text = head.and_then(|head| head.headers.media.as_ref()).is_some_and(is_text);
            self.open(name, is_alone, if is_text { Kind::Lines } else { Kind::Newest });
        }
    }

    fn name_of<'a>(&'a self, head: &'a PartHead) -> &'a str {
        head.feed.as_deref().filter(|name| is_usable(name)).unwrap_or(&self.stem)
    }

    fn open(&mut self, name: String, is_alone: bool, kind: Kind) {
        if self.feeds.len() >= MOST {
            return;
        }
        let publisher = match &self.context.name {
            Some(_) if is_alone => self.context.open(&name, kind),
            Some(group) => Context { name: None, ..self.context.clone() }.open(format!("{group}/{name}"), kind),
            None => self.context.open(&name, kind),
        };
        publisher.set_replay();
        self.feeds.insert(name, PlayedFeed { publisher, kind: None, last: None });
    }

    /// Notes that nothing plays until somebody wants it. Before anybody can ask: a snapshot waits for a source that rests.
    pub(super) fn rest(&self) {
        self.feeds.values().for_each(|feed| feed.publisher.set_source(SourceState::Idle));
    }

    /// Notes that it is about to play.
    pub(super) fn wake(&self) {
        self.feeds.values().for_each(|feed| feed.publisher.set_source(SourceState::Starting));
    }

    /// Begins another round, in which the same parts are no repeats.
    pub(super) fn begin(&mut self) {
        self.feeds.values_mut().for_each(|feed| feed.last = None);
        self.set_source(&SourceState::Live);
    }

    /// Notes the time that plays, where no part has just it.
    pub(super) fn play_at(&self, time: SystemTime) {
        self.playing.set(time);
    }

    /// Notes that the recording cannot be read for now.
    pub(super) fn lose(&mut self, reason: &str) {
        self.set_source(&SourceState::Lost { reason: reason.to_owned() });
    }

    fn set_source(&self, state: &SourceState) {
        let has_part = |feed: &&PlayedFeed| feed.publisher.feed().newest().is_some();
        self.feeds.values().filter(has_part).for_each(|feed| feed.publisher.set_source(state.clone()));
    }

    /// Waits until one of them has had a reader.
    pub(super) async fn wanted(&self) {
        let wanted = |feed: &PlayedFeed| {
            let mut demand = feed.publisher.demand();
            Box::pin(async move { demand.wanted().await }) as Pin<Box<dyn Future<Output = bool> + Send>>
        };
        let mut all: Vec<_> = self.feeds.values().map(wanted).collect();
        poll_fn(|context| match all.iter_mut().any(|one| one.as_mut().poll(context).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Publishes a part with what was read of it; after the `last` its feed ends.
    pub(super) fn publish(&mut self, found: &FoundPart, body: io::Result<Bytes>, last: bool) {
        let head = &found.head;
        // What was shown when a stretch began is older than what plays.
        if let Some(time) = head.shown.or(head.headers.time) {
            self.playing.set(time);
        }
        let name = self.name_of(head).to_owned();
        self.tell_name(head, &name);
        if !self.feeds.contains_key(&name) {
            self.open(name.clone(), false, Kind::Newest);
        }
        let Some(feed) = self.feeds.get_mut(&name) else { return self.say(&name, "there are too many feeds in it") };
        let stamp = head.headers.sequence.map(|sequence| (sequence, head.headers.time));
        if stamp.is_some() && feed.last == stamp {
            return;
        }
        feed.last = stamp;
        let body = match body {
            Ok(body) => body,
            Err(why) => {
                feed.publisher.count_refused(1);
                return self.say(&name, &why.to_string());
            }
        };
        let part = part_of(head, body, self.context.media.as_ref());
        feed.decide(&part, head.kind.as_deref());
        let published = if last {
            self.feeds.remove(&name).map_or(Ok(()), |feed| feed.publisher.publish_last(part))
        } else {
            feed.publisher.publish(part)
        };
        if let Err(why @ (Refused::TooLarge | Refused::HasBoundary | Refused::NoMemory)) = published {
            self.say(&name, &why.to_string());
        }
    }

    /// Says once that the name of a feed is not taken.
    fn tell_name(&mut self, head: &PartHead, name: &str) {
        if let Some(feed) = head.feed.as_deref().filter(|feed| !self.has_told_name && !is_usable(feed)) {
            self.has_told_name = true;
            let shown: String = feed.chars().take(LONGEST).collect();
            warn!(feed = ?shown, "no URL can have this name: it is played as {name}, as all feeds with such names are");
        }
    }

    fn say(&mut self, name: &str, why: &str) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            warn!(feed = name, "a part is left out: {why}");
        }
    }
}

fn part_of(head: &PartHead, body: Bytes, media: Option<&Media>) -> Part {
    let media = media.cloned().or_else(|| head.headers.media.clone());
    let media = media.unwrap_or_else(|| Media::guess(std::path::Path::new(""), &body));
    let part = Part::now(media, body);
    Part { time: head.headers.time.unwrap_or(part.time), ..part }
}

/// Whether a name from a file can stand in the path of a URL.
fn is_usable(name: &str) -> bool {
    let is_changed_by_browsers = |segment: &str| matches!(segment.trim(), "" | "." | "..");
    name.len() <= LONGEST && !name.chars().any(char::is_control) && !name.split('/').any(is_changed_by_browsers)
}
