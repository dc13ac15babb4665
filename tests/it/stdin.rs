//! `… | mxr stdin` pushes each line to each viewer, in order.

use std::{
    io::{Write, pipe},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::support::{A_WHILE, Connection, Folder, Part, SOON, Server, Viewer, alone, mxr, tool, wait_for, wait_until};

/// A server whose standard input the test writes.
fn stdin(args: &[&str]) -> Server {
    mxr(["stdin"]).args(args).stdin(Stdio::piped()).start()
}

/// Waits until this many parts are published.
fn wait_for_published(server: &Server, count: u64) {
    wait_until(&format!("{count} parts are published"), SOON, || server.state()["feeds"][0]["published"] == count);
}

/// Lines until the end, a repeated last one counted once.
fn lines_to_end(viewer: &mut Viewer) -> Vec<String> {
    let mut parts = viewer.parts_to_end();
    parts.dedup_by_key(|part| part.sequence());
    parts.iter().map(Part::text).collect()
}

#[test]
fn each_line_is_a_part() {
    let mut server = stdin(&[]);
    let mut viewer = server.view("/stream");
    for line in ["one", "two", "  three, with spaces  "] {
        server.write(format!("{line}\n"));
        let part = viewer.part();
        assert_eq!((part.header("Content-Type"), part.text().as_str()), ("text/plain; charset=utf-8", line));
    }
    server.write("begun");
    viewer.expect_silence(A_WHILE);
    server.write(" and ended\n");
    assert_eq!(viewer.part().text(), "begun and ended");
}

#[test]
fn a_piped_film_causes_a_hint_about_recognized_formats() {
    const MP4: &[u8] = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2";
    for (args, first, is_told) in [
        (&[][..], MP4, true),
        (&["--split", "lines"], MP4, true),
        (&["--window", "5"], MP4, true),
        (&["--split", "nul"], MP4, false),
        (&[], b"\xff\xd8\xff\xe0\0\x10JFIF\0", false),
        (&[], b"--frame\r\nContent-Type: x/y\r\nContent-Length: 1\r\n\r\n\0\r\n", false),
        (&[], b"text alone\n", false),
    ] {
        let mut server = stdin(&[args, &["--exit-on-eof"]].concat());
        for byte in first {
            server.write([*byte]);
        }
        server.write([first, b"\n", first].concat());
        drop(server.take_stdin());
        let output = server.finish().stderr;
        assert_eq!(output.matches("--split").count(), usize::from(is_told), "{args:?} {}: {output}", first.escape_ascii());
        assert_eq!(output.contains("multipart are recognized"), is_told, "{args:?} {}: {output}", first.escape_ascii());
    }
}

#[test]
fn an_input_that_was_sent_by_mistake_is_named_with_a_way_out() {
    let utf_16: Vec<u8> = "\u{feff}hello\nworld\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, name, hint) in [
        (&utf_16[..], "UTF-16", "iconv -f UTF-16"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03x\n\0\n", "compressed with gzip", "gzip -dc"),
        (b"\x28\xb5\x2f\xfd\0\n\0\n", "compressed with zstd", "zstd -dc"),
        (b"\xfd7zXZ\0\n\0\n", "compressed with xz", "xz -dc"),
        (b"BZh91AY&SY\0\n\0\n", "compressed with bzip2", "bzip2 -dc"),
    ] {
        let mut server = stdin(&["--exit-on-eof"]);
        bytes.chunks(3).for_each(|piece| server.write(piece));
        drop(server.take_stdin());
        let output = server.finish().stderr;
        assert_eq!(output.matches("WARN").count(), 1, "{output}");
        assert!(output.contains(name) && output.contains(hint) && !output.contains("JPEG"), "{output}");
    }
}

#[test]
fn an_input_without_a_part_says_what_it_was_and_exits_with_1() {
    for (args, bytes, said) in [
        (&[][..], &b""[..], "cannot push standard input: it ended without a byte\nhint: the program before the pipe"),
        (&[], b"\xff\xd8\xff\xe0\0\x10JFIF\0", "looked like image/jpeg, and no part in them was complete"),
        (&["--split", "jpeg"], b"hello\n", "its 6 bytes looked like text/plain"),
        (&["--split", "multipart"], b"\x1f\x8b\x08\0", "compressed with gzip"),
        (&["--type", "image/svg+xml"], b"<svg><g>", "no part in them was complete"),
    ] {
        let mut server = stdin(&[args, &["--exit-on-eof"]].concat());
        server.write(bytes);
        drop(server.take_stdin());
        server.finish().code(1).stderr(said);
        let mut server = stdin(args);
        drop(server.take_stdin());
        wait_until("it says so and goes on", SOON, || {
            server.stderr().contains("standard input gave no part: it ended without a byte")
        });
        server.stop().success();
    }
    let mut server = stdin(&["--exit-on-eof"]);
    server.write("one\n");
    drop(server.take_stdin());
    server.finish().success().no_stderr("no part");
}

#[test]
fn progress_dots_after_a_first_line_cause_a_hint() {
    let mut server = stdin(&[]);
    server.write("starting\n");
    wait_until("the log explains it", SOON, || {
        server.write(".");
        thread::sleep(Duration::from_millis(50));
        server.stderr().contains("bytes are waiting for the end of their line")
    });
}

#[test]
fn twenty_thousand_lines_reach_three_viewers_in_order() {
    let mut server = stdin(&[]);
    let watchers: Vec<_> = (0..3)
        .map(|_| {
            let mut viewer = server.view("/stream");
            thread::spawn(move || (0..20_000).map(|_| viewer.part().text()).collect::<Vec<_>>())
        })
        .collect();
    server.wait_for_viewers(3);
    let lines: Vec<_> = (0..20_000).map(|at| format!("line {at}")).collect();
    for batch in lines.chunks(50) {
        server.write(batch.join("\n") + "\n");
    }
    for watcher in watchers {
        assert!(watcher.join().unwrap() == lines, "every line, in order");
    }
}

#[test]
fn a_late_viewer_has_the_newest_line_at_once() {
    // Measured in milliseconds, so the test has the machine to itself.
    alone();
    let mut server = stdin(&[]);
    server.write((0..1000).map(|at| format!("line {at}\n")).collect::<String>());
    wait_for_published(&server, 1000);
    let start = Instant::now();
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().text(), "line 999");
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    server.write("line 1000\n");
    assert_eq!(viewer.part().text(), "line 1000");
}

#[test]
fn a_last_line_without_a_newline_counts() {
    let mut server = stdin(&["--exit-on-eof"]);
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    server.write("one\ntwo");
    drop(server.take_stdin());
    assert_eq!(lines_to_end(&mut viewer), ["one", "two"]);
}

#[test]
fn an_empty_line_breaks_no_reader() {
    let mut server = stdin(&[]);
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    server.write("above\n\n\nbelow\n");
    let parts: Vec<_> = std::iter::from_fn(|| Some(viewer.part()).filter(|part| part.text() != "below")).collect();
    assert_eq!(parts[0].text(), "above");
    assert!(parts.iter().all(|part| !part.body.is_empty()), "{parts:?}");
}

#[test]
fn a_line_over_the_limit_is_truncated_with_a_visible_mark() {
    let mut server = stdin(&["--max-part", "1KiB"]);
    let mut viewer = server.view("/stream");
    server.write("x".repeat(100_000) + "\nafter\n");
    let cut = viewer.part().text();
    assert!(cut.len() <= 1024 && cut.starts_with(&"x".repeat(900)), "{} bytes", cut.len());
    assert!(!cut.ends_with('x'), "no mark: {:?}", &cut[cut.len() - 20..]);
    assert_eq!(viewer.part().text(), "after");
}

#[test]
fn a_line_without_an_end_takes_no_memory() {
    let mut server = stdin(&["--max-part", "1MiB"]);
    let before = server.memory();
    let block = "x".repeat(1 << 20);
    for _ in 0..100 {
        server.write(&block);
    }
    let grown = server.memory().saturating_sub(before) >> 20;
    assert!(grown < 16, "{grown} MiB for a line of 100 MiB");
    server.write("\nafter\n");
    server.view("/stream?history=10").part_where(|part| part.text() == "after");
}

#[test]
fn bytes_that_are_not_utf_8_are_shown_as_such() {
    let mut server = stdin(&[]);
    let mut viewer = server.view("/stream");
    server.write(b"caf\xe9 \xff\xfe gr\xc3\xbcn\n");
    assert_eq!(viewer.part().text(), "caf\u{fffd} \u{fffd}\u{fffd} grün");
}

#[test]
fn a_window_makes_each_part_the_last_lines() {
    let mut server = stdin(&["--window", "3"]);
    let mut viewer = server.view("/stream");
    let mut lines: Vec<String> = Vec::new();
    for line in ["a", "b", "c", "d", "e"] {
        server.write(format!("{line}\n"));
        lines.push(line.to_owned());
        let wanted = lines[lines.len().saturating_sub(3)..].to_vec();
        assert_eq!(viewer.part().text().lines().collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn a_line_over_the_limit_is_truncated_in_a_window_too() {
    let mut server = stdin(&["--window", "3", "--max-part", "1KiB"]);
    let mut viewer = server.view("/stream");
    for line in ["x".repeat(2000), "y".repeat(1024), "z".repeat(1023)] {
        server.write(format!("{line}\n"));
        let text = viewer.part().text();
        let is_whole = text == format!("{line}\n");
        assert!(text.len() <= 1024 && (text.ends_with("[cut by mxr: longer than --max-part]\n") || is_whole), "{text}");
        assert_eq!(is_whole, line.len() < 1024);
    }
    assert!(!server.stderr().contains("left out"), "{}", server.stderr());
}

#[test]
fn the_type_given_is_the_type_of_each_line() {
    let mut server = stdin(&["--type", "application/json"]);
    let mut viewer = server.view("/stream");
    server.write("{\"a\":1}\n");
    assert_eq!(viewer.part().header("Content-Type"), "application/json");
}

#[test]
fn tee_copies_the_input_after_the_urls() {
    let mut server = stdin(&["--tee", "--exit-on-eof"]);
    let input = b"one\n\n\xff\x00two\nlast without a newline";
    server.write(input);
    drop(server.take_stdin());
    let url = server.url("/");
    let expected = [url.as_bytes(), b"\n", input].concat();
    assert_eq!(server.finish().success().stdout.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn an_output_of_tee_that_nobody_reads_holds_up_no_viewer_and_the_log_says_so() {
    let (mut unread, output) = pipe().unwrap();
    let mut server = mxr(["stdin", "--tee", "--exit-on-eof", "--port", "0"]).stdin(Stdio::piped()).stdout(output).spawn();
    server.host = wait_for("the log has the URL", SOON, || {
        let log = server.stderr();
        Some(log.split_once("url=http://")?.1.split_once('/')?.0.to_owned())
    });
    let mut viewer = server.view("/stream");
    let line = "x".repeat(999);
    // Ten times what a pipe holds.
    let lines: Vec<_> = (0..650).map(|at| format!("{at} {line}\n")).collect();
    for line in &lines {
        server.write(line);
        viewer.part_where(|part| part.text() == line.trim_end());
    }
    wait_until("the log says that nobody reads", SOON, || {
        server.write("more\n");
        thread::sleep(Duration::from_millis(50));
        server.stderr().contains("nobody reads standard output")
    });
    drop(server.take_stdin());
    let read = thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut unread, &mut text).map(|_| text)
    });
    viewer.parts_to_end();
    server.finish().success();
    let text = read.join().unwrap().unwrap();
    let copied = text.split_once('\n').unwrap().1;
    assert!(copied.starts_with(&lines.concat()) && copied.trim_end().ends_with("more"), "{} bytes", copied.len());
}

#[test]
fn exit_on_eof_sends_the_remaining_parts_and_ends() {
    let mut server = stdin(&["--exit-on-eof"]);
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    let lines: Vec<_> = (0..500).map(|at| format!("line {at}")).collect();
    server.write(lines.join("\n") + "\n");
    drop(server.take_stdin());
    assert_eq!(lines_to_end(&mut viewer), lines);
    server.finish_within(Duration::from_secs(2)).success();
}

#[test]
fn exit_on_eof_waits_for_a_viewer_that_still_takes_lines() {
    let mut server = stdin(&["--exit-on-eof"]);
    // Its buffers are too small for all of it, and it reads nothing for longer than a shutdown takes.
    let mut slow = server.view_narrowly("/stream");
    server.wait_for_viewers(1);
    let lines: Vec<_> = (0..20_000).map(|at| format!("line {at} {}", "x".repeat(200))).collect();
    server.write(lines.join("\n") + "\n");
    wait_for_published(&server, 20_000);
    drop(server.take_stdin());
    slow.part();
    wait_until("nobody else is let in", SOON, || std::net::TcpStream::connect(&server.host).is_err());
    thread::sleep(Duration::from_secs(2));
    let rest = lines_to_end(&mut slow);
    assert!(rest == lines[1..], "{} of {} lines", rest.len() + 1, lines.len());
    drop(slow);
    server.finish_within(Duration::from_secs(3)).success();
}

#[test]
fn exit_on_eof_does_not_wait_for_a_viewer_that_takes_nothing() {
    let mut server = stdin(&["--exit-on-eof", "--stall-timeout", "2"]);
    let stuck = server.view_narrowly("/stream");
    server.wait_for_viewers(1);
    server.write(format!("{}\n", "x".repeat(1000)).repeat(20_000));
    wait_for_published(&server, 20_000);
    drop(server.take_stdin());
    server.finish_within(Duration::from_secs(10)).success();
    drop(stuck);
}

#[test]
fn a_signal_ends_it_soon_though_a_viewer_still_takes_lines() {
    let mut server = stdin(&["--exit-on-eof"]);
    let slow = server.view_narrowly("/stream");
    server.wait_for_viewers(1);
    server.write(format!("{}\n", "x".repeat(1000)).repeat(20_000));
    wait_for_published(&server, 20_000);
    drop(server.take_stdin());
    wait_until("nobody else is let in", SOON, || std::net::TcpStream::connect(&server.host).is_err());
    server.terminate();
    server.finish_within(Duration::from_secs(4)).success();
    drop(slow);
}

#[test]
fn fps_shows_the_newest_line_and_tells_how_many_were_dropped() {
    let mut server = stdin(&[]);
    let mut viewer = server.view("/stream?fps=2");
    server.wait_for_viewers(1);
    for at in 1..=100 {
        server.write(format!("{at}\n"));
        thread::sleep(Duration::from_millis(30));
    }
    drop(server.take_stdin());
    let parts = viewer.parts_to_end();
    let lines: Vec<u64> = parts.iter().map(|part| part.text().parse().unwrap()).collect();
    assert!(lines.len() < 20 && lines.last() == Some(&100), "{lines:?}");
    let mut before = 0;
    for part in &parts {
        let dropped = part.headers.iter().find(|(name, _)| name == "X-Dropped").map_or(0, |(_, count)| count.parse().unwrap());
        assert!(part.sequence() == before || part.sequence() == before + dropped + 1, "{before}, {:?}", part.headers);
        before = part.sequence();
    }
}

#[test]
fn without_exit_on_eof_the_last_lines_are_still_served() {
    let mut server = stdin(&[]);
    let mut early = server.view("/stream");
    server.wait_for_viewers(1);
    server.write("one\ntwo\n");
    drop(server.take_stdin());
    assert_eq!(lines_to_end(&mut early), ["one", "two"]);
    wait_until("the log says that it goes on", SOON, || server.stderr().contains("Ctrl-C"));
    assert_eq!(lines_to_end(&mut server.view("/stream")).last().unwrap(), "two");
    assert_eq!(lines_to_end(&mut server.view("/stream?history=2")), ["one", "two"]);
    assert_eq!(server.get("/snapshot").text(), "two");
    server.terminate();
    server.finish_within(Duration::from_secs(2)).success();
}

#[test]
fn a_viewer_may_ask_for_the_history() {
    let mut server = stdin(&["--history", "3"]);
    server.write("1\n2\n3\n4\n5\n");
    wait_for_published(&server, 5);
    for (path, expected) in [
        ("/stream?history=2", &["4", "5"][..]),
        ("/stream?history=3", &["3", "4", "5"]),
        ("/stream?history=100", &["3", "4", "5"]),
        ("/stream?history=2&parts=1", &["4"]),
    ] {
        let mut viewer = server.view(path);
        for line in expected {
            assert_eq!(viewer.part().text(), *line, "{path}");
        }
    }
}

#[test]
fn a_stalled_viewer_never_blocks_the_input_and_gets_the_number_of_missed_lines() {
    let mut server = stdin(&[]);
    let mut stalled = server.view_narrowly("/stream");
    server.wait_for_viewers(1);
    let start = Instant::now();
    let filling = "x".repeat(1000);
    for at in 0..60_000 {
        server.write(format!("{at} {filling}\n"));
    }
    assert!(start.elapsed() < SOON, "60 MB in {:?}", start.elapsed());
    wait_for_published(&server, 60_000);
    let memory = server.memory() >> 20;
    assert!(memory < 64, "{memory} MiB");
    let (mut received, mut missed, mut next) = (0, 0, 1);
    while next <= 60_000 {
        let part = stalled.part();
        let gap: u64 = part.headers.iter().find(|(name, _)| name == "X-Dropped").map_or(0, |(_, count)| count.parse().unwrap());
        assert_eq!(part.sequence(), next + gap, "told of {gap}");
        assert!(part.text().starts_with(&format!("{} ", part.sequence() - 1)));
        next = part.sequence() + 1;
        received += 1;
        missed += gap;
    }
    assert_eq!(received + missed, 60_000);
    assert!(missed > 0 && received >= 10_000, "{received} received, {missed} missed");
}

#[test]
fn an_inherited_non_blocking_input_is_read() {
    let (reader, mut writer) = pipe().unwrap();
    fcntl_setfl(&reader, fcntl_getfl(&reader).unwrap() | OFlags::NONBLOCK).unwrap();
    let server = mxr(["stdin"]).stdin(reader).start();
    let mut viewer = server.view("/stream");
    for line in ["one", "two"] {
        viewer.expect_silence(A_WHILE);
        writeln!(writer, "{line}").unwrap();
        assert_eq!(viewer.part().text(), line);
    }
}

#[test]
fn a_file_as_input_is_read_to_its_end() {
    let folder = Folder::new();
    folder.put("log", "one\ntwo\nthree\n");
    let file = std::fs::File::open(folder.file("log")).unwrap();
    let server = mxr(["stdin"]).stdin(file).start();
    wait_for_published(&server, 3);
    assert_eq!(lines_to_end(&mut server.view("/stream?history=3")), ["one", "two", "three"]);
}

#[test]
fn a_closed_input_is_an_empty_one_or_an_error() {
    let server = mxr(["stdin", "--port", "0"]).wrapped("sh", &["-c", "exec \"$@\" <&-", "sh"]).spawn();
    wait_until("it serves or says why not", SOON, || {
        server.stdout().starts_with(b"http://") || server.stderr().starts_with("mxr: cannot ")
    });
    if server.stdout().is_empty() {
        server.finish().failure();
    } else {
        let host = String::from_utf8(server.stdout()).unwrap();
        let mut connection = Connection::open(host.trim().trim_start_matches("http://").trim_end_matches('/'));
        connection.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(connection.reply("GET").head.status, 200);
        server.stop().success();
    }
}

#[test]
fn a_directory_as_input_is_an_error() {
    let folder = Folder::new();
    let dir = std::fs::File::open(folder.path()).unwrap();
    mxr(["stdin", "--port", "0"]).stdin(dir).run().failure().stderr("mxr: cannot ");
}

#[test]
fn a_terminal_as_input_gets_a_hint_what_to_type() {
    let Some(script) = tool(&["script"]) else { return };
    let mut terminal = mxr(["stdin", "--port", "0"]).in_terminal(&script).stdin(Stdio::piped()).spawn();
    let output = |server: &Server| String::from_utf8_lossy(&server.stdout()).into_owned();
    wait_until("it says what to type", SOON, || output(&terminal).contains("Ctrl-D"));
    terminal.host = wait_for("it prints its URL", SOON, || {
        let output = output(&terminal);
        let (_, url) = output.split_once("http://")?;
        url.split_once('/').map(|(host, _)| host.to_owned())
    });
    let mut viewer = terminal.view("/stream");
    terminal.write("typed\n");
    assert_eq!(viewer.part().text(), "typed");
}

#[test]
fn a_silent_input_does_not_delay_the_shutdown() {
    let server = stdin(&[]);
    let mut viewer = server.view("/stream");
    let start = Instant::now();
    server.terminate();
    viewer.expect_end();
    drop(viewer);
    server.finish().success();
    assert!(start.elapsed() < SOON / 2, "{:?}", start.elapsed());
}

#[test]
fn a_piped_progress_bar_causes_a_hint_how_to_split_it() {
    // At once, or after lines and without a pause.
    for first in ["", "a line\n"] {
        let mut server = stdin(&[]);
        server.write(first);
        wait_until("the log explains it", SOON, || {
            server.write("\r 10% [=>        ]");
            thread::sleep(Duration::from_millis(50));
            server.stderr().contains(r"--split '\r' --window 1")
        });
        assert!(!server.stderr().contains("stdbuf"), "{}", server.stderr());
    }
    let mut server = stdin(&["--split", r"\r", "--window", "1"]);
    server.write("\r 10% [=>        ]\r 20% [==>       ]\r");
    assert_eq!(server.view("/stream").part_where(|part| part.text().contains("20%")).text(), " 20% [==>       ]\n");
}
