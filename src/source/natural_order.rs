//! The natural order of file names: `frame2` before `frame10`. It is a total order of any bytes, whatever a name's encoding, so that
//! it can sort and search. It never looks at a file.

use std::{cmp::Ordering, ffi::OsStr};

/// Compares names by their keys; names that differ in leading zeros alone, byte by byte.
pub(super) fn compare(a: &OsStr, b: &OsStr) -> Ordering {
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

/// Bytes whose plain order is the natural order of names: each number is a `0`, which lies between the other bytes as every digit
/// does, then its length without leading zeros, so that the longer one is the larger one, and then its digits.
pub(super) fn key(name: &OsStr) -> Vec<u8> {
    let mut rest = name.as_encoded_bytes();
    let mut key = Vec::with_capacity(rest.len() + 8);
    while let Some((first, others)) = rest.split_first() {
        if !first.is_ascii_digit() {
            key.push(*first);
            rest = others;
            continue;
        }
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, others) = rest.split_at(length);
        rest = others;
        let zeros = number.iter().take_while(|digit| **digit == b'0').count();
        // No file system has names of 64 KiB.
        let length = u16::try_from(length - zeros).unwrap_or(u16::MAX);
        key.push(b'0');
        key.extend(length.to_be_bytes());
        key.extend(&number[zeros..]);
    }
    key
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
