//! The natural order of file names: `frame2` before `frame10`. It is a total order of any bytes, whatever a name's encoding, so that
//! it can sort and search. It never looks at a file.

use std::{cmp::Ordering, ffi::OsStr};

/// Compares names byte by byte, but each run of digits as the number that it is; names that differ in leading zeros alone, byte by
/// byte throughout. It is a total order since a number is one piece among bytes: no other byte lies between two digits.
pub(super) fn compare(a: &OsStr, b: &OsStr) -> Ordering {
    let [a, b] = [a, b].map(OsStr::as_encoded_bytes);
    compare_pieces(a, b).then_with(|| a.cmp(b))
}

fn compare_pieces(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while let (Some((first_a, rest_a)), Some((first_b, rest_b))) = (a.split_first(), b.split_first()) {
        let order = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (number_a, number_b);
            ((number_a, a), (number_b, b)) = (split_number(a), split_number(b));
            // Without leading zeros the longer one is the larger one, whatever their size.
            number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
        } else {
            (a, b) = (rest_a, rest_b);
            first_a.cmp(first_b)
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().min(1).cmp(&b.len().min(1))
}

/// The digits at the start without leading zeros, and what follows them.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let zeros = text.iter().take_while(|byte| **byte == b'0').count();
    let digits = text[zeros..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    text[zeros..].split_at(digits)
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
