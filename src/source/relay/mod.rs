//! Feeds of other machines as sources: one connection each, while somebody watches. It decides what is asked and when; `client` asks,
//! and `framing` cuts what comes. It knows nothing of how its own feeds are served.

mod announced;
mod loss;
mod names;
mod polling;
mod settings;
mod upstream;
mod upstream_feed;
mod visit;

use tokio::task::JoinSet;

pub use self::settings::RelaySettings;
use self::{upstream::Upstream, upstream_feed::UpstreamFeed, visit::Visitor};
use super::context::{Context, Work};
use crate::{
    client::Client,
    error::Result,
    feed::Kind,
    panic::{PanicScope, catch_async},
};

/// Feeds of other machines as a source.
///
/// # Errors
/// Where the files of the settings cannot be used.
pub fn source(settings: RelaySettings, context: &Context) -> Result<Work> {
    let RelaySettings { upstreams, client, every, linger, timeout } = settings;
    let mut works = Vec::new();
    for (target, name) in upstreams.iter().zip(names::names_of(&upstreams)) {
        let visitor = Visitor { target: target.clone(), client: Client::new(client.clone())?, every, timeout, history: None };
        let feed = UpstreamFeed::new(context.open(name, Kind::Lines), context.media.clone(), None);
        works.push(Upstream::new(visitor, feed, linger).work());
    }
    Ok(Box::pin(async move {
        let mut tasks = JoinSet::new();
        for work in works {
            // One that panics ends its own feed.
            tasks.spawn(catch_async(PanicScope::Source, work));
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }))
}
