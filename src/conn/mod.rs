//! Connections: the sockets that are listened on, what a connection runs over, and the bounds on those that are no viewers (yet).
//! It knows nothing of HTTP, feeds or sources.

pub mod listen;
pub(crate) mod pending;
pub mod tls;
pub(crate) mod transport;
pub(crate) mod write_timeout;
