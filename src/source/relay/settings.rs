//! The settings of upstreams as sources. It reads nothing from the command line.

use std::time::Duration;

use crate::client::{ClientSettings, Target};
#[cfg(feature = "mqtt")]
use crate::mqtt::{Broker, TopicFilter};

/// The settings of upstreams as sources.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// What is relayed over HTTP.
    pub upstreams: Vec<Target>,
    /// What is relayed from brokers.
    #[cfg(feature = "mqtt")]
    pub brokers: Vec<(Broker, TopicFilter)>,
    /// How all of them are asked.
    pub client: ClientSettings,
    /// The time from one request for a plain picture or document to the next.
    pub every: Duration,
    /// The time for which an upstream is read after the last reader; `None`: always.
    pub linger: Option<Duration>,
    /// The time without a byte, or without a whole part, after which a connection is given up.
    pub timeout: Duration,
}
