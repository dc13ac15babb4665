//! What the log says of an input that gives no parts, or other parts than its user expects. It examines bytes and counts, and knows no
//! feed.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tracing::warn;

use super::split::{Makes, RawPart};
use crate::format::Media;

/// The time that bytes wait for the end of their part before the log explains why that may be.
const STALL_HINT_AFTER: Duration = Duration::from_secs(2);
/// The number of first bytes that are searched for NUL, which text does not contain.
const TEXT_BYTES: usize = 4096;
/// The number of first bytes that are kept: they show the format of nearly every file.
const FIRST_BYTES: usize = 512;

/// Why bytes may wait.
pub(super) const BUFFERING: &str =
    "The program may be holding them back: try `stdbuf -oL PROGRAM`, `grep --line-buffered`, `python -u`";
/// What shows a progress bar.
pub(super) const RETURNS: &str = "--split '\\r' --window 1 shows the last of them";

/// Formats that people send by mistake: their first bytes, their name, and what to do.
const MISTAKES: [(&[u8], &str, &str); 7] = [
    (b"\x1f\x8b", "compressed with gzip", "decompress it first: `gzip -dc`"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it first: `zstd -dc`"),
    (b"\xfd7zXZ\0", "compressed with xz", "decompress it first: `xz -dc`"),
    (b"BZh", "compressed with bzip2", "decompress it first: `bzip2 -dc`"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "decompress it first: `lz4 -dc`"),
    (b"\xff\xfe", "UTF-16", "convert it first: `iconv -f UTF-16 -t UTF-8`"),
    (b"\xfe\xff", "UTF-16", "convert it first: `iconv -f UTF-16 -t UTF-8`"),
];

/// The first bytes of an input.
#[derive(Debug, Default)]
pub(super) struct FirstBytes {
    bytes: Vec<u8>,
    /// All bytes so far.
    count: u64,
    /// Bytes of text that were searched for NUL.
    searched: usize,
    /// Whether there is nothing more to warn of.
    is_over: bool,
}

impl FirstBytes {
    /// Takes the bytes of one read.
    pub(super) fn read(&mut self, data: &[u8]) {
        self.count += data.len() as u64;
        let room = FIRST_BYTES - self.bytes.len();
        self.bytes.extend_from_slice(&data[..data.len().min(room)]);
    }

    /// Warns once if lines are cut from an input that is no text: otherwise a film or an archive would silently become lines of
    /// rubbish. `parts` are those of the last read.
    pub(super) fn warn_of_binary(&mut self, makes: Option<Makes>, parts: &[RawPart]) {
        if self.is_over || makes.is_none() {
            return;
        }
        let lines = parts.iter().filter(|part| part.media.is_none());
        let has_nul = lines.clone().any(|line| line.bytes.contains(&0));
        self.searched += lines.map(|line| line.bytes.len()).sum::<usize>();
        self.is_over = has_nul || makes != Some(Makes::Text) || self.searched > TEXT_BYTES;
        match self.mistake().filter(|_| makes == Some(Makes::Text)) {
            Some((name, hint)) => {
                self.is_over = true;
                warn!(hint, "the input is {name}, and is cut at line ends all the same");
            }
            None if has_nul => {
                let hint = "JPEGs, PNGs and multipart are recognized (from ffmpeg: -f mjpeg, or -f image2pipe -c:v png); for \
                            anything else --split says where a part ends";
                warn!(hint, "the input is no text (it has NUL bytes) and is cut at line ends all the same");
            }
            None => {}
        }
    }

    /// Its format and what to do, if it is one that was sent by mistake.
    fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let pairs = || self.bytes.chunks_exact(2).filter(|pair| pair.contains(&0)).count();
        let known = MISTAKES.iter().find(|(start, ..)| self.bytes.starts_with(start));
        match known {
            // Text may begin with these three letters.
            Some((b"BZh", ..)) if self.bytes.get(4..10) != Some(b"1AY&SY") => None,
            Some((_, name, hint)) => Some((name, hint)),
            None if self.bytes.len() >= 16 && pairs() > self.bytes.len() * 2 / 5 && !self.has_long_run() => {
                Some(("UTF-16 without a byte order mark", "convert it first: `iconv -f UTF-16LE -t UTF-8`"))
            }
            None => None,
        }
    }

    /// Whether NULs follow one another, as they do in no text.
    fn has_long_run(&self) -> bool {
        memchr::memmem::find(&self.bytes, b"\0\0").is_some()
    }

    /// Why there was no part, and what to do.
    pub(super) fn without_part(&self, refused: u64) -> NoPart {
        let (count, media) = (self.count, Media::guess(Path::new(""), &self.bytes));
        match self.mistake() {
            _ if count == 0 => NoPart::without_bytes(),
            Some((name, hint)) => NoPart { cause: format!("its {count} bytes are {name}, without a part"), hint },
            None if refused > 0 => NoPart {
                cause: format!("its {count} bytes looked like {media}, and no part in them was complete"),
                hint: "parts that are broken, cut off or larger than --max-part are left out",
            },
            None => NoPart {
                cause: format!("its {count} bytes looked like {media}, and the end of a part was not among them"),
                hint: "--split says where a part ends; without it lines, pictures, documents and multipart are recognized",
            },
        }
    }
}

/// Why an input gave no part.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::source) struct NoPart {
    /// The cause, after "it …".
    pub(in crate::source) cause: String,
    /// What the user can do.
    pub(in crate::source) hint: &'static str,
}

impl NoPart {
    /// Nothing came at all.
    pub(in crate::source) fn without_bytes() -> Self {
        Self {
            cause: "it ended without a byte".to_owned(),
            hint: "the program before the pipe printed nothing on its standard output; its messages may say why",
        }
    }
}

/// Decides when to explain that bytes wait for the end of a part. A stream of frames that has had some may take any time for a large
/// one as long as bytes arrive; a line may not, nor the first part of any stream.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct StallHint {
    pub(super) due: Option<Instant>,
    pub(super) has_parts: bool,
    is_over: bool,
}

impl StallHint {
    /// Notes a read: whether it completed a part, whether bytes wait, and whether they are text.
    pub(super) fn read(&mut self, has_found: bool, is_pending: bool, is_text: bool) {
        self.has_parts |= has_found;
        let due = Instant::now() + STALL_HINT_AFTER;
        self.due = match (self.is_over, self.has_parts) {
            (true, _) => None,
            (false, true) if is_text && is_pending && !has_found => self.due.or(Some(due)),
            (false, true) => is_pending.then_some(due),
            (false, false) => self.due.or(Some(due)),
        };
    }

    /// Hints no more.
    pub(super) fn finish(&mut self) {
        (self.due, self.is_over) = (None, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: &[u8]) -> FirstBytes {
        let mut first = FirstBytes::default();
        first.read(bytes);
        first
    }

    #[test]
    fn an_input_that_was_sent_by_mistake_is_named() {
        let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for (bytes, name) in [
            (b"\x1f\x8b\x08\0".to_vec(), "gzip"),
            (b"\x28\xb5\x2f\xfd".to_vec(), "zstd"),
            (b"\xfd7zXZ\0".to_vec(), "xz"),
            (b"BZh91AY&SY".to_vec(), "bzip2"),
            (utf_16("\u{feff}hello"), "UTF-16"),
            (utf_16("hello, and more of it"), "UTF-16 without a byte order mark"),
        ] {
            assert!(first(&bytes).mistake().is_some_and(|(is, _)| is.contains(name)), "{name}");
        }
        for bytes in [&b"BZh is a bookshop"[..], b"text", b"", &[0; 600], b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2", &[7; 600]] {
            assert_eq!(first(bytes).mistake(), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn an_input_without_a_part_is_told_by_what_it_was() {
        for (bytes, refused, cause) in [
            (&b""[..], 0, "it ended without a byte"),
            (b"\x1f\x8b\x08\0", 0, "its 4 bytes are compressed with gzip"),
            (b"\xff\xd8\xff\xe0", 1, "its 4 bytes looked like image/jpeg, and no part"),
            (b"text", 0, "its 4 bytes looked like text/plain; charset=utf-8, and the end"),
        ] {
            let told = first(bytes).without_part(refused).cause;
            assert!(told.starts_with(cause), "{told}");
        }
    }
}
