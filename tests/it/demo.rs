//! The demo plays its known bytes and pauses exactly.

use std::{thread, time::Duration};

use crate::support::{CHROMIUM_IMAGE, Connection, Folder, Part, Server, mxr};

const FIRST: &str = "Hello,       text       ";
const SECOND: &str = "       plain      world!";
const WORDS: [&str; 6] = ["Hello,", "the", "<i>wonderful</i>", "world", "of", "HTML!"];

/// The picture in base64.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgBAMAAACBVGfHAAAAMFBMVEXy9PH+/xb/ysn/ev8A+vmhk/+XmJYA6wCBgYD/R0UArQA1\
ZiodCuEAMQAAAXEFCARuxRLHAAAAg0lEQVR42r3OR1UFURAE0DuFAhz0eQZIGpCAOL4EsDAWMEB2MArI6Z3TK1Z/eztULW/YYXtk\
9focAAURYPKEgATQHFQHHYDl6oYdBqm28QpxDADEQQcd5s1/e7zhHCsu9Y29wXL3bBu4xgWSYrSTQ6NMCMQZIBSMX0kJ8CMJYwpR\
AMA7X8kSzYsnKHwAAAAASUVORK5CYII=";

fn demo() -> Server {
    mxr(["serve", "--demo"]).start()
}

/// Media type, body and the pause after it in milliseconds.
fn script() -> Vec<(&'static str, Vec<u8>, i64)> {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let mut script = Vec::new();
    for _ in 0..3 {
        script.push(("text/plain", FIRST.into(), 500));
        script.push(("text/plain", SECOND.into(), 500));
    }
    script.push(("image/png", BASE64_STANDARD.decode(PICTURE).unwrap(), 1000));
    for count in 0..=WORDS.len() {
        script.push(("text/html", format!("<!doctype html><h1>{}</h1>", WORDS[..count].join(" ")).into(), 300));
    }
    let picture = format!("<img src=\"data:image/png;base64,{PICTURE}\">");
    script.push(("text/html", format!("<!doctype html><h1>{}</h1>{picture}", WORDS.join(" ")).into(), 0));
    script
}

fn expect_the_script(parts: &[Part]) {
    assert_eq!(parts.len(), 15);
    for (at, (part, (media, body, _))) in parts.iter().zip(script()).enumerate() {
        assert_eq!(part.media(), media, "part {at}");
        assert_eq!(part.body.escape_ascii().to_string(), body.escape_ascii().to_string(), "part {at}");
        assert_eq!(part.sequence(), at as u64 + 1, "part {at}");
    }
}

#[test]
fn plays_fifteen_parts_with_their_pauses_and_closes() {
    let parts = demo().view("/stream").parts_to_end();
    expect_the_script(&parts);
    let mut late: Vec<i64> = parts
        .windows(2)
        .zip(script())
        .map(|(pair, (_, _, pause))| (pair[1].arrived - pair[0].arrived).as_millis() as i64 - pause)
        .collect();
    late.sort_unstable();
    // On a busy machine one part may be late and the next on time again; most have to be on time.
    assert!(late[3] > -50 && late[10] < 100 && late[0] > -400 && late[13] < 1000, "{late:?} ms late");
}

#[test]
fn is_the_same_as_serve_without_arguments() {
    assert_eq!(mxr(["serve"]).start().view("/").part().text(), FIRST);
}

#[test]
fn gives_each_viewer_its_own_run() {
    let server = demo();
    let mut early = server.view("/");
    early.part();
    assert_eq!(early.part().text(), SECOND);
    let mut late = server.view("/");
    assert_eq!(late.part().text(), FIRST);
    let late = thread::spawn(move || late.parts_to_end());
    assert_eq!(early.parts_to_end().len(), 13);
    assert_eq!(late.join().unwrap().len(), 14);
    expect_the_script(&server.view("/").parts_to_end());
}

#[test]
fn sends_an_img_only_its_picture() {
    let parts = demo().view_with("/", CHROMIUM_IMAGE).parts_to_end();
    assert!(!parts.is_empty());
    assert!(parts.iter().all(|part| part.media() == "image/png" && part.body == script()[6].1), "{parts:?}");
}

#[test]
fn quits_on_request() {
    let server = demo();
    let mut viewer = server.view("/");
    viewer.part();
    let reply = server.get("/quit");
    assert_eq!(reply.head.status, 202);
    assert_eq!(reply.text().trim_end(), "Accepted");
    assert_eq!(viewer.parts_to_end().last().expect("the newest part once more").text(), FIRST);
    server.finish_within(Duration::from_secs(2)).success();
}

#[test]
fn does_not_quit_for_another_site() {
    let server = demo();
    let own = format!("Origin: http://{}", server.host);
    for line in ["Sec-Fetch-Site: cross-site", "Origin: http://evil.example", "Referer: http://evil.example/page"] {
        assert_eq!(server.request("GET", "/quit", &[line]).head.status, 403, "{line}");
    }
    assert_eq!(server.get("/healthz").head.status, 200);
    // A browser with a no-referrer policy sends this to an address that is not a secure context.
    assert_eq!(server.request("GET", "/quit", &["User-Agent: Mozilla/5.0 (X11) Gecko/20100101"]).head.status, 403);
    assert_eq!(server.request("GET", "/quit", &["Sec-Fetch-Dest: image"]).head.status, 403);
    assert_eq!(server.request("HEAD", "/quit", &[]).head.status, 405);
    assert_eq!(server.request("GET", "/quit", &["Sec-Fetch-Site: same-origin", &own]).head.status, 202);
}

#[test]
fn is_the_only_source_with_quit() {
    let folder = Folder::new();
    folder.put("note.txt", "hello");
    let server = mxr(["watch"]).arg(folder.file("note.txt")).start();
    assert_eq!(server.get("/quit").head.status, 404);
    assert_eq!(server.view("/").part().text(), "hello");
}

#[test]
fn ends_a_run_for_a_viewer_that_left_and_for_no_other() {
    let server = demo();
    let mut stays = server.view("/");
    stays.part();
    drop(server.view("/"));
    let mut silent = Connection::open(&server.host);
    silent.send("GET / HTTP/1.1\r\n");
    assert_eq!(stays.parts_to_end().len(), 14);
}
