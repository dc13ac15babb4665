//! `mxr doctor URL`: what it finds in a feed of any dialect and at any pace, and that it finds nothing else.

use std::{process::Stdio, thread, time::Duration};

use serde_json::Value;

use crate::support::{
    Asked, Ca, Finished, Folder, GREEN, Nginx, RED, SOON, Server, Upstream, free_port, jpeg, mxr, tool, wait_until,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=B\r\n\
                    Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n\r\n";
const STRICT: &str = "--B\r\nContent-Type: image/jpeg\r\nContent-Length: {1}\r\n\r\n{one}\r\n--B\r\nContent-Type: image/jpeg\r\nContent-Length: {2}\r\n\r\n{two}\r\n--B--\r\n";

/// A change to the text of the head or the body, and the names of what it is found by.
type Dialect = (&'static [(&'static str, &'static str)], &'static [&'static str]);

const DIALECTS: &[Dialect] = &[
    (&[], &[]),
    (&[("; boundary=B", "")], &["boundary-missing"]),
    (&[("boundary=B", "boundary='B'")], &["boundary-quoting"]),
    (&[("boundary=B", "BOUNDARY=B")], &["boundary-capitals"]),
    (&[("; boundary=B", "; charset=x; boundary=B")], &["boundary-not-first"]),
    (&[("HEAD--B", "HEAD\r\n--B")], &["leading-line-end"]),
    (&[("HEAD--B", "HEADhello\r\n--B")], &["preamble"]),
    (&[("HEAD--B\r\n", "HEAD")], &["no-first-delimiter"]),
    (&[("boundary=B", "boundary=--B")], &["dashes-in-boundary"]),
    (&[("--B", "B")], &["dashes-missing"]),
    (&[("--B", "----B")], &["dashes-extra"]),
    (&[("--B\r\n", "--B \r\n")], &["spaces-after-delimiter"]),
    (&[("--B\r\nContent", "--BContent")], &["header-on-delimiter-line"]),
    (&[("--B\r\n", "--B\r\n--B\r\n")], &["delimiter-twice"]),
    (&[("--B\r\n", "--B--\r\n")], &["part-after-close"]),
    (&[("--B\r\n", "--B\n"), ("{1}\r\n\r\n", "{1}\n\n")], &["lf-line-ends"]),
    (&[("--B\r\n", "--B\r\nHTTP/1.0 200 OK\r\n")], &["response-in-body"]),
    (&[("HEAD", "HEADHTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=B\r\n\r\n")], &["response-in-body"]),
    (&[("--B\r\n", "--B\r\n\r\n")], &["blank-line-before-headers"]),
    (&[("1}\r\n\r\n", "1}\r\n\r\n\r\n")], &["blank-line-before-body"]),
    (&[("Content-Type: image", "Content-Type : image")], &["header-malformed"]),
    (&[("Content-Type: image/jpeg\r\n", "")], &["no-type"]),
    (&[("image/jpeg", "picture")], &["type-unreadable"]),
    (&[("image/jpeg", "image/jpg")], &["type-alias"]),
    (&[("image/jpeg", "image/jpeg; charset=x")], &["type-parameters"]),
    (&[("\r\nContent-Length: {1}", ""), ("\r\nContent-Length: {2}", "")], &["no-length"]),
    (&[("{1}", "-1"), ("{2}", "many")], &["length-unreadable"]),
    (&[("Content-Length: {1}", "Content-Length: 7\r\nContent-Length: {1}")], &["length-twice"]),
    (&[("{1}", "99{1}")], &["length-too-long"]),
    (&[("{1}", "7")], &["length-too-short"]),
    (&[("{one}\r\n", "{one}\r\n\r\n")], &["extra-line-ends"]),
    (&[("{two}\r\n", "{two}\r\n--B\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n\r\n\r\n")], &["empty-part"]),
    (&[("{one}\r\n", "{one}")], &["no-line-end"]),
    (&[("--B--\r\n", "--B\r\nContent-Type: image/jpeg\r\nContent-Length: 99\r\n\r\nx")], &["part-cut-off"]),
    (&[("--B--\r\n", "")], &["no-close-delimiter"]),
    (&[("=B\r\n", "=another\r\n")], &["boundary-wrong"]),
    (&[("no-store\r\n", "no-store\r\nX-Key : x\r\n")], &["head-malformed"]),
    (&[("Cache-Control: no-store\r\n", "")], &["cacheable"]),
    (&[("X-Accel-Buffering: no\r\n", "")], &["may-be-buffered"]),
    (&[("Cache-Control", "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control")], &["clock-differs"]),
    (&[("Cache-Control", "Content-Encoding: gzip\r\nCache-Control")], &["compressed-unasked"]),
    (&[("x-mixed-replace", "mixed")], &["not-x-mixed-replace"]),
    (&[("multipart/x-mixed-replace; boundary=B", "image/jpeg")], &["type-not-multipart"]),
    (
        &[("image/jpeg", "image/png; x=y"), ("{one}", "not a picture, but long enough")],
        &["length-too-long", "not-its-type", "type-parameters"],
    ),
    (&[("Length: {2}\r\n", "Length: {2}\r\nX-Timestamp: 7.5\r\n")], &["timestamp-no-time"]),
];

/// The response of this dialect; `HEAD` stands for the end of the head.
fn response(changes: &[(&str, &str)]) -> Vec<u8> {
    let (one, two) = (jpeg(RED), jpeg(GREEN));
    let text = [HEAD, "HEAD", STRICT].concat();
    let text = changes.iter().fold(text, |text, (from, to)| text.replace(from, to)).replace("HEAD", "");
    let text = text.replace("{1}", &one.len().to_string()).replace("{2}", &two.len().to_string());
    let mut bytes = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['{']) {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.extend_from_slice(if rest[at..].starts_with("{one}") { &one } else { &two });
        rest = &rest[at + 5..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// An upstream that also has a still picture.
fn upstream(answer: impl Fn(&mut Asked<'_>) + Send + Sync + 'static) -> Upstream {
    Upstream::serve(move |mut asked| match asked.path().starts_with("/snapshot") {
        true => _ = asked.reply("200 OK", "image/jpeg", jpeg(RED)),
        false => answer(&mut asked),
    })
}

fn doctor(url: &str, options: &[&str]) -> Finished {
    mxr(["doctor", url]).args(options).run()
}

/// The report as JSON.
fn report(url: &str, read_for: &str) -> Value {
    let finished = doctor(url, &["--json", "--for", read_for]);
    let report: Value = serde_json::from_slice(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stderr));
    let breaks = report["findings"].as_array().unwrap().iter().any(|finding| finding["severity"] == "breaks");
    let code = if report["looked"] == false { 3 } else { i32::from(breaks) };
    assert_eq!(finished.status.code(), Some(code), "{report:#}");
    report
}

fn names(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let mut names: Vec<String> = findings.map(|finding| finding["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn each_dialect_is_found_by_its_own_oddity_and_no_other_at_any_read_size() {
    for (seed, (changes, expected)) in (0..).zip(DIALECTS) {
        let bytes = response(changes);
        for longest in [usize::MAX, 40] {
            let sent = bytes.clone();
            let upstream = upstream(move |asked| _ = asked.send_in_pieces(&sent, longest, seed));
            let report = report(&upstream.url("/stream"), "5s");
            assert_eq!(names(&report), *expected, "{}\n{report:#}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn a_feed_of_mxr_has_no_finding() {
    let folder = Folder::new();
    folder.put("a.jpg", jpeg(RED));
    let server = mxr(["watch"]).arg(folder.file("a.jpg")).args(["--keepalive", "0.1"]).start();
    let report = report(&server.url("/"), "1s");
    assert_eq!(names(&report), [""; 0], "{report:#}");
    assert!(report["readers"].as_array().unwrap().iter().all(|reader| reader["reads"] == true), "{report:#}");
    doctor(&server.url("/stream/a.jpg"), &["--for", "0.3"]).success().stdout("Nothing found.").stdout("/snapshot/a.jpg");
    let demo = mxr(["serve", "--demo"]).start();
    assert_eq!(names(&self::report(&demo.url("/"), "8s")), [""; 0], "an <img> is sent pictures alone");
}

#[test]
fn what_is_no_feed_is_named() {
    let cases: &[(&str, &str, &str, &str)] = &[
        ("404 Not Found", "text/html", "<html>", "not-found"),
        ("403 Forbidden", "text/html", "<html>", "forbidden"),
        ("503 Service Unavailable", "text/plain", "full", "unavailable"),
        ("500 Oops", "text/plain", "x", "bad-status"),
        ("200 OK", "text/html; charset=utf-8", "<html><form>password</form></html>", "html-page"),
        ("200 OK", "text/plain", "line\n", "plain-text"),
        ("200 OK", "application/json", "{}", "not-a-feed"),
        ("200 OK", "image/jpeg", "", "empty-response"),
    ];
    for (status, media, body, name) in cases {
        let upstream = Upstream::serve(move |mut asked| _ = asked.reply(status, media, body));
        assert_eq!(names(&report(&upstream.url("/"), "5s")), [*name], "{status} {media}");
    }
    let upstream = Upstream::serve(|mut asked| _ = asked.reply("200 OK", "image/jpeg", jpeg(RED)));
    assert_eq!(names(&report(&upstream.url("/"), "5s")), ["plain-picture"]);
    let torn = Upstream::serve(|mut asked| _ = asked.reply("200 OK", "image/jpeg", &jpeg(RED)[..100]));
    assert_eq!(names(&report(&torn.url("/"), "5s")), ["plain-picture", "torn-part"]);
}

#[test]
fn a_head_that_is_none_is_named() {
    let multipart = "Content-Type: multipart/x-mixed-replace; boundary=B\r\n";
    let cases: &[(String, &str)] = &[
        (String::new(), "no-response"),
        ("ICY 200 OK\r\n\r\n".to_owned(), "not-http"),
        ("RTSP/1.0 200 OK\r\n\r\n".to_owned(), "not-http"),
        (format!("HTTP/1.1 200 OK\r\n{multipart}Content-Length: many\r\n\r\n"), "content-length-invalid"),
        (format!("HTTP/1.1 200 OK\r\n{multipart}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), "content-length-invalid"),
        ("HTTP/1.1 OK\r\n\r\n".to_owned(), "head-broken"),
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned(), "redirect-broken"),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(), "redirect-broken"),
        ("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_owned(), "challenge-missing"),
        ("HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n".to_owned(), "challenge-unknown"),
        ("HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=\"mxr\"\r\nContent-Length: 0\r\n\r\n".to_owned(), "token-asked"),
    ];
    for (head, name) in cases {
        let sent = head.clone();
        let upstream = Upstream::serve(move |mut asked| _ = asked.send(&sent));
        assert_eq!(names(&report(&upstream.url("/"), "5s")), [*name], "{head}");
    }
}

#[test]
fn odd_lines_of_a_head_and_chunks_are_found_beside_a_feed_that_is_read() {
    let head = |lines: &str| HEAD.replace("no-store\r\n", &format!("no-store\r\n{lines}"));
    let strict = response(&[]).split_off(HEAD.len());
    let length = format!("Content-Length: {}\r\n", strict.len());
    let chunks: Vec<u8> =
        strict.chunks(100).flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).collect();
    for (head, body, name) in [
        (head(&length), strict.clone(), "content-length-on-feed"),
        (head(&length.repeat(2)), strict.clone(), "content-length-twice"),
        (head("Transfer-Encoding: chunked\r\n"), [chunks, b"0\r\n\r\n".to_vec()].concat(), "chunked"),
        (head("").replace("\r\n", "\n"), strict.clone(), "head-lf"),
    ] {
        let upstream = upstream(move |asked| _ = asked.send(&head) && asked.send(&body));
        let report = report(&upstream.url("/stream"), "5s");
        assert_eq!(names(&report), [name]);
        assert_eq!(report["facts"]["feed"]["parts"], 2);
    }
}

#[test]
fn a_password_is_asked_for_used_and_never_shown() {
    let folder = Folder::new();
    folder.put("a.jpg", jpeg(RED));
    let server = mxr(["watch"]).arg(folder.file("a.jpg")).args(["--auth", "anna:s3cret", "--keepalive", "0.1"]).start();
    assert_eq!(names(&report(&server.url("/"), "1s")), ["password-asked"]);
    let with = |password: &str| server.url("/stream?key=k3y").replace("http://", &format!("http://anna:{password}@"));
    doctor(&server.url("/"), &[]).stdout("The server asks for a password (Basic).\n");
    doctor(&with("wrongs3cret"), &[]).stdout("The server refuses the user or password.\n");
    for (password, said) in [("wrongs3cret", "password-refused"), ("s3cret", "password    sent as Basic")] {
        let finished = doctor(&with(password), &["--for", "0.5"]).stdout(said);
        finished.no_stdout("s3cret").no_stdout("k3y").no_stderr("s3cret").no_stderr("k3y");
    }
    doctor(&with("s3cret%zz"), &[]).usage_error().no_stderr("s3cret");
    folder.put("auth", "anna:s3cret");
    let path = folder.file("auth");
    doctor(&server.url("/"), &["--for", "0.5", "--upstream-auth-file", path.to_str().unwrap()]).success();
}

#[test]
fn a_certificate_that_is_not_believed_is_named() {
    let (ca, folder) = (Ca::new(), Folder::new());
    ca.sign("camera");
    folder.put("a.jpg", jpeg(RED));
    let server = mxr(["watch"]).arg(folder.file("a.jpg")).arg("--tls-cert").arg(ca.cert()).arg("--tls-key").arg(ca.key()).start();
    assert_eq!(names(&report(&server.url("/"), "1s")), ["certificate"]);
    let authority = ca.ca();
    doctor(&server.url("/"), &["--for", "0.5", "--upstream-ca", authority.to_str().unwrap()]).success().stdout("TLS");
    let plain = upstream(|_| {});
    doctor(&plain.url("/").replace("http", "https"), &["--upstream-timeout", "1s"]).code(1).stdout("breaks      tls");
}

/// Sends pictures of alternating colours: each time as many as `pause` says, with a pause before them.
fn paced(asked: &mut Asked<'_>, is_delimiter_late: bool, pauses: &[(usize, u64)]) {
    let part = |at: usize| {
        let body = jpeg(if at.is_multiple_of(2) { RED } else { GREEN });
        let head = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", body.len());
        match is_delimiter_late {
            true => [b"--B\r\n", head.as_bytes(), &body, b"\r\n"].concat(),
            false => [head.as_bytes(), &body, b"\r\n--B\r\n"].concat(),
        }
    };
    let mut sent = 0;
    asked.send(HEAD);
    asked.send(if is_delimiter_late { "" } else { "--B\r\n" });
    for (parts, pause) in pauses {
        thread::sleep(Duration::from_millis(*pause));
        let bytes: Vec<u8> = (sent..sent + parts).flat_map(part).collect();
        sent += parts;
        if !asked.send(bytes) {
            return;
        }
    }
    asked.hang();
}

#[test]
fn the_pace_of_a_feed_is_judged() {
    for (is_late, pauses, expected) in [
        (false, vec![(1, 50); 10], vec![]),
        (true, vec![(1, 200); 8], vec!["delimiter-late"]),
        (false, vec![(8, 400); 4], vec!["bursts"]),
        (false, [vec![(1, 50); 8], vec![(1, 3000)]].concat(), vec!["stalls"]),
    ] {
        let read_for = format!("{}ms", pauses.iter().map(|(_, pause)| pause).sum::<u64>() + 1500);
        let upstream = upstream(move |asked| paced(asked, is_late, &pauses));
        let report = report(&upstream.url("/stream"), &read_for);
        assert_eq!(names(&report), expected, "{report:#}");
    }
}

#[test]
fn what_an_img_does_not_take_is_found_unless_the_server_leaves_it_out() {
    let body = "--B\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\ntext\r\n--B\r\nContent-Type: image/jpeg\r\nContent-Length: {1}\r\n\r\n{one}\r\n--B--\r\n";
    let bytes = response(&[(STRICT, body)]);
    let upstream = upstream(move |asked| _ = asked.send(&bytes));
    let report = report(&upstream.url("/stream"), "5s");
    assert_eq!(names(&report), ["mixed-families"]);
    let chromium = report["readers"].as_array().unwrap().iter().find(|reader| reader["name"] == "Chromium").unwrap();
    assert_eq!((&chromium["reads"], &chromium["problems"][0]), (&Value::from(false), &Value::from("mixed-families")));
}

#[test]
fn a_feed_is_left_before_its_still_picture_is_asked_for() {
    let bytes = response(&[]);
    let upstream = upstream(move |asked| {
        asked.send(&bytes);
        asked.hang();
    });
    doctor(&upstream.url("/stream"), &["--for", "1s"]).stdout("/snapshot");
    assert_eq!((upstream.requests().len(), upstream.most_open()), (2, 1), "a camera may take one connection");
}

#[test]
fn a_server_without_a_still_picture_and_one_that_redirects_are_noted() {
    let bytes = response(&[]);
    let upstream = Upstream::serve(move |mut asked| match asked.path() {
        "/stream" => _ = asked.reply_with("302 Found", &["Location: /other?key=s3cret"], ""),
        path if path.starts_with("/other") => _ = asked.send(&bytes),
        _ => _ = asked.reply("404 Not Found", "text/plain", ""),
    });
    let finished = doctor(&upstream.url("/stream"), &["--for", "5s"]).success().stdout("no-snapshot").stdout("redirected");
    finished.no_stdout("s3cret");
    assert!(upstream.most_open() <= 1, "a camera may take one connection");
}

#[test]
fn exit_codes_tell_a_broken_feed_from_one_that_could_not_be_looked_at() {
    let report = report(&format!("http://127.0.0.1:{}/", free_port()), "1s");
    assert_eq!(report["looked"], false);
    assert!(report["error"]["sentence"].as_str().unwrap().contains("refused"), "{report:#}");
    mxr(["doctor", "http://127.0.0.1/", "--upstream-auth-file", "/none"]).run().code(3).stderr("--upstream-auth-file");
    mxr(["doctor", "https://127.0.0.1/", "--upstream-ca", "/none"]).run().code(3).stdout("--upstream-ca");
    for (args, said) in [
        (["http://127.0.0.1/", "--for=0s"], "--for"),
        (["ftp://127.0.0.1/", "--for=1s"], "not http"),
        (["camera.example:80/video", "--for=1s"], "http://"),
    ] {
        mxr(["doctor"]).args(args).run().usage_error().stderr(said);
    }
}

#[test]
fn the_text_fits_a_terminal_and_moves_no_cursor() {
    let upstream = upstream(|asked| {
        let bytes = response(&[("boundary=B", &format!("boundary=B; x={}", "y".repeat(200))), ("image/jpeg", "image/\u{9b}31m")]);
        asked.send(bytes);
    });
    let text = doctor(&upstream.url(&format!("/stream/{}", "long".repeat(40))), &["--for", "5s"]).code(1).printed();
    for line in text.lines() {
        assert!(line.chars().count() <= 80 && !line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn every_field_of_the_json_is_in_the_page_and_the_page_names_no_other() {
    let server: Server = mxr(["serve", "--demo"]).start();
    let mut fields = Vec::new();
    collect(&report(&server.url("/"), "2s"), &mut fields);
    let folder = Folder::new();
    folder.put("a.txt", "x");
    let printed = mxr(["doctor", "--json"]).arg(folder.path()).run().success().printed();
    collect(&serde_json::from_str(&printed).unwrap(), &mut fields);
    let page = std::fs::read_to_string(crate::support::root().join("docs/doctor.md")).unwrap();
    let (_, schema) = page.split_once("## JSON").unwrap();
    for field in &fields {
        assert!(schema.contains(&format!("`{field}`")), "docs/doctor.md does not speak of {field}");
    }
}

/// The names of fields, but for those of types and findings.
fn collect(value: &Value, fields: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let (name, is_group) = (name.clone(), ["facts", "response", "feed", "snapshot", "file"].contains(&name.as_str()));
                if !is_group {
                    fields.push(name.clone());
                }
                if name != "types" && name != "oddities" {
                    collect(value, fields);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, fields)),
        _ => {}
    }
}

#[test]
fn a_proxy_that_buffers_is_found_in_front_of_a_feed_that_is_clean_without_it() {
    // Of another kind than mxr, which tells nginx not to.
    let upstream = upstream(|asked| {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=B\r\nCache-Control: no-store\r\n\r\n--B\r\n";
        asked.send(head);
        for at in 0..2000_usize {
            let body = [jpeg(if at.is_multiple_of(2) { RED } else { GREEN }), vec![0; 700]].concat();
            let part = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", body.len());
            if !asked.send([part.as_bytes(), &body, b"\r\n--B\r\n"].concat()) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    let Some(nginx) = Nginx::start(&format!(
        "location / {{ proxy_pass http://{}; proxy_buffers 8 16k; proxy_buffer_size 16k; }}",
        upstream.address
    )) else {
        return;
    };
    let found = names(&report(&nginx.url("/stream"), "5s"));
    assert!(found.contains(&"bursts".to_owned()), "{found:?}");
    assert!(!names(&report(&upstream.url("/stream"), "2s")).contains(&"bursts".to_owned()));
}

#[test]
fn the_feed_of_ffmpeg_is_read_and_its_dialect_named() {
    let Some(ffmpeg) = tool(&["ffmpeg"]) else { return };
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/feed");
    let source = ["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=10", "-t", "20", "-f", "mpjpeg"];
    let serve = ["-content_type", "multipart/x-mixed-replace;boundary=ffmpeg", "-listen", "1"];
    let mut command = std::process::Command::new(ffmpeg);
    let mut child = command.args(source).args(serve).arg(&url).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It takes one connection, so that nothing may be tried out before.
    let listens = format!(":{port:04X} 00000000:0000 0A");
    wait_until("ffmpeg listens", SOON, || std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&listens));
    let report = report(&url, "2s");
    let _ = child.kill();
    let _ = child.wait();
    assert!(report["facts"]["feed"]["parts"].as_u64().unwrap() > 5, "{report:#}");
    let found = names(&report);
    for name in ["chunked", "cacheable", "may-be-buffered", "no-snapshot"] {
        assert!(found.contains(&name.to_owned()), "{name}: {found:?}");
    }
    let oddities = report["facts"]["feed"]["oddities"].as_object().unwrap();
    assert!(oddities.is_empty(), "{oddities:?}");
}
