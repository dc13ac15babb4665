//! The URLs of brokers, in builds that know MQTT and in those that do not. It opens no connection.

use crate::error::Error;
#[cfg(feature = "mqtt")]
use crate::{
    error::Result,
    mqtt::{Broker, BrokerPath},
};

/// What is wrong with a question mark in such a URL.
#[cfg(feature = "mqtt")]
pub(super) const NO_QUERY: &str = "the URL of a broker has no query; in a topic ? is written as %3F";

/// Whether a URL is one of a broker.
pub(super) fn is_broker(url: &str) -> bool {
    let scheme = url.trim_start().split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("mqtt" | "mqtts"))
}

/// The broker and the path of a URL. No error repeats the URL, which may hold a password.
#[cfg(feature = "mqtt")]
pub(super) fn broker(url: &str) -> Result<(Broker, BrokerPath)> {
    Broker::parse(url).map_err(|error| {
        let hint = error.hint().or(url.contains('?').then_some(NO_QUERY));
        hint.into_iter().fold(Error::usage("use the URL", error), Error::hint)
    })
}

/// Why no broker can be used.
#[cfg(not(feature = "mqtt"))]
pub(super) fn no_broker(what: &str) -> Error {
    Error::usage(what, "this mxr was built without MQTT").hint("cargo install mxr-cli builds it with MQTT, which is the default")
}
