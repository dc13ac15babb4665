//! The bytes of a feed, to the last CRLF.

use std::{
    process::Stdio,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::support::{
    A_WHILE, BLUE, CHROMIUM_IMAGE, Connection, FIREFOX_IMAGE, Folder, GREEN, RED, SOON, Server, Viewer, alone, mxr, padded_png,
    png, wait_until,
};

/// A watched picture that is red at first.
fn watched_picture(args: &[&str]) -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("frame.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("frame.png")).args(args).start();
    (folder, server)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn the_head_of_a_feed_forbids_caching_buffering_and_sniffing() {
    let (_folder, server) = watched_picture(&[]);
    let viewer = server.view("/stream");
    let head = &viewer.head;
    assert!(["HTTP/1.0", "HTTP/1.1"].contains(&head.version.as_str()), "{head:?}");
    assert_eq!(head.want("Content-Type"), format!("multipart/x-mixed-replace; boundary={}", viewer.boundary));
    assert_eq!(head.want("Cache-Control"), "no-store");
    assert!(head.want("Connection").eq_ignore_ascii_case("close"));
    assert_eq!(head.want("X-Accel-Buffering"), "no");
    assert_eq!(head.want("X-Content-Type-Options"), "nosniff");
    assert_eq!(head.get("Transfer-Encoding"), None);
    assert_eq!(head.get("Content-Length"), None);
}

#[test]
fn the_boundary_is_a_bare_token_with_room_for_96_random_bits() {
    let (_folder, server) = watched_picture(&[]);
    let boundary = server.view("/stream").boundary;
    assert!(boundary.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{boundary}");
    assert!((17..=70).contains(&boundary.len()), "{boundary}");
    assert_eq!(server.view("/stream").boundary, boundary, "one process, one boundary");
}

#[test]
fn two_processes_have_different_boundaries() {
    let (_first_folder, first) = watched_picture(&[]);
    let (_second_folder, second) = watched_picture(&[]);
    assert_ne!(first.view("/stream").boundary, second.view("/stream").boundary);
}

#[test]
fn a_boundary_of_the_user_is_used_as_it_is() {
    let (_folder, server) = watched_picture(&["--boundary", "boundarydonotcross"]);
    assert_eq!(server.view("/stream").boundary, "boundarydonotcross");
}

#[test]
fn a_part_is_delimiter_four_headers_body_delimiter() {
    let before = now();
    let (_folder, server) = watched_picture(&[]);
    let viewer = server.view("/stream");
    let (mut connection, boundary) = (viewer.connection, viewer.boundary);
    let body = png(RED);
    connection.expect(format!("--{boundary}\r\nContent-Type: image/png\r\nContent-Length: {}\r\nX-Timestamp: ", body.len()));
    let timestamp = String::from_utf8(connection.until(b"\r\n")).unwrap();
    connection.expect("X-Sequence: 1\r\n\r\n");
    connection.expect(&body);
    connection.expect(format!("\r\n--{boundary}\r\n"));
    connection.expect_silence(A_WHILE);
    let (seconds, micros) = timestamp.split_once('.').expect("a fraction");
    assert!(seconds.parse::<u64>().is_ok() && micros.len() == 6 && micros.parse::<u32>().is_ok(), "{timestamp}");
    let time: f64 = timestamp.parse().unwrap();
    assert!((before - 1.0..=now()).contains(&time), "{timestamp} is not the time of the part");
}

#[test]
fn the_next_delimiter_is_sent_in_the_same_write_as_the_part() {
    let (folder, server) = watched_picture(&[]);
    let mut viewer = server.view("/stream");
    viewer.part();
    folder.put("frame.png", png(GREEN));
    let written = viewer.connection.read_once(SOON).expect("the part");
    assert!(written.starts_with(b"Content-Type: image/png\r\n"), "{}", written.escape_ascii());
    let behind = format!("\r\n--{}\r\n", viewer.boundary).into_bytes();
    assert!(written.ends_with(&[png(GREEN), behind].concat()), "{}", written.escape_ascii());
}

#[test]
fn the_head_and_the_newest_part_come_at_once() {
    // Measured in milliseconds, so the test has the machine to itself.
    alone();
    let (_folder, server) = watched_picture(&[]);
    let start = Instant::now();
    server.view("/stream").part();
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
}

#[test]
fn a_feed_without_a_part_has_a_head_at_once_and_only_the_close_delimiter() {
    let folder = Folder::new();
    let server = mxr(["watch"]).arg(folder.file("later.png")).start();
    let mut viewer = server.view("/stream");
    viewer.expect_silence(A_WHILE);
    server.terminate();
    viewer.connection.expect(format!("--{}--\r\n", viewer.boundary));
    viewer.connection.expect_end();
}

#[test]
fn at_the_end_the_newest_part_is_repeated_before_the_close_delimiter() {
    let (folder, server) = watched_picture(&[]);
    let mut viewer = server.view("/stream");
    viewer.part();
    folder.put("frame.png", png(GREEN));
    let newest = viewer.part();
    server.terminate();
    let last = viewer.part();
    assert_eq!((&last.headers, &last.body), (&newest.headers, &newest.body));
    viewer.expect_end();
}

#[test]
fn a_quiet_feed_repeats_its_newest_part() {
    let (_folder, server) = watched_picture(&["--keepalive", "1"]);
    let mut viewer = server.view("/stream");
    let first = viewer.part();
    for _ in 0..2 {
        let before = Instant::now();
        let repeated = viewer.part();
        assert_eq!((&repeated.headers, &repeated.body), (&first.headers, &first.body));
        let quiet = before.elapsed();
        assert!((Duration::from_millis(700)..Duration::from_millis(2500)).contains(&quiet), "{quiet:?}");
    }
}

#[test]
fn the_keepalive_of_zero_repeats_nothing() {
    let (_folder, server) = watched_picture(&["--keepalive", "0"]);
    let mut viewer = server.view("/stream");
    viewer.part();
    viewer.expect_silence(Duration::from_millis(1500));
}

#[test]
fn a_client_that_accepts_multipart_mixed_gets_the_same_bytes_with_that_type() {
    let (folder, server) = watched_picture(&[]);
    let mut plain = server.view("/stream");
    let mut mixed = server.view_with("/stream", &["Accept: multipart/mixed"]);
    assert_eq!(mixed.head.want("Content-Type"), format!("multipart/mixed; boundary={}", plain.boundary));
    for colour in [GREEN, BLUE] {
        let (ours, theirs) = (plain.part(), mixed.part());
        assert_eq!((ours.headers, ours.body), (theirs.headers, theirs.body));
        folder.put("frame.png", png(colour));
    }
}

#[test]
fn a_number_of_parts_ends_the_feed_after_the_last() {
    let (folder, server) = watched_picture(&[]);
    let mut one = server.view("/stream?parts=1");
    let mut two = server.view("/stream?parts=2");
    assert_eq!(one.part().body, png(RED));
    one.expect_end();
    assert_eq!(two.part().body, png(RED));
    two.expect_silence(A_WHILE);
    folder.put("frame.png", png(GREEN));
    assert_eq!(two.part().body, png(GREEN));
    two.expect_end();
}

#[test]
fn an_http_1_0_reader_gets_the_feed_too() {
    let (_folder, server) = watched_picture(&[]);
    let mut connection = Connection::open(&server.host);
    connection.send(format!("GET /stream HTTP/1.0\r\nHost: {}\r\n\r\n", server.host));
    assert_eq!(Viewer::answered(connection).part().body, png(RED));
}

#[test]
fn a_line_that_contains_the_boundary_is_sent_with_the_boundary_broken_up() {
    let mut server = mxr(["stdin", "--split", "lines"]).stdin(Stdio::piped()).start();
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    // Every viewer knows it from the head of the reply, and can make a server log it.
    let boundary = viewer.boundary.clone();
    for (line, around) in [
        (format!("10.6.6.6 GET /x?q={boundary} 404"), ("10.6.6.6 GET /x?q=", " 404")),
        (format!("--{boundary}"), ("--", "")),
        (format!("--{boundary}--"), ("--", "--")),
    ] {
        server.write(format!("before\n{line}\nafter\n"));
        assert_eq!(viewer.part().text(), "before");
        let text = viewer.part().text();
        assert_eq!(text.replace(' ', ""), line.replace(' ', ""), "a space more, and nothing less");
        assert!(text.starts_with(around.0) && text.ends_with(around.1) && !text.contains(&boundary), "{text}");
        assert_eq!(viewer.part().text(), "after");
    }
    assert_eq!(server.state()["feeds"][0]["refused"], 0);
    server.expect_logs("contains the boundary", 1);
}

#[test]
fn a_word_that_the_user_chose_as_the_boundary_takes_no_line_away() {
    let mut server = mxr(["stdin", "--split", "lines", "--boundary", "frame"]).stdin(Stdio::piped()).start();
    let mut viewer = server.view("/stream");
    server.wait_for_viewers(1);
    server.write("one\nframe 2 decoded, frames dropped\nthree\n");
    let lines: Vec<_> = (0..3).map(|_| viewer.part().text()).collect();
    assert_eq!(lines, ["one", "fr ame 2 decoded, fr ames dropped", "three"]);
}

#[test]
fn a_document_that_contains_the_boundary_is_sent_and_means_the_same() {
    let folder = Folder::new();
    let server = mxr(["watch"]).arg(folder.path()).start();
    let mut viewer = server.view("/stream");
    let boundary = viewer.boundary.clone();
    let (first, rest) = (u32::from(boundary.as_bytes()[0]), &boundary[1..]);
    for (name, body, sent) in [
        ("a.html", format!("<p>{boundary}</p></html>"), format!("<p>&#{first};{rest}</p></html>")),
        ("b.json", format!("{{\"agent\":\"{boundary}\"}}"), format!("{{\"agent\":\"\\u{first:04x}{rest}\"}}")),
        (
            "c.svg",
            format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><text>{boundary}</text></svg>"),
            format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><text>&#{first};{rest}</text></svg>"),
        ),
    ] {
        folder.put(name, body);
        assert_eq!(viewer.part().text(), sent);
        assert_eq!(server.get("/snapshot").text(), sent);
    }
}

#[test]
fn a_picture_that_contains_the_boundary_is_refused_counted_and_logged() {
    let (folder, server) = watched_picture(&[]);
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().body, png(RED));
    // A chunk that says where the picture came from, as programs write it.
    folder.put("frame.png", with_text(&png(GREEN), &format!("/x?q={}", viewer.boundary)));
    wait_until("it is counted", SOON, || server.state()["feeds"][0]["refused"] == 1);
    server.expect_log("it contains the boundary");
    folder.put("frame.png", png(BLUE));
    assert_eq!(viewer.part().body, png(BLUE), "the refused one is not sent");
}

/// The PNG with a `tEXt` chunk before its pixels.
fn with_text(png: &[u8], text: &str) -> Vec<u8> {
    let content = [b"tEXtComment\0", text.as_bytes()].concat();
    let checksum = content.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
    });
    let length = u32::try_from(content.len() - 4).unwrap().to_be_bytes();
    let chunk = [&length[..], &content, &(!checksum).to_be_bytes()].concat();
    // The signature and IHDR have 33 bytes.
    [&png[..33], &chunk, &png[33..]].concat()
}

#[test]
fn html_and_svg_are_sent_with_a_sandbox_policy() {
    for (name, body) in [("page.html", "<h1>hello</h1>"), ("drawing.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>")] {
        let folder = Folder::new();
        folder.put(name, body);
        let server = mxr(["watch"]).arg(folder.file(name)).start();
        let mut viewer = server.view("/stream");
        assert!(viewer.head.want("Content-Security-Policy").contains("sandbox"), "{name}");
        assert_eq!(viewer.part().text(), body);
        assert!(server.get("/snapshot").head.want("Content-Security-Policy").contains("sandbox"), "{name}");
    }
}

mod an_img {
    use super::*;

    /// The same with a picture that is large enough to be sent once.
    fn watched_picture(args: &[&str]) -> (Folder, Server) {
        let (folder, server) = super::watched_picture(args);
        let mut viewer = server.view("/stream");
        viewer.part();
        folder.put("frame.png", large());
        assert_eq!(viewer.part().body, large());
        (folder, server)
    }

    fn large() -> Vec<u8> {
        padded_png(RED, 1024, 1)
    }

    /// The bytes after the delimiter while there is no newer part.
    fn early() -> Vec<(String, String)> {
        vec![("Content-Type".to_owned(), "image/png".to_owned())]
    }

    #[test]
    fn of_chromium_gets_the_next_headers_right_after_the_delimiter() {
        let (folder, server) = watched_picture(&[]);
        let mut viewer = server.view_with("/stream", CHROMIUM_IMAGE);
        assert_eq!(viewer.part().body, large());
        for colour in [GREEN, BLUE] {
            assert_eq!(viewer.early_headers(), early());
            viewer.expect_silence(A_WHILE);
            folder.put("frame.png", png(colour));
            assert_eq!(viewer.part().body, png(colour));
        }
    }

    #[test]
    fn of_chromium_gets_them_in_the_same_write_as_the_part() {
        let (folder, server) = watched_picture(&[]);
        let mut viewer = server.view_with("/stream", CHROMIUM_IMAGE);
        viewer.part();
        viewer.early_headers();
        folder.put("frame.png", png(GREEN));
        let written = viewer.connection.read_once(SOON).expect("the part");
        let behind = format!("\r\n--{}\r\nContent-Type: image/png\r\n\r\n", viewer.boundary);
        assert_eq!(written.escape_ascii().to_string(), [png(GREEN), behind.into()].concat().escape_ascii().to_string());
    }

    #[test]
    fn of_chromium_keeps_its_picture_at_the_end() {
        let (_folder, server) = watched_picture(&[]);
        let mut viewer = server.view_with("/stream", CHROMIUM_IMAGE);
        viewer.part();
        viewer.early_headers();
        server.terminate();
        assert_eq!(viewer.part().body, large());
        viewer.expect_end();
    }

    #[test]
    fn keeps_its_picture_at_the_end_though_text_came_after_it() {
        for lines in [CHROMIUM_IMAGE, FIREFOX_IMAGE] {
            let folder = Folder::new();
            let server = mxr(["watch"]).arg(folder.path()).args(["--keepalive", "1"]).start();
            let mut all = server.view("/stream");
            folder.put("a.png", large());
            all.part();
            let mut image = server.view_with("/stream", lines);
            assert_eq!(image.part().body, large());
            folder.put("b.txt", "text");
            assert_eq!(all.part().text(), "text");
            assert_eq!(image.part().body, large(), "the newest picture is repeated while nothing changes for the viewer");
            server.terminate();
            assert_eq!(image.part().body, large());
            image.expect_end();
        }
    }

    #[test]
    fn is_known_by_sec_fetch_dest_too() {
        let (_folder, server) = watched_picture(&[]);
        let agent = CHROMIUM_IMAGE[1];
        let mut viewer = server.view_with("/stream", &["Accept: */*", "Sec-Fetch-Dest: image", agent]);
        viewer.part();
        assert_eq!(viewer.early_headers(), early());
    }

    #[test]
    fn of_firefox_gets_only_the_delimiter() {
        let (_folder, server) = watched_picture(&[]);
        let mut viewer = server.view_with("/stream", FIREFOX_IMAGE);
        viewer.part();
        viewer.expect_silence(A_WHILE);
    }

    #[test]
    fn of_chromium_gets_a_small_first_picture_again_until_it_has_1024_bytes() {
        let (folder, server) = super::watched_picture(&["--keepalive", "0"]);
        let mut viewer = server.view_with("/stream", CHROMIUM_IMAGE);
        let boundary = viewer.boundary.clone();
        viewer.connection.expect(format!("--{boundary}\r\n"));
        let headers = viewer.connection.until(b"\r\n\r\n");
        assert!(headers.starts_with(format!("Content-Type: image/png\r\nContent-Length: {}\r\n", png(RED).len()).as_bytes()));
        let again = [png(RED), format!("\r\n--{boundary}\r\nContent-Type: image/png\r\n\r\n").into()].concat();
        let mut bytes = boundary.len() + 4 + headers.len() + 4;
        let mut pictures = 0;
        while bytes < 1024 {
            viewer.connection.expect(&again);
            (bytes, pictures) = (bytes + again.len(), pictures + 1);
        }
        assert!(pictures > 1 && png(RED).len() < 512, "{pictures} pictures of {} bytes", png(RED).len());
        viewer.expect_silence(A_WHILE);
        folder.put("frame.png", png(GREEN));
        viewer.connection.expect([png(GREEN), again[png(RED).len()..].to_vec()].concat());
        viewer.expect_silence(A_WHILE);
    }

    #[test]
    fn is_sent_only_pictures_of_its_class() {
        let folder = Folder::new();
        let server = mxr(["watch"]).arg(folder.path()).start();
        let mut all = server.view("/stream");
        folder.put("a.png", png(RED));
        assert_eq!(all.part().media(), "image/png");
        let mut image = server.view_with("/stream", FIREFOX_IMAGE);
        assert_eq!(image.part().body, png(RED));
        let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
        let others = [("b.txt", "text", "text/plain"), ("c.svg", svg, "image/svg+xml"), ("d.html", "<p>", "text/html")];
        for (count, (name, body, media)) in others.into_iter().enumerate() {
            folder.put(name, body);
            assert_eq!(all.part().media(), media);
            let left_out = |viewer: &serde_json::Value| viewer["left_out"] == count + 1;
            wait_until("it is left out, and counted", SOON, || server.viewers().iter().any(left_out));
        }
        folder.put("e.png", png(BLUE));
        assert_eq!(all.part().body, png(BLUE));
        assert_eq!(image.part().body, png(BLUE));
    }
}
