//! The viewer page in a real Chromium and a real Firefox: how it shows each kind of part, lines, several feeds and past parts, read
//! back from pixels and from visible text.

use std::{
    fs::File,
    process::Stdio,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::support::{
    BLUE, Browser, Colour, Folder, GREEN, Kind, PALETTE, RED, SOON, axe, drawn_by_ffmpeg, jpeg, mxr, near, png, root, wait_until,
};

/// Waits until a large area of the screen has this colour.
fn wait_for_colour(browser: &Browser, colour: Colour) {
    let pixels = || browser.screenshot().pixels().filter(|pixel| near(pixel.0, colour)).count();
    wait_until(&format!("{colour:?} is on the screen"), SOON, || pixels() > 1000);
}

fn wait_for_text(browser: &Browser, text: &str) {
    wait_until(&format!("{text:?} is on the screen"), SOON, || browser.text().contains(text));
}

/// The text of the page: state, name and readings of the first feed.
fn header(browser: &Browser) -> String {
    let script = "return [...document.querySelectorAll('header')].find(header => header.offsetHeight)?.textContent ?? ''";
    browser.run(script, json!([])).as_str().unwrap_or_default().to_owned()
}

fn wait_for_header(browser: &Browser, text: &str) {
    wait_until(&format!("the header says {text:?}"), SOON, || header(browser).contains(text));
}

/// A page of one red square in the upper half and a blue one below.
fn pdf() -> Vec<u8> {
    let drawing = "1 0 0 rg 0 100 200 100 re f 0 0 1 rg 0 0 200 100 re f";
    format!(
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
         3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R>>endobj\n\
         4 0 obj<</Length {}>>stream\n{drawing}\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
        drawing.len()
    )
    .into_bytes()
}

fn every_kind_of_part_is_shown(kind: Kind) {
    let folder = Folder::new();
    let server = mxr(["watch"]).arg(folder.path()).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/view"));
    wait_for_text(&browser, "No part yet");
    wait_for_header(&browser, "starting");
    for (colour, name, part) in [(RED, "png", Some(png(RED))), (GREEN, "jpeg", Some(jpeg(GREEN)))].into_iter().chain(
        [(BLUE, "gif"), (PALETTE[3], "webp"), (PALETTE[4], "avif"), (PALETTE[5], "bmp")]
            .map(|(colour, name)| (colour, name, drawn_by_ffmpeg(colour, name))),
    ) {
        let Some(part) = part else { continue };
        folder.put(&format!("picture.{name}"), part);
        wait_for_colour(&browser, colour);
        wait_for_header(&browser, &format!("64 × 64 · image/{name}"));
        assert!(header(&browser).starts_with("live"), "{}", header(&browser));
    }
    let square = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><rect width='9' height='9' fill='#14b414'/></svg>";
    folder.put("drawing.svg", square);
    wait_for_colour(&browser, GREEN);
    folder.put("note.txt", "some plain <b>words</b>");
    wait_for_text(&browser, "some plain <b>words</b>");
    folder.put("long.txt", "a line\n".repeat(12_000));
    wait_for_text(&browser, "3,000 earlier lines");
    folder.put("note.md", "# A title\n\nand *stars*");
    wait_for_text(&browser, "# A title");
    folder.put("page.html", "<!doctype html><h1>a heading</h1><p>as <i>HTML</i></p>");
    wait_for_text(&browser, "as HTML");
    folder.put("data.json", r#"{"answer": 42, "deep": {"list": [1, "<b>two</b>"]}}"#);
    wait_for_text(&browser, "1: \"<b>two</b>\"");
    browser.run("document.querySelector('details details summary').click()", json!([]));
    wait_until("the branch is folded", SOON, || !browser.text().contains("<b>two</b>"));
    folder.put("data.json", r#"{"answer": 43, "deep": {"list": [1, 2]}}"#);
    wait_for_text(&browser, "answer: 43");
    assert!(browser.text().contains("deep: { 1 }") && !browser.text().contains("list"), "what was folded stays so");
    folder.put("paper.pdf", pdf());
    wait_for_colour(&browser, [255, 0, 0]);
    wait_for_colour(&browser, [0, 0, 255]);
    if let Some(film) = drawn_by_ffmpeg(GREEN, "webm") {
        folder.put("film.webm", film);
        wait_for_colour(&browser, GREEN);
    }
    if let Some(sound) = drawn_by_ffmpeg(GREEN, "wav") {
        folder.put("sound.wav", sound);
        let plays = "return document.querySelector('audio')?.duration > 0 && document.querySelector('audio').offsetWidth > 200";
        wait_until("the sound can be played", SOON, || browser.run(plays, json!([])) == json!(true));
    }
    folder.put("what.bin", [0, 1, 2, 0xff]);
    wait_for_text(&browser, "application/octet-stream");
    assert!(browser.text().contains("4 B, not shown by this browser"), "{}", browser.text());
    // After any other part, the page shows a picture again.
    folder.put("picture.png", png(RED));
    wait_for_colour(&browser, RED);
}

#[test]
fn every_kind_of_part_is_shown_in_chromium() {
    every_kind_of_part_is_shown(Kind::Chromium);
}

#[test]
fn every_kind_of_part_is_shown_in_firefox() {
    every_kind_of_part_is_shown(Kind::Firefox);
}

fn a_picture_is_zoomed_held_saved_and_its_past_stepped_through(kind: Kind) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--history", "5"]).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_colour(&browser, RED);
    let width = || browser.run("return Math.round(document.querySelector('canvas').getBoundingClientRect().width)", json!([]));
    let fitting = width();
    assert_eq!(fitting, json!(256), "a small picture is shown four times as large");
    browser.press("0");
    assert_eq!(width(), json!(64), "its actual size");
    browser.press("+");
    assert_eq!(width(), json!(80));
    browser.press("0");
    assert_eq!(width(), fitting);

    folder.put("a.png", png(GREEN));
    wait_for_colour(&browser, GREEN);
    browser.press(" ");
    wait_for_header(&browser, "paused");
    folder.put("a.png", png(BLUE));
    wait_for_header(&browser, "1 newer");
    wait_for_colour(&browser, GREEN);
    browser.press(" ");
    wait_for_colour(&browser, BLUE);

    browser.press(LEFT);
    wait_for_header(&browser, "history");
    wait_for_colour(&browser, GREEN);
    browser.press(LEFT);
    wait_for_colour(&browser, RED);
    folder.put("a.png", png(PALETTE[3]));
    browser.press(RIGHT);
    wait_for_colour(&browser, GREEN);
    browser.press(END);
    wait_for_colour(&browser, PALETTE[3]);
    wait_for_header(&browser, "live");

    browser.run("HTMLAnchorElement.prototype.click = function () { window.saved = this.download }", json!([]));
    browser.press("s");
    assert_eq!(browser.run("return window.saved", json!([])), json!("4-a.png"));
    browser.press("?");
    let snippet = browser.run("return document.querySelector('dialog[open] #snippet').value", json!([]));
    assert_eq!(snippet, json!(format!("<img src=\"{}\">", server.url("/stream/a.png"))));
    let top = "const sheet = document.querySelector('dialog'); return [sheet.scrollTop, sheet.contains(document.activeElement)]";
    assert_eq!(browser.run(top, json!([])), json!([0, true]), "the sheet begins at its top, and has the focus");
    let title = browser.run("return document.title", json!([]));
    assert_eq!(title, json!("a.png · live"));
}

const LEFT: &str = "\u{e012}";
const RIGHT: &str = "\u{e014}";
const END: &str = "\u{e010}";

#[test]
fn a_picture_is_zoomed_held_saved_and_its_past_stepped_through_in_chromium() {
    a_picture_is_zoomed_held_saved_and_its_past_stepped_through(Kind::Chromium);
}

#[test]
fn a_picture_is_zoomed_held_saved_and_its_past_stepped_through_in_firefox() {
    a_picture_is_zoomed_held_saved_and_its_past_stepped_through(Kind::Firefox);
}

fn four_feeds_share_a_connection_and_the_url_remembers_one(kind: Kind) {
    let Some(browser) = Browser::start(kind) else { return };
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    folder.put("b.png", png(BLUE));
    folder.put("c.txt", "the third");
    folder.put("d.json", "{\"fourth\": 4}");
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(folder.file("a.png")).unwrap().set_modified(an_hour_ago).unwrap();
    let names = ["a.png", "b.png", "c.txt", "d.json"];
    let server = names.iter().fold(mxr(["watch"]), |server, name| server.arg(folder.file(name))).start();
    browser.go(&server.url("/"));
    wait_for_colour(&browser, RED);
    wait_for_colour(&browser, BLUE);
    wait_for_text(&browser, "the third");
    wait_for_text(&browser, "fourth: 4");
    assert_eq!(server.viewers().len(), 1, "one connection for all");
    wait_for_header(&browser, "60 min ago328 B · 64 × 64 · image/png · #1");
    let cut = "return [...document.querySelectorAll('header > *')].filter(piece => piece.scrollWidth > piece.clientWidth)
        .map(piece => piece.textContent)";
    assert_eq!(browser.run(cut, json!([])), json!([]), "all of it is to be seen, half the window wide");
    browser.run("document.querySelectorAll('.view')[1].click()", json!([]));
    wait_until("the others make room", SOON, || !browser.text().contains("the third"));
    wait_for_header(&browser, "b.png");
    let here = browser.run("return location.href", json!([]));
    assert_eq!(here, json!(server.url("/#b.png")));
    browser.go(&server.url("/healthz"));
    browser.go(here.as_str().unwrap());
    wait_for_header(&browser, "b.png");
    wait_for_colour(&browser, BLUE);
    browser.press(ESCAPE);
    wait_for_text(&browser, "the third");
}

const ESCAPE: &str = "\u{e00c}";

#[test]
fn four_feeds_share_a_connection_and_the_url_remembers_one_in_chromium() {
    four_feeds_share_a_connection_and_the_url_remembers_one(Kind::Chromium);
}

#[test]
fn four_feeds_share_a_connection_and_the_url_remembers_one_in_firefox() {
    four_feeds_share_a_connection_and_the_url_remembers_one(Kind::Firefox);
}

fn a_log_reads_like_a_terminal(kind: Kind) {
    let mut server = mxr(["stdin"]).stdin(Stdio::piped()).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_text(&browser, "No part yet");
    server.write("plain\n\x1b[38;2;200;10;20mtrue colour\ncarried \x1b[1mbold\x1b[0m done\n\x1b[4mline\x1b[24m \x1b]0;title\x07\x1b[2Kquiet\n");
    wait_for_text(&browser, "line quiet");
    let style = |text: &str, property: &str| {
        let script = "const span = [...document.querySelectorAll('.line span')].find(span => span.textContent === arguments[0]);
            return getComputedStyle(span)[arguments[1]]";
        browser.run(script, json!([text, property]))
    };
    assert_eq!(style("true colour", "color"), json!("rgb(200, 10, 20)"));
    assert_eq!(style("carried ", "color"), json!("rgb(200, 10, 20)"), "from one line to the next");
    assert_eq!(style("bold", "fontWeight"), json!("700"));
    assert_eq!(style("line", "textDecorationLine"), json!("underline"));
    let copied = "getSelection().selectAllChildren(document.querySelector('.sheet')); return String(getSelection())";
    let copied = browser.run(copied, json!([]));
    assert_eq!(copied.as_str().unwrap().trim_end(), "plain\ntrue colour\ncarried bold done\nline quiet", "as it is copied");

    // At first the page follows the end; once the user scrolls away, it stays there.
    server.write((0..200).map(|at| format!("number {at}\n")).collect::<String>());
    wait_for_the_end_of(&browser, "number 199");
    scroll_away(&browser);
    server.write("one more\nand one\n");
    wait_for_text(&browser, "2 new lines");
    browser.run("document.querySelector('.more').click()", json!([]));
    wait_for_the_end_of(&browser, "and one");

    let filter = |needle: &str| {
        let script =
            "const filter = document.querySelector('#filter'); filter.value = arguments[0]; filter.oninput(); filter.blur()";
        browser.run(script, json!([needle]));
    };
    browser.press("/");
    assert_eq!(browser.run("return document.activeElement.id", json!([])), json!("filter"));
    filter("BER 19");
    wait_for_text(&browser, "11 lines");
    assert!(!browser.text().contains("number 18"), "{}", browser.text());
    filter("");
    wait_for_text(&browser, "number 18");
    browser.press(" ");
    server.write("while it is paused\n");
    wait_for_header(&browser, "1 newer");
    assert!(!browser.text().contains("while it is paused"));
    filter("paused");
    wait_for_text(&browser, "0 lines");
    filter("number 7");
    wait_for_text(&browser, "11 lines");
    filter("");
    browser.press(" ");
    wait_for_text(&browser, "while it is paused");
    browser.press("t");
    let time = "return getComputedStyle(document.querySelector('.line'), '::before').content";
    assert_ne!(browser.run(time, json!([])), json!("none"), "times on demand");
    let wrapping = "return getComputedStyle(document.querySelector('.line')).whiteSpace";
    assert_eq!(browser.run(wrapping, json!([])), json!("pre-wrap"));
    browser.press("w");
    assert_eq!(browser.run(wrapping, json!([])), json!("pre"));
}

#[test]
fn a_log_reads_like_a_terminal_in_chromium() {
    a_log_reads_like_a_terminal(Kind::Chromium);
}

#[test]
fn a_log_reads_like_a_terminal_in_firefox() {
    a_log_reads_like_a_terminal(Kind::Firefox);
}

fn parts_of_several_lines_are_set_apart(kind: Kind) {
    let mut server = mxr(["stdin", "--split", "\\n---\\n"]).stdin(Stdio::piped()).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_text(&browser, "No part yet");
    server.write("one\n---\ntwo\n---\na1\r\na2\n---\nb1\nb2\n---\nc1\n---\nc2\n---\n");
    wait_for_text(&browser, "c2");
    assert!(browser.text().contains("a1\na2"), "{}", browser.text());
    let ruled = "return [...document.querySelectorAll('.line')].filter(line => parseFloat(getComputedStyle(line).borderTopWidth))
        .map(line => line.textContent.trim().slice(0, 2))";
    assert_eq!(browser.run(ruled, json!([])), json!(["a1", "b1", "c1"]), "a rule before and behind them, none between lines");
}

#[test]
fn parts_of_several_lines_are_separated_in_chromium() {
    parts_of_several_lines_are_set_apart(Kind::Chromium);
}

#[test]
fn parts_of_several_lines_are_separated_in_firefox() {
    parts_of_several_lines_are_set_apart(Kind::Firefox);
}

/// The pixels of the log below the visible area, once there is a log.
const REST: &str = "const log = document.querySelector('.log'); return log && log.scrollHeight - log.scrollTop - log.clientHeight";
/// Scrolls up a little, as a user would: in several turns of the wheel, so that one is recent when the page handles the event.
const SCROLL: &str = "const log = document.querySelector('.log'); log.dispatchEvent(new WheelEvent('wheel')); log.scrollTop -= 9";

fn wait_for_the_end_of(browser: &Browser, text: &str) {
    wait_for_text(browser, text);
    let rest = || browser.run(REST, json!([])).as_f64().unwrap();
    wait_until(&format!("the end of the text, {text:?}, is on the screen"), SOON, || rest() < 3.0);
}

fn scroll_away(browser: &Browser) {
    wait_until("it has scrolled", SOON, || {
        browser.run(SCROLL, json!([]));
        browser.run(REST, json!([])).as_f64().unwrap() > 50.0
    });
}

fn a_text_that_grows_is_shown_from_its_end(kind: Kind) {
    let lines = |count: u32| (1..=count).map(|at| format!("number {at}\n")).collect::<String>();
    let Some(browser) = Browser::start(kind) else { return };
    let mut server = mxr(["stdin", "--window", "100"]).stdin(Stdio::piped()).start();
    server.write(lines(157));
    wait_until("it has arrived", SOON, || server.state()["feeds"][0]["published"] != json!(0));
    browser.go(&server.url("/"));
    wait_for_the_end_of(&browser, "number 157");
    server.write("number 158\n");
    wait_for_the_end_of(&browser, "number 158");
    scroll_away(&browser);
    let top = || browser.run("return document.querySelector('.log').scrollTop", json!([]));
    let before = top();
    server.write("number 159\n");
    wait_for_text(&browser, "number 159");
    assert_eq!(top(), before, "who scrolls away is not pulled back");

    // The page knows that another text grows only once it has grown.
    let folder = Folder::new();
    folder.put("notes.txt", lines(157));
    let server = mxr(["watch"]).arg(folder.file("notes.txt")).start();
    browser.go(&server.url("/"));
    wait_for_text(&browser, "number 7");
    assert_eq!(top(), json!(0), "what may be read from its beginning is");
    folder.put("notes.txt", lines(158));
    wait_for_the_end_of(&browser, "number 158");
    scroll_away(&browser);
    folder.put("notes.txt", lines(159));
    wait_for_text(&browser, "1 new line");
}

#[test]
fn a_text_that_grows_is_shown_from_its_end_in_chromium() {
    a_text_that_grows_is_shown_from_its_end(Kind::Chromium);
}

#[test]
fn a_text_that_grows_is_shown_from_its_end_in_firefox() {
    a_text_that_grows_is_shown_from_its_end(Kind::Firefox);
}

/// Records the longest task in `window.longest`, if the browser reports long tasks.
const WATCH_TASKS: &str = "
    window.longest = 0;
    new PerformanceObserver(list => { for (const task of list.getEntries()) longest = Math.max(longest, task.duration) })
        .observe({ type: 'longtask' });
";

fn a_burst_of_lines_leaves_the_tab_alive_and_what_was_missed_is_told(kind: Kind) {
    let mut server = mxr(["stdin"]).stdin(Stdio::piped()).start();
    let Some(browser) = Browser::start_alone(kind) else { return };
    browser.go(&server.url("/"));
    server.write("the first\n");
    wait_for_text(&browser, "the first");
    browser.run(WATCH_TASKS, json!([]));
    let lines =
        |from: u32, to: u32| (from..to).map(|at| format!("\x1b[3{}m line {at}\x1b[0m of many\n", at % 8)).collect::<String>();
    // Reading the text of all lines would force a layout at each check.
    let last = "return [...document.querySelectorAll('.block:last-of-type')].pop()?.lastChild.textContent";
    let last_is = |line: &str| browser.run(last, json!([])).as_str().unwrap_or_default().trim() == line;
    server.write(lines(0, 100_000));
    wait_until("the last line is there", 6 * SOON, || last_is("line 99999 of many"));
    let count = browser.run("return document.querySelectorAll('.line').length", json!([]));
    assert!((9_000..=10_000).contains(&count.as_u64().unwrap()), "the scrollback is bounded, and full: {count}");
    // On a quiet machine 100 ms is the limit.
    let longest = browser.run("return window.longest", json!([])).as_f64().unwrap();
    assert!(longest < 1000.0, "the tab froze for {longest} ms");

    // A hidden tab closes its stream, and later shows the number of missed lines.
    let hide = "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });
        document.dispatchEvent(new Event('visibilitychange'))";
    browser.run(hide, json!([true]));
    server.wait_for_viewers(0);
    server.write(lines(100_000, 112_345));
    wait_until("the lines are published", SOON, || server.state()["feeds"][0]["published"] == 112_346);
    browser.run(hide, json!([false]));
    wait_until("the newest line is there", 6 * SOON, || last_is("line 112344 of many"));
    let marks = "return [...document.querySelectorAll('.mark')].map(mark => mark.textContent).join()";
    assert_eq!(browser.run(marks, json!([])), json!("3,345 lines skipped"));
}

#[test]
fn a_burst_of_lines_leaves_chromium_responsive_and_missed_lines_are_shown() {
    a_burst_of_lines_leaves_the_tab_alive_and_what_was_missed_is_told(Kind::Chromium);
}

#[test]
fn a_burst_of_lines_leaves_firefox_responsive_and_missed_lines_are_shown() {
    a_burst_of_lines_leaves_the_tab_alive_and_what_was_missed_is_told(Kind::Firefox);
}

fn the_splitter_cuts_alike(kind: Kind) {
    let Some(browser) = Browser::start(kind) else { return };
    let source = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let splitter = source("src/http/page/split.js").replace("\nexport {", "\n// {");
    let cases = source("tests/page/split.cases.mjs").replace("\nexport ", "\n");
    // With reads of 1 byte, of 7 bytes, and of all bytes.
    let failures = browser.run(&format!("{splitter}\n{cases}\nreturn failures(makeSplitter)"), json!([]));
    assert_eq!(failures, json!([]));
}

#[test]
fn the_splitter_works_the_same_in_chromium() {
    the_splitter_cuts_alike(Kind::Chromium);
}

#[test]
fn the_splitter_works_the_same_in_firefox() {
    the_splitter_cuts_alike(Kind::Firefox);
}

/// The accessibility problems that axe-core finds, in light and dark mode, with their elements.
fn hindrances(browser: &Browser, axe: &str) -> Vec<Value> {
    let script = "
        const { violations } = await axe.run(document, { iframes: false, resultTypes: ['violations'] });
        const serious = violations.filter(found => /serious|critical/.test(found.impact));
        return serious.flatMap(found => found.nodes.map(node => `${found.id}: ${node.html} ${node.failureSummary}`));
    ";
    let found = ["light", "dark"].map(|scheme| {
        browser.prefer(scheme);
        browser.run(&format!("{axe}; return (async () => {{ {script} }})()"), json!([]))
    });
    found.iter().flat_map(|found| found.as_array().expect("axe has run").clone()).collect()
}

#[test]
fn axe_finds_no_accessibility_problem() {
    let Some(axe) = axe() else { return };
    let axe = std::fs::read_to_string(axe).unwrap();
    let folder = Folder::new();
    let names = ["a.png", "b.log", "c.json", "d.bin", "e.html"];
    folder.put("a.png", png(RED));
    folder.put(
        "b.log",
        (0..200).map(|at| format!("\x1b[{}mline {at}\x1b[0m\n", [31 + at % 7, 91 + at % 7][at % 2])).collect::<String>(),
    );
    folder.put("c.json", "{\"a\": 1, \"b\": {\"c\": [true, null, \"text\"]}}");
    folder.put("d.bin", [0, 1, 2, 0xff]);
    folder.put("e.html", "<!doctype html><html lang=en><title>t</title><p>HTML</html>");
    let watch = names.iter().fold(mxr(["watch"]), |server, name| server.arg(folder.file(name)));
    let server = watch.args(["--history", "3"]).start();
    let Some(browser) = Browser::start(Kind::Chromium) else { return };
    browser.go(&server.url("/"));
    wait_for_text(&browser, "not shown by this browser");
    assert_eq!(hindrances(&browser, &axe), Vec::<Value>::new(), "all feeds");
    for name in names {
        folder.put(name, [std::fs::read(folder.file(name)).unwrap(), b"\n".to_vec()].concat());
        browser.run("location.hash = arguments[0]", json!([name]));
        wait_for_header(&browser, name);
        assert_eq!(hindrances(&browser, &axe), Vec::<Value>::new(), "{name}");
    }
    browser.run("location.hash = 'a.png'", json!([]));
    browser.press(LEFT);
    wait_for_header(&browser, "history");
    browser.press("g");
    assert_eq!(hindrances(&browser, &axe), Vec::<Value>::new(), "a moment of the past");
    browser.press(ESCAPE);
    browser.press(END);
    browser.press("?");
    assert_eq!(hindrances(&browser, &axe), Vec::<Value>::new(), "the sheet of keys");
    drop(server);
    browser.press(ESCAPE);
    wait_for_header(&browser, "reconnecting");
    assert_eq!(hindrances(&browser, &axe), Vec::<Value>::new(), "without a server");
}

fn only_tiles_on_the_screen_are_painted(kind: Kind) {
    const FEEDS: usize = 300;
    let folder = Folder::new();
    let names: Vec<_> = (0..FEEDS).map(|number| format!("{number:03}.txt")).collect();
    names.iter().for_each(|name| folder.put(name, format!("the text of {name}")));
    let server = names.iter().fold(mxr(["watch"]), |server, name| server.arg(folder.file(name))).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_text(&browser, "the text of 000.txt");
    let sent = || server.viewers().first().is_some_and(|viewer| viewer["sent"].as_u64() >= Some(FEEDS as u64));
    wait_until("all parts are there", 3 * SOON, sent);
    let painted = || browser.run("return document.querySelectorAll('.view .log').length", json!([])).as_u64().unwrap();
    assert!((2..60).contains(&painted()), "{} tiles are painted", painted());
    let last = &names[FEEDS - 1];
    browser.run("[...document.querySelectorAll('section')].at(-1).scrollIntoView()", json!([]));
    wait_for_text(&browser, &format!("the text of {last}"));
    folder.put(last, "and a newer one");
    wait_for_text(&browser, "and a newer one");
    folder.put(&names[0], "changed off the screen");
    browser.run("location.hash = arguments[0]", json!([names[0]]));
    wait_for_text(&browser, "changed off the screen");
    wait_for_header(&browser, "#2");
}

#[test]
fn of_many_feeds_chromium_paints_those_on_the_screen() {
    only_tiles_on_the_screen_are_painted(Kind::Chromium);
}

#[test]
fn of_many_feeds_firefox_paints_those_on_the_screen() {
    only_tiles_on_the_screen_are_painted(Kind::Firefox);
}

fn a_second_window_streams_as_the_first_does(kind: Kind) {
    let folder = Folder::new();
    folder.put("a.txt", "the first text");
    let server = mxr(["watch"]).arg(folder.file("a.txt")).start();
    let Some(browser) = Browser::start(kind) else { return };
    for windows in 1..=3 {
        if windows > 1 {
            browser.open_window();
        }
        browser.go(&server.url("/"));
        wait_for_text(&browser, "the first text");
        // Each has a stream.
        server.wait_for_viewers(windows);
    }
    assert!(!header(&browser).contains("polling"), "{}", header(&browser));
}

#[test]
fn a_second_window_of_chromium_streams_as_the_first_does() {
    a_second_window_streams_as_the_first_does(Kind::Chromium);
}

#[test]
fn a_second_window_of_firefox_streams_as_the_first_does() {
    a_second_window_streams_as_the_first_does(Kind::Firefox);
}
