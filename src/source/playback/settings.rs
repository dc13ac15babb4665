//! The settings of playback, and the times that a user names. It reads no file.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// How a recording is played.
#[derive(Debug, Clone)]
pub struct PlaybackSettings {
    /// A file, or a directory of segments.
    pub path: PathBuf,
    /// 2 plays twice as fast; above 0.
    pub speed: f64,
    /// The time at which it begins.
    pub from: Option<PlayTime>,
    /// The time of the last part.
    pub to: Option<PlayTime>,
    /// The longest pause, before the speed applies.
    pub idle_limit: Option<Duration>,
    /// Whether it ends after one round.
    pub once: bool,
    /// How long a part is shown of which nothing tells the time.
    pub interval: Duration,
}

/// A time in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayTime {
    /// By the clock.
    At(SystemTime),
    /// Counted from the first part.
    AfterStart(Duration),
    /// Counted back from the last part.
    BeforeEnd(Duration),
}
