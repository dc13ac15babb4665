//! MQTT 3.1.1, as far as feeds need it: the URL of a broker, one connection to it at QoS 0, and how names and parts stand in topics. It
//! knows no feed, source or sink.
//!
//! Below a prefix, `PREFIX/NAME` has the body of the newest part as it is, `PREFIX/NAME/meta` what is to be known about it, and
//! `PREFIX/status` whether a publisher is there. docs/mqtt.md is the contract.

mod broker;
mod connection;
mod meta;
mod topic;

pub use self::{
    broker::{Broker, BrokerPath},
    connection::{BrokerConnection, BrokerSettings, LastWill, Message},
    meta::PartMeta,
    topic::{TopicFilter, TopicPrefix, TopicRole},
};
