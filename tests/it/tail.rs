//! `mxr watch` shows a log as `tail -F` does: its last lines at once, then each line that is appended, and nothing twice.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{FileExt, symlink},
    path::PathBuf,
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{A_WHILE, Folder, Mxr, RED, SOON, Server, Viewer, mxr, png, wait_until, with_notify_too};

/// A folder with a log in it.
struct Logs(Folder);

impl Logs {
    fn new() -> Self {
        Self(Folder::new())
    }

    /// A folder with `app.log`.
    fn holding(text: impl AsRef<[u8]>) -> Self {
        let logs = Self::new();
        logs.append(text);
        logs
    }

    fn file(&self) -> PathBuf {
        self.0.file("app.log")
    }

    fn append(&self, text: impl AsRef<[u8]>) {
        self.append_to("app.log", text);
    }

    fn append_to(&self, name: &str, text: impl AsRef<[u8]>) {
        let file = OpenOptions::new().append(true).create(true).open(self.0.file(name));
        file.unwrap().write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.0.file(from), self.0.file(to)).unwrap();
    }

    fn watch(&self) -> Mxr {
        mxr(["watch", "--keepalive", "0"]).arg(self.file())
    }

    /// A server, and a viewer of all lines.
    fn watched(&self) -> (Server, Viewer) {
        let server = self.watch().start();
        let viewer = server.view("/stream?history=10000");
        (server, viewer)
    }
}

fn numbered(numbers: std::ops::RangeInclusive<usize>) -> String {
    numbers.map(|number| format!("line {number}\n")).collect()
}

/// Expects these lines next, and no others.
#[track_caller]
fn expect(viewer: &mut Viewer, lines: &str) {
    for line in lines.lines() {
        assert_eq!(viewer.part().text(), line);
    }
}

#[track_caller]
fn wait_for_log(server: &Server, text: &str) {
    wait_until(text, SOON, || server.stderr().contains(text));
}

fn feeds(server: &Server) -> Vec<String> {
    let state = server.state();
    state["feeds"].as_array().unwrap().iter().map(|feed| feed["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_log_begins_with_its_last_ten_lines_and_goes_on_with_what_is_appended() {
    let logs = Logs::holding(numbered(1..=30));
    let (server, mut viewer) = logs.watched();
    expect(&mut viewer, &numbered(21..=30));
    for number in 31..35 {
        logs.append(numbered(number..=number));
        expect(&mut viewer, &numbered(number..=number));
    }
    viewer.expect_silence(A_WHILE);
    assert_eq!(server.state()["feeds"][0]["kind"], "lines");
}

#[test]
fn it_begins_with_as_many_lines_as_the_history_keeps() {
    let logs = Logs::holding(numbered(1..=30));
    for (history, first) in [("1", 30), ("3", 28), ("100", 1)] {
        let server = logs.watch().args(["--history", history]).start();
        expect(&mut server.view("/stream?history=100"), &numbered(first..=30));
    }
}

#[test]
fn a_line_of_a_log_of_20_megabytes_costs_a_viewer_its_own_bytes() {
    let logs = Logs::holding("a line of a log that has been growing for long\n".repeat(450_000));
    let (server, mut viewer) = logs.watched();
    (0..10).for_each(|_| drop(viewer.part()));
    let before = server.viewers()[0]["bytes"].as_u64().unwrap();
    for number in 1..=100 {
        logs.append(numbered(number..=number));
        expect(&mut viewer, &numbered(number..=number));
    }
    let bytes = server.viewers()[0]["bytes"].as_u64().unwrap() - before;
    assert!(bytes < 100 * 300, "{bytes} bytes for 100 lines");
}

#[test]
fn a_log_of_10_gigabytes_is_never_read_whole() {
    let logs = Logs::new();
    let file = fs::File::create(logs.file()).unwrap();
    // A hole: only its end takes room.
    file.write_all_at(b"\nlast line\n", 10 << 30).unwrap();
    let (server, mut viewer) = logs.watched();
    expect(&mut viewer, "last line\n");
    logs.append("and one more\n");
    expect(&mut viewer, "and one more\n");
    assert!(server.memory_at_most() < 200 << 20, "{}", server.memory_at_most());
}

#[test]
fn the_rest_of_a_rotated_log_comes_before_the_new_one() {
    let logs = Logs::holding(numbered(1..=2));
    let (server, mut viewer) = logs.watched();
    expect(&mut viewer, &numbered(1..=2));
    server.signal(Signal::STOP);
    logs.append(numbered(3..=4) + "line 5");
    logs.rename("app.log", "app.log.1");
    logs.append(numbered(6..=7));
    server.signal(Signal::CONT);
    expect(&mut viewer, &numbered(3..=7));
    // The writer learns of the rotation later.
    logs.append_to("app.log.1", "late\n");
    expect(&mut viewer, "late\n");
    logs.append(numbered(8..=8));
    expect(&mut viewer, &numbered(8..=8));
    viewer.expect_silence(A_WHILE);
}

#[test]
fn no_line_is_lost_or_repeated_however_fast_a_log_is_rotated() {
    let logs = Logs::holding("first\n");
    let (_server, mut viewer) = logs.watched();
    expect(&mut viewer, "first\n");
    // From the first line that comes later, events tell.
    logs.append(numbered(0..=0));
    expect(&mut viewer, &numbered(0..=0));
    for number in 1..=200 {
        logs.append(numbered(number..=number));
        logs.rename("app.log", &format!("app.log-{number}"));
    }
    logs.append("end\n");
    let mut lines: Vec<_> = (0..201).map(|_| viewer.part().text()).collect();
    assert_eq!(lines.last().unwrap(), "end");
    lines.pop();
    let expected = numbered(1..=200);
    // Events tell the order of files that were made within a tick of the file system's clock.
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
    viewer.expect_silence(A_WHILE);
}

#[test]
fn a_cascade_of_renames_while_nobody_looks_loses_nothing_and_brings_back_nothing_old() {
    let logs = Logs::holding(numbered(1..=1));
    logs.append_to("app.log.1", "older\n");
    let (server, mut viewer) = logs.watched();
    expect(&mut viewer, &numbered(1..=1));
    std::thread::sleep(A_WHILE);
    server.signal(Signal::STOP);
    for number in 2..=5 {
        logs.append(numbered(number..=number));
        for age in (1..=4).rev().filter(|age| logs.0.file(&format!("app.log.{age}")).exists()) {
            logs.rename(&format!("app.log.{age}"), &format!("app.log.{}", age + 1));
        }
        logs.rename("app.log", "app.log.1");
        // A tick of the file system's clock tells which was made first.
        std::thread::sleep(Duration::from_millis(20));
    }
    logs.append(numbered(6..=6));
    server.signal(Signal::CONT);
    expect(&mut viewer, &numbered(2..=6));
    viewer.expect_silence(A_WHILE);
}

#[test]
fn a_truncated_log_is_read_from_its_new_beginning_and_the_log_says_so() {
    let logs = Logs::holding(numbered(1..=20));
    let (server, mut viewer) = logs.watched();
    expect(&mut viewer, &numbered(11..=20));
    // As logrotate's copytruncate does.
    fs::copy(logs.file(), logs.0.file("app.log.1")).unwrap();
    logs.0.write("app.log", "");
    wait_for_log(&server, "it was truncated; reading it from its new beginning");
    logs.append(numbered(21..=22));
    expect(&mut viewer, &numbered(21..=22));
    viewer.expect_silence(A_WHILE);
}

#[test]
fn a_log_that_was_truncated_and_has_grown_beyond_its_old_end_is_read_from_its_beginning() {
    let logs = Logs::holding(numbered(1..=2));
    let (server, mut viewer) = logs.watched();
    expect(&mut viewer, &numbered(1..=2));
    server.signal(Signal::STOP);
    logs.0.write("app.log", numbered(10..=20));
    server.signal(Signal::CONT);
    expect(&mut viewer, &numbered(10..=20));
}

#[test]
fn a_writer_that_keeps_its_place_in_a_truncated_log_makes_no_line_of_nuls() {
    let logs = Logs::holding(numbered(1..=1000));
    let (server, mut viewer) = logs.watched();
    expect(&mut viewer, &numbered(991..=1000));
    let file = OpenOptions::new().write(true).open(logs.file()).unwrap();
    file.set_len(0).unwrap();
    wait_for_log(&server, "it was truncated");
    file.write_all_at(b"on\n", 9000).unwrap();
    expect(&mut viewer, "on\n");
}

#[test]
fn a_log_that_comes_later_is_shown_from_its_first_line() {
    let logs = Logs::new();
    let (server, mut viewer) = logs.watched();
    wait_for_log(&server, "there is no such file; waiting for it");
    logs.append(numbered(1..=15));
    expect(&mut viewer, &numbered(1..=15));
}

#[test]
fn a_log_that_is_deleted_and_made_again_goes_on() {
    let logs = Logs::holding("one\n");
    let (_server, mut viewer) = logs.watched();
    expect(&mut viewer, "one\n");
    for text in ["two\n", "two\n", "three\n"] {
        logs.0.remove("app.log");
        viewer.expect_silence(A_WHILE);
        logs.append(text);
        expect(&mut viewer, text);
    }
    fs::remove_dir_all(logs.0.path()).unwrap();
    viewer.expect_silence(A_WHILE);
    fs::create_dir(logs.0.path()).unwrap();
    logs.append("four\n");
    expect(&mut viewer, "four\n");
}

#[test]
fn a_line_is_held_until_its_end_comes_or_it_has_rested() {
    let logs = Logs::holding("one\n");
    let (_server, mut viewer) = logs.watched();
    expect(&mut viewer, "one\n");
    logs.append("tw");
    viewer.expect_silence(A_WHILE);
    logs.append("o\n");
    expect(&mut viewer, "two\n");
    logs.append("rested");
    expect(&mut viewer, "rested\n");
    // The end of a line that was shown is no empty line.
    logs.append("\r\nnext\n\n");
    expect(&mut viewer, "next\n");
    assert_eq!(viewer.part().text(), "\n");
}

#[test]
fn lines_may_end_as_on_windows_and_long_ones_are_cut_as_on_a_pipe() {
    let logs = Logs::holding("one\r\n");
    let server = logs.watch().args(["--max-part", "1KiB"]).start();
    let mut viewer = server.view("/stream");
    expect(&mut viewer, "one\n");
    logs.append(format!("{}\r\n{}", "x".repeat(1024), "y".repeat(200_000)));
    assert_eq!(viewer.part().text(), "x".repeat(1024));
    let cut = viewer.part().text();
    assert!(cut.len() <= 1024 && cut.starts_with("yyy") && cut.ends_with("[cut by mxr: longer than --max-part]"), "{cut}");
    logs.append("the rest of it\nnext\n");
    expect(&mut viewer, "next\n");
}

#[test]
fn a_log_in_utf16_is_shown_as_text() {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let logs = Logs::holding(utf16(&format!("\u{feff}{}", numbered(1..=20))));
    let (_server, mut viewer) = logs.watched();
    expect(&mut viewer, &numbered(11..=20));
    logs.append(utf16("größer als \u{1f600}\r\n"));
    expect(&mut viewer, "größer als \u{1f600}\n");
}

#[test]
fn a_log_that_an_editor_saves_under_its_name_is_not_shown_again() {
    let logs = Logs::holding(numbered(1..=20));
    let (_server, mut viewer) = logs.watched();
    expect(&mut viewer, &numbered(11..=20));
    logs.0.put("app.log", numbered(1..=20));
    viewer.expect_silence(A_WHILE);
    logs.0.put("app.log", numbered(1..=21));
    expect(&mut viewer, &numbered(21..=21));
    logs.append(numbered(22..=22));
    expect(&mut viewer, &numbered(22..=22));
}

#[test]
fn an_end_of_a_log_that_is_overwritten_does_not_bring_back_the_whole() {
    let logs = Logs::holding(numbered(1..=20) + "]\n");
    let (_server, mut viewer) = logs.watched();
    expect(&mut viewer, &(numbered(12..=20) + "]\n"));
    let file = OpenOptions::new().write(true).open(logs.file()).unwrap();
    let end = file.metadata().unwrap().len();
    file.write_all_at(b"line 21\n]\n", end - 2).unwrap();
    expect(&mut viewer, "line 21\n]\n");
}

#[test]
fn a_link_that_is_switched_to_another_log_is_followed() {
    let logs = Logs::new();
    for name in ["one", "two"] {
        logs.append_to(name, format!("{name}\n"));
    }
    symlink("one", logs.file()).unwrap();
    let (_server, mut viewer) = logs.watched();
    expect(&mut viewer, "one\n");
    logs.append_to("one", "more of one\n");
    expect(&mut viewer, "more of one\n");
    symlink("two", logs.0.beside("link")).unwrap();
    fs::rename(logs.0.beside("link"), logs.file()).unwrap();
    expect(&mut viewer, "two\n");
    logs.append_to("two", "more of two\n");
    expect(&mut viewer, "more of two\n");
}

#[test]
fn polling_shows_appended_lines_and_rotations_too() {
    let logs = Logs::holding(numbered(1..=1));
    let server = logs.watch().arg("--poll=50").start();
    let mut viewer = server.view("/stream");
    expect(&mut viewer, &numbered(1..=1));
    logs.append(numbered(2..=2));
    expect(&mut viewer, &numbered(2..=2));
    logs.append(numbered(3..=3));
    logs.rename("app.log", "app.log.1");
    logs.append(numbered(4..=4));
    expect(&mut viewer, &numbered(3..=4));
}

#[test]
fn a_burst_of_one_log_keeps_no_other_waiting_and_loses_no_line() {
    const LINES: u64 = 200_000;
    let logs = Logs::holding("");
    logs.append_to("other.log", "other\n");
    let server = logs.watch().arg(logs.0.file("other.log")).args(["--history", "1"]).start();
    let mut other = server.view("/stream/other.log");
    expect(&mut other, "other\n");
    let published = || server.state()["feeds"][0]["published"].as_u64().unwrap();
    logs.append("a line of a burst that is as long as lines of logs are, more or less\n".repeat(LINES as usize));
    logs.append_to("other.log", "another\n");
    expect(&mut other, "another\n");
    wait_until("every line was published", SOON * 6, || published() == LINES);
}

#[test]
fn a_thousand_logs_are_followed() {
    let logs = Logs::new();
    let name = |number: usize| format!("{number:03}.log");
    (0..1000).for_each(|number| logs.append_to(&name(number), "first\n"));
    let paths = (0..1000).map(|number| logs.0.file(&name(number)));
    let server = mxr(["watch", "--keepalive", "0"]).args(paths).start();
    for number in [0, 500, 999] {
        let mut viewer = server.view(&format!("/stream/{}", name(number)));
        expect(&mut viewer, "first\n");
        logs.append_to(&name(number), "second\n");
        expect(&mut viewer, "second\n");
    }
}

#[test]
fn each_log_of_a_directory_is_a_feed_beside_that_of_its_other_files() {
    let logs = Logs::holding("app\n");
    logs.append_to("b.log", "b\n");
    logs.0.put("a.png", png(RED));
    let server = mxr(["watch", "--keepalive", "0"]).arg(logs.0.path()).start();
    assert_eq!(feeds(&server), ["feed", "app.log", "b.log"]);
    assert_eq!(server.view("/stream/feed").part().body, png(RED));
    let mut app = server.view("/stream/app.log");
    expect(&mut app, "app\n");
    logs.append("more\n");
    expect(&mut app, "more\n");
    logs.append_to("later.log", "later\n");
    wait_until("the new log is a feed", SOON, || feeds(&server).len() == 4);
    expect(&mut server.view("/stream/later.log"), "later\n");
    logs.append("one\n");
    logs.rename("app.log", "app.log.1");
    logs.append("two\n");
    expect(&mut app, "one\ntwo\n");
}

#[test]
fn a_directory_of_logs_alone_has_no_other_feed_until_another_file_comes() {
    let logs = Logs::holding("app\n");
    let server = mxr(["watch", "--keepalive", "0"]).arg(logs.0.path()).start();
    assert_eq!(feeds(&server), ["app.log"]);
    let mut app = server.view("/stream/app.log");
    expect(&mut app, "app\n");
    // What a rotation leaves is no document.
    logs.rename("app.log", "app.log.1");
    logs.append("new\n");
    expect(&mut app, "new\n");
    logs.0.put("app.log.2.gz", b"\x1f\x8b\x08");
    logs.append("newer\n");
    expect(&mut app, "newer\n");
    assert_eq!(feeds(&server), ["app.log"]);
    logs.0.put("a.png", png(RED));
    wait_until("there is a feed for the picture", SOON, || feeds(&server) == ["app.log", "feed"]);
    assert_eq!(server.view("/stream/feed").part().body, png(RED));
}

#[test]
fn a_log_that_is_a_link_out_of_the_directory_is_left_out() {
    let logs = Logs::holding("app\n");
    fs::write(logs.0.beside("secret.log"), "secret\n").unwrap();
    symlink(logs.0.beside("secret.log"), logs.0.file("outside.log")).unwrap();
    let server = mxr(["watch"]).arg(logs.0.path()).start();
    wait_for_log(&server, "links out of the directory");
    assert_eq!(feeds(&server), ["app.log"]);
}

#[test]
fn the_user_says_which_files_are_logs() {
    let logs = Logs::holding("one\ntwo\n");
    logs.append_to("job.out", "one\ntwo\n");
    let text = |args: &[&str], feed: &str| {
        let server = logs.watch().arg(logs.0.file("job.out")).args(args).start();
        server.view(&format!("/stream/{feed}")).part().text()
    };
    assert_eq!((text(&[], "app.log").as_str(), text(&[], "job.out").as_str()), ("two", "one\ntwo\n"));
    assert_eq!(text(&["--tail", ""], "app.log"), "one\ntwo\n");
    let both = &["--tail", "*.log", "--tail", "*.out"];
    assert_eq!((text(both, "app.log").as_str(), text(both, "job.out").as_str()), ("two", "two"));
    let server = logs.watch().env("MXR_TAIL", "").start();
    assert_eq!(server.view("/stream").part().text(), "one\ntwo\n");
    logs.watch().args(["--tail", "[a"]).run().usage_error().stderr("cannot use --tail \"[a\"");
    logs.watch().args(["--window", "0"]).run().usage_error().stderr("a part has at least one line");
}

#[test]
fn type_window_and_pace_are_those_of_a_pipe() {
    let logs = Logs::holding(numbered(1..=5));
    let server = logs.watch().args(["--type", "application/json", "--window", "2"]).start();
    let part = server.view("/stream").part();
    assert_eq!((part.media(), part.text()), ("application/json", numbered(4..=5)));
    let server = logs.watch().args(["--max-fps", "0.1"]).start();
    let mut viewer = server.view("/stream");
    expect(&mut viewer, &numbered(5..=5));
    logs.append(numbered(6..=9));
    viewer.expect_silence(A_WHILE);
    assert_eq!(server.state()["feeds"][0]["published"], 1);
    // A picture is none, whatever its name is.
    logs.0.put("app.log", png(RED));
    let server = logs.watch().args(["--type", "image/png"]).start();
    assert_eq!(server.view("/stream").part().body, png(RED));
}

#[test]
fn a_large_text_that_grows_under_another_name_gets_one_hint() {
    let logs = Logs::new();
    logs.append_to("job.out", "a line\n".repeat(20_000));
    let server = mxr(["watch", "--keepalive", "0"]).arg(logs.0.file("job.out")).start();
    let mut viewer = server.view("/stream");
    viewer.part();
    for _ in 0..6 {
        logs.append_to("job.out", "another\n");
        viewer.part();
    }
    server.expect_logs("--tail '*.out' sends only the new lines", 1);
}

#[test]
fn a_writer_of_numbered_lines_is_followed_through_every_kind_of_rotation() {
    let logs = Logs::holding(numbered(1..=1));
    let (_server, mut viewer) = logs.watched();
    expect(&mut viewer, &numbered(1..=1));
    let mut number = 1;
    for round in 0..30 {
        let from = number + 1;
        for _ in 0..20 {
            number += 1;
            logs.append(numbered(number..=number));
        }
        if round % 3 == 0 {
            logs.rename("app.log", &format!("app.log.{round}"));
        }
        expect(&mut viewer, &numbered(from..=number));
        match round % 3 {
            1 => logs.0.remove("app.log"),
            2 => logs.0.write("app.log", ""),
            _ => {}
        }
    }
    viewer.expect_silence(A_WHILE);
}

with_notify_too! {
    a_log_begins_with_its_last_ten_lines_and_goes_on_with_what_is_appended,
    it_begins_with_as_many_lines_as_the_history_keeps,
    a_line_of_a_log_of_20_megabytes_costs_a_viewer_its_own_bytes,
    a_log_of_10_gigabytes_is_never_read_whole,
    the_rest_of_a_rotated_log_comes_before_the_new_one,
    no_line_is_lost_or_repeated_however_fast_a_log_is_rotated,
    a_cascade_of_renames_while_nobody_looks_loses_nothing_and_brings_back_nothing_old,
    a_truncated_log_is_read_from_its_new_beginning_and_the_log_says_so,
    a_log_that_was_truncated_and_has_grown_beyond_its_old_end_is_read_from_its_beginning,
    a_writer_that_keeps_its_place_in_a_truncated_log_makes_no_line_of_nuls,
    a_log_that_comes_later_is_shown_from_its_first_line,
    a_log_that_is_deleted_and_made_again_goes_on,
    a_line_is_held_until_its_end_comes_or_it_has_rested,
    lines_may_end_as_on_windows_and_long_ones_are_cut_as_on_a_pipe,
    a_log_in_utf16_is_shown_as_text,
    a_log_that_an_editor_saves_under_its_name_is_not_shown_again,
    an_end_of_a_log_that_is_overwritten_does_not_bring_back_the_whole,
    a_link_that_is_switched_to_another_log_is_followed,
    a_burst_of_one_log_keeps_no_other_waiting_and_loses_no_line,
    a_thousand_logs_are_followed,
    each_log_of_a_directory_is_a_feed_beside_that_of_its_other_files,
    a_directory_of_logs_alone_has_no_other_feed_until_another_file_comes,
    a_log_that_is_a_link_out_of_the_directory_is_left_out,
    the_user_says_which_files_are_logs,
    type_window_and_pace_are_those_of_a_pipe,
    a_large_text_that_grows_under_another_name_gets_one_hint,
    a_writer_of_numbered_lines_is_followed_through_every_kind_of_rotation;
    except polling_shows_appended_lines_and_rotations_too
}
