//! A real browser for one test: it goes to pages, presses keys, and says what is on the screen.
//!
//! To start one takes longer than many a test. So the tests of a kind of browser take turns with one: each has a new tab, and
//! its traces are removed behind it. A test that fails takes the browser with it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use image::RgbImage;
use serde_json::{Value, json};

use super::{
    SOON, alone,
    machine::share,
    session::{Kind, Session},
    wait_until,
};

pub struct Browser {
    /// There until the end.
    session: Option<Session>,
    turn: Option<Turn>,
}

/// Where the next test finds the browser that this one has.
type Turn = MutexGuard<'static, Option<Session>>;

static CHROMIUM: Mutex<Option<Session>> = Mutex::new(None);
static FIREFOX: Mutex<Option<Session>> = Mutex::new(None);

impl Browser {
    /// The browser of this kind, when its turn comes; `None` if it is not installed. A test can have one of each kind.
    pub fn start(kind: Kind) -> Option<Self> {
        // First: a test that has the browser must not wait for the machine.
        share();
        let turns = match kind {
            Kind::Chromium => &CHROMIUM,
            Kind::Firefox => &FIREFOX,
        };
        let mut turn = turns.lock().unwrap_or_else(PoisonError::into_inner);
        let session = Some(turn.take().or_else(|| Session::start(kind, None))?);
        Some(Self { session, turn: Some(turn) })
    }

    /// The same, with the machine for itself: for a test that measures times.
    pub fn start_alone(kind: Kind) -> Option<Self> {
        alone();
        Self::start(kind)
    }

    /// Another Chromium, which trusts the key with this `pin` as if an authority had signed it.
    pub fn start_trusting(pin: &str) -> Option<Self> {
        share();
        Some(Self { session: Some(Session::start(Kind::Chromium, Some(pin))?), turn: None })
    }

    /// Navigates, and waits until the new document exists, loaded or not.
    pub fn go(&self, url: &str) {
        self.go_by_way_of(url, url);
    }

    /// The same, if the server redirects to another URL.
    pub fn go_by_way_of(&self, url: &str, end: &str) {
        self.post("/url", json!({ "url": url }));
        let script = json!({ "script": "return document.documentElement !== null && location.href", "args": [] });
        // Between two documents a script may find neither.
        let is_there = || self.try_post("/execute/sync", script.clone()).is_ok_and(|href| href == json!(end));
        wait_until(&format!("the browser is at {end}"), SOON, is_there);
    }

    /// Opens another window beside this one, and goes on there.
    pub fn open_window(&self) {
        let new = self.post("/window/new", json!({ "type": "window" }));
        self.post("/window", json!({ "handle": new["handle"] }));
    }

    /// Runs a script with arguments and returns what it returns.
    pub fn run(&self, script: &str, arguments: Value) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": arguments }))
    }

    /// Presses a key: a letter, or one of WebDriver's own code points.
    pub fn press(&self, key: &str) {
        let strokes = ["keyDown", "keyUp"].map(|stroke| json!({ "type": stroke, "value": key }));
        self.post("/actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }));
    }

    /// Presses a key while Shift is held.
    pub fn press_with_shift(&self, key: &str) {
        const SHIFT: &str = "\u{e008}";
        let strokes = [("keyDown", SHIFT), ("keyDown", key), ("keyUp", key), ("keyUp", SHIFT)];
        let strokes = strokes.map(|(stroke, key)| json!({ "type": stroke, "value": key }));
        self.post("/actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }));
    }

    /// Sets the colour scheme that Chromium's user prefers, light or dark.
    pub fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.session().chromium("Emulation.setEmulatedMedia", features).expect("Chromium");
    }

    /// Clicks at a point of the window.
    pub fn click(&self, x: u32, y: u32) {
        let actions = json!([
            { "type": "pointerMove", "x": x, "y": y },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.post("/actions", json!({ "actions": [{ "type": "pointer", "id": "mouse", "actions": actions }] }));
    }

    /// Presses the mouse at the first of these points of the window, moves it over the others, and lets it go at the last.
    pub fn drag(&self, points: &[(u32, u32)]) {
        let moves = points.iter().map(|(x, y)| json!({ "type": "pointerMove", "x": x, "y": y, "duration": 200 }));
        let mut actions: Vec<_> = moves.collect();
        actions.insert(1, json!({ "type": "pointerDown", "button": 0 }));
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        self.post("/actions", json!({ "actions": [{ "type": "pointer", "id": "mouse", "actions": actions }] }));
    }

    /// A screenshot.
    pub fn screenshot(&self) -> RgbImage {
        image::load_from_memory(&self.screenshot_png().expect("a screenshot")).unwrap().into_rgb8()
    }

    /// Saves a screenshot among the build's temporary files, and returns its path.
    pub fn keep_screenshot(&self, name: &str) -> Option<PathBuf> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        fs::write(&path, self.screenshot_png()?).ok()?;
        Some(path)
    }

    fn screenshot_png(&self) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(self.session().get("/screenshot").ok()?.as_str()?).ok()
    }

    /// The visible text, including that of frames.
    pub fn text(&self) -> String {
        let mut text = self.own_text();
        let elements = self.post("/elements", json!({ "using": "css selector", "value": "iframe" }));
        for frame in elements.as_array().into_iter().flatten() {
            // A frame may have disappeared by now: the page changes meanwhile.
            if self.try_post("/frame", json!({ "id": frame })).is_ok() {
                text = text + "\n" + &self.own_text();
            }
            self.post("/frame", json!({ "id": null }));
        }
        text
    }

    fn own_text(&self) -> String {
        let script = json!({ "script": "return document.body?.innerText ?? ''", "args": [] });
        let text = self.try_post("/execute/sync", script).unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    }

    fn post(&self, command: &str, body: Value) -> Value {
        self.try_post(command, body).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn try_post(&self, command: &str, body: Value) -> Result<Value, String> {
        self.session().post(command, body)
    }

    fn session(&self) -> &Session {
        self.session.as_ref().expect("it is there until the end")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if thread::panicking() {
            let name = thread::current().name().unwrap_or("failed").replace(':', "-");
            eprintln!("the browser showed: {:?}", self.keep_screenshot(&name));
            return;
        }
        if let Some(turn) = &mut self.turn {
            **turn = self.session.take().filter(|session| session.clean().is_ok());
        }
    }
}
