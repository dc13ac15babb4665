//! The fan-out: one loop over all viewers of a thread. A part that is published goes to every socket with one `send` of the same
//! shared bytes; only a viewer whose socket is full is waited for, by its own waker. Layouts, the rules of `<img>` and the headers
//! for one viewer are made here. It knows feeds and connections, and nothing of HTTP.

mod cursor;
mod event_loop;
mod ready;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod uring;
mod viewer;

pub(crate) use self::{
    cursor::{Accepts, Cursor},
    event_loop::{Fanout, FanoutHandle},
    viewer::{AllFeeds, StreamOptions, Times, Viewer},
};
