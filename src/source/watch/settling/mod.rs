//! Decides when a file is worth reading and whether its bytes may be shown: is its writer done? A pure state machine that is told
//! of events, metadata and bodies, and of the time. It knows no file system, no clock and no feed.
//!
//! The caller obeys what `on` returns: `Look` is answered with what the file's metadata are, `Read` with what came of reading.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    file::Signature,
    source::fs_events::{Change, PathEvents},
};

/// Pauses before a file that is incomplete or missing is looked at again.
const RETRIES: [Duration; 3] = [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(60)];
/// How long a file may be incomplete before that is reported, and how long it may change without a rest before it is read all
/// the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the machine is told.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// Something happened to the file.
    Event(&'a PathEvents),
    /// Events were lost: anything may have happened.
    EventsLost,
    /// The file may have changed without an event.
    Check,
    /// Another file takes the place of this one.
    OtherFile,
    /// Time has passed.
    Tick,
    /// The answer to `Look`: the file's metadata, and how long ago its bytes changed by the clock of its file system.
    Found(Signature, Duration),
    /// The answer to `Read`: the bytes of one moment.
    Body(Evidence),
    /// The answer to both: the file is not there, or changed while it was read.
    Incomplete,
    /// The answer to `Read`: a file like this can never be shown.
    Unusable(Signature),
    /// The answer to both: it failed.
    Failed,
    /// The part was published.
    Published,
}

/// What a look at a body told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    /// The state of the file that the bytes are of.
    pub(super) signature: Signature,
    /// Whether there are bytes, and as far as their format tells none is missing.
    pub(super) is_complete: bool,
    /// Whether checksums prove that these bytes belong together.
    pub(super) is_checksummed: bool,
    /// Whether it is text, of which any beginning can be shown.
    pub(super) is_text: bool,
}

/// What the caller has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing before `due`.
    Wait,
    /// Look at the file's metadata.
    Look,
    /// Read the file.
    Read,
    /// Publish the body.
    Publish,
    /// Tell the user why the file is not shown.
    Report,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct SettleTimes {
    /// How long a file must have rested whose writer was not seen to close it.
    pub(super) settle: Duration,
    /// The same where it was seen: a next writer may have begun within a tick of the file system's clock.
    pub(super) settle_after_close: Duration,
    /// The least time between two parts: what would only be thinned out is not read.
    pub(super) interval: Option<Duration>,
}

/// How far a file is on its way.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Nothing is to be done before something happens.
    Idle,
    /// The file is to be looked at, once it may be.
    Waiting(Instant, Change),
    /// The caller looks at the metadata.
    Looking(Change),
    /// The caller reads.
    Reading(Change, ReadCause),
}

/// Why a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadCause {
    /// It has rested.
    Rested,
    /// It was closed just now, and checksums are expected to tell whether another writer has begun.
    Checksums,
    /// It has not come to rest for too long.
    Unstable,
}

/// What the last look found.
#[derive(Debug, Clone, Copy)]
struct Seen {
    signature: Signature,
    /// Since when it has been so.
    since: Instant,
    /// Whether it has been read, and the judgement stands until the file changes.
    is_judged: bool,
}

/// How often in a row a file was incomplete, and since when.
#[derive(Debug, Clone, Copy)]
struct Retries {
    count: usize,
    since: Instant,
}

/// One file on its way from a change to a part.
#[derive(Debug)]
pub(super) struct Settling {
    times: SettleTimes,
    stage: Stage,
    seen: Option<Seen>,
    /// Since when it has been changing without a rest.
    unstable_since: Option<Instant>,
    retries: Option<Retries>,
    /// How often the file is open, as far as events tell: a reader counts as well as a writer.
    open_count: i32,
    /// Whether the last body had checksums: then the next is read as soon as it is closed.
    has_checksums: bool,
    /// When a part was published last.
    published: Option<Instant>,
}

impl Settling {
    /// Of a file of which nothing is known.
    pub(super) fn new(times: SettleTimes) -> Self {
        Self {
            times,
            stage: Stage::Idle,
            seen: None,
            unstable_since: None,
            retries: None,
            open_count: 0,
            has_checksums: false,
            published: None,
        }
    }

    /// When the next `Tick` is due.
    pub(super) fn due(&self) -> Option<Instant> {
        if let Stage::Waiting(at, _) = self.stage { Some(at) } else { None }
    }

    /// Whether the file's writer is known to be done, and the file is to be looked at.
    pub(super) fn is_finished(&self) -> bool {
        self.pending_change().is_some_and(Change::is_finished)
    }

    /// Whether a part was ever published.
    pub(super) fn has_published(&self) -> bool {
        self.published.is_some()
    }

    /// Takes an input; returns the action that it calls for.
    pub(super) fn on(&mut self, input: Input<'_>, now: Instant) -> Action {
        match input {
            Input::Event(events) => self.event(events, now),
            Input::EventsLost => {
                self.forget();
                self.check(now)
            }
            Input::Check => self.check(now),
            Input::OtherFile => self.forget(),
            Input::Tick => self.tick(now),
            Input::Found(signature, age) => self.found(signature, age, now),
            Input::Body(evidence) => self.body(evidence, now),
            Input::Incomplete => self.retry(now),
            Input::Unusable(signature) => {
                self.judged(signature, now);
                self.give_up()
            }
            Input::Failed => self.give_up(),
            Input::Published => {
                self.published = Some(now);
                Action::Wait
            }
        }
    }

    fn event(&mut self, events: &PathEvents, now: Instant) -> Action {
        let was_open = self.open_count > 0;
        self.open_count = if events.change == Change::Moved { 0 } else { events.open_count(self.open_count) };
        if events.change == Change::Opened {
            // The last one that held it open has let go: nobody writes.
            if was_open && self.open_count == 0 && matches!(self.stage, Stage::Waiting(_, Change::Closed)) {
                self.wait_until(now, Change::Closed);
            }
            return Action::Wait;
        }
        // Times of files are only exact to a tick, and a write through a mapping may not show in them at all.
        self.doubt();
        match events.change {
            Change::Changing => {
                let rested = now + self.times.settle;
                self.wait_until(self.due().map_or(rested, |due| due.min(rested)), Change::Changing)
            }
            Change::Metadata | Change::Opened => self.wait_until(now, self.pending_change().unwrap_or(events.change)),
            Change::Closed | Change::Moved => {
                if let Some(retries) = &mut self.retries {
                    retries.count = 0;
                }
                self.wait_until(now, events.change)
            }
        }
    }

    fn check(&mut self, now: Instant) -> Action {
        match self.stage {
            Stage::Waiting(..) => Action::Wait,
            _ => self.wait_until(now, Change::Changing),
        }
    }

    fn tick(&mut self, now: Instant) -> Action {
        let Stage::Waiting(at, change) = self.stage else { return Action::Wait };
        if at > now {
            return Action::Wait;
        }
        let next_part = self.published.zip(self.times.interval).map(|(published, interval)| published + interval);
        if let Some(next_part) = next_part.filter(|next_part| *next_part > now) {
            return self.wait_until(next_part, change);
        }
        self.stage = Stage::Looking(change);
        Action::Look
    }

    fn found(&mut self, signature: Signature, age: Duration, now: Instant) -> Action {
        let Stage::Looking(change) = self.stage else { return Action::Wait };
        let same = self.seen.filter(|seen| seen.signature == signature);
        if self.retries.is_none() && same.is_some_and(|seen| seen.is_judged) {
            self.stage = Stage::Idle;
            return Action::Wait;
        }
        let since = same.map_or(now, |seen| seen.since);
        self.seen = Some(Seen { signature, since, is_judged: false });
        // By our own clock, or by the file's time where that is long past: the clock of a network mount may be off.
        let (rest, needed) = (age.max(now - since), self.rest_needed(change));
        let cause = match () {
            () if rest >= needed && needed.is_zero() && change == Change::Closed => ReadCause::Checksums,
            () if rest >= needed => ReadCause::Rested,
            () if now - *self.unstable_since.get_or_insert(now) >= PATIENCE => ReadCause::Unstable,
            () => return self.wait_until(now + needed - rest, change),
        };
        self.unstable_since = None;
        self.stage = Stage::Reading(change, cause);
        Action::Read
    }

    /// How long a file must have rested.
    fn rest_needed(&self, change: Change) -> Duration {
        match change {
            Change::Moved => Duration::ZERO,
            Change::Closed if self.has_checksums => Duration::ZERO,
            // The next writer may be in the middle of its first write, of which nothing tells before it is over.
            Change::Closed if self.open_count > 0 => self.times.settle,
            Change::Closed => self.times.settle_after_close,
            Change::Changing | Change::Metadata | Change::Opened => self.times.settle,
        }
    }

    fn body(&mut self, evidence: Evidence, now: Instant) -> Action {
        let Stage::Reading(change, cause) = self.stage else { return Action::Wait };
        match cause {
            ReadCause::Unstable if !evidence.is_text && !evidence.is_checksummed => {
                return self.wait_until(now + self.times.settle, change);
            }
            ReadCause::Checksums if !evidence.is_checksummed => {
                self.has_checksums = false;
                return self.wait_until(now, change);
            }
            _ => {}
        }
        self.judged(evidence.signature, now);
        if !evidence.is_complete {
            return self.retry(now);
        }
        self.has_checksums = evidence.is_checksummed;
        (self.retries, self.stage) = (None, Stage::Idle);
        Action::Publish
    }

    /// Looks again soon, then once after a second, then when something happens.
    fn retry(&mut self, now: Instant) -> Action {
        let (Stage::Looking(change) | Stage::Reading(change, _)) = self.stage else { return Action::Wait };
        let Retries { count, since } = self.retries.unwrap_or(Retries { count: 0, since: now });
        let next = RETRIES.get(count).map(|pause| now + *pause).or(Some(since + PATIENCE).filter(|next| *next > now));
        let Some(next) = next else { return self.give_up() };
        self.retries = Some(Retries { count: count + 1, since });
        self.wait_until(next, change)
    }

    fn give_up(&mut self) -> Action {
        (self.retries, self.stage) = (None, Stage::Idle);
        Action::Report
    }

    fn wait_until(&mut self, at: Instant, change: Change) -> Action {
        self.stage = Stage::Waiting(at, change);
        Action::Wait
    }

    /// The change that waits to be looked at.
    fn pending_change(&self) -> Option<Change> {
        if let Stage::Waiting(_, change) = self.stage { Some(change) } else { None }
    }

    fn judged(&mut self, signature: Signature, now: Instant) {
        let since = self.seen.filter(|seen| seen.signature == signature).map_or(now, |seen| seen.since);
        self.seen = Some(Seen { signature, since, is_judged: true });
        self.unstable_since = None;
    }

    /// The next look reads the file, whatever its metadata are.
    fn doubt(&mut self) {
        if let Some(seen) = &mut self.seen {
            seen.is_judged = false;
        }
    }

    fn forget(&mut self) -> Action {
        self.doubt();
        self.open_count = 0;
        Action::Wait
    }
}
