//! Pushers that are killed in the middle of a part, again and again: no torn part, no line lost that is held, and the next one has the
//! feed at once. `TEST_MXR_KILLS=100` makes it as many times.

use std::{
    collections::HashSet,
    fs::OpenOptions,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{Folder, SOON, Server, Viewer, multipart, mxr, noise, png, tool, wait_until};

/// How many pushers are killed.
fn rounds() -> usize {
    std::env::var("TEST_MXR_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(15)
}

fn published(hub: &Server, name: &str) -> u64 {
    let state = hub.state();
    let feed = state["feeds"].as_array().unwrap().iter().find(|feed| feed["name"] == name);
    feed.map_or(0, |feed| feed["published"].as_u64().unwrap())
}

/// A way to a hub that lets so many bytes of a body through and no more, so that a pusher is in the middle of a part.
struct Gate {
    host: String,
    state: Arc<Mutex<GateState>>,
}

#[derive(Default)]
struct GateState {
    /// The bytes that still pass on the present connection.
    budget: Option<usize>,
    /// The connections on which no more passes.
    closed: usize,
    /// When the first byte of the newest body came.
    begun: Option<Instant>,
}

impl Gate {
    fn before(hub: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (host, hub) = (listener.local_addr().unwrap().to_string(), hub.host.clone());
        let state = Arc::<Mutex<GateState>>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for pusher in listener.incoming() {
                let (pusher, hub, state) = (pusher.unwrap(), TcpStream::connect(&hub).unwrap(), shared.clone());
                let (mut replies, mut back) = (hub.try_clone().unwrap(), pusher.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut replies, &mut back);
                    let _ = back.shutdown(Shutdown::Write);
                });
                thread::spawn(move || pass(pusher, hub, &state));
            }
        });
        Self { host, state }
    }

    /// Lets so many more bytes through.
    fn allow(&self, bytes: usize) {
        self.state.lock().unwrap().budget = Some(bytes);
    }

    /// Waits until no more passes, for the time of this number.
    #[track_caller]
    fn wait(&self, number: usize) {
        wait_until("it is in the middle of a part", SOON, || self.state.lock().unwrap().closed == number);
    }

    /// The time since the first byte of the newest body.
    fn since_begun(&self) -> Duration {
        self.state.lock().unwrap().begun.expect("a body").elapsed()
    }
}

/// Passes on what a pusher sends.
fn pass(mut pusher: TcpStream, mut hub: TcpStream, state: &Mutex<GateState>) {
    let (mut buffer, mut is_first, mut is_closed, mut is_question) = (vec![0; 1 << 16], true, false, false);
    while let Ok(count @ 1..) = pusher.read(&mut buffer) {
        if is_first {
            is_question = buffer[..count].windows(10).any(|bytes| bytes == b"?received=");
            if !is_question {
                state.lock().unwrap().begun = Some(Instant::now());
            }
        }
        is_first = false;
        let mut allowed = if is_closed { 0 } else { count };
        if let (false, false, GateState { budget: Some(budget), closed, .. }) =
            (is_question, is_closed, &mut *state.lock().unwrap())
        {
            allowed = count.min(*budget);
            *budget -= allowed;
            if *budget == 0 {
                (is_closed, *closed) = (true, *closed + 1);
            }
        }
        if is_closed {
            state.lock().unwrap().budget = None;
        }
        if allowed > 0 && hub.write_all(&buffer[..allowed]).is_err() {
            break;
        }
    }
    let _ = hub.shutdown(Shutdown::Write);
}

/// The times between the first byte of a pusher and its first part at a viewer.
#[derive(Default)]
struct TakeOvers(Vec<Duration>);

impl TakeOvers {
    fn check(mut self, what: &str) {
        self.0.sort_unstable();
        let (middle, most) = (self.0[self.0.len() / 2], *self.0.last().unwrap());
        eprintln!("{what}: {} take-overs, p50 {middle:?}, at most {most:?}", self.0.len());
        assert!(most < SOON, "{most:?}");
    }
}

/// Reads parts up to this one. Each has to be one of those that were sent.
fn read_to(viewer: &mut Viewer, body: &[u8], sent: &HashSet<Vec<u8>>) {
    viewer.part_where(|part| {
        assert!(sent.contains(&part.body), "a torn part of {} bytes", part.body.len());
        part.body == body
    });
}

/// curl, which sends what is written to it.
struct Curl(Child);

impl Curl {
    fn start(curl: &Path, url: &str) -> Self {
        let kind = "Content-Type: multipart/x-mixed-replace; boundary=B";
        let mut command = Command::new(curl);
        command.args(["-sS", "-X", "POST", "-H", kind, "-T", "-", url]).stdin(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_pusher_that_is_killed_or_stopped_in_the_middle_of_a_part_tears_nothing_and_the_next_one_has_the_feed_at_once() {
    let Some(curl) = tool(&["curl"]) else { return };
    let hub = mxr(["hub"]).start();
    let url = hub.url("/stream/cam");
    let mut viewer = None;
    let (mut sent, mut take_overs, mut before) = (HashSet::new(), TakeOvers::default(), None);
    for round in 0..rounds() {
        let pictures = [1, 2].map(|number| noise(40_000, (2 * round + number) as u32));
        sent.extend(pictures.clone());
        let body = multipart("image/png", &pictures.each_ref().map(Vec::as_slice));
        let whole = multipart("image/png", &[&pictures[0]]).len();
        let mut pusher = Curl::start(&curl, &url);
        let begun = Instant::now();
        pusher.write(&body[..whole]);
        let viewer = viewer.get_or_insert_with(|| {
            wait_until("the first is there", SOON, || published(&hub, "cam") == 1);
            hub.view("/stream/cam")
        });
        read_to(viewer, &pictures[0], &sent);
        take_overs.0.push(begun.elapsed());
        pusher.write(&body[whole..whole + (round * 7919) % (body.len() - whole - 10)]);
        // One that is stopped keeps its connection, until the next but one is there.
        pusher.signal(if round % 3 == 2 { Signal::STOP } else { Signal::KILL });
        before = Some(pusher).or(before);
    }
    assert_eq!(published(&hub, "cam"), rounds() as u64, "what was cut off is no part");
    take_overs.check("curl, from its start on");
}

#[test]
fn a_publisher_of_a_picture_that_is_killed_in_the_middle_of_a_part_tears_nothing_and_the_next_one_has_the_feed_at_once() {
    let (hub, folder) = (mxr(["hub"]).start(), Folder::new());
    let gate = Gate::before(&hub);
    folder.put("a.png", png([9, 9, 9]));
    let publisher = || mxr(["watch"]).arg(folder.file("a.png")).args(["--publish", &format!("http://{}/", gate.host)]).start();
    let mut running = publisher();
    wait_until("the first is there", SOON * 2, || published(&hub, "a.png") == 1);
    let mut viewer = hub.view("/stream/a.png");
    let (mut sent, mut take_overs) = (HashSet::from([png([9, 9, 9])]), TakeOvers::default());
    for round in 1..=rounds() {
        let picture = noise(200_000, round as u32);
        sent.insert(picture.clone());
        gate.allow(500 + (round * 7919 * 13) % 190_000);
        folder.put("a.png", &picture);
        gate.wait(round);
        running.signal(Signal::KILL);
        running.finish();
        running = publisher();
        read_to(&mut viewer, &picture, &sent);
        take_overs.0.push(gate.since_begun());
    }
    take_overs.check("mxr watch");
}

#[test]
fn no_line_of_a_log_is_lost_or_torn_while_its_publisher_is_killed_again_and_again() {
    let (hub, folder) = (mxr(["hub"]).start(), Folder::new());
    let gate = Gate::before(&hub);
    folder.put("a.log", "begin\n");
    let publisher = || {
        let watch = mxr(["watch"]).arg(folder.file("a.log")).args(["--history", "5000", "--publish"]);
        watch.arg(format!("http://{}/", gate.host)).start()
    };
    let mut running = publisher();
    wait_until("the first is there", SOON * 2, || published(&hub, "a.log") == 1);
    let mut viewer = hub.view("/stream/a.log?history=1");
    let (mut take_overs, mut sent, mut came) = (TakeOvers::default(), HashSet::from([b"begin".to_vec()]), HashSet::new());
    for round in 1..=rounds() {
        let lines: Vec<_> = (0..200).map(|line| format!("{round} {line} {}", "x".repeat(line % 60))).collect();
        sent.extend(lines.iter().map(|line| line.clone().into_bytes()));
        gate.allow(500 + (round * 7919) % 20_000);
        let mut log = OpenOptions::new().append(true).open(folder.file("a.log")).unwrap();
        log.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        gate.wait(round);
        running.signal(Signal::KILL);
        running.finish();
        wait_until("the hub has noticed", SOON, || hub.stderr().matches("its pusher is gone").count() == round);
        let before = published(&hub, "a.log");
        running = publisher();
        wait_until("lines come again", SOON * 2, || published(&hub, "a.log") > before);
        take_overs.0.push(gate.since_begun());
        let last = lines.last().unwrap().as_bytes();
        while !came.contains(last) {
            let part = viewer.part();
            assert!(sent.contains(&part.body), "a torn line: {}", part.text());
            came.insert(part.body);
        }
    }
    assert_eq!(came.len(), sent.len(), "each line came");
    eprintln!("{} lines came as {} parts", sent.len(), published(&hub, "a.log"));
    assert_eq!(hub.state()["feeds"][0]["source"]["state"], json!("live"));
    take_overs.check("mxr watch of a log");
}

#[test]
fn lines_of_a_pipe_are_whole_and_in_order_although_each_of_their_publishers_is_killed() {
    let hub = mxr(["hub"]).start();
    let gate = Gate::before(&hub);
    let url = format!("http://{}/", gate.host);
    let (mut expected, mut viewer, mut take_overs) = (Vec::new(), None, TakeOvers::default());
    for round in 1..=rounds() {
        let lines: Vec<_> = (0..200).map(|line| format!("{round} {line} {}", "x".repeat(line % 60))).collect();
        let mut publisher = mxr(["stdin", "--split", "lines", "--publish", &url]).stdin(Stdio::piped()).start();
        publisher.write("begin\n");
        wait_until("it is there", SOON * 2, || hub.stderr().matches("a pusher has come").count() == round);
        let viewer = viewer.get_or_insert_with(|| hub.view("/stream/stdin?history=100"));
        expected.push("begin".to_owned());
        let part = viewer.part();
        take_overs.0.push(gate.since_begun());
        assert_eq!(part.text(), *expected.last().unwrap());
        gate.allow(500 + (round * 7919) % 20_000);
        let before = published(&hub, "stdin");
        publisher.write(lines.join("\n") + "\n");
        gate.wait(round);
        publisher.signal(Signal::KILL);
        publisher.finish();
        wait_until("the hub has noticed", SOON, || hub.stderr().matches("its pusher is gone").count() == round);
        let came = (published(&hub, "stdin") - before) as usize;
        assert!((1..200).contains(&came), "{came} lines came before the cut");
        let text: Vec<_> = (0..came).map(|_| viewer.part().text()).collect();
        assert_eq!(text, lines[..came]);
    }
    take_overs.check("mxr stdin");
}
