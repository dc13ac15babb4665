//! The sources of parts. Every source has one shape: `source(settings, context)` opens its feeds and returns the work that publishes
//! into them. No source knows how parts reach viewers; of viewers it knows only `Publisher::demand`.
//!
//! A whole source, which pushes the time each second (docs/architecture.md says what else a command needs):
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use mxr::{
//!     error::Result,
//!     feed::{Kind, Refused},
//!     format::Media,
//!     part::{Part, unix_time},
//!     source::{Context, Work},
//! };
//!
//! /// The time as a source: a part each second.
//! pub fn source(context: &Context) -> Result<Work> {
//!     let publisher = context.open("clock", Kind::Newest);
//!     let media = context.media_or(Media::TEXT);
//!     let part = move || Part::now(media.clone(), unix_time(SystemTime::now()).as_secs().to_string());
//!     // What is there already is the newest part before anybody can ask.
//!     let _ = publisher.publish(part());
//!     Ok(Box::pin(async move {
//!         loop {
//!             tokio::time::sleep(Duration::from_secs(1)).await;
//!             match publisher.publish(part()) {
//!                 Ok(()) | Err(Refused::Same) => {}
//!                 Err(why) => tracing::warn!(feed = publisher.name(), "not pushed: {why}"),
//!             }
//!         }
//!     }))
//! }
//! ```

#[cfg(feature = "mqtt")]
mod broker;
mod context;
pub mod demo;
pub mod exec;
mod file_systems;
pub mod framing;
mod fs_events;
pub mod hub;
mod incoming;
mod kinds;
pub mod name_filter;
mod natural_order;
pub mod playback;
pub mod relay;
pub mod replay;
pub mod screen;
pub mod several;
pub mod stdin;
mod stream_feed;
mod tee;
mod thread;
mod wanted;
pub mod watch;
mod writers;

pub use self::{
    context::{Context, SourceStart, Work},
    stream_feed::StreamParts,
    thread::SourceThread,
};
pub(crate) use self::{file_systems::silent_file_system, fs_events::events_refused};
