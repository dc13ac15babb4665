//! What else reads feeds, beside viewers: the recorder, and the publisher, which pushes them into a hub or a broker. A sink is a reader of a
//! `Subscription` and never holds up a feed. It knows neither sources nor the server.

mod arrivals;
#[cfg(feature = "mqtt")]
mod broker_link;
#[cfg(feature = "mqtt")]
mod broker_publisher;
#[cfg(feature = "mqtt")]
mod discovery;
mod hub_client;
mod hub_publisher;
mod outgoing;
mod outgoing_feed;
mod outputs;
mod parts_body;
mod publish_progress;
mod publish_status;
mod publisher;
mod recorder;
#[cfg(feature = "mqtt")]
mod retain_check;
#[cfg(feature = "mqtt")]
mod size_limit;
#[cfg(feature = "mqtt")]
mod topic_proof;

#[cfg(feature = "mqtt")]
pub use self::{broker_publisher::BrokerAccess, discovery::DiscoveredAs};
pub use self::{
    hub_client::HubAccess,
    outputs::{RecordOutputs, RecordTo, RecordedCounters},
    publish_status::{PublishState, PublishStatus},
    publisher::{FeedPublisher, PublishSettings, PublishTo},
    recorder::FeedRecorder,
};

#[cfg(test)]
mod tests;
