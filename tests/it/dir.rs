//! `mxr serve DIR` replays a directory of frames in natural order.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{A_WHILE, BLUE, Folder, GREEN, PALETTE, Part, RED, SOON, Server, alone, busy, jpeg, mxr, png, wait_until};

fn serve(folder: &Folder, args: &[&str]) -> Server {
    mxr(["serve"]).arg(folder.path()).args(args).start()
}

/// The bodies of a complete run, as text.
fn run(folder: &Folder, args: &[&str]) -> Vec<String> {
    let server = serve(folder, &[&["--once", "--fps", "100"], args].concat());
    server.view("/stream").parts_to_end().iter().map(Part::text).collect()
}

/// Files whose content is their name.
fn folder_of(names: &[&str]) -> Folder {
    let folder = Folder::new();
    for name in names {
        folder.put(name, name);
    }
    folder
}

#[test]
fn frames_come_in_natural_order() {
    let folder = folder_of(&["frame10.txt", "frame2.txt", "frame1.txt", "frame02b.txt", "a9.txt", "a11.txt", "frame9.txt"]);
    let order = ["a9.txt", "a11.txt", "frame1.txt", "frame2.txt", "frame02b.txt", "frame9.txt", "frame10.txt"];
    assert_eq!(run(&folder, &[]), order);
}

#[test]
fn names_that_are_not_utf_8_have_their_place_among_numbered_ones() {
    let folder = Folder::new();
    let (mut frames, mut expected) = (Vec::new(), Vec::new());
    for number in 1..=300 {
        if number % 3 == 2 && (11..41).contains(&number) {
            frames.push((format!("IMG_{number} M\u{e4}rz.txt"), format!("{number} in March")));
        }
        frames.push((format!("IMG_{number}.txt"), number.to_string()));
    }
    for (name, text) in frames {
        // In Latin-1 each letter is one byte.
        let name: Vec<u8> = name.chars().map(|letter| letter as u8).collect();
        fs::write(folder.path().join(OsStr::from_bytes(&name)), &text).unwrap();
        expected.push(text);
    }
    let server = serve(&folder, &["--once", "--fps", "1000"]);
    assert_eq!(server.view("/stream").parts_to_end().iter().map(Part::text).collect::<Vec<_>>(), expected);
}

#[test]
fn once_gives_each_viewer_its_own_run_and_the_end() {
    let folder = folder_of(&["1.txt", "2.txt", "3.txt"]);
    let server = serve(&folder, &["--once", "--fps", "20"]);
    let mut early = server.view("/stream");
    assert_eq!(early.part().text(), "1.txt");
    assert_eq!(early.part().text(), "2.txt");
    let late = server.view("/stream").parts_to_end();
    assert_eq!(late.iter().map(Part::text).collect::<Vec<_>>(), ["1.txt", "2.txt", "3.txt"]);
    assert_eq!(late.iter().map(Part::sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(early.part().text(), "3.txt");
    early.expect_end();
    assert_eq!(server.get("/healthz").head.status, 200, "the server goes on");
}

#[test]
fn frames_come_at_the_requested_rate() {
    let names: Vec<_> = (0..21).map(|at| format!("{at}.txt")).collect();
    let folder = folder_of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for (args, expected) in [(&["--once"][..], 100), (&["--once", "--fps", "40"], 25)] {
        let parts = serve(&folder, args).view("/stream").parts_to_end();
        let gaps = parts.windows(2).map(|pair| (pair[1].arrived - pair[0].arrived).as_millis());
        let mut gaps: Vec<_> = gaps.collect();
        gaps.sort_unstable();
        // On a busy machine some are late and others early; the median is right, and so is the sum.
        assert!(gaps[10].abs_diff(expected) < expected / 3, "{gaps:?} ms instead of {expected} for {args:?}");
        assert!(gaps.iter().sum::<u128>() > expected * 17, "{gaps:?} ms instead of {expected} for {args:?}");
    }
}

#[test]
fn all_viewers_share_one_loop() {
    let folder = folder_of(&["1.txt", "2.txt", "3.txt"]);
    let server = serve(&folder, &["--fps", "20"]);
    let watch = || {
        let mut viewer = server.view("/stream");
        (0..12).map(|_| viewer.part()).map(|part| (part.sequence(), part.text())).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let other = scope.spawn(watch);
        let (ours, theirs) = (watch(), other.join().unwrap());
        let shared = ours.iter().filter(|part| theirs.contains(part)).count();
        assert!(shared >= 6, "{ours:?} and {theirs:?}");
        for pair in ours.windows(2).filter(|pair| pair[1].0 == pair[0].0 + 1) {
            let frame = |text: &str| text[..1].parse::<u8>().unwrap();
            assert_eq!(frame(&pair[1].1), frame(&pair[0].1) % 3 + 1, "{ours:?}");
        }
        assert!(ours.iter().filter(|(_, text)| text == "1.txt").count() >= 2, "it starts over: {ours:?}");
    });
}

#[test]
fn follow_waits_for_new_frames_after_the_last() {
    let folder = folder_of(&["1.txt", "2.txt"]);
    let server = serve(&folder, &["--follow", "--fps", "50"]);
    let mut viewer = server.view("/stream");
    viewer.part_where(|part| part.text() == "2.txt");
    viewer.expect_silence(A_WHILE);
    for name in ["3.txt", "4.txt"] {
        folder.put(name, name);
        assert_eq!(viewer.part().text(), name);
    }
    folder.write("5.txt", "5.txt");
    assert_eq!(viewer.part().text(), "5.txt");
}

#[test]
fn follow_waits_for_the_writer_of_a_frame_without_an_end_mark() {
    let folder = folder_of(&["1.txt"]);
    let server = serve(&folder, &["--follow", "--keepalive", "0"]);
    let mut viewer = server.view("/stream");
    viewer.part();
    for name in ["2.txt", "3.txt", "4.txt"] {
        let mut file = fs::File::create(folder.file(name)).unwrap();
        let mut longest = Duration::ZERO;
        for _ in 0..40 {
            let start = Instant::now();
            file.write_all(b"half and ").unwrap();
            thread::sleep(Duration::from_millis(5));
            longest = longest.max(start.elapsed());
        }
        file.write_all(name.as_bytes()).unwrap();
        drop(file);
        let text = viewer.part().text();
        // If the machine paused for as long as a writer may, half a frame counts as a frame.
        assert!(longest > A_WHILE / 6 || text == "half and ".repeat(40) + name, "{text}");
    }
}

#[test]
fn the_glob_selects_frames_by_name() {
    let folder = folder_of(&["a1.txt", "a2.md", "a3.txt", "b4.txt"]);
    assert_eq!(run(&folder, &["--glob", "a*.txt"]), ["a1.txt", "a3.txt"]);
    assert_eq!(run(&folder, &["--glob", "*.{md,txt}"]), ["a1.txt", "a2.md", "a3.txt", "b4.txt"]);
    assert_eq!(run(&folder, &["--glob", "[ab][24].*"]), ["a2.md", "b4.txt"]);
}

#[test]
fn only_plain_files_of_the_directory_are_frames() {
    let folder = folder_of(&["1.txt", ".hidden.txt", "5.txt"]);
    fs::create_dir(folder.file("2.dir")).unwrap();
    fs::write(folder.file("2.dir").join("inside.txt"), "inside").unwrap();
    mknodat(CWD, folder.file("3.fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::write(folder.beside("secret"), "secret").unwrap();
    symlink(folder.beside("secret"), folder.file("4.txt")).unwrap();
    symlink("../beside/secret", folder.file("4b.txt")).unwrap();
    symlink("/dev/zero", folder.file("4c.txt")).unwrap();
    symlink("nowhere", folder.file("4d.txt")).unwrap();
    symlink("1.txt", folder.file("6.txt")).unwrap();
    assert_eq!(run(&folder, &["--keep-same"]), ["1.txt", "5.txt", "1.txt"]);
}

#[test]
fn a_frame_that_becomes_a_link_out_of_the_directory_is_not_followed() {
    let folder = folder_of(&["1.txt", "2.txt"]);
    fs::write(folder.beside("secret"), "secret").unwrap();
    let server = serve(&folder, &["--fps", "50", "--keep-same"]);
    let mut viewer = server.view("/stream");
    viewer.part_where(|part| part.text() == "2.txt");
    symlink(folder.beside("secret"), folder.beside("link")).unwrap();
    fs::rename(folder.beside("link"), folder.file("2.txt")).unwrap();
    for _ in 0..20 {
        assert_ne!(viewer.part().text(), "secret");
    }
}

#[test]
fn the_type_comes_from_the_name() {
    let folder = Folder::new();
    let drawing = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec();
    let files = [
        ("1.png", png(RED), "image/png"),
        ("2.jpg", jpeg(RED), "image/jpeg"),
        ("3.jpeg", jpeg(GREEN), "image/jpeg"),
        ("4.svg", drawing, "image/svg+xml"),
        ("5.html", b"<p>".to_vec(), "text/html"),
        ("6.txt", b"text".to_vec(), "text/plain"),
        ("7.json", b"{}".to_vec(), "application/json"),
        ("8.csv", b"1,2".to_vec(), "text/csv"),
    ];
    for (name, bytes, _) in &files {
        folder.put(name, bytes);
    }
    let server = serve(&folder, &["--once", "--fps", "100"]);
    let media: Vec<_> = server.view("/stream").parts_to_end().iter().map(|part| part.media().to_owned()).collect();
    assert_eq!(media, files.map(|(_, _, media)| media));
}

#[test]
fn the_type_comes_from_the_content_if_the_name_tells_nothing() {
    let folder = Folder::new();
    folder.put("1", png(RED));
    folder.put("2", jpeg(GREEN));
    folder.put("3", "some words");
    folder.put("4", [0, 159, 146, 150]);
    let server = serve(&folder, &["--once", "--fps", "100"]);
    let media: Vec<_> = server.view("/stream").parts_to_end().iter().map(|part| part.media().to_owned()).collect();
    assert_eq!(media, ["image/png", "image/jpeg", "text/plain", "application/octet-stream"]);
}

#[test]
fn the_type_given_overrides_both() {
    let folder = folder_of(&["1.html", "2"]);
    let server = serve(&folder, &["--once", "--fps", "100", "--type", "text/x-note"]);
    assert!(server.view("/stream").parts_to_end().iter().all(|part| part.header("Content-Type") == "text/x-note"));
}

#[test]
fn frames_that_change_and_vanish_do_not_stop_the_loop() {
    let folder = folder_of(&["1.txt", "2.txt", "3.txt"]);
    let server = serve(&folder, &["--fps", "50"]);
    let mut viewer = server.view("/stream");
    viewer.part_where(|part| part.text() == "2.txt");
    folder.remove("2.txt");
    folder.put("3.txt", "changed");
    viewer.part_where(|part| part.text() == "changed");
    viewer.part_where(|part| part.text() == "1.txt");
    viewer.part_where(|part| part.text() == "changed");
}

#[test]
fn the_first_frame_is_there_as_soon_as_the_url_is() {
    for (mode, name) in [("--fps=10", "a.txt"), ("--fps=10", "a.png"), ("--follow", "a.txt"), ("--once", "a.txt")] {
        let folder = Folder::new();
        let frame = if name == "a.png" { png(RED) } else { b"written just before".to_vec() };
        folder.write(name, &frame);
        let server = serve(&folder, &[mode]);
        assert!(server.get("/snapshot").body == frame, "{mode} {name}");
    }
}

#[test]
fn a_hundred_thousand_frames_start_at_once() {
    let folder = Folder::new();
    for at in 0..100_000 {
        fs::write(folder.file(&format!("frame{at}.txt")), at.to_string()).unwrap();
    }
    alone();
    let start = Instant::now();
    let server = serve(&folder, &["--once", "--fps", "100"]);
    let printed = start.elapsed();
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().text(), "0");
    let (delivered, worked) = (start.elapsed(), server.cpu_time());
    // CPU time, since elapsed time depends on the other work of the machine. A debug build takes five times as long.
    let is_fast = printed < Duration::from_secs(1) && delivered < SOON && worked < Duration::from_secs(3);
    assert!(is_fast, "URL after {printed:?}, first frame after {delivered:?} and {worked:?} of work");
    assert_eq!(viewer.part().text(), "1");
}

#[test]
fn a_directory_is_not_loaded_into_memory() {
    let folder = Folder::new();
    busy();
    for at in 0..100 {
        folder.put(&format!("{at}.txt"), at.to_string() + &"x".repeat(2_000_000));
    }
    let server = serve(&folder, &["--fps", "100"]);
    let mut viewer = server.view("/stream");
    let start = Instant::now();
    while viewer.part().sequence() < 150 {
        assert!(start.elapsed() < 6 * SOON);
    }
    let memory = server.memory() >> 20;
    assert!(memory < 140, "{memory} MiB for 200 MB of frames");
}

#[test]
fn pictures_of_a_directory_arrive_byte_for_byte() {
    let folder = Folder::new();
    for (at, colour) in PALETTE.iter().enumerate() {
        folder.put(&format!("{at}.png"), png(*colour));
    }
    folder.put("7.jpg", jpeg(BLUE));
    let parts = serve(&folder, &["--once", "--fps", "100"]).view("/stream").parts_to_end();
    let bodies: Vec<_> = parts.into_iter().map(|part| part.body).collect();
    let mut expected: Vec<_> = PALETTE.iter().map(|colour| png(*colour)).collect();
    expected.push(jpeg(BLUE));
    assert_eq!(bodies, expected);
}

#[test]
fn a_skipped_frame_is_logged_once_and_costs_nothing_more() {
    for mode in [&[][..], &["--follow"]] {
        let folder = Folder::new();
        (0..1500).for_each(|at| folder.write(&format!("{at}.png"), ""));
        let server = serve(&folder, mode);
        wait_until("the log has enough", SOON, || server.stderr().contains("the others are not named"));
        let mut viewer = server.view("/stream");
        folder.put("new.png", png(RED));
        assert_eq!(viewer.part().body, png(RED), "the next frame is shown");
        // Rounds still follow each other at the same pace.
        let before = server.cpu_time();
        let start = Instant::now();
        thread::sleep(Duration::from_secs(1));
        let (worked, took) = (server.cpu_time() - before, start.elapsed());
        assert!(worked < took / 3, "{worked:?} of work in {took:?}, {mode:?}");
        let output = server.stderr();
        let named: std::collections::HashSet<_> = output.lines().filter(|line| line.contains("left out: ")).collect();
        assert_eq!(
            (named.len(), output.matches("left out: ").count(), output.matches("not named").count()),
            (100, 100, 1),
            "{mode:?}"
        );
    }
}

#[test]
fn frames_that_are_refused_count_in_state_and_metrics() {
    for mode in ["--once", "--follow", "--keep-same"] {
        let folder = folder_of(&["1.txt", "4.txt"]);
        folder.put("2.txt", "x".repeat(2000));
        // Its writer has it open: otherwise it is shown as it is, if the server takes long enough to start.
        let mut writer = fs::File::create(folder.file("3.png")).unwrap();
        writer.write_all(&png(RED)[..20]).unwrap();
        let server = serve(&folder, &[mode, "--max-part", "1KiB", "--fps", "50"]);
        let mut viewer = server.view("/stream");
        viewer.part_where(|part| part.text() == "4.txt");
        let name = server.state()["feeds"][0]["name"].as_str().unwrap().to_owned();
        let line = format!("mxr_feed_refused_total{{feed=\"{name}\"}} 2\n");
        assert!(server.get("/metrics").text().contains(&line), "{mode}: {}", server.get("/metrics").text());
        assert_eq!(server.state()["feeds"][0]["refused"], 2, "{mode}");
        drop(writer);
    }
}

#[test]
fn a_run_whose_last_frame_is_refused_says_so_and_ends_directly_behind_the_one_before() {
    for last in ["x".repeat(2000), "a picture with B0UNDARY in it".to_owned()] {
        let folder = folder_of(&["1.txt", "2.txt"]);
        folder.put("3.png", [png(RED), last.into_bytes()].concat());
        let args = ["--once", "--max-part", "1KiB", "--boundary", "B0UNDARY"];
        for _ in 0..2 {
            let server = serve(&folder, &args);
            let parts = server.view("/stream").parts_to_end();
            assert_eq!(
                parts.iter().map(|part| (part.sequence(), part.text())).collect::<Vec<_>>(),
                [(1, "1.txt".into()), (2, "2.txt".into())]
            );
            wait_until("the log says so", SOON, || server.stderr().contains("left out: "));
            assert_eq!(server.stop().stderr.matches("left out: ").count(), 1);
        }
    }
}

#[test]
fn a_skipped_frame_is_shown_as_soon_as_it_is_complete() {
    for mode in [&[][..], &["--follow"]] {
        let folder = Folder::new();
        let mut writer = fs::File::create(folder.file("1.png")).unwrap();
        writer.write_all(&png(RED)[..20]).unwrap();
        let server = serve(&folder, mode);
        wait_until("it is left out", SOON, || server.stderr().contains("left out: "));
        let mut viewer = server.view("/stream");
        writer.write_all(&png(RED)[20..]).unwrap();
        drop(writer);
        assert_eq!(viewer.part().body, png(RED), "{mode:?}");
    }
}

#[test]
fn a_frame_without_its_end_is_shown_as_it_is_once_its_writer_is_gone_for_a_second() {
    for mode in ["--once", "--follow", "--keep-same"] {
        let folder = folder_of(&["1.txt", "3.txt"]);
        // What a program leaves that is killed.
        let half = br#"{"step": 1, "loss": [0.5"#;
        let mut writer = fs::File::create(folder.file("2.json")).unwrap();
        writer.write_all(half).unwrap();
        let server = serve(&folder, &[mode, "--fps", "50"]);
        let mut viewer = server.view("/stream");
        viewer.part_where(|part| {
            assert_ne!(part.body, half, "{mode}: it is being written");
            part.text() == "3.txt"
        });
        drop(writer);
        match mode {
            "--once" => {
                wait_until("a run shows it", SOON, || server.view("/stream").parts_to_end().iter().any(|part| part.body == half))
            }
            _ => drop(viewer.part_where(|part| part.body == half)),
        }
        wait_until("the log says so", SOON, || server.stderr().contains("its end is missing; shown as it is"));
        let log = server.stop().stderr;
        assert_eq!(log.lines().filter(|line| line.contains("2.json") && line.contains("as it is")).count(), 1, "{mode}: {log}");
    }
}
