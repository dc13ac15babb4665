//! What slow readers keep in memory: bytes that are still being sent to them though everybody else is done with them. All
//! together may keep so much; beyond it those go that have been at theirs for longest.

use std::{collections::BTreeMap, ops::Range};

/// Bytes that the viewers of a loop, or all finite replies, keep together at most; in any case three parts.
const MOST: usize = 64 << 20;
/// Parts that are always allowed, however large.
const PARTS: usize = 3;

/// Where bytes lie in memory, as addresses: who is sent the same part keeps the same bytes.
pub(crate) type Span = Range<usize>;

/// The span of bytes of which so many at the start are gone already: they stay in memory with the rest.
pub(crate) fn span(bytes: &[u8], gone: usize) -> Span {
    let Range { start, end } = bytes.as_ptr_range();
    start.addr().saturating_sub(gone)..end.addr()
}

/// Whether so many bytes may be too much, counted without seeing that some are the same.
pub(crate) fn may_exceed(bytes: usize) -> bool {
    bytes > MOST
}

/// Who has to go. `readers` come with those first that began last; who keeps nothing but what others keep as well stays.
pub(crate) fn pick_victims<K: Copy + PartialEq>(readers: impl Iterator<Item = (K, Span)>) -> Vec<K> {
    let (mut kept, mut bytes, mut largest) = (BTreeMap::new(), 0, 0);
    let mut go = Vec::new();
    for (key, span) in readers {
        largest = span.len().max(largest);
        let more = uncovered(&kept, &span);
        if more > 0 && bytes + more > MOST.max(PARTS * largest) {
            go.push(key);
        } else {
            bytes += more;
            cover(&mut kept, span);
        }
    }
    go.dedup();
    go
}

/// The spans that touch this one. They are apart from each other.
fn touching<'a>(kept: &'a BTreeMap<usize, usize>, span: &Span) -> impl Iterator<Item = Span> + 'a {
    let (start, end) = (span.start, span.end);
    kept.range(..=end).rev().map(|(start, end)| *start..*end).take_while(move |other| other.end >= start)
}

fn uncovered(kept: &BTreeMap<usize, usize>, span: &Span) -> usize {
    let common = |other: Span| other.end.min(span.end).saturating_sub(other.start.max(span.start));
    span.len() - touching(kept, span).map(common).sum::<usize>()
}

fn cover(kept: &mut BTreeMap<usize, usize>, span: Span) {
    let joined: Vec<Span> = touching(kept, &span).collect();
    joined.iter().for_each(|other| _ = kept.remove(&other.start));
    let start = joined.iter().map(|other| other.start).min().unwrap_or(span.start).min(span.start);
    let end = joined.iter().map(|other| other.end).max().unwrap_or(span.end).max(span.end);
    kept.insert(start, end);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn at(mib: usize, length: usize) -> Span {
        mib * MIB..(mib + length) * MIB
    }

    #[test]
    fn the_same_bytes_count_once() {
        let crowd = (0..1000).map(|key| (key, at(10, 20)));
        assert_eq!(pick_victims(crowd), [0; 0]);
    }

    #[test]
    fn whoever_has_been_at_it_longest_goes_unless_others_need_the_same() {
        let apart = [(1, at(0, 20)), (2, at(100, 20)), (3, at(200, 20)), (4, at(300, 20)), (5, at(100, 20)), (6, at(400, 4))];
        assert_eq!(pick_victims(apart.into_iter()), [4], "the fifth keeps what the second keeps, and the sixth is small");
    }

    #[test]
    fn three_large_parts_are_always_allowed() {
        let large = (0..5).map(|key| (key, at(key * 100, 50)));
        assert_eq!(pick_victims(large), [3, 4]);
    }

    #[test]
    fn overlapping_pieces_are_counted_by_what_they_cover() {
        let mut kept = BTreeMap::new();
        for (span, more) in [(0..10, 10), (20..30, 10), (5..25, 10), (40..50, 10), (0..60, 20), (0..60, 0), (60..61, 1)] {
            assert_eq!(uncovered(&kept, &span), more, "{span:?}");
            cover(&mut kept, span);
        }
        assert_eq!(kept, BTreeMap::from([(0, 61)]));
    }

    #[test]
    fn what_has_left_stays_in_memory_with_the_rest() {
        let bytes = [0; 100];
        assert_eq!(span(&bytes[40..], 40), span(&bytes, 0));
    }
}
