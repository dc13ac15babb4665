//! Real browsers, headless, driven over WebDriver (https://www.w3.org/TR/webdriver2/): Chromium by
//! chromedriver, Firefox by geckodriver, each with an empty profile. Dropping one ends its processes.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use image::RgbImage;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

use super::{SOON, alone, tool, wait_until};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Chromium,
    Firefox,
}

pub struct Browser {
    driver: Driver,
    agent: Agent,
    /// The URL of the driver's session.
    session: String,
}

/// The driver's process, with the browser among its descendants.
struct Driver {
    process: Child,
    profile: TempDir,
}

/// The time that a browser may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

impl Browser {
    /// Starts a browser; `None` if it is not installed.
    pub fn start(kind: Kind) -> Option<Self> {
        Self::start_trusting(kind, None)
    }

    /// The same; Chromium trusts the key with this `pin` as if an authority had signed it.
    pub fn start_trusting(kind: Kind, pin: Option<&str>) -> Option<Self> {
        let (driver, program) = match kind {
            Kind::Chromium => (tool(&["chromedriver"])?, tool(&["chromium", "chromium-browser", "google-chrome"])?),
            Kind::Firefox => (tool(&["geckodriver"])?, tool(&["firefox-esr", "firefox"])?),
        };
        // A browser uses all processors, and the tests measure its times.
        alone();
        let (driver, port) = Driver::start(kind, &driver);
        let agent = Agent::config_builder().timeout_global(Some(START)).http_status_as_error(false).build().into();
        let mut browser = Self { driver, agent, session: format!("http://127.0.0.1:{port}/session") };
        let mut capabilities = capabilities(kind, &program, browser.driver.profile.path());
        if let (Some(pin), Some(args)) = (pin, capabilities["goog:chromeOptions"]["args"].as_array_mut()) {
            args.push(json!(format!("--ignore-certificate-errors-spki-list={pin}")));
        }
        // Feeds never finish loading, so commands must not wait for that; and a script in a frame that disappears never ends.
        capabilities["pageLoadStrategy"] = json!("none");
        capabilities["timeouts"] = json!({ "script": 3000 });
        let answer = browser.post("", json!({ "capabilities": { "alwaysMatch": capabilities } }));
        let id = answer["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
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
        self.post("/goog/cdp/execute", json!({ "cmd": "Emulation.setEmulatedMedia", "params": features }));
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
        let mut answer = self.agent.get(format!("{}/screenshot", self.session)).call().ok()?;
        BASE64_STANDARD.decode(value(&mut answer).ok()?.as_str()?).ok()
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
        let sent = self.agent.post(format!("{}{command}", self.session)).send_json(body);
        value(&mut sent.expect("the driver answers"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if thread::panicking() {
            let name = thread::current().name().unwrap_or("failed").replace(':', "-");
            eprintln!("the browser showed: {:?}", self.keep_screenshot(&name));
        }
        let processes = self.driver.descendants();
        let _ = self.agent.delete(&self.session).call();
        // Ends the processes that the session left: the driver first, so that it restarts nothing.
        self.driver.end();
        for (pid, started) in processes {
            if process(pid).is_some_and(|(_, again)| again == started) {
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            }
        }
    }
}

impl Driver {
    /// Starts the driver on a free port. chromedriver picks one that is free under IPv6, and exits if it is in use under IPv4: then
    /// this tries again.
    fn start(kind: Kind, program: &Path) -> (Self, u16) {
        (0..5).find_map(|_| Self::try_start(kind, program)).expect("the driver says its port")
    }

    fn try_start(kind: Kind, program: &Path) -> Option<(Self, u16)> {
        let profile = tempfile::Builder::new().prefix("mxr-test-browser-").tempdir().unwrap();
        let mut command = Command::new(program);
        match kind {
            Kind::Chromium => command.arg("--port=0"),
            Kind::Firefox => command.args(["--port", "0", "--websocket-port", "0", "--profile-root"]).arg(profile.path()),
        };
        command.env("HOME", profile.path()).env("TMPDIR", profile.path());
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, port) = mpsc::channel();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // It reads on to the end: a full pipe would stop the driver.
        thread::spawn(move || {
            for port in lines.map_while(Result::ok).filter_map(|line| printed_port(&line)) {
                let _ = sender.send(port);
            }
        });
        let driver = Self { process, profile };
        let port = port.recv_timeout(START).ok()?;
        Some((driver, port))
    }

    /// Every descendant of the driver, with its start time, which identifies it.
    fn descendants(&self) -> Vec<(i32, u64)> {
        let all: Vec<_> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| process(pid).map(|(parent, started)| (pid, parent, started)))
            .collect();
        let mut family = vec![(self.process.id() as i32, 0)];
        let mut next = 0;
        while let Some(&(ancestor, _)) = family.get(next) {
            family.extend(all.iter().filter(|(_, parent, _)| *parent == ancestor).map(|(pid, _, started)| (*pid, *started)));
            next += 1;
        }
        family.split_off(1)
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}

/// Parent and start time of a process (proc_pid_stat(5), fields 4 and 22).
fn process(pid: i32) -> Option<(i32, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some((fields[1].parse().ok()?, fields[19].parse().ok()?))
}

/// `… started successfully on port 34567.`, `… Listening on 127.0.0.1:34567`
fn printed_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("successfully on port ").or_else(|| line.split_once("Listening on 127.0.0.1:"))?;
    port.trim_end_matches('.').parse().ok()
}

/// The name rebound.test is this machine's, as that of an attacker is after DNS rebinding.
fn capabilities(kind: Kind, program: &PathBuf, profile: &Path) -> Value {
    match kind {
        Kind::Chromium => {
            let profile = format!("--user-data-dir={}", profile.display());
            let args = [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-breakpad",
                "--window-size=800,600",
                "--host-resolver-rules=MAP rebound.test 127.0.0.1",
                &profile,
            ];
            json!({ "goog:chromeOptions": { "binary": program, "args": args } })
        }
        Kind::Firefox => {
            let prefs = json!({
                "app.normandy.enabled": false,
                "network.connectivity-service.enabled": false,
                "network.dns.localDomains": "rebound.test",
            });
            let args = ["-headless", "-width", "800", "-height", "600"];
            json!({ "moz:firefoxOptions": { "binary": program, "args": args, "prefs": prefs } })
        }
    }
}

/// The result of a command, or the driver's error message.
fn value(answer: &mut ureq::http::Response<ureq::Body>) -> Result<Value, String> {
    let status = answer.status();
    let body: Value = answer.body_mut().with_config().limit(1 << 27).read_json().map_err(|error| error.to_string())?;
    if status.is_success() { Ok(body["value"].clone()) } else { Err(body["value"].to_string()) }
}
