//! Hooks: the user's commands that run when a feed becomes stale and when it is live again.

use std::{fs, path::Path};

use crate::support::{A_WHILE, Folder, SOON, Server, mxr, wait_for, wait_until};

/// A line for each run of a hook, with what it is told.
const NOTE: &str = r#"echo "$MXR_FEED|$MXR_AGE|$MXR_REASON" >> "#;

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn wait_for_lines(path: &Path, count: usize) -> Vec<String> {
    wait_for(&format!("{} has {count} lines", path.display()), SOON, || Some(lines(path)).filter(|lines| lines.len() >= count))
}

/// `mxr watch a.txt` with these hooks.
fn watched(folder: &Folder, stale: &str, live: &str) -> Server {
    folder.put("a.txt", "one");
    let server = mxr(["watch", "a.txt", "--stale-after", "200ms", "--on-stale", stale, "--on-live", live]);
    server.current_dir(&folder.path()).start()
}

/// The processes whose command line contains this text.
fn processes(text: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let is_meant = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
    };
    all.filter(is_meant).collect()
}

#[test]
fn a_feed_without_a_new_part_runs_a_hook_and_its_next_part_another() {
    let folder = Folder::new();
    let server = watched(&folder, &format!("{NOTE} stale"), &format!("{NOTE} live"));
    assert_eq!(wait_for_lines(&folder.file("stale"), 1), ["a.txt|0|no new part for 200ms"]);
    assert!(lines(&folder.file("live")).is_empty(), "the first part is no return");
    for round in 1..=2 {
        folder.put("a.txt", format!("part {round}"));
        assert_eq!(wait_for_lines(&folder.file("live"), round).len(), round);
        assert_eq!(wait_for_lines(&folder.file("stale"), round + 1).len(), round + 1);
    }
    assert!(lines(&folder.file("live"))[0].ends_with("|a new part"), "{:?}", lines(&folder.file("live")));
    server.stop().success().stderr("the feed is stale").stderr("the feed is live again");
}

#[test]
fn an_input_that_has_ended_is_stale_with_that_reason() {
    let folder = Folder::new();
    let server = mxr(["stdin", "--name", "Küche 1", "--stale-after", "100ms", "--on-stale", &format!("{NOTE} stale")]);
    let server = server.current_dir(&folder.path()).start();
    assert_eq!(wait_for_lines(&folder.file("stale"), 1), ["Küche 1|0|ended"]);
    drop(server);
}

#[test]
fn a_hook_gets_its_three_variables_and_none_of_ours() {
    let folder = Folder::new();
    folder.put("a.txt", "one");
    let server = mxr(["watch", "a.txt", "--stale-after", "100ms"]).current_dir(&folder.path());
    let server = server.env("MXR_ON_STALE", "env > env.tmp; ls -l /proc/self/fd > fds; echo \"$0\" \"$#\" > args; mv env.tmp env");
    let server = server.env("MXR_TOKEN", "S3cretS3cretS3cret").env("MXR_AUTH", "user:S3cret").env("KEPT", "yes").start();
    wait_until("the hook has run", SOON, || folder.file("env").exists());
    let env = lines(&folder.file("env"));
    let mut own: Vec<&str> = env.iter().filter_map(|line| line.strip_prefix("MXR_")?.split('=').next()).collect();
    own.sort_unstable();
    assert_eq!(own, ["AGE", "FEED", "REASON"], "{env:?}");
    assert!(env.contains(&"KEPT=yes".to_owned()) && !env.iter().any(|line| line.contains("S3cret")), "{env:?}");
    let fds = fs::read_to_string(folder.file("fds")).unwrap();
    assert!(!fds.contains("socket:") && fds.contains("/dev/null"), "{fds}");
    server.stop().success().no_stdout("env");
}

#[test]
fn the_next_state_gets_its_hook_though_the_one_before_hangs() {
    let folder = Folder::new();
    let number = 300 + u64::from(std::process::id());
    let hang = format!("echo >> stale; sleep {number} & sleep {number}");
    let server = watched(&folder, &hang, &format!("{NOTE} live"));
    wait_for_lines(&folder.file("stale"), 1);
    wait_until("the hook hangs", SOON, || processes(&format!("sleep {number}")).len() >= 2);
    folder.put("a.txt", "two");
    wait_until("the hook of the next state runs", 3 * SOON, || !lines(&folder.file("live")).is_empty());
    server.expect_log("took too long and was ended");
    wait_for_lines(&folder.file("stale"), 2);
    wait_until("it hangs again", SOON, || processes(&format!("sleep {number}")).len() >= 2);
    server.stop().success();
    wait_until("nothing of it is left", SOON, || processes(&format!("sleep {number}")).is_empty());
}

#[test]
fn a_hook_ends_with_mxr_even_if_mxr_is_killed() {
    let folder = Folder::new();
    let number = 400_000 + u64::from(std::process::id());
    let server = watched(&folder, &format!("trap '' TERM; sleep {number} & sleep {number}"), "true");
    wait_until("the hook hangs", SOON, || processes(&format!("sleep {number}")).len() >= 2);
    server.signal(rustix::process::Signal::KILL);
    wait_until("nothing of it is left", SOON, || processes(&format!("sleep {number}")).is_empty());
}

#[test]
fn a_hook_that_fails_is_told_in_the_log() {
    let folder = Folder::new();
    let server = watched(&folder, "echo told; exit 3", "true");
    wait_until("the log tells", SOON, || server.stderr().contains("the hook --on-stale failed: exit status 3"));
    let ended = server.stop().success();
    assert!(ended.stderr.contains("told\n"), "its output is on standard error");
    assert_eq!(String::from_utf8_lossy(&ended.stdout).lines().count(), 1, "standard output is for the URL");
}

#[test]
fn an_interval_that_is_longer_comes_on_top() {
    let folder = Folder::new();
    fs::create_dir(folder.file("frames")).unwrap();
    for frame in 0..2 {
        fs::write(folder.file("frames").join(format!("{frame}.txt")), frame.to_string()).unwrap();
    }
    let args = ["serve", "frames", "--fps", "1", "--stale-after", "500ms", "--on-stale", &format!("{NOTE} stale")];
    let server = mxr(args).current_dir(&folder.path()).start();
    let mut viewer = server.view("/stream");
    (0..4).for_each(|_| drop(viewer.part()));
    assert!(lines(&folder.file("stale")).is_empty(), "{:?}", lines(&folder.file("stale")));
}

#[test]
fn a_command_that_ends_is_lost_at_once_though_nobody_watches() {
    let folder = Folder::new();
    let args = ["exec", "--name", "run", "--restart", "always", "--on-stale", &format!("{NOTE} stale"), "--on-live"];
    let server = mxr(args).args([&format!("{NOTE} live"), "--", "sh", "-c", "date +%N; sleep 0.2; exit 3"]);
    // What is behind the command is the command's.
    let server = server.current_dir(&folder.path()).env("MXR_PORT", "0").spawn().listening();
    let stale = wait_for_lines(&folder.file("stale"), 2);
    assert!(stale[0].starts_with("run|0|lost: ") && stale[0].contains("exit status 3"), "{stale:?}");
    assert!(!wait_for_lines(&folder.file("live"), 1).is_empty());
    server.stop().success();
}

#[test]
fn hooks_are_refused_where_they_make_no_sense() {
    for (args, told) in [
        (&["serve", "--demo", "--on-stale", "true"][..], "each viewer has a run of its own"),
        (&["serve", ".", "--once", "--on-live", "true"], "each viewer has a run of its own"),
        (&["watch", "x", "--stale-after", "1s"], "there is no hook"),
        (&["watch", "x", "--stale-after", "0", "--on-stale", "true"], "less than 100ms"),
    ] {
        mxr(args).run().usage_error().stderr(told);
    }
    mxr(["serve", "--demo"]).env("MXR_ON_STALE", "true").start().stop().success();
}

#[test]
fn feeds_of_a_file_have_hooks_of_their_own_or_those_of_all() {
    let folder = Folder::new();
    folder.put("a.txt", "one");
    let text = format!(
        "[server]\non-stale = '{NOTE} all'\nstale-after = '150ms'\n[feed.a]\nwatch = 'a.txt'\n[feed.b]\nwatch = 'a.txt'\n\
         on-stale = '{NOTE} b'\n[feed.c]\nwatch = 'a.txt'\non-stale = ''\n[feed.demo]\ndemo = true\n"
    );
    folder.put("mxr.toml", &text);
    let server = mxr(["up"]).current_dir(&folder.path()).start();
    assert_eq!(wait_for_lines(&folder.file("all"), 1), ["a|0|no new part for 150ms"]);
    assert_eq!(wait_for_lines(&folder.file("b"), 1), ["b|0|no new part for 150ms"]);
    // A feed that is removed or replaced tells nothing.
    folder.put("mxr.toml", text.replace("[feed.a]", "[feed.a]\nhistory = 2"));
    server.signal(rustix::process::Signal::HUP);
    wait_for_lines(&folder.file("all"), 2);
    std::thread::sleep(A_WHILE);
    assert_eq!(lines(&folder.file("all")).len(), 2);
    server.stop().success();
}
