//! What the screen shows after each sequence that the entry of the terminal database promises, or that programs use all the same.

use std::time::{Duration, Instant};

use super::*;

const SIZE: ScreenSize = ScreenSize { cols: 20, rows: 6 };

fn screen(bytes: &str) -> Screen {
    let mut screen = Screen::new(SIZE, LineFeeds::Down);
    // Without a cursor, which would be an inverse cell.
    screen.push(b"\x1b[?25l");
    screen.push(bytes.as_bytes());
    screen
}

/// The document of a screen.
fn shown(screen: &Screen) -> String {
    String::from_utf8(screen.document().to_vec()).unwrap()
}

/// The rows of a screen without their colours.
fn rows(bytes: &str) -> Vec<String> {
    shown(&screen(bytes)).lines().map(without_colours).collect()
}

fn without_colours(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(from) = text.find("\x1b[") {
        let end = from + text[from..].find('m').expect("a document has no escape but SGR");
        text.replace_range(from..=end, "");
    }
    text
}

#[track_caller]
fn assert_rows(bytes: &str, expected: &[&str]) {
    assert_eq!(rows(bytes), expected, "{bytes:?}");
}

#[test]
fn a_colour_is_the_same_in_every_spelling() {
    let cases = [
        ("38;5;9", "\x1b[0;91mx\x1b[m\n"),
        ("38:5:9", "\x1b[0;91mx\x1b[m\n"),
        ("38;5;208", "\x1b[0;38;5;208mx\x1b[m\n"),
        ("38;2;1;2;3", "\x1b[0;38;2;1;2;3mx\x1b[m\n"),
        ("38:2:1:2:3", "\x1b[0;38;2;1;2;3mx\x1b[m\n"),
        ("38:2::1:2:3", "\x1b[0;38;2;1;2;3mx\x1b[m\n"),
        ("48:2::1:2:3", "\x1b[0;48;2;1;2;3mx\x1b[m\n"),
        ("31;42", "\x1b[0;31;42mx\x1b[m\n"),
        ("91;102", "\x1b[0;91;102mx\x1b[m\n"),
        ("1;58:2::1:2:3;3", "\x1b[0;1;3mx\x1b[m\n"),
        ("1;58;5;1;3", "\x1b[0;1;3mx\x1b[m\n"),
        ("31;39", "x\n"),
    ];
    for (code, expected) in cases {
        assert_eq!(shown(&screen(&format!("\x1b[{code}mx"))), expected, "{code}");
    }
}

#[test]
fn each_style_has_its_code_and_an_end() {
    let cases =
        [("1", "1"), ("2", "2"), ("3", "3"), ("4", "4"), ("4:1", "4"), ("4:3", "4:3"), ("4:2", "4:2"), ("7", "7"), ("9", "9")];
    for (code, expected) in cases {
        assert_eq!(shown(&screen(&format!("\x1b[{code}mx"))), format!("\x1b[0;{expected}mx\x1b[m\n"), "{code}");
    }
    for (on, off) in [(1, "22"), (2, "22"), (3, "23"), (4, "24"), (4, "4:0"), (7, "27"), (8, "28"), (9, "29")] {
        assert_eq!(shown(&screen(&format!("\x1b[{on}m\x1b[{off}mx"))), "x\n", "{on} {off}");
    }
    assert_eq!(shown(&screen("a\x1b[8mpass\x1b[mb")), "a    b\n", "hidden text is not told");
}

#[test]
fn margins_scroll_alone_and_a_reset_ends_them() {
    assert_rows("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\n\nx", &["1", "", "x", "4"]);
    assert_rows("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[S", &["1", "3", "", "4"]);
    assert_rows("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[T", &["1", "", "2", "4"]);
    assert_rows("1\r\n2\r\n3\r\n4\r\n5\x1b[3;5r\x1b[5;1H\r\n\r\nx", &["1", "2", "5", "", "x"]);
    for reset in ["\x1bc\x1b[?25l", "\x1b[!p\x1b[?25l"] {
        assert_rows(&format!("\x1b[1;2r{reset}a\r\n\r\n\r\n\r\nb"), &["a", "", "", "", "b"]);
        assert_rows(&format!("\x1b[1;2r{reset}\x1b[H{}z", "\n".repeat(8)), &["", "", "", "", "", "z"]);
    }
    assert_rows("\x1b[3;5r\x1b[?6h\x1b[Hx", &["", "", "x"]);
}

#[test]
fn a_soft_reset_keeps_the_text_and_the_cursor() {
    assert_rows("ab\x1b[4h\x1b[?7l\x1b(0\x1b[1m\x1b[!p\x1b[?25lq\x1b[1;1Hx", &["xbq"]);
}

#[test]
fn the_alternate_screen_comes_and_goes() {
    for mode in [47, 1047, 1049] {
        assert_rows(&format!("p\x1b[?{mode}h\x1b[Ha"), &["a"]);
        assert_rows(&format!("p\x1b[?{mode}h\x1b[2J\x1b[Ha\x1b[?{mode}l"), &["p"]);
        assert_rows(&format!("p\x1b[?{mode}ha\x1bc\x1b[?25lx\x1b[?{mode}l"), &["x"]);
        // Twice is once.
        assert_rows(&format!("p\x1b[?{mode};{mode}h\x1b[Ha\x1b[?{mode};{mode}l"), &["p"]);
    }
    assert_rows("\x1b[2;3H\x1b[?1048h\x1b[H\x1b[?1048lx", &["", "  x"]);
    assert_rows("p\x1b[?25;1049lq", &["pq"]);
}

#[test]
fn tabs_stop_where_the_program_sets_them() {
    assert_rows("\x1b[3g\x1b[6G\x1bH\x1b[13G\x1bH\r\t5\tx", &["     5      x"]);
    assert_rows("\x1b[3g\r\tx", &["                   x"]);
    assert_rows("\t\t\x1b[2Zx", &["x"]);
    assert_rows("\x1b[2Ix", &["                x"]);
    assert_rows("a\tb", &["a       b"]);
}

#[test]
fn counts_of_every_size_stay_on_the_screen() {
    for last in ["@", "P", "X"] {
        assert_rows(&format!("abc\x1b[1;2H\x1b[2147483647{last}"), &["a"]);
        assert_rows(&format!("abc\x1b[1;2H\x1b[99999999999999999999999{last}"), &["a"]);
    }
    assert_rows("abcdef\x1b[1;2H\x1b[2P", &["adef"]);
    for last in ["L", "M"] {
        assert_rows(&format!("a\r\nb\x1b[2147483647{last}"), &["a"]);
    }
    for last in ["S", "T"] {
        assert_eq!(shown(&screen(&format!("a\r\nb\x1b[2147483647{last}"))), "\n");
    }
    assert_rows("a\x1b[3b|", &["aaaa|"]);
    assert_eq!(rows("a\x1b[2147483647b")[..5], ["aaaaaaaaaaaaaaaaaaaa"; 5]);
    for last in ["A", "B", "C", "D", "E", "F", "G", "I", "Z", "a", "d", "e", "`", "H", "r", "t"] {
        screen(&format!("abc\x1b[2147483647{last}x"));
    }
    // Each repetition costs no more than a screen.
    screen(&"\x1b[65535b".repeat(1000));
}

#[test]
fn a_program_draws_lines_inserts_and_saves_the_cursor() {
    assert_rows("\x1b(0lqk\x1b(Bq", &["┌─┐q"]);
    assert_rows("\x1b(B\x1b)0\x0elqk\x0fq", &["┌─┐q"]);
    assert_rows("bc\r\x1b[4ha\x1b[4l", &["abc"]);
    assert_rows("\x1b[?7labcdefghijklmnopqrstuvwxyz", &["abcdefghijklmnopqrsz"]);
    assert_rows("\x1b[2;3H\x1b7\x1b[H\x1b8x", &["", "  x"]);
    assert_rows("\x1b[2;3H\x1b[s\x1b[H\x1b[ux", &["", "  x"]);
    assert_eq!(shown(&screen("\x1b[31m\x1b7\x1b[0m\x1b[5;5H\x1b8x")), "\x1b[0;31mx\x1b[m\n");
    assert_rows("a\x1bDb\x1bEc\x1bMd", &["a", " d", "c"]);
}

#[test]
fn characters_have_one_width_and_nothing_is_lost() {
    assert_rows("表|", &["表|"]);
    assert_rows("表|\x1b[1;2Hx", &[" x|"]);
    assert_rows("\x1b[20G表", &["", "表"]);
    // Each bar stands in the column that the width says.
    for (text, column) in [("e\u{301}", 2), ("表", 3), ("👨\u{200d}👩\u{200d}👧", 7), ("❤\u{fe0f}", 2), ("\u{1f1e9}\u{1f1ea}", 3)]
    {
        let screen = screen(&format!("{text}|\x1b[{column}G\x1b[31m|"));
        assert_eq!(shown(&screen), format!("{text}\x1b[0;31m|\x1b[m\n"), "{text}");
    }
}

#[test]
fn a_character_that_comes_in_two_pieces_takes_nothing_with_it() {
    let text = "é a表b😀c\u{301}é";
    for cut in 0..=text.len() {
        let mut screen = screen("");
        screen.push(&text.as_bytes()[..cut]);
        screen.push(&text.as_bytes()[cut..]);
        assert_eq!(shown(&screen), format!("{text}\n"), "cut at {cut}");
    }
    assert_eq!(shown(&screen("")), "\n");
    let mut cut_off = screen("");
    cut_off.push(b"a\xe8\xa1\x1b[1mb\xc3\r\nc");
    assert_eq!(shown(&cut_off), "a\u{fffd}\x1b[0;1mb\u{fffd}\x1b[m\n\x1b[0;1mc\x1b[m\n");
}

#[test]
fn half_of_a_wide_character_keeps_its_column() {
    for bytes in [
        "表表|\x1b[1;2H\x1b[P",
        "表表|\x1b[1;2H\x1b[@",
        "表表|\x1b[1;2H\x1b[X",
        "表表|\x1b[1;1H\x1b[X",
        "a表表|\x1b[1;1H\x1b[P\x1b[1;2H\x1b[2P",
    ] {
        let row = rows(bytes).remove(0);
        let width: usize = row.chars().map(|c| if c == '表' { 2 } else { 1 }).sum();
        let bar = shown(&screen(&format!("{bytes}\x1b[1;{width}H\x1b[41m|"))).replace("\x1b[0;41m", "").replace("\x1b[m", "");
        assert_eq!(bar.trim_end(), row, "{bytes:?}");
    }
}

#[test]
fn a_cell_keeps_a_bounded_number_of_combining_characters() {
    let mut screen = screen("ae");
    (0..200).for_each(|_| screen.push("\u{301}".repeat(1000).as_bytes()));
    screen.push("|\x1b[2;1H表".as_bytes());
    (0..200).for_each(|_| screen.push("\u{301}".repeat(1000).as_bytes()));
    let marks = "\u{301}".repeat(MAX_COMBINING);
    assert_eq!(shown(&screen), format!("ae{marks}|\n表{marks}\n"));
}

#[test]
fn a_document_is_text_with_colours_and_newlines_alone() {
    let bytes: String = (0..4000u32).filter_map(|n| char::from_u32(n * 7919 % 0x3000)).collect();
    for text in [
        bytes.as_str(),
        "\x1b]0;t\x07a\x1bPq\x1b\\\x1b_x\x1b\\b\x1b[3g\tc\u{9b}31md\x07\x08",
        "\x1b[41m\x1b[2J",
        "\u{85}\u{84}\u{90}x",
    ] {
        let document = shown(&screen(text));
        let plain = without_colours(&document);
        assert!(plain.chars().all(|c| c == '\n' || !c.is_control()), "{plain:?}");
        assert!(document.ends_with('\n') && document.lines().count() <= SIZE.rows);
        for line in document.lines() {
            assert!(!line.contains("\x1b[") || line.contains("\x1b[m"), "{line:?} has an end");
            assert!(!line.ends_with(' '), "{line:?}");
        }
    }
    assert_eq!(shown(&screen("a   \r\n\r\n\x1b[7m \x1b[m  \x1b[31m \r\n\r\n")), "a\n\n\x1b[0;7m \x1b[m\n");
}

#[test]
fn the_cursor_is_an_inverse_cell_unless_it_is_hidden() {
    assert_eq!(shown(&screen("ab\x1b[?25h")), "ab\x1b[0;7m \x1b[m\n");
    assert_eq!(shown(&screen("ab\x1b[?25h\x1b[D")), "a\x1b[0;7mb\x1b[m\n");
    assert_eq!(shown(&screen("\x1b[7mab\x1b[?25h\x1b[1G")), "a\x1b[0;7mb\x1b[m\n");
    assert_eq!(shown(&screen("表\x1b[?25h\x1b[1G")), "\x1b[0;7m表\x1b[m\n");
    assert_eq!(shown(&screen("表\x1b[?25h\x1b[2G")), "\x1b[0;7m表\x1b[m\n");
    assert_eq!(shown(&screen("\x1b[?25h\x1b[2;2H")), "\n \x1b[0;7m \x1b[m\n");
    assert_eq!(shown(&screen("\x1b[?25h\x1b[?25l")), "\n");
}

#[test]
fn a_program_that_holds_the_screen_is_shown_when_it_lets_go() {
    let mut screen = screen("a\x1b[?2026h\x1b[2J\x1b[Hb");
    if screen.is_held() {
        assert_eq!(shown(&screen), "a\n");
    }
    screen.push(b"\x1b[?2026l");
    assert!(!screen.is_held());
    assert_eq!(shown(&screen), "b\n");
    screen.push(b"\x1b[?2026h\x1b[Hc");
    let start = Instant::now();
    while screen.is_held() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(shown(&screen), "c\n", "a hold ends by itself");
}

#[test]
fn the_terminal_answers_and_its_answers_are_bounded() {
    let cases = [
        ("\x1b[2;3H\x1b[6n", "\x1b[2;3R"),
        ("\x1b[5n", "\x1b[0n"),
        ("\x1b[c", "\x1b[?1;2c"),
        ("\x1b[0c", "\x1b[?1;2c"),
        ("\x1b[?7$p", "\x1b[?7;1$y"),
        ("\x1b[18t", "\x1b[8;6;20t"),
        ("\x1b[21t\x1b[14t\x1b]52;c;?\x07", ""),
        ("\x1b]11;?\x07", ""),
    ];
    for (ask, answer) in cases {
        let mut screen = screen(ask);
        assert_eq!(String::from_utf8(screen.replies()).unwrap(), answer, "{ask:?}");
        assert!(screen.replies().is_empty());
    }
    let replies = screen(&"\x1b[6n".repeat(1 << 16)).replies();
    assert!((MAX_REPLIES / 2..=MAX_REPLIES).contains(&replies.len()), "{}", replies.len());
}

#[test]
fn lines_of_a_pipe_begin_at_the_left_and_those_of_a_terminal_where_it_says() {
    let shown = |bytes: &str, line_feeds| {
        let mut screen = Screen::new(SIZE, line_feeds);
        for byte in bytes.bytes() {
            screen.push(&[byte]);
        }
        screen.push(b"\x1b[?25l");
        self::shown(&screen)
    };
    assert_eq!(shown("a\nb\r\nc\nd", LineFeeds::Guess), "a\nb\nc\nd\n");
    assert_eq!(shown("a\r\nb\nc", LineFeeds::Guess), "a\nb\n c\n");
    assert_eq!(shown("\x1b[?1049ha\nb", LineFeeds::Guess), "a\n b\n");
    assert_eq!(shown("a\nb", LineFeeds::Down), "a\n b\n");
    assert_eq!(shown("1\n\x1b[A\x1b[2K2\n", LineFeeds::Guess), "2\n");
}

#[test]
fn bytes_of_every_kind_are_taken() {
    use proptest::prelude::*;
    let piece =
        prop_oneof![any::<Vec<u8>>(), "[\\x1b\\[\\]P?!0-9;:a-zA-Z@\\n\\r\\t 表é\u{301}👩]{0,40}".prop_map(String::into_bytes),];
    proptest!(|(pieces in prop::collection::vec(piece, 0..30), cols in 2..12usize, rows in 1..6usize)| {
        let [mut screen, mut whole] = [(); 2].map(|()| Screen::new(ScreenSize { cols, rows }, LineFeeds::Guess));
        for piece in &pieces {
            screen.push(piece);
            let document = shown(&screen);
            prop_assert!(document.lines().count() <= rows && document.ends_with('\n'));
        }
        whole.push(&pieces.concat());
        screen.release();
        whole.release();
        prop_assert_eq!(shown(&screen), shown(&whole));
    });
}

#[test]
fn a_screen_is_blank_while_nothing_but_the_cursor_stands_on_it() {
    for (bytes, is_blank) in
        [("", true), ("\x1b[?25h\x1b[2J", true), ("\x1b[?25h \x1b[5;5H", true), ("\x1b[31mx", false), ("\n\nx\x1b[?25h", false)]
    {
        assert_eq!(screen(bytes).is_blank(), is_blank, "{bytes:?}");
    }
}
