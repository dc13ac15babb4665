//! Hostile parts in a real Chromium and a real Firefox: no script in their bodies, names or types runs, none of them causes a
//! request, and the page shows the next part as usual.

use std::process::Stdio;

use serde_json::json;

use crate::support::{BLUE, Browser, Folder, GREEN, Kind, Page, RED, SOON, mxr, near, png, wait_until};

/// The attack in each of them: it marks every document that it reaches, and requests a picture from another site.
fn harm(trap: &str) -> String {
    format!(
        "for(const w of [window,parent,top])try{{w.ran=1;w.document.title='ran'}}catch{{}}document.title='ran';\
         document.documentElement.textContent='ran';new Image().src='{trap}'"
    )
}

fn attacks(trap: &str) -> Vec<(&'static str, String)> {
    let harm = harm(trap);
    let svg = |inside: &str, with: &str| {
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='9' height='9' {with}>{inside}</svg>"
        )
    };
    vec![
        ("script.html", format!("<!doctype html><p>quiet</p><script>{harm}</script>")),
        (
            "load.html",
            format!("<!doctype html><body onload=\"{harm}\"><p>quiet</p><img src=x onerror=\"{harm}\"><svg onload=\"{harm}\">"),
        ),
        (
            "link.html",
            format!(
                "<!doctype html><p>quiet</p><a href=\"javascript:{harm}\" target=_top>go</a><iframe src=\"javascript:{harm}\"></iframe>"
            ),
        ),
        (
            "refresh.html",
            format!(
                "<!doctype html><meta http-equiv=refresh content='0;url={trap}'><p>quiet</p><img src='{trap}'><link rel=stylesheet href='{trap}'>"
            ),
        ),
        (
            "base.html",
            format!(
                "<!doctype html><base href='{trap}' target=_top><p>quiet</p><form action=x><button autofocus>go</button></form><object data='{trap}'></object><embed src='{trap}'>"
            ),
        ),
        ("script.svg", svg(&format!("<script>{}</script>", harm.replace('<', "&lt;").replace('&', "&amp;")), "")),
        (
            "load.svg",
            svg(
                &format!(
                    "<image href='{trap}' onerror=\"ran=1\"/><foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' src='{trap}'/></foreignObject>"
                ),
                "onload=\"parent.ran=1;document.title='ran'\"",
            ),
        ),
        (
            "link.svg",
            svg(&format!("<a xlink:href=\"javascript:parent.ran=1\"><rect width='9' height='9'/></a><use href='{trap}#a'/>"), ""),
        ),
        (
            "escapes.txt",
            format!(
                "\x1b]0;ran\x07\x1b]8;;javascript:{harm}\x1b\\link\x1b]8;;\x1b\\ \x1b[31m<script>{harm}</script>\x1b[38;2;1;2;3;url({trap})m quiet \x1bP\x1b[?1049h\x1b[999999999999999m\u{9b}\u{202e}\0"
            ),
        ),
        (
            "proto.json",
            format!(
                "{{\"__proto__\": {{\"ran\": 1}}, \"constructor\": \"quiet\", \"<img src=x onerror=window.ran=1>\": \"<script>{}</script>\"}}",
                harm.replace('"', "'")
            ),
        ),
        ("deep.json", format!("{}\"quiet\"{}", "[".repeat(5000), "]".repeat(5000))),
        (
            "sheet.xml",
            format!(
                "<?xml version='1.0'?><?xml-stylesheet href='{trap}'?><quiet xmlns:h='http://www.w3.org/1999/xhtml'><h:script>{}</h:script></quiet>",
                harm.replace('<', "&lt;")
            ),
        ),
    ]
}

/// Fails if any script has run, or if the page has navigated away.
fn nothing_ran(browser: &Browser, what: &str) {
    let signs =
        "return [window.ran, ({}).ran, document.title === 'ran', location.pathname, document.querySelectorAll('main').length]";
    assert_eq!(browser.run(signs, json!([])), json!([null, null, false, "/view", 1]), "after {what}");
}

fn hostile_parts_run_nothing(kind: Kind) {
    let folder = Folder::new();
    let trap = Page::serve("ran");
    let server = mxr(["watch"]).arg(folder.path()).start();
    let Some(browser) = Browser::start(kind) else { return };
    let unguarded = Page::serve(&attacks(&trap.url)[0].1);
    browser.go(&unguarded.url);
    wait_until("the first of them does harm where nothing guards", SOON, || trap.asked() > 0);
    let asked = trap.asked();
    browser.go(&server.url("/view"));
    for (at, (name, part)) in attacks(&trap.url).into_iter().enumerate() {
        folder.put(name, part);
        let newest = format!("#{}", at * 2 + 1);
        let script = "return document.querySelector('.readings')?.textContent";
        wait_until(&format!("{name} is shown"), SOON, || {
            browser.run(script, json!([])).as_str().unwrap_or_default().contains(&newest)
        });
        if name.ends_with(".html") {
            wait_until(&format!("{name} can be read"), SOON, || browser.text().contains("quiet"));
            // Clicks reach it, and have no effect.
            browser.click(400, 80);
            assert!(browser.text().contains("quiet"), "{name}: {}", browser.text());
        }
        nothing_ran(&browser, name);
        let colour = [RED, GREEN, BLUE][at % 3];
        folder.put("picture.png", png(colour));
        wait_until("the next picture is there", SOON, || near(browser.screenshot().get_pixel(400, 240).0, colour));
    }
    assert_eq!(trap.asked(), asked, "another site was asked for something");
}

#[test]
fn hostile_parts_run_nothing_in_chromium() {
    hostile_parts_run_nothing(Kind::Chromium);
}

#[test]
fn hostile_parts_run_nothing_in_firefox() {
    hostile_parts_run_nothing(Kind::Firefox);
}

const MARKUP: &str = "\"><img src=x onerror=window.ran=1>'&amp;.txt";

fn markup_in_names_and_types_is_text(kind: Kind) {
    let folder = Folder::new();
    folder.put(MARKUP, "quiet");
    folder.put("b.txt", "as well");
    let media = r#"application/x-quiet; a="<img src=x onerror=window.ran=1>""#;
    let server = mxr(["watch", "--type", media]).arg(folder.file(MARKUP)).arg(folder.file("b.txt")).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/view"));
    wait_until("the type is text", SOON, || browser.text().contains(media));
    assert!(browser.text().contains(MARKUP), "the name is text: {}", browser.text());
    browser.run("document.querySelector('.name').click()", json!([]));
    wait_until("it is enlarged", SOON, || browser.run("return document.title", json!([])).as_str().unwrap().contains(MARKUP));
    browser.press("?");
    let snippet = browser.run("return document.querySelector('dialog[open] #snippet').value", json!([]));
    let snippet = snippet.as_str().unwrap();
    assert_eq!((snippet.matches('<').count(), snippet.matches('"').count()), (2, 2), "{snippet}");
    nothing_ran(&browser, "markup in a name and in a type");
}

#[test]
fn markup_in_names_and_types_is_text_in_chromium() {
    markup_in_names_and_types_is_text(Kind::Chromium);
}

#[test]
fn markup_in_names_and_types_is_text_in_firefox() {
    markup_in_names_and_types_is_text(Kind::Firefox);
}

fn hostile_lines_break_nothing(kind: Kind) {
    let mut server = mxr(["stdin", "--max-part", "16MiB"]).stdin(Stdio::piped()).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/view"));
    server.wait_for_viewers(1);
    let (long, flood) = ("x<b>".repeat(5 << 18), "\x1b[".repeat(1 << 20));
    server.write(format!("before\n{long}\n{flood}\n\x1b[31mred and never reset\n<script>window.ran=1</script>\n\x1b[0mthe last\n"));
    wait_until("the last line is there", 3 * SOON, || browser.text().contains("the last"));
    let text = browser.text();
    assert!(text.contains("before") && text.contains("<script>window.ran=1</script>"), "{}", &text[..200]);
    assert!(text.contains("5,226,496 more characters"), "it says how much of a line is not shown");
    nothing_ran(&browser, "hostile lines");
    // The page still responds.
    let answers = browser.run("return new Promise(done => requestAnimationFrame(() => done(1)))", json!([]));
    assert_eq!(answers, json!(1));
}

#[test]
fn hostile_lines_break_nothing_in_chromium() {
    hostile_lines_break_nothing(Kind::Chromium);
}

#[test]
fn hostile_lines_break_nothing_in_firefox() {
    hostile_lines_break_nothing(Kind::Firefox);
}
