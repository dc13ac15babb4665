//! The terminal: takes what a program writes, answers what it asks, and has the screen as a document. It mends what the emulator does
//! less than other terminals (docs/terminal.md), and knows no feed.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use alacritty_terminal::{
    event::{Event, EventListener},
    grid::Dimensions,
    index::{Column, Line},
    term::{Config, Osc52, Term, TermMode, cell::Flags},
    vte::ansi::{Processor, StdSyncHandler},
};
use bytes::Bytes;

use super::{
    document,
    sequences::{Sequences, TerminalToken},
};
use crate::sync::Mutex;

/// The entry of the terminal database whose promises the screen keeps (docs/terminal.md).
pub const TERM: &str = "tmux-256color";

/// The least time between two screens: thirty a second.
pub(super) const REDRAW_INTERVAL: Duration = Duration::from_millis(33);
/// Bytes of answers that wait for the program to read them; what exceeds it is dropped.
const MAX_REPLIES: usize = 4096;
/// Combining characters of one cell: more are no writing of any language.
const MAX_COMBINING: usize = 16;
/// Bytes between two looks for cells with too many combining characters.
const PIECE: usize = 64 * 1024;
/// How long a program may hold the screen with mode 2026, as in other terminals.
const MAX_HOLD: Duration = Duration::from_millis(150);

/// The size of a screen, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScreenSize {
    /// Columns, at least 2.
    pub cols: usize,
    /// Rows, at least 1.
    pub rows: usize,
}

impl Dimensions for ScreenSize {
    fn total_lines(&self) -> usize {
        self.rows
    }

    fn screen_lines(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.cols
    }
}

/// What a line feed does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFeeds {
    /// It moves down, as in a terminal, whose driver writes CR LF.
    Down,
    /// It begins a line, unless the bytes turn out to come from a terminal: their first line ends with CR LF, or they begin with the
    /// alternate screen.
    Guess,
    /// It begins a line.
    NewLine,
}

/// Answers of the terminal to the program.
#[derive(Clone, Default)]
struct Replies(Arc<Mutex<Vec<u8>>>);

impl Replies {
    fn push(&self, reply: &str) {
        let mut replies = self.0.lock();
        if replies.len() + reply.len() <= MAX_REPLIES {
            replies.extend_from_slice(reply.as_bytes());
        }
    }
}

impl EventListener for Replies {
    fn send_event(&self, event: Event) {
        if let Event::PtyWrite(reply) = event {
            self.push(&reply);
        }
    }
}

/// An emulated terminal.
pub struct Screen {
    sequences: Sequences,
    terminal: EmulatedTerminal,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("sequences", &self.sequences).finish_non_exhaustive()
    }
}

impl Screen {
    /// An empty screen.
    pub fn new(size: ScreenSize, line_feeds: LineFeeds) -> Self {
        let replies = Replies::default();
        let config = Config { scrolling_history: 0, osc52: Osc52::Disabled, ..Config::default() };
        let term = Term::new(config, &size, replies.clone());
        let terminal = EmulatedTerminal {
            term,
            parser: Processor::new(),
            replies,
            line_feeds,
            after_return: false,
            begun: Vec::new(),
            hold: DrawHold::default(),
        };
        Self { sequences: Sequences::default(), terminal }
    }

    /// Takes what the program writes.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            self.sequences.push(piece, |found| self.terminal.take(found));
            if !piece.is_ascii() {
                self.terminal.bound_combining();
            }
        }
    }

    /// The answers to what the program has asked (where the cursor is, which terminal this is), of which none waits afterwards.
    pub fn replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.terminal.replies.0.lock())
    }

    /// The screen as text: SGR and newlines alone. While the program holds it (mode 2026), the screen as it was before.
    pub fn document(&self) -> Bytes {
        match &self.terminal.hold.shown {
            Some(shown) if self.is_held() => shown.clone(),
            _ => self.terminal.document(),
        }
    }

    /// Whether nothing stands on it, but for the cursor.
    pub fn is_blank(&self) -> bool {
        let document = self.document();
        let mut pieces = document.split(|byte| *byte == b'\x1b');
        let is_white = |text: &[u8]| text.iter().all(u8::is_ascii_whitespace);
        // A piece after the first begins with a style, which ends with an `m`.
        let is_white_after =
            |piece: &[u8]| piece.iter().position(|byte| *byte == b'm').is_some_and(|end| is_white(&piece[end + 1..]));
        pieces.next().is_none_or(is_white) && pieces.all(is_white_after)
    }

    /// Ends the hold of a program that ends.
    pub fn release(&mut self) {
        self.terminal.hold.since = None;
    }

    /// Whether the program holds the screen (mode 2026), which it can do for a moment alone.
    pub fn is_held(&self) -> bool {
        self.terminal.hold.since.is_some_and(|since| since.elapsed() < MAX_HOLD)
    }
}

/// What a program holds back (mode 2026).
#[derive(Debug, Default)]
struct DrawHold {
    since: Option<Instant>,
    /// The screen at the beginning.
    shown: Option<Bytes>,
    /// When that was taken.
    taken: Option<Instant>,
}

struct EmulatedTerminal {
    term: Term<Replies>,
    parser: Processor<StdSyncHandler>,
    replies: Replies,
    line_feeds: LineFeeds,
    /// Whether the last byte was a carriage return.
    after_return: bool,
    /// The bytes of a character that has begun.
    begun: Vec<u8>,
    hold: DrawHold,
}

/// How many bytes at the end are the beginning of a character.
fn begun_at_end(text: &[u8]) -> usize {
    let is_begun = |count: &usize| {
        text.len().checked_sub(*count).is_some_and(|from| {
            std::str::from_utf8(&text[from..]).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
    };
    (1..=3).find(is_begun).unwrap_or(0)
}

impl EmulatedTerminal {
    fn take(&mut self, found: TerminalToken<'_>) {
        let after_return = std::mem::replace(&mut self.after_return, matches!(found, TerminalToken::Text([.., b'\r'])));
        if !matches!(found, TerminalToken::Text(_)) && !self.begun.is_empty() {
            self.begun.clear();
            self.write("\u{fffd}".as_bytes());
        }
        match found {
            TerminalToken::Text(text) => self.text(text),
            TerminalToken::LineFeed => {
                self.guess(after_return);
                self.write(if self.line_feeds == LineFeeds::NewLine { b"\r\n" } else { b"\n" });
            }
            TerminalToken::Escape(bytes) => self.write(bytes),
            TerminalToken::Control(inner, last) => self.control(inner, last),
        }
    }

    /// Passes on whole characters: what follows one that came in two pieces can get lost in the emulator (vte 0.15).
    fn text(&mut self, text: &[u8]) {
        let joined;
        let text = if self.begun.is_empty() {
            text
        } else {
            joined = [&self.begun, text].concat();
            &joined
        };
        let (whole, begun) = text.split_at(text.len() - begun_at_end(text));
        self.begun = begun.to_vec();
        self.write(whole);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.term, bytes);
    }

    fn guess(&mut self, is_terminal: bool) {
        if self.line_feeds == LineFeeds::Guess {
            self.line_feeds = if is_terminal { LineFeeds::Down } else { LineFeeds::NewLine };
        }
    }

    /// A control sequence, which the emulator gets as it is, except where it does less than other terminals (docs/terminal.md).
    fn control(&mut self, inner: &[u8], last: u8) {
        let cells = self.term.columns() * self.term.screen_lines();
        match (inner, last) {
            (b"!", b'p') => self.soft_reset(),
            ([b'?', modes @ ..], b'h' | b'l') => modes.split(|byte| *byte == b';').for_each(|mode| self.mode(mode, last)),
            (b"" | b"0", b'c') => self.replies.push("\x1b[?1;2c"),
            (_, b'b') => self.count(inner, last, cells),
            (_, b'I' | b'Z') => self.count(inner, last, self.term.columns()),
            // The emulator deletes to the left of the cursor, too, if more is deleted than there is to its right.
            (_, b'P') => self.count(inner, last, self.term.columns() - self.term.grid().cursor.point.column.0),
            // The size of the window is the user's, and its title is not shown.
            (_, b't') if inner != b"18" => {}
            _ => self.pass(inner, last),
        }
    }

    fn pass(&mut self, inner: &[u8], last: u8) {
        self.write(b"\x1b[");
        self.write(inner);
        self.write(&[last]);
    }

    /// Passes a sequence with one number, which is at most `most`: each repetition costs time.
    fn count(&mut self, inner: &[u8], last: u8, most: usize) {
        let number = std::str::from_utf8(inner).unwrap_or_default();
        match number.parse::<usize>() {
            Ok(count) => self.pass(count.min(most).to_string().as_bytes(), last),
            Err(_) if number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty() => {
                self.pass(most.to_string().as_bytes(), last);
            }
            Err(_) => self.pass(inner, last),
        }
    }

    fn mode(&mut self, mode: &[u8], last: u8) {
        let (is_set, is_alternate) = (last == b'h', self.term.mode().contains(TermMode::ALT_SCREEN));
        match mode {
            b"2026" => self.hold(is_set),
            b"47" | b"1047" if is_set != is_alternate => {
                self.guess(is_set);
                let cursor = self.term.grid().cursor.clone();
                self.term.swap_alt();
                // These modes, other than 1049, leave the cursor where it is.
                self.term.grid_mut().cursor = cursor;
            }
            b"47" | b"1047" => {}
            b"1048" => self.write(if is_set { b"\x1b7" } else { b"\x1b8" }),
            _ => {
                if mode == b"1049" {
                    self.guess(is_set);
                }
                self.write(b"\x1b[?");
                self.write(mode);
                self.write(&[last]);
            }
        }
    }

    fn hold(&mut self, is_set: bool) {
        if !is_set {
            self.hold.since = None;
        } else if self.hold.since.is_none() {
            let now = Instant::now();
            if self.hold.taken.is_none_or(|taken| now - taken >= REDRAW_INTERVAL) {
                self.hold.shown = Some(self.document());
                self.hold.taken = Some(now);
            }
            self.hold.since = Some(now);
        }
    }

    /// DECSTR: modes, margins, style and character sets as at first; the text and the cursor stay.
    fn soft_reset(&mut self) {
        let cursor = self.term.grid().cursor.point;
        self.write(b"\x1b[4l\x1b[?1l\x1b[?7h\x1b[?25h\x1b[m\x1b(B\x1b)B\x0f\x1b[?6l\x1b[r\x1b7");
        self.term.grid_mut().cursor.point = cursor;
    }

    fn document(&self) -> Bytes {
        document::document(&self.term).into()
    }

    /// Drops combining characters beyond `MAX_COMBINING`, which the emulator would keep without end.
    fn bound_combining(&mut self) {
        let (lines, columns) = (self.term.screen_lines(), self.term.columns());
        for (line, column) in (0..lines).flat_map(|line| (0..columns).map(move |column| (line, column))) {
            let cell = &mut self.term.grid_mut()[Line(line as i32)][Column(column)];
            let Some(combining) = cell.zerowidth().filter(|combining| combining.len() > MAX_COMBINING) else { continue };
            let (kept, letter, is_wide) = (combining[..MAX_COMBINING].to_vec(), cell.c, cell.flags & Flags::WIDE_CHAR);
            cell.clear_wide();
            cell.c = letter;
            cell.flags.insert(is_wide);
            kept.into_iter().for_each(|one| cell.push_zerowidth(one));
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
