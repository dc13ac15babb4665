//! Cuts the bytes of another machine into the parts of a feed, and finds the type of a body that is one part. It knows no connection.

use std::path::Path;

use super::remote_feed::{RemoteFeed, StreamTraits};
use crate::{
    format::Media,
    source::framing::split::{Makes, RawPart, Split, Splitter},
};

/// Cuts one stream into parts.
pub(in crate::source) struct PartReader {
    splitter: Box<dyn Splitter>,
    bodies: Vec<RawPart>,
    refused: u64,
    pub(in crate::source) stream: StreamTraits,
    /// Whether it turned out to be text after there were pictures.
    pub(in crate::source) is_error: bool,
}

impl PartReader {
    pub(in crate::source) fn new(split: &Split, stream: StreamTraits, feed: &RemoteFeed) -> Self {
        let is_text = feed.media().or(stream.media.as_ref()).is_none_or(Media::is_utf8_text);
        let splitter = split.splitter(feed.publisher().part_bytes(), is_text);
        Self { splitter, bodies: Vec::new(), refused: 0, stream, is_error: false }
    }

    /// Takes the bytes of one read, and returns the number of parts that they complete.
    pub(in crate::source) fn push(&mut self, bytes: &[u8], feed: &mut RemoteFeed) -> usize {
        self.splitter.push(bytes, &mut self.bodies);
        self.publish(feed)
    }

    /// Takes the end of the stream.
    pub(in crate::source) fn finish(&mut self, feed: &mut RemoteFeed) -> usize {
        self.splitter.finish(&mut self.bodies);
        self.publish(feed)
    }

    /// Bytes held of a part whose end has not come.
    pub(in crate::source) fn pending(&self) -> usize {
        self.splitter.pending()
    }

    fn publish(&mut self, feed: &mut RemoteFeed) -> usize {
        let refused = self.splitter.refused();
        feed.publisher().count_refused(refused - std::mem::replace(&mut self.refused, refused));
        self.stream.is_text |= self.splitter.makes() == Some(Makes::Text);
        if self.stream.is_text && feed.has_pictures() {
            self.is_error = true;
            self.bodies.clear();
        }
        feed.take(&mut self.bodies, &self.stream)
    }
}

/// The type of a body that is one part: the one that was told, unless that says nothing, or the body is a picture in spite of it;
/// otherwise by the ending of the path and the first bytes.
pub(in crate::source) fn document_type(told: Option<Media>, path: &Path, body: &[u8]) -> Media {
    let is_raster = |media: &Media| media.is_image() && media.essence() != "image/svg+xml";
    let is_wrong = |told: &Media| told.is_text() && is_raster(&Media::guess(Path::new(""), body));
    told.filter(|told| told.essence() != "application/octet-stream" && !is_wrong(told)).unwrap_or_else(|| Media::guess(path, body))
}
