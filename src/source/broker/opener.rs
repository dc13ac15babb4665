//! Opens the feeds of a broker under their names. It knows no topic.

use crate::{
    feed::{Kind, SourceState},
    source::{Context, incoming::RemoteFeed},
};

/// Opens feeds.
pub(super) struct FeedOpener {
    context: Context,
    /// The feed of the only topic, or one for those who come before any other is there.
    waiting: Option<RemoteFeed>,
    is_one_topic: bool,
}

impl FeedOpener {
    /// Opens the feed of the only topic, or one that is there until another one is.
    pub(super) fn new(name: String, is_one_topic: bool, context: Context) -> Self {
        let waiting = RemoteFeed::new(context.open(name, Kind::Lines), context.media.clone(), None);
        // Before anybody can ask: a snapshot waits for a source that rests or begins.
        [SourceState::Idle, SourceState::Starting].into_iter().for_each(|state| waiting.publisher().set_source(state));
        Self { context, waiting: Some(waiting), is_one_topic }
    }

    /// The name of this process in `Via`.
    pub(super) fn process(&self) -> &str {
        self.context.opener.registry().process()
    }

    /// Whether the user says what everything is.
    pub(super) fn has_type(&self) -> bool {
        self.context.media.is_some()
    }

    /// Opens a feed. Several come below the name that the user gave.
    pub(super) fn open(&mut self, name: &str, kind: Kind) -> RemoteFeed {
        match self.waiting.take() {
            Some(feed) if self.is_one_topic => return feed,
            Some(feed) => drop(self.context.opener.remove(feed.name())),
            None => {}
        }
        let given = self.context.name.as_ref().filter(|_| !self.is_one_topic);
        let name = given.map_or_else(|| name.to_owned(), |given| format!("{given}/{name}"));
        let context = Context { name: None, ..self.context.clone() };
        RemoteFeed::new(context.open(name, kind), context.media.clone(), Some(kind))
    }

    /// Removes a feed.
    pub(super) fn remove(&self, name: &str) {
        self.context.opener.remove(name);
    }

    /// Counts a feed that is not opened.
    pub(super) fn count_left_out(&self) {
        self.context.opener.count_left_out();
    }

    /// Notes that a connection begins.
    pub(super) fn begin(&self) {
        self.waiting.iter().for_each(|feed| feed.publisher().count_connect());
    }

    /// Notes that it is there.
    pub(super) fn note_subscribed(&self) {
        self.waiting.iter().for_each(|feed| feed.publisher().set_source(SourceState::Starting));
    }

    /// Notes that it is lost.
    pub(super) fn lose(&self, reason: &str) {
        if let Some(feed) = &self.waiting {
            feed.publisher().count_connect_failure();
            feed.publisher().set_source(SourceState::Lost { reason: reason.to_owned() });
        }
    }
}
