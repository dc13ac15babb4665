//! Pieces of several indexes as one sequence in the order of time, without a copy of them. It knows times and positions, no files.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::index::Indexed;

/// Pieces of which each is in the order of its times, as runs of one piece each in the order of all times. Of parts with equal times
/// those of the earlier piece come first.
pub(super) fn runs<'a, T: Copy>(pieces: &[(T, &'a [Indexed])]) -> impl Iterator<Item = (T, &'a [Indexed])> {
    let mut rest = pieces.to_vec();
    let firsts = rest.iter().enumerate().filter_map(|(piece, (_, parts))| Some(Reverse((parts.first()?.micros, piece))));
    let mut heads: BinaryHeap<_> = firsts.collect();
    std::iter::from_fn(move || {
        let Reverse((_, piece)) = heads.pop()?;
        let (of, parts) = rest[piece];
        // All that come before the first one of another piece.
        let end = heads.peek().map_or(parts.len(), |Reverse(next)| parts.partition_point(|part| (part.micros, piece) < *next));
        let (run, behind) = parts.split_at(end);
        rest[piece].1 = behind;
        heads.extend(behind.first().map(|part| Reverse((part.micros, piece))));
        Some((of, run))
    })
}

/// The parts at these positions, which ascend from 0, of the pieces in the order of time.
pub(super) fn pick<T: Copy>(
    pieces: &[(T, &[Indexed])],
    positions: impl IntoIterator<Item = usize>,
) -> impl Iterator<Item = (T, Indexed)> {
    let (mut begin, mut positions, mut picked) = (0, positions.into_iter().peekable(), Vec::new());
    for (of, run) in runs(pieces) {
        while let Some(position) = positions.next_if(|position| *position < begin + run.len()) {
            picked.extend(run.get(position.saturating_sub(begin)).map(|part| (of, *part)));
        }
        if positions.peek().is_none() {
            break;
        }
        begin += run.len();
    }
    picked.into_iter()
}

/// How many parts the pieces have.
pub(super) fn count<T>(pieces: &[(T, &[Indexed])]) -> usize {
    pieces.iter().map(|(_, parts)| parts.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(times: &[u64]) -> Vec<Indexed> {
        times.iter().map(|micros| Indexed { at: 0, micros: *micros }).collect()
    }

    #[test]
    fn pieces_that_overlap_come_in_the_order_of_time_and_equal_ones_in_that_of_the_pieces() {
        let pieces = [piece(&[5, 6, 9, 9]), piece(&[]), piece(&[1, 2, 7, 9, 20]), piece(&[30, 31])];
        let pieces: Vec<(usize, &[Indexed])> = pieces.iter().map(Vec::as_slice).enumerate().collect();
        let all: Vec<(usize, u64)> = pick(&pieces, 0..99).map(|(piece, part)| (piece, part.micros)).collect();
        assert_eq!(all, [(2, 1), (2, 2), (0, 5), (0, 6), (2, 7), (0, 9), (0, 9), (2, 9), (2, 20), (3, 30), (3, 31)]);
        assert_eq!((count(&pieces), runs(&pieces).count()), (11, 6), "a run is as long as no other piece comes between");
        let some: Vec<u64> = pick(&pieces, [0, 3, 10, 11]).map(|(_, part)| part.micros).collect();
        assert_eq!(some, [1, 6, 31]);
    }
}
