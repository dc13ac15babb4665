//! What produces parts. Every source has one shape: `source(settings, context)` opens its feeds and gives the work that fills them.
//! No source knows how parts travel, nor who watches beyond `Publisher::demand`.

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
    context::{Context, Start, Work},
    thread::SourceThread,
};
