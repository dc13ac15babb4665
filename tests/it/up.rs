//! `mxr up`: several feeds of any kind in one process, as a file says, which is read again at SIGHUP.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{BLUE, Browser, Finished, Folder, GREEN, Kind, Mxr, RED, SOON, Server, mxr, near, png, tool, wait_until};

/// `mxr up` of this text.
fn up(folder: &Folder, text: &str) -> Mxr {
    folder.put("mxr.toml", text);
    mxr(["up"]).current_dir(&folder.path())
}

/// The result of checking it.
fn checked(folder: &Folder, text: &str) -> Finished {
    up(folder, text).arg("--check").run()
}

fn names(server: &Server) -> Vec<String> {
    let state = server.state();
    state["feeds"].as_array().unwrap().iter().map(|feed| feed["name"].as_str().unwrap().to_owned()).collect()
}

/// Has the file read again, and waits until the log says so.
fn read_again(server: &Server, folder: &Folder, text: &str, said: &str) {
    let before = server.stderr().matches(said).count();
    folder.put("mxr.toml", text);
    server.signal(Signal::HUP);
    wait_until(said, SOON, || server.stderr().matches(said).count() > before);
}

const READ: &str = "the feeds were read again";

#[test]
fn a_table_of_each_kind_is_a_feed_on_one_port() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    folder.put("b.log", "one\ntwo\n");
    std::fs::create_dir(folder.file("frames")).unwrap();
    std::fs::write(folder.file("frames").join("1.png"), png(GREEN)).unwrap();
    let text = "
        [feed.picture]
        watch = 'a.png'
        [feed.\"Küche/1 %\"]
        watch = ['b.log']
        [feed.frames]
        serve = 'frames'
        fps = 2.5
        [feed.demo]
        demo = true
        [feed.pipe]
        stdin = true
        split = 'lines'
        [feed.run]
        exec = ['echo', '--every', '$HOME $${HOME}']
        every = '1h'
    ";
    let mut server = up(&folder, text).stdin(std::process::Stdio::piped()).start();
    assert_eq!(names(&server), ["picture", "Küche/1 %", "frames", "demo", "pipe", "run"], "in the order of the file");
    server.write("typed\n");
    assert_eq!(server.get("/snapshot/picture").body, png(RED));
    assert_eq!(server.get("/snapshot/frames?after=0").body, png(GREEN));
    assert_eq!(server.get("/snapshot/pipe?after=0").body, b"typed");
    assert_eq!(server.view("/stream/K%C3%BCche%2F1%20%25?history=2&parts=2").parts_to_end()[1].text(), "two");
    assert_eq!(server.get("/snapshot/run").body, b"--every $HOME ${HOME}\n", "no shell reads it");
    assert_eq!(server.view("/stream/demo?parts=1").parts_to_end().len(), 1);
    server.stop().success();
}

#[test]
fn each_feed_has_the_options_of_its_own_table() {
    let folder = Folder::new();
    folder.put("a.txt", "x".repeat(2000));
    let text = "
        [server]
        keepalive = '7s'
        [feed.small]
        watch = 'a.txt'
        max-part = '1K'
        [feed.large]
        watch = 'a.txt'
        type = 'text/x-large'
        history = 5
    ";
    let server = up(&folder, text).start();
    let state = server.state();
    assert_eq!(state["keepalive"], 7.0);
    assert_eq!((&state["feeds"][0]["refused"], &state["feeds"][0]["published"]), (&1.into(), &0.into()));
    assert_eq!((&state["feeds"][1]["newest"]["type"], &state["feeds"][1]["history"]), (&"text/x-large".into(), &5.into()));
    let typed = up(&folder, text).args(["--keepalive", "9s"]).start();
    assert_eq!(typed.state()["keepalive"], 9.0, "what is typed wins");
    let variable = up(&folder, text).env("MXR_HISTORY", "3").env("MXR_KEEPALIVE", "3").start().state();
    let history = [0, 1].map(|at| variable["feeds"][at]["history"].clone());
    assert_eq!(
        (history, &variable["keepalive"]),
        ([3.into(), 5.into()], &7.0.into()),
        "a variable is for what the file leaves open"
    );
}

#[test]
fn every_mistake_is_told_with_its_line_and_the_key_that_was_meant() {
    let folder = Folder::new();
    for (text, told) in [
        ("[feed.a]\nwacth = 'x'", "mxr.toml:2: 'wacth' is unknown here\nhint: a similar one exists: 'watch'"),
        ("[feed.a]\nwatch = 'x'\nmax_fps = 1", "mxr.toml:3: 'max_fps' is unknown here\nhint: a similar one exists: 'max-fps'"),
        ("[server]\nprot = 1", "mxr.toml:2: 'prot' is unknown here\nhint: a similar one exists: 'port'"),
        ("[feeds.a]\nwatch = 'x'", "mxr.toml:1: 'feeds' is unknown here\nhint: a similar one exists: 'feed'"),
        ("port = 1\n[feed.a]\nwatch = 'x'", "mxr.toml:1: 'port' is in no table\nhint: write it below [server]"),
        ("[feed.a]\nwatch = 'x'\nport = 1", "mxr.toml:3: 'port' is for the whole server\nhint: write it below [server]"),
        ("[server]\nmax-fps = 1", "mxr.toml:2: 'max-fps' is for one feed"),
        ("[feed.a]\nwatch = 'x'\nfps = 1", "mxr.toml:3: 'fps' does not go with 'watch'\nhint: it goes with 'serve'"),
        ("[feed.a]\nwatch = 'x'\nname = 'b'", "mxr.toml:3: 'name' is no key of a feed"),
        ("[feed.a]\nwatch = 'x'\nmax-fps = 'y'", "mxr.toml:3: invalid value 'y' for '--max-fps <N>': it must be a number, such as"),
        ("[feed.a]\nwatch = 'x'\nmax-fps = 0", "mxr.toml:3: --max-fps 0: the range is"),
        ("[feed.a]\nwatch = 'x'\nmax-fps = true", "mxr.toml:3: 'max-fps' takes a value, not true or false"),
        ("[feed.a]\nwatch = 'x'\nkeep-same = 1", "mxr.toml:3: 'keep-same' is true or false"),
        ("[feed.a]\nwatch = 'x'\ntype = []", "mxr.toml:3: 'type' takes one value, not a list"),
        ("[feed.a]\nwatch = 'x'\ntype = 1979-05-27", "mxr.toml:3: 'type': the value is a date"),
        ("[feed.a]\nwatch = 'x'\nglob = {}", "mxr.toml:3: 'glob': the value is a table"),
        ("[feed.a]\nmax-fps = 1", "mxr.toml:1: the feed 'a' has no source"),
        ("[feed.a]\nhub = true", "mxr.toml:2: a hub is a server of its own, not a feed"),
        ("[feed.a]\nwatch = 'x'\nstdin = true", "mxr.toml:3: 'stdin' and 'watch' are two sources"),
        ("[feed.a]\nstdin = true\n[feed.b]\nstdin = true", "mxr.toml:4: the feed 'a' reads standard input already"),
        ("[feed.a]\nstdin = false", "mxr.toml:2: a source is not false"),
        ("[feed.a]\nwatch = ['x', 'y']", "mxr.toml:2: 'watch' takes one path here"),
        ("[feed.a]\nexec = []", "mxr.toml:2: 'exec' is an empty list"),
        ("[feed.a]\nevery = 1\nexec = 'ls -la'", "mxr.toml:3: cannot run 'ls …': all of it is one word"),
        ("[feed.a]\nwatch = 'x'\n[feed.a]\nwatch = 'y'", "mxr.toml:3: 'a' is here for the second time"),
        ("[feed.'a/../b']\nwatch = 'x'", "mxr.toml:2: --name \"a/../b\""),
        ("[feed]\nwatch = 'x'", "mxr.toml:2: the feed 'watch' is no table\nhint: a feed is a table with a name"),
        ("[[feed]]\nwatch = 'x'", "mxr.toml:1: 'feed' is no table"),
        ("[server]\nport = 1", "there is no feed in it"),
        ("[server]\nunix = 'x'\nport = 1\n[feed.a]\nwatch = 'x'", "mxr.toml:3: --port with --unix: a Unix socket has a path"),
        ("[server]\nunix-mode = 0o660\n[feed.a]\nwatch = 'x'", "mxr.toml:2: 'unix-mode': write the number without 0x, 0o or 0b"),
        ("[feed.a\nwatch = 'x'", "mxr.toml:1: unclosed table"),
        ("[feed.a]\nwatch = '${NOPE}/x'", "mxr.toml:2: 'watch': the environment variable NOPE is not set"),
    ] {
        let output = checked(&folder, text).usage_error();
        let output = output.stderr(told);
        assert!(!output.stderr.contains("has no source") || told.contains("has no source"), "{text}: {}", output.stderr);
    }
    let all =
        "[server]\nthreads = 0\nstall-timeout = 0\n[feed.a]\nwatch = 'x'\nmax-fps = 0\nhistory = 0\ntail = '[x'\n[feed.b]\nx = 1";
    let output = checked(&folder, all).usage_error();
    for line in [2, 3, 6, 7, 8, 10] {
        assert!(output.stderr.contains(&format!("cannot use mxr.toml:{line}: ")), "line {line}: {}", output.stderr);
    }
    up(&folder, all).run().usage_error().stderr("mxr.toml:10");
    let valid = "[feed.a]\nwatch = 'x'";
    up(&folder, valid)
        .args(["--threads", "0"])
        .run()
        .usage_error()
        .stderr("cannot use the options of the server: --threads 0: it must");
    up(&folder, valid).env("MXR_MAX_FPS", "x").run().usage_error().stderr("invalid value 'x' for 'MXR_MAX_FPS'");
    mxr(["up", "nothing.toml"]).run().failure().stderr("cannot read nothing.toml").stderr("hint: two lines make a file");
}

#[test]
fn check_says_that_nothing_is_wrong() {
    let folder = Folder::new();
    assert_eq!(checked(&folder, "[feed.a]\nwatch = 'x'").success().printed(), "mxr.toml: no mistakes, 1 feed\n");
}

#[test]
fn the_value_of_a_variable_is_never_told() {
    let folder = Folder::new();
    folder.put("S3cret x", "part");
    let server = up(&folder, "[feed.a]\nwatch = '${SECRET} x'\n[feed.b]\nwatch = '$${SECRET}'").env("SECRET", "S3cret").start();
    assert_eq!(server.get("/snapshot/a").body, b"part");
    server.stop().success().no_stderr("S3cret");
    let text = "
        [server]
        threads = '${SECRET}'
        auth = '${SECRET}'
        token = '${SECRET} '
        allow-host = '${SECRET}/'
        [feed.a]
        watch = 'x'
        max-fps = '${SECRET}'
        type = '${SECRET}'
        glob = '[${SECRET}'
        [feed.b]
        serve = ['${SECRET}', '${SECRET}']
    ";
    for secret in ["S3cret", "S3\"cr et"] {
        let output = up(&folder, text).arg("--check").env("SECRET", secret).run().usage_error();
        let output = output.stderr("'${SECRET}' for '--max-fps <N>'").no_stderr("S3");
        assert!(output.stderr.lines().filter(|line| line.starts_with("mxr: cannot use")).count() >= 7, "{}", output.stderr);
    }
    up(&folder, "[feed.a]\nserve = '${SECRET}'")
        .env("SECRET", "S3cret")
        .run()
        .failure()
        .stderr("cannot serve ${SECRET}")
        .no_stderr("S3cret");
    // What stands in the file itself is not repeated either where it is a secret.
    let literal = "[server]\nauth = 'S3cret'\ntoken = 'S3 cret'\ntoken-file = S3cret\n[feed.a]\nstdin = 1";
    checked(&folder, literal).usage_error().no_stderr("S3");
}

/// A file with a table for each of these pairs of a name and the rest of its table.
fn tables(tables: &[(&str, &str)]) -> String {
    tables.iter().map(|(name, rest)| format!("[feed.{name}]\n{rest}\n")).collect()
}

#[test]
fn feeds_that_stay_the_same_go_on_undisturbed_while_others_change() {
    let folder = Folder::new();
    for name in ["a.log", "b.txt", "c.txt"] {
        folder.put(name, "0\n");
    }
    let (same, b) = (("same", "watch = 'a.log'"), ("b", "watch = 'b.txt'"));
    let server = up(&folder, &tables(&[same, b, ("gone", "watch = 'c.txt'")])).start();
    let mut viewer = server.view("/stream/same");
    let mut all = server.view("/streams");
    let mut gone = server.view("/stream/gone");
    assert_eq!(viewer.part().text(), "0");
    let started = names_and_since(&server, "same");
    let append = |text: &str| {
        use std::io::Write;
        let mut log = std::fs::OpenOptions::new().append(true).open(folder.file("a.log")).unwrap();
        log.write_all(text.as_bytes()).unwrap();
    };
    for round in 1..=10 {
        append(&format!("{round}\n"));
        let rest = if round % 2 == 0 { "watch = 'b.txt'" } else { "watch = 'b.txt'\ntype = 'text/x-changed'" };
        read_again(&server, &folder, &tables(&[("b", rest), ("new", "watch = 'c.txt'"), same]), READ);
        append(&format!("{round} again\n"));
    }
    for round in 1..=10 {
        assert_eq!(viewer.part().text(), format!("{round}"));
        assert_eq!(viewer.part().text(), format!("{round} again"));
    }
    assert_eq!(names_and_since(&server, "same"), started, "the same source");
    wait_until("the feeds are in the order of the file", SOON, || names(&server) == ["b", "new", "same"]);
    assert!(gone.parts_to_end().iter().all(|part| part.text() == "0\n"), "a removed feed ends");
    assert_eq!(server.get("/snapshot/gone").head.status, 404);
    wait_until("a viewer of all feeds has the new one", SOON, || all.part().header("X-Feed") == "new");
    server.stop().success();
}

fn names_and_since(server: &Server, name: &str) -> (serde_json::Value, serde_json::Value) {
    let state = server.state();
    let feed = state["feeds"].as_array().unwrap().iter().find(|feed| feed["name"] == name).unwrap().clone();
    (feed["source"]["since"].clone(), feed["viewers"].clone())
}

#[test]
fn a_changed_feed_goes_on_with_its_sequence() {
    let folder = Folder::new();
    folder.put("a.txt", "one");
    folder.put("b.txt", "two");
    let server = up(&folder, "[feed.a]\nwatch = 'a.txt'").start();
    let first = server.get("/snapshot/a");
    let (etag, sequence) = (first.head.get("ETag").unwrap().to_owned(), first.head.get("X-Sequence").unwrap().to_owned());
    read_again(&server, &folder, "[feed.a]\nwatch = 'b.txt'", READ);
    let newer = server.get(&format!("/snapshot/a?after={sequence}"));
    assert_eq!((newer.head.status, newer.body.as_slice()), (200, &b"two"[..]), "a page that asks for the next part gets it");
    let again = server.request("GET", "/snapshot/a", &[&format!("If-None-Match: {etag}")]);
    assert_eq!((again.head.status, again.body.as_slice()), (200, &b"two"[..]), "the new part is not taken for the old one");
    read_again(&server, &folder, "[feed.b]\nwatch = 'b.txt'", READ);
    read_again(&server, &folder, "[feed.a]\nwatch = 'missing.txt'", READ);
    assert_eq!(server.get("/snapshot/a").head.status, 503, "there is no part yet");
    folder.put("missing.txt", "three");
    assert_eq!(server.get("/snapshot/a?after=2").head.get("X-Sequence"), Some("3"));
    assert_eq!(server.state()["feeds"][0]["source"]["state"], "live");
}

#[test]
fn an_invalid_file_is_refused_and_the_feeds_go_on() {
    let folder = Folder::new();
    folder.put("a.txt", "one");
    let server = up(&folder, "[feed.a]\nwatch = 'a.txt'").start();
    let mut viewer = server.view("/stream/a");
    viewer.part();
    read_again(&server, &folder, "[feed.a]\nwatch = 'a.txt'\nmax_fps = 1", "is refused; the feeds go on as before");
    server.expect_log("mxr.toml:3: 'max_fps' is unknown here");
    std::fs::remove_file(folder.file("mxr.toml")).unwrap();
    server.signal(Signal::HUP);
    wait_until("the log says that the file is gone", SOON, || server.stderr().contains("cannot read mxr.toml"));
    let file = folder.file("mxr.toml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RWXU).unwrap();
    server.signal(Signal::HUP);
    wait_until("the log says that it is no file", SOON, || server.stderr().contains("it is no regular file any more"));
    folder.put("a.txt", "two");
    assert_eq!(viewer.part().text(), "two");
    server.stop().success();
}

/// The first child of a program that was started in place of mxr.
fn child_of(server: &Server) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).unwrap();
    Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap()).unwrap()
}

#[test]
fn in_a_terminal_the_file_is_read_again_until_the_terminal_is_gone() {
    let Some(script) = tool(&["script"]) else { return };
    let folder = Folder::new();
    folder.put("a.txt", "one");
    let table = |name: &str| format!("[feed.{name}]\nwatch = {:?}\n", folder.file("a.txt"));
    folder.put("mxr.toml", table("a"));
    let server = mxr(["up", "--port", "0"]).arg(folder.file("mxr.toml")).in_terminal(&script).spawn().listening();
    folder.put("mxr.toml", table("a") + &table("b"));
    kill_process(child_of(&server), Signal::HUP).unwrap();
    wait_until("the file is read again", SOON, || names(&server) == ["a", "b"]);
    let mut viewer = server.view("/stream/a");
    // The terminal disappears with its program.
    server.signal(Signal::KILL);
    assert!(!viewer.parts_to_end().is_empty());
}

#[test]
fn a_terminal_whose_shell_is_gone_ends_it_though_it_is_open() {
    let Some(script) = tool(&["script"]) else { return };
    let folder = Folder::new();
    folder.put("a.txt", "one");
    folder.put("mxr.toml", format!("[feed.a]\nwatch = {:?}\n", folder.file("a.txt")));
    let shell = mxr(["up", "--port", "0"]).arg(folder.file("mxr.toml")).wrapped("sh", &["-c", "\"$0\" \"$@\"; :"]);
    let server = shell.in_terminal(&script).spawn().listening();
    kill_process(child_of(&server), Signal::HUP).unwrap();
    wait_until("mxr has ended", SOON, || std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err());
}

#[test]
fn a_hangup_that_is_ignored_ends_nothing_though_the_terminal_is_gone() {
    let Some(script) = tool(&["script"]) else { return };
    let folder = Folder::new();
    folder.put("a.txt", "one");
    folder.put("mxr.toml", format!("[feed.\"a.txt\"]\nwatch = {:?}\n", folder.file("a.txt")));
    for args in [["up".into(), folder.file("mxr.toml")], ["watch".into(), folder.file("a.txt")]] {
        // As nohup(1) does.
        let nohup =
            mxr(["--port", "0"]).args(&args).wrapped("sh", &["-c", "trap \"\" HUP; exec \"$0\" \"$3\" \"$4\" \"$1\" \"$2\""]);
        let server = nohup.in_terminal(&script).spawn().listening();
        let mxr = child_of(&server);
        server.signal(Signal::KILL);
        let mut viewer = server.view("/stream/a.txt?parts=2");
        let _ = viewer.part();
        kill_process(mxr, Signal::HUP).unwrap();
        folder.put("a.txt", format!("then {args:?}"));
        assert!(viewer.part().text().starts_with("then"), "it goes on");
        kill_process(mxr, Signal::KILL).unwrap();
    }
}

#[test]
fn a_change_of_the_server_is_said_to_need_a_restart() {
    let folder = Folder::new();
    folder.put("a.txt", "one");
    let server = up(&folder, "[server]\nkeepalive = 3\n[feed.a]\nwatch = 'a.txt'").start();
    read_again(&server, &folder, "[server]\nkeepalive = 4\nqr = true\n[feed.a]\nwatch = 'a.txt'", READ);
    server.expect_log(r#"changed=["keepalive", "qr"]"#);
    assert_eq!(server.state()["keepalive"], 3.0);
}

#[test]
fn a_source_that_fails_ends_its_own_feed_alone() {
    let folder = Folder::new();
    folder.put("a.txt", "one");
    let text = "[feed.a]\nwatch = 'a.txt'\n[feed.b]\nserve = 'missing'";
    up(&folder, text).run().failure().stderr("cannot serve missing");
    let server = up(&folder, "[feed.a]\nwatch = 'a.txt'").start();
    read_again(&server, &folder, text, READ);
    server.expect_log("cannot serve missing");
    assert_eq!(names(&server), ["a"]);
    std::fs::create_dir(folder.file("missing")).unwrap();
    std::fs::write(Path::new(&folder.file("missing")).join("1.png"), png(RED)).unwrap();
    read_again(&server, &folder, text, READ);
    assert_eq!(server.get("/snapshot/b?after=0").body, png(RED));
}

#[test]
fn a_command_is_gone_before_the_one_that_replaces_it_starts() {
    let folder = Folder::new();
    let text = |word: &str| {
        folder
            .put("run", "trap \"sleep 0.5; echo $0 ends >> log; exit\" TERM\necho $0 starts >> log\nwhile :; do sleep 0.05; done");
        format!("[feed.a]\nalways = true\nexec = ['sh', '-c', '. ./run', '{word}']")
    };
    let log = || std::fs::read_to_string(folder.file("log")).unwrap_or_default();
    let server = up(&folder, &text("one")).start();
    wait_until("the first one runs", SOON, || log() == "one starts\n");
    read_again(&server, &folder, &text("two"), READ);
    wait_until("the second one runs", SOON, || log().ends_with("two starts\n"));
    assert_eq!(log(), "one starts\none ends\ntwo starts\n");
    read_again(&server, &folder, "[feed.b]\nwatch = 'log'", READ);
    assert!(log().ends_with("two ends\n"), "a removed one ends: {}", log());
    server.stop().success();
}

#[test]
fn standard_input_is_read_by_one_feed_until_the_end() {
    let folder = Folder::new();
    let mut server = up(&folder, "[feed.a]\nstdin = true").stdin(std::process::Stdio::piped()).start();
    server.write("one\n");
    read_again(&server, &folder, "[feed.a]\nstdin = true\nhistory = 3", "the feed of standard input changes after a restart");
    server.write("two\n");
    assert_eq!(server.view("/stream/a?history=2&parts=2").parts_to_end()[1].text(), "two");
    read_again(&server, &folder, "[feed.b]\nstdin = true", "standard input can be read only once");
    assert!(names(&server).is_empty());
    server.stop().success();
}

fn the_page_follows_a_file_that_is_read_again(kind: Kind) {
    let folder = Folder::new();
    folder.put("red.png", png(RED));
    folder.put("green.png", png(GREEN));
    folder.put("a.txt", "the first text");
    let Some(browser) = Browser::start(kind) else { return };
    let server = up(&folder, "[feed.picture]\nwatch = 'red.png'\n[feed.text]\nwatch = 'a.txt'").start();
    let is_shown = |colour| browser.screenshot().pixels().filter(|pixel| near(pixel.0, colour)).count() > 1000;
    browser.go(&server.url("/view"));
    wait_until("both feeds are shown", SOON, || is_shown(RED) && browser.text().contains("the first text"));
    read_again(&server, &folder, "[feed.picture]\nwatch = 'green.png'\n[feed.text]\nwatch = 'a.txt'", READ);
    wait_until("the replaced feed is shown", SOON, || is_shown(GREEN) && !is_shown(RED));
    folder.put("b.txt", "a text of a new feed");
    read_again(&server, &folder, "[feed.picture]\nwatch = 'green.png'\n[feed.new]\nwatch = 'b.txt'", READ);
    wait_until("the new feed is shown", SOON, || browser.text().contains("a text of a new feed"));
    folder.put("green.png", png(BLUE));
    wait_until("the feed that stayed goes on", SOON, || is_shown(BLUE));
}

#[test]
fn the_page_in_chromium_follows_a_file_that_is_read_again() {
    the_page_follows_a_file_that_is_read_again(Kind::Chromium);
}

#[test]
fn the_page_in_firefox_follows_a_file_that_is_read_again() {
    the_page_follows_a_file_that_is_read_again(Kind::Firefox);
}

fn a_page_of_several_feeds_tells_how_one_of_them_ends(kind: Kind) {
    let folder = Folder::new();
    let text = "
        [feed.goes-on]
        exec = ['sh', '-c', 'while :; do echo goes on; sleep 0.2; done']
        [feed.ends]
        exec = ['sh', '-c', 'echo begun; sleep 1; exit 3']
        [feed.never]
        exec = ['mxr-there-is-no-such-command']
        [feed.again]
        exec = ['sh', '-c', 'exit 4']
        restart = 'always'
    ";
    let server = up(&folder, text).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    for reason in [
        "the command ended with exit status 3",
        "the command ended with exit status 127 (command not found)",
        "the command ended with exit status 4, and is started again",
        "goes on",
    ] {
        wait_until(&format!("the page says {reason:?}"), SOON, || browser.text().contains(reason));
    }
}

#[test]
fn a_page_of_several_feeds_tells_how_one_of_them_ends_in_chromium() {
    a_page_of_several_feeds_tells_how_one_of_them_ends(Kind::Chromium);
}

#[test]
fn a_page_of_several_feeds_tells_how_one_of_them_ends_in_firefox() {
    a_page_of_several_feeds_tells_how_one_of_them_ends(Kind::Firefox);
}
