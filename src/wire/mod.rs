//! The bytes of `multipart/x-mixed-replace` and nothing else: RFC 2046, section 5.1, as DESIGN §3 narrows it.
//! No module but this one writes a delimiter.

mod decode;
mod encode;

pub use decode::{Bounds, Decoded, Decoder, Headers, boundary_of};
pub use encode::{Boundary, Encoded, Layout, Prefix, encode};
