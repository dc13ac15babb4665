//! The type of a body and the kind of a feed whose parts come from elsewhere, where nobody tells them.

use std::path::Path;

use crate::{feed::Kind, format::Media};

/// The type of a body that is a document, by its name and its content. JSON has no first bytes of its own, so all of it has to be JSON.
pub(super) fn media_of(path: &Path, body: &[u8]) -> Media {
    let is_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    if is_json && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
        return Media::from_known("application/json");
    }
    Media::guess(path, body)
}

/// The kind of a feed with this part: of lines, if it is text without a line end.
pub(super) fn kind_of_part(media: &Media, body: &[u8]) -> Kind {
    if is_text(media) && !body.contains(&b'\n') { Kind::Lines } else { Kind::Newest }
}

/// Whether parts of this type may be lines.
pub(super) fn is_text(media: &Media) -> bool {
    media.is_text() && media.essence() != "text/html"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_body_without_a_name_is_what_it_shows() {
        for (body, media) in [
            (&b"{\"a\": [1]}\n"[..], "application/json"),
            (b"[1, 2]", "application/json"),
            (b"[1] 4711\n", Media::TEXT),
            (b"{ unfinished", Media::TEXT),
            (b"\x1b[31mred\x1b[0m\n", Media::TEXT),
            (b"\x89PNG\r\n\x1a\n", "image/png"),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "image/svg+xml"),
        ] {
            assert_eq!(media_of(Path::new(""), body).as_str(), media, "{}", body.escape_ascii());
        }
    }
}
