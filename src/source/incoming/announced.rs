//! What the head of a response, or of a request that pushes, says of its body. It reads no body.

use crate::{
    client::{HeaderMap, header},
    feed::{Hops, Kind},
    format::Media,
    source::framing::split::PartStamp,
    wire::{Headers, boundary_of},
};

/// What the head of a message says of its body.
#[derive(Debug)]
pub(in crate::source) struct Announced {
    /// Its type, where it has one that is well-formed.
    pub(in crate::source) media: Option<Media>,
    /// `boundary=` of a multipart body.
    pub(in crate::source) boundary: Option<String>,
    /// Whether the body is sent compressed, which nobody has asked for.
    pub(in crate::source) coding: Option<String>,
    /// Whether its length is known.
    pub(in crate::source) has_length: bool,
    /// The kind of the feed, which mxr tells.
    pub(in crate::source) kind: Option<Kind>,
    /// The time and the number of a part that is the whole body.
    pub(in crate::source) stamp: PartStamp,
    /// The processes that it has passed.
    pub(in crate::source) hops: Hops,
}

impl Announced {
    /// Reads this head.
    pub(in crate::source) fn of(headers: &HeaderMap) -> Self {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let mut part = Headers::default();
        for (name, value) in headers {
            part.field(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
        }
        let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
        let is_multipart = content_type.trim_start().to_ascii_lowercase().starts_with("multipart/");
        let coding = text(header::CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity"));
        let via = headers.get_all(header::VIA).iter().filter_map(|value| value.to_str().ok());
        Self {
            boundary: boundary_of(content_type).filter(|_| is_multipart),
            // A camera may write a type that cannot be parsed.
            media: part.media.or_else(|| is_multipart.then(|| Media::from_known("multipart/x-mixed-replace"))),
            coding: coding.map(str::to_owned),
            has_length: headers.contains_key(header::CONTENT_LENGTH),
            kind: text(header::HeaderName::from_static(Kind::HEADER)).and_then(Kind::of_header),
            stamp: PartStamp { time: part.time, sequence: part.sequence },
            hops: Hops::of_via(via),
        }
    }

    /// Whether the body is parts with headers.
    pub(in crate::source) fn is_multipart(&self) -> bool {
        self.media.as_ref().is_some_and(|media| media.as_str().to_ascii_lowercase().starts_with("multipart/"))
    }

    /// Whether the body may be pictures without an end: `ffmpeg -f mpjpeg` names no type for them.
    pub(in crate::source) fn may_be_pictures(&self) -> bool {
        let is_unnamed = |media: &Media| media.essence() == "application/octet-stream";
        self.is_multipart() || !self.has_length && self.media.as_ref().is_none_or(is_unnamed)
    }

    /// Whether the body is a picture.
    pub(in crate::source) fn is_image(&self) -> bool {
        self.media.as_ref().is_some_and(Media::is_image)
    }

    /// Whether the body is a sequence of lines, by its type alone.
    pub(in crate::source) fn is_of_lines(&self) -> bool {
        const LINES: [&str; 5] =
            ["text/event-stream", "application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/json-seq"];
        self.media.as_ref().is_some_and(|media| LINES.contains(&media.essence()))
    }

    /// Whether the body is a document, however long it takes to come.
    pub(in crate::source) fn is_document(&self) -> bool {
        const DOCUMENTS: [&str; 5] = ["text/html", "application/xhtml+xml", "image/svg+xml", "application/xml", "text/xml"];
        self.has_length || self.media.as_ref().is_some_and(|media| DOCUMENTS.contains(&media.essence()))
    }
}
