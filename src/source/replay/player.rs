//! Plays frames into a feed that all viewers share, at its pace. It does not know which frame comes next.

use std::{path::Path, time::Duration};

use super::{
    frame_cache::{Frame, FrameCache, Mode, SETTLE},
    listing::{FrameName, Listing},
    ticker::Ticker,
};
use crate::feed::Publisher;

/// The frames of a directory, and their feed.
pub(super) struct Player {
    pub(super) frames: FrameCache,
    publisher: Publisher,
    ticker: Ticker,
    /// The frame that was published before its turn, until that has come.
    shown_before: Option<FrameName>,
}

impl Player {
    pub(super) fn new(frames: FrameCache, publisher: Publisher, interval: Duration) -> Self {
        Self { frames, publisher, ticker: Ticker::new(interval), shown_before: None }
    }

    /// Publishes the first frame, if it is complete, so that it is there before a viewer can ask.
    pub(super) fn show_first(&mut self, listing: &Listing, mode: Mode) {
        let Some(first) = listing.first_there() else { return };
        let path = listing.path(&first);
        let mut frame = self.read(&path);
        if mode == Mode::Follow && frame.as_ref().is_some_and(Frame::may_grow) {
            // It is played once, and was written just now.
            std::thread::sleep(SETTLE);
            frame = self.read(&path).filter(|frame| !frame.may_grow());
        }
        if let Some(frame) = frame {
            self.frames.push(&self.publisher, frame.part, &path);
            self.shown_before = Some(first);
        }
    }

    /// A complete frame.
    pub(super) fn read(&self, path: &Path) -> Option<Frame> {
        self.frames.read(path, &self.publisher)
    }

    /// Publishes a frame when it is due.
    pub(super) async fn play(&mut self, name: &FrameName, frame: Frame, path: &Path) {
        self.ticker.tick().await;
        if self.shown_before.take().as_ref() != Some(name) {
            self.frames.push(&self.publisher, frame.part, path);
        }
    }
}
