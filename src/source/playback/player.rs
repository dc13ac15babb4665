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
    files::RecordedFiles,
    schedule::{Schedule, wait_until},
    settings::{PlayTime, PlaybackSettings},
};
use crate::recording::PartHead;

/// Parts, and the time, in which feeds are looked for before the first part is played.
const LOOK_AHEAD: (usize, Duration) = (1000, Duration::from_millis(100));
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
    stretch: Stretch,
    schedule: Schedule,
    /// The part that is played next.
    next: Option<FoundPart>,
}

/// The part of a recording that is played, by the times of its parts.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    from: Option<SystemTime>,
    to: Option<SystemTime>,
}

impl RecordingPlayer {
    /// Finds the stretch, opens the feeds and shows what is due at once.
    pub(super) fn begin(settings: PlaybackSettings, mut files: RecordedFiles, mut feeds: PlayedFeeds) -> Result<Self, Unplayable> {
        let stretch = Stretch::of(&settings, &mut files)?;
        feeds.open_all(&heads_ahead(&mut files, stretch.from)?);
        let schedule = Schedule::new(Instant::now(), &settings);
        let mut player = Self { files, feeds, settings, stretch, schedule, next: None };
        player.begin_round(Instant::now())?;
        Ok(player)
    }

    /// Shows what each feed showed when the stretch begins, or else its first part.
    fn begin_round(&mut self, anchor: Instant) -> Result<(), Unplayable> {
        self.schedule = Schedule::new(anchor, &self.settings);
        self.files.begin(self.stretch.from)?;
        self.feeds.begin();
        let (shown, next) = self.seek()?;
        self.next = next;
        if let Some(from) = self.stretch.from.filter(|_| !shown.is_empty()) {
            self.schedule.begin_at(from);
            shown.iter().for_each(|part| self.publish(part, false));
            return Ok(());
        }
        match self.next.take() {
            None => Err(Unplayable::new("there is no part in it")),
            Some(first) => {
                self.schedule.deadline(&first.head, anchor);
                self.next = self.look(usize::MAX).unwrap_or_default();
                self.publish(&first, self.settings.once && self.next.is_none());
                Ok(())
            }
        }
    }

    /// Goes to the stretch. Returns the newest part of each feed before it, and the first one in it.
    fn seek(&mut self) -> Result<(Vec<FoundPart>, Option<FoundPart>), Unplayable> {
        let (mut shown, mut time) = (BTreeMap::new(), None);
        while let Some(part) = self.files.next()? {
            time = part.head.headers.time.or(time);
            if self.stretch.is_before(time) {
                shown.insert(part.head.feed.clone(), part);
            } else if !self.stretch.is_after(time) {
                return Ok((shown.into_values().collect(), Some(part)));
            }
        }
        Ok((shown.into_values().collect(), None))
    }

    fn publish(&mut self, part: &FoundPart, last: bool) {
        let body = part.body(self.feeds.part_bytes());
        self.feeds.publish(part, body, last);
    }

    /// Plays round after round; once, if the settings say so, from the first reader on.
    pub(super) async fn play(mut self) {
        if self.settings.once {
            self.feeds.wanted().await;
            self.schedule.move_to(Instant::now());
        }
        loop {
            self.play_round().await;
            if self.settings.once {
                return;
            }
            let mut anchor = self.schedule.restart();
            wait_until(anchor).await;
            let mut has_said = false;
            while let Err(why) = self.begin_round(anchor) {
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
        while let Some(part) = self.next.take() {
            let deadline = self.schedule.deadline(&part.head, Instant::now());
            // Both are read while nothing is due.
            let body = part.body(self.feeds.part_bytes());
            self.next = self.following().await;
            wait_until(deadline).await;
            self.feeds.publish(&part, body, self.settings.once && self.next.is_none());
        }
    }

    /// The next part of the stretch. Other tasks have their turn while others are passed over.
    async fn following(&mut self) -> Option<FoundPart> {
        loop {
            if let Some(found) = self.look(PASSED_OVER) {
                return found;
            }
            yield_now().await;
        }
    }

    /// Looks for the next part of the stretch among so many; `None` if it may be behind these.
    fn look(&mut self, most: usize) -> Option<Option<FoundPart>> {
        for _ in 0..most {
            let part = self.files.next().unwrap_or_else(|why| {
                warn!("cannot read on: {why}");
                None
            });
            let time = part.as_ref().and_then(|part| part.head.headers.time);
            if !self.stretch.is_before(time) && !self.stretch.is_after(time) {
                return Some(part);
            }
        }
        None
    }
}

impl Stretch {
    fn of(settings: &PlaybackSettings, files: &mut RecordedFiles) -> Result<Self, Unplayable> {
        if settings.from.is_none() && settings.to.is_none() {
            return Ok(Self::default());
        }
        let without = || Unplayable::new("its parts have no times, which --from and --to need");
        let first = files.first_time()?.ok_or_else(without)?;
        let last = files.last_time()?.unwrap_or(first);
        let named = |time: PlayTime| match time {
            PlayTime::At(time) => time,
            PlayTime::AfterStart(after) => first.checked_add(after).unwrap_or(last),
            PlayTime::BeforeEnd(before) => last.checked_sub(before).unwrap_or(first),
        };
        let stretch = Self { from: settings.from.map(named), to: settings.to.map(named) };
        let span = || format!("it goes from {} to {}", shown(first), shown(last));
        let has_no_part = stretch.from.is_some_and(|from| from > last) || stretch.to.is_some_and(|to| to < first);
        if has_no_part {
            return Err(Unplayable::new("no part of it is of that time").hint(span()));
        }
        Ok(stretch)
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

/// The heads of the next parts, as far as they are found at once, for the feeds that they belong to.
fn heads_ahead(files: &mut RecordedFiles, from: Option<SystemTime>) -> Result<Vec<PartHead>, Unplayable> {
    files.begin(from)?;
    let start = Instant::now();
    let (mut heads, mut found): (Vec<PartHead>, _) = (Vec::new(), 0);
    while let Some(part) = files.next()? {
        found += 1;
        if heads.iter().all(|head| head.feed != part.head.feed) {
            heads.push(part.head);
        }
        // Others than recordings are of one feed.
        if !files.is_walked() || found >= LOOK_AHEAD.0 || start.elapsed() > LOOK_AHEAD.1 {
            break;
        }
    }
    if heads.is_empty() { Err(Unplayable::new("there is no part in it")) } else { Ok(heads) }
}
