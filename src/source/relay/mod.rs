//! Feeds of other machines as sources: one connection each, while somebody watches. It decides what is asked and when; `client` asks,
//! `framing` cuts what comes, and `broker` reads topics. It knows nothing of how its own feeds are served.

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
#[cfg(feature = "mqtt")]
use super::broker::BrokerTopics;
use super::{
    context::{Context, Work},
    incoming::RemoteFeed,
};
#[cfg(feature = "mqtt")]
use crate::mqtt::BrokerSettings;
use crate::{
    client::Client,
    error::Result,
    feed::Kind,
    panic::{PanicScope, catch_async},
};

/// Whether there may be several feeds: of several upstreams, of the root of another mxr, or of the topics of a broker.
pub fn may_be_several(settings: &RelaySettings) -> bool {
    let upstreams = &settings.upstreams;
    #[cfg(feature = "mqtt")]
    let (brokers, has_wildcard) = (settings.brokers.len(), settings.brokers.iter().any(|(_, filter)| !filter.is_one_topic()));
    #[cfg(not(feature = "mqtt"))]
    let (brokers, has_wildcard) = (0, false);
    has_wildcard || upstreams.len() + brokers > 1 || upstreams.iter().any(|target| root_of(target).is_some())
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
    #[cfg(feature = "mqtt")]
    for (broker, filter) in settings.brokers {
        let client = settings.client.clone();
        let has_password = broker.credentials().is_some_and(|known| !known.password().is_empty());
        let credentials = client.credentials.clone().filter(|_| !has_password);
        let broker = BrokerSettings { broker, credentials, client };
        broker.check()?;
        works.push(Box::pin(BrokerTopics::new(broker, filter, context).work()));
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
