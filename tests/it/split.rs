//! `… | mxr stdin --split HOW`: with every kind of separator each part arrives complete, with its type, as soon as it ends.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{A_WHILE, BLUE, GREEN, Part, RED, SOON, Server, Viewer, jpeg, mxr, noise, png, tool, wait_until};

fn stdin(args: &[&str]) -> Server {
    mxr(["stdin"]).args(args).stdin(Stdio::piped()).start()
}

/// Parts until the end, a repeated last one counted once.
fn parts_to_end(viewer: &mut Viewer) -> Vec<Part> {
    let mut parts = viewer.parts_to_end();
    parts.dedup_by_key(|part| part.sequence());
    parts
}

/// The parts that viewers get from this input, as text.
fn texts(split: &str, input: &[u8]) -> Vec<String> {
    let mut server = stdin(&["--split", split, "--exit-on-eof"]);
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    server.write(input);
    drop(server.take_stdin());
    parts_to_end(&mut viewer).iter().map(Part::text).collect()
}

#[test]
fn names_of_find_print0_are_parts() {
    assert_eq!(texts("nul", b"./a b\0./c\nd\0"), ["./a b", "./c\nd"]);
}

#[test]
fn paragraphs_are_parts() {
    assert_eq!(texts("blank", b"\none\ntwo\n\n\nthree\r\n\r\nfour"), ["one\ntwo", "three", "four"]);
}

#[test]
fn documents_between_separators_are_parts() {
    assert_eq!(texts("\\n---\\n", b"a: 1\n---\nb: 2\n---\n"), ["a: 1", "b: 2"]);
    assert_eq!(texts("\\x1e", b"\x1e{\"a\":1}\x1e{\"b\":2}"), ["{\"a\":1}", "{\"b\":2}"]);
}

#[test]
fn a_first_line_with_dashes_is_a_line() {
    assert_eq!(texts("auto", b"--- a/file\n+++ b/file\n"), ["--- a/file", "+++ b/file"]);
    assert_eq!(texts("auto", b"--verbose\n"), ["--verbose"]);
}

#[test]
fn an_unknown_split_is_an_error() {
    for split in ["mjpeg", "", "\\q"] {
        mxr(["stdin", "--split", split]).run().usage_error().stderr("mxr: cannot use --split");
    }
    mxr(["stdin", "--split", "jpeg", "--window", "3"]).run().usage_error();
}

#[test]
fn pictures_are_recognized_by_their_first_bytes_and_sent_with_their_last() {
    for (media, pictures) in [("image/jpeg", [RED, GREEN, BLUE].map(jpeg)), ("image/png", [RED, GREEN, BLUE].map(png))] {
        let mut server = stdin(&[]);
        let mut viewer = server.view("/stream");
        server.wait_for_viewers(1);
        for picture in pictures {
            let (last, before) = picture.split_last().unwrap();
            server.write(before);
            viewer.expect_silence(A_WHILE / 3);
            server.write([*last]);
            let part = viewer.part();
            assert_eq!((part.media(), &part.body), (media, &picture));
        }
        assert_eq!(server.state()["feeds"][0]["kind"], "newest");
    }
}

#[test]
fn a_stalled_viewer_of_frames_gets_the_newest() {
    let mut server = stdin(&[]);
    let mut stalled = server.view_narrowly("/stream");
    server.wait_for_viewers(1);
    let frames: Vec<_> = (0..50).map(|seed| noise(300_000, seed)).collect();
    frames.iter().for_each(|frame| server.write(frame));
    wait_until("all are published", SOON, || server.state()["feeds"][0]["published"] == frames.len());
    let mut seen = Vec::new();
    while seen.last() != Some(&50) {
        let part = stalled.part();
        assert!(part.body == frames[part.sequence() as usize - 1], "part {} is whole", part.sequence());
        seen.push(part.sequence());
    }
    assert!(seen.len() < 20, "{seen:?}");
}

#[test]
fn parts_of_multipart_keep_their_types() {
    let mut server = stdin(&["--exit-on-eof", "--history", "10"]);
    let picture = jpeg(RED);
    server.write("--frame\r\nContent-Type: image/jpg\r\n\r\n");
    server.write(&picture);
    server.write("\r\n--frame\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>hi</p>\r\n--frame--\r\n");
    wait_until("both are published", SOON, || server.state()["feeds"][0]["published"] == 2);
    let mut viewer = server.view("/stream?history=10");
    let (first, second) = (viewer.part(), viewer.part());
    assert_eq!((first.header("Content-Type"), &first.body), ("image/jpeg", &picture));
    assert_eq!((second.header("Content-Type"), second.text().as_str()), ("text/html", "<p>hi</p>"));
}

/// Multipart of pictures with everything that a camera or `curl` may put before it.
#[test]
fn multipart_is_recognized_behind_whatever_comes_before_its_first_part() {
    let head = "Content-Type: image/jpeg\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=B\r\n\r\n";
    for (before, delimiter) in [
        (String::new(), "\r\n--B\r\n"),
        ("--B\r\n--B\r\n".to_owned(), "\r\n--B\r\n"),
        ("--B \t \r\n".to_owned(), "\r\n--B \t \r\n"),
        ("\n--B\n".to_owned(), "\n--B\n"),
        ("\r\n\r\n--B\r\n".to_owned(), "\r\n--B\r\n"),
        (format!("{response}--B\r\n"), "\r\n--B\r\n"),
        (format!("{response}--B\r\n--B\r\n"), "\r\n--B\r\n"),
        (format!("{response}preamble\r\n--B\r\n"), "\r\n--B\r\n"),
        (response.to_owned(), "\r\n--B\r\n"),
        (format!("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n{response}--B\r\n"), "\r\n--B\r\n"),
        ("a preamble\r\nof two lines\r\n--B\r\n".to_owned(), "\r\n--B\r\n"),
        ("--video boundary--\r\n".to_owned(), "\r\n--video boundary--\r\n"),
    ] {
        for head in [head, &head.replace('\r', "")] {
            let mut server = stdin(&["--history", "10"]);
            server.write(before.as_bytes());
            for picture in [RED, GREEN, BLUE].map(jpeg) {
                server.write([head.as_bytes(), &picture, delimiter.as_bytes()].concat());
            }
            let part = server.view("/stream").part_where(|part| part.body == jpeg(BLUE));
            assert_eq!(
                (part.header("Content-Type"), &server.state()["feeds"][0]["kind"]),
                ("image/jpeg", &"newest".into()),
                "{before:?}"
            );
        }
    }
}

#[test]
fn pictures_behind_a_banner_are_pictures_and_the_log_says_so() {
    for (media, pictures) in [("image/jpeg", [RED, GREEN, BLUE].map(jpeg)), ("image/png", [RED, GREEN, BLUE].map(png))] {
        let mut server = stdin(&[]);
        let mut viewer = server.view("/stream");
        server.wait_for_viewers(1);
        server.write("Preview: starting\n");
        assert_eq!(viewer.part().text(), "Preview: starting");
        for picture in &pictures {
            server.write(picture);
            let part = viewer.part();
            assert_eq!((part.media(), &part.body), (media, picture));
        }
        assert_eq!(server.state()["feeds"][0]["kind"], "newest");
        wait_until("the log says so", SOON, || server.stderr().contains("the text was a banner"));
        assert!(!server.stderr().contains("NUL"), "{}", server.stderr());
    }
}

#[test]
fn text_that_begins_like_multipart_loses_no_line() {
    for text in [
        "Content-Type: foo\nContent-Type: bar\n",
        "Content-Type: text/html\n\n<p>a page of a CGI program\n",
        "HTTP/1.1 200 OK\nHTTP/1.1 404 Not Found\n",
        "HTTP/1.1 200 OK\nContent-Type: text/plain\n\n--B\nContent-Type: image/jpeg\n\nno picture\n",
        "--\n--foo\n--bar: baz\n",
        "--foo\nContent-Type: foo\n\nbar\n",
        "<svg> is a tag\nof SVG\n",
        "a log\n--B\nContent-Type: text/plain\nContent-Length: 3\n\nof a mail\n",
    ] {
        let lines: Vec<_> = text.lines().map(|line| if line.is_empty() { "\n" } else { line }).collect();
        assert_eq!(texts("auto", text.as_bytes()), lines);
    }
}

#[test]
fn a_picture_in_a_log_does_not_end_the_log() {
    let mut server = stdin(&["--history", "10"]);
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    server.write([b"before\n", &jpeg(RED)[..], b"after\nand after\n"].concat());
    let parts: Vec<_> = (0..4).map(|_| viewer.part()).collect();
    assert_eq!(parts.iter().map(Part::media).collect::<Vec<_>>()[1], "image/jpeg");
    assert_eq!([&parts[0], &parts[2], &parts[3]].map(Part::text), ["before", "after", "and after"]);
    assert_eq!(server.state()["feeds"][0]["kind"], "lines");
}

/// With a type that the user gives, and, except for JSON, without.
#[test]
fn documents_are_cut_at_their_ends_and_not_at_line_ends() {
    let svg = |n: usize| format!("<svg xmlns=\"http://www.w3.org/2000/svg\">\n<rect width=\"{n}\" height=\"9\"/>\n</svg>");
    let html = |n: usize| format!("<!doctype html>\n<html>\n<p>{n}\n</html>");
    let json = |n: usize| format!("{{\n  \"n\": {n},\n  \"list\": [\n    1\n  ]\n}}");
    for (media, document) in [
        ("image/svg+xml", &svg as &dyn Fn(usize) -> String),
        ("text/html", &html),
        ("application/json", &json),
        ("application/xml", &svg),
    ] {
        for typed in [true, false] {
            if !typed && media.starts_with("application") {
                continue;
            }
            let args = ["--type", media];
            let mut server = stdin(if typed { &args } else { &[] });
            let mut viewer = server.view("/stream");
            server.wait_for_viewers(1);
            for (n, between) in ["", "\n", "\n\n"].into_iter().enumerate() {
                server.write(document(n) + between);
                let part = viewer.part();
                assert_eq!((part.header("Content-Type"), part.text()), (media, document(n)), "{typed}");
            }
            let feed = &server.state()["feeds"][0];
            assert_eq!((&feed["kind"], &feed["published"]), (&"newest".into(), &3.into()), "{media}");
        }
    }
}

#[test]
fn json_values_of_a_line_each_stay_lines() {
    let mut server = stdin(&["--type", "application/json", "--exit-on-eof"]);
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    server.write("{\"a\":1}\n[2]\n3\n{\"a\":{\"b\":\"}\"}}\n");
    drop(server.take_stdin());
    let parts = parts_to_end(&mut viewer);
    assert_eq!(parts.iter().map(Part::text).collect::<Vec<_>>(), ["{\"a\":1}", "[2]", "3", "{\"a\":{\"b\":\"}\"}}"]);
}

#[test]
fn truncated_parts_are_skipped_and_counted() {
    let mut server = stdin(&["--max-part", "100KiB"]);
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    let (picture, large) = (png(RED), noise(200_000, 1));
    let torn = &png(BLUE)[..100];
    server.write([&picture[..], b"junk", torn, &png(GREEN), &large, &picture].concat());
    wait_until("what is left out is counted at once", SOON, || server.state()["feeds"][0]["refused"] == 2);
    server.write(torn);
    drop(server.take_stdin());
    let bodies: Vec<_> = parts_to_end(&mut viewer).into_iter().map(|part| part.body).collect();
    assert!(bodies.iter().all(|body| *body == picture || *body == png(GREEN)), "{} parts", bodies.len());
    assert_eq!(bodies.last(), Some(&picture));
    assert_eq!(server.state()["feeds"][0]["refused"], 3);
    server.expect_log("left out");
}

#[test]
fn a_pace_thins_the_feed_and_keeps_the_last() {
    let mut server = stdin(&["--max-fps", "10", "--exit-on-eof"]);
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    let frames: Vec<_> = (0..100).map(|seed| noise(2_000, seed)).collect();
    let start = Instant::now();
    for frame in &frames {
        server.write(frame);
        std::thread::sleep(Duration::from_millis(10));
    }
    let limit = start.elapsed().as_millis() as usize / 100 + 2;
    drop(server.take_stdin());
    let parts = parts_to_end(&mut viewer);
    assert!((5..=limit).contains(&parts.len()), "{} parts, at most {limit}", parts.len());
    assert_eq!(parts.last().unwrap().body, *frames.last().unwrap());
}

#[test]
fn bytes_without_an_end_are_explained_once() {
    let mut server = stdin(&[]);
    server.write("a line whose end is held back");
    wait_until("the log explains it", SOON, || server.stderr().contains("stdbuf -oL"));
    server.write(", and held back");
    std::thread::sleep(Duration::from_millis(2300));
    server.expect_logs("stdbuf", 1);
    server.write("\n");
    assert_eq!(server.view("/stream").part().text(), "a line whose end is held back, and held back");
}

/// Every frame that ffmpeg sends arrives, and a decoder accepts it.
#[track_caller]
fn ffmpeg(format: &[&str], media: &str) {
    let Some(ffmpeg) = tool(&["ffmpeg"]) else { return };
    let mut producer = Command::new(ffmpeg)
        .args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30", "-t", "2"])
        .args(format)
        .arg("-")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let server = mxr(["stdin", "--exit-on-eof"]).stdin(producer.stdout.take().unwrap()).start();
    let parts = parts_to_end(&mut server.view("/stream"));
    assert!(producer.wait().unwrap().success());
    let first = parts[0].sequence();
    assert!(first <= 30 && parts.last().unwrap().sequence() == 60, "{first} to {}", parts.last().unwrap().sequence());
    // A busy machine may replace some before it has sent them, but not most.
    assert!(parts.len() as u64 * 2 > 60 - first, "{} of {}", parts.len(), 61 - first);
    for part in &parts {
        assert_eq!(part.media(), media);
        let picture = image::load_from_memory(&part.body).expect("a whole picture");
        assert_eq!((picture.width(), picture.height()), (320, 240));
    }
}

#[test]
fn ffmpeg_mjpeg_arrives_frame_by_frame() {
    ffmpeg(&["-f", "mjpeg"], "image/jpeg");
}

#[test]
fn ffmpeg_png_arrives_frame_by_frame() {
    ffmpeg(&["-f", "image2pipe", "-c:v", "png"], "image/png");
}

#[test]
fn ffmpeg_mpjpeg_arrives_frame_by_frame() {
    ffmpeg(&["-f", "mpjpeg"], "image/jpeg");
}
