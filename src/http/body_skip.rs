//! Where the body of a request ends, so that what follows is known to be a head: by its length, or chunk by chunk (RFC 9112, section
//! 7.1). It judges no body; hyper refuses a malformed one.

/// The rest of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodySkip {
    /// So many bytes.
    Bytes(u64),
    /// Chunks.
    Chunks(ChunkPlace),
}

/// A place within chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkPlace {
    /// In the line of a size, of which so much is read; `true` behind its digits.
    Size(u64, bool),
    /// In the bytes of a chunk or in the line end behind them, so many bytes before the next size.
    Data(u64),
    /// In a line of the trailer, which is empty so far or not.
    Trailer(bool),
}

impl BodySkip {
    /// Where it begins.
    pub(super) const CHUNKED: Self = Self::Chunks(ChunkPlace::Size(0, false));

    /// Skips what is of the body. Returns the number of those bytes, and whether the body ends with them.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> (usize, bool) {
        match self {
            Self::Bytes(left) => {
                let skipped = skip_bytes(left, bytes);
                (skipped, *left == 0)
            }
            Self::Chunks(place) => {
                let mut at = 0;
                while at < bytes.len() {
                    at += match place {
                        ChunkPlace::Data(left) => skip_bytes(left, &bytes[at..]),
                        _ => 1,
                    };
                    if place.take(bytes[at - 1]) {
                        return (at, true);
                    }
                }
                (at, false)
            }
        }
    }
}

/// Skips at most `left` bytes.
fn skip_bytes(left: &mut u64, bytes: &[u8]) -> usize {
    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= skipped as u64;
    skipped
}

impl ChunkPlace {
    /// Goes on behind a byte. Returns whether the body ends with it.
    fn take(&mut self, byte: u8) -> bool {
        *self = match (*self, byte) {
            (Self::Size(0, _), b'\n') => Self::Trailer(true),
            // With the line end behind its bytes.
            (Self::Size(size, _), b'\n') => Self::Data(size.saturating_add(2)),
            (Self::Size(size, false), digit) if digit.is_ascii_hexdigit() => {
                let digit = char::from(digit).to_digit(16).unwrap_or(0);
                Self::Size(size.saturating_mul(16).saturating_add(digit.into()), false)
            }
            (Self::Size(size, _), _) => Self::Size(size, true),
            (Self::Data(0), _) => Self::Size(0, false),
            (Self::Trailer(true), b'\n') => return true,
            (Self::Trailer(_), b'\n') => Self::Trailer(true),
            (Self::Trailer(is_empty), b'\r') => Self::Trailer(is_empty),
            (Self::Trailer(_), _) => Self::Trailer(false),
            (data, _) => data,
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes behind the body, read in pieces of this size.
    fn behind(mut body: BodySkip, bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut rest, mut is_over) = (Vec::new(), false);
        for mut piece in bytes.chunks(piece) {
            if !is_over {
                let (skipped, ends) = body.skip(piece);
                (piece, is_over) = (&piece[skipped..], ends);
            }
            rest.extend_from_slice(piece);
        }
        rest
    }

    #[test]
    fn the_next_head_is_found_behind_a_body_however_it_is_read() {
        let chunks = b"3\r\nabc\r\nA;x=1\r\n0\r\n\r\nGET /\n\r\n0\r\nX-Trailer: 1\r\n\r\nGET / HTTP/1.1\r\n";
        for piece in 1..chunks.len() {
            assert_eq!(behind(BodySkip::CHUNKED, chunks, piece), b"GET / HTTP/1.1\r\n", "{piece}");
            assert_eq!(behind(BodySkip::Bytes(5), b"12345GET", piece), b"GET", "{piece}");
        }
        assert_eq!(behind(BodySkip::CHUNKED, b"0\r\n\r\nGET", 100), b"GET");
    }
}
