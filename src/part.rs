//! A part: one replaceable body with its media type, its time and what a look at it told. Where parts come from and how
//! they travel is not its business.

use std::time::SystemTime;

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
