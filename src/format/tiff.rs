//! Whether a TIFF is complete (TIFF 6.0, section 2, and BigTIFF): every directory and all that it points to lies inside the file. It
//! reads slices, and knows neither media types nor files.

use super::{
    completeness::Completeness::{self, Complete, Truncated, Unknown},
    number::{big_endian, little_endian, tail_is_empty},
};

/// More pages than a TIFF has; a directory may also lead back to an earlier one.
const MAX_PAGES: usize = 10_000;

/// Whether the first bytes are those of a TIFF.
pub(super) fn is_tiff(body: &[u8]) -> bool {
    matches!(body.get(..4), Some(b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+"))
}

/// Writers write the directory last, or before the strips or tiles that it points to.
pub(super) fn tiff(body: &[u8]) -> Completeness {
    let Some(file) = Tiff::of(body) else { return Truncated };
    match file.data_end() {
        Some(end) if end > body.len() => Truncated,
        // Only a directory: the pixels are where this walk does not look.
        Some(0) => Unknown,
        Some(end) if tail_is_empty(&body[..end]) => Unknown,
        Some(_) => Complete,
        None => Truncated,
    }
}

struct Tiff<'a> {
    body: &'a [u8],
    is_little: bool,
    is_big: bool,
}

/// An entry of a directory: the values of a tag.
struct TagEntry {
    tag: usize,
    value_size: usize,
    count: usize,
    at: usize,
}

impl<'a> Tiff<'a> {
    fn of(body: &'a [u8]) -> Option<Self> {
        is_tiff(body).then(|| Self { body, is_little: body[0] == b'I', is_big: body[2] == b'+' || body[3] == b'+' })
    }

    fn number(&self, at: usize, size: usize) -> Option<usize> {
        if self.is_little { little_endian(self.body, at, size) } else { big_endian(self.body, at, size) }
    }

    /// The size of an offset, that of a directory's count of entries, and that of an entry.
    fn sizes(&self) -> (usize, usize, usize) {
        if self.is_big { (8, 8, 20) } else { (4, 2, 12) }
    }

    /// Where the last strip, tile or value of all pages ends; `None` if a directory lies outside.
    fn data_end(&self) -> Option<usize> {
        let (offset, count, entry) = self.sizes();
        let (mut directory, mut end) = (self.number(if self.is_big { 8 } else { 4 }, offset)?, 0);
        for page in 0..MAX_PAGES {
            if directory == 0 {
                return (page > 0).then_some(end);
            }
            let entries = self.number(directory, count)?;
            let first = directory + count;
            let next = first.checked_add(entries.checked_mul(entry)?)?;
            self.body.get(directory..next.checked_add(offset)?)?;
            end = end.max(self.page_end(first, entries)?);
            directory = self.number(next, offset)?;
        }
        Some(end)
    }

    fn page_end(&self, first: usize, entries: usize) -> Option<usize> {
        let (_, _, size) = self.sizes();
        let entries: Vec<TagEntry> = (0..entries).map(|n| self.entry(first + n * size)).collect::<Option<_>>()?;
        let find = |tag: usize| entries.iter().find(|entry| entry.tag == tag);
        let outside = entries.iter().map(|entry| entry.at.saturating_add(entry.count.saturating_mul(entry.value_size))).max();
        if outside.is_some_and(|end| end > self.body.len()) {
            return outside;
        }
        // Strips, tiles, and the one picture of old JPEGs in TIFFs.
        let pairs = [(273, 279), (324, 325), (513, 514)].into_iter().filter_map(|(at, length)| Some((find(at)?, find(length)?)));
        pairs.flat_map(|(at, length)| (0..at.count.min(length.count)).map(move |n| (at, length, n))).try_fold(
            0,
            |end, (at, length, n)| {
                let [at, length] = [at, length].map(|entry| self.number(entry.at + n * entry.value_size, entry.value_size));
                Some(end.max(at?.saturating_add(length?)))
            },
        )
    }

    fn entry(&self, at: usize) -> Option<TagEntry> {
        let (offset, _, _) = self.sizes();
        let value_size = match self.number(at + 2, 2)? {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 1,
        };
        let (count, value) = (self.number(at + 4, offset)?, at + 4 + offset);
        let is_inside = count.saturating_mul(value_size) <= offset;
        Some(TagEntry {
            tag: self.number(at, 2)?,
            value_size,
            count,
            at: if is_inside { value } else { self.number(value, offset)? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TIFF of one strip behind its directory.
    fn directory_first(strip: &[u8]) -> Vec<u8> {
        let entry = |tag: u16, value: u32| [&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat();
        let (at, length) = (8 + 2 + 24 + 4, strip.len() as u32);
        [b"II*\0\x08\0\0\0\x02\0", &entry(273, at)[..], &entry(279, length), &[0; 4], strip].concat()
    }

    #[test]
    fn a_tiff_is_complete_with_its_last_strip() {
        let whole = directory_first(&[7; 50]);
        assert_eq!(tiff(&whole), Complete);
        assert!((0..whole.len()).all(|n| tiff(&whole[..n]) == Truncated));
        assert_eq!(tiff(&directory_first(&[0; 50])), Unknown, "black, or still to be written");
    }

    #[test]
    fn a_bigtiff_is_a_tiff() {
        let entry = |tag: u16, value: u64| [&tag.to_be_bytes()[..], &[0, 16], &1u64.to_be_bytes(), &value.to_be_bytes()].concat();
        let strip = [7; 5];
        let directory = [&2u64.to_be_bytes()[..], &entry(273, 16), &entry(279, 5), &[0; 8]].concat();
        let whole = [b"MM\0+\0\x08\0\0", &21u64.to_be_bytes()[..], &strip, &directory].concat();
        assert_eq!(tiff(&whole), Complete);
        assert!((0..whole.len()).all(|n| tiff(&whole[..n]) == Truncated));
    }

    #[test]
    fn directories_in_a_circle_come_to_an_end() {
        let mut circle = directory_first(&[7; 50]);
        circle[34] = 8;
        assert_eq!(tiff(&circle), Complete);
    }
}
