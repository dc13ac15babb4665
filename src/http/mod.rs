//! The HTTP server: checks and answers requests, which hyper parses, and hands connections for streams to the fan-out. It knows
//! feeds, not the sources of their parts.

mod body_skip;
#[doc(hidden)]
pub mod fuzz;
mod handler;
mod head;
mod headers;
mod history;
mod host;
mod login;
mod metrics;
mod options;
mod origin;
mod page;
mod past;
mod push;
mod query;
mod reads;
mod refusals;
mod request;
mod response;
mod route;
mod server;
mod snapshot;
mod workers;

pub use self::{
    host::Hosts,
    options::{Options, PushOptions},
    origin::Sites,
    refusals::Refusals,
    workers::serve,
};
