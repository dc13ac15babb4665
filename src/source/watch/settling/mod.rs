//! Decides when a file is worth reading and whether its bytes may be shown: is its writer done? A pure state machine that is told
//! of events, metadata, writers and bodies, and of the time. It knows no file system, no clock and no feed.
//!
//! The caller obeys what `on` returns: `Look` is answered with what the file's metadata are, `Open` with whether a writer has the
//! file open, `Read` with what came of reading.

mod facts;
mod habits;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::facts::{Content, Evidence, Moment, SettleTimes};
use self::{
    facts::{BUSY, PATIENCE, Rest},
    habits::Habits,
    verdict::{Situation, Verdict},
};
use crate::{
    file::Signature,
    lease::Writers,
    source::fs_events::{Change, PathEvents},
};

/// Pauses before a file that is truncated or missing is looked at again.
const RETRIES: [Duration; 3] = [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(60)];
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
    /// The answer to `Look`: the file's metadata, and how long ago it changed by the clock of its file system.
    Found(Signature, Duration),
    /// The answer to `Open`: the file's metadata now, and whether a writer has it open.
    Opened(Signature, Writers),
    /// The answer to `Read`.
    Body(Evidence),
    /// The answer to all: the file is not there.
    Incomplete,
    /// The answer to `Look` and `Open`: a file like this can never be shown.
    Unusable(Signature),
    /// The answer to all: it failed.
    Failed,
    /// The part was published.
    Published,
}

/// What the caller has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing before `due`.
    Wait,
    /// Look at the file's metadata.
    Look,
    /// Open the file, and ask for its writers.
    Open,
    /// Read the file.
    Read,
    /// Publish the body.
    Publish,
    /// Tell the user why the file is not shown.
    Report,
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
    /// The caller opens the file, which has rested for so long.
    Opening(Change, Rest),
    /// The caller reads.
    Reading(Change, Rest),
}

/// What the last look found.
#[derive(Debug, Clone, Copy)]
struct Seen {
    signature: Signature,
    /// Since when it has been so.
    since: Instant,
    judged: Judged,
}

/// What has become of a state of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// It is to be read.
    No,
    /// It has been read, and is not shown while a writer has the file open.
    WhileOpen,
    /// The same, which was reported.
    Reported,
    /// It has been read, and the judgement stands until the file changes.
    Yes,
}

/// How often in a row a file was truncated or missing, and since when.
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
    retries: Option<Retries>,
    /// What is known of the writers, as of the last look.
    writers: Writers,
    habits: Habits,
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
            retries: None,
            writers: Writers::Unknown,
            habits: Habits::default(),
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

    /// Whether the file is there, and waits to be shown.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.due().is_some() && self.seen.is_some()
    }

    /// Whether this state was judged and nothing is due: another look would change nothing.
    pub(super) fn is_done_with(&self, signature: &Signature) -> bool {
        matches!(self.stage, Stage::Idle) && self.judged(signature) == Judged::Yes
    }

    /// Whether a part was ever published.
    pub(super) fn has_published(&self) -> bool {
        self.published.is_some()
    }

    /// Takes an input; returns the action that it calls for.
    pub(super) fn on(&mut self, input: Input<'_>, now: Instant) -> Action {
        match input {
            Input::Event(events) => self.event(events.change, now),
            Input::EventsLost => {
                self.doubt();
                self.check(now)
            }
            Input::Check => self.check(now),
            Input::OtherFile => {
                self.doubt();
                self.habits = Habits::of_other_file();
                Action::Wait
            }
            Input::Tick => self.tick(now),
            Input::Found(signature, age) => self.found(signature, age, now),
            Input::Opened(signature, writers) => self.opened(signature, writers, now),
            Input::Body(evidence) => self.body(evidence, now),
            Input::Incomplete => self.retry(None, now),
            Input::Unusable(signature) => {
                self.judge(signature, Judged::Yes, now);
                self.give_up()
            }
            Input::Failed => self.give_up(),
            Input::Published => {
                self.published = Some(now);
                Action::Wait
            }
        }
    }

    fn event(&mut self, change: Change, now: Instant) -> Action {
        // Times of files are only exact to a tick, and a write through a mapping may not show in them at all.
        self.doubt();
        match change {
            Change::Changing => {
                self.habits.changed(now);
                let rested = now + self.rest_before_open(change);
                self.wait_until(self.due().map_or(rested, |due| due.min(rested)), change)
            }
            Change::Metadata => self.wait_until(now, self.pending_change().unwrap_or(change)),
            Change::Closed | Change::Moved => {
                self.habits.finished(now);
                if let Some(retries) = &mut self.retries {
                    retries.count = 0;
                }
                self.wait_until(now, change)
            }
        }
    }

    fn check(&mut self, now: Instant) -> Action {
        match self.stage {
            Stage::Waiting(..) => Action::Wait,
            _ => self.wait_until(now, Change::Metadata),
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
        let judged = self.judged(&signature);
        if self.retries.is_none() && judged == Judged::Yes {
            self.stage = Stage::Idle;
            return Action::Wait;
        }
        if self.seen.is_some_and(|seen| signature.is_cut_from(&seen.signature)) {
            self.habits.was_cut();
        }
        self.judge(signature, judged, now);
        let seen = self.seen.map_or(Duration::ZERO, |seen| now - seen.since);
        let rest = Rest { either: age.max(seen), seen };
        let needed = self.rest_before_open(change);
        if rest.either < needed && !self.habits.is_overdue(now) {
            return self.wait_for_rest(needed - rest.either, change, now);
        }
        self.stage = Stage::Opening(change, rest);
        Action::Open
    }

    fn opened(&mut self, signature: Signature, writers: Writers, now: Instant) -> Action {
        let Stage::Opening(change, rest) = self.stage else { return Action::Wait };
        self.writers = writers;
        let judged = self.judged(&signature);
        if writers == Writers::Some && matches!(judged, Judged::WhileOpen | Judged::Reported) {
            return self.still_open(judged, signature, change, now);
        }
        let is_same = self.seen.is_some_and(|seen| seen.signature == signature);
        let rest = if is_same { rest } else { Rest::NONE };
        let needed = self.rest_before_read(change);
        if rest.either < needed && !self.habits.is_overdue(now) {
            return self.wait_for_rest(needed - rest.either, change, now);
        }
        if writers == Writers::Some
            && let Some(next_part) = self.next_text(now)
        {
            return self.wait_until(next_part, change);
        }
        self.stage = Stage::Reading(change, rest);
        Action::Read
    }

    /// How long a file must have rested before it is opened, which tells more.
    fn rest_before_open(&self, change: Change) -> Duration {
        match change {
            Change::Moved => Duration::ZERO,
            Change::Closed if self.habits.expects_checksums() => Duration::ZERO,
            // The next writer may be in the middle of its first write, of which nothing tells before it is over.
            Change::Closed | Change::Metadata => self.times.settle_after_close,
            Change::Changing => self.early_rest().unwrap_or(self.times.settle),
        }
    }

    /// How long it must have rested before it is read, now that it is known whether a writer has it open.
    fn rest_before_read(&self, change: Change) -> Duration {
        match self.writers {
            Writers::None => self.rest_before_open(change).min(self.times.settle_after_close),
            _ => self.early_rest().map_or(self.rest_to_trust(change), |early| early.min(self.rest_to_trust(change))),
        }
    }

    fn rest_to_trust(&self, change: Change) -> Duration {
        self.situation(change).rest_to_trust()
    }

    fn situation(&self, change: Change) -> Situation<'_> {
        let truncated_since = self.retries.map(|retries| retries.since);
        Situation { times: &self.times, writers: self.writers, habits: &self.habits, change, truncated_since }
    }

    /// How long it must have rested where checksums are expected to tell whether the writer is done.
    fn early_rest(&self) -> Option<Duration> {
        let rest = self.times.settle_after_close * self.habits.early_factor()?;
        Some(rest.min(self.times.settle))
    }

    /// When text that a writer keeps open may be shown next, if not yet.
    fn next_text(&self, now: Instant) -> Option<Instant> {
        let published = self.published.filter(|_| self.habits.expects_text())?;
        Some(published + BUSY).filter(|next_part| *next_part > now)
    }

    fn body(&mut self, evidence: Evidence, now: Instant) -> Action {
        let Stage::Reading(change, rest) = self.stage else { return Action::Wait };
        let is_same = self.seen.is_some_and(|seen| seen.signature == evidence.signature);
        let rest = if is_same && evidence.is_usable() { rest } else { Rest::NONE };
        match self.situation(change).verdict(&evidence, rest, now) {
            Verdict::Show => {
                self.judge(evidence.signature, Judged::Yes, now);
                self.habits.shown(&evidence);
                (self.retries, self.stage) = (None, Stage::Idle);
                Action::Publish
            }
            Verdict::TooEarly => {
                self.habits.was_too_early();
                // What changes while it is read is being written.
                let change = if evidence.is_usable() { change } else { Change::Changing };
                self.wait_for_rest(self.rest_to_trust(change).saturating_sub(rest.either), change, now)
            }
            Verdict::Busy => {
                self.habits.was_busy(now);
                self.wait_for_rest(self.times.settle, change, now)
            }
            Verdict::WhileOpen => self.still_open(Judged::WhileOpen, evidence.signature, change, now),
            Verdict::Truncated(missing) => {
                self.judge(evidence.signature, Judged::Yes, now);
                self.habits.rested();
                self.retry(missing, now)
            }
        }
    }

    /// Waits for the writer to close the file; says so after a while.
    fn still_open(&mut self, judged: Judged, signature: Signature, change: Change, now: Instant) -> Action {
        self.retries = None;
        self.habits.rested();
        self.judge(signature, judged, now);
        let since = self.seen.map_or(now, |seen| seen.since);
        if judged == Judged::WhileOpen && since + PATIENCE > now {
            return self.wait_until(since + PATIENCE, change);
        }
        self.stage = Stage::Idle;
        if judged == Judged::Reported {
            return Action::Wait;
        }
        self.judge(signature, Judged::Reported, now);
        Action::Report
    }

    /// Looks again soon, then once after a second, or once the file has rested for `missing` more; then when something happens.
    fn retry(&mut self, missing: Option<Duration>, now: Instant) -> Action {
        let (Stage::Looking(change) | Stage::Opening(change, _) | Stage::Reading(change, _)) = self.stage else {
            return Action::Wait;
        };
        let Retries { count, since } = self.retries.unwrap_or(Retries { count: 0, since: now });
        let last = missing.map_or(since + PATIENCE, |missing| now + missing);
        let next = RETRIES.get(count).map_or(last, |pause| last.min(now + *pause));
        if next <= now {
            return self.give_up();
        }
        self.retries = Some(Retries { count: count + 1, since });
        self.wait_until(next, change)
    }

    fn give_up(&mut self) -> Action {
        self.habits.rested();
        (self.retries, self.stage) = (None, Stage::Idle);
        Action::Report
    }

    fn wait_for_rest(&mut self, missing: Duration, change: Change, now: Instant) -> Action {
        self.habits.changed(now);
        self.wait_until(self.habits.overdue_at().map_or(now + missing, |overdue| overdue.min(now + missing)), change)
    }

    fn wait_until(&mut self, at: Instant, change: Change) -> Action {
        self.stage = Stage::Waiting(at, change);
        Action::Wait
    }

    /// The change that waits to be looked at.
    fn pending_change(&self) -> Option<Change> {
        if let Stage::Waiting(_, change) = self.stage { Some(change) } else { None }
    }

    fn judged(&self, signature: &Signature) -> Judged {
        self.seen.filter(|seen| seen.signature == *signature).map_or(Judged::No, |seen| seen.judged)
    }

    fn judge(&mut self, signature: Signature, judged: Judged, now: Instant) {
        let since = self.seen.filter(|seen| seen.signature == signature).map_or(now, |seen| seen.since);
        self.seen = Some(Seen { signature, since, judged });
    }

    /// The next look reads the file, whatever its metadata are.
    fn doubt(&mut self) {
        if let Some(seen) = &mut self.seen {
            seen.judged = Judged::No;
        }
    }
}
