//! A file without a file system, on a clock of the test's own, and a caller that obeys the machine.

use super::super::*;

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
    Text,
}

impl Content {
    pub(super) fn is_complete(self) -> bool {
        !matches!(self, Self::TornPng | Self::TornJpeg)
    }
}

/// A file without a file system, and the machine that watches it.
pub(super) struct Trial {
    pub(super) settling: Settling,
    pub(super) now: Instant,
    pub(super) state: i64,
    pub(super) changed: Instant,
    pub(super) content: Option<Content>,
    pub(super) reads: usize,
}

impl Trial {
    pub(super) fn new(content: Content) -> Self {
        Self::with_interval(content, None)
    }

    /// A file that has been there for long, and was published.
    pub(super) fn with_interval(content: Content, interval: Option<Duration>) -> Self {
        let now = Instant::now() + OLD;
        let settling = Settling::new(SettleTimes { settle: SETTLE, settle_after_close: AFTER_CLOSE, interval });
        let mut trial = Self { settling, now, state: 0, changed: now - OLD, content: Some(content), reads: 0 };
        trial.on(Input::Check);
        assert_eq!(trial.look(), Action::Publish);
        trial
    }

    pub(super) fn on(&mut self, input: Input<'_>) -> Action {
        self.settling.on(input, self.now)
    }

    pub(super) fn event(&mut self, change: Change, opened: i32) {
        self.on(Input::Event(&PathEvents::one(1, change, opened)));
    }

    /// The bytes change; of which no event tells yet.
    pub(super) fn write(&mut self, content: Content) {
        (self.state, self.changed, self.content) = (self.state + 1, self.now, Some(content));
    }

    /// A writer opens, writes and closes the file.
    pub(super) fn rewrite(&mut self, content: Content) {
        self.event(Change::Opened, 1);
        self.write(content);
        self.event(Change::Closed, -1);
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Obeys the machine once.
    pub(super) fn look(&mut self) -> Action {
        let mut action = self.on(Input::Tick);
        if action == Action::Look {
            action = match self.content {
                Some(_) => self.on(Input::Found(Signature::numbered(self.state), self.now - self.changed)),
                None => self.on(Input::Incomplete),
            };
        }
        if let (Action::Read, Some(content)) = (action, self.content) {
            self.reads += 1;
            let evidence = Evidence {
                signature: Signature::numbered(self.state),
                is_complete: content.is_complete(),
                is_checksummed: matches!(content, Content::Png | Content::TornPng),
                is_text: content == Content::Text,
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
