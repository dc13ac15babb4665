//! Escapes control characters in what people see: a file name may contain characters that move a terminal's cursor, change its
//! colours or look like another line of the log.

use std::fmt::{self, Write};

/// Displays its value with control characters as escapes: `\n`, `\u{1b}`.
#[derive(Clone, Copy)]
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(EscapingWriter(f), "{}", self.0)
    }
}

impl<T: fmt::Debug> fmt::Debug for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(EscapingWriter(f), "{:?}", self.0)
    }
}

struct EscapingWriter<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for EscapingWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| self.write_char(letter))
    }

    fn write_char(&mut self, letter: char) -> fmt::Result {
        if letter.is_control() || redirects_or_breaks(letter) {
            write!(self.0, "{}", letter.escape_default())
        } else {
            self.0.write_char(letter)
        }
    }
}

/// Whether this character, though not a control character, changes the direction of the text after it (Unicode Standard
/// Annex 9, section 2) or ends a line.
fn redirects_or_breaks(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_reads_backwards() {
        assert_eq!(Escaped("a\u{202e}gnp.exe").to_string(), r"a\u{202e}gnp.exe");
    }

    #[test]
    fn control_characters_become_escapes_and_all_else_stays() {
        let name = "e\u{1b}]0;pwn\u{7}\u{9b}31mred\r\n\u{7f}";
        assert_eq!(Escaped(name).to_string(), r"e\u{1b}]0;pwn\u{7}\u{9b}31mred\r\n\u{7f}");
        for name in ["", "frame 1.png", "grün 'x' \"y\" C:\\z", "日本"] {
            assert_eq!(Escaped(name).to_string(), name);
            assert_eq!(format!("{:?}", Escaped(name)), format!("{name:?}"));
        }
    }
}
