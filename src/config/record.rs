//! The options of `mxr record`, which serves nothing.

use std::time::Duration;

use super::{name, part_bytes, recording, relay};
use crate::{
    cli::{RecordArgs, Typed},
    error::{Error, Result},
    feed::{self, Limits},
    sink::RecordTo,
    source::{SourceStart, relay as upstreams},
    wire::Boundary,
};

/// Everything that `mxr record` needs to know.
#[derive(Debug)]
pub struct RecordConfig {
    /// Where parts come from.
    pub source: SourceStart,
    /// What its feeds have in common.
    pub feeds: feed::Settings,
    /// What the only feed is called, where the user gave a name.
    pub name: Option<String>,
    /// What is recorded to.
    pub record_to: RecordTo,
    /// How long.
    pub record_for: Option<Duration>,
}

impl RecordConfig {
    /// From `mxr record`.
    ///
    /// # Errors
    /// If a value is invalid.
    pub(super) fn of(mut args: RecordArgs, typed: &Typed) -> Result<Self> {
        let given = args.name.take_if(|_| args.urls.len() == 1 || typed.has("name"));
        if given.is_some() && args.urls.len() > 1 {
            return Err(Error::usage("use --name with several URLs", "their feeds are named after the hosts"));
        }
        let Some(record_to) = recording::record_to(args.recording, typed)? else {
            return Err(Error::usage("record", "nothing says where to").hint("-o FILE, -o DIR/ or --frames DIR does"));
        };
        if let Some(path) = relay::path_of(&args.urls) {
            let to = record_to.path().or(record_to.frames.as_deref()).map(|to| to.display().to_string()).unwrap_or_default();
            let option = if record_to.path().is_some() { "--record" } else { "--frames" };
            return Err(relay::not_a_url(path, "record", &format!("mxr watch {path} {option} {to}")));
        }
        if args.record_for == Some(Duration::ZERO) {
            return Err(Error::usage("use --for 0", "nothing would be recorded"));
        }
        let limits = Limits::new(None, part_bytes(args.max_part)?, false);
        let settings = relay::settings(&args.urls, args.every, None, args.upstream)?;
        Ok(Self {
            source: SourceStart::new(|context| upstreams::source(settings, &context)),
            feeds: feed::Settings::new(Boundary::random(), limits),
            name: given.as_deref().map(name).transpose()?,
            record_to: RecordTo { tells_feeds: true, ..record_to },
            record_for: args.record_for,
        })
    }
}
