//! The natural order of file names: `frame2` before `frame10`. It is a total order of any bytes, whatever a name's encoding, so that
//! it can sort and search. It never looks at a file.

use std::{cmp::Ordering, ffi::OsStr};

/// A piece of a name. The digits lie between the other bytes, so a number has one place beside each of them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum NamePart<'a> {
    BeforeDigits(u8),
    /// The length of a number without its leading zeros, and its digits: numbers of any size compare as numbers do.
    Number(usize, &'a [u8]),
    AfterDigits(u8),
}

/// Compares names piece by piece; names that differ in leading zeros alone, byte by byte.
pub(super) fn compare(a: &OsStr, b: &OsStr) -> Ordering {
    let [a, b] = [a, b].map(OsStr::as_encoded_bytes);
    pieces(a).cmp(pieces(b)).then_with(|| a.cmp(b))
}

fn pieces(mut rest: &[u8]) -> impl Iterator<Item = NamePart<'_>> {
    std::iter::from_fn(move || {
        let (&first, others) = rest.split_first()?;
        if !first.is_ascii_digit() {
            rest = others;
            return Some(if first < b'0' { NamePart::BeforeDigits(first) } else { NamePart::AfterDigits(first) });
        }
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, others) = rest.split_at(length);
        rest = others;
        let zeros = number.iter().take_while(|digit| **digit == b'0').count();
        Some(NamePart::Number(length - zeros, &number[zeros..]))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn order(a: &[u8], b: &[u8]) -> Ordering {
        compare(OsStr::from_bytes(a), OsStr::from_bytes(b))
    }

    #[test]
    fn numbers_in_names_compare_as_numbers() {
        let huge = "9".repeat(100);
        let sorted = ["", "2", "10", &huge, "IMG_2.jpg", "IMG_02b.jpg", "IMG_10.jpg", "IMG_10a", "IMG_a", "a9.txt", "a11.txt", "ä"];
        for (at, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                assert_eq!(order(a.as_bytes(), b.as_bytes()), at.cmp(&other), "{a} {b}");
            }
        }
        assert_eq!(order(b"a\xe4", b"a"), Ordering::Greater, "a name need not be UTF-8");
    }

    /// Names of few letters, so that they often have a beginning, a number or a number's value in common.
    fn name() -> impl Strategy<Value = Vec<u8>> {
        let letters =
            prop_oneof![Just(b'0'), Just(b'1'), Just(b'9'), Just(b'.'), Just(b' '), Just(b'M'), Just(0xe4), Just(0xc3), 1..=255u8];
        vec(letters, 0..8)
    }

    proptest! {
        #[test]
        fn any_names_have_one_order(a in name(), b in name(), c in name()) {
            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            prop_assert_eq!(order(&a, &b) == Ordering::Equal, a == b);
            let mut sorted = [&a, &b, &c];
            sorted.sort_by(|a, b| order(a, b));
            prop_assert!(order(sorted[0], sorted[1]).is_le() && order(sorted[1], sorted[2]).is_le() && order(sorted[0], sorted[2]).is_le());
            if order(&a, &b).is_le() && order(&b, &c).is_le() {
                prop_assert!(order(&a, &c).is_le());
            }
        }
    }
}
