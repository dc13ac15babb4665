//! The HTTP side: accepts connections, lets hyper parse and answer, and takes the connection back where a
//! stream was asked for. It knows feeds, not where their parts come from.

mod accept;
#[doc(hidden)]
pub mod fuzz;
mod metrics;
mod options;
mod page;
mod request;
mod response;
mod route;
mod server;

pub use self::{
    accept::serve,
    options::Options,
    request::{Hosts, Sites},
};
