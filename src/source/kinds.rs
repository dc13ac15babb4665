//! The kind of a feed whose parts come from elsewhere, where nobody tells it.

use crate::{feed::Kind, format::Media};

/// The kind of a feed with this part: of lines, if it is text without a line end.
pub(super) fn kind_of_part(media: &Media, body: &[u8]) -> Kind {
    if is_text(media) && !body.contains(&b'\n') { Kind::Lines } else { Kind::Newest }
}

/// Whether parts of this type may be lines.
pub(super) fn is_text(media: &Media) -> bool {
    media.is_text() && media.essence() != "text/html"
}
