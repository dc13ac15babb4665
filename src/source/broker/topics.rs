//! All topics of a broker that a filter is for: which feed a message belongs to, how many feeds there are, and which publishers are
//! offline. It knows no connection.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    offline::{OfflinePrefixes, is_below},
    opener::FeedOpener,
    topic_feed::{BodyFate, TopicFeed},
};
use crate::{
    escape::Escaped,
    feed::check_name,
    mqtt::{Broker, Message, PartMeta, TopicFilter, TopicRole},
    source::Context,
};

/// The most feeds of one filter.
const MOST_FEEDS: usize = 256;
/// Characters of a topic without a feed that the log says.
const LONGEST_SAID: usize = 250;
/// Topics beyond them that are counted, once each.
const MOST_COUNTED: usize = 65_536;
/// Topics that are told of, since they are nothing that can be shown.
const MOST_SAID: usize = 10;
/// After so long without a retained message nothing more is told of those that have come.
const QUIET: Duration = Duration::from_millis(50);
/// The most bytes of retained bodies that wait for what may be told of them.
const MOST_HELD: usize = 256 * 1024 * 1024;
/// So long after a subscription and the last retained message a broker has told all that it has.
const ALL_TOLD_AFTER: Duration = Duration::from_secs(5);

/// The topics of a broker.
pub(super) struct Topics {
    broker: String,
    filter: TopicFilter,
    opener: FeedOpener,
    /// By their topics.
    feeds: HashMap<String, TopicFeed>,
    offline: OfflinePrefixes,
    /// When the retained messages are over, unless one more comes.
    quiet_at: Option<Instant>,
    /// When the broker has told all that it has.
    all_told_at: Option<Instant>,
    /// Topics that have no feed since there are too many, by their hashes.
    left_out: HashSet<u64>,
    /// Topics whose bytes are nothing that can be shown, by their hashes.
    unknown: HashSet<u64>,
    has_said_too_many: bool,
    has_said_no_name: bool,
}

impl Topics {
    pub(super) fn new(broker: &Broker, filter: TopicFilter, context: Context) -> Self {
        let is_one_topic = filter.is_one_topic();
        let name = filter.name(filter.as_str()).filter(|_| is_one_topic).and_then(|name| feed_name(&name));
        let name = name.unwrap_or_else(|| broker.host().to_owned());
        Self {
            broker: broker.to_string(),
            filter,
            opener: FeedOpener::new(name, is_one_topic, context),
            feeds: HashMap::new(),
            offline: OfflinePrefixes::default(),
            quiet_at: None,
            all_told_at: None,
            left_out: HashSet::new(),
            unknown: HashSet::new(),
            has_said_too_many: false,
            has_said_no_name: false,
        }
    }

    /// Notes that a connection begins.
    pub(super) fn begin(&mut self) {
        self.offline.clear();
        (self.quiet_at, self.all_told_at) = (None, None);
        self.feeds.values_mut().for_each(TopicFeed::begin);
        self.opener.begin();
    }

    /// Notes that the connection is lost, or that there was none.
    pub(super) fn lose(&mut self, reason: &str) {
        self.feeds.values_mut().for_each(|feed| feed.lose(reason));
        self.opener.lose(reason);
    }

    /// Notes that the broker has accepted the subscription.
    pub(super) fn note_subscribed(&mut self) {
        self.all_told_at = Some(Instant::now() + ALL_TOLD_AFTER);
        self.opener.note_subscribed();
        // Nobody tells of the others.
        self.feeds.values_mut().filter(|feed| !feed.is_of_mxr()).for_each(|feed| feed.settle(None));
    }

    /// When `tick` is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        let gone = self.feeds.values().filter_map(TopicFeed::gone_at);
        self.quiet_at.into_iter().chain(self.all_told_at).chain(self.offline.due()).chain(gone).min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        if self.quiet_at.take_if(|at| *at <= now).is_some() {
            self.release_all();
        }
        if self.all_told_at.take_if(|at| *at <= now).is_some() {
            self.feeds.values_mut().for_each(TopicFeed::note_all_told);
            if self.feeds.is_empty() {
                let (broker, topics) = (&self.broker, self.filter.as_str());
                let hint = "a URL that ends with /# is for all topics below; the user may be allowed to read none (acl_file)";
                info!(broker, topics, hint, "there is no message yet");
            }
        }
        for prefix in self.offline.take_due(now) {
            self.settle_below(&prefix, now);
        }
        for (topic, feed) in self.feeds.extract_if(|_, feed| feed.gone_at().is_some_and(|at| at <= now)) {
            if let Some(feed) = feed.feed_name() {
                info!(feed, broker = self.broker, topic = %Escaped(topic), "the feed is gone there, and is removed");
                self.opener.remove(feed);
            }
        }
    }

    fn settle_below(&mut self, prefix: &str, now: Instant) {
        let Self { feeds, offline, .. } = self;
        for (topic, feed) in feeds.iter_mut().filter(|(topic, _)| is_below(topic, prefix)) {
            if let Some(since) = offline.since(topic, now) {
                feed.settle(Some(since));
            }
        }
    }

    /// Takes a message.
    pub(super) fn take(&mut self, message: Message) {
        let Message { topic, payload, is_retained } = message;
        if is_retained {
            let now = Instant::now();
            self.quiet_at = Some(now + QUIET);
            self.all_told_at = self.all_told_at.map(|_| now + ALL_TOLD_AFTER);
        }
        match TopicRole::of(&topic) {
            TopicRole::Status(prefix) if matches!(&payload[..], b"online" | b"offline") => {
                self.note_status(prefix, &payload == "online", is_retained);
            }
            TopicRole::Meta(body) if payload.is_empty() && self.feeds.get(body).is_some_and(TopicFeed::is_of_mxr) => self.end(body),
            TopicRole::Meta(body) => match PartMeta::parse(&payload) {
                Some(meta) => self.note_meta(body, meta, is_retained),
                None => self.take_body(&topic, payload, is_retained),
            },
            TopicRole::Body | TopicRole::Status(_) => self.take_body(&topic, payload, is_retained),
        }
    }

    fn note_status(&mut self, prefix: &str, is_online: bool, is_retained: bool) {
        let now = Instant::now();
        if is_online {
            self.offline.remove(prefix);
        } else if self.offline.insert(prefix, is_retained, now) {
            self.settle_below(prefix, now);
        }
    }

    fn note_meta(&mut self, topic: &str, meta: PartMeta, is_retained: bool) {
        let Some((feed, opener)) = self.feed(topic) else { return };
        let is_circle = feed.note_meta(meta, is_retained, opener);
        self.settle(topic);
        if is_circle {
            let topic = Escaped(topic);
            warn!(broker = self.broker, %topic, "not relayed: its feed comes from here");
        }
    }

    fn take_body(&mut self, topic: &str, body: Bytes, is_retained: bool) {
        if body.is_empty() {
            return self.end(topic);
        }
        let Some((feed, opener)) = self.feed(topic) else { return };
        let fate = if is_retained { feed.take_retained(body, opener) } else { feed.take_live(body, opener) };
        self.note_fate(topic, &fate);
        // The retained messages of a broker may never end.
        if fate == BodyFate::Held && self.feeds.values().map(TopicFeed::held_bytes).sum::<usize>() > MOST_HELD {
            self.release_all();
        }
    }

    fn end(&mut self, topic: &str) {
        if let Some(feed) = self.feeds.get_mut(topic) {
            feed.note_end();
        }
    }

    /// Publishes what was retained and of which nothing was told.
    fn release_all(&mut self) {
        let mut holding: Vec<String> =
            self.feeds.iter().filter(|(_, feed)| feed.is_holding()).map(|(topic, _)| topic.clone()).collect();
        // Their order is that of the page.
        holding.sort_unstable();
        for topic in holding {
            let Some((feed, opener)) = self.feed(&topic) else { continue };
            let fate = feed.release(true, opener);
            self.note_fate(&topic, &fate);
        }
    }

    /// The feed of a topic, which is new if there is room.
    fn feed(&mut self, topic: &str) -> Option<(&mut TopicFeed, &mut FeedOpener)> {
        if !self.feeds.contains_key(topic) {
            // Others come with the subscriptions to what is told of parts.
            let name = self.filter.name(topic)?;
            match feed_name(&name) {
                Some(name) if self.feeds.len() < MOST_FEEDS => drop(self.feeds.insert(topic.to_owned(), TopicFeed::new(name))),
                name => self.leave_out(topic, name.is_some()),
            }
        }
        Some((self.feeds.get_mut(topic)?, &mut self.opener))
    }

    fn note_fate(&mut self, topic: &str, fate: &BodyFate) {
        self.settle(topic);
        if *fate == BodyFate::Unknown {
            // It takes no other's place.
            self.feeds
                .remove(topic)
                .filter(|feed| feed.feed_name().is_some())
                .map(|feed| self.feeds.insert(topic.to_owned(), feed));
            if self.unknown.len() < MOST_COUNTED && self.unknown.insert(hash_of(topic)) {
                self.opener.count_left_out();
                let (topic, further) =
                    (Escaped(topic), if self.unknown.len() == MOST_SAID { "; further ones are not told" } else { "" });
                match self.unknown.len() <= MOST_SAID {
                    true => info!(
                        broker = self.broker, %topic,
                        "left out: it is neither a picture nor text; --type would say what it is{further}"
                    ),
                    false => debug!(broker = self.broker, %topic, "left out as well"),
                }
            }
        }
    }

    fn settle(&mut self, topic: &str) {
        if let Some(feed) = self.feeds.get_mut(topic) {
            feed.settle(self.offline.since(topic, Instant::now()));
        }
    }

    /// Counts a topic for which there is no feed.
    fn leave_out(&mut self, topic: &str, has_name: bool) {
        if self.left_out.len() >= MOST_COUNTED || !self.left_out.insert(hash_of(topic)) {
            return;
        }
        self.opener.count_left_out();
        let (broker, is_said) = (&self.broker, if has_name { &mut self.has_said_too_many } else { &mut self.has_said_no_name });
        match (std::mem::replace(is_said, true), has_name) {
            (true, _) => {}
            (false, true) => {
                let (topics, most) = (self.filter.as_str(), MOST_FEEDS);
                warn!(broker, topics, most, "there are more topics than feeds; the others are left out");
            }
            (false, false) => {
                let topic = Escaped(topic.chars().take(LONGEST_SAID).collect::<String>());
                info!(broker, %topic, "left out: no feed can have its name, which is too long or empty");
            }
        }
    }
}

fn hash_of(topic: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    topic.hash(&mut hasher);
    hasher.finish()
}

/// The name of a feed as it can stand in a URL; none where that is too long.
fn feed_name(name: &str) -> Option<String> {
    let levels = name.split('/').filter(|level| !level.is_empty()).map(|level| match level {
        "." => "%2E",
        ".." => "%2E%2E",
        level => level,
    });
    let name = levels.collect::<Vec<_>>().join("/");
    let name: String = name.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect();
    check_name(&name).is_ok().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_that_is_not_too_long_has_a_name_that_can_stand_in_a_url() {
        for (topic, name) in [
            ("front/person/snapshot", "front/person/snapshot"),
            ("/esp//cam/", "esp/cam"),
            ("a/../b/.", "a/%2E%2E/b/%2E"),
            ("a\u{7}b", "a\u{fffd}b"),
            ("Garaż 2.5", "Garaż 2.5"),
        ] {
            assert_eq!(feed_name(topic).as_deref(), Some(name));
        }
        assert_eq!((feed_name("//"), feed_name(&"x".repeat(201))), (None, None));
    }
}
