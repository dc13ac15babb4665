//! Hides secrets in what is logged of a request, wherever a client has put them. It knows texts, not where they come from.

/// What stands in a secret's place.
const HIDDEN: &str = "…";

/// The text without these secrets, as they are or with letters as `%41` or `+`.
pub(super) fn redact(text: &str, secrets: &[&str]) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(letter) = rest.chars().next() {
        // The longest one: a secret may be the beginning of another.
        match secrets.iter().filter_map(|secret| length_of(secret, rest)).max() {
            Some(length) => {
                shown.push_str(HIDDEN);
                rest = &rest[length..];
            }
            None => {
                shown.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    shown
}

/// The bytes that a secret takes at the beginning of a text, if it is there.
fn length_of(secret: &str, text: &str) -> Option<usize> {
    let text = text.as_bytes();
    let mut at = 0;
    for byte in secret.bytes() {
        at += letter(byte, text.get(at..)?)?;
    }
    // Not inside a character: the secret begins and ends with whole ones, and so does an escape.
    (at > 0).then_some(at)
}

fn letter(byte: u8, text: &[u8]) -> Option<usize> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    match text.first()? {
        first if *first == byte => Some(1),
        b'+' if byte == b' ' => Some(1),
        b'%' => (digit(1)? * 16 + digit(2)? == u32::from(byte)).then_some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_in_every_place_and_notation() {
        for (text, shown) in [
            ("/a?key=T0ken&b", "/a?key=…&b"),
            ("/T0ken/T0kenT0ken", "/…/……"),
            ("/%5430%6ben/%54%30%6b%65%6E", "/%5430%6ben/…"),
            ("/a%20p%c3%a4ss+w/t0ken", "/a%20…/t0ken"),
            ("päss w", "…"),
            ("T0ke", "T0ke"),
            ("%", "%"),
            ("%5", "%5"),
            ("ä%zz", "ä%zz"),
            ("", ""),
        ] {
            assert_eq!(redact(text, &["T0ken", "päss w", ""]), shown, "{text}");
        }
        assert_eq!(redact("abcd", &["ab", "abcd"]), "…");
    }
}
