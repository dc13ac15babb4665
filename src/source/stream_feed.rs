//! The feed of a stream of bytes, from a pipe or from a command: it is cut into parts, or drawn on a screen that is the part. It does
//! not know where the bytes come from.

use std::time::Instant;

use super::{
    context::Context,
    framing::{Framing, FramingSettings, NoPart},
    screen::{LineFeeds, ScreenFeed, ScreenSize},
};
use crate::feed::Publisher;

/// How a stream becomes parts.
#[derive(Debug, Clone)]
pub enum StreamParts {
    /// It is split.
    Split(FramingSettings),
    /// It is written to a terminal of this size, whose screen is the part.
    Screen(ScreenSize),
}

/// The feed of a stream.
#[derive(Debug)]
pub(super) enum StreamFeed {
    /// Of its parts.
    Split(Box<Framing>),
    /// Of its screen.
    Screen(Box<ScreenFeed>),
}

impl StreamFeed {
    /// A new feed of this name.
    pub(super) fn new(name: &str, parts: &StreamParts, line_feeds: LineFeeds, context: &Context) -> Self {
        match parts {
            StreamParts::Split(settings) => Self::Split(Box::new(Framing::new(name, settings, context))),
            StreamParts::Screen(size) => Self::Screen(Box::new(ScreenFeed::new(name, *size, line_feeds, context))),
        }
    }

    /// Takes the bytes of one read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Split(framing) => framing.push(bytes),
            Self::Screen(screen) => screen.push(bytes),
        }
    }

    /// When to call `act`.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Split(framing) => framing.due(),
            Self::Screen(screen) => screen.due(),
        }
    }

    /// Does what is due.
    pub(super) fn act(&mut self) {
        match self {
            Self::Split(framing) => framing.act(),
            Self::Screen(screen) => screen.act(),
        }
    }

    /// The publisher of the feed.
    pub(super) fn publisher(&self) -> &Publisher {
        match self {
            Self::Split(framing) => framing.publisher(),
            Self::Screen(screen) => screen.publisher(),
        }
    }

    /// Whether there was a part since the start, or since the last `begin`.
    pub(super) fn has_made_part(&self) -> bool {
        match self {
            Self::Split(framing) => framing.has_made_part(),
            Self::Screen(screen) => screen.has_made_part(),
        }
    }

    /// Answers to what the stream asked its terminal; none without a screen.
    pub(super) fn replies(&mut self) -> Vec<u8> {
        match self {
            Self::Split(_) => Vec::new(),
            Self::Screen(screen) => screen.replies(),
        }
    }

    /// Begins another stream of the same feed, on an empty screen.
    pub(super) fn begin(&mut self) {
        match self {
            Self::Split(framing) => framing.begin(),
            Self::Screen(screen) => screen.begin(),
        }
    }

    /// Takes the end of the stream; another one can begin.
    pub(super) fn end(&mut self) {
        match self {
            Self::Split(framing) => framing.end(),
            Self::Screen(screen) => screen.end(),
        }
    }

    /// Takes the end of the stream, and ends the feed. Returns why there was no part, if there was none.
    pub(super) fn finish(self) -> Option<NoPart> {
        match self {
            Self::Split(framing) => framing.finish(),
            Self::Screen(screen) => screen.finish(),
        }
    }
}
