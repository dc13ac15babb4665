//! The display in a real Chromium and a real Firefox, read back from pixels and visible text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use image::RgbImage;
use serde_json::json;

use crate::support::{
    BLUE, Browser, Colour, Folder, GREEN, Kind, PALETTE, Page, RED, SOON, Server, look_for, mxr, near, png, wait_until,
};

/// Puts an `<img>` of the feed into the document and records in `window.seen` each colour that it shows, with
/// the time of the animation frame in milliseconds since 1970.
const WATCH_AN_IMG: &str = r"
    const image = new Image();
    image.style = 'position: fixed; inset: 0; width: 300px; height: 300px; z-index: 9';
    image.src = arguments[0];
    document.body.append(image);
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    window.seen = [];
    let last = '';
    const look = async () => {
        if (image.naturalWidth > 0) {
            // A copy, not the <img> itself, of which Firefox caches the pixels.
            const bitmap = await createImageBitmap(image).catch(() => null);
            if (bitmap) {
                context.drawImage(bitmap, 0, 0, 1, 1);
                bitmap.close();
                const colour = [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
                if (last !== String(colour)) {
                    last = String(colour);
                    window.seen.push({ colour, at: performance.timeOrigin + performance.now() });
                }
            }
        }
        requestAnimationFrame(look);
    };
    look();
";

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0
}

/// The newest entry of `window.seen`.
fn newest_seen(browser: &Browser) -> Option<(Colour, f64)> {
    let seen = browser.run("return window.seen.at(-1)", json!([]));
    let colour: Colour = serde_json::from_value(seen.get("colour")?.clone()).ok()?;
    Some((colour, seen["at"].as_f64()?))
}

/// Waits until the page's `<img>` has this colour, and returns since when.
fn wait_for_colour(browser: &Browser, colour: Colour) -> Option<f64> {
    look_for(Duration::from_millis(1500), || newest_seen(browser).filter(|(seen, _)| near(*seen, colour)).map(|(_, at)| at))
}

/// A watched picture, and a browser at a bare page of the server's own origin, to be measured.
fn watched_picture(kind: Kind) -> Option<(Folder, Server, Browser)> {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0"]).start();
    let browser = Browser::start_alone(kind)?;
    browser.go(&server.url("/healthz"));
    Some((folder, server, browser))
}

fn a_picture_is_on_screen_at_once(kind: Kind) {
    let Some((folder, server, browser)) = watched_picture(kind) else { return };
    browser.run(WATCH_AN_IMG, json!(["/stream"]));
    wait_for_colour(&browser, RED).expect("the first picture, before any other");
    let mut delays = Vec::new();
    for colour in PALETTE[1..].iter().chain(&PALETTE[..5]) {
        let published = now();
        folder.put("a.png", png(*colour));
        // Nothing else is published during the wait: each of them is the last part before a pause.
        let painted = wait_for_colour(&browser, *colour);
        delays.push(painted.map_or(f64::INFINITY, |at| at - published));
    }
    let late = delays.iter().filter(|delay| **delay > 100.0).count();
    assert!(late <= 1 && !delays.contains(&f64::INFINITY), "painted after {delays:.0?} ms");
    let screen = browser.screenshot();
    assert!(near(screen.get_pixel(150, 150).0, PALETTE[4]), "{:?} is on the screen", screen.get_pixel(150, 150));
    let viewers = server.viewers();
    let image = viewers.iter().find(|viewer| viewer["sent"] == 11);
    assert!(image.is_some(), "eleven pictures, none of them twice: {viewers:?}");
}

#[test]
fn chromium_paints_a_picture_within_100_ms_and_the_last_before_a_pause() {
    a_picture_is_on_screen_at_once(Kind::Chromium);
}

#[test]
fn firefox_paints_a_picture_within_100_ms_and_the_last_before_a_pause() {
    a_picture_is_on_screen_at_once(Kind::Firefox);
}

fn the_picture_stays_when_the_server_ends(kind: Kind) {
    let Some((folder, server, browser)) = watched_picture(kind) else { return };
    browser.run(WATCH_AN_IMG, json!(["/stream"]));
    wait_for_colour(&browser, RED).expect("the first picture");
    folder.put("a.png", png(GREEN));
    wait_for_colour(&browser, GREEN).expect("the second picture");
    server.stop().success();
    // Time for the browser to discard the picture, if it did.
    for _ in 0..10 {
        assert!(near(browser.screenshot().get_pixel(150, 150).0, GREEN));
    }
}

#[test]
fn chromium_keeps_the_picture_when_the_server_ends() {
    the_picture_stays_when_the_server_ends(Kind::Chromium);
}

#[test]
fn firefox_keeps_the_picture_when_the_server_ends() {
    the_picture_stays_when_the_server_ends(Kind::Firefox);
}

/// Waits until the middle of the upper left quarter of the screen has this colour.
fn wait_for_pixel(browser: &Browser, colour: Colour) {
    wait_until(&format!("{colour:?} is on the screen"), SOON, || near(browser.screenshot().get_pixel(50, 50).0, colour));
}

fn an_img_on_a_foreign_page_outlives_parts_that_are_no_pictures(kind: Kind) {
    let folder = Folder::new();
    let server = mxr(["watch"]).arg(folder.path()).start();
    let Some(browser) = Browser::start(kind) else { return };
    let style = "position:fixed;inset:0;width:200px;height:200px";
    let page = Page::serve(&format!("<!doctype html><img style='{style}' src='{}'>", server.url("/stream")));
    browser.go(&page.url);
    server.wait_for_viewers(1);
    for (at, colour) in [RED, GREEN, BLUE].into_iter().enumerate() {
        folder.put("picture.png", png(colour));
        wait_for_pixel(&browser, colour);
        for (name, body) in [
            ("note.txt", format!("text {at}").into_bytes()),
            ("page.html", format!("<p>{at}</p>").into_bytes()),
            ("drawing.svg", format!("<svg xmlns='http://www.w3.org/2000/svg' width='{at}'/>").into_bytes()),
            ("data.json", format!("[{at}]").into_bytes()),
            ("empty.png", Vec::new()),
            ("cut.png", png(RED)[..30].to_vec()),
        ] {
            folder.put(name, body);
        }
    }
    folder.put("picture.png", png(PALETTE[3]));
    wait_for_pixel(&browser, PALETTE[3]);
    assert_eq!(browser.run("return document.images.length", json!([])), json!(1), "the tab lives");
}

/// GIF89a of one pixel, transparent nowhere.
fn gif([red, green, blue]: Colour) -> Vec<u8> {
    let image = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";
    [b"GIF89a\x01\0\x01\0\x80\0\0", &[red, green, blue, 0, 0, 0][..], image].concat()
}

/// A PNG of one pixel.
fn dot(colour: Colour) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(1, 1, image::Rgb(colour)).write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

fn a_small_picture_is_on_a_foreign_page_at_once(kind: Kind) {
    let Some(browser) = Browser::start(kind) else { return };
    let style = "position:fixed;inset:0;width:200px;height:200px";
    for (name, picture) in [("a.png", dot as fn(Colour) -> Vec<u8>), ("a.gif", gif)] {
        let folder = Folder::new();
        folder.put(name, picture(RED));
        assert!(picture(RED).len() < 100);
        let server = mxr(["watch"]).arg(folder.file(name)).args(["--keepalive", "0"]).start();
        let page = Page::serve(&format!("<!doctype html><img style='{style}' src='{}'>", server.url("/stream")));
        browser.go(&page.url);
        // It is the only picture for now.
        wait_for_pixel(&browser, RED);
        folder.put(name, picture(BLUE));
        wait_for_pixel(&browser, BLUE);
    }
}

#[test]
fn chromium_shows_a_small_picture_on_a_foreign_page_at_once() {
    a_small_picture_is_on_a_foreign_page_at_once(Kind::Chromium);
}

#[test]
fn firefox_shows_a_small_picture_on_a_foreign_page_at_once() {
    a_small_picture_is_on_a_foreign_page_at_once(Kind::Firefox);
}

#[test]
fn chromium_survives_a_mixed_feed_in_an_img() {
    an_img_on_a_foreign_page_outlives_parts_that_are_no_pictures(Kind::Chromium);
}

#[test]
fn firefox_survives_a_mixed_feed_in_an_img() {
    an_img_on_a_foreign_page_outlives_parts_that_are_no_pictures(Kind::Firefox);
}

fn the_page_plays_the_demo_to_its_end(kind: Kind) {
    let server = mxr(["serve", "--demo"]).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    let sees = |words: &str| browser.text().split_whitespace().collect::<Vec<_>>().join(" ").contains(words);
    wait_until("the first text is there", SOON, || sees("Hello, text"));
    wait_until("the second text is there", SOON, || sees("plain world!"));
    wait_until("the HTML is there", 2 * SOON, || sees("Hello, the wonderful world of HTML!"));
    wait_until("the page says that the feed has ended", SOON, || browser.text().to_lowercase().contains("ended"));
    assert!(sees("Hello, the wonderful world of HTML!"), "the last part stays: {}", browser.text());
    browser.keep_screenshot(&format!("demo-{kind:?}"));
}

#[test]
fn chromium_plays_the_demo_to_its_end() {
    the_page_plays_the_demo_to_its_end(Kind::Chromium);
}

#[test]
fn firefox_plays_the_demo_to_its_end() {
    the_page_plays_the_demo_to_its_end(Kind::Firefox);
}

fn the_page_comes_back_with_the_server(kind: Kind) {
    let folder = Folder::new();
    folder.put("a.txt", "before");
    let server = mxr(["watch"]).arg(folder.file("a.txt")).start();
    let Some(browser) = Browser::start(kind) else { return };
    browser.go(&server.url("/"));
    wait_until("the part is there", SOON, || browser.text().contains("before"));
    folder.put("a.txt", "before, and new");
    wait_until("the page says that it is live", SOON, || browser.text().contains("live"));
    let port = server.port();
    drop(server);
    wait_until("the page says that it is not", SOON, || browser.text().contains("reconnecting"));
    assert!(browser.text().contains("before, and new"), "the last part stays: {}", browser.text());
    folder.put("a.txt", "after");
    let _server = mxr(["watch"]).arg(folder.file("a.txt")).start_at(port);
    wait_until("the new part is there", 3 * SOON, || browser.text().contains("after"));
}

#[test]
fn the_page_reconnects_to_a_restarted_server_in_chromium() {
    the_page_comes_back_with_the_server(Kind::Chromium);
}

#[test]
fn the_page_reconnects_to_a_restarted_server_in_firefox() {
    the_page_comes_back_with_the_server(Kind::Firefox);
}

fn parts_are_inert(kind: Kind) {
    let folder = Folder::new();
    let script = "try { parent.document.title = 'ran' } catch {} document.title = 'ran'; new Image().src = '/ran';";
    folder.put("page.html", format!("<!doctype html><p id=p>quiet</p><script>p.textContent = 'ran'; {script}</script>"));
    let server = mxr(["watch"]).arg(folder.path()).start();
    let Some(browser) = Browser::start(kind) else { return };
    for path in ["/view", "/stream", "/snapshot"] {
        // Chromium shows only pictures of a multipart reply, otherwise an empty document (docs/field.md, Browsers).
        if path == "/stream" && kind == Kind::Chromium {
            continue;
        }
        browser.go(&server.url(path));
        wait_until("the part is there", SOON, || browser.text().contains("quiet"));
        let title = browser.run("return document.title", json!([]));
        assert_ne!(title, json!("ran"), "{path}");
    }
    let svg = format!("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script>{script}</script></svg>");
    folder.put("drawing.svg", svg);
    browser.go(&server.url("/snapshot"));
    assert_ne!(browser.run("return document.title", json!([])), json!("ran"));
}

#[test]
fn parts_are_inert_in_chromium() {
    parts_are_inert(Kind::Chromium);
}

#[test]
fn parts_are_inert_in_firefox() {
    parts_are_inert(Kind::Firefox);
}
