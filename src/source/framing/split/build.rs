//! Builds the splitter for a rule: the only file that knows all splitters.

use super::{
    auto::Auto,
    document::Documents,
    multipart::Multipart,
    picture::PictureSplitter,
    rule::Split,
    splitter::Splitter,
    text::{Ends, Text},
};
use crate::format::{JpegScanner, PngScanner};

impl Split {
    /// The splitter for this rule. It truncates text of more than `limit` bytes, and refuses other bodies over the limit. `is_text`:
    /// bytes that are not UTF-8 become U+FFFD.
    pub fn splitter(&self, limit: usize, is_text: bool) -> Box<dyn Splitter> {
        let text = |ends| Box::new(Text::new(ends, limit, is_text));
        match self {
            Self::Auto => Box::new(Auto::new(limit, move |split: &Self| split.splitter(limit, is_text))),
            Self::Documents { markup, is_recognized } => Box::new(Documents::new(*markup, *is_recognized, limit, text(Ends::Line))),
            Self::Lines => text(Ends::Line),
            Self::Nul => text(Ends::Nul),
            Self::Blank => text(Ends::Blank),
            Self::Separator(separator) => text(Ends::separator(separator)),
            Self::Jpeg => Box::new(PictureSplitter::<JpegScanner>::new(limit)),
            Self::Png => Box::new(PictureSplitter::<PngScanner>::new(limit)),
            Self::Multipart(boundary) => Box::new(Multipart::new(boundary.as_deref(), limit)),
        }
    }
}
