//! The HTTP side: lets hyper parse and answer, and takes the connection back where a
//! stream was asked for. It knows feeds, not where their parts come from.

#[doc(hidden)]
pub mod fuzz;
mod metrics;
mod options;
mod page;
mod request;
mod response;
mod route;
mod server;
mod workers;

pub use self::{
    options::Options,
    request::{Hosts, Sites},
    workers::serve,
};
