//! A session of a real browser, headless, driven over WebDriver (https://www.w3.org/TR/webdriver2/): Chromium by chromedriver,
//! Firefox by geckodriver (0.36 or newer), each with an empty profile. It ends with the program, however that ends.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use ureq::{Agent, Body, Error, http::Response};

use super::tool;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Chromium,
    Firefox,
}

pub struct Session {
    kind: Kind,
    agent: Agent,
    url: String,
    #[expect(dead_code, reason = "held, not read")]
    driver: Driver,
}

/// The driver's process, with the browser among its descendants.
struct Driver {
    keeper: Child,
    input: Option<ChildStdin>,
    profile: PathBuf,
}

/// Runs a driver until the standard input ends, then kills it and all its descendants, and removes the profile `$1`. A process is
/// stopped before its children are listed, so that it starts no others.
const KEEPER: &str = r#"
    profile=$1
    shift
    "$@" &
    driver=$!
    exec > /dev/null
    cat
    end() {
        kill -STOP "$1"
        for child in $(cat /proc/"$1"/task/*/children); do end "$child"; done
        kill -KILL "$1"
    }
    end "$driver"
    for _ in 1 2 3 4 5; do rm -rf "$profile" && break; sleep 0.1; done
"#;

/// The time that a browser may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

impl Session {
    /// Starts a browser; `None` if it is not installed. Chromium trusts the key with this `pin` as if an authority had signed it.
    pub fn start(kind: Kind, pin: Option<&str>) -> Option<Self> {
        let (driver, program) = match kind {
            Kind::Chromium => (tool(&["chromedriver"])?, tool(&["chromium", "chromium-browser", "google-chrome"])?),
            Kind::Firefox => (tool(&["geckodriver"])?, tool(&["firefox-esr", "firefox"])?),
        };
        let (driver, port) = Driver::start(kind, &driver);
        let mut capabilities = capabilities(kind, &program, &driver.profile);
        if let (Some(pin), Some(args)) = (pin, capabilities["goog:chromeOptions"]["args"].as_array_mut()) {
            args.push(json!(format!("--ignore-certificate-errors-spki-list={pin}")));
        }
        // Feeds never finish loading, so commands must not wait for that; and a script in a frame that disappears never ends.
        capabilities["pageLoadStrategy"] = json!("none");
        capabilities["timeouts"] = json!({ "script": 3000 });
        let agent = Agent::config_builder().timeout_global(Some(START)).http_status_as_error(false).build().into();
        let mut session = Self { kind, agent, url: format!("http://127.0.0.1:{port}/session"), driver };
        let answer = session.post("", json!({ "capabilities": { "alwaysMatch": capabilities } })).expect("a session");
        session.url = format!("{}/{}", session.url, answer["sessionId"].as_str().expect("its name"));
        Some(session)
    }

    pub fn get(&self, command: &str) -> Result<Value, String> {
        value(self.agent.get(format!("{}{command}", self.url)).call())
    }

    pub fn post(&self, command: &str, body: Value) -> Result<Value, String> {
        value(self.agent.post(format!("{}{command}", self.url)).send_json(body))
    }

    fn delete(&self, command: &str) -> Result<Value, String> {
        value(self.agent.delete(format!("{}{command}", self.url)).call())
    }

    /// A command of the Chrome DevTools Protocol.
    pub fn chromium(&self, command: &str, parameters: Value) -> Result<Value, String> {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    /// Closes all tabs but a new one, and removes what the browser has kept of them.
    pub fn clean(&self) -> Result<(), String> {
        let old = self.get("/window/handles")?;
        let new = self.post("/window/new", json!({ "type": "tab" }))?;
        for handle in old.as_array().into_iter().flatten() {
            self.post("/window", json!({ "handle": handle }))?;
            self.delete("/window")?;
        }
        self.post("/window", json!({ "handle": new["handle"] }))?;
        match self.kind {
            Kind::Chromium => {
                self.chromium("Storage.clearDataForOrigin", json!({ "origin": "*", "storageTypes": "all" }))?;
                self.chromium("Network.clearBrowserCookies", json!({}))?;
                self.chromium("Network.clearBrowserCache", json!({}))?;
                self.chromium("Page.bringToFront", json!({}))?;
            }
            Kind::Firefox => {
                let script = "const [done] = arguments;
                    Services.clearData.deleteData(Ci.nsIClearDataService.CLEAR_ALL, { onDataDeleted: done })";
                self.post("/moz/context", json!({ "context": "chrome" }))?;
                self.post("/execute/async", json!({ "script": script, "args": [] }))?;
                self.post("/moz/context", json!({ "context": "content" }))?;
            }
        }
        Ok(())
    }
}

impl Driver {
    /// Starts the driver on a free port. chromedriver picks one that is free under IPv6, and exits if it is in use under IPv4: then
    /// this tries again.
    fn start(kind: Kind, program: &Path) -> (Self, u16) {
        (0..5).find_map(|_| Self::try_start(kind, program)).expect("the driver says its port")
    }

    fn try_start(kind: Kind, program: &Path) -> Option<(Self, u16)> {
        let profile = tempfile::Builder::new().prefix("mxr-test-browser-").tempdir().unwrap().keep();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(&profile).arg(program);
        match kind {
            Kind::Chromium => command.arg("--port=0"),
            Kind::Firefox => {
                command.args(["--port", "0", "--websocket-port", "0", "--allow-system-access", "--profile-root"]).arg(&profile)
            }
        };
        command.env("HOME", &profile).env("TMPDIR", &profile);
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, port) = mpsc::channel();
        let lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        // It reads on to the end: a full pipe would stop the driver.
        thread::spawn(move || {
            for port in lines.map_while(Result::ok).filter_map(|line| printed_port(&line)) {
                let _ = sender.send(port);
            }
        });
        let driver = Self { input: keeper.stdin.take(), keeper, profile };
        let port = port.recv_timeout(START).ok()?;
        Some((driver, port))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.keeper.wait();
    }
}

/// `… started successfully on port 34567.`, `… Listening on 127.0.0.1:34567`
fn printed_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("successfully on port ").or_else(|| line.split_once("Listening on 127.0.0.1:"))?;
    port.trim_end_matches('.').parse().ok()
}

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
                &profile,
            ];
            json!({ "goog:chromeOptions": { "binary": program, "args": args } })
        }
        Kind::Firefox => {
            let prefs = json!({ "app.normandy.enabled": false, "network.connectivity-service.enabled": false });
            let args = ["-headless", "-width", "800", "-height", "600"];
            json!({ "moz:firefoxOptions": { "binary": program, "args": args, "prefs": prefs } })
        }
    }
}

/// The result of a command, or the driver's error message.
fn value(sent: Result<Response<Body>, Error>) -> Result<Value, String> {
    let mut answer = sent.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body: Value = answer.body_mut().with_config().limit(1 << 27).read_json().map_err(|error| error.to_string())?;
    if status.is_success() { Ok(body["value"].clone()) } else { Err(body["value"].to_string()) }
}
