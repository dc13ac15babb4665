//! A file without a file system, on a clock of the test's own, and a caller that obeys the machine.

use super::super::{Content as Bytes, *};
use crate::format::Completeness;

pub(super) const SETTLE: Duration = Duration::from_millis(100);
pub(super) const AFTER_CLOSE: Duration = Duration::from_millis(5);
/// Long enough for a file to have rested by its own time.
pub(super) const OLD: Duration = Duration::from_secs(3600);

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What a content is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Png,
    TornPng,
    Jpeg,
    TornJpeg,
    Json,
    Text,
    Zip,
    Emptied,
    Nothing,
}

impl Content {
    pub(super) fn is_complete(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg | Self::Json)
    }

    pub(super) fn is_torn(self) -> bool {
        matches!(self, Self::TornPng | Self::TornJpeg)
    }

    fn completeness(self) -> Completeness {
        match self {
            Self::Png | Self::Jpeg | Self::Json => Completeness::Complete,
            Self::Text | Self::Emptied => Completeness::Readable,
            Self::Zip => Completeness::Unknown,
            Self::TornPng | Self::TornJpeg | Self::Nothing => Completeness::Truncated,
        }
    }
}

/// A file without a file system, and the machine that watches it.
pub(super) struct Trial {
    pub(super) settling: Settling,
    pub(super) now: Instant,
    pub(super) state: i64,
    pub(super) size: u64,
    pub(super) changed: Instant,
    pub(super) content: Option<Content>,
    /// What the system tells of the writers.
    pub(super) writers: Writers,
    /// Whether it grows while it is read.
    pub(super) moment: Moment,
    /// Whether its end is that of the part before.
    pub(super) keeps_end: bool,
    pub(super) reads: usize,
}

impl Trial {
    pub(super) fn new(content: Content) -> Self {
        Self::with_interval(content, None)
    }

    /// A file on a system that does not tell of writers.
    pub(super) fn untold(content: Content) -> Self {
        Self::of_long_ago(content, Writers::Unknown)
    }

    /// A file that a writer has open.
    pub(super) fn held(content: Content) -> Self {
        Self::of_long_ago(content, Writers::Some)
    }

    fn of_long_ago(content: Content, writers: Writers) -> Self {
        let trial = Self::new(content);
        Self { writers, now: trial.now + OLD, ..trial }
    }

    /// A file that has been there for long, and was published.
    pub(super) fn with_interval(content: Content, interval: Option<Duration>) -> Self {
        let now = Instant::now() + OLD;
        let settling = Settling::new(SettleTimes { settle: SETTLE, settle_after_close: AFTER_CLOSE, interval });
        let (writers, moment, content) = (Writers::None, Moment::One, Some(content));
        let mut trial =
            Self { settling, now, state: 0, size: 9, changed: now - OLD, content, writers, moment, keeps_end: false, reads: 0 };
        trial.on(Input::Check);
        assert_eq!(trial.look(), Action::Publish);
        trial
    }

    pub(super) fn on(&mut self, input: Input<'_>) -> Action {
        self.settling.on(input, self.now)
    }

    pub(super) fn event(&mut self, change: Change) {
        self.on(Input::Event(&PathEvents { order: 1, change }));
    }

    /// The bytes change; of which no event tells yet.
    pub(super) fn write(&mut self, content: Content) {
        (self.state, self.changed, self.content) = (self.state + 1, self.now, Some(content));
    }

    /// A writer opens, writes and closes the file.
    pub(super) fn rewrite(&mut self, content: Content) {
        self.write(content);
        self.close();
    }

    /// The last writer lets go.
    pub(super) fn close(&mut self) {
        if self.writers == Writers::Some {
            self.writers = Writers::None;
        }
        self.event(Change::Closed);
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Its state, as the file system tells it.
    pub(super) fn signature(&self) -> Signature {
        Signature::numbered(self.state, self.size)
    }

    /// Obeys the machine once.
    pub(super) fn look(&mut self) -> Action {
        let mut action = self.on(Input::Tick);
        if action == Action::Look {
            action = match self.content {
                Some(_) => self.on(Input::Found(self.signature(), self.now.saturating_duration_since(self.changed))),
                None => self.on(Input::Incomplete),
            };
        }
        if action == Action::Open {
            action = self.on(Input::Opened(self.signature(), self.writers));
        }
        if let (Action::Read, Some(content)) = (action, self.content) {
            self.reads += 1;
            let evidence = Evidence {
                signature: self.signature(),
                moment: self.moment,
                completeness: content.completeness(),
                is_checksummed: matches!(content, Content::Png | Content::TornPng),
                keeps_end: self.keeps_end,
                is_text: matches!(content, Content::Json | Content::Text),
                content: match content {
                    Content::Emptied => Bytes::Emptied,
                    Content::Nothing => Bytes::Nothing,
                    _ => Bytes::Bytes,
                },
            };
            action = self.on(Input::Body(evidence));
        }
        if action == Action::Publish {
            self.on(Input::Published);
        }
        action
    }

    /// Obeys until there is something to do for others than the machine, or nothing is due for so long; tells after what time.
    pub(super) fn run(&mut self, at_most: Duration) -> Option<(Action, Duration)> {
        let start = self.now;
        while let Some(due) = self.settling.due().filter(|due| *due <= start + at_most) {
            self.now = self.now.max(due);
            let action = self.look();
            if action != Action::Wait {
                return Some((action, self.now - start));
            }
        }
        self.now = start + at_most;
        None
    }

    #[track_caller]
    pub(super) fn expect(&mut self, action: Action, after: Duration) {
        assert_eq!(self.run(OLD), Some((action, after)));
    }

    #[track_caller]
    pub(super) fn expect_nothing(&mut self) {
        assert_eq!(self.run(OLD), None);
    }
}
