//! A screen as a document: its text with colours (SGR) and newlines alone, the cursor as an inverse cell. A row begins and ends
//! without a style, so that a page can draw each by itself. It knows the grid of the emulator, and not what wrote it.

use alacritty_terminal::{
    grid::Dimensions,
    index::{Column, Line},
    term::{
        Term, TermMode,
        cell::{Cell, Flags},
    },
    vte::ansi::{Color, NamedColor},
};

/// The flags that a document tells of; an underline has one of five shapes.
const SHOWN: Flags = Flags::BOLD.union(Flags::DIM).union(Flags::ITALIC).union(Flags::ALL_UNDERLINES).union(Flags::STRIKEOUT);
const CODES: [(Flags, &str); 9] = [
    (Flags::BOLD, ";1"),
    (Flags::DIM, ";2"),
    (Flags::ITALIC, ";3"),
    (Flags::UNDERLINE, ";4"),
    (Flags::DOUBLE_UNDERLINE, ";4:2"),
    (Flags::UNDERCURL, ";4:3"),
    (Flags::DOTTED_UNDERLINE, ";4:4"),
    (Flags::DASHED_UNDERLINE, ";4:5"),
    (Flags::STRIKEOUT, ";9"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    foreground: Color,
    background: Color,
    flags: Flags,
    is_inverse: bool,
}

impl Style {
    const PLAIN: Self = Self {
        foreground: Color::Named(NamedColor::Foreground),
        background: Color::Named(NamedColor::Background),
        flags: Flags::empty(),
        is_inverse: false,
    };

    fn of(cell: &Cell, is_cursor: bool) -> Self {
        Self {
            foreground: cell.fg,
            background: cell.bg,
            flags: cell.flags & SHOWN,
            // The cursor on an inverse cell shows as one that is not.
            is_inverse: cell.flags.contains(Flags::INVERSE) != is_cursor,
        }
    }

    /// Whether a blank in this style looks like none.
    fn is_invisible(&self) -> bool {
        let lines = Flags::ALL_UNDERLINES.union(Flags::STRIKEOUT);
        self.background == Self::PLAIN.background && !self.is_inverse && !self.flags.intersects(lines)
    }

    fn write(&self, text: &mut String) {
        text.push_str("\x1b[");
        if *self != Self::PLAIN {
            text.push('0');
            CODES.iter().filter(|(flag, _)| self.flags.contains(*flag)).for_each(|(_, code)| text.push_str(code));
            if self.is_inverse {
                text.push_str(";7");
            }
            write_colour(self.foreground, 30, text);
            write_colour(self.background, 40, text);
        }
        text.push('m');
    }
}

fn write_colour(colour: Color, base: usize, text: &mut String) {
    let code = match colour {
        Color::Named(name) if (name as usize) < 16 => indexed(name as usize, base),
        Color::Named(_) => return,
        Color::Indexed(index) => indexed(index.into(), base),
        Color::Spec(rgb) => format!(";{};2;{};{};{}", base + 8, rgb.r, rgb.g, rgb.b),
    };
    text.push_str(&code);
}

fn indexed(index: usize, base: usize) -> String {
    match index {
        0..8 => format!(";{}", base + index),
        8..16 => format!(";{}", base + 60 + index - 8),
        _ => format!(";{};5;{index}", base + 8),
    }
}

/// The screen as a document. Blanks at the ends of rows and rows at the end that show nothing are left out; an empty screen is one
/// newline.
pub(super) fn document<T>(term: &Term<T>) -> String {
    let point = term.grid().cursor.point;
    let cursor = term.mode().contains(TermMode::SHOW_CURSOR).then_some(point);
    let mut text = String::with_capacity(4096);
    let mut shown = 0;
    for line in (0..term.screen_lines()).map(|line| Line(line as i32)) {
        let before = text.len();
        write_row(&term.grid()[line][..], cursor.filter(|point| point.line == line).map(|point| point.column), &mut text);
        if text.len() > before {
            shown = text.len() + 1;
        }
        text.push('\n');
    }
    text.truncate(shown.max(1));
    text
}

fn write_row(cells: &[Cell], cursor: Option<Column>, text: &mut String) {
    let mut style = Style::PLAIN;
    // The end of what is visible, and the style there.
    let mut end = (text.len(), style);
    let mut at = 0;
    while let Some(cell) = cells.get(at) {
        let is_wide = cell.flags.contains(Flags::WIDE_CHAR) && has_spacer(cells, at);
        let width = 1 + usize::from(is_wide);
        let is_cursor = cursor.is_some_and(|column| (at..at + width).contains(&column.0));
        let own = Style::of(cell, is_cursor);
        if own != style {
            own.write(text);
            style = own;
        }
        let is_blank = write_cell(cell, is_wide, text);
        if !is_blank || !own.is_invisible() {
            end = (text.len(), style);
        }
        at += width;
    }
    text.truncate(end.0);
    if end.1 != Style::PLAIN {
        Style::PLAIN.write(text);
    }
}

fn has_spacer(cells: &[Cell], at: usize) -> bool {
    cells.get(at + 1).is_some_and(|next| next.flags.contains(Flags::WIDE_CHAR_SPACER))
}

/// Writes what a cell shows, and returns whether that is a blank: half of a wide character and hidden text are.
fn write_cell(cell: &Cell, is_wide: bool, text: &mut String) -> bool {
    let is_half = cell.flags.contains(Flags::WIDE_CHAR) != is_wide || cell.flags.contains(Flags::WIDE_CHAR_SPACER);
    if is_half || cell.flags.contains(Flags::HIDDEN) || matches!(cell.c, '\0'..=' ') && cell.zerowidth().is_none() {
        text.push_str(if is_wide { "  " } else { " " });
        return true;
    }
    text.push(if cell.c < ' ' { ' ' } else { cell.c });
    text.extend(cell.zerowidth().unwrap_or_default());
    false
}
