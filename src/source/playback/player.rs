//! Plays a recording, round after round: finds the stretch that is asked for, and publishes each part at its time. How files are read,
//! when a part is due and which feed it belongs to is for others to know.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use tokio::task::yield_now;
use tracing::warn;

use super::{
    feeds::PlayedFeeds,
    file_reader::{FoundPart, Unplayable},
    files::{FilePosition, RecordedFiles},
    schedule::{Schedule, wait_until},
    settings::{PlayTime, PlaybackSettings},
};
use crate::recording::{PartHead, Segment};

/// Parts, and the time, in which feeds are looked for before the first part is played.
const LOOK_AHEAD: (usize, Duration) = (1000, Duration::from_millis(100));
/// How long a recording that is played once waits for readers that come with the first: one of all feeds has a connection for each.
const GRACE: Duration = Duration::from_millis(500);
/// How long it waits after a round without a part.
const RETRY: Duration = Duration::from_secs(1);
/// Parts that are passed over before other tasks have their turn.
const PASSED_OVER: usize = 1000;

/// A recording that is played.
#[derive(Debug)]
pub(super) struct RecordingPlayer {
    files: RecordedFiles,
    feeds: PlayedFeeds,
    settings: PlaybackSettings,
    stretch: PlayStretch,
    pub(super) schedule: Schedule,
    /// How a round begins.
    pub(super) beginning: Beginning,
    /// The part that is played next.
    pub(super) next: Option<FoundPart>,
    /// The place behind the last part of the stretch, and what was there to read when others were looked for.
    ending: Option<(FilePosition, FilesEnd)>,
}

type FilesEnd = (Option<Segment>, u64);

/// How a round begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Beginning {
    /// The newest part of each feed before the stretch.
    pub(super) shown: Vec<FoundPart>,
    /// The first one in it.
    pub(super) first: Option<FoundPart>,
    /// The place behind that.
    behind: Option<FilePosition>,
}

/// The part of a recording that is played, by the times of its parts.
#[derive(Debug, Clone, Copy, Default)]
struct PlayStretch {
    from: Option<SystemTime>,
    to: Option<SystemTime>,
}

impl RecordingPlayer {
    /// Finds the stretch, opens the feeds and shows what is due at once; once waits for a reader with that, as the pause behind the
    /// first part is a part of the recording.
    pub(super) fn begin(settings: PlaybackSettings, mut files: RecordedFiles, feeds: PlayedFeeds) -> Result<Self, Unplayable> {
        let stretch = PlayStretch::of(&settings, &mut files)?;
        let schedule = Schedule::new(Instant::now(), &settings);
        let (beginning, next, ending) = (Beginning::default(), None, None);
        let mut player = Self { files, feeds, settings, stretch, schedule, beginning, next, ending };
        player.find_beginning()?;
        let heads = player.heads_ahead()?;
        player.feeds.open_all(&heads);
        if player.settings.once {
            player.feeds.rest();
        } else {
            player.begin_round(Instant::now());
        }
        Ok(player)
    }

    /// Goes to the stretch.
    fn find_beginning(&mut self) -> Result<(), Unplayable> {
        self.files.begin(self.stretch.from)?;
        let (mut shown, mut first, mut time) = (BTreeMap::new(), None, None);
        while let Some(part) = self.files.next()? {
            time = part.head.headers.time.or(time);
            if self.stretch.is_before(time) {
                shown.insert(part.head.feed.clone(), part);
            } else if !self.stretch.is_after(time) {
                first = Some(part);
                break;
            }
        }
        if let Some(exact) = first.as_ref().filter(|_| time == self.stretch.from) {
            shown.remove(&exact.head.feed);
        }
        let has_ended = first.is_none() && self.stretch.is_before(time);
        if has_ended || first.is_none() && shown.is_empty() {
            return Err(self.stretch.without_part(&mut self.files));
        }
        self.beginning = Beginning { shown: shown.into_values().collect(), first, behind: self.files.position() };
        Ok(())
    }

    /// The heads of the parts that come first, as far as they are found at once, for the feeds that they belong to.
    fn heads_ahead(&mut self) -> Result<Vec<PartHead>, Unplayable> {
        let Beginning { shown, first, behind } = self.beginning.clone();
        let mut heads: Vec<PartHead> = shown.into_iter().chain(first).map(|part| part.head).collect();
        // Others than recordings are of one feed.
        let Some(behind) = behind else { return Ok(heads) };
        let start = Instant::now();
        for _ in 0..LOOK_AHEAD.0 {
            let Some(part) = self.files.next()? else { break };
            if heads.iter().all(|head| head.feed != part.head.feed) {
                heads.push(part.head);
            }
            if start.elapsed() > LOOK_AHEAD.1 {
                break;
            }
        }
        self.files.return_to(&behind);
        Ok(heads)
    }

    /// Shows what each feed showed when the stretch begins, or else its first part.
    fn begin_round(&mut self, anchor: Instant) {
        self.schedule = Schedule::new(anchor, &self.settings);
        self.feeds.begin();
        let Beginning { shown, first, .. } = self.beginning.clone();
        if let Some(from) = self.stretch.from.filter(|_| !shown.is_empty()) {
            self.schedule.begin_at(from);
            shown.iter().for_each(|part| self.publish(part));
            self.feeds.play_at(from);
            self.next = first;
        } else if let Some(first) = first {
            self.schedule.deadline(&first.head, anchor);
            self.publish(&first);
        }
    }

    /// Begins another round where the last one began, unless the file is another one.
    pub(super) fn begin_again(&mut self, anchor: Instant) -> Result<(), Unplayable> {
        let is_there = self.beginning.behind.clone().is_some_and(|behind| self.files.return_to(&behind));
        if !is_there {
            self.ending = None;
            self.find_beginning()?;
        }
        self.begin_round(anchor);
        Ok(())
    }

    fn publish(&mut self, part: &FoundPart) {
        let body = part.body(self.feeds.part_bytes());
        self.feeds.publish(part, body, false);
    }

    /// Plays round after round; once, if the settings say so, from the first reader on.
    pub(super) async fn play(mut self) {
        if self.settings.once {
            self.feeds.wanted().await;
            tokio::time::sleep(GRACE).await;
            self.feeds.wake();
            self.begin_round(Instant::now());
        }
        loop {
            self.play_round().await;
            if self.settings.once {
                return;
            }
            let mut anchor = self.schedule.restart();
            wait_until(anchor).await;
            let mut has_said = false;
            while let Err(why) = self.begin_again(anchor) {
                if !std::mem::replace(&mut has_said, true) {
                    warn!("cannot play the recording: {}; it goes on as soon as it can", why.cause);
                }
                self.feeds.lose(&why.cause);
                tokio::time::sleep(RETRY).await;
                anchor = Instant::now();
            }
        }
    }

    async fn play_round(&mut self) {
        if self.next.is_none() {
            self.next = self.following().await;
        }
        while let Some(part) = self.next.take() {
            let deadline = self.schedule.deadline(&part.head, Instant::now());
            // Both are read while nothing is due.
            let body = part.body(self.feeds.part_bytes());
            self.next = self.following().await;
            wait_until(deadline).await;
            self.feeds.publish(&part, body, self.settings.once && self.next.is_none());
        }
    }

    /// The next part of the stretch. While others are passed over, other tasks have their turn.
    pub(super) async fn following(&mut self) -> Option<FoundPart> {
        let behind = self.files.position();
        if self.has_ended_at(behind.as_ref()) {
            return None;
        }
        for passed in 1_usize.. {
            let part = self.files.next().unwrap_or_else(|why| {
                warn!("cannot read on: {why}");
                None
            });
            let time = part.as_ref().and_then(|part| part.head.headers.time);
            if part.is_some() && !self.stretch.is_before(time) && !self.stretch.is_after(time) {
                return part;
            }
            if part.is_none() {
                break;
            }
            if passed % PASSED_OVER == 0 {
                yield_now().await;
            }
        }
        self.ending = behind.zip(self.files.end().ok());
        None
    }

    /// Whether the last part of the stretch was found here before, and nothing has come since.
    fn has_ended_at(&self, behind: Option<&FilePosition>) -> bool {
        self.ending.as_ref().is_some_and(|(place, end)| Some(place) == behind && self.files.end().ok().as_ref() == Some(end))
    }
}

impl PlayStretch {
    fn of(settings: &PlaybackSettings, files: &mut RecordedFiles) -> Result<Self, Unplayable> {
        let named = [settings.from, settings.to];
        if named == [None, None] {
            return Ok(Self::default());
        }
        let without = || Unplayable::new("its parts have no times, which --from and --to need");
        let first = files.first_time()?.ok_or_else(without)?;
        let counts_from_end = named.iter().any(|time| matches!(time, Some(PlayTime::BeforeEnd(_))));
        let last = if counts_from_end { files.last_time()?.unwrap_or(first) } else { first };
        let time = |time: PlayTime| match time {
            PlayTime::At(time) => time,
            PlayTime::AfterStart(after) => first.checked_add(after).unwrap_or(first),
            PlayTime::BeforeEnd(before) => last.checked_sub(before).unwrap_or(first),
        };
        let stretch = Self { from: settings.from.map(time), to: settings.to.map(time) };
        match (stretch.from, stretch.to) {
            (Some(from), Some(to)) if from > to => {
                Err(Unplayable::new(format!("--from, {}, is later than --to, {}", shown(from), shown(to))))
            }
            _ => Ok(stretch),
        }
    }

    /// Why nothing can be played.
    fn without_part(&self, files: &mut RecordedFiles) -> Unplayable {
        if self.from.is_none() && self.to.is_none() {
            return Unplayable::new("there is no part in it");
        }
        let why = Unplayable::new("no part of it is of that time");
        match (files.first_time(), files.last_time()) {
            (Ok(Some(first)), Ok(Some(last))) => why.hint(format!("it goes from {} to {}", shown(first), shown(last))),
            _ => why,
        }
    }

    fn is_before(&self, time: Option<SystemTime>) -> bool {
        self.from.zip(time).is_some_and(|(from, time)| time < from)
    }

    fn is_after(&self, time: Option<SystemTime>) -> bool {
        self.to.zip(time).is_some_and(|(to, time)| time > to)
    }
}

fn shown(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
