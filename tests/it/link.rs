//! The viewer page's connection to its server, in a real Chromium and a real Firefox: the page shows the age of the picture,
//! distinguishes a quiet source from a lost connection, reconnects by itself, and does not request a feed that has ended.

use std::{
    fs::File,
    process::Stdio,
    time::{Duration, SystemTime},
};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{BLUE, Browser, Folder, GREEN, Kind, Passes, Proxy, RED, SOON, jpeg, mxr, near, png, wait_until};

/// The page's text about its feed: state, name, more of the state, readings.
fn header(browser: &Browser) -> String {
    let script = "return [...document.querySelectorAll('header')].map(header => header.textContent).join()";
    browser.run(script, json!([])).as_str().unwrap_or_default().to_owned()
}

fn wait_for_header(browser: &Browser, text: &str) {
    wait_until(&format!("the header says {text:?}"), SOON, || header(browser).contains(text));
}

/// Sets the page's random numbers: 0 gives the shortest pause before it retries, 100 one that no test waits for.
fn draw_lots(browser: &Browser, lot: f64) {
    browser.run("const lot = arguments[0]; Math.random = () => lot", json!([lot]));
}

fn hide(browser: &Browser, hidden: bool) {
    let script = "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });
        document.dispatchEvent(new Event('visibilitychange'))";
    browser.run(script, json!([hidden]));
}

fn only_what_is_late_by_its_own_rhythm_is_stale(kind: Kind) {
    let Some(browser) = Browser::start(kind) else { return };
    // Written only now: the browser may have taken half a minute to start, which the age would show.
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    // The page has no timer that it could miss while its clock jumps.
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0"]).start();
    browser.go(&server.url("/"));
    wait_for_header(&browser, "#1");
    let leap = |minutes: u32| {
        // In Firefox scripts of a driver have a separate Date.
        browser.run("const { now } = window.Date, ms = 60000 * arguments[0]; window.Date.now = () => now() + ms", json!([minutes]));
    };
    leap(30);
    wait_for_header(&browser, "quieta.png30 min ago");
    // After two parts the page cannot know yet that the third is late.
    folder.put("a.png", png(GREEN));
    wait_for_header(&browser, "#2");
    wait_for_header(&browser, "quieta.png30 min ago");
    leap(60);
    wait_for_header(&browser, "stalea.png90 min ago, connection good");
}

#[test]
fn a_feed_is_stale_only_when_late_by_its_own_rhythm_in_chromium() {
    only_what_is_late_by_its_own_rhythm_is_stale(Kind::Chromium);
}

#[test]
fn a_feed_is_stale_only_when_late_by_its_own_rhythm_in_firefox() {
    only_what_is_late_by_its_own_rhythm_is_stale(Kind::Firefox);
}

fn a_quiet_source_is_told_from_a_lost_connection(kind: Kind) {
    let Some(browser) = Browser::start(kind) else { return };
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(folder.file("a.png")).unwrap().set_modified(an_hour_ago).unwrap();
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "1"]).start();
    browser.go(&server.url("/"));
    // The age is the part's own.
    wait_for_header(&browser, "60 min ago");
    assert!(header(&browser).starts_with("quiet"), "{}", header(&browser));
    draw_lots(&browser, 0.0);
    // The connection is open, but nothing arrives any more, not even keepalives.
    server.signal(Signal::STOP);
    wait_for_header(&browser, "no data");
    assert!(header(&browser).starts_with("reconnecting"), "{}", header(&browser));
    server.signal(Signal::CONT);
    wait_for_header(&browser, "quiet");
    folder.put("a.png", png(GREEN));
    wait_for_header(&browser, "live");

    let port = server.port();
    drop(server);
    wait_for_header(&browser, "no answer, next try in");
    draw_lots(&browser, 100.0);
    let again = mxr(["watch"]).arg(folder.file("a.png")).start_at(port);
    // The retry that was due may still come first; then the pause is long.
    browser.run("window.dispatchEvent(new Event('online'))", json!([]));
    wait_for_header(&browser, "live");
    drop(again);
    wait_for_header(&browser, "reconnecting");
    let _last = mxr(["watch"]).arg(folder.file("a.png")).start_at(port);
    assert!(header(&browser).contains("reconnecting"), "{}", header(&browser));
    // A user who returns to the page need not wait for the pause to end.
    hide(&browser, true);
    hide(&browser, false);
    wait_for_header(&browser, "live");
}

#[test]
fn a_quiet_source_is_distinguished_from_a_lost_connection_in_chromium() {
    a_quiet_source_is_told_from_a_lost_connection(Kind::Chromium);
}

#[test]
fn a_quiet_source_is_distinguished_from_a_lost_connection_in_firefox() {
    a_quiet_source_is_told_from_a_lost_connection(Kind::Firefox);
}

fn an_ended_feed_is_left_alone_until_it_is_asked_for_again(kind: Kind) {
    let folder = Folder::new();
    folder.write("1.png", png(RED));
    folder.write("2.png", png(GREEN));
    let server = mxr(["serve"]).arg(folder.path()).args(["--once", "--fps", "10"]).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_header(&browser, "ended");
    draw_lots(&browser, 0.0);
    let streams = "return performance.getEntriesByType('resource').filter(({ name }) => name.includes('/streams')).length";
    let streams = || browser.run(streams, json!([]));
    let before = streams();
    hide(&browser, true);
    hide(&browser, false);
    browser.run("window.dispatchEvent(new Event('online'))", json!([]));
    let pause = "return new Promise(done => setTimeout(done, 1000))";
    browser.run(pause, json!([]));
    assert_eq!(streams(), before, "a run is not begun unasked");
    assert!(header(&browser).starts_with("ended"), "{}", header(&browser));
    assert!(!header(&browser).contains("/s"), "nothing comes any more: {}", header(&browser));
    let again = "[...document.querySelectorAll('button')].find(button => button.textContent === 'play again').click()";
    browser.run(again, json!([]));
    wait_until("it asks again", SOON, || streams() != before);
    wait_for_header(&browser, "ended");
    assert!(near(browser.screenshot().get_pixel(400, 240).0, GREEN), "the last part stays");
}

#[test]
fn an_ended_feed_is_not_requested_until_the_user_asks_in_chromium() {
    an_ended_feed_is_left_alone_until_it_is_asked_for_again(Kind::Chromium);
}

#[test]
fn an_ended_feed_is_not_requested_until_the_user_asks_in_firefox() {
    an_ended_feed_is_left_alone_until_it_is_asked_for_again(Kind::Firefox);
}

fn a_server_that_was_stopped_and_started_again_is_found(kind: Kind) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_for_header(&browser, "#1");
    draw_lots(&browser, 0.0);
    let remember = "window.said = []; const note = () => said.push(document.querySelector('header').textContent);
        new MutationObserver(note).observe(document.querySelector('header'), { childList: true, subtree: true })";
    browser.run(remember, json!([]));
    let port = server.port();
    // Unlike a killed server, it ends its streams.
    server.stop().success();
    wait_for_header(&browser, "ended, then no answer, ");
    folder.put("a.png", png(GREEN));
    let _again = mxr(["watch"]).arg(folder.file("a.png")).start_at(port);
    wait_until("the new part is shown", SOON, || near(browser.screenshot().get_pixel(400, 240).0, GREEN));
    let said = browser.run("return said.join('\\n')", json!([]));
    let said = said.as_str().unwrap();
    assert!(said.contains("next try in 1 s") && !said.contains("in 0 s"), "{said}");
}

#[test]
fn a_restarted_server_is_found_in_chromium() {
    a_server_that_was_stopped_and_started_again_is_found(Kind::Chromium);
}

#[test]
fn a_restarted_server_is_found_in_firefox() {
    a_server_that_was_stopped_and_started_again_is_found(Kind::Firefox);
}

fn whatever_comes_to_an_open_page_is_shown_as_what_it_is(kind: Kind) {
    let mut server = mxr(["stdin"]).stdin(Stdio::piped()).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    server.wait_for_viewers(1);
    // The page was open before the first bytes on the pipe.
    server.write(jpeg(BLUE));
    wait_until("the picture is on the screen", SOON, || near(browser.screenshot().get_pixel(400, 240).0, BLUE));
    let port = server.port();
    drop(server);
    let folder = Folder::new();
    folder.put("other.txt", "another server");
    let _other = mxr(["watch"]).arg(folder.file("other.txt")).start_at(port);
    browser.run("window.dispatchEvent(new Event('online'))", json!([]));
    wait_until("the other feed is there", SOON, || browser.text().contains("another server"));
    assert!(!header(&browser).contains("stdin"), "what the other server does not have is gone: {}", header(&browser));
}

#[test]
fn an_open_page_shows_any_kind_of_part_in_chromium() {
    whatever_comes_to_an_open_page_is_shown_as_what_it_is(Kind::Chromium);
}

#[test]
fn an_open_page_shows_any_kind_of_part_in_firefox() {
    whatever_comes_to_an_open_page_is_shown_as_what_it_is(Kind::Firefox);
}

fn the_page_works_behind_a_proxy(kind: Kind, passes: Passes) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    folder.put("b.txt", "the second");
    let server = mxr(["watch"]).arg(folder.file("a.png")).arg(folder.file("b.txt")).args(["--history", "3"]).start();
    let proxy = Proxy::before(&server.host, passes);
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&proxy.url);
    wait_until("both feeds are shown", 2 * SOON, || browser.text().contains("the second") && header(&browser).contains("64 × 64"));
    wait_until("it says whether it polls", SOON, || header(&browser).contains("by polling") == (passes == Passes::Nothing));
    folder.put("a.png", png(GREEN));
    folder.put("b.txt", "changed");
    wait_until("changes are shown", SOON, || browser.text().contains("changed") && header(&browser).contains("#2"));
    browser.run("location.hash = 'a.png'", json!([]));
    wait_until("it is on the screen", SOON, || near(browser.screenshot().get_pixel(400, 240).0, GREEN));
    // The history has an end, and so gets through.
    browser.press("\u{e012}");
    wait_for_header(&browser, "history");
    wait_until("the older one is shown", SOON, || near(browser.screenshot().get_pixel(400, 240).0, RED));
    let is_poll = |target: &String| target.starts_with("/snapshot/") && !target.contains("at=");
    assert_eq!(proxy.asked().iter().any(is_poll), passes == Passes::Nothing);
}

#[test]
fn the_page_gets_a_stream_through_a_proxy_that_passes_only_event_streams_in_chromium() {
    the_page_works_behind_a_proxy(Kind::Chromium, Passes::EventStreams);
}

#[test]
fn the_page_gets_a_stream_through_a_proxy_that_passes_only_event_streams_in_firefox() {
    the_page_works_behind_a_proxy(Kind::Firefox, Passes::EventStreams);
}

#[test]
fn the_page_polls_through_a_proxy_that_holds_every_stream_back_and_says_so_in_chromium() {
    the_page_works_behind_a_proxy(Kind::Chromium, Passes::Nothing);
}

#[test]
fn the_page_polls_through_a_proxy_that_holds_every_stream_back_and_says_so_in_firefox() {
    the_page_works_behind_a_proxy(Kind::Firefox, Passes::Nothing);
}

#[test]
fn a_page_that_polls_gets_every_line_and_a_feed_that_had_no_part_yet() {
    let mut server = mxr(["stdin"]).stdin(Stdio::piped()).start();
    let proxy = Proxy::before(&server.host, Passes::Nothing);
    let Some(browser) = Browser::start(Kind::Chromium) else { return };
    browser.go(&proxy.url);
    server.wait_for_viewers(1);
    for burst in 0..5 {
        server.write((0..100).map(|line| format!("line {}\n", burst * 100 + line)).collect::<String>());
        let last = format!("line {}", burst * 100 + 99);
        wait_until(&format!("{last} is shown"), 2 * SOON, || browser.text().contains(&last));
    }
    let lines = browser.run("return [...document.querySelectorAll('.line')].map(line => line.textContent.trim())", json!([]));
    assert_eq!(lines, json!((0..500).map(|line| format!("line {line}")).collect::<Vec<_>>()));
    wait_for_header(&browser, "by polling");
}
