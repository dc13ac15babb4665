//! The interface of `mxr` to a shell: output, messages and exit codes.

use std::{
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{Folder, RED, SOON, Server, mxr, noise, png, tool, wait_until};

fn watched(bytes: Vec<u8>) -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.png", bytes);
    let server = mxr(["watch"]).arg(folder.file("a.png")).start();
    (folder, server)
}

#[test]
fn a_wrong_flag_is_a_usage_error_that_names_it() {
    for (args, named) in [
        (&["serve", "--nonsense"][..], "--nonsense"),
        (&["serve", "--port", "many"], "many"),
        (&["serve", "--port", "70000"], "70000"),
        (&["nonsense"], "nonsense"),
        (&["watch"], "PATH"),
        (&["serve", "--fps", "x"], "x"),
        (&["serve", "--demo", "DIR"], "the demo has its own frames"),
        (&["serve", "--fps", "5"], "no DIR"),
        (&["serve", "--demo", "-r", "5"], "no DIR"),
        (&["serve", "--unix", "socket", "--port", "1"], "--port with --unix"),
        (&["serve", "--unix", "socket", "--host", "::1"], "--host with --unix"),
        (&["serve", "--unix", "socket", "--open"], "--open with --unix"),
        (&["serve", "--unix", "socket", "--qr"], "--qr with --unix"),
        (&["serve", "--unix-mode", "666"], "no Unix socket"),
        (&["serve", "--auth", "a:b", "--public"], "lets in everybody"),
        (&["serve", "--token", "T0ken", "--public"], "lets in everybody"),
        (&["watch", "Cargo.toml", "--glob", "*.toml"], "--glob"),
        (&["stdin", "--split", "jpg"], "hint: that is --split jpeg"),
        (&["stdin", "--split", "foo"], "auto, lines, nul, blank, jpeg, png and multipart"),
        (&["serve", "--route-prefix", "cam/"], "begins with '/'"),
        (&["serve", "--boundary", "a b"], "boundary"),
        (&["serve", ".", "--fps", "0"], "fps"),
        (&["watch", ".", "--max-fps", "1e-19"], "max-fps"),
        (&["serve", ".", "--glob", "[a"], "[a"),
        (&["stdin", "--type", "text"], "text"),
        (&["completions", "tcsh"], "tcsh"),
        (&["serve", ".", "--fps", "x"], "'x' for '--fps <N>': it must be a number, such as 10 or 0.5"),
        (&["stdin", "--window", "-3"], "'-3' for '--window <N>': it must be a whole number"),
        (&["serve", "--max-viewers", "many"], "it must be a whole number"),
        (&["serve", "--port", "many"], "a port is a number from 0 to 65535"),
        (&["serve", "--unix", "x", "--unix-mode", "999"], "a mode is octal"),
        (&["serve", "--stall-timeout", "0"], "cannot use --stall-timeout 0s: less than 100ms"),
    ] {
        mxr(args).run().usage_error().stderr(named);
    }
}

#[test]
fn a_file_in_the_wrong_place_causes_a_hint_with_the_right_one() {
    let folder = Folder::new();
    for name in ["a.png", "b.png", "a.log"] {
        folder.put(name, "");
    }
    std::fs::create_dir(folder.file("frames")).unwrap();
    for (args, tip) in [
        (&["a.png"][..], "'mxr watch a.png' pushes what changes"),
        (&["frames"], "'mxr serve frames' replays"),
        (&["stdin", "a.log"], "'mxr watch a.log' pushes that file"),
        (&["serve", "a.png", "b.png"], "'mxr watch' takes several files"),
        (&["doctor", "a.png", "b.png"], "'mxr doctor' looks at one feed or file at a time"),
        (&["watch", "--token", "a.png"], "'--token' took a.png"),
    ] {
        let output = mxr(args).current_dir(&folder.path()).run().usage_error().stderr;
        let tips: Vec<&str> = output.lines().filter(|line| line.contains("tip: ")).collect();
        assert!(tips.len() == 1 && tips[0].contains(tip), "{args:?}: {output}");
    }
    for args in [&["nothing.png"][..], &["stdin", "nothing.log"], &["watch", "--token", "nothing.png"]] {
        mxr(args).current_dir(&folder.path()).run().usage_error().no_stderr("tip: ");
    }
}

#[test]
fn a_value_out_of_range_is_told_its_range() {
    for (args, output) in [
        (&["serve", "--demo", "--port", "99999"][..], "a port is a number from 0 to 65535"),
        (&["serve", ".", "--fps", "2000"], "from one part a day to 1000 parts a second"),
        (&["watch", "Cargo.toml", "--window", "3"], "none of the paths is a log"),
    ] {
        mxr(args).run().usage_error().stderr(output);
    }
}

#[test]
fn a_negative_number_is_parsed_as_a_number() {
    for (args, output) in [
        (&["serve", "--keepalive", "-1"][..], "it must be a number of seconds"),
        (&["watch", ".", "--max-fps", "-0.5"], "from one part a day to 1000 parts a second"),
        (&["serve", "-p", "-1"], "a port is a number from 0 to 65535"),
    ] {
        mxr(args).run().usage_error().stderr(output).no_stderr("tip: ");
    }
}

#[test]
fn a_time_takes_a_unit_and_a_size_a_letter_as_an_option_and_as_a_variable() {
    let keepalive = |server: Server| server.state()["keepalive"].as_f64();
    for (value, seconds) in [("500ms", 0.5), ("2s", 2.0), ("1m", 60.0), ("1h", 3600.0), ("7", 7.0), ("1.5", 1.5)] {
        assert_eq!(keepalive(mxr(["serve", "--demo", "--keepalive", value]).start()), Some(seconds), "{value}");
        assert_eq!(keepalive(mxr(["serve", "--demo"]).env("MXR_KEEPALIVE", value).start()), Some(seconds), "{value}");
    }
    let watched = ["watch", "Cargo.toml", "--settle", "1s", "--poll=2s", "--stall-timeout", "1m", "--max-part", "1K"];
    mxr(watched).start().stop().success();
    for (args, named) in [
        (
            &["serve", "--keepalive", "5x"][..],
            "'5x' for '--keepalive <TIME>': it must be a number of seconds, or a time such as 500ms",
        ),
        (&["serve", "--stall-timeout", "1M"], "--stall-timeout <TIME>"),
        (&["watch", ".", "--settle", "-1"], "it must be a number of milliseconds"),
        (&["watch", ".", "--poll=fast"], "it must be a number of milliseconds"),
        (&["serve", "--max-part", "many"], "a size looks like 512K, 64M or 1G"),
        (&["serve", "--max-part", "1"], "cannot use --max-part 1 B: it must be from 1K to 4G"),
    ] {
        mxr(args).run().usage_error().stderr(named);
    }
    mxr(["serve", "--demo"]).env("MXR_KEEPALIVE", "5x").run().usage_error().stderr("'5x' for 'MXR_KEEPALIVE': it must be");
}

#[test]
fn the_only_feed_has_the_name_that_the_user_gives_it() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    folder.put("b.png", png(RED));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (one, two, dir) = (path(&folder.file("a.png")), path(&folder.file("b.png")), path(&folder.path()));
    for args in
        [&["watch", &one][..], &["watch", &dir], &["serve", &dir], &["serve", "--demo"], &["serve", "--once", &dir], &["stdin"]]
    {
        let server = mxr(args).args(["--name", "Küche/1 %"]).start();
        assert_eq!(server.state()["feeds"][0]["name"], "Küche/1 %", "{args:?}");
        assert_eq!(server.get("/stream/K").head.status, 404, "{args:?}");
        assert_eq!(server.request("HEAD", "/stream/K%C3%BCche%2F1%20%25", &[]).head.status, 200, "{args:?}");
        let server = mxr(args).env("MXR_NAME", "door").start();
        assert_eq!(server.state()["feeds"][0]["name"], "door", "{args:?}");
    }
    let feeds = mxr(["watch", &one, &two]).env("MXR_NAME", "door").start().state()["feeds"].clone();
    assert_eq!(
        (&feeds[0]["name"], &feeds[1]["name"]),
        (&"a.png".into(), &"b.png".into()),
        "a variable is for commands that can use it"
    );
    mxr(["watch", &one, &two, "--name", "door"]).run().usage_error().stderr("cannot use --name with several paths");
    for (name, why) in [
        ("", "it is empty"),
        (" ", "it is empty"),
        ("/", "a browser would change"),
        ("a/../b", "a browser would change"),
        ("..", "a browser would change"),
        ("a\nb", "control characters"),
        (&"x".repeat(201), "longer than 200 bytes"),
    ] {
        mxr(["stdin", "--name", name]).run().usage_error().stderr("mxr: cannot use --name").stderr(why);
    }
}

#[test]
fn no_command_at_all_shows_the_usage() {
    mxr::<&str>([]).run().usage_error().stderr("Usage:");
}

#[test]
fn help_and_version_exit_with_success() {
    for (args, output) in [
        (&["--version"][..], concat!("mxr ", env!("CARGO_PKG_VERSION"))),
        (&["--help"], "/snapshot"),
        (&["serve", "--help"], "MXR_PORT"),
        (&["completions", "bash"], "complete"),
    ] {
        mxr(args).run().success().stdout(output);
    }
}

#[test]
fn a_failure_names_the_action_and_the_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for failure in [
        mxr(["serve", "--demo", "--port", &port]).run().failure().stderr(&port).stderr("\nhint: "),
        mxr(["serve", "/nowhere/at/all", "--port", "0"]).run().failure().stderr("/nowhere/at/all"),
    ] {
        let line = failure.stderr.lines().find(|line| line.starts_with("mxr: cannot ")).expect(&failure.stderr);
        assert!(line.matches(": ").count() >= 2, "no cause: {line}");
    }
}

#[test]
fn standard_output_contains_only_the_urls() {
    let (folder, server) = watched(png(RED));
    let url = server.url("/");
    server.view("/stream").part();
    folder.put("a.png", "not a picture at all");
    server.get("/snapshot");
    // No colours in a log that is not a terminal.
    assert_eq!(server.stop().no_stderr("\u{1b}").printed(), format!("{url}\n"));
}

#[test]
fn the_url_is_printed_once_connections_are_accepted() {
    for _ in 0..10 {
        assert_eq!(mxr(["serve", "--demo"]).start().get("/healthz").head.status, 200);
    }
}

#[test]
fn flags_have_environment_variables() {
    let folder = Folder::new();
    folder.put("a.txt", "hello");
    let server = mxr(["watch"]).arg(folder.file("a.txt")).env("MXR_BOUNDARY", "from-env").env("MXR_TYPE", "text/x-env").start();
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.boundary, "from-env");
    assert_eq!(viewer.part().header("Content-Type"), "text/x-env");
    mxr(["serve", "--demo"]).env("MXR_PORT", "many").run().usage_error();
}

#[test]
fn a_variable_that_this_command_does_not_use_is_no_error() {
    let folder = Folder::new();
    let path = folder.file("mxr.sock");
    let by_path = mxr(["serve", "--demo", "--unix"]).arg(&path).env("MXR_PORT", "1").env("MXR_HOST", "::1");
    let server = by_path
        .env("MXR_UNIX_MODE", "600")
        .env("MXR_GLOB", "*")
        .env("MXR_ONCE", "1")
        .env("MXR_QR", "1")
        .env("MXR_FPS", "5")
        .spawn()
        .listening();
    assert_eq!(String::from_utf8(server.stdout()).unwrap(), format!("unix:{}\n", path.display()));
    mxr(["serve", "--demo", "--port", "1"]).env("MXR_UNIX", "socket").run().usage_error();
}

#[test]
fn a_switch_variable_accepts_only_yes_or_no() {
    let reply = |value: &str| {
        let server = mxr(["serve", "--demo", "--host", "0.0.0.0"]).env("MXR_PUBLIC", value).start();
        server.get("/state").head.status
    };
    for (value, status) in [("1", 200), ("Yes", 200), ("TRUE", 200), ("on", 200), ("0", 401), ("No", 401), ("off", 401), ("", 401)]
    {
        assert_eq!(reply(value), status, "{value:?}");
    }
    for value in ["nope", "flase", "2", "public"] {
        let server = mxr(["serve", "--demo", "--port", "0", "--host", "0.0.0.0"]).env("MXR_PUBLIC", value);
        server.run().usage_error().stderr("MXR_PUBLIC").stderr(value);
    }
}

#[test]
fn a_mistake_in_a_variable_is_reported_with_its_name() {
    for (variable, value) in [("MXR_PORT", "abc"), ("MXR_MAX_PART", "much"), ("MXR_LOG_FORMAT", "xml"), ("MXR_VERBOSE", "x")] {
        let named = format!("'{value}' for '{variable}'");
        mxr(["serve", "--demo"]).env(variable, value).run().usage_error().stderr(&named).no_stderr("--port");
    }
    mxr(["serve", "--demo", "--port", "many"]).env("MXR_PORT", "abc").run().usage_error().stderr("'many' for '--port");
    let unknown = mxr(["serve", "--demo"]).env("MXR_PROT", "1").env("MXR_QQQ", "1").env("MXR_SETTLE", "5").start();
    let warnings: Vec<String> = unknown.stop().stderr.lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let is_told = |words: &[&str]| warnings.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_told(&["MXR_PROT", "did you mean MXR_PORT?"]) && is_told(&["unknown variable ", "MXR_QQQ"]), "{warnings:?}");
}

#[test]
fn another_loopback_address_can_be_chosen() {
    let server = mxr(["serve", "--demo", "--host", "127.0.0.2"]).start();
    assert!(server.host.starts_with("127.0.0.2:"));
    assert_eq!(server.get("/healthz").head.status, 200);
}

#[test]
fn the_loopback_of_ipv6_is_printed_in_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let server = mxr(["serve", "--demo", "--host", "::1"]).start();
    assert!(server.host.starts_with("[::1]:"), "{}", server.host);
    assert_eq!(server.get("/healthz").head.status, 200);
}

#[test]
fn a_signal_ends_it_cleanly_with_viewers_connected() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_folder, server) = watched(png(RED));
        let mut viewers: Vec<_> = (0..20).map(|_| server.view("/stream")).collect();
        for viewer in &mut viewers {
            viewer.part();
        }
        let start = Instant::now();
        server.signal(signal);
        for viewer in &mut viewers {
            viewer.part();
            viewer.expect_end();
        }
        server.finish().success();
        assert!(start.elapsed() < SOON / 2, "{:?} for {signal:?}", start.elapsed());
    }
}

#[test]
fn a_stalled_viewer_does_not_delay_the_shutdown() {
    let (_folder, server) = watched(noise(10_000_000, 1));
    let _stalled: Vec<_> = (0..5).map(|_| server.view_narrowly("/stream")).collect();
    let _silent = TcpStream::connect(&server.host).unwrap();
    server.wait_for_viewers(5);
    server.terminate();
    server.finish_within(Duration::from_secs(2)).success();
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let (_folder, server) = watched(noise(10_000_000, 1));
    let _stalled = server.view_narrowly("/stream");
    let mut reader = server.view("/stream");
    reader.part();
    server.wait_for_viewers(2);
    server.signal(Signal::INT);
    // The first signal has arrived when the feed ends; the stalled viewer still delays the end of the program.
    reader.part();
    reader.expect_end();
    server.signal(Signal::INT);
    server.finish_within(Duration::from_secs(1)).code(130);
}

#[test]
fn the_qr_code_on_the_terminal_contains_the_url_for_other_machines() {
    let server = mxr(["serve", "--demo", "--host", "0.0.0.0", "--public", "--qr"]).start();
    wait_until("the code is drawn", SOON, || server.stderr().lines().last().is_some_and(|line| line.starts_with("http")));
    let finished = server.stop();
    let stdout = String::from_utf8(finished.stdout).unwrap();
    let url = stdout.lines().last().unwrap();
    assert!(finished.stderr.contains(url));
    // On a dark terminal a block is light, and each line of text contains two rows of modules.
    let lines = finished.stderr.lines().filter(|line| line.contains('█'));
    let rows: Vec<Vec<bool>> =
        lines.flat_map(|line| ["█▀", "█▄"].map(|light| line.chars().map(|block| !light.contains(block)).collect())).collect();
    let code = qrcode::QrCode::new(url).unwrap();
    let (width, quiet) = (code.width(), 4);
    let drawn: Vec<bool> = rows[quiet..quiet + width].iter().flat_map(|row| row[quiet..quiet + width].to_vec()).collect();
    let expected: Vec<bool> = code.to_colors().into_iter().map(|colour| colour == qrcode::Color::Dark).collect();
    assert_eq!(drawn, expected);
    assert!(rows[..quiet].iter().flatten().all(|dark| !dark), "a light border, without which cameras find nothing");
}

#[test]
fn the_log_can_be_json() {
    let server = mxr(["serve", "--demo", "--log-format", "json", "-v"]).start();
    server.view("/stream").part();
    let stderr = server.stop().stderr;
    assert!(!stderr.is_empty());
    for line in stderr.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn an_unread_standard_error_delays_nobody() {
    let folder = Folder::new();
    folder.put("a.txt", "text");
    let unread = std::io::pipe().unwrap();
    let server = mxr(["watch", "-vv"]).arg(folder.file("a.txt")).stderr(unread.1).start();
    // Each request is a line or more of log: several times what a pipe holds.
    for _ in 0..3000 {
        assert_eq!(server.get("/healthz").head.status, 200);
    }
    server.terminate();
    server.finish_within(Duration::from_secs(5)).success();
    drop(unread.0);
}

#[test]
fn file_names_are_escaped_in_logs_errors_and_hints() {
    const NAME: &str = "e\x1b]0;pwn\x07\x1b[31mred\nFORGED \u{9b}1m";
    const SHOWN: &str = r"e\u{1b}]0;pwn\u{7}\u{1b}[31mred\nFORGED \u{9b}1m";
    let folder = Folder::new();
    folder.write(NAME, "");
    folder.write("plain name.png", "");
    let is_text = |output: &str| output.contains(SHOWN) && !output.contains(|letter: char| letter.is_control() && letter != '\n');
    let server = mxr(["serve"]).arg(folder.path()).start();
    wait_until("both are left out", SOON, || server.stderr().matches("left out").count() == 2);
    let output = server.stderr();
    assert!(is_text(&output) && !output.contains("\nFORGED"), "{output:?}");
    assert!(output.contains(&format!("frame={}\n", folder.file("plain name.png").display())), "{output:?}");
    let output = mxr(["serve", "--port", "0"]).arg(folder.file(NAME)).run().stderr;
    assert!(is_text(&output) && output.starts_with("mxr: cannot serve "), "{output:?}");
    let server = mxr(["watch"]).arg(folder.file(NAME)).start();
    let output = server.get("/stream/x").text();
    assert!(is_text(&output) && output.contains("hint: there is e"), "{output:?}");
}

#[test]
fn the_log_has_colours_on_a_terminal() {
    let Some(script) = tool(&["script"]) else { return };
    let folder = Folder::new();
    folder.write("\x1b[31m.png", "");
    let log = |args: &[(&str, &str)]| {
        let server = mxr(["serve", "--port", "0"]).arg(folder.path());
        let server = args.iter().fold(server, |server, (name, value)| server.env(name, value)).in_terminal(&script).spawn();
        let output = || String::from_utf8_lossy(&server.stdout()).into_owned();
        wait_until("it is left out", SOON, || output().contains(r"\u{1b}[31m.png"));
        output()
    };
    let colourful = log(&[]);
    assert!(colourful.contains("\x1b[3mframe\x1b[0m\x1b[2m=\x1b[0m/"), "{colourful:?}");
    let plain = log(&[("NO_COLOR", "1")]);
    assert!(plain.contains(" frame=/") && !plain.contains("\x1b[3m"), "{plain:?}");
}

#[test]
fn an_address_may_be_written_as_in_a_url() {
    for (address, host) in [("LOCALHOST", "127.0.0.1:"), ("[::1]", "[::1]:")] {
        let server = mxr(["serve", "--demo", "--host", address]).start();
        assert!(server.host.starts_with(host), "{}", server.host);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_port_in_use_names_the_program_that_has_it_and_another_port() {
    let first = mxr(["serve", "--demo"]).start();
    let port = first.port();
    let run = mxr(["serve", "--demo", "--port", &port.to_string()]).run();
    run.failure()
        .stderr(&format!("mxr (process {}) has it", first.pid()))
        .stderr(&format!("--port {}", port.checked_add(1).unwrap_or(0)));
}
