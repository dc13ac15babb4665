//! The bytes of `multipart/x-mixed-replace` and nothing else: RFC 2046, section 5.1, narrowed to what every reader accepts
//! (docs/field.md, Players and readers). It writes parts strictly and reads them leniently; it knows neither sockets nor feeds.

mod block;
mod body;
mod boundary;
mod decode;
mod encode;

pub use self::{
    block::{Block, Encoded, Layout, Piece, Run},
    body::without_boundary,
    boundary::Boundary,
    decode::{
        BlockLook, Bounds, Decoded, Decoder, HeaderBlock, Headers, Oddities, Oddity, begins_as_multipart, boundary_of,
        look_for_headers, oddities_of,
    },
    encode::{Prefix, encode, encode_in_blocks, part_headers, renumber},
};
