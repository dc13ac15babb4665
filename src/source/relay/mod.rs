//! Feeds of other machines as sources: one connection each, while somebody watches. It decides what is asked and when; `client` asks,
//! and `framing` cuts what comes. It knows nothing of how its own feeds are served.

mod names;
mod polling;
mod root;
mod settings;
mod upstream;
mod visit;

use std::pin::Pin;

use tokio::task::JoinSet;

pub use self::settings::RelaySettings;
use self::{
    root::{Root, root_of},
    upstream::Upstream,
    visit::UpstreamVisits,
};
use super::{
    context::{Context, Work},
    incoming::RemoteFeed,
};
use crate::{
    client::{Client, Target},
    error::Result,
    feed::Kind,
    panic::{PanicScope, catch_async},
};

/// Whether a URL may be the root of another mxr, which has any number of feeds.
pub fn may_be_root(target: &Target) -> bool {
    root_of(target).is_some()
}

/// Feeds of other machines as a source.
///
/// # Errors
/// Where the files of the settings cannot be used.
pub fn source(settings: RelaySettings, context: &Context) -> Result<Work> {
    let mut works: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
    for (target, name) in settings.upstreams.iter().zip(names::names_of(&settings.upstreams)) {
        if let Some(root) = root_of(target) {
            works.push(Box::pin(Root::new(target.clone(), root, name, &settings, context)?.work()));
            continue;
        }
        let visits = UpstreamVisits::new(target.clone(), Client::new(settings.client.clone())?, &settings);
        let feed = RemoteFeed::new(context.open(name, Kind::Lines), context.media.clone(), None);
        works.push(Box::pin(Upstream::new(visits, feed, settings.linger).work()));
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
