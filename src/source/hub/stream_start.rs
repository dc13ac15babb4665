//! The first bytes of a stream that nothing else describes: whether they are of something that can be cut into parts. What is said does
//! not depend on how many of them come at a time. It cuts nothing.

use std::path::Path;

use crate::{format::Media, wire::begins_as_multipart};

/// As many as tell the format.
const ENOUGH: usize = 512;

/// The first bytes of a stream.
#[derive(Debug, Default)]
pub(super) struct StreamStart(Vec<u8>);

impl StreamStart {
    /// Takes more bytes.
    ///
    /// # Errors
    /// Why they are nothing that can be cut into parts.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let more = bytes.len().min(ENOUGH - self.0.len());
        if more == 0 {
            return Ok(());
        }
        self.0.extend_from_slice(&bytes[..more]);
        // Text has none; behind it nothing more is needed to know a picture.
        let nul = self.0.iter().position(|byte| *byte == 0);
        let first = nul.map_or(&self.0[..], |nul| &self.0[..=nul]);
        // A text may name it.
        let media =
            if first.starts_with(b"%PDF-") { Media::from_known("application/pdf") } else { Media::guess(Path::new(""), first) };
        let is_cut = matches!(media.essence(), "image/jpeg" | "image/png") || begins_as_multipart(first);
        match media.essence() {
            _ if is_cut => Ok(()),
            "application/octet-stream" if nul.is_some() => {
                Err("neither its Content-Type nor its first bytes say what it is".to_owned())
            }
            other if nul.is_some() || first.starts_with(b"%PDF-") => {
                Err(format!("{other} cannot be cut into parts: PUT each to /snapshot/NAME, or send them as multipart"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_cut_is_taken_however_few_bytes_come_at_a_time() {
        for (bytes, is_taken) in [
            (&b"\xff\xd8\xff\xe0\0\x10JFIF\0"[..], true),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", true),
            (b"\r\n--B\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff\xe0\0", true),
            (b"BM of a log line\nGIF\n", true),
            (b"written: %PDF-1.4\n", true),
            (b"gr\xfcn\n\x1b[1m", true),
            (b"\xff\xfea\0\n\0", false),
            (b"one\n\0two", false),
            (b"RIFF\x24\0\0\0WEBPVP8 ", false),
            (b"GIF89a\x10\0\x10\0", false),
            (b"\0\0\0\x1cftypavif", false),
            (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", false),
        ] {
            for size in 1..=bytes.len() {
                let mut first = StreamStart::default();
                let taken = bytes.chunks(size).try_for_each(|piece| first.take(piece));
                assert_eq!(taken.is_ok(), is_taken, "{} in pieces of {size}: {taken:?}", bytes.escape_ascii());
            }
        }
    }
}
