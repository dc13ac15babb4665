//! What the options of `mxr serve` mean: the demo, a directory of frames, or a recording.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{Config, hook, interval, names, short};
use crate::{
    cli::{RecordedTime, Serve, Typed},
    error::{Error, Result},
    recording::PlayedTime,
    source::{
        SourceStart, demo,
        playback::{self, PlayTime, PlaybackSettings, is_recording},
        replay::{self, DirSettings, Mode},
    },
};

/// Options that only a recording has.
const OF_RECORDINGS: [&str; 4] = ["speed", "from", "to", "idle_limit"];
/// The slowest and the fastest speed.
const SPEEDS: (f64, f64) = (0.001, 1000.0);

impl Config {
    /// From `mxr serve`.
    ///
    /// # Errors
    /// If a value is invalid.
    pub(super) fn serve(mut serve: Serve, typed: Typed) -> Result<Self> {
        let interval = interval("--fps", serve.fps)?;
        match serve.dir.take() {
            Some(dir) if serve.demo => {
                let error = Error::usage("use --demo with a DIR", "the demo has its own frames");
                Err(error.hint(format!("to replay {}, drop --demo", dir.display())))
            }
            None => Self::demo(serve, typed),
            Some(path) if !typed.has("glob") && is_recording(&path)? => Self::recording(path, serve, interval, typed),
            Some(path) => Self::frames(path, serve, interval, typed),
        }
    }

    fn demo(serve: Serve, typed: Typed) -> Result<Self> {
        if typed.has("glob") {
            return Err(Error::usage("use --glob", "there is no DIR to replay"));
        }
        if ["once", "follow"].iter().any(|option| typed.has(option)) {
            return Err(Error::usage("use --once or --follow", "there is no DIR to replay"));
        }
        if typed.has("fps") {
            let error = Error::usage("use --fps", "there is no DIR to replay, and the demo has its own pace");
            return Err(error.hint("name a directory of frames, or drop --fps"));
        }
        check_no_recording(&typed, "there is no RECORDING to play")?;
        hook::check_none(&typed)?;
        let mut config = Self::new(SourceStart::new(|context| demo::source(&context)), serve.common, typed)?;
        config.http.may_quit = true;
        Ok(config)
    }

    fn frames(path: PathBuf, serve: Serve, interval: Duration, typed: Typed) -> Result<Self> {
        if serve.once && serve.follow {
            return Err(Error::usage("use --once with --follow", "one ends after the last frame, the other waits for more"));
        }
        // Of a path that is not there nobody knows what it would be.
        if path.exists() {
            check_no_recording(&typed, "frames have no times of their own; --fps says how fast they are played")?;
        }
        let mode = match (serve.once, serve.follow) {
            (true, _) => Mode::Once,
            (_, true) => Mode::Follow,
            _ => Mode::Loop,
        };
        if mode == Mode::Once {
            hook::check_none(&typed)?;
        }
        let dir = DirSettings { path, interval, mode, names: names(serve.glob)? };
        let read = vec![dir.path.clone()];
        let mut config = Self::new(SourceStart::new(|context| replay::source(dir, &context)), serve.common, typed)?;
        config.expect_every(interval);
        config.reading(read)
    }

    fn recording(path: PathBuf, serve: Serve, interval: Duration, typed: Typed) -> Result<Self> {
        if typed.has("follow") {
            let error = Error::usage("use --follow with a recording", "it is for directories of frames");
            return Err(error.hint("parts that are recorded meanwhile are played in the next round"));
        }
        if !(SPEEDS.0..=SPEEDS.1).contains(&serve.speed) {
            return Err(Error::usage(format!("use --speed {}", short(serve.speed)), "the range is from 0.001 to 1000"));
        }
        let settings = PlaybackSettings {
            path,
            speed: serve.speed,
            from: serve.from.map(play_time),
            to: serve.to.map(play_time),
            idle_limit: serve.idle_limit,
            once: serve.once,
            interval,
        };
        if let (Some(PlayTime::At(from)), Some(PlayTime::At(to))) = (settings.from, settings.to)
            && from > to
        {
            return Err(Error::usage("use --from with --to", "it is the later one"));
        }
        let (archive, read) = (playback::archive_of(&settings.path), vec![settings.path.clone()]);
        let playing = Arc::new(PlayedTime::default());
        let plays = playing.clone();
        let start = SourceStart::new(|context| playback::source(settings, plays, &context));
        let mut config = Self::new(start, serve.common, typed)?;
        config.http.playing = Some(playing);
        // What is in it was recorded because it counts.
        config.feeds.limits.keep_same = true;
        // Feeds that have other names here are not found in it.
        if config.name.is_none() {
            config.http.archive = archive.or(config.http.archive);
        }
        config.reading(read)
    }
}

fn check_no_recording(typed: &Typed, why: &str) -> Result<()> {
    match OF_RECORDINGS.iter().find(|option| typed.has(option)) {
        Some(option) => Err(Error::usage(format!("use --{}", option.replace('_', "-")), why)),
        None => Ok(()),
    }
}

fn play_time(moment: RecordedTime) -> PlayTime {
    match moment {
        RecordedTime::At(time) => PlayTime::At(time),
        RecordedTime::AfterStart(after) => PlayTime::AfterStart(after),
        RecordedTime::BeforeEnd(before) => PlayTime::BeforeEnd(before),
    }
}
