//! Finds control sequences in what a program writes, so that each is looked at before the terminal emulator gets it. It bounds what a
//! sequence may hold, and drops strings (titles, links, pictures), which a screen of text does not show. It knows no screen.

use memchr::memchr2;

/// The longest sequence that is passed on, in bytes: one of 32 parameters, as many as the emulator takes, is shorter.
const MAX_SEQUENCE: usize = 256;
/// From this many bytes on a string is taken for one that lost its end, which the next line then is. Pictures are on one line.
const LONG_STRING: usize = 1 << 20;

const ESCAPE: u8 = 0x1b;
const CANCEL: [u8; 2] = [0x18, 0x1a];

/// What is found in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TerminalToken<'a> {
    /// Text, with controls other than line feeds.
    Text(&'a [u8]),
    LineFeed,
    /// A control sequence: what is between `ESC [` and its last byte, and that byte.
    Control(&'a [u8], u8),
    /// Another escape sequence, with its `ESC`.
    Escape(&'a [u8]),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum SequenceState {
    #[default]
    Text,
    Escape,
    Control,
    /// A string, of which this many bytes have come; BEL ends it if it is an operating system command.
    Quoted {
        bytes: usize,
        by_bell: bool,
    },
}

/// Finds sequences in bytes that come in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    state: SequenceState,
    /// The bytes of the sequence that has begun; too many if it has one byte more than `MAX_SEQUENCE`.
    sequence: Vec<u8>,
}

impl Sequences {
    /// Tells `tell` what the bytes hold, in order.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut tell: impl FnMut(TerminalToken<'_>)) {
        while let Some(&byte) = bytes.first() {
            let taken = match self.state {
                SequenceState::Text => self.text(bytes, &mut tell),
                SequenceState::Quoted { .. } => self.quoted(bytes),
                SequenceState::Escape => self.escape(byte, &mut tell),
                SequenceState::Control => self.control(byte, &mut tell),
            };
            bytes = &bytes[taken..];
        }
    }

    /// Returns how many bytes were taken, as the functions below do.
    fn text(&mut self, bytes: &[u8], tell: &mut impl FnMut(TerminalToken<'_>)) -> usize {
        let end = memchr2(ESCAPE, b'\n', bytes).unwrap_or(bytes.len());
        if end > 0 {
            tell(TerminalToken::Text(&bytes[..end]));
            return end;
        }
        match bytes[0] {
            b'\n' => tell(TerminalToken::LineFeed),
            _ => self.begin(SequenceState::Escape),
        }
        1
    }

    fn begin(&mut self, state: SequenceState) {
        self.sequence.clear();
        self.state = state;
    }

    fn escape(&mut self, byte: u8, tell: &mut impl FnMut(TerminalToken<'_>)) -> usize {
        match byte {
            ESCAPE => self.begin(SequenceState::Escape),
            b'[' if self.sequence.is_empty() => self.begin(SequenceState::Control),
            b']' | b'P' | b'X' | b'^' | b'_' if self.sequence.is_empty() => {
                self.begin(SequenceState::Quoted { bytes: 0, by_bell: byte == b']' });
            }
            0x20..=0x2f => self.keep(byte),
            0x30..=0x7e => {
                self.state = SequenceState::Text;
                if self.sequence.len() < MAX_SEQUENCE {
                    self.sequence.insert(0, ESCAPE);
                    self.sequence.push(byte);
                    tell(TerminalToken::Escape(&self.sequence));
                }
            }
            _ => return self.inside(byte, tell),
        }
        1
    }

    fn control(&mut self, byte: u8, tell: &mut impl FnMut(TerminalToken<'_>)) -> usize {
        match byte {
            ESCAPE => self.begin(SequenceState::Escape),
            0x20..=0x3f => self.keep(byte),
            0x40..=0x7e => {
                self.state = SequenceState::Text;
                if self.sequence.len() <= MAX_SEQUENCE {
                    tell(TerminalToken::Control(&self.sequence, byte));
                }
            }
            _ => return self.inside(byte, tell),
        }
        1
    }

    fn keep(&mut self, byte: u8) {
        if self.sequence.len() <= MAX_SEQUENCE {
            self.sequence.push(byte);
        }
    }

    /// A byte that does not belong into a sequence: a control is executed in its middle, and a letter that is not ASCII ends it.
    fn inside(&mut self, byte: u8, tell: &mut impl FnMut(TerminalToken<'_>)) -> usize {
        match byte {
            b'\n' => tell(TerminalToken::LineFeed),
            _ if CANCEL.contains(&byte) => self.state = SequenceState::Text,
            0x80.. => {
                self.state = SequenceState::Text;
                return 0;
            }
            0x7f => {}
            _ => tell(TerminalToken::Text(&[byte])),
        }
        1
    }

    fn quoted(&mut self, bytes: &[u8]) -> usize {
        let SequenceState::Quoted { bytes: before, by_bell } = self.state else { return 0 };
        for (at, byte) in bytes.iter().enumerate() {
            match *byte {
                ESCAPE => self.begin(SequenceState::Escape),
                0x07 if by_bell => self.state = SequenceState::Text,
                b'\n' if before + at >= LONG_STRING => self.state = SequenceState::Text,
                byte if CANCEL.contains(&byte) => self.state = SequenceState::Text,
                _ => continue,
            }
            return at + 1;
        }
        self.state = SequenceState::Quoted { bytes: before.saturating_add(bytes.len()), by_bell };
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, with text in one piece.
    fn found(bytes: &[u8], size: usize) -> String {
        let (mut sequences, mut all) = (Sequences::default(), Vec::new());
        for piece in bytes.chunks(size) {
            sequences.push(piece, |found| match found {
                TerminalToken::Text(text) => all.extend_from_slice(text),
                TerminalToken::LineFeed => all.extend_from_slice("⏎".as_bytes()),
                TerminalToken::Control(inner, last) => all.extend([b"<", inner, &[last], b">"].concat()),
                TerminalToken::Escape(bytes) => all.extend([b"<E", &bytes[1..], b">"].concat()),
            });
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn sequences_are_found_at_every_read_size() {
        let cases: [(&[u8], &str); 12] = [
            (b"a\x1b[1;31mb\n", "a<1;31m>b⏎"),
            (b"\x1b[?2026h\x1b[!p\x1b[ q", "<?2026h><!p>< q>"),
            (b"\x1b7\x1b(0q\x1b(B\x1b#8", "<E7><E(0>q<E(B><E#8>"),
            (b"\x1b]0;title\x07a\x1b]8;;u\x1b\\b", "a<E\\>b"),
            (b"\x1bPq\x07#1\x1b\\a\x1b_x\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\b", "<E\\>a<E\\><E\\><E\\>b"),
            (b"\x1b[3\x18x\x1b]0;\x1ay", "xy"),
            (b"\x1b[3\x1b[4mx", "<4m>x"),
            (b"\x1b[2\nC\x1b[1\rD", "⏎<2C>\r<1D>"),
            (b"\x1b[3\xc3\xa9", "\u{e9}"),
            (b"\x1b\x1b[mx", "<m>x"),
            (b"\x1b]open\x1b[32mx", "<32m>x"),
            (b"\x1b[12", ""),
        ];
        for (bytes, expected) in cases {
            for size in [1, 2, 3, bytes.len()] {
                assert_eq!(found(bytes, size), expected, "{bytes:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_sequence_without_an_end_takes_no_memory() {
        for begin in [&b"\x1b["[..], b"\x1b]0;", b"\x1bP", b"\x1b("] {
            let mut sequences = Sequences::default();
            let fill = if begin == b"\x1b(" { [b' '; 1 << 16] } else { [b'1'; 1 << 16] };
            sequences.push(begin, |_| {});
            (0..64).for_each(|_| sequences.push(&fill, |found| panic!("{found:?}")));
            assert!(sequences.sequence.capacity() <= 4 * MAX_SEQUENCE);
            let mut text = Vec::new();
            sequences.push(b"\n\x18next", |found| {
                if let TerminalToken::Text(more) = found {
                    text.extend_from_slice(more);
                }
            });
            assert!(text.ends_with(b"next"), "after {begin:?}");
        }
    }

    #[test]
    fn a_string_that_lost_its_end_does_not_swallow_the_rest() {
        let mut bytes = b"\x1b]0;".to_vec();
        bytes.resize(2 * LONG_STRING, b'x');
        bytes.extend_from_slice(b"\nnext");
        assert_eq!(found(&bytes, 1000), "next");
    }
}
