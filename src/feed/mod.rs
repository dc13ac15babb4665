//! A feed: the one live sequence of parts, encoded once, held within limits. A [`Publisher`] publishes parts, a [`Subscription`] is a
//! reader's cursor on them, a [`Registry`] lists the feeds that are served and wakes their readers at changes. It knows no sockets,
//! no HTTP and no sources, and never waits for a reader, except in a run.

mod activity;
mod demand;
mod held;
mod history;
mod hops;
mod limits;
mod mount;
mod name;
mod pace;
mod prepared;
mod publisher;
mod refused;
mod registry;
mod shard;
mod state;
mod store;
mod subscription;
#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    activity::FeedActivity,
    demand::{Demand, ReaderGuard},
    held::{HeldParts, HeldPlace},
    history::{History, HistoryState},
    hops::{Hops, HopsGuard},
    limits::{Hold, Kind, Limits, Settings},
    mount::Mount,
    name::{check_name, url_name},
    pace::interval_at,
    prepared::{Prepared, WeakPrepared},
    publisher::Publisher,
    refused::Refused,
    registry::{Opener, Registry},
    state::{CommandRuns, FeedState, SourceState, UpstreamCounts},
    store::Feed,
    subscription::{Batch, StartAt, Subscription, TakeLimit},
};
