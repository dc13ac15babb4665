//! The processes of a command: nothing of them is left behind, however they and mxr end, and they are started with nothing of ours.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{ExecServer, Folder, SOON, exec, exec_by, mxr, printed_by, skip, tool, wait_for, wait_until};

fn shell(options: &[&str], script: &str) -> ExecServer {
    exec(&[options, &["--", "sh", "-c", script]].concat())
}

/// Starts it, and waits for its first line.
fn watched(options: &[&str], script: &str) -> ExecServer {
    let exec = shell(&[&["--always"], options].concat(), script);
    assert_eq!(exec.server.view("/stream").part().text(), "ready");
    exec
}

#[test]
fn a_pipeline_ends_as_a_whole() {
    let exec = shell(&["--linger", "0"], "echo ready; sleep 300 | cat; :");
    drop(exec.server.view("/stream").part());
    exec.expect_nothing_left_within(SOON);
}

#[test]
fn nothing_is_left_of_any_command_however_mxr_ends() {
    for script in [
        "echo ready; sleep 300 | cat; :",
        "(setsid sh -c 'sleep 300 & sleep 300' &) ; echo ready; sleep 300; :",
        "trap '' TERM INT HUP; echo ready; while :; do sleep 1; done",
        "echo ready; exec >&- 2>&-; sleep 300; :",
        "echo ready; yes | head -c 100000000 >/dev/null; exec cat /dev/zero",
        "echo ready; kill -STOP $$; :",
    ] {
        for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
            let code = watched(&["--kill-after", "0.5"], script).end_with(signal, SOON);
            assert_eq!(code, (signal != Signal::KILL).then_some(0), "{script}");
        }
    }
}

#[test]
fn a_command_that_writes_without_a_pause_is_stopped_all_the_same() {
    for options in [&[][..], &["--pty"], &["--screen"], &["--stderr", "feed"]] {
        let left = shell(&[&["--linger", "0", "--kill-after", "0.5"], options].concat(), "yes & yes >&2");
        drop(left.server.view("/stream").part());
        left.expect_nothing_left_within(SOON);
        let ended = shell(&[&["--always"], options].concat(), "yes & yes >&2");
        drop(ended.server.view("/stream").part());
        assert_eq!(ended.end_with(Signal::TERM, SOON), Some(0), "{options:?}");
    }
}

#[test]
fn a_guard_that_is_killed_takes_its_command_along() {
    let exec = watched(&[], "echo ready; sleep 300 | cat; :");
    let guard = exec.processes().into_iter().find(|(_, line)| line == "mxr @guard").unwrap().0;
    kill_process(Pid::from_raw(guard).unwrap(), Signal::KILL).unwrap();
    exec.expect_nothing_left_within(SOON);
    wait_until("it is said", SOON, || exec.server.get("/state").text().contains("the guard of the command was killed"));
}

#[test]
fn nothing_is_left_when_mxr_is_killed_while_it_starts_a_command() {
    for micros in 0..25 {
        let exec = shell(&[], "sleep 300 | cat; :");
        let mut connection = crate::support::Connection::open(&exec.server.host);
        connection.send(format!("GET /stream HTTP/1.1\r\nHost: {}\r\n\r\n", exec.server.host));
        std::thread::sleep(Duration::from_micros(micros * 200));
        assert_eq!(exec.end_with(Signal::KILL, SOON), None);
    }
}

#[test]
fn a_hundred_viewers_that_come_and_go_at_once_leave_nothing() {
    let exec = shell(&["--linger", "0", "--kill-after", "1"], "echo ready; exec sleep 300");
    let before = exec.server.open_files();
    for _ in 0..100 {
        let mut connection = crate::support::Connection::open(&exec.server.host);
        connection.send(format!("GET /stream HTTP/1.1\r\nHost: {}\r\n\r\n", exec.server.host));
        drop(connection);
        assert!(exec.commands().len() <= 1, "{:?}", exec.commands());
    }
    exec.server.wait_for_viewers(0);
    exec.expect_nothing_left_within(SOON);
    wait_until("its descriptors are closed", SOON, || exec.server.open_files() <= before + 1);
    assert_eq!((exec.zombies(), exec.server.get("/healthz").head.status), (0, 200));
}

#[test]
fn a_command_has_time_to_let_go_of_what_it_holds() {
    let folder = Folder::new();
    let file = folder.file("let-go").display().to_string();
    for script in [
        "trap 'sleep 1; touch \"$0\"; exit' TERM; echo ready; while :; do sleep 0.1; done",
        // The shell of a pipeline ends at once, and what it started has as much time.
        "sh -c 'trap \"sleep 1; touch $0; exit\" TERM; echo ready; while :; do sleep 0.1; done' \"$0\" | cat",
        "trap 'touch \"$0\"; exit' TERM; echo ready; kill -STOP $$; :",
    ] {
        let exec = exec(&["--always", "--", "sh", "-c", script, &file]);
        assert_eq!(exec.server.view("/stream").part().text(), "ready");
        assert_eq!(exec.end_with(Signal::TERM, SOON), Some(0));
        assert!(fs::exists(&file).unwrap(), "{script}");
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn no_time_to_end_is_a_kill_at_once() {
    let exec = watched(&["--kill-after", "0"], "trap '' TERM; echo ready; while :; do sleep 0.1; done");
    assert_eq!(exec.end_with(Signal::TERM, SOON), Some(0));
}

#[test]
fn a_second_ctrl_c_leaves_nothing_either() {
    let exec = watched(&["--kill-after", "60"], "trap '' TERM INT; echo ready; while :; do sleep 0.1; done");
    exec.server.signal(Signal::INT);
    wait_until("it ends", SOON, || {
        exec.server.stderr().contains("Ctrl-C") || std::net::TcpStream::connect(&exec.server.host).is_err()
    });
    assert_eq!(exec.end_with(Signal::INT, SOON), Some(130));
}

#[test]
fn an_interactive_shell_ends_with_its_terminal() {
    let Some(bash) = tool(&["bash"]) else { return };
    let exec = exec(&["--linger", "0", "--kill-after", "60", "--pty", "--", bash.to_str().unwrap(), "--norc", "-i"]);
    let viewer = exec.server.view("/stream");
    wait_until("it runs", SOON, || exec.commands().len() == 1);
    drop(viewer);
    exec.expect_nothing_left_within(SOON);
}

#[test]
fn orphans_of_a_command_are_reaped_while_it_runs() {
    let Some(unshare) = tool(&["unshare"]) else { return };
    if !Command::new(&unshare).args(["-pf", "--mount-proc", "true"]).stderr(Stdio::null()).status().unwrap().success() {
        return skip("this user may not make a PID namespace");
    }
    let script = "for i in $(seq 50); do (true &) ; done; sleep 0.5; echo ready; exec sleep 300";
    let line = mxr(["exec", "--always", "--", "sh", "-c", script]);
    let exec = exec_by(line.wrapped(unshare, &["-pf", "--mount-proc"]));
    assert_eq!(exec.server.view("/stream").part().text(), "ready");
    let mine = exec.processes();
    let zombies = || {
        let parents: Vec<_> = mine.iter().map(|(pid, _)| format!("PPid:\t{pid}")).collect();
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path().join("status")).ok());
        all.filter(|status| status.contains("State:\tZ") && status.lines().any(|line| parents.iter().any(|own| own == line)))
            .count()
    };
    wait_until("there are no zombies", Duration::from_secs(2), || zombies() == 0);
}

#[test]
fn a_command_runs_where_there_is_no_proc_and_nothing_is_left_of_it() {
    let Some(unshare) = tool(&["unshare"]) else { return };
    let without = ["-m", "sh", "-c", "umount -l /proc && exec \"$0\" \"$@\""];
    if !Command::new(&unshare).args(without).arg("true").stderr(Stdio::null()).status().unwrap().success() {
        return skip("this user may not unmount /proc");
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let line = mxr(["exec", "--always", "--kill-after", "0.5", "--", "sh", "-c", "echo ready; sleep 300 | cat; :"]);
        let exec = exec_by(line.wrapped(&unshare, &without));
        assert_eq!(exec.server.view("/stream").part().text(), "ready");
        assert_eq!(exec.end_with(signal, SOON), (signal == Signal::TERM).then_some(0));
    }
}

#[test]
fn a_command_sees_three_descriptors_and_nothing_of_ours_in_its_environment() {
    let script = "ls /proc/self/fd | tr '\\n' ' '; echo; readlink /proc/self/fd/0; env | grep -cE '^(MXR|LISTEN|NOTIFY)'; ulimit -n; \
                  test $(ps -o sid= -p $$) = $$ && echo session; exec sleep 300";
    let folder = Folder::new();
    let held = fs::File::create(folder.file("held")).unwrap();
    rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty()).unwrap();
    let line = mxr(["exec", "--always", "--token", "secret", "--", "sh", "-c", script]);
    let line = line.env("MXR_TOKEN", "secret").env("MXR_AUTH", "a:b").env("NOTIFY_SOCKET", "/nowhere").env("LISTEN_FDNAMES", "x");
    let exec = exec_by(line);
    let limit = printed_by(Command::new("sh").args(["-c", "ulimit -n"]));
    let mut viewer = exec.server.view("/stream?history=10&token=secret");
    let texts: Vec<_> = (0..5).map(|_| viewer.part().text()).collect();
    // The fourth descriptor is that of ls itself.
    assert_eq!(texts, ["0 1 2 3 ", "/dev/null", "0", String::from_utf8(limit).unwrap().trim(), "session"]);
}

#[test]
fn a_command_ignores_and_blocks_no_signal() {
    for options in [&["--always"][..], &["--always", "--pty"]] {
        let script = "grep -E 'Sig(Ign|Blk)' /proc/self/status; exec sleep 300";
        // A shell starts it, which ignores signals for what it starts in the background.
        let shell = tool(&["bash"]).unwrap();
        let line = mxr([&["exec"], options, &["--", "sh", "-c", script]].concat());
        let exec = exec_by(line.wrapped(shell, &["-c", "trap '' INT QUIT USR1; \"$@\"; exit $?", "bash"]));
        let mut viewer = exec.server.view("/stream?history=10");
        for _ in 0..2 {
            let text = viewer.part().text();
            // Two signals of the C library are ignored where a test starts the shell by posix_spawn(3).
            let mask = u64::from_str_radix(text.split_whitespace().nth(1).unwrap(), 16).unwrap();
            assert_eq!(mask & 0x7fff_ffff, 0, "{text}");
        }
    }
}

#[test]
fn an_output_without_end_takes_no_memory_and_holds_up_no_reply() {
    for options in [&["--always"][..], &["--always", "--pty"]] {
        let exec = exec(&[options, &["--history", "100", "--", "yes"]].concat());
        wait_until("it runs", SOON, || exec.server.state()["feeds"][0]["published"].as_u64() > Some(100_000));
        let before = exec.server.memory_at_most();
        let published = exec.server.state()["feeds"][0]["published"].as_u64().unwrap();
        wait_until("it goes on", SOON, || {
            assert_eq!(exec.server.get("/healthz").head.status, 200);
            exec.server.state()["feeds"][0]["published"].as_u64() > Some(published + 100_000)
        });
        assert!(exec.server.memory_at_most() < before + (32 << 20), "{} then {}", before, exec.server.memory_at_most());
    }
}

#[test]
fn a_terminal_that_closes_ends_mxr_and_the_command() {
    let Some(script) = tool(&["script"]) else { return };
    let mut line = Command::new(script);
    // No other run of the tests has this number.
    let number = format!("304.{}", std::process::id());
    let program = format!("'{}' exec --port 0 --always -- sleep {number}", env!("CARGO_BIN_EXE_mxr"));
    let mut terminal = line.args(["-qec", &program, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = [0; 200];
    let read = terminal.stdout.as_mut().unwrap().read(&mut output).unwrap();
    assert!(read > 0);
    let runs = || {
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok());
        all.filter(|line| *line == format!("sleep\0{number}\0").as_bytes()).count()
    };
    wait_until("it runs", SOON, || runs() == 1);
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    wait_for("it has ended", SOON, || (runs() == 0).then_some(()));
}
