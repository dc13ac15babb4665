//! The HTTP side: lets hyper parse and answer, and takes the connection back where a
//! stream was asked for. It knows feeds, not where their parts come from.

#[doc(hidden)]
pub mod fuzz;
mod headers;
mod host;
mod metrics;
mod options;
mod origin;
mod page;
mod request;
mod response;
mod route;
mod server;
mod workers;

pub use self::{host::Hosts, options::Options, origin::Sites, workers::serve};
