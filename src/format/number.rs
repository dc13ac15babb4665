//! Numbers in binary formats, and places where data are missing.

/// The big-endian number of four bytes at this offset.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    big_endian(bytes, at, 4)
}

/// The little-endian number of four bytes at this offset.
pub(super) fn le32(bytes: &[u8], at: usize) -> Option<usize> {
    little_endian(bytes, at, 4)
}

/// The little-endian number of two bytes at this offset.
pub(super) fn le16(bytes: &[u8], at: usize) -> Option<usize> {
    little_endian(bytes, at, 2)
}

/// The big-endian number of up to eight bytes at this offset; `None` if it is larger than an address.
pub(super) fn big_endian(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    bytes.iter().try_fold(0usize, |sum, byte| Some(sum.checked_mul(256)? | usize::from(*byte)))
}

/// The little-endian number of up to eight bytes at this offset; `None` if it is larger than an address.
pub(super) fn little_endian(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    bytes.iter().rev().try_fold(0usize, |sum, byte| Some(sum.checked_mul(256)? | usize::from(*byte)))
}

/// Whether data end in zeros, as those of a file do that its writer has made as long as it will be (`fallocate`) before it writes.
/// Few formats end so otherwise, and a file that seems to is shown when its writer closes it.
pub(super) fn tail_is_empty(data: &[u8]) -> bool {
    data.ends_with(&[0; 4])
}
