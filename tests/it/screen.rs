//! `mxr stdin --screen`: what a program draws on a terminal is one part, the same text and colours as a real terminal shows, at a
//! bounded pace and in bounded memory.

mod cells;
mod tmux;

use std::{fs, process::Stdio, thread, time::Duration};

use cells::cells;
use tmux::{Pane, Shot};

use crate::support::{
    A_WHILE, Browser, Folder, Kind, SOON, Server, busy, exec, exec_by, look_for, mxr, tool, wait_for, wait_until,
};

fn screen(size: &str) -> Server {
    let flag = if size.is_empty() { "--screen".to_owned() } else { format!("--screen={size}") };
    mxr(["stdin", &flag]).stdin(Stdio::piped()).start()
}

/// Waits until the newest part is this text.
#[track_caller]
fn wait_for_screen(server: &Server, expected: &str) {
    let newest = || Some(server.get("/snapshot")).filter(|reply| reply.head.status == 200).map(|reply| reply.text());
    wait_until(&format!("the screen is {expected:?}"), SOON, || newest().as_deref() == Some(expected));
}

#[test]
fn the_part_is_what_stands_on_the_screen() {
    let mut server = screen("");
    server.write("\x1b[?25lone\ntwo\n\x1b[31mthree\x1b[m\x1b[1A\x1b[2K\rred \x1b[1;32mgreen\x1b[m");
    wait_for_screen(&server, "one\nred \x1b[0;1;32mgreen\x1b[m\n\x1b[0;31mthree\x1b[m\n");
    let reply = server.get("/snapshot");
    assert_eq!(reply.head.want("content-type"), "text/plain; charset=utf-8; screen=80x24");
    assert_eq!(server.state()["feeds"][0]["kind"], "newest");
    server.write("\x1b[2J");
    wait_for_screen(&server, "\n");
}

#[test]
fn a_part_is_text_with_colours_and_newlines_alone() {
    let mut server = screen("40x5");
    server.write("\x1b]0;title\x07\x1b[?1049h\x1b[H\x1b[2J\x1b[3;3Hx\x1b[7m y \x1b[m\x1b(0q\x1b(B\x07\x1b[5;40Hz");
    wait_for_screen(&server, &format!("\n\n  x\x1b[0;7m y \x1b[m─\n\n{}\x1b[0;7mz\x1b[m\n", " ".repeat(39)));
}

#[test]
fn a_screen_that_is_drawn_in_many_writes_is_pushed_whole_and_not_too_often() {
    const FRAMES: usize = 300;
    let mut server = screen("40x12");
    let mut viewer = server.view("/stream");
    let mut stdin = server.take_stdin();
    let start = std::time::Instant::now();
    let writer = thread::spawn(move || {
        use std::io::Write;
        for frame in 0..FRAMES {
            for write in 0..24 {
                let (row, column) = (write / 2 + 1, write % 2 * 20 + 1);
                stdin.write_all(format!("\x1b[?25l\x1b[{row};{column}H{frame:08} ").as_bytes()).unwrap();
            }
            thread::sleep(Duration::from_millis(3));
        }
    });
    let last = format!("{:08}", FRAMES - 1);
    let mut bodies = Vec::new();
    let mut sequence = 0;
    loop {
        let part = viewer.part();
        if part.sequence() > sequence {
            sequence = part.sequence();
            bodies.push(part.text());
            if part.text().matches(&last).count() == 24 {
                break;
            }
        }
    }
    writer.join().unwrap();
    let (seconds, parts) = (start.elapsed().as_secs_f64(), server.state()["feeds"][0]["published"].as_u64().unwrap() as f64);
    assert!(parts <= 2.0 + seconds * 31.0, "{parts} parts in {seconds} s");
    assert!(bodies.windows(2).all(|pair| pair[0] != pair[1]), "no part repeats the one before");
}

#[test]
fn an_unchanged_screen_is_not_pushed_again() {
    let mut server = screen("");
    server.write("same");
    wait_for_screen(&server, "same\x1b[0;7m \x1b[m\n");
    for _ in 0..5 {
        server.write("\rsame");
        thread::sleep(A_WHILE / 5);
    }
    assert_eq!(server.state()["feeds"][0]["published"], 1);
}

#[test]
fn a_flood_is_read_in_bounded_memory_while_others_are_served() {
    busy();
    let mut server = screen("");
    server.write("begin\n");
    wait_for_screen(&server, "begin\n\x1b[0;7m \x1b[m\n");
    let before = server.memory();
    let mut stdin = server.take_stdin();
    let writer = thread::spawn(move || {
        use std::io::Write;
        let mut bytes = Vec::new();
        for open in ["y\n", "\x1b]0;", "\x1bP", "\x1b[1", "\x1b_"] {
            bytes.clear();
            bytes.extend_from_slice(open.as_bytes());
            bytes.extend(if open == "y\n" { b"y\n".repeat(1 << 19) } else { vec![b'1'; 1 << 20] });
            for _ in 0..4 {
                stdin.write_all(&bytes[open.len()..]).unwrap();
            }
            stdin.write_all(b"\x18").unwrap();
        }
        stdin.write_all(b"\x1b[2147483647b\x1b[2147483647L\x1b[2147483647S\x1bc\x1b[?25lnext\n").unwrap();
        stdin
    });
    while !writer.is_finished() {
        assert_eq!(server.get("/healthz").head.status, 200);
        thread::sleep(Duration::from_millis(20));
    }
    let _stdin = writer.join().unwrap();
    wait_for_screen(&server, "next\n");
    let grown = server.memory_at_most().saturating_sub(before);
    assert!(grown < 24 << 20, "{} MiB more", grown >> 20);
}

#[test]
fn an_ended_screen_stays_and_an_input_without_a_byte_says_so() {
    let run = |bytes: &str| {
        let mut server = mxr(["stdin", "--screen", "--exit-on-eof"]).stdin(Stdio::piped()).start();
        let viewer = server.view("/stream");
        server.write(bytes);
        drop(server.take_stdin());
        (viewer, server)
    };
    let (mut viewer, server) = run("\x1b[?25l\x1b[?2026hlast");
    assert_eq!(viewer.parts_to_end().last().unwrap().text(), "last\n");
    server.finish().success();
    let (_, server) = run("");
    server.finish().code(1).stderr("it ended without a byte");
}

#[test]
fn a_screen_that_makes_no_sense_is_refused() {
    for (args, why) in [
        (&["--screen=0x0"][..], "80x24"),
        (&["--screen=80"], "COLSxROWS"),
        (&["--screen=9999x9999"], "500 columns"),
        (&["--screen", "--split", "lines"], "--screen with --split"),
        (&["--screen", "--window", "3"], "--screen with --window"),
    ] {
        mxr(["stdin"]).args(args).stdin(Stdio::null()).run().usage_error().stderr(why);
    }
}

/// The screen that mxr makes of the bytes.
fn drawn(bytes: &[u8]) -> String {
    let mut server = screen("80x24");
    server.write(bytes);
    drop(server.take_stdin());
    wait_until("the input is taken", SOON, || server.state()["feeds"][0]["source"]["state"] == "ended");
    server.get("/snapshot").text()
}

/// Runs a command in tmux and compares its screen with that of mxr, cell by cell.
#[track_caller]
fn compare(command: &str, keys: &[&str], is_drawn: impl Fn(&str) -> bool) {
    let Some(tmux) = tool(&["tmux"]) else { return };
    let pane = Pane::start(&tmux, command);
    pane.wait_until_shown(&is_drawn);
    for key in keys {
        pane.press(key);
    }
    pane.stop();
    // What it wrote last may still be on its way to the file of bytes.
    let rows = || {
        let Shot { bytes, screen, cursor } = pane.take();
        let (mut theirs, ours) = (cells(&screen), cells(&drawn(&bytes)));
        cells::show_cursor(&mut theirs, cursor);
        let rows = |screen: &[Vec<cells::Cell>]| -> Vec<_> {
            (0..24).map(|row| screen.get(row).map(|row| cells::shown(row)).unwrap_or_default()).collect()
        };
        (rows(&ours), rows(&theirs))
    };
    let same = look_for(SOON, || Some(rows()).filter(|(ours, theirs)| ours == theirs));
    let (ours, theirs) = same.unwrap_or_else(rows);
    assert_eq!(ours, theirs, "of {command}");
}

#[test]
fn htop_looks_as_in_tmux() {
    if tool(&["htop"]).is_some() {
        compare("htop -d 5", &[], |text| text.contains("F10Quit"));
    }
}

#[test]
fn top_looks_as_in_tmux() {
    compare("top -d 1", &[], |text| text.contains("PID"));
}

#[test]
fn vim_looks_as_in_tmux() {
    let Some(vim) = tool(&["vim"]) else { return };
    let folder = Folder::new();
    folder.put("a.rs", "//! wide 表 😀\nfn main() {\n\tlet text = \"a\";\n\tprintln!(\"{text}\");\n}\n".repeat(12));
    let command = format!(
        "{} -u NONE -i NONE -N --cmd 'syntax on' -c 'set number hlsearch list splitright' -c '/text' -c 'vsplit' {}",
        vim.display(),
        folder.file("a.rs").display()
    );
    compare(&command, &["C-d", "G", "i", "new line", "Escape", "k", "d", "d"], |text| text.contains("main"));
}

#[test]
fn less_looks_as_in_tmux() {
    if tool(&["less"]).is_none() {
        return;
    }
    let folder = Folder::new();
    let lines: String = (0..200).map(|n| format!("\x1b[3{}mline\x1b[m {n} 表 e\u{301} needle\n", n % 8)).collect();
    folder.put("text", lines);
    compare(&format!("less -R {}", folder.file("text").display()), &["Space", "k", "k", "/needle", "Enter"], |text| {
        text.contains("line 20")
    });
}

#[test]
fn a_graph_of_git_looks_as_in_tmux() {
    if tool(&["git"]).is_none() {
        return;
    }
    let folder = Folder::new();
    let git = format!("git -C {} -c user.name=a -c user.email=a@b -c init.defaultBranch=main", folder.path().display());
    let commit = |text: &str| format!("{git} commit -q --allow-empty -m '{text}'");
    let steps = [
        format!("{git} init -q"),
        commit("one"),
        format!("{git} checkout -q -b side"),
        commit("two ünd 表"),
        format!("{git} checkout -q main"),
        commit("three"),
        format!("{git} merge -q --no-ff -m merged side"),
        format!("{git} --no-pager log --graph --color --decorate --stat"),
        "echo end; sleep 600".to_owned(),
    ];
    folder.put("run", steps.join("\n"));
    compare(&format!("sh {}", folder.file("run").display()), &[], |text| text.contains("end"));
}

#[test]
fn a_build_of_cargo_looks_as_in_tmux() {
    let folder = Folder::new();
    folder.put("Cargo.toml", "[package]\nname = \"built\"\nedition = \"2024\"\n[workspace]\n");
    fs::create_dir(folder.file("src")).unwrap();
    folder.write("src/lib.rs", "pub fn f() -> i32 {\n    let unused = 1;\n    \"ä 表\"\n}\n");
    // HOME is the pane's, so where the toolchain is has to be said.
    let home =
        |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| format!("{}/{usual}", std::env::var("HOME").unwrap()));
    let script = format!(
        "cd {}; export CARGO_HOME={} RUSTUP_HOME={} CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=60\n{} build; echo end; sleep 600",
        folder.path().display(),
        home("CARGO_HOME", ".cargo"),
        home("RUSTUP_HOME", ".rustup"),
        env!("CARGO"),
    );
    folder.put("run", script);
    compare(&format!("sh {}", folder.file("run").display()), &[], |text| {
        text.contains("end\n") && text.contains("mismatched types")
    });
}

#[test]
fn progress_bars_wide_characters_and_styles_look_as_in_tmux() {
    let folder = Folder::new();
    let script = r"
        printf 'layer a: waiting\nlayer b: waiting\n'
        for n in 10 50 100; do printf '\033[2A\r\033[Klayer a: %s%%\n\033[Klayer b: \033[32m%s%%\033[m\n' $n $n; done
        printf '[==>   ]\r[=====>]\r\n'
        printf '表示 한글 😀🚀|é|\n\033[5;10H\342\226\210\342\226\221 \033(0lqqk\033(B\n'
        printf '\033[1mb\033[2md\033[22m\033[3mi\033[23m\033[4mu\033[4:3mc\033[24m\033[7mr\033[27m\033[9ms\033[m\n'
        printf '\033[38;5;208mo\033[48;5;17mp\033[38;2;1;2;3mt\033[38:2::4:5:6mu\033[91;102mv\033[m\n'
        printf '\033[10;15r\033[10;1Ha\nb\nc\nd\ne\nf\ng\nh\033[2S\033[12;1H\033[1L\033[r\033[18;1Habcdef\033[18;3H\033[2P\033[18;2H\033[3@'
        printf '\033[3g\033[20;6H\033H\033[20;13H\033H\r\t5\tx\033[Zy\033[21;1Hz\033[5b\033[22;1Hbc\r\033[4ha\033[4l'
        printf '\033[23;1Htitle\033]0;t\007|\033[?25l'
        printf '\033[24;1Hend'; sleep 600";
    folder.put("run", script);
    compare(&format!("sh {}", folder.file("run").display()), &[], |text| text.contains("end"));
}

fn the_page_shows_a_screen_as_a_grid(kind: Kind) {
    let Some(browser) = Browser::start(kind) else { return };
    let mut server = screen("40x8");
    browser.go(&server.url("/view"));
    server.write("\x1b[?25l\x1b[41mASCII text\x1b[m|\r\n表示한글😀|\x1b[3;1H│─█✓é❤\u{fe0f}ａ|\x1b[8;1H\x1b[7mlast\x1b[m\x1b[1;40H|\x1b[2;40H|");
    let row = "return [...document.querySelectorAll('.screen > div')].map(row => row.textContent)";
    let rows =
        wait_for("the screen is shown", SOON, || Some(browser.run(row, serde_json::json!([]))).filter(|rows| rows[7] == "last"));
    assert_eq!(rows.as_array().unwrap().len(), 8);
    // Each bar stands at its column: the ends of the text before are where as many ASCII cells end.
    let right = "const at = (row, text) => { const walk = document.createTreeWalker(document.querySelectorAll('.screen > div')[row], 4); \
                 let node, last; while (node = walk.nextNode()) if (node.data.includes(text)) last = node; const range = document.createRange(); \
                 range.setStart(last, last.data.lastIndexOf(text)); range.setEnd(last, last.data.lastIndexOf(text) + 1); \
                 return range.getBoundingClientRect().left }; return [at(0, '|'), at(1, '|')]";
    let ends = browser.run(right, serde_json::json!([]));
    let (first, second) = (ends[0].as_f64().unwrap(), ends[1].as_f64().unwrap());
    assert!((first - second).abs() < 1.0, "the bars of two rows stand at {first} and {second}");
    browser.keep_screenshot(&format!("screen-{kind:?}"));
    // A row that stays the same keeps its node.
    browser.run("document.querySelectorAll('.screen > div')[1].kept = 1", serde_json::json!([]));
    server.write("\x1b[8;1Hnext");
    wait_for("the next screen is shown", SOON, || Some(browser.run(row, serde_json::json!([]))).filter(|rows| rows[7] == "next"));
    let kept = browser.run("return document.querySelectorAll('.screen > div')[1].kept", serde_json::json!([]));
    assert_eq!(kept, 1);
}

#[test]
fn chromium_shows_a_screen_as_a_grid() {
    the_page_shows_a_screen_as_a_grid(Kind::Chromium);
}

#[test]
fn firefox_shows_a_screen_as_a_grid() {
    the_page_shows_a_screen_as_a_grid(Kind::Firefox);
}

#[test]
fn a_part_that_is_written_to_a_screen_is_that_screen() {
    let text = drawn(
        "\x1b[?25l\x1b[1;31mbold\x1b[m plain\r\n表\x1b[7m inverse \x1b[m\r\n\r\n\x1b[48;5;20m  \x1b[m|\x1b[4:3me\u{301}\x1b[m"
            .as_bytes(),
    );
    assert_eq!(drawn(format!("\x1b[?25l{text}").as_bytes()), text);
}

/// A command whose screen is served for as long as the viewer watches.
fn exec_script(options: &[&str], script: &str) -> Server {
    exec(&[options, &["--linger", "0", "--kill-after", "1", "--", "sh", "-c", script]].concat()).server
}

fn part_with(server: &Server, text: &str) -> String {
    server.view("/stream").part_where(|part| part.text().contains(text)).text()
}

#[test]
fn a_command_knows_the_terminal_that_it_has() {
    let script = "stty size; echo $TERM $COLUMNS $LINES; tput cols; printf 'end\\033[?25l'; sleep 600";
    let line = mxr(["exec", "--screen=90x20", "--", "sh", "-c", script]).without("TERM").env("COLUMNS", "200").env("LINES", "9");
    let server = exec_by(line).server;
    assert_eq!(part_with(&server, "end"), "20 90\ntmux-256color 90 20\n90\nend\n");
    assert_eq!(server.get("/snapshot").head.want("content-type"), "text/plain; charset=utf-8; screen=90x20");
}

#[test]
fn a_command_gets_the_answers_of_its_terminal() {
    let script =
        "stty raw -echo; printf '\\033[3;5H\\033[6n'; head -c 6 | od -An -c | tr -d ' '; printf '\\033[?25lend'; sleep 600";
    assert!(part_with(&exec_script(&["--screen"], script), "end").contains("033[3;5R"));
}

#[test]
fn a_command_that_reads_no_answers_holds_up_nobody() {
    let script = "stty raw -echo; yes \"$(printf '\\033[6n')\" | head -c 524288; printf '\\033[H\\033[J\\033[?25lend'; sleep 600";
    let server = exec_script(&["--screen"], script);
    let mut viewer = server.view("/stream");
    assert_eq!(server.get("/healthz").head.status, 200);
    viewer.part_where(|part| part.text() == "end\n");
}

#[test]
fn each_run_begins_on_an_empty_screen() {
    let folder = Folder::new();
    let count = folder.file("count").display().to_string();
    let server = exec_script(
        &["--screen=20x4"],
        &format!("echo run >> {count}; printf '\\033[?25l'; wc -l < {count}; printf '\\033[31mend'; sleep 600"),
    );
    assert_eq!(part_with(&server, "end"), "1\n\x1b[0;31mend\x1b[m\n");
    wait_until("the command has ended", SOON, || server.state()["feeds"][0]["source"]["state"] == "idle");
    assert_eq!(part_with(&server, "2\n"), "2\n\x1b[0;31mend\x1b[m\n");
}

#[test]
fn a_full_screen_program_shows_what_it_drew_and_its_last_screen_stays() {
    let Some(vim) = tool(&["vim"]) else { return };
    let folder = Folder::new();
    folder.put("text", "a line of text\n");
    let text = folder.file("text");
    let server =
        exec(&["--screen=60x10", "--", vim.to_str().unwrap(), "-u", "NONE", "-i", "NONE", "-N", text.to_str().unwrap()]).server;
    assert!(part_with(&server, "~").starts_with("\x1b[0;7ma\x1b[m line of text\n"));
    let server = exec_script(&["--screen", "--restart", "no"], "echo last; exit 3");
    let mut viewer = server.view("/stream");
    viewer.part_where(|part| part.text().starts_with("last\n"));
    wait_until("the command has ended", SOON, || server.state()["feeds"][0]["source"]["state"] == "ended");
    assert!(server.get("/snapshot").text().starts_with("last\n"));
}

#[test]
fn a_screen_does_not_go_with_what_makes_other_parts() {
    for (args, why) in [
        (&["--screen", "--every", "1"][..], "--screen with --every"),
        (&["--screen", "--split", "lines"], "--screen with --split"),
        (&["--screen", "--stderr", "feed"], "--stderr with --screen"),
    ] {
        mxr(["exec"]).args(args).args(["--", "true"]).run().usage_error().stderr(why);
    }
}

#[test]
fn the_first_part_of_a_run_is_not_the_empty_screen_on_which_a_program_begins_to_draw() {
    let script = "printf '\\033[?25l\\033[2J'; sleep 0.4; printf drawn; exec sleep 300";
    let exec = exec(&["--screen", "--", "sh", "-c", script]);
    assert_eq!(exec.server.get("/snapshot").text(), "drawn\n");
    assert_eq!(exec.server.state()["feeds"][0]["published"], 1);
}

#[test]
fn a_screen_that_stays_empty_is_a_part_in_the_end() {
    let exec = exec(&["--screen", "--", "sh", "-c", "printf '\\033[?25l\\033[2J'; exec sleep 300"]);
    assert_eq!(exec.server.get("/snapshot").text(), "\n");
}
