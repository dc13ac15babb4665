//! Text with colours as cells, so that two terminals can be compared that spell their colours differently.

/// A character with what is combined with it, and its style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub style: Style,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Style {
    /// The codes of bold, dim, italic, underline, inverse and struck out that are on.
    on: Vec<u8>,
    colours: [String; 2],
}

const LINES: &str = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";

/// The rows of a text.
pub fn cells(text: &str) -> Vec<Vec<Cell>> {
    let (mut rows, mut style, mut draws_lines) = (vec![Vec::<Cell>::new()], Style::default(), false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' => rows.push(Vec::new()),
            '\x0e' => draws_lines = true,
            '\x0f' => draws_lines = false,
            '\x1b' => {
                assert_eq!(letters.next(), Some('['), "only SGR is expected");
                let codes: String = letters.by_ref().take_while(|letter| *letter != 'm').collect();
                assert!(codes.bytes().all(|byte| byte.is_ascii_digit() || b";:".contains(&byte)), "{codes:?}");
                style.apply(&codes);
            }
            joins if is_combining(joins) => rows.last_mut().unwrap().last_mut().unwrap().text.push(joins),
            letter => {
                let index = (letter as usize).wrapping_sub('`' as usize);
                let drawn = if draws_lines { LINES.chars().nth(index).unwrap_or(letter) } else { letter };
                rows.last_mut().unwrap().push(Cell { text: drawn.to_string(), style: style.clone() });
            }
        }
    }
    rows
}

fn is_combining(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{fe0f}')
}

fn is_wide(cell: &Cell) -> bool {
    cell.text.chars().next().is_some_and(|letter| matches!(letter, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{ff01}'..='\u{ff60}' | '\u{1f300}'..='\u{1faff}'))
}

/// Makes the cell of the cursor inverse, as mxr shows it.
pub fn show_cursor(rows: &mut Vec<Vec<Cell>>, cursor: Option<(usize, usize)>) {
    let Some((column, row)) = cursor else { return };
    while rows.len() <= row {
        rows.push(Vec::new());
    }
    let mut at = 0;
    let row = &mut rows[row];
    for cell in row.iter_mut() {
        let next = at + 1 + usize::from(is_wide(cell));
        if (at..next).contains(&column) {
            return cell.style.toggle(7);
        }
        at = next;
    }
    row.extend((at..=column).map(|_| Cell { text: " ".to_owned(), style: Style::default() }));
    row.last_mut().unwrap().style.toggle(7);
}

/// A row as text: each stretch of one style, then its codes in brackets. Blanks at its end are left out.
pub fn shown(row: &[Cell]) -> String {
    let is_blank = |cell: &Cell| {
        let lines = cell.style.on.iter().any(|code| [4, 7, 9].contains(code));
        cell.text == " " && cell.style.colours[1].is_empty() && !lines
    };
    let end = row.iter().rposition(|cell| !is_blank(cell)).map_or(0, |at| at + 1);
    let mut text = String::new();
    for stretch in row[..end].chunk_by(|a, b| a.style == b.style) {
        stretch.iter().for_each(|cell| text.push_str(&cell.text));
        let Style { on, colours } = &stretch[0].style;
        let codes: Vec<_> =
            on.iter().map(u8::to_string).chain(colours.iter().filter(|colour| !colour.is_empty()).cloned()).collect();
        text += &format!("[{}]", codes.join(";"));
    }
    text
}

impl Style {
    fn toggle(&mut self, code: u8) {
        match self.on.iter().position(|on| *on == code) {
            Some(at) => drop(self.on.remove(at)),
            None => self.set(code),
        }
    }

    fn set(&mut self, code: u8) {
        self.on.push(code);
        self.on.sort_unstable();
        self.on.dedup();
    }

    fn apply(&mut self, codes: &str) {
        let mut codes = codes.split(';').map(|code| code.split(':').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>());
        while let Some(code) = codes.next() {
            match code[..] {
                [0] => *self = Self::default(),
                [4, 0] => self.on.retain(|on| *on != 4),
                [4, _] => self.set(4),
                [code @ (1 | 2 | 3 | 4 | 7 | 9)] => self.set(code as u8),
                [22] => self.on.retain(|on| ![1, 2].contains(on)),
                [code @ (23 | 24 | 27 | 29)] => self.on.retain(|on| u32::from(*on) != code - 20),
                [39 | 49] => self.colours[usize::from(code[0] == 49)].clear(),
                [code @ (30..=37 | 40..=47)] => self.colour(code / 10 == 4, (code % 10).to_string()),
                [code @ (90..=97 | 100..=107)] => self.colour(code >= 100, (code % 10 + 8).to_string()),
                [side @ (38 | 48)] => {
                    let kind = codes.next().unwrap()[0];
                    let count = if kind == 5 { 1 } else { 3 };
                    let parts: Vec<_> = codes.by_ref().take(count).map(|part| part[0].to_string()).collect();
                    self.colour(side == 48, parts.join(","));
                }
                _ => {}
            }
        }
    }

    fn colour(&mut self, is_background: bool, colour: String) {
        // So that those behind differ from those in front.
        self.colours[usize::from(is_background)] = if is_background { format!("on {colour}") } else { colour };
    }
}
