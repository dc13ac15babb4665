//! Connections: listening sockets, transports (TCP, Unix, TLS), and the bounds on connections that are not viewers (yet).
//! It knows nothing of HTTP, feeds or sources.

pub(crate) mod accept;
pub mod listen;
pub(crate) mod local;
pub(crate) mod pending;
pub mod tls;
pub(crate) mod transport;
pub(crate) mod write_timeout;
