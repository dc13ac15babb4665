//! `mxr exec`: when a command runs, for whom, and what becomes of its output.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{A_WHILE, ExecServer, Folder, RED, SOON, exec, mxr, png, wait_for, wait_until};

/// Prints its own number, and stays.
const STAYS: &[&str] = &["sh", "-c", "echo $$; exec sleep 300"];

fn source(server: &ExecServer) -> Value {
    server.server.state()["feeds"][0]["source"].clone()
}

fn with<'a>(options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [options, &["--"], command].concat()
}

#[test]
fn one_process_serves_all_viewers_and_is_stopped_after_the_last() {
    let exec = exec(&with(&["--linger", "0.3"], STAYS));
    assert_eq!((source(&exec)["state"].as_str(), exec.processes().len()), (Some("idle"), 0));
    let mut viewers: Vec<_> = (0..20).map(|_| exec.server.view("/stream")).collect();
    let pids: BTreeSet<_> = viewers.iter_mut().map(|viewer| viewer.part().text()).collect();
    assert_eq!((pids.len(), exec.commands().len()), (1, 1));
    drop(viewers.split_off(1));
    exec.server.wait_for_viewers(1);
    // Twice as long as it stays without a viewer.
    std::thread::sleep(A_WHILE * 2);
    assert_eq!(exec.commands().len(), 1, "one viewer is enough");
    drop(viewers);
    exec.expect_nothing_left_within(SOON);
    assert_eq!(source(&exec)["state"], "idle");
    assert_eq!((exec.zombies(), source(&exec)["runs"].as_u64()), (0, Some(1)));
}

#[test]
fn viewers_that_leave_all_at_once_leave_the_feed_as_it_was() {
    let exec = exec(&with(&["--linger", "0"], STAYS));
    let mut viewers: Vec<_> = (0..50).map(|_| exec.server.view("/stream")).collect();
    let first = viewers[0].part().text();
    drop(viewers);
    exec.expect_nothing_left_within(SOON);
    assert_eq!(exec.server.state()["feeds"].as_array().unwrap().len(), 1);
    let mut next = exec.server.view("/stream");
    assert_ne!(next.part_where(|part| part.text() != first).text(), "");
}

#[test]
fn a_snapshot_starts_the_command_and_snapshots_in_turn_keep_it() {
    let exec = exec(&with(&["--linger", "1"], STAYS));
    let (mut pids, mut longest) = (BTreeSet::new(), Duration::ZERO);
    let (start, mut last) = (Instant::now(), None);
    while start.elapsed() < Duration::from_secs(2) {
        let snapshot = exec.server.get("/snapshot");
        assert_eq!(snapshot.head.status, 200, "{snapshot:?}");
        pids.insert(snapshot.text());
        longest = longest.max(last.replace(Instant::now()).map_or(Duration::ZERO, |last| last.elapsed()));
    }
    // After a second without one it is right to stop.
    assert!(pids.len() == 1 || longest > Duration::from_millis(900), "{pids:?}, at most {longest:?} apart");
}

#[test]
fn a_snapshot_of_a_command_that_was_stopped_waits_for_the_next_run() {
    let exec = exec(&with(&["--linger", "0"], STAYS));
    let first = exec.server.get("/snapshot").text();
    exec.expect_nothing_left_within(SOON);
    assert_ne!(exec.server.get("/snapshot").text(), first);
}

#[test]
fn a_command_that_dies_at_once_is_a_503_with_its_exit_status() {
    for (command, why) in [
        (&["false"][..], "the command ended with exit status 1"),
        (&["sh", "-c", "kill -9 $$"], "the command ended with signal 9 (SIGKILL)"),
        (&["mxr-there-is-no-such-command"], "the command ended with exit status 127 (command not found)"),
        (&["/"], "the command ended with exit status 126 (the command cannot be run)"),
    ] {
        let exec = exec(&with(&[], command));
        let snapshot = exec.server.get("/snapshot");
        assert_eq!((snapshot.head.status, snapshot.text().trim()), (503, format!("mxr: there is no part: {why}").as_str()));
        let source = source(&exec);
        assert_eq!((source["state"].as_str(), source["reason"].as_str()), (Some("ended"), Some(why)));
        assert_eq!((source["runs"].as_u64(), source["failed_runs"].as_u64()), (Some(1), Some(1)));
        assert!(exec.server.get("/metrics").text().contains("mxr_command_failed_runs_total{feed="));
        // Nobody's coming runs it again.
        exec.server.view("/stream").expect_end();
        assert_eq!(exec.server.state()["feeds"][0]["source"]["runs"], 1);
    }
}

#[test]
fn the_last_output_of_a_command_that_has_ended_stays() {
    let exec = exec(&with(&[], &["sh", "-c", "echo one; echo two; exit 3"]));
    let mut parts = exec.server.view("/stream").parts_to_end();
    // The last one is repeated where the end came after it.
    parts.dedup_by_key(|part| part.sequence());
    assert_eq!(parts.iter().map(|part| part.text()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(exec.server.get("/snapshot").text(), "two");
    let source = source(&exec);
    assert_eq!((source["state"].as_str(), source["exit_status"].as_i64()), (Some("ended"), Some(3)));
}

#[test]
fn a_viewer_that_comes_while_the_command_stops_gets_a_new_run() {
    let folder = Folder::new();
    let stops = folder.file("stops").display().to_string();
    let script = "echo + >> \"$1\"; trap 'echo stop >> \"$1\"; sleep 1; echo - >> \"$1\"; exit' TERM; echo $$; \
                  while :; do sleep 0.1; done";
    let exec = exec(&with(&["--linger", "0"], &["sh", "-c", script, "sh", &stops]));
    let first = exec.server.view("/stream").part().text();
    let log = || fs::read_to_string(&stops).unwrap_or_default();
    wait_until("it was asked to stop", SOON, || log() == "+\nstop\n");
    let mut viewer = exec.server.view("/stream");
    assert_ne!(viewer.part_where(|part| part.text() != first).text(), first);
    assert_eq!(log(), "+\nstop\n-\n+\n", "never two at once");
}

#[test]
fn a_command_is_started_again_after_pauses_that_double() {
    let exec = exec(&with(&["--restart", "always"], &["sh", "-c", "echo run"]));
    let mut viewer = exec.server.view("/stream");
    let times: Vec<_> = (0..3).map(|_| viewer.part().timestamp()).collect();
    assert!(times[1] - times[0] >= 1.0 && times[2] - times[1] >= 2.0, "{times:?}");
    wait_until("it waits", SOON, || source(&exec)["state"] == "lost");
    drop(viewer);
    wait_until("it rests", SOON, || source(&exec)["state"] == "idle");
    assert_eq!(source(&exec)["runs"], 3, "none while nobody watches");
}

#[test]
fn a_success_is_not_started_again_on_failure() {
    for (status, state, runs) in [("0", "ended", 1), ("4", "live", 2)] {
        let script = format!("echo run; test -e \"$1\" && exec sleep 300; touch \"$1\"; exit {status}");
        let folder = Folder::new();
        let ran = folder.file("ran").display().to_string();
        let exec = exec(&with(&["--restart", "on-failure"], &["sh", "-c", &script, "sh", &ran]));
        let _viewer = exec.server.view("/stream");
        wait_until(state, SOON, || source(&exec)["state"] == state && source(&exec)["runs"] == runs);
    }
}

#[test]
fn a_command_that_always_runs_is_started_at_once_and_kept() {
    let exec = exec(&with(&["--always"], STAYS));
    wait_until("it runs", SOON, || exec.commands().len() == 1);
    let first = exec.server.view("/stream").part().text();
    exec.server.wait_for_viewers(0);
    assert_eq!(exec.server.view("/stream").part().text(), first);
    exec.server.wait_for_viewers(0);
    assert_eq!((exec.commands().len(), source(&exec)["runs"].as_u64()), (1, Some(1)));
}

#[test]
fn messages_that_nobody_reads_do_not_stop_the_output() {
    let script = "head -c 1048576 /dev/zero | tr '\\0' x >&2; echo done; echo last words >&2; exec sleep 300";
    let exec = exec(&with(&["--stderr", "feed"], &["sh", "-c", script]));
    assert_eq!(exec.server.view("/stream/sh").part().text(), "done");
    let mut messages = exec.server.view("/stream/sh-stderr");
    assert!(messages.part_where(|part| part.text().ends_with("last words")).text().len() > 10);
}

#[test]
fn messages_are_a_feed_or_lines_of_the_output_or_on_the_standard_error_of_mxr() {
    let script = "echo message >&2; exec sleep 300";
    let merged = exec(&with(&["--stderr", "merge"], &["sh", "-c", script]));
    assert_eq!(merged.server.view("/stream").part().text(), "message");
    let inherited = exec(&with(&[], &["sh", "-c", script]));
    let _viewer = inherited.server.view("/stream");
    wait_until("the message is there", SOON, || inherited.server.stderr().contains("message\n"));
    let fed = exec(&with(&["--stderr", "feed"], &["sh", "-c", script]));
    assert_eq!(fed.server.view("/stream/sh-stderr").part().text(), "message", "its viewer is demand, too");
}

#[test]
fn the_output_of_each_run_is_one_whole_part() {
    let script = "i=$(date +%N); head -c 4194304 /dev/zero | tr '\\0' x; echo $i";
    let exec = exec(&with(&["--every", "0.1"], &["sh", "-c", script]));
    let mut viewer = exec.server.view("/stream");
    for _ in 0..20 {
        let part = viewer.part();
        assert!(part.body.len() > 4 << 20 && part.body.ends_with(b"\n"), "{} bytes", part.body.len());
        assert!(part.body[..4 << 20].iter().all(|byte| *byte == b'x'));
    }
}

#[test]
fn an_output_has_the_type_that_it_shows() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let picture = folder.file("a.png").display().to_string();
    for (command, media) in [
        (&["cat", &picture][..], "image/png"),
        (&["echo", "{\"a\": 1}"], "application/json"),
        (&["printf", "\\033[31mred\\033[0m\\n"], "text/plain; charset=utf-8"),
    ] {
        let exec = exec(&with(&["--every", "60"], command));
        assert_eq!(exec.server.get("/snapshot").head.want("Content-Type"), media, "{command:?}");
    }
}

#[test]
fn an_output_that_has_become_empty_is_an_empty_line_and_the_last_picture_stays() {
    let folder = Folder::new();
    for (first, second) in [("said\n".as_bytes(), "\n".as_bytes()), (&png(RED), &png(RED))] {
        folder.put("o", first);
        let exec = exec(&with(&["--every", "0.1", "--always"], &["cat", &folder.file("o").display().to_string()]));
        let snapshot = || exec.server.get("/snapshot").body;
        wait_until("the first output is there", SOON, || snapshot() == first);
        folder.put("o", "");
        let runs = || source(&exec)["runs"].as_u64().unwrap();
        let before = runs();
        wait_until("it has run again", SOON, || runs() > before + 2);
        wait_until("the next output is there", SOON, || snapshot() == second);
    }
}

#[test]
fn runs_never_overlap_and_an_output_that_stays_the_same_is_not_pushed() {
    let folder = Folder::new();
    let log = folder.file("log").display().to_string();
    let script = "echo + >> \"$1\"; sleep 0.3; echo - >> \"$1\"; echo same";
    let exec = exec(&with(&["--every", "0.5", "--linger", "0"], &["sh", "-c", script, "sh", &log]));
    let viewer = exec.server.view("/stream");
    let lines = || fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    wait_until("it has run six times", SOON, || lines().len() >= 12);
    drop(viewer);
    let lines = lines();
    assert!(lines.chunks(2).all(|run| run[0].starts_with('+') && run.get(1).is_none_or(|end| end == "-")), "{lines:?}");
    assert_eq!(exec.server.state()["feeds"][0]["published"], 1);
    exec.expect_nothing_left_within(SOON);
    wait_until("it rests", SOON, || source(&exec)["state"] == "idle");
    let runs = || source(&exec)["runs"].clone();
    // Twice as long as from one run to the next.
    let (before, ()) = (runs(), std::thread::sleep(Duration::from_secs(1)));
    assert_eq!(runs(), before, "nothing runs while nobody looks");
}

#[test]
fn a_command_runs_once_and_again_whenever_a_watched_file_has_changed() {
    let folder = Folder::new();
    folder.put("in", "one");
    let file = folder.file("in").display().to_string();
    let exec = exec(&with(&["--when", &file], &["sh", "-c", "cat \"$1\"; stat \"$1\" >&2", "sh", &file]));
    let mut viewer = exec.server.view("/stream");
    assert_eq!(viewer.part().text(), "one");
    for text in ["two", "three", "four", "five"] {
        folder.put("in", text);
        assert_eq!(viewer.part().text(), text);
    }
    assert_eq!(source(&exec)["runs"], 5, "to read a file is no change");
}

#[test]
fn a_burst_of_changes_is_one_run_more_than_the_first() {
    let folder = Folder::new();
    folder.put("in", "start");
    let file = folder.file("in").display().to_string();
    let exec = exec(&with(&["--when", &file], &["cat", &file]));
    let mut viewer = exec.server.view("/stream");
    assert_eq!(viewer.part().text(), "start");
    let start = Instant::now();
    for number in 0..20 {
        folder.write("in", number.to_string());
        std::thread::sleep(Duration::from_millis(5));
    }
    // One for each 150 ms that this machine took for the burst.
    let most = 2 + start.elapsed().as_millis() / 150;
    viewer.part_where(|part| part.text() == "19");
    folder.put("in", "behind it");
    viewer.part_where(|part| part.text() == "behind it");
    let runs = source(&exec)["runs"].as_u64().unwrap() - 2;
    assert!(u128::from(runs) <= most, "{runs} runs, at most {most}");
}

#[test]
fn changes_during_a_run_lead_to_one_more_run_and_none_happens_while_nobody_watches() {
    let folder = Folder::new();
    folder.put("in", "one");
    let file = folder.file("in").display().to_string();
    let script = "cat \"$1\"; sleep 0.5";
    let exec = exec(&with(&["--when", &file, "--linger", "0"], &["sh", "-c", script, "sh", &file]));
    let mut viewer = exec.server.view("/stream");
    wait_until("it runs", SOON, || source(&exec)["runs"] == 1 && exec.commands().iter().any(|(_, line)| line == "sleep 0.5"));
    folder.put("in", "two");
    folder.put("in", "three");
    viewer.part_where(|part| part.text() == "three");
    assert_eq!(source(&exec)["runs"], 2);
    drop(viewer);
    wait_until("it rests", SOON, || source(&exec)["state"] == "idle");
    folder.put("in", "four");
    std::thread::sleep(A_WHILE);
    assert_eq!(source(&exec)["runs"], 2);
    let mut viewer = exec.server.view("/stream");
    viewer.part_where(|part| part.text() == "four");
}

#[test]
fn a_file_that_the_command_writes_is_the_part() {
    let folder = Folder::new();
    folder.put("in", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
    let [input, output] = ["in", "out.svg"].map(|name| folder.file(name).display().to_string());
    let script = "cat \"$1\" > \"$2\"; echo nothing of this";
    let exec = exec(&with(&["--when", &input, "--output", &output], &["sh", "-c", script, "sh", &input, &output]));
    let snapshot = exec.server.get("/snapshot/out.svg");
    assert_eq!((snapshot.head.want("Content-Type"), snapshot.text().starts_with("<svg")), ("image/svg+xml", true));
    let dir = folder.path().display().to_string();
    let line = mxr(["exec", "--when", &dir, "--output", &output, "--", "true"]);
    line.run().usage_error().stderr("each run would change");
}

#[test]
fn a_file_that_is_none_or_that_a_failed_run_left_alone_is_no_part_and_stops_nothing() {
    let folder = Folder::new();
    folder.put("in", "1");
    folder.put("old", "of yesterday");
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.file("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let input = folder.file("in").display().to_string();
    for (output, script, reason) in [
        ("fifo", ":", "is no regular file"),
        ("old", "exit 3", "exit status 3"),
        ("large", "head -c 2000 /dev/zero > \"$1\"", "more than --max-part"),
    ] {
        let output = folder.file(output).display().to_string();
        let exec = exec(&with(&["--max-part", "1K", "--when", &input, "--output", &output], &["sh", "-c", script, "sh", &output]));
        let snapshot = exec.server.get("/snapshot");
        assert_eq!(snapshot.head.status, 503, "{output}");
        assert!(snapshot.text().contains(reason), "{}", snapshot.text());
        assert_eq!(source(&exec)["state"], "lost");
        assert_eq!(exec.end_with(rustix::process::Signal::TERM, SOON), Some(0));
    }
    let output = folder.file("old").display().to_string();
    let exec = exec(&with(&["--when", &input, "--output", &output], &["true"]));
    assert_eq!(exec.server.get("/snapshot").text(), "of yesterday", "a command that has nothing to do leaves it as it is");
}

#[test]
fn a_run_that_takes_too_long_is_ended_with_all_that_it_started() {
    let exec = exec(&with(&["--every", "0.5", "--timeout", "0.5"], &["sh", "-c", "sleep 300; :"]));
    let viewer = exec.server.view("/stream");
    wait_until("a third run", SOON, || source(&exec)["runs"].as_u64() >= Some(3));
    assert!(exec.commands().iter().filter(|(_, line)| line == "sleep 300").count() <= 1, "{:?}", exec.commands());
    let reason = wait_for("the reason", SOON, || source(&exec)["reason"].as_str().map(str::to_owned));
    assert_eq!(reason, "the command was ended by --timeout after 500ms");
    drop(viewer);
    assert_eq!(exec.end_with(rustix::process::Signal::TERM, SOON), Some(0));
}

#[test]
fn a_process_that_a_run_leaves_behind_holds_up_no_other_run() {
    let exec = exec(&with(&["--every", "0.3"], &["sh", "-c", "setsid sleep 300 & date +%N"]));
    let mut viewer = exec.server.view("/stream");
    let start = Instant::now();
    let texts: BTreeSet<_> = (0..4).map(|_| viewer.part().text()).collect();
    assert!(texts.len() == 4 && start.elapsed() < Duration::from_secs(5));
    drop(viewer);
    assert_eq!(exec.end_with(rustix::process::Signal::TERM, SOON), Some(0));
}

#[test]
fn a_command_on_a_terminal_prints_in_colour_line_by_line_and_knows_its_size() {
    let folder = Folder::new();
    fs::create_dir(folder.file("dir")).unwrap();
    let dir = folder.path().display().to_string();
    let coloured = exec(&with(&["--every", "60", "--pty"], &["ls", "--color=auto", &dir]));
    let text = coloured.server.get("/snapshot").text();
    assert!(text.contains("\x1b[01;34mdir\x1b[0m") && !text.contains('\r'), "{text:?}");
    let script = "stty size; echo \"${COLUMNS-none} $TERM\"; test -t 0 && echo terminal; exec sleep 300";
    let line = mxr(["exec", "--pty", "--", "sh", "-c", script]).env("COLUMNS", "200").without("TERM");
    let lines = crate::support::exec_by(line);
    let mut viewer = lines.server.view("/stream?history=10");
    let texts: Vec<_> = (0..3).map(|_| viewer.part().text()).collect();
    assert_eq!(texts, ["24 80", "none xterm-256color", "terminal"]);
}

#[test]
fn a_line_that_a_terminal_ends_with_several_returns_is_one_line() {
    let exec = exec(&with(&["--pty"], &["sh", "-c", "printf 'a\\r'; sleep 0.3; printf '\\nb\\n'; exec sleep 300"]));
    let mut viewer = exec.server.view("/stream?history=2");
    assert_eq!([viewer.part().text(), viewer.part().text()], ["a", "b"]);
}

#[test]
fn options_after_the_command_are_its_own_and_options_that_contradict_each_other_are_refused() {
    let own = exec(&["echo", "--every", "-x", "--", "--port"]);
    assert_eq!(own.server.view("/stream").part().text(), "--every -x -- --port");
    for (args, why) in [
        (&["--every", "1", "--split", "lines", "--", "ls"][..], "cannot use --split with --every"),
        (&["--every", "1", "--restart", "always", "ls"], "cannot use --restart with --every"),
        (&["--every", "0", "ls"], "cannot use --every 0s"),
        (&["--timeout", "1", "ls"], "cannot use --timeout"),
        (&["--always", "--linger", "3", "ls"], "cannot use --linger with --always"),
        (&["--pty", "--stderr", "feed", "ls"], "cannot use --stderr with --pty"),
        (&["--kill-after=-1", "ls"], "a time such as"),
        (&["--evry", "1", "ls"], "--every"),
        (&[], "CMD"),
        (&["--", ""], "its name is empty"),
        (&["--every", "1", "--restart", "always", "ls"], "the command is run again anyway"),
        (&["--screen", "120x40", "--", "ls"], "hint: write the size after an equals sign: --screen=120x40"),
        (&["--", "ls -la"], "cannot run 'ls …': all of it is one word, and no program has that name\nhint: no shell reads it"),
        (&["--when", "a", "ls"], "mxr exec [OPTIONS] [--] <CMD>..."),
        (&["--when", "a", "ls"], "tip: '--' ends the files of '--when', before the command"),
        (&["--when", "a", "dot", "-Tsvg", "a"], "tip: '--' ends the files of '--when', before the command"),
    ] {
        mxr(["exec"]).args(args).run().usage_error().stderr(why);
    }
    mxr(["stdin", "--screen", "120x40"]).run().usage_error().stderr("tip: '--screen=120x40' says the size");
    mxr(["exec", "ls"]).env("MXR_SCREEN", "1").run().usage_error().stderr("invalid value '1' for 'MXR_SCREEN'");
}

#[test]
fn a_command_that_is_not_there_is_a_warning_at_the_start() {
    let mut server = exec(&with(&[], &["mxr-there-is-no-such-command"])).server;
    wait_until("the log says so", SOON, || server.stderr().contains("WARN there is no such command"));
    server = exec(&with(&[], &["true"])).server;
    assert_eq!(server.get("/snapshot").head.status, 503);
    assert!(!server.stderr().contains("there is no such command"), "{}", server.stderr());
}

#[test]
fn the_log_says_of_which_feed_a_command_ended_and_warns_of_a_failure_alone() {
    let ended = |command: &str, said: &str| {
        let exec = exec(&with(&["--name", "job"], &["sh", "-c", command]));
        exec.server.get("/snapshot");
        wait_until(said, SOON, || exec.server.stderr().contains(said));
    };
    ended("exit 3", "WARN the command ended with exit status 3 feed=\"job\"");
    ended("exit 0", "INFO the command ended with exit status 0 feed=\"job\"");
}

#[test]
fn a_run_that_succeeds_after_a_failure_is_no_warning_and_one_without_its_file_is() {
    let folder = Folder::new();
    let file = folder.file("o.txt").display().to_string();
    let exec = exec(&with(&["--every", "0.1", "--always", "--output", &file], &["test", "-e", &file]));
    let says = |said: &str| wait_until(said, SOON, || exec.server.stderr().contains(said));
    says("WARN the command ended with exit status 1");
    folder.put("o.txt", "there");
    says("INFO the command ended with exit status 0");
    drop(exec);
    let exec = self::exec(&with(&["--every", "0.1", "--always", "--output", "mxr-there-is-none"], &["true"]));
    wait_until("it warns of the file", SOON, || {
        exec.server.stderr().contains("WARN there is no mxr-there-is-none that can be read")
    });
}
