//! `mxr watch` pushes a file at once, and each time a writer has finished it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
    time::{Duration, Instant},
};

use crate::support::{
    A_WHILE, BLUE, Folder, GREEN, PALETTE, RED, SOON, Server, alone, is_notify, mxr, png, tool, wait_until, with_notify_too,
};

fn watch(folder: &Folder, names: &[&str]) -> Server {
    let paths = names.iter().map(|name| folder.file(name));
    mxr(["watch"]).args(paths).args(["--keepalive", "0"]).start()
}

#[test]
fn a_file_is_pushed_now_and_at_each_change() {
    let folder = Folder::new();
    folder.put("a.txt", "zero");
    let server = watch(&folder, &["a.txt"]);
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().text(), "zero");
    for change in ["one", "two", "three"] {
        folder.put("a.txt", change);
        assert_eq!(viewer.part().text(), change);
    }
    for change in ["in place", "and again"] {
        folder.write("a.txt", change);
        assert_eq!(viewer.part().text(), change);
    }
    fs::OpenOptions::new().append(true).open(folder.file("a.txt")).unwrap().write_all(b", with more").unwrap();
    assert_eq!(viewer.part().text(), "and again, with more");
}

#[test]
fn a_complete_file_is_sent_within_milliseconds() {
    // Measured in milliseconds, so the test has the machine to itself.
    alone();
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = watch(&folder, &["a.png"]);
    let mut viewer = server.view("/stream");
    viewer.part();
    let mut delays: Vec<Duration> = Vec::new();
    for colour in PALETTE[1..].iter().cycle().take(21) {
        let start = Instant::now();
        folder.put("a.png", png(*colour));
        assert_eq!(viewer.part().body, png(*colour));
        delays.push(start.elapsed());
    }
    delays.sort();
    // Independently of other work on the machine, each of them would include a fixed delay.
    assert!(delays[5] < Duration::from_millis(20), "{delays:?}");
}

#[test]
fn a_recreated_file_is_pushed_again() {
    let folder = Folder::new();
    folder.put("a.txt", "before");
    let server = watch(&folder, &["a.txt"]);
    let mut viewer = server.view("/stream");
    viewer.part();
    folder.remove("a.txt");
    viewer.expect_silence(A_WHILE);
    assert_eq!(server.get("/snapshot").text(), "before", "the last whole one stays");
    folder.write("a.txt", "after");
    assert_eq!(viewer.part().text(), "after");
}

#[test]
fn a_recreated_folder_is_found_again() {
    let folder = Folder::new();
    folder.put("a.txt", "before");
    let server = watch(&folder, &["a.txt"]);
    let mut viewer = server.view("/stream");
    viewer.part();
    fs::remove_dir_all(folder.path()).unwrap();
    viewer.expect_silence(A_WHILE);
    fs::create_dir(folder.path()).unwrap();
    folder.put("a.txt", "after");
    assert_eq!(viewer.part().text(), "after");
    folder.put("a.txt", "and on");
    assert_eq!(viewer.part().text(), "and on");
}

#[test]
fn it_waits_for_a_file_that_does_not_exist_yet() {
    let folder = Folder::new();
    let server = watch(&folder, &["later.txt"]);
    wait_until("the log says that the file is not there yet", SOON, || server.stderr().contains("later.txt"));
    let mut viewer = server.view("/stream");
    folder.put("other.txt", "other");
    viewer.expect_silence(A_WHILE);
    folder.put("later.txt", "here");
    assert_eq!(viewer.part().text(), "here");
}

#[test]
fn watching_a_pattern_or_standard_input_causes_a_hint_what_to_type() {
    let folder = Folder::new();
    let hint = format!("for a pattern: mxr watch {} --glob '*.txt'", folder.path().display());
    for (name, hint) in [("*.txt", hint.as_str()), ("-", "standard input is what `mxr stdin` shows")] {
        let server = watch(&folder, &[name]);
        wait_until("the log says so", SOON, || server.stderr().contains(hint));
        // It may still be a file name.
        folder.put(name, "here");
        assert_eq!(server.view("/stream").part().text(), "here");
    }
}

#[test]
fn a_directory_pushes_the_file_that_changed() {
    let folder = Folder::new();
    let server = mxr(["watch"]).arg(folder.path()).args(["--keepalive", "0"]).start();
    let mut viewer = server.view("/stream");
    for (name, body, media) in [("a.txt", "a", "text/plain"), ("b.html", "b", "text/html"), ("a.txt", "c", "text/plain")] {
        folder.put(name, body);
        let part = viewer.part();
        assert_eq!((part.media(), part.text().as_str()), (media, body));
    }
    folder.put("d.png", png(GREEN));
    assert_eq!(viewer.part().body, png(GREEN));
}

#[test]
fn a_directory_pushes_only_files_that_the_glob_selects() {
    let folder = Folder::new();
    let server = mxr(["watch"]).arg(folder.path()).args(["--glob", "*.txt"]).start();
    let mut viewer = server.view("/stream");
    folder.put("a.md", "not this");
    folder.put(".hidden.txt", "nor this");
    folder.put("a.txt", "this");
    assert_eq!(viewer.part().text(), "this");
}

#[test]
fn several_files_are_several_feeds_named_after_them() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = watch(&folder, &["a.png", "b.log"]);
    let mut picture = server.view("/stream/a.png");
    let mut log = server.view("/stream/b.log");
    assert_eq!(picture.part().body, png(RED));
    folder.put("b.log", "a line");
    assert_eq!(log.part().text(), "a line");
    picture.expect_silence(A_WHILE);
    folder.put("a.png", png(BLUE));
    assert_eq!(picture.part().body, png(BLUE));
    log.expect_silence(A_WHILE);
}

#[test]
fn files_of_the_same_name_are_feeds_of_different_names() {
    let (one, two) = (Folder::new(), Folder::new());
    one.put("a.txt", "one");
    two.put("a.txt", "two");
    let server = mxr(["watch"]).arg(one.file("a.txt")).arg(two.file("a.txt")).start();
    let state = server.state();
    let names: Vec<_> = state["feeds"].as_array().unwrap().iter().map(|feed| feed["name"].as_str().unwrap()).collect();
    let text = |name: &str| server.view(&format!("/stream/{}", name.replace('/', "%2F"))).part().text();
    assert_eq!((text(names[0]).as_str(), text(names[1]).as_str()), ("one", "two"), "{names:?}");
}

#[test]
fn names_with_unusual_characters_are_found() {
    let folder = Folder::new();
    folder.put("plot größe 1.txt", "odd");
    let server = watch(&folder, &["plot größe 1.txt"]);
    assert_eq!(server.view("/stream/plot%20gr%C3%B6%C3%9Fe%201.txt").part().text(), "odd");
}

#[test]
fn identical_bytes_are_not_pushed_again() {
    let folder = Folder::new();
    folder.put("a.txt", "same");
    let server = watch(&folder, &["a.txt"]);
    let mut viewer = server.view("/stream");
    viewer.part();
    for _ in 0..3 {
        folder.put("a.txt", "same");
        viewer.expect_silence(A_WHILE);
    }
    folder.put("a.txt", "other");
    let part = viewer.part();
    assert_eq!((part.sequence(), part.text().as_str()), (2, "other"));
}

#[test]
fn identical_bytes_are_pushed_again_on_request() {
    let folder = Folder::new();
    folder.put("a.txt", "same");
    let server = mxr(["watch"]).arg(folder.file("a.txt")).args(["--keep-same", "--keepalive", "0"]).start();
    let mut viewer = server.view("/stream");
    viewer.part();
    for sequence in 2..5 {
        folder.put("a.txt", "same");
        assert_eq!(viewer.part().sequence(), sequence);
    }
}

#[test]
fn a_picture_is_never_pushed_half() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = watch(&folder, &["a.png"]);
    let mut viewer = server.view("/stream");
    viewer.part();
    let picture = png(GREEN);
    let (half, rest) = picture.split_at(picture.len() / 2);
    let mut file = File::create(folder.file("a.png")).unwrap();
    viewer.expect_silence(A_WHILE);
    file.write_all(half).unwrap();
    viewer.expect_silence(A_WHILE);
    assert_eq!(server.get("/snapshot").body, png(RED));
    file.write_all(rest).unwrap();
    drop(file);
    assert_eq!(viewer.part().body, picture);
}

#[test]
fn the_log_reports_a_problem_with_a_file_and_its_end() {
    let folder = Folder::new();
    let server = watch(&folder, &["a.png"]);
    let picture = png(RED);
    for (bytes, level, said) in [
        (&b""[..], "INFO", "it is empty; there is nothing to show yet"),
        (b"hello", "WARN", "it does not look like a PNG; shown as it is"),
        (&picture[..40], "WARN", "its end is missing; shown as it is"),
        (&picture, "INFO", "it is whole now, and shown"),
        (b"", "INFO", "it is empty; the last whole one stays"),
        (&picture[..40], "WARN", "its end is missing; shown as it is"),
    ] {
        let is_said = |line: &str| line.contains(said) && line.contains(level);
        let before = server.stderr().lines().filter(|line| is_said(line)).count();
        folder.put("a.png", bytes);
        wait_until(said, SOON, || server.stderr().lines().filter(|line| is_said(line)).count() > before);
    }
    for colour in [GREEN, BLUE] {
        folder.put("a.png", png(colour));
        wait_until("it is shown", SOON, || server.get("/snapshot").body == png(colour));
    }
    server.expect_logs("it is whole now", 2);
}

#[test]
fn a_link_with_a_new_target_is_pushed() {
    let folder = Folder::new();
    fs::write(folder.beside("one"), "one").unwrap();
    fs::write(folder.beside("two"), "two").unwrap();
    symlink(folder.beside("one"), folder.file("a.txt")).unwrap();
    let server = watch(&folder, &["a.txt"]);
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().text(), "one");
    symlink(folder.beside("two"), folder.beside("link")).unwrap();
    fs::rename(folder.beside("link"), folder.file("a.txt")).unwrap();
    assert_eq!(viewer.part().text(), "two");
}

#[test]
fn a_path_without_a_folder_is_in_the_current_directory() {
    let folder = Folder::new();
    let server = mxr(["watch", "a.txt"]).current_dir(&folder.path()).start();
    let mut viewer = server.view("/stream/a.txt");
    folder.put("a.txt", "here");
    assert_eq!(viewer.part().text(), "here");
}

#[test]
fn the_type_given_is_the_type_sent() {
    let folder = Folder::new();
    folder.put("a.log", "a line");
    let server = mxr(["watch"]).arg(folder.file("a.log")).args(["--type", "text/x-log"]).start();
    assert_eq!(server.view("/stream").part().header("Content-Type"), "text/x-log");
}

#[test]
fn a_file_over_the_limit_is_skipped_and_logged() {
    let folder = Folder::new();
    folder.put("a.txt", "small");
    let server = mxr(["watch"]).arg(folder.file("a.txt")).args(["--max-part", "1KiB"]).start();
    let mut viewer = server.view("/stream");
    viewer.part();
    folder.put("a.txt", "x".repeat(2000));
    wait_until("the log says so", SOON, || server.stderr().contains("max-part"));
    folder.put("a.txt", "small again");
    assert_eq!(viewer.part().text(), "small again");
}

#[test]
fn events_come_from_the_backend_that_the_test_selects() {
    let folder = Folder::new();
    let server = watch(&folder, &["a.txt"]);
    let has_thread_of_notify = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.collect::<String>().contains("notify")
    };
    // The log reports the missing file long after the work has begun.
    wait_until("the source works", SOON, || server.stderr().contains("a.txt"));
    assert_eq!(has_thread_of_notify(), is_notify());
}

#[test]
fn copies_that_editors_make_beside_a_file_are_not_shown() {
    let folder = Folder::new();
    let server = mxr(["watch"]).arg(folder.path()).args(["--keepalive", "0"]).start();
    let mut viewer = server.view("/stream");
    for number in 0..3 {
        for copy in ["a.txt~", "#a.txt#", ".#a.txt"] {
            folder.put(copy, "a copy");
        }
        folder.put("a.txt", number.to_string());
        assert_eq!(viewer.part().text(), number.to_string());
    }
}

#[test]
fn a_file_whose_name_is_not_utf_8_is_found_under_the_bytes_of_its_name() {
    let folder = Folder::new();
    let path = folder.path().join(OsStr::from_bytes(b"\xffa.txt"));
    fs::write(&path, "odd").unwrap();
    let server = mxr(["watch"]).arg(&path).start();
    assert_eq!(server.view("/stream/%FFa.txt").part().text(), "odd");
    assert_eq!(server.get("/snapshot/%ffa.txt").text(), "odd");
}

#[test]
fn a_removed_directory_causes_one_warning() {
    let folder = Folder::new();
    folder.put("a.txt", "here");
    let server = mxr(["watch", "--keepalive", "0"]).arg(folder.path()).start();
    let mut viewer = server.view("/stream");
    viewer.part();
    fs::remove_dir_all(folder.path()).unwrap();
    wait_until("the log says so", SOON, || server.stderr().contains("the directory is gone"));
    // Looks without an event find it missing again and again.
    viewer.expect_silence(A_WHILE * 10);
    assert!(!server.stderr().contains("waiting for one"), "{}", server.stderr());
    fs::create_dir(folder.path()).unwrap();
    folder.put("a.txt", "again");
    viewer.part_where(|part| part.text() == "again");
    server.expect_logs("WARN", 1);
}

#[test]
fn a_look_without_an_event_costs_a_system_call_a_file() {
    let Some(strace) = tool(&["strace"]) else { return };
    let folder = Folder::new();
    let names: Vec<_> = (0..300).map(|at| format!("{at}.txt")).collect();
    names.iter().for_each(|name| folder.write(name, "zero"));
    let counts = folder.beside("counts");
    let flags = ["-f", "-c", "-qq", "-I2", "-o", counts.to_str().unwrap()];
    let calls = |time: Duration| {
        let paths = names.iter().map(|name| folder.file(name));
        let server = mxr(["watch", "--keepalive", "0"]).args(paths).wrapped(&strace, &flags).start();
        let start = Instant::now();
        let mut viewer = server.view("/stream/0.txt");
        viewer.part();
        viewer.expect_silence(time);
        server.stop();
        let table = fs::read_to_string(&counts).unwrap();
        let total = table.lines().find(|line| line.ends_with(" total")).unwrap();
        (total.split_whitespace().nth(3).unwrap().parse::<f64>().unwrap(), start.elapsed())
    };
    let ((few, _), (many, time)) = (calls(A_WHILE), calls(A_WHILE * 15));
    // It looks every 700 ms.
    let looks = time.as_secs_f64() / 0.7 + 2.0;
    assert!(many - few < looks * 300.0 * 1.5, "{few} and {many} system calls in {looks} looks");
}

/// System calls for a change and a few readers of one file, with this many files watched.
fn calls_a_change(strace: &str, files: usize) -> f64 {
    let folder = Folder::new();
    let names: Vec<_> = (0..files).map(|at| format!("{at}.txt")).collect();
    names.iter().for_each(|name| folder.put(name, "zero"));
    let in_all = |changes: usize| {
        let counts = folder.beside("counts");
        let flags = ["-f", "-c", "-qq", "-I2", "-o", counts.to_str().unwrap()];
        let paths = names.iter().map(|name| folder.file(name));
        let server = mxr(["watch", "--keepalive", "0"]).args(paths).wrapped(strace, &flags).start();
        let mut viewer = server.view("/stream/0.txt");
        viewer.part();
        for change in 0..changes {
            (0..5).for_each(|_| drop(fs::read(folder.file("0.txt")).unwrap()));
            folder.put("0.txt", format!("{changes}: {change}"));
            viewer.part();
        }
        server.stop();
        let table = fs::read_to_string(&counts).unwrap();
        let total = table.lines().find(|line| line.ends_with(" total")).unwrap();
        total.split_whitespace().nth(3).unwrap().parse::<f64>().unwrap()
    };
    (in_all(105) - in_all(5)) / 100.0
}

#[test]
fn a_change_costs_the_same_however_many_files_are_watched() {
    let Some(strace) = tool(&["strace"]) else { return };
    let [few, many] = [10, 200].map(|files| calls_a_change(strace.to_str().unwrap(), files));
    // In addition mxr checks each of them every 700 ms.
    assert!(many < few + 500.0, "{few} system calls with 10 files, {many} with 200");
}

with_notify_too! {
    a_file_is_pushed_now_and_at_each_change,
    a_complete_file_is_sent_within_milliseconds,
    a_recreated_file_is_pushed_again,
    a_recreated_folder_is_found_again,
    it_waits_for_a_file_that_does_not_exist_yet,
    watching_a_pattern_or_standard_input_causes_a_hint_what_to_type,
    a_directory_pushes_the_file_that_changed,
    a_directory_pushes_only_files_that_the_glob_selects,
    several_files_are_several_feeds_named_after_them,
    files_of_the_same_name_are_feeds_of_different_names,
    names_with_unusual_characters_are_found,
    identical_bytes_are_not_pushed_again,
    identical_bytes_are_pushed_again_on_request,
    a_picture_is_never_pushed_half,
    the_log_reports_a_problem_with_a_file_and_its_end,
    a_link_with_a_new_target_is_pushed,
    a_path_without_a_folder_is_in_the_current_directory,
    the_type_given_is_the_type_sent,
    a_file_over_the_limit_is_skipped_and_logged,
    events_come_from_the_backend_that_the_test_selects;
    except a_change_costs_the_same_however_many_files_are_watched, a_look_without_an_event_costs_a_system_call_a_file,
        copies_that_editors_make_beside_a_file_are_not_shown, a_removed_directory_causes_one_warning,
        a_file_whose_name_is_not_utf_8_is_found_under_the_bytes_of_its_name
}
