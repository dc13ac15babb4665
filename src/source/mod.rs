//! The sources of parts. Every source has one shape: `source(settings, context)` opens its feeds and returns the work that publishes
//! into them. No source knows how parts reach viewers; of viewers it knows only `Publisher::demand`.

mod context;
pub mod demo;
pub mod framing;
mod fs_events;
pub mod name_filter;
pub mod replay;
pub mod stdin;
mod thread;
pub mod watch;

pub use self::{
    context::{Context, SourceStart, Work},
    thread::SourceThread,
};
