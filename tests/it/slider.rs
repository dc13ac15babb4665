//! The way back in time on the viewer page, in a real Chromium and a real Firefox: a slider, keys and a clock time lead to the part
//! of that moment in all tiles, read back from pixels and visible text.

use std::{
    fs::{self, File},
    io::Write,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::support::{BLUE, Browser, Colour, Folder, GREEN, Kind, PALETTE, RED, SOON, Server, mxr, near, png, wait_until};

const LEFT: &str = "\u{e012}";
const RIGHT: &str = "\u{e014}";
const HOME: &str = "\u{e011}";
const END: &str = "\u{e010}";
const ESCAPE: &str = "\u{e00c}";
const ENTER: &str = "\u{e007}";

fn wait_for_colour(browser: &Browser, colour: Colour) {
    let pixels = || browser.screenshot().pixels().filter(|pixel| near(pixel.0, colour)).count();
    wait_until(&format!("{colour:?} is on the screen"), SOON, || pixels() > 1000);
}

/// What the headers of the tiles say.
fn headers(browser: &Browser) -> String {
    let script = "return [...document.querySelectorAll('header')].filter(header => header.offsetHeight)
        .map(header => header.textContent).join(' / ')";
    browser.run(script, json!([])).as_str().unwrap_or_default().to_owned()
}

fn wait_for_headers(browser: &Browser, text: &str) {
    wait_until(&format!("the headers say {text:?}"), SOON, || headers(browser).contains(text));
}

/// The last line of the log on the screen.
fn last_line(browser: &Browser) -> Value {
    browser.run("return [...document.querySelectorAll('.log .line')].at(-1)?.textContent.trim()", json!([]))
}

fn wait_for_last_line(browser: &Browser, line: &str) {
    wait_until(&format!("the last line is {line:?}"), SOON, || last_line(browser) == json!(line));
}

/// Waits until the page says this about what a key did.
fn wait_until_told(browser: &Browser, text: &str) {
    let told = || browser.run("return document.querySelector('#told').textContent", json!([]));
    wait_until(&format!("the page says {text:?}"), SOON, || told().as_str().is_some_and(|told| told.contains(text)));
}

/// A property of the slider.
fn slider(browser: &Browser, property: &str) -> Value {
    browser.run("return document.querySelector('#slider')[arguments[0]]", json!([property]))
}

/// No number before the page has set it.
fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// The time of the newest part of a feed, once it has this many.
fn published(server: &Server, feed: usize, parts: usize) -> f64 {
    let newest = || server.state()["feeds"][feed]["newest"].clone();
    wait_until(&format!("{parts} parts are published"), SOON, || newest()["sequence"] == json!(parts));
    newest()["timestamp"].as_f64().unwrap()
}

/// The time at the slider's zero, which is a whole second.
fn zero(browser: &Browser) -> f64 {
    move_to(browser, number(&slider(browser, "min")));
    wait_until("the slider is in the past", SOON, || slider(browser, "ariaValueText") != json!("live"));
    let script = "
        const slider = document.querySelector('#slider'), [day, time] = ['', ...slider.ariaValueText.split(' ')].slice(-2);
        const now = new Date(), [hours, minutes, seconds] = time.split(':');
        const date = day ? new Date(`${day}T00:00`) : now;
        return Math.round(date.setHours(hours, minutes, 0, 0) / 1000 + Number(seconds) - slider.value)";
    browser.run(script, json!([])).as_f64().unwrap()
}

/// Moves the slider, as an assistive technology does.
fn move_to(browser: &Browser, value: f64) {
    let script = "const slider = document.querySelector('#slider');
        slider.value = arguments[0];
        slider.dispatchEvent(new Event('input'));
        slider.dispatchEvent(new Event('change'))";
    browser.run(script, json!([value]));
}

fn append(folder: &Folder, name: &str, text: &str) {
    File::options().append(true).create(true).open(folder.file(name)).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Puts a picture that is this old.
fn put_aged(folder: &Folder, name: &str, picture: Vec<u8>, age: Duration) {
    let written = folder.beside(name);
    fs::write(&written, picture).unwrap();
    File::options().write(true).open(&written).unwrap().set_modified(SystemTime::now() - age).unwrap();
    fs::rename(written, folder.file(name)).unwrap();
}

fn without_a_history_the_page_goes_back_over_what_it_has_seen(kind: Kind) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_colour(&browser, RED);
    for colour in [GREEN, BLUE, PALETTE[3]] {
        folder.put("a.png", png(colour));
        wait_for_colour(&browser, colour);
    }
    browser.press(LEFT);
    wait_for_colour(&browser, BLUE);
    wait_for_headers(&browser, "history");
    browser.press(LEFT);
    wait_for_colour(&browser, GREEN);
    let (end, moment) = (number(&slider(&browser, "max")), slider(&browser, "ariaValueText"));
    folder.put("a.png", png(PALETTE[4]));
    wait_until("the slider grows", SOON, || number(&slider(&browser, "max")) > end);
    assert_eq!(slider(&browser, "ariaValueText"), moment, "the moment stays");
    wait_for_colour(&browser, GREEN);
    browser.run("document.querySelector('#slider').focus()", json!([]));
    browser.press(HOME);
    wait_for_colour(&browser, RED);
    browser.press(RIGHT);
    wait_for_colour(&browser, GREEN);
    browser.press(ESCAPE);
    wait_for_colour(&browser, PALETTE[4]);
    wait_for_headers(&browser, "live");
    assert_eq!(slider(&browser, "ariaValueText"), json!("live"));
}

#[test]
fn without_a_history_the_page_goes_back_over_what_it_has_seen_in_chromium() {
    without_a_history_the_page_goes_back_over_what_it_has_seen(Kind::Chromium);
}

#[test]
fn without_a_history_the_page_goes_back_over_what_it_has_seen_in_firefox() {
    without_a_history_the_page_goes_back_over_what_it_has_seen(Kind::Firefox);
}

/// A server of a picture and a log, with these arguments, and the times at which each changed: six rounds, first the picture.
fn changing(folder: &Folder, args: &[&str]) -> (Server, Vec<(f64, f64)>) {
    folder.put("a.png", png(PALETTE[0]));
    fs::write(folder.file("b.log"), "").unwrap();
    let server = mxr(["watch"]).arg(folder.file("a.png")).arg(folder.file("b.log")).args(args).start();
    let change = |(at, colour)| {
        if at > 0 {
            folder.put("a.png", png(colour));
        }
        let picture = published(&server, 0, at + 1);
        append(folder, "b.log", &format!("line {at}\n"));
        (picture, published(&server, 1, at + 1))
    };
    let times = PALETTE.into_iter().enumerate().map(change).collect();
    (server, times)
}

/// Moves over five of the six rounds.
fn go_through(browser: &Browser, times: &[(f64, f64)]) {
    wait_until("the slider is there", SOON, || slider(browser, "offsetWidth").as_f64() > Some(0.0));
    let zero = zero(browser);
    let far = |property, time: f64| (number(&slider(browser, property)) + zero - time).abs();
    wait_until("the slider reaches from the first part to the last", SOON, || {
        far("min", times[0].0) < 1e-5 && far("max", times[5].1) < 1e-5
    });
    // At the picture's time the line behind it is not there yet.
    for at in [3, 1, 4, 2] {
        let (picture, line) = times[at];
        move_to(browser, line - zero);
        wait_for_colour(browser, PALETTE[at]);
        wait_for_last_line(browser, &format!("line {at}"));
        move_to(browser, picture - zero);
        wait_for_last_line(browser, &format!("line {}", at - 1));
        wait_for_colour(browser, PALETTE[at]);
    }
    move_to(browser, times[0].0 - zero);
    wait_for_headers(browser, "historyb.log");
    wait_until("the log has no line yet", SOON, || browser.text().contains("No part yet"));
    wait_for_colour(browser, PALETTE[0]);
    // The parts of all tiles are one row of steps.
    browser.press(RIGHT);
    wait_for_last_line(browser, "line 0");
    browser.press(RIGHT);
    wait_for_colour(browser, PALETTE[1]);
    // Back by the same steps: the line was shown already, and the picture not yet.
    browser.press(LEFT);
    wait_for_colour(browser, PALETTE[0]);
    wait_until("the slider is at the line", SOON, || (number(&slider(browser, "value")) + zero - times[0].1).abs() < 1e-5);
    wait_for_last_line(browser, "line 0");
    browser.press(LEFT);
    wait_until("the log has no line yet again", SOON, || browser.text().contains("No part yet"));
    browser.press(LEFT);
    wait_until_told(browser, "there is no earlier part");
    browser.press(RIGHT);
    browser.press(RIGHT);
    wait_for_colour(browser, PALETTE[1]);
}

fn all_tiles_show_the_same_moment(kind: Kind) {
    let Some(browser) = Browser::start(kind) else { return };
    let folder = Folder::new();
    let recording = folder.beside("recording.mxr");
    for args in [["--history", "50"], ["--record", recording.to_str().unwrap()]] {
        let (server, times) = changing(&folder, &args);
        browser.go(&server.url("/"));
        wait_for_last_line(&browser, "line 5");
        go_through(&browser, &times);
        append(&folder, "b.log", "live\n");
        published(&server, 1, 7);
        wait_for_last_line(&browser, "line 0");
        browser.press(END);
        wait_for_last_line(&browser, "live");
        wait_for_colour(&browser, PALETTE[5]);
    }
}

fn the_slider_goes_over_all_of_a_recording_that_is_played(kind: Kind) {
    let Some(browser) = Browser::start(kind) else { return };
    let folder = Folder::new();
    let recording = folder.beside("recording.mxr");
    let (server, times) = changing(&folder, &["--record", recording.to_str().unwrap()]);
    server.stop().success();
    // It goes on in the background, slowly.
    let server = mxr(["serve"]).arg(&recording).args(["--speed", "0.01"]).start();
    browser.go(&server.url("/"));
    wait_for_headers(&browser, "replaya.png");
    go_through(&browser, &times);
    browser.press(END);
    wait_for_headers(&browser, "replaya.png");
    assert_eq!(slider(&browser, "ariaValueText"), json!("live"));
}

#[test]
fn the_slider_goes_over_all_of_a_recording_that_is_played_in_chromium() {
    the_slider_goes_over_all_of_a_recording_that_is_played(Kind::Chromium);
}

#[test]
fn the_slider_goes_over_all_of_a_recording_that_is_played_in_firefox() {
    the_slider_goes_over_all_of_a_recording_that_is_played(Kind::Firefox);
}

#[test]
fn all_tiles_show_the_same_moment_in_chromium() {
    all_tiles_show_the_same_moment(Kind::Chromium);
}

#[test]
fn all_tiles_show_the_same_moment_in_firefox() {
    all_tiles_show_the_same_moment(Kind::Firefox);
}

/// Counts in `window.most` how many requests for past parts are under way at once, and in `window.asked` all of them.
const COUNT_REQUESTS: &str = "
    window.most = window.asked = 0;
    let flying = 0;
    const real = window.fetch;
    window.fetch = async (...request) => {
        if (!/[?&]at=/.test(request[0])) return real(...request);
        window.asked++;
        window.most = Math.max(window.most, ++flying);
        try {
            await new Promise(done => setTimeout(done, 50));
            return await real(...request);
        } finally {
            flying--;
        }
    };
";

fn a_drag_ends_at_the_part_under_the_thumb(kind: Kind) {
    const PICTURES: usize = 40;
    let folder = Folder::new();
    let colour = |at: usize| PALETTE[at % PALETTE.len()];
    folder.put("a.png", png(colour(0)));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--history", "50"]).start();
    let publish = |at: usize| {
        if at > 0 {
            folder.put("a.png", png(colour(at)));
        }
        published(&server, 0, at + 1)
    };
    let times: Vec<f64> = (0..PICTURES).map(publish).collect();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_colour(&browser, colour(PICTURES - 1));
    let first = || number(&slider(&browser, "max")) - number(&slider(&browser, "min")) > 0.0;
    wait_until("the slider reaches back", SOON, first);
    browser.run(COUNT_REQUESTS, json!([]));
    let events = "window.events = 0; document.querySelector('#slider').addEventListener('input', () => window.events++)";
    browser.run(events, json!([]));
    let place = "const box = document.querySelector('#slider').getBoundingClientRect();
        return [box.x, box.y + box.height / 2, box.width].map(Math.round)";
    let place: [f64; 3] = serde_json::from_value(browser.run(place, json!([]))).unwrap();
    let point = |share: f64| ((place[0] + share * place[2]) as u32, place[1] as u32);
    browser.drag(&[point(0.98), point(0.9), point(0.2), point(0.7), point(0.35), point(0.5)]);
    wait_for_headers(&browser, "history");
    // The thumb is at the time of the part that is shown, which the header tells as well.
    let sequence = || headers(&browser).rsplit_once('#').and_then(|(_, number)| number.parse::<usize>().ok());
    wait_until("the thumb rests at the part", SOON, || {
        let text = slider(&browser, "ariaValueText");
        headers(&browser).contains(text.as_str().unwrap()) && browser.run("return window.most", json!([])) == json!(1)
    });
    let shown = sequence().expect("a sequence");
    let (first, last) = (times[0], times[PICTURES - 1]);
    // A busy machine publishes some sooner after each other than others.
    let share = |at: usize| (times[at] - first) / (last - first);
    assert!(share(shown - 1) < 0.55 && share(shown) > 0.45, "in the middle of these is not the part {shown}: {times:?}");
    wait_for_colour(&browser, colour(shown - 1));
    let counts = browser.run("return [window.most, window.asked < window.events + 5, window.events > 3]", json!([]));
    assert_eq!(counts, json!([1, true, true]), "one request at a time");
    browser.press(LEFT);
    wait_for_colour(&browser, colour(shown - 2));
    assert_eq!(sequence(), Some(shown - 1));
}

#[test]
fn a_drag_ends_at_the_part_under_the_thumb_in_chromium() {
    a_drag_ends_at_the_part_under_the_thumb(Kind::Chromium);
}

#[test]
fn a_drag_ends_at_the_part_under_the_thumb_in_firefox() {
    a_drag_ends_at_the_part_under_the_thumb(Kind::Firefox);
}

fn keys_lead_to_a_minute_and_to_a_clock_time(kind: Kind) {
    let folder = Folder::new();
    let names = ["a.png", "b.png", "c.png", "d.png"];
    // In minutes.
    for ((name, colour), age) in names.into_iter().zip(PALETTE).zip([3 * 24 * 60, 120, 60, 59]) {
        put_aged(&folder, name, png(colour), Duration::from_secs(age * 60));
    }
    let server = names.iter().fold(mxr(["watch"]), |server, name| server.arg(folder.file(name))).args(["--history", "50"]).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    // So many of the feeds had a part.
    let wait_for = |parts: usize| {
        let shown = || PALETTE.map(|colour| browser.screenshot().pixels().filter(|pixel| near(pixel.0, colour)).count() > 1000);
        wait_until(&format!("{parts} parts are shown"), SOON, || shown().iter().filter(|is_shown| **is_shown).count() == parts);
    };
    wait_for(4);
    let type_in = |text: &str| {
        browser.press("g");
        text.chars().for_each(|letter| browser.press(&letter.to_string()));
        browser.press(ENTER);
    };
    type_in("-90m");
    wait_for(2);
    // The third is 60 minutes old, the fourth 59; the browser took its time.
    type_in(&format!("{:.0}", server.state()["feeds"][2]["newest"]["timestamp"].as_f64().unwrap() + 30.0));
    wait_for(3);
    browser.press_with_shift(LEFT);
    wait_for(2);
    browser.press_with_shift(RIGHT);
    wait_for(3);
    // A time of the day before yesterday, with its date.
    let ago = "const time = new Date(Date.now() - 48 * 3600e3 - new Date().getTimezoneOffset() * 60e3);
        return time.toISOString().slice(0, 16).replace('T', ' ')";
    let date = browser.run(ago, json!([]));
    type_in(date.as_str().unwrap());
    wait_for(1);
    let shown = browser.run("return document.querySelector('#day').textContent", json!([]));
    assert_eq!(shown, json!(&date.as_str().unwrap()[..10]), "the date is there where it is not today");
    let place = slider(&browser, "value");
    // Its letters are keys of the page as well.
    for text in ["foo", "25:00", "1:2:3:4", "bgs?"] {
        type_in(text);
        wait_until_told(&browser, "a time is 14:05");
        let when = "const when = document.querySelector('#when');
            return [document.activeElement.id, when.getAttribute('aria-invalid'), when.value.slice(when.selectionStart, when.selectionEnd)]";
        assert_eq!(browser.run(when, json!([])), json!(["when", "true", text]), "it stays, to be mended");
        // The next letter replaces it, and is not judged yet.
        browser.press("1");
        let when = "const when = document.querySelector('#when'); return [when.value, when.getAttribute('aria-invalid')]";
        assert_eq!(browser.run(when, json!([])), json!(["1", null]));
        browser.press(ESCAPE);
        assert_eq!(browser.run("return document.querySelector('#when').hidden", json!([])), json!(true));
    }
    assert_eq!(slider(&browser, "value"), place, "none of this went anywhere");
    wait_for_headers(&browser, "history");
    type_in("2001-01-01 14:05");
    wait_until_told(&browser, "the first part is of ");
    wait_for(1);
    browser.press(ESCAPE);
    wait_for(4);
    assert!(!headers(&browser).contains("history"), "{}", headers(&browser));
}

#[test]
fn keys_lead_to_a_minute_and_to_a_clock_time_in_chromium() {
    keys_lead_to_a_minute_and_to_a_clock_time(Kind::Chromium);
}

#[test]
fn keys_lead_to_a_minute_and_to_a_clock_time_in_firefox() {
    keys_lead_to_a_minute_and_to_a_clock_time(Kind::Firefox);
}

fn a_tile_says_that_its_past_is_no_longer_kept(kind: Kind) {
    let folder = Folder::new();
    put_aged(&folder, "old.png", png(RED), Duration::from_secs(3600));
    folder.put("a.png", png(PALETTE[0]));
    let server = mxr(["watch"]).arg(folder.file("a.png")).arg(folder.file("old.png")).args(["--history", "2"]).start();
    for (at, colour) in PALETTE.into_iter().enumerate().skip(3) {
        folder.put("a.png", png(colour));
        published(&server, 0, at - 1);
    }
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_colour(&browser, PALETTE[5]);
    let reach = || number(&slider(&browser, "max")) - number(&slider(&browser, "min"));
    wait_until("the slider reaches as far as the oldest feed", SOON, || reach() > 3500.0);
    move_to(&browser, number(&slider(&browser, "min")) + 60.0);
    wait_for_colour(&browser, RED);
    wait_until("the other feed says so", SOON, || browser.text().contains("no longer kept"));
    browser.press(RIGHT);
    wait_for_colour(&browser, PALETTE[4]);
    assert!(!browser.text().contains("no longer kept"));
}

#[test]
fn a_tile_says_that_its_past_is_no_longer_kept_in_chromium() {
    a_tile_says_that_its_past_is_no_longer_kept(Kind::Chromium);
}

#[test]
fn a_tile_says_that_its_past_is_no_longer_kept_in_firefox() {
    a_tile_says_that_its_past_is_no_longer_kept(Kind::Firefox);
}

/// A moment whose 30 seconds before are empty: two feeds an hour apart.
fn where_nothing_came_nothing_is_saved_and_the_page_says_so(kind: Kind) {
    let folder = Folder::new();
    put_aged(&folder, "old.png", png(RED), Duration::from_secs(3600));
    folder.put("a.png", png(BLUE));
    let server = mxr(["watch"]).arg(folder.file("a.png")).arg(folder.file("old.png")).args(["--history", "50"]).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/#a.png"));
    wait_for_colour(&browser, BLUE);
    let reach =
        || slider(&browser, "max").as_str().map_or(0.0, |_| number(&slider(&browser, "max")) - number(&slider(&browser, "min")));
    wait_until("the slider reaches back", SOON, || reach() > 3500.0);
    move_to(&browser, number(&slider(&browser, "min")) + 60.0);
    wait_for_headers(&browser, "history");
    browser.run(CATCH_DOWNLOADS, json!([]));
    browser.press("b");
    wait_until_told(&browser, "nothing came in these 30 s");
    // A refusal has its own reason, or none.
    browser.run("window.fetch = async () => new Response('', {status: 503})", json!([]));
    browser.press("b");
    wait_until_told(&browser, "not saved: HTTP 503");
    browser.run("window.fetch = async () => { throw TypeError() }", json!([]));
    browser.press("b");
    wait_until_told(&browser, "not saved: no answer");
    assert_eq!(browser.run("return window.saved", json!([])), json!([]));
}

#[test]
fn where_nothing_came_nothing_is_saved_and_the_page_says_so_in_chromium() {
    where_nothing_came_nothing_is_saved_and_the_page_says_so(Kind::Chromium);
}

#[test]
fn where_nothing_came_nothing_is_saved_and_the_page_says_so_in_firefox() {
    where_nothing_came_nothing_is_saved_and_the_page_says_so(Kind::Firefox);
}

/// Keeps what the page would save, in `window.saved`.
const CATCH_DOWNLOADS: &str = "
    window.saved = [];
    const blobs = {}, real = URL.createObjectURL;
    URL.createObjectURL = blob => {
        const url = real.call(URL, blob);
        blobs[url] = blob;
        return url;
    };
    HTMLAnchorElement.prototype.click = async function () {
        const body = await (blobs[this.href] ?? await fetch(this.href)).arrayBuffer();
        window.saved.push([this.download, this.getAttribute('href'), [...new Uint8Array(body).slice(0, 4)], body.byteLength]);
    };
";

fn the_seconds_before_and_a_film_are_saved(kind: Kind) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--history", "50"]).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_colour(&browser, RED);
    browser.run(CATCH_DOWNLOADS, json!([]));
    let saved = || browser.run("return window.saved", json!([]));
    // The first may be older than that on a busy machine.
    folder.put("a.png", png(PALETTE[3]));
    wait_for_colour(&browser, PALETTE[3]);
    browser.press("b");
    wait_until("a recording is saved", SOON, || saved()[0][3].as_u64() > Some(100));
    let (path, head) = (saved()[0][1].clone(), saved()[0][2].clone());
    assert_eq!(path, json!("/recording/a.png?last=30s"));
    assert_eq!(head, json!(b"Cont".to_vec()));
    wait_until_told(&browser, "saving 30 s");
    // Any page may be without a recorder of its own, and then has no button.
    if browser.run("return document.querySelector('[title*=WebM]').hidden", json!([])) == json!(true) {
        return;
    }
    browser.press("v");
    for colour in [GREEN, BLUE] {
        folder.put("a.png", png(colour));
        wait_for_colour(&browser, colour);
    }
    browser.press("v");
    wait_until("a film is saved", SOON, || saved()[1][3].as_u64() > Some(200));
    let film = saved()[1].clone();
    assert_eq!((&film[0], &film[2]), (&json!("a.png.webm"), &json!([0x1a, 0x45, 0xdf, 0xa3])));
}

#[test]
fn the_seconds_before_and_a_film_are_saved_in_chromium() {
    the_seconds_before_and_a_film_are_saved(Kind::Chromium);
}

#[test]
fn the_seconds_before_and_a_film_are_saved_in_firefox() {
    the_seconds_before_and_a_film_are_saved(Kind::Firefox);
}
