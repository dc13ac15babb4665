//! A feed: the one live sequence of parts, encoded once, held within bounds. A [`Publisher`] puts parts in, a [`Subscription`] is a
//! reader's cursor on them, a [`Registry`] holds the feeds that are served and tells when they come and go. There are no sockets
//! here, no HTTP and no waiting for readers, and nothing here knows a source.

mod demand;
mod limits;
mod mount;
mod pace;
mod publisher;
mod registry;
mod shard;
mod state;
mod store;
mod subscription;
#[cfg(test)]
mod tests;

pub use self::{
    demand::Demand,
    limits::{Hold, Kind, Limits, Settings},
    mount::Mount,
    pace::interval_at,
    publisher::Publisher,
    registry::{Opener, Registry},
    state::{FeedState, SourceState},
    store::{Feed, Refused},
    subscription::{Batch, Subscription, TakeLimit},
};
