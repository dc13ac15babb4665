//! The options of the HTTP server: plain values, validated by `config`, which read nothing from the command line.

use std::{sync::Arc, time::Duration};

use hyper::http::uri::Authority;

use super::{host::Hosts, origin::Sites, refusals::Refusals, request::Visitor};
use crate::{
    auth::{Access, PushTokens, Site},
    conn::tls::Tls,
    intake::Intake,
    recording::{Archive, PlayedTime},
    sink::{PublishStatus, RecordedCounters},
};

/// The options of the HTTP server.
#[derive(Debug)]
pub struct Options {
    /// The passwords and tokens that give access.
    pub access: Access,
    /// TLS for TCP connections.
    pub tls: Option<Tls>,
    /// The names allowed in the Host header.
    pub hosts: Hosts,
    /// The permissions of other sites.
    pub sites: Sites,
    /// The path before every route: empty, or with a leading slash and without a trailing one.
    pub prefix: String,
    /// Whether to trust a proxy's headers about the visitor.
    pub trust_proxy: bool,
    /// The silence after which the newest part is repeated.
    pub keepalive: Option<Duration>,
    /// The time after which a viewer that takes no byte is disconnected.
    pub stall: Duration,
    /// Where pushed bodies go, if they are taken.
    pub push: Option<PushOptions>,
    /// How publishing to a hub goes, if anything is.
    pub published: Option<Arc<PublishStatus>>,
    /// Whether `/quit` ends the program.
    pub may_quit: bool,
    /// Fan-out loops, each on a thread of its own, at least 1.
    pub threads: usize,
    /// What is recorded.
    pub recorded: RecordedCounters,
    /// What is recorded of the feeds, so that `/snapshot?at=` and others go back in time beyond what the feeds hold.
    pub archive: Option<Arc<Archive>>,
    /// The time that plays of a recording, from which `-10m` and `last=30s` count back; by the clock without one.
    pub playing: Option<Arc<PlayedTime>>,
}

/// How others push in.
#[derive(Debug)]
pub struct PushOptions {
    /// Takes the bodies.
    pub intake: Arc<dyn Intake>,
    /// The tokens that give the right to push. Without one, everybody on this machine may who may also look.
    pub tokens: PushTokens,
    /// The refusals that the log has told.
    pub refusals: Refusals,
}

impl Default for Options {
    /// Access without a password, on loopback; the times are the defaults of the command line.
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
            push: None,
            published: None,
            may_quit: false,
            threads: 1,
            recorded: RecordedCounters::default(),
            archive: None,
            playing: None,
        }
    }
}

impl Options {
    /// A text from a request for the log: without secrets.
    pub(super) fn redacted(&self, text: &str) -> String {
        let text = self.access.redacted(text);
        self.push.as_ref().map_or(text.clone(), |push| push.tokens.redacted(&text))
    }

    /// What is said where there is no feed yet.
    pub(super) fn without_feeds(&self) -> String {
        let hint = self.push.as_ref().map(|_| format!("\nhint: {}", self.how_to_push()));
        format!("mxr: there is no feed yet{}", hint.unwrap_or_default())
    }

    /// The requests that push.
    pub(super) fn how_to_push(&self) -> String {
        format!("PUT {0}/snapshot/NAME is one part, POST {0}/stream/NAME a stream of them", self.prefix)
    }

    /// The site that a visitor's browser believes to be at.
    pub(super) fn site(&self, visitor: &Visitor) -> Site {
        let port = visitor.authority.as_ref().and_then(Authority::port_u16);
        // A proxy may have other programs on the same host.
        Site { port, is_secure: visitor.is_secure, is_whole: !self.trust_proxy && self.prefix.is_empty() }
    }
}
