//! Feeds that others push in. A name makes its feed; the newest pusher of a name has it, and a feed that nobody pushes into any more is
//! removed after a while. It knows no request and no connection: `intake` is the seam.

mod body;
mod feeds;
mod settings;
mod several;

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

pub use self::settings::HubSettings;
use self::{
    body::{PartBody, StreamBody},
    feeds::HubFeeds,
    several::SeveralBody,
};
use super::context::{Context, Work};
use crate::{
    client::HeaderMap,
    error::Result,
    intake::{Intake, Push, PushHead, PushRefusal, PushShape, ReceivedRun, SeveralHead},
    source::incoming::Announced,
};

/// How often it looks for feeds that have expired.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A hub: where pushed bodies go, and the source of their feeds.
#[derive(Debug)]
pub struct Hub {
    feeds: Arc<HubFeeds>,
}

impl Hub {
    /// A hub without feeds.
    pub fn new(settings: HubSettings) -> Self {
        Self { feeds: Arc::new(HubFeeds::new(settings)) }
    }

    /// The hub as a source.
    ///
    /// # Errors
    /// None so far.
    pub fn source(&self, context: Context) -> Result<Work> {
        self.feeds.start(context);
        let feeds = self.feeds.clone();
        Ok(Box::pin(async move {
            loop {
                sleep(LOOK_EVERY).await;
                feeds.remove_expired();
            }
        }))
    }
}

impl Intake for Hub {
    fn begin(&self, head: PushHead) -> std::result::Result<Box<dyn Push>, PushRefusal> {
        let limit = self.feeds.check(&head.name)?;
        if head.length == Some(0) {
            return Err(PushRefusal::Empty);
        }
        let announced = Announced::of(&head.headers);
        check_type(&announced)?;
        match head.shape {
            PushShape::Part if head.length.is_some_and(|length| length > limit as u64) => Err(PushRefusal::TooLarge(limit)),
            PushShape::Part if announced.is_multipart() => {
                Err(PushRefusal::Type("a multipart body is a stream: POST it to /stream/NAME".to_owned()))
            }
            PushShape::Part => Ok(Box::new(PartBody::new(head.name, announced, limit, self.feeds.clone()))),
            PushShape::Stream => Ok(Box::new(StreamBody::new(head.name, announced, self.feeds.clone()))),
        }
    }

    fn begin_several(&self, head: SeveralHead) -> std::result::Result<Box<dyn Push>, PushRefusal> {
        let limit = self.feeds.part_bytes()?;
        if head.length == Some(0) {
            return Err(PushRefusal::Empty);
        }
        let announced = Announced::of(&head.headers);
        check_type(&announced)?;
        self.check_way(&announced)?;
        if !announced.is_multipart() {
            return Err(PushRefusal::Type("parts of several feeds are sent as multipart".to_owned()));
        }
        Ok(Box::new(SeveralBody::new(head, announced, limit, self.feeds.clone())))
    }

    fn received(&self, run: &str, headers: &HeaderMap) -> std::result::Result<ReceivedRun, PushRefusal> {
        self.check_way(&Announced::of(headers))?;
        let process = self.feeds.process().ok_or(PushRefusal::Ending)?.to_owned();
        Ok(ReceivedRun { process, part_bytes: self.feeds.part_bytes()?, feeds: self.feeds.received(run) })
    }

    fn remove(&self, name: &str) -> std::result::Result<(), PushRefusal> {
        if self.feeds.remove(name) { Ok(()) } else { Err(PushRefusal::NoFeed) }
    }
}

impl Hub {
    /// Refuses what comes from this process itself.
    fn check_way(&self, announced: &Announced) -> std::result::Result<(), PushRefusal> {
        let is_own = self.feeds.process().is_some_and(|process| announced.hops.has(process));
        if is_own { Err(PushRefusal::Loop) } else { Ok(()) }
    }
}

/// Refuses what is wrapped in something else.
fn check_type(announced: &Announced) -> std::result::Result<(), PushRefusal> {
    let is_form = announced.media.as_ref().is_some_and(|media| media.essence().eq_ignore_ascii_case("multipart/form-data"));
    if is_form {
        return Err(PushRefusal::Type("a form is not taken: send the bytes themselves, as curl -T FILE does".to_owned()));
    }
    match &announced.coding {
        Some(coding) => Err(PushRefusal::Type(format!("it is compressed as {coding}: send it as it is"))),
        None => Ok(()),
    }
}
