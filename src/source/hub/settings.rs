//! The settings of a hub. Plain values.

use std::time::Duration;

use crate::source::name_filter::NameFilter;

/// The settings of a hub.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// The names that feeds may have; all, if there is none.
    pub allow: Vec<NameFilter>,
    /// The most feeds at once.
    pub max_feeds: usize,
    /// How long a feed stays that nobody pushes into; `None`: for ever.
    pub expire: Option<Duration>,
}
