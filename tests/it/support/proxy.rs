//! A proxy between a browser and mxr that holds replies back until they end, as some do, or cuts streams off.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// The replies that it passes on as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    /// As jupyter-server-proxy: those to `Accept: text/event-stream` and nothing else.
    EventStreams,
    Nothing,
    /// All, but of each stream only some of its first bytes; every other one is then reset.
    Pieces,
}

/// A running proxy; its threads end with the test process.
pub struct Proxy {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Before the server at `host`.
    pub fn before(host: &str, passes: Passes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (asked, host) = (Arc::new(Mutex::new(Vec::new())), host.to_owned());
        let targets = asked.clone();
        thread::spawn(move || {
            for browser in listener.incoming() {
                let (host, targets) = (host.clone(), targets.clone());
                thread::spawn(move || pass(browser.unwrap(), &host, passes, &targets));
            }
        });
        Self { url, asked }
    }

    /// The targets of the requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Passes one request on, and its reply. Browsers open connections that they do not use, and leave before a reply ends.
fn pass(mut browser: TcpStream, host: &str, passes: Passes, asked: &Mutex<Vec<String>>) -> Option<()> {
    let lines: Vec<String> = BufReader::new(&browser).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let target = lines.first()?.split(' ').nth(1)?.to_owned();
    let is_stream = target.starts_with("/stream");
    asked.lock().unwrap().push(target);
    let is_passed = match passes {
        Passes::EventStreams => lines.iter().any(|line| line.eq_ignore_ascii_case("Accept: text/event-stream")),
        Passes::Nothing => false,
        Passes::Pieces => true,
    };
    let kept = lines.iter().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    let mut server = TcpStream::connect(host).ok()?;
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).ok()?;
    if passes == Passes::Pieces && is_stream {
        let number = asked.lock().unwrap().iter().filter(|target| target.starts_with("/stream")).count() as u64;
        // Without a pattern, so that the cuts fall anywhere in a part; the head has some 400 bytes.
        let bytes = 500 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 9973;
        std::io::copy(&mut server.take(bytes), &mut browser).ok()?;
        if number.is_multiple_of(2) {
            socket2::SockRef::from(&browser).set_linger(Some(std::time::Duration::ZERO)).ok()?;
        }
        return Some(());
    }
    if is_passed {
        std::io::copy(&mut server, &mut browser).ok()?;
        return Some(());
    }
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).ok()?;
    browser.write_all(&reply).ok()
}
