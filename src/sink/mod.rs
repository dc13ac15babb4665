//! What else reads feeds, beside viewers: the recorder, and the publisher, which pushes them into a hub. A sink is a reader of a
//! `Subscription` and never holds up a feed. It knows neither sources nor the server.

mod arrivals;
mod hub_client;
mod outgoing;
mod outputs;
mod parts_body;
mod publish_status;
mod publisher;
mod recorder;

pub use self::{
    hub_client::HubAccess,
    outputs::{RecordOutputs, RecordTo, RecordedCounters},
    publish_status::{PublishState, PublishStatus},
    publisher::{HubPublisher, PublishSettings},
    recorder::FeedRecorder,
};

#[cfg(test)]
mod tests;
