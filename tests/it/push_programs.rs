//! Programs that people have push into a hub, each as its users do: what arrives is byte for byte what they sent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Folder, SOON, Server, gstreamer, multipart, mxr, noise, python, tool, wait_until};

/// The type of the streams.
const KIND: &str = "multipart/x-mixed-replace; boundary=B";

fn hub() -> Server {
    mxr(["hub", "--history", "100"]).start()
}

/// The feed of this name in `/state`.
fn feed(server: &Server, name: &str) -> Option<Value> {
    server.state()["feeds"].as_array().unwrap().iter().find(|feed| feed["name"] == name).cloned()
}

/// Expects that these are the parts of a feed: no other ones came, and those that are held are equal to the last of them.
#[track_caller]
fn expect_parts(server: &Server, name: &str, sent: &[Vec<u8>]) {
    // Some programs end before their bytes are read.
    wait_until(&format!("all of {name} is there"), SOON, || feed(server, name).is_some_and(|feed| feed["published"] == sent.len()));
    assert_eq!(feed(server, name).unwrap()["refused"], 0, "{name}");
    let held = sent.len().min(100);
    let mut viewer = server.view(&format!("/stream/{name}?history={held}&parts={held}"));
    let came: Vec<_> = (0..held).map(|_| viewer.part().body).collect();
    assert!(came == sent[sent.len() - held..], "{name}");
}

/// Runs it to its end, which has to be a good one.
#[track_caller]
fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A program that pushes: it is started with its arguments, the file, the URL, and for a stream the type.
struct Pusher {
    path: Option<PathBuf>,
    args: Vec<String>,
    /// Whether the file, the URL and the type follow the arguments as they are, rather than by curl's or wget's options.
    is_script: bool,
}

/// A script, which is asked for three arguments.
fn script(path: Option<PathBuf>, flag: &str, text: &str) -> Pusher {
    Pusher { path, args: vec![flag.to_owned(), text.to_owned()], is_script: true }
}

/// A program whose argument `FILE` names the file.
fn program(name: &str, args: &str) -> Pusher {
    Pusher { path: tool(&[name]), args: args.split(' ').map(str::to_owned).collect(), is_script: false }
}

impl Pusher {
    fn push(&self, file: &Path, url: &str, kind: &str) {
        let Some(path) = &self.path else { return };
        let file = file.to_str().unwrap();
        let mut command = Command::new(path);
        command.args(self.args.iter().map(|arg| arg.replace("FILE", file)));
        match self.is_script {
            true => command.args([file, url, kind]),
            false if kind.is_empty() => command.arg(url),
            false => command.args(["--header", &format!("Content-Type: {kind}"), url]),
        };
        run(&mut command);
    }
}

/// Programs that send a file with its length.
fn senders() -> Vec<Pusher> {
    let urllib = "import sys, urllib.request as r
file, url, kind = sys.argv[1:]
r.urlopen(r.Request(url, open(file, 'rb').read(), {'Content-Type': kind} if kind else {}, method='PUT'))";
    let requests = "import requests, sys
file, url, kind = sys.argv[1:]
requests.put(url, data=open(file, 'rb').read(), headers={'Content-Type': kind} if kind else {}).raise_for_status()";
    let fetch = "const [file, url, kind] = process.argv.slice(1);
const reply = await fetch(url, {method: 'PUT', body: require('fs').readFileSync(file), headers: kind ? {'Content-Type': kind} : {}});
if (!reply.ok) throw await reply.text();";
    let fetch = format!("(async () => {{ {fetch} }})().catch(error => {{ console.error(error); process.exit(1); }})");
    vec![
        program("curl", "-sSf -T FILE"),
        program("curl", "-sSf -X POST -H Content-Type: --data-binary @FILE"),
        program("curl", "-sSf -0 -T FILE"),
        program("wget", "-qO- --post-file FILE"),
        program("wget", "-qO- --method=PUT --body-file FILE"),
        script(tool(&["python3"]), "-c", urllib),
        script(python("requests"), "-c", requests),
        script(tool(&["node"]), "-e", &fetch),
    ]
}

/// Programs that send a file in chunks, whose sizes have nothing to do with the parts.
fn streamers() -> Vec<Pusher> {
    let requests = "import requests, sys
file, url, kind = sys.argv[1:]
def pieces():
    with open(file, 'rb') as opened:
        while piece := opened.read(7001):
            yield piece
requests.post(url, data=pieces(), headers={'Content-Type': kind} if kind else {}).raise_for_status()";
    let aiohttp = "import aiohttp, asyncio, sys
file, url, kind = sys.argv[1:]
async def pieces():
    with open(file, 'rb') as opened:
        while piece := opened.read(7001):
            yield piece
async def push():
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        await session.post(url, data=pieces(), headers={'Content-Type': kind} if kind else {})
asyncio.run(push())";
    let fetch = "const [file, url, kind] = process.argv.slice(1);
const body = require('stream').Readable.toWeb(require('fs').createReadStream(file, {highWaterMark: 7001}));
const reply = await fetch(url, {method: 'POST', body, duplex: 'half', headers: kind ? {'Content-Type': kind} : {}});
if (!reply.ok) throw await reply.text();";
    let fetch = format!("(async () => {{ {fetch} }})().catch(error => {{ console.error(error); process.exit(1); }})");
    vec![
        program("curl", "-sSf -H Transfer-Encoding:chunked -T FILE"),
        program("curl", "-sSf -H Transfer-Encoding:chunked -X POST --limit-rate 1M -T FILE"),
        script(python("requests"), "-c", requests),
        script(python("aiohttp"), "-c", aiohttp),
        script(tool(&["node"]), "-e", &fetch),
    ]
}

#[test]
fn programs_that_people_have_push_a_part_byte_for_byte() {
    let (server, folder) = (hub(), Folder::new());
    folder.put("a.png", noise(150_000, 1));
    for (number, pusher) in senders().into_iter().chain(streamers()).enumerate().filter(|(_, pusher)| pusher.path.is_some()) {
        pusher.push(&folder.file("a.png"), &server.url(&format!("/snapshot/{number}")), "");
        assert_eq!(server.get(&format!("/snapshot/{number}")).body, noise(150_000, 1), "{:?} {:?}", pusher.path, pusher.args);
    }
}

#[test]
fn programs_that_people_have_push_a_stream_whose_parts_are_byte_for_byte_theirs() {
    let (server, folder) = (hub(), Folder::new());
    let pictures: Vec<_> = (0..5).map(|seed| noise(30_000, seed)).collect();
    folder.put("multipart", multipart("image/png", &pictures.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    folder.put("pictures", pictures.concat());
    let lines: Vec<_> = (0..3000).map(|line| format!("line {line} of a log, with ä and ☃").into_bytes()).collect();
    folder.put("lines", [lines.join(&b'\n'), b"\n".to_vec()].concat());
    for (number, pusher) in senders().into_iter().chain(streamers()).enumerate().filter(|(_, pusher)| pusher.path.is_some()) {
        for (file, kind, sent) in [("multipart", KIND, &pictures), ("pictures", "", &pictures), ("lines", "text/plain", &lines)] {
            let name = format!("{number}-{file}");
            pusher.push(&folder.file(file), &server.url(&format!("/stream/{name}")), kind);
            expect_parts(&server, &name, sent);
        }
    }
}

/// Pictures of a test film as files, which are numbered from 1, and their bytes.
fn film(ffmpeg: &Path, folder: &Folder, args: &[&str], ending: &str) -> Vec<Vec<u8>> {
    let film = ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=2"];
    run(Command::new(ffmpeg).args(film).args(args).arg(folder.file(&format!("%d.{ending}"))));
    (1..=20).map(|number| fs::read(folder.file(&format!("{number}.{ending}"))).unwrap()).collect()
}

#[test]
fn ffmpeg_pushes_its_pictures_byte_for_byte() {
    let Some(ffmpeg) = tool(&["ffmpeg"]) else { return };
    let (server, folder) = (hub(), Folder::new());
    let mjpeg = film(&ffmpeg, &folder, &["-c:v", "mjpeg"], "jpg");
    let png = film(&ffmpeg, &folder, &["-c:v", "png"], "png");
    for (ending, args, pictures) in
        [("jpg", &["-f", "mpjpeg"][..], &mjpeg), ("jpg", &["-f", "mjpeg"], &mjpeg), ("png", &["-f", "image2pipe"], &png)]
    {
        for method in ["POST", "PUT"] {
            let name = format!("{}{method}", args[1]);
            let mut command = Command::new(&ffmpeg);
            command.args(["-v", "error", "-i"]).arg(folder.file(&format!("%d.{ending}"))).args(["-c", "copy"]).args(args);
            run(command.args(["-method", method, &server.url(&format!("/stream/{name}"))]));
            expect_parts(&server, &name, pictures);
        }
    }
}

/// Runs a pipeline that makes 20 pictures and pushes them, and returns those that it has written to files meanwhile.
fn pipeline(gst: &Path, words: &str, url: &str) -> Vec<Vec<u8>> {
    let folder = Folder::new();
    let source = "videotestsrc is-live=true pattern=ball num-buffers=20 ! video/x-raw,width=64,height=48,framerate=20/1 ! jpegenc";
    let words = format!("{source} ! tee name=t t. ! queue ! {words} location={url} t. ! queue ! multifilesink");
    let location = format!("location={}", folder.file("%d.jpg").display());
    run(Command::new(gst).arg("-q").args(words.split_whitespace()).arg(location));
    (0..20).map(|number| fs::read(folder.file(&format!("{number}.jpg"))).unwrap()).collect()
}

#[test]
fn gstreamer_pushes_its_pictures_byte_for_byte_over_one_request() {
    let Some(gst) = gstreamer("curlhttpsink") else { return };
    let server = hub();
    for (name, words) in [("multipart", "multipartmux boundary=gst ! curlhttpsink"), ("pictures", "curlhttpsink")] {
        let pictures = pipeline(&gst, words, &server.url(&format!("/stream/{name}")));
        expect_parts(&server, name, &pictures);
    }
}

#[test]
fn gstreamer_pushes_its_pictures_byte_for_byte_in_requests_that_end_anywhere() {
    let Some(gst) = gstreamer("souphttpclientsink") else { return };
    let server = hub();
    for (name, words) in [("multipart", "multipartmux boundary=gst ! souphttpclientsink"), ("pictures", "souphttpclientsink")] {
        let pictures = pipeline(&gst, words, &server.url(&format!("/stream/{name}")));
        // It does not send all that it has before it ends.
        let came = feed(&server, name).unwrap()["published"].as_u64().unwrap();
        assert!((10..=20).contains(&came), "{came}");
        expect_parts(&server, name, &pictures[..came as usize]);
        assert_eq!(feed(&server, name).unwrap()["source"]["state"], "live", "{name}");
        assert!(server.stderr().matches(name).count() < 5, "{}", server.stderr());
    }
}
