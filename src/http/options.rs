//! How the HTTP side serves.

use std::time::Duration;

use super::{host::Hosts, origin::Sites};
use crate::{auth::Access, conn::tls::Tls};

/// How viewers are served.
#[derive(Debug)]
pub struct Options {
    /// Who may look.
    pub access: Access,
    /// What encrypts TCP connections.
    pub tls: Option<Tls>,
    /// The names that Host may carry.
    pub hosts: Hosts,
    /// What other sites may do.
    pub sites: Sites,
    /// The path under which every route is: empty, or with a slash in front and none behind.
    pub prefix: String,
    /// Whether what a proxy says of the visitor is believed.
    pub trust_proxy: bool,
    /// The silence after which the newest part is repeated.
    pub keepalive: Option<Duration>,
    /// The time after which a viewer that takes nothing is cut.
    pub stall: Duration,
    /// Whether `/quit` ends the program.
    pub may_quit: bool,
    /// Fan-out loops, each on a thread of its own, at least 1.
    pub threads: usize,
}

impl Default for Options {
    /// Everybody may look, on loopback; the times are those of the command line where it names none.
    fn default() -> Self {
        Self {
            access: Access::default(),
            tls: None,
            hosts: Hosts::default(),
            sites: Sites::default(),
            prefix: String::new(),
            trust_proxy: false,
            keepalive: Some(Duration::from_secs(5)),
            stall: Duration::from_secs(30),
            may_quit: false,
            threads: 1,
        }
    }
}
