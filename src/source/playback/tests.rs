//! When parts are due, computed without waiting for them.

use std::{
    fs::OpenOptions,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tempfile::TempDir;

use super::{
    feeds::PlayedFeeds,
    file_reader::{FoundPart, Unplayable},
    files::RecordedFiles,
    player::{Beginning, RecordingPlayer},
    schedule::Schedule,
    settings::{PlayTime, PlaybackSettings},
};
use crate::{
    format::Media,
    recording::{Appender, ClockReading, PartHead, RecordedPart},
    source::Context,
};

/// A recording in a directory of its own.
struct Tape {
    folder: TempDir,
    appender: Appender,
    sequence: u64,
}

impl Tape {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let appender = appender(&folder.path().join("a.mxr"));
        Self { folder, appender, sequence: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.mxr")
    }

    /// Records a part with its stamp and the time of its clock, in seconds.
    fn record(&mut self, feed: &str, stamp: f64, clock: f64, media: &str, body: impl Into<Bytes>) {
        self.sequence += 1;
        let (feed, media, time) = (feed.into(), Media::from_known(media), at(stamp));
        let part = RecordedPart { feed, media, time, sequence: self.sequence, at: Instant::now(), kind: None, body: body.into() };
        self.appender.append(&part, ClockReading { name: 7, at: Duration::from_secs_f64(clock) }).unwrap();
    }

    /// Lines of one feed at these seconds, which they are called after.
    fn of_lines(seconds: &[f64]) -> Self {
        let mut tape = Self::new();
        seconds.iter().for_each(|second| tape.record("a", *second, *second, "text/plain", second.to_string()));
        tape
    }

    fn settings(&self) -> PlaybackSettings {
        PlaybackSettings {
            path: self.path(),
            speed: 1.0,
            from: None,
            to: None,
            idle_limit: None,
            once: false,
            interval: Duration::from_millis(100),
        }
    }

    fn player(&self) -> RecordingPlayer {
        player(self.settings()).unwrap()
    }
}

fn appender(path: &std::path::Path) -> Appender {
    Appender::open(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()).unwrap().0
}

fn at(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000) + Duration::from_secs_f64(seconds)
}

fn player(settings: PlaybackSettings) -> Result<RecordingPlayer, Unplayable> {
    let context = Context::for_tests(None);
    let files = RecordedFiles::new(settings.path.clone(), 1 << 20);
    RecordingPlayer::begin(settings, files, PlayedFeeds::new(&context, "stem".to_owned()))
}

/// The result of something that waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The parts of the next round with the seconds after which they are due, and those after which the round begins again.
fn round_of(player: &mut RecordingPlayer) -> (Vec<(f64, FoundPart)>, f64) {
    let anchor = Instant::now() + Duration::from_secs(3600);
    player.begin_again(anchor).unwrap();
    let Beginning { shown, first, .. } = player.beginning.clone();
    let mut parts: Vec<_> = if shown.is_empty() { first.into_iter().collect() } else { shown };
    let mut parts: Vec<_> = parts.drain(..).map(|part| (0.0, part)).collect();
    if player.next.is_none() {
        player.next = ready(player.following());
    }
    while let Some(part) = player.next.take() {
        let due = player.schedule.deadline(&part.head, Instant::now()) - anchor;
        parts.push((due.as_secs_f64(), part));
        player.next = ready(player.following());
    }
    let restart = (player.schedule.restart() - anchor).as_secs_f64();
    (parts, restart)
}

fn text(part: &FoundPart) -> String {
    String::from_utf8(part.body(1 << 20).unwrap().to_vec()).unwrap()
}

/// The same as text: `0:a 1.5:b`, and when the round begins again.
fn told(player: &mut RecordingPlayer) -> (String, f64) {
    let (parts, restart) = round_of(player);
    let parts: Vec<_> = parts.iter().map(|(due, part)| format!("{}:{}", (due * 1e6).round() / 1e6, text(part))).collect();
    (parts.join(" "), (restart * 1e6).round() / 1e6)
}

#[test]
fn eight_feeds_come_again_at_their_times_byte_for_byte_at_any_rate() {
    let types = ["image/png", "image/jpeg", "text/plain", "text/html", "application/json", "image/svg+xml", "audio/aac", "x/y"];
    for rate in [1.0, 30.0, 1000.0] {
        let mut tape = Tape::new();
        let mut expected = Vec::new();
        for number in 0..400_u32 {
            let feed = number as usize % 8;
            // The stamps jump, the clock does not.
            let (seconds, body) = (f64::from(number) / rate, Bytes::from(vec![number as u8; 1 + number as usize * 7 % 5000]));
            tape.record(&format!("feed {feed}"), seconds.sin().abs() * 1e5, seconds, types[feed], body.clone());
            expected.push((seconds, types[feed], format!("feed {feed}"), body));
        }
        let mut player = tape.player();
        for _ in 0..2 {
            let (parts, _) = round_of(&mut player);
            assert_eq!(parts.len(), expected.len());
            for ((due, part), (seconds, media, feed, body)) in parts.iter().zip(&expected) {
                assert!((due - seconds).abs() < 2e-6, "{due} for {seconds}");
                assert_eq!(part.head.headers.media.as_ref().map(Media::as_str), Some(*media));
                assert_eq!((part.head.feed.as_deref(), &part.body(1 << 20).unwrap()), (Some(&**feed), body));
            }
        }
    }
}

#[test]
fn a_thousand_parts_end_when_the_last_is_due_and_no_delay_adds_up() {
    let tape = Tape::of_lines(&(0..1000).map(|number| f64::from(number) / 100.0).collect::<Vec<_>>());
    for (speed, last, restart) in [(1.0, 9.99, 10.09), (2.0, 4.995, 5.045), (0.5, 19.98, 20.18)] {
        let mut player = player(PlaybackSettings { speed, ..tape.settings() }).unwrap();
        let (parts, again) = round_of(&mut player);
        assert!((parts[999].0 - last).abs() < 1e-5 && (again - restart).abs() < 1e-5, "{} and {again}", parts[999].0);
    }
}

#[test]
fn pauses_are_limited_before_the_speed_applies_and_a_limit_of_zero_leaves_them_out() {
    let tape = Tape::of_lines(&[0.0, 1.0, 61.0, 62.0]);
    let limit = |seconds| Some(Duration::from_secs(seconds));
    let from = Some(PlayTime::AfterStart(Duration::from_secs(31)));
    let until = Some(PlayTime::AfterStart(Duration::from_secs(40)));
    let settings = tape.settings();
    for (settings, expected, restart) in [
        (settings.clone(), "0:0 1:1 61:61 62:62", 63.0),
        (PlaybackSettings { idle_limit: limit(2), ..settings.clone() }, "0:0 1:1 3:61 4:62", 5.0),
        (PlaybackSettings { idle_limit: limit(2), speed: 2.0, ..settings.clone() }, "0:0 0.5:1 1.5:61 2:62", 2.5),
        (PlaybackSettings { idle_limit: limit(0), ..settings.clone() }, "0:0 0:1 0:61 0:62", 1.0),
        // What was shown then, and the rest of the pause.
        (PlaybackSettings { from, ..settings.clone() }, "0:1 30:61 31:62", 32.0),
        (PlaybackSettings { from, idle_limit: limit(2), speed: 2.0, ..settings.clone() }, "0:1 1:61 1.5:62", 2.0),
        (PlaybackSettings { from, idle_limit: limit(0), ..settings.clone() }, "0:1 0:61 0:62", 1.0),
        (PlaybackSettings { from, to: until, ..settings.clone() }, "0:1", 1.0),
        (PlaybackSettings { to: until, ..settings.clone() }, "0:0 1:1", 2.0),
    ] {
        let mut player = player(settings.clone()).unwrap();
        for round in 0..3 {
            assert_eq!(told(&mut player), (expected.to_owned(), restart), "round {round} of {settings:?}");
        }
    }
}

#[test]
fn a_stretch_is_named_by_the_clock_or_from_either_end() {
    let tape = Tape::of_lines(&[0.0, 1.0, 2.0, 3.0]);
    let seconds = Duration::from_secs_f64;
    let cases = [
        (Some(PlayTime::At(at(1.0))), Some(PlayTime::At(at(2.0))), "0:1 1:2"),
        (Some(PlayTime::At(at(-5.0 + 5.0))), None, "0:0 1:1 2:2 3:3"),
        (Some(PlayTime::AfterStart(seconds(1.5))), None, "0:1 0.5:2 1.5:3"),
        (Some(PlayTime::BeforeEnd(seconds(1.0))), None, "0:2 1:3"),
        (Some(PlayTime::BeforeEnd(seconds(0.0))), None, "0:3"),
        (Some(PlayTime::BeforeEnd(seconds(100.0))), Some(PlayTime::BeforeEnd(seconds(3.0))), "0:0"),
    ];
    for (from, to, expected) in cases {
        let mut player = player(PlaybackSettings { from, to, ..tape.settings() }).unwrap();
        assert_eq!(told(&mut player).0, expected, "{from:?} {to:?}");
    }
    for (from, to) in [(Some(PlayTime::At(at(3.1))), None), (None, Some(PlayTime::At(SystemTime::UNIX_EPOCH)))] {
        let why = player(PlaybackSettings { from, to, ..tape.settings() }).unwrap_err();
        assert_eq!(why.cause, "no part of it is of that time");
        assert_eq!(why.hint.unwrap(), "it goes from 2025-11-24T16:00:00.000Z to 2025-11-24T16:00:03.000Z");
    }
}

#[test]
fn a_clock_that_jumped_by_a_day_neither_delays_nor_loses_a_part() {
    let (mut tape, day) = (Tape::new(), 86_400.0);
    for (clock, stamp) in [(0.0, 0.0), (1.0, 1.0), (2.0, day), (3.0, day + 1.0), (4.0, 4.0), (5.0, 5.0)] {
        tape.record("a", stamp, clock, "text/plain", clock.to_string());
    }
    assert_eq!(told(&mut tape.player()).0, "0:0 1:1 2:2 3:3 4:4 5:5");
    let stretch = |from: f64, to: f64| PlaybackSettings {
        from: Some(PlayTime::At(at(from))),
        to: Some(PlayTime::At(at(to))),
        ..tape.settings()
    };
    assert_eq!(told(&mut player(stretch(day, day + 9.0)).unwrap()).0, "0:2 1:3");
    assert_eq!(told(&mut player(stretch(day - 9.0, day + 9.0)).unwrap()).0, "0:1 9:2 10:3");
    assert_eq!(told(&mut player(stretch(4.0, 9.0)).unwrap()).0, "0:4 1:5");
    assert_eq!(told(&mut player(stretch(0.0, 9.0)).unwrap()).0, "0:0 1:1 4:4 5:5");
}

#[test]
fn a_recording_that_takes_no_time_begins_again_once_a_second() {
    for (seconds, restart) in
        [(&[5.0][..], 1.0), (&[5.0, 5.0, 5.0], 1.0), (&[5.0, 5.1], 0.2), (&[5.0, 5.02], 1.02), (&[0.0, 30.0], 60.0)]
    {
        let tape = Tape::of_lines(seconds);
        assert_eq!(told(&mut tape.player()).1, restart, "{seconds:?}");
        let mut fast = player(PlaybackSettings { speed: 1000.0, ..tape.settings() }).unwrap();
        assert!(told(&mut fast).1 >= 0.0002);
    }
}

#[test]
fn what_was_recorded_meanwhile_is_played_in_the_next_round() {
    let mut tape = Tape::of_lines(&[0.0, 1.0]);
    let to = Some(PlayTime::At(at(2.0)));
    let (mut all, mut some) = (tape.player(), player(PlaybackSettings { to, ..tape.settings() }).unwrap());
    for _ in 0..2 {
        assert_eq!((told(&mut all).0, told(&mut some).0), ("0:0 1:1".to_owned(), "0:0 1:1".to_owned()));
    }
    tape.record("a", 2.0, 2.0, "text/plain", "2");
    tape.record("b", 3.0, 3.0, "text/plain", "3");
    for _ in 0..2 {
        assert_eq!((told(&mut all).0, told(&mut some).0), ("0:0 1:1 2:2 3:3".to_owned(), "0:0 1:1 2:2".to_owned()));
    }
    // Another file in its place; one that is gone is played on.
    std::fs::remove_file(tape.path()).unwrap();
    assert_eq!(told(&mut all).0, "0:0 1:1 2:2 3:3");
    let other = Tape::of_lines(&[7.0, 7.5]);
    std::fs::rename(other.path(), tape.path()).unwrap();
    assert_eq!(told(&mut all).0, "0:7 0.5:7.5");
    std::fs::write(tape.path(), "").unwrap();
    assert_eq!(all.begin_again(Instant::now()).unwrap_err().cause, "it is empty");
}

#[test]
fn segments_are_one_recording_and_come_and_go_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let segment = |name: &str, seconds: &[f64]| {
        let tape = Tape::of_lines(seconds);
        std::fs::rename(tape.path(), folder.path().join(name)).unwrap();
    };
    segment("20251124T160000.000Z.mxr", &[0.0, 1.0]);
    segment("20251124T160003.000Z.mxr", &[3.0, 4.0]);
    std::fs::write(folder.path().join("20251124T160002.000Z.mxr"), "Content-Type: mult").unwrap();
    let settings = PlaybackSettings { path: folder.path().to_owned(), ..Tape::new().settings() };
    let from = |from| PlaybackSettings { from: Some(from), ..settings.clone() };
    let mut all = player(settings.clone()).unwrap();
    let mut late = player(from(PlayTime::BeforeEnd(Duration::ZERO))).unwrap();
    assert_eq!(told(&mut all).0, "0:0 1:1 3:3 4:4");
    assert_eq!(told(&mut late).0, "0:4");
    assert_eq!(told(&mut player(from(PlayTime::At(at(2.5)))).unwrap()).0, "0:1 0.5:3 1.5:4");
    segment("20251124T160006.000Z.mxr", &[6.0]);
    assert_eq!(told(&mut all).0, "0:0 1:1 3:3 4:4 6:6");
    std::fs::remove_file(folder.path().join("20251124T160000.000Z.mxr")).unwrap();
    assert_eq!(told(&mut all).0, "0:3 1:4 3:6");
    assert_eq!(told(&mut late).0, "0:4 2:6");
}

#[test]
fn a_short_delay_is_made_up_for_and_a_long_one_is_not() {
    let tape = Tape::of_lines(&[0.0]);
    let (begin, second) = (Instant::now(), Duration::from_secs(1));
    let mut schedule = Schedule::new(begin, &tape.settings());
    let head = |seconds: f64| {
        let mut head = PartHead::default();
        head.headers.time = Some(at(seconds));
        head
    };
    assert_eq!(schedule.deadline(&head(0.0), begin), begin);
    assert_eq!(schedule.deadline(&head(1.0), begin + second * 3 / 2), begin + second);
    assert_eq!(schedule.deadline(&head(2.0), begin + second * 2), begin + second * 2);
    // The machine slept for ten seconds.
    assert_eq!(schedule.deadline(&head(3.0), begin + second * 13), begin + second * 13);
    assert_eq!(schedule.deadline(&head(4.0), begin + second * 13), begin + second * 14);
    assert_eq!(schedule.restart(), begin + second * 15);
}
