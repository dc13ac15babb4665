//! The fan-out: one loop over all viewers of a thread. It sends a published part to every socket with one `send` of the same shared
//! bytes, and waits only for a viewer whose socket is full, by that viewer's own waker. It chooses layouts, applies the rules for
//! `<img>`, and adds the headers for one viewer. It knows feeds and connections, and nothing of HTTP.

mod cursor;
mod deadlines;
mod event_loop;
mod options;
mod outbox;
mod ready;
mod slots;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod uring;
mod viewer;

pub(crate) use self::{
    cursor::{Accepts, Cursor},
    event_loop::{Fanout, FanoutHandle},
    options::{AllFeeds, StreamOptions, Times},
    viewer::Viewer,
};
