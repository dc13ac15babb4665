//! What comes from other machines, whether it is asked for or pushed in: it is cut into parts, and those that are new are published with
//! the time that their sender gave them. It knows no connection and no request.

mod announced;
mod part_reader;
mod remote_feed;

pub(super) use self::{
    announced::Announced,
    part_reader::{PartReader, document_type},
    remote_feed::{RemoteFeed, RemotePosition, StreamTraits},
};
