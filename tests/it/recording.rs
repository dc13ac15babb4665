//! `--record`, `--frames` and `mxr record`: every part of every feed is in the file as it was published, whatever happens to the
//! program, the disk or the upstream; and no viewer notices.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    BLUE, Connection, Folder, GREEN, PALETTE, RED, Recorded, SOON, Server, Upstream, jpeg, multipart, mxr, padded_png, png,
    recorded, recorded_before_a_kill, relay, segments, skip, tool, wait_for, wait_until,
};

/// The counters of the recording.
fn counters(server: &Server) -> Value {
    server.state()["recording"].clone()
}

fn wait_for_parts(server: &Server, parts: u64) {
    wait_until(&format!("{parts} parts are recorded"), SOON * 2, || counters(server)["parts"].as_u64() >= Some(parts));
}

fn by_feed(parts: Vec<Recorded>) -> BTreeMap<String, Vec<Recorded>> {
    let mut feeds = BTreeMap::<_, Vec<_>>::new();
    parts.into_iter().for_each(|part| feeds.entry(part.feed.clone()).or_default().push(part));
    feeds
}

fn texts(parts: &[Recorded]) -> Vec<String> {
    parts.iter().map(Recorded::text).collect()
}

/// Expects these bodies, numbered from 1 without a gap, each not before the one before it.
#[track_caller]
fn expect_bodies(parts: &[Recorded], bodies: &[Vec<u8>]) {
    let sequences: Vec<u64> = parts.iter().map(|part| part.sequence).collect();
    assert_eq!(sequences, (1..=bodies.len() as u64).collect::<Vec<_>>(), "of {}", parts[0].feed);
    assert!(parts.iter().zip(bodies).all(|(part, body)| part.body == *body), "the bodies of {}", parts[0].feed);
    assert!(parts.is_sorted_by(|a, b| a.clock.0 == b.clock.0 && a.clock.1 <= b.clock.1), "the clock of {}", parts[0].feed);
}

fn lines(numbers: std::ops::RangeInclusive<usize>) -> Vec<Vec<u8>> {
    numbers.map(|number| number.to_string().into_bytes()).collect()
}

#[test]
fn every_part_of_eight_feeds_is_recorded_as_it_was_published() {
    let folder = Folder::new();
    // Pictures that come faster than anything could be shown: a viewer gets the newest, a recording all.
    let pictures: Vec<_> = (0..200).map(|seed| padded_png(RED, 1000 + 40 * seed as usize, seed)).collect();
    let photos: Vec<_> = PALETTE.into_iter().cycle().take(60).map(jpeg).collect();
    folder.put("pictures", pictures.concat());
    folder.put("photos", photos.concat());
    folder.put("binary", [b"a\0".repeat(300), b"b--B\r\nb\0".to_vec()].concat());
    folder.put("a.html", "<h1>one</h1>");
    folder.put("b.svg", r#"<svg xmlns="http://www.w3.org/2000/svg"/>"#);
    folder.put("c.log", "one\ntwo\nthree\n");
    let text = "
        [server]
        record = 'all.mxr'
        [feed.lines]
        exec = ['seq', '1', '5000']
        [feed.\"Küche/..1 %\"]
        exec = ['cat', 'pictures']
        split = 'png'
        [feed.photos]
        exec = ['cat', 'photos']
        split = 'jpeg'
        keep-same = true
        [feed.binary]
        exec = ['cat', 'binary']
        split = 'nul'
        [feed.html]
        watch = 'a.html'
        [feed.svg]
        watch = 'b.svg'
        [feed.log]
        watch = 'c.log'
        [feed.demo]
        demo = true
    ";
    folder.put("mxr.toml", text);
    let server = mxr(["up"]).current_dir(&folder.path()).start();
    folder.put("a.html", "<h1>two</h1>");
    // Nobody watches: what is recorded does not rest.
    wait_for_parts(&server, 5000 + 200 + 60 + 301 + 2 + 1 + 3 + 15);
    let counted = counters(&server);
    server.stop().success();
    let feeds = by_feed(recorded(&folder.file("all.mxr")));
    assert_eq!(feeds.len(), 8, "{:?}", feeds.keys());
    expect_bodies(&feeds["lines"], &lines(1..=5000));
    expect_bodies(&feeds["Küche/..1 %"], &pictures);
    expect_bodies(&feeds["photos"], &photos);
    expect_bodies(&feeds["binary"], &[vec![b"a".to_vec(); 300], vec![b"b--B\r\nb".to_vec()]].concat());
    expect_bodies(&feeds["html"], &[b"<h1>one</h1>".to_vec(), b"<h1>two</h1>".to_vec()]);
    expect_bodies(&feeds["log"], &["one", "two", "three"].map(|line| line.as_bytes().to_vec()));
    assert_eq!((feeds["svg"].len(), feeds["demo"].len()), (1, 15), "one run of what each viewer gets from its start");
    let media = |feed: &str| feeds[feed][0].media.as_str();
    assert_eq!((media("photos"), media("svg"), media("Küche/..1 %")), ("image/jpeg", "image/svg+xml", "image/png"));
    assert_eq!((&counted["lost"], &counted["failing"]), (&0.into(), &false.into()));
    let bytes: usize = feeds.values().flatten().map(|part| part.body.len()).sum();
    assert_eq!(counted["bytes"], bytes);
}

#[test]
fn a_recording_has_the_times_and_numbers_that_viewers_get() {
    let folder = Folder::new();
    let file = folder.file("a.mxr");
    let mut server = mxr(["stdin", "--split", "lines", "--record"]).arg(&file).stdin(Stdio::piped()).start();
    let mut viewer = server.view("/stream");
    let mut seen = Vec::new();
    for number in 0..30 {
        server.write(format!("{number}\n"));
        seen.push(viewer.part());
        thread::sleep(Duration::from_millis(3));
    }
    wait_for_parts(&server, 30);
    server.stop().success();
    let parts = recorded(&file);
    assert_eq!(parts.len(), 30);
    for (part, seen) in parts.iter().zip(&seen) {
        assert_eq!((part.sequence, part.text(), part.media.as_str()), (seen.sequence(), seen.text(), seen.header("Content-Type")));
        assert!((part.time - seen.timestamp()).abs() < 1e-6, "{} and {}", part.time, seen.timestamp());
        // Both clocks are read within one turn of the source.
        let since_first = (part.time - parts[0].time, part.clock.1 - parts[0].clock.1);
        assert!((since_first.0 - since_first.1).abs() < 0.1, "{since_first:?}");
    }
}

#[test]
fn a_source_rests_without_a_reader_and_a_recording_is_one() {
    let folder = Folder::new();
    let upstream = Upstream::serve(|mut asked| {
        asked.begin(crate::support::MULTIPART);
        asked.send(multipart("image/png", &[&png(RED), &png(GREEN)]));
        asked.hang();
    });
    let resting = relay(&upstream.url("/stream"), &[]);
    let recording = mxr(["relay", &upstream.url("/stream"), "--linger", "0", "-o"]).arg(folder.file("a.mxr")).start();
    wait_for_parts(&recording, 2);
    assert_eq!(upstream.requests().len(), 1, "{:?}", upstream.requests());
    assert_eq!(resting.source()["state"], "idle");
    assert_eq!(recording.state()["feeds"][0]["viewers"], 0, "a recorder is no viewer");
    recording.stop().success();
    expect_bodies(&recorded(&folder.file("a.mxr")), &[png(RED), png(GREEN)]);
}

#[test]
fn all_that_was_published_is_in_the_file_after_sigterm() {
    let folder = Folder::new();
    for (at, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let file = folder.file(&format!("{at}.mxr"));
        let mut server = mxr(["stdin", "--split", "lines", "-o"]).arg(&file).stdin(Stdio::piped()).start();
        server.write(b"0123456789\n".repeat(20_000));
        wait_until("all is published", SOON, || server.state()["feeds"][0]["published"] == 20_000);
        server.signal(signal);
        server.finish().success();
        assert_eq!(recorded(&file).len(), 20_000);
    }
}

#[test]
fn what_a_killed_program_has_recorded_is_there_but_for_the_last_part_at_most() {
    let folder = Folder::new();
    let kills = std::env::var("MXR_TEST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let mut torn = 0;
    for kill in 0..kills {
        let file = folder.file(&format!("{kill}.mxr"));
        let mut server = mxr(["stdin", "--split", "png", "--record"]).arg(&file).stdin(Stdio::piped()).start();
        let mut viewer = server.view("/stream");
        // Parts wait for the thread that records, on a busy machine more than one: the next comes when all before the last are there.
        for seed in 0..kill % 7 + 2 {
            server.write(padded_png(BLUE, 100_000, seed as u32));
            wait_for_parts(&server, seed);
        }
        // Moments that differ in their distance from a part.
        thread::sleep(Duration::from_micros((kill * 7919) % 5000));
        server.signal(Signal::KILL);
        server.finish();
        let rest = String::from_utf8_lossy(&viewer.rest()).into_owned();
        let sequences = rest.split("X-Sequence: ").skip(1).filter_map(|rest| rest.split_once("\r\n")?.0.parse().ok());
        let last = sequences.last().unwrap_or(0);
        // The first part makes the file.
        let (parts, rest) = if file.exists() { recorded_before_a_kill(&file) } else { Default::default() };
        torn += u64::from(rest > 0);
        let bodies: Vec<_> = (0..parts.len()).map(|seed| padded_png(BLUE, 100_000, seed as u32)).collect();
        expect_bodies(&parts, &bodies);
        assert!(parts.len() as u64 + 1 >= last, "{} of {last} parts are recorded", parts.len());
        // The next run goes on in the same file.
        let server = mxr(["exec", "--split", "lines", "--record"]).arg(&file).args(["--port", "0", "--", "echo", "again"]);
        let server = server.spawn().listening();
        wait_for_parts(&server, 1);
        server.stop().success();
        let again = recorded(&file);
        assert_eq!((again.len(), again.last().unwrap().text()), (parts.len() + 1, "again".to_owned()));
    }
    println!("{torn} of {kills} files ended in a part that was not whole");
}

#[test]
fn a_second_run_continues_the_file_and_a_second_program_is_refused_it() {
    let folder = Folder::new();
    let file = folder.file("a.mxr");
    for run in 0..2 {
        let mut server = mxr(["stdin", "--record"]).arg(&file).stdin(Stdio::piped()).start();
        server.write(format!("run {run}\n"));
        wait_for_parts(&server, 1);
        let other = mxr(["serve", "--demo", "--port", "0", "--record"]).arg(&file).run().failure();
        other.stderr("mxr: cannot record to ").stderr("another program records to it");
        server.stop().success();
    }
    let parts = recorded(&file);
    assert_eq!(texts(&parts), ["run 0", "run 1"]);
    assert_eq!((parts[0].sequence, parts[1].sequence), (1, 1));
    assert_ne!(parts[0].clock.0, parts[1].clock.0, "times of two runs are not compared");
}

#[test]
fn a_recording_of_another_mxr_that_goes_on_has_each_part_once() {
    let folder = Folder::new();
    folder.put("mxr.toml", "[feed.lines]\nexec = ['seq', '1', '300']\n[feed.picture]\nwatch = 'a.png'\n");
    folder.put("a.png", png(RED));
    let origin = mxr(["up"]).current_dir(&folder.path()).start();
    for out in ["cont.mxr", "days/", "frames"] {
        let option = if out == "frames" { "--frames" } else { "-o" };
        let run = || {
            let running = mxr(["record", &origin.url("/"), option]).arg(folder.path().join(out)).spawn();
            running.expect_log("recording");
            running
        };
        let first = run();
        ["lines", "picture"].iter().for_each(|feed| first.expect_log(&format!("the first part is recorded feed={feed}")));
        let parts = || match out {
            "cont.mxr" => recorded(&folder.file(out)).len(),
            "days/" => segments(&folder.file(out)).iter().map(|file| recorded(file).len()).sum(),
            _ => fs::read_dir(folder.file(out)).unwrap().count(),
        };
        wait_until("all are recorded", SOON * 2, || match out {
            "cont.mxr" => recorded_before_a_kill(&folder.file(out)).0.len() == 301,
            "days/" => segments(&folder.file(out)).iter().map(|file| recorded_before_a_kill(file).0.len()).sum::<usize>() == 301,
            _ => parts() == 301,
        });
        first.stop().success().stderr("recorded parts=301").stderr("feeds=2 lost=0");
        let again = mxr(["record", &origin.url("/"), "--for", "3s", option]).arg(folder.path().join(out)).run().success();
        again.stderr("recorded parts=0").stderr("not recorded again: the recording had them parts=");
        assert_eq!(parts(), 301, "{out}");
    }
    origin.stop().success();
}

#[test]
fn a_file_to_be_recorded_is_told_to_be_watched() {
    let folder = Folder::new();
    folder.put("plot.png", png(RED));
    let run = |words: &str| mxr(words.split(' ')).current_dir(&folder.path()).run().usage_error();
    run("record plot.png -o s.mxr")
        .stderr("mxr: cannot record plot.png: it is a path, not a URL")
        .stderr("hint: for what is on this machine: mxr watch plot.png --record s.mxr");
    run("record plot.png --frames f").stderr("mxr watch plot.png --frames f");
    run("relay plot.png").stderr("mxr: cannot relay plot.png: it is a path, not a URL").stderr("mxr watch plot.png");
    run("record other.png -o s.mxr").stderr("the URL has no scheme");
    assert!(!folder.file("s.mxr").exists());
}

#[test]
fn a_directory_in_which_one_program_deletes_is_refused_to_others() {
    let folder = Folder::new();
    let days = folder.file("days/");
    let server = mxr(["serve", "--demo", "--keep", "1G", "-o"]).arg(&days).start();
    for keep in [&["--keep", "1h"][..], &[]] {
        let other = mxr(["serve", "--demo", "--port", "0", "-o"]).arg(&days).args(keep).run().failure();
        other.stderr("mxr: cannot record to ").stderr("another program records to it").stderr("hint: name another");
    }
    server.stop().success();
}

#[test]
fn a_file_that_is_no_recording_is_refused_and_stays_as_it_is() {
    let folder = Folder::new();
    for (name, content) in
        [("a.txt", &b"precious"[..]), ("saved.mjpeg", b"--B\r\nContent-Type: image/png\r\n\r\n"), ("b.png", &png(RED))]
    {
        let file = folder.file(name);
        fs::write(&file, content).unwrap();
        let refused = mxr(["serve", "--demo", "--port", "0", "--record"]).arg(&file).run().failure();
        refused.stderr(&format!("mxr: cannot record to {}: ", file.display())).stderr("hint: mxr overwrites nothing");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
    let refused = mxr(["serve", "--demo", "--port", "0", "--record", "/dev/null"]).run().failure();
    refused.stderr("mxr: cannot record to /dev/null: it is no regular file");
    for option in ["--record", "--frames"] {
        let nowhere = folder.file("none/deeper/");
        let refused = mxr(["serve", "--demo", "--port", "0", option]).arg(&nowhere).run().failure();
        refused.stderr(&format!("mxr: cannot record to {}: No such file", nowhere.display()));
    }
    let server = mxr(["serve", "--demo", "--frames"]).arg(folder.file("new")).start();
    assert!(folder.file("new").is_dir(), "one directory is made");
    server.stop().success();
}

#[test]
fn options_that_do_not_go_together_are_told_what_would() {
    let folder = Folder::new();
    fs::write(folder.file("there"), "").unwrap();
    fs::create_dir(folder.file("frames")).unwrap();
    fs::write(folder.file("frames/1.png"), png(RED)).unwrap();
    fs::write(folder.file("mxr.toml"), "[server]\nrecord = 'frames/'\n[feed.a]\nserve = 'frames'\n").unwrap();
    let run = |words: &str| mxr(words.split(' ')).current_dir(&folder.path()).args(["--port", "0"]).run();
    for (words, said, hint) in [
        ("serve --demo --keep 1h", "cannot use --keep: nothing is recorded", "--record DIR says where to"),
        (
            "serve --demo --frames f --segment 1h",
            "cannot use --segment with --frames alone",
            "nothing deletes the files of --frames",
        ),
        ("serve --demo -o there --keep 1h", "cannot use --keep with --record there: one file keeps everything", "--record there/"),
        ("serve --demo -o new.mxr --segment 1h", "cannot use --segment with --record new.mxr", "--record new/"),
        ("serve --demo -o new/ --segment 2h --keep 1h", "cannot use --segment 2h with --keep 1h: ", ""),
        ("serve --demo -o new/ --segment 0s", "cannot use --segment 0s: the least is 1s", ""),
        ("serve --demo -o new/ --segment 50K", "cannot use --segment 50K: the least is 64K", ""),
        ("serve --demo -o new/ --keep 1.5KB", "cannot use --keep 1.5KB: the least is 64K", ""),
        ("serve --demo -o new/ --segment 1.5M --keep 1MB", "cannot use --segment 1.5M with --keep 1MB: ", ""),
        ("serve --demo -o -", "cannot use --record -: a recording is written into a file", "curl"),
        ("serve --demo -o new/ --keep 10", "10m is minutes", ""),
        ("serve frames -o frames/", "cannot use --record here: frames/ is what is pushed", "record to another directory"),
        ("watch . -o new.mxr", "cannot use --record here: . is what is pushed", "record to another directory"),
        ("up", "cannot use --record here: frames/ is what is pushed", "record to another directory"),
        ("watch frames --frames frames", "cannot use --frames here: frames is what is pushed", "record to another directory"),
    ] {
        let finished = run(words).usage_error().stderr(said);
        finished.stderr(hint);
    }
    for name in ["new", "new.mxr", "f"] {
        assert!(!folder.file(name).exists(), "{name}");
    }
    // A variable is for the commands that can use it.
    let server = mxr(["serve", "--demo", "-o"]).arg(folder.file("new.mxr")).env("MXR_KEEP", "1h").start();
    wait_until("it is recorded", SOON, || folder.file("new.mxr").is_file());
    server.stop().success();
    let server = mxr(["serve", "--demo"]).env("MXR_KEEP", "1h").start();
    assert_eq!(counters(&server), false);
    server.stop().success();
}

#[test]
fn a_directory_gets_a_file_for_each_stretch_and_keeps_as_much_as_is_asked_for() {
    let folder = Folder::new();
    let (days, mut stranger) = (folder.file("days"), Vec::new());
    fs::create_dir(&days).unwrap();
    let old = SystemTime::now() - Duration::from_secs(100_000);
    let put = |name: &str, bytes: &[u8]| {
        fs::write(days.join(name), bytes).unwrap();
        fs::File::options().write(true).open(days.join(name)).unwrap().set_modified(old).unwrap();
    };
    let recording = b"Content-Type: multipart/mixed; boundary=mxr-0123456789abcdef0123456789abcdef\r\nX-Recording: mxr 1\r\n\r\n--mxr-0123456789abcdef0123456789abcdef--\r\n";
    // Of ours is what has the name and the head.
    put("20250201T000000.000Z.mxr", recording);
    put("20250201T000000.000Z-1.mxr", recording);
    for (name, bytes) in [
        ("20250201T000001.000Z.mxr", &b"not ours"[..]),
        ("20250201T000002.000Z.mxr", b""),
        ("20250201T000003.000Z.mxr.bak", recording),
        ("holiday.mxr", recording),
        ("20250201T000004.000Z.txt", b"note"),
    ] {
        put(name, bytes);
        stranger.push((name, bytes));
    }
    fs::write(folder.file("target.mxr"), recording).unwrap();
    std::os::unix::fs::symlink(folder.file("target.mxr"), days.join("20250201T000005.000Z.mxr")).unwrap();
    fs::create_dir(days.join("20250201T000006.000Z.mxr")).unwrap();
    let mut server = mxr(["stdin", "--split", "lines", "--segment", "64K", "--keep", "24h", "-o"]).arg(&days);
    server = server.stdin(Stdio::piped());
    let mut server = server.start();
    for _ in 0..20 {
        server.write(format!("{}\n", "x".repeat(20_000)));
    }
    wait_for_parts(&server, 20);
    let ours = || segments(&days).into_iter().filter(|path| !path.display().to_string().contains("20250201")).collect::<Vec<_>>();
    wait_until("the old ones are gone", SOON, || !days.join("20250201T000000.000Z.mxr").exists());
    wait_until("the old ones are gone", SOON, || !days.join("20250201T000000.000Z-1.mxr").exists());
    server.stop().success();
    for (name, bytes) in stranger {
        assert_eq!(fs::read(days.join(name)).unwrap(), bytes, "{name}");
    }
    assert!(days.join("20250201T000005.000Z.mxr").is_symlink() && folder.file("target.mxr").exists());
    assert!(days.join("20250201T000006.000Z.mxr").is_dir());
    let ours: Vec<PathBuf> = ours().into_iter().filter(|path| path.file_name().unwrap() != "holiday.mxr").collect();
    let lengths: Vec<usize> = ours.iter().map(|path| recorded(path).len()).collect();
    assert_eq!(lengths.iter().sum::<usize>(), 20);
    assert_eq!((lengths.len(), lengths.iter().max()), (7, Some(&3)), "{lengths:?}");
    assert!(ours.iter().all(|path| fs::metadata(path).unwrap().len() <= 64 << 10));
}

#[test]
fn frames_are_files_that_other_programs_open() {
    let folder = Folder::new();
    let upstream = Upstream::serve(|mut asked| {
        asked.begin(crate::support::MULTIPART);
        asked.send(multipart("image/png", &[&png(RED), &png(GREEN)]));
        asked.hang();
    });
    let (frames, file) = (folder.file("frames"), folder.file("a.mxr"));
    let server = mxr(["relay", &upstream.url("/video"), "--name", "door", "--frames"]).arg(&frames).start();
    let both = mxr(["record", &upstream.url("/video"), "--name", "x/ü", "-o"]).arg(&file).arg("--frames").arg(&frames).spawn();
    let named = |ending: &str| {
        let files = fs::read_dir(&frames).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        files.filter(|name| name.ends_with(ending)).collect::<Vec<_>>()
    };
    let wait = |ending: &str, count: usize| wait_until(ending, SOON, || named(ending).len() == count);
    [("-door-1.png", 1), ("-door-2.png", 1), ("-x__-1.png", 1), ("-x__-2.png", 1)]
        .iter()
        .for_each(|(name, count)| wait(name, *count));
    assert_eq!(server.state()["recording"], false);
    wait_until("they are counted", SOON, || server.state()["frames"]["parts"] == 2);
    both.stop().success();
    server.stop().success();
    let bytes = |name: &str| fs::read(frames.join(&named(name)[0])).unwrap();
    assert_eq!((bytes("-door-1.png"), bytes("-x__-2.png")), (png(RED), png(GREEN)));
    expect_bodies(&recorded(&file), &[png(RED), png(GREEN)]);
}

#[test]
fn no_name_from_the_wire_is_a_path() {
    let folder = Folder::new();
    let text = "
        [feed.\"a/..b/evil\"]
        exec = ['echo', 'one']
        [feed.\"etc/passwd\"]
        exec = ['echo', 'two']
        [feed.\".hidden\"]
        exec = ['echo', 'three']
    ";
    folder.put("mxr.toml", text);
    let origin = mxr(["up"]).current_dir(&folder.path()).start();
    let (days, frames) = (folder.file("days"), folder.file("frames"));
    let record = mxr(["record", &origin.url("/"), "--frames"]).arg(&frames).arg("-o").arg(format!("{}/", days.display())).spawn();
    wait_until("all are there", SOON * 2, || frames.is_dir() && fs::read_dir(&frames).unwrap().count() == 3);
    record.stop().success();
    let mut names: Vec<_> = fs::read_dir(&frames).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.iter_mut().for_each(|name| *name = name.split_once('-').unwrap().1.to_owned());
    names.sort();
    assert_eq!(names, [".hidden-1.txt", "a___b_evil-1.txt", "etc_passwd-1.txt"]);
    assert_eq!(fs::read_dir(folder.beside("")).unwrap().count(), 0);
    assert_eq!(segments(&days).len(), 1);
    let feeds = by_feed(recorded(&segments(&days)[0]));
    assert_eq!(feeds.keys().collect::<Vec<_>>(), [".hidden", "a/..b/evil", "etc/passwd"]);
}

#[test]
fn mxr_record_saves_all_feeds_of_another_mxr_and_those_that_come_later() {
    let folder = Folder::new();
    let later = "[feed.later]\nexec = ['seq', '1', '500']\n";
    let first = "[feed.lines]\nexec = ['seq', '1', '300']\n[feed.picture]\nwatch = 'a.png'\n";
    folder.put("a.png", png(RED));
    folder.put("mxr.toml", first);
    let origin = mxr(["up"]).current_dir(&folder.path()).start();
    let file = folder.file("out.mxr");
    let record = mxr(["record", &origin.url("/"), "-o"]).arg(&file).spawn();
    wait_until("the first feeds are there", SOON * 2, || file.exists() && recorded_before_a_kill(&file).0.len() == 301);
    folder.put("mxr.toml", format!("{first}{later}"));
    origin.signal(Signal::HUP);
    folder.put("a.png", png(GREEN));
    wait_until("the others are there", SOON * 2, || recorded_before_a_kill(&file).0.len() == 802);
    record.stop().success().stderr("parts=802").no_stdout("http");
    let feeds = by_feed(recorded(&file));
    assert_eq!(texts(&feeds["lines"]), (1..=300).map(|line| line.to_string()).collect::<Vec<_>>());
    assert_eq!(texts(&feeds["later"]), (1..=500).map(|line| line.to_string()).collect::<Vec<_>>());
    assert_eq!(feeds["picture"].iter().map(|part| part.body.clone()).collect::<Vec<_>>(), [png(RED), png(GREEN)]);
}

#[test]
fn mxr_record_ends_by_itself_after_its_time_and_says_what_is_missing() {
    let folder = Folder::new();
    let upstream = Upstream::serve(|mut asked| {
        asked.begin(crate::support::MULTIPART);
        asked.send(multipart("image/png", &[&png(RED)]));
        asked.hang();
    });
    let file = folder.file("a.mxr");
    let finished = mxr(["record", &upstream.url("/"), "--for", "2s", "-o"]).arg(&file).run().success();
    finished.stderr("recorded parts=1").stderr("feeds=1 lost=0");
    expect_bodies(&recorded(&file), &[png(RED)]);
    mxr(["record", "http://127.0.0.1:1/"])
        .run()
        .usage_error()
        .stderr("cannot record: nothing says where to")
        .stderr("hint: -o FILE");
    mxr(["record", "-o"]).arg(&file).run().usage_error().stderr("<URL>");
    let nothing = mxr(["record", "http://127.0.0.1:1/video", "--for", "300ms", "-o"]).arg(folder.file("c.mxr")).run().failure();
    nothing.stderr("mxr: cannot record anything: no part has come in this time");
    // One that is not there may come.
    let waiting = mxr(["record", "http://127.0.0.1:1/video", "-o"]).arg(folder.file("b.mxr")).spawn();
    waiting.expect_log("127.0.0.1:1");
    waiting.stop().success().stderr("recorded parts=0");
    for name in ["b.mxr", "c.mxr"] {
        assert!(!folder.file(name).exists(), "{name}: what has no part leaves no file");
    }
}

#[test]
fn what_was_recorded_a_moment_ago_can_be_asked_for() {
    let folder = Folder::new();
    for place in ["a.mxr", "days/"] {
        let mut server = mxr(["stdin", "--split", "png", "--record"]).arg(folder.path().join(place)).stdin(Stdio::piped()).start();
        let bodies = [RED, GREEN, BLUE].map(png);
        for (body, parts) in bodies.iter().zip(1..) {
            server.write(body);
            wait_for_parts(&server, parts);
        }
        let list = server.get("/parts/stdin").json();
        assert_eq!(list["count"], 3, "{list}");
        for (part, body) in list["parts"].as_array().unwrap().iter().zip(&bodies) {
            assert_eq!(&server.get(&format!("/snapshot/stdin?at={}", part["time"])).body, body);
        }
        let mut connection = Connection::open(&server.host);
        connection.send(format!("GET /recording/stdin HTTP/1.0\r\nHost: {}\r\n\r\n", server.host));
        let saved = connection.rest();
        assert!(bodies.iter().all(|body| saved.windows(body.len()).any(|bytes| bytes == body)), "it reaches to now");
        server.stop().success();
    }
}

/// A file system of so many bytes, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mount = tool(&["mount"])?;
        let mounted = Command::new(mount).args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            _ => {
                skip("no file system may be mounted here");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_recording_and_no_viewer_until_there_is_room() {
    let folder = Folder::new();
    let Some(disk) = SmallDisk::mount(&folder.file("disk"), "1M") else { return };
    let file = disk.0.join("a.mxr");
    fs::write(disk.0.join("ballast"), vec![0; 500_000]).unwrap();
    let mut server = mxr(["stdin", "--split", "lines", "--history", "1000", "-o"]).arg(&file).stdin(Stdio::piped()).start();
    let mut viewer = server.view("/stream");
    let mut written = 0;
    let mut write_until = |server: &mut Server, what: &str, is_so: &dyn Fn(&Value) -> bool| {
        wait_for(what, SOON * 2, || {
            written += 1;
            server.write(format!("{written:06}{}\n", "x".repeat(10_000)));
            assert_eq!(&viewer.part().text()[..6], format!("{written:06}"), "a viewer gets every part");
            let counted = counters(server);
            is_so(&counted).then_some(())
        });
    };
    write_until(&mut server, "the disk is full", &|counted| counted["lost"].as_u64() > Some(3));
    server.expect_log("the recording has stopped: No space left on device");
    let stopped = counters(&server);
    assert_eq!(stopped["failing"], true);
    assert!(server.get("/metrics").text().contains("\nmxr_recorded_failing{to=\"recording\"} 1"));
    let before = recorded(&file);
    assert_eq!(before.len() as u64, stopped["parts"].as_u64().unwrap(), "what is there is whole");
    fs::remove_file(disk.0.join("ballast")).unwrap();
    write_until(&mut server, "it goes on", &|counted| counted["failing"] == false);
    server.expect_log("the recording goes on");
    let counted = wait_for("all are counted", SOON, || {
        let counted = counters(&server);
        (counted["parts"].as_u64()? + counted["lost"].as_u64()? == server.state()["feeds"][0]["published"].as_u64()?)
            .then_some(counted)
    });
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains(&format!("\nmxr_recorded_lost_parts_total{{to=\"recording\"}} {}\n", counted["lost"])), "{metrics}");
    server.stop().success();
    let after = recorded(&file);
    assert_eq!(after.len() as u64, counted["parts"].as_u64().unwrap());
    assert_eq!(after[..before.len()], before, "what was recorded before stays");
}
