//! A part: one replaceable body with its media type, its time and what a look at it told. Where parts come from and how
//! they travel is not its business.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use crate::format::{self, ImageClass, Media};

/// One replaceable body, as a source hands it to a feed.
#[derive(Debug, Clone)]
pub struct Part {
    /// What the body is.
    pub media: Media,
    /// The bytes, whole.
    pub body: Bytes,
    /// When the part came to be, by this machine's clock.
    pub time: SystemTime,
    /// Which image decoder takes the body.
    pub class: ImageClass,
}

impl Part {
    /// A part of this moment, whose body nobody has looked at yet.
    pub fn now(media: Media, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let class = format::image_class(&media, &body);
        Self { media, body, time: SystemTime::now(), class }
    }
}

/// The time since 1970; nothing where the clock stands before that.
pub fn unix_time(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// A time as `X-Timestamp` has it: seconds since 1970 with six decimals.
#[derive(Debug, Clone, Copy)]
pub struct Timestamp(pub SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = unix_time(self.0);
        write!(f, "{}.{:06}", since.as_secs(), since.subsec_micros())
    }
}
