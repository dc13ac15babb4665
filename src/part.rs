//! A part: one replaceable body with its media type, its time and its image class. It knows neither the sources that make parts
//! nor the feeds that carry them.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use crate::format::{self, ImageClass, Media};

/// One replaceable body, as a source hands it to a feed.
#[derive(Debug, Clone)]
pub struct Part {
    /// The body's type.
    pub media: Media,
    /// The bytes, complete.
    pub body: Bytes,
    /// The time at which the part was made, by this machine's clock.
    pub time: SystemTime,
    /// Which image decoder reads the body.
    pub class: ImageClass,
}

impl Part {
    /// A part made now; this examines the body for its image class.
    pub fn now(media: Media, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let class = format::image_class(&media, &body);
        Self { media, body, time: SystemTime::now(), class }
    }
}

/// The time since 1970; zero for a time before that.
pub fn unix_time(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The time as `X-Timestamp` tells it: in whole microseconds.
pub fn stamp(time: SystemTime) -> SystemTime {
    let since = unix_time(time);
    SystemTime::UNIX_EPOCH + Duration::new(since.as_secs(), since.subsec_micros() * 1000)
}

/// Displays a time as in `X-Timestamp`: seconds since 1970 with six decimals.
#[derive(Debug, Clone, Copy)]
pub struct Timestamp(pub SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = unix_time(self.0);
        write!(f, "{}.{:06}", since.as_secs(), since.subsec_micros())
    }
}
