//! `mxr relay` of real programs: web servers, encoders, cameras' software, another mxr. Each answers in a dialect of its own.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use serde_json::Value;

use crate::support::{
    BLUE, Ca, Folder, GREEN, Nginx, RED, SOON, Server, Upstream, free_port, jpeg, look_for, mxr, near, padded_png, png, relay,
    tool, wait_until,
};

/// The time in which a program begins to serve on a busy machine.
const BEGINS: Duration = Duration::from_secs(60);

/// A program with all its children, which end with the test.
struct Program {
    child: Child,
    /// What it printed.
    log: std::path::PathBuf,
}

impl Program {
    /// Starts it; its output goes to a file of the folder.
    fn start(command: &mut Command, folder: &Folder) -> Self {
        let log = folder.file("program.log");
        let output = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).process_group(0);
        Self { child: command.spawn().unwrap(), log }
    }

    /// Waits until it listens. `false`: it has ended, since another program took the port.
    fn listens(&mut self, port: u16) -> bool {
        let listens = look_for(BEGINS, || match self.child.try_wait().unwrap() {
            Some(_) => Some(false),
            None => TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(true),
        });
        listens.unwrap_or_else(|| panic!("it does not listen: {}", self.said()))
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Ends it with its children, and waits for its end.
    fn end(&mut self) {
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::TERM);
        if look_for(Duration::from_secs(3), || self.child.try_wait().unwrap()).is_none() {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the program said:\n{}", self.said());
        }
        self.end();
    }
}

/// The feed is as one of a camera should be that has lost no connection.
#[track_caller]
fn expect_live(server: &Server, format: &str) {
    let feed = server.state()["feeds"][0].clone();
    let shown = |feed: &Value| (feed["kind"].clone(), feed["source"]["state"].clone(), feed["newest"]["type"].clone());
    assert_eq!(shown(&feed), ("newest".into(), "live".into(), format.into()), "{feed}");
    assert_eq!((&feed["source"]["connect_failures"], &feed["refused"]), (&0.into(), &0.into()), "{feed}");
    assert!(!server.stderr().contains("lost"), "{}", server.stderr());
}

/// The colour in the middle of a JPEG, which is whole.
fn middle(picture: &[u8]) -> [u8; 3] {
    assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]), "a whole JPEG");
    let picture = image::load_from_memory(picture).unwrap().to_rgb8();
    picture.get_pixel(picture.width() / 2, picture.height() / 2).0
}

#[test]
fn a_picture_that_nginx_serves_behind_a_basic_password_is_pushed_when_it_has_changed() {
    let folder = Folder::new();
    folder.put("users", "user:{PLAIN}p@ss word\n");
    folder.put("a.png", png(RED));
    // nginx ends the connection after every third request.
    let [root, users] = [folder.path(), folder.file("users")].map(|path| path.display().to_string());
    let locations = format!(
        "keepalive_requests 3; root {root}; location / {{ auth_basic door; auth_basic_user_file {users}; }} types {{ image/png png; }}"
    );
    let Some(nginx) = Nginx::start(&locations) else { return };
    let url = nginx.url("/a.png?x=%20y").replace("http://", "http://user:p%40ss%20word@");
    let server = relay(&url, &["--every", "50ms"]);
    let mut viewer = server.view("/stream");
    for colour in [RED, GREEN, BLUE, RED] {
        folder.put("a.png", png(colour));
        assert_eq!(viewer.part_where(|part| part.body == png(colour)).media(), "image/png");
    }
    expect_live(&server, "image/png");
    assert_eq!(server.source()["connects"], 1);
    let wrong = relay(&nginx.url("/a.png").replace("http://", "http://user:wrong@"), &["--always"]);
    wrong.wait_for_loss("the server refuses the user or password");
    assert_eq!(wrong.state()["feeds"][0]["published"], 0);
}

#[test]
fn a_picture_that_is_replaced_twice_in_a_second_by_one_of_its_size_is_seen() {
    // The ETag of nginx is the time in seconds and the size.
    let folder = Folder::new();
    let Some(nginx) = Nginx::start(&format!("root {}; types {{ image/png png; }}", folder.path().display())) else { return };
    folder.put("a.png", padded_png(RED, 2000, 0));
    let server = relay(&nginx.url("/a.png"), &["--every", "20ms"]);
    let mut viewer = server.view("/stream");
    for seed in 1..40 {
        let picture = padded_png(RED, 2000, seed);
        folder.put("a.png", &picture);
        let seen = viewer.part_where(|part| part.body == picture);
        assert!(seen.sequence() >= u64::from(seed));
    }
    expect_live(&server, "image/png");
}

#[test]
fn nginx_that_is_started_again_is_found_again_and_its_error_is_no_picture() {
    let folder = Folder::new();
    folder.put("a.jpg", jpeg(RED));
    let locations = format!("root {}; types {{ image/jpeg jpg; }}", folder.path().display());
    let Some(nginx) = Nginx::start(&locations) else { return };
    let server = relay(&nginx.url("/a.jpg"), &["--every", "50ms"]);
    let mut viewer = server.view("/stream");
    assert_eq!(viewer.part().body, jpeg(RED));
    fs::remove_file(folder.file("a.jpg")).unwrap();
    server.wait_for_loss("the server answers 404 Not Found");
    folder.put("a.jpg", jpeg(GREEN));
    assert_eq!(viewer.part_where(|part| part.body != jpeg(RED)).body, jpeg(GREEN));
    let address = nginx.host.parse().unwrap();
    drop(nginx);
    server.wait_for_loss("Connection refused");
    let _upstream = Upstream::serve_at(address, |mut asked| {
        asked.reply("200 OK", "image/jpeg", jpeg(BLUE));
    });
    assert_eq!(viewer.part_where(|part| part.body != jpeg(GREEN)).body, jpeg(BLUE));
    assert_eq!(server.state()["feeds"][0]["published"], 3);
}

/// An Apache whose pictures ask for a digest password; `None` if it is not installed.
fn apache(folder: &Folder) -> Option<(Program, u16)> {
    let apache = tool(&["apache2"])?;
    let modules = "/usr/lib/apache2/modules";
    // It refuses to serve as root.
    fs::set_permissions(folder.path().parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let user = if geteuid().is_root() { "User nobody\nGroup nogroup" } else { "" };
    // MD5 of "user:cam era:geheim", as `htdigest` writes it.
    folder.put("users", "user:cam era:a714015e7f35a3b448ea6ca2cb78b645\n");
    for _ in 0..5 {
        let (port, root) = (free_port(), folder.path());
        let root = root.display();
        let names = ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_digest"];
        let modules: String = names.iter().map(|name| format!("LoadModule {name}_module {modules}/mod_{name}.so\n")).collect();
        let config = format!(
            "ServerRoot {root}\nServerName localhost\nListen 127.0.0.1:{port}\n{user}\n{modules}
            PidFile {root}/pid\nErrorLog {root}/error.log\nDefaultRuntimeDir {root}\nDocumentRoot {root}
            MaxKeepAliveRequests 20
            <Directory {root}>
            ForceType image/jpeg
            AuthType Digest\nAuthName \"cam era\"\nAuthDigestProvider file\nAuthUserFile {root}/users
            AuthDigestNonceLifetime 1\nRequire valid-user
            </Directory>\n"
        );
        folder.put("apache.conf", config);
        let mut command = Command::new(&apache);
        command.arg("-f").arg(folder.file("apache.conf")).arg("-DFOREGROUND");
        let mut program = Program::start(&mut command, folder);
        if program.listens(port) {
            return Some((program, port));
        }
        assert!(program.said().contains("Address already in use"), "{}", program.said());
    }
    panic!("apache2 finds no free port");
}

#[test]
fn a_picture_that_apache_serves_behind_a_digest_password_is_pushed_however_often_its_nonces_are_stale() {
    let folder = Folder::new();
    folder.put("a.jpg", jpeg(RED));
    let Some((_apache, port)) = apache(&folder) else { return };
    let url = |password: &str| format!("http://user:{password}@127.0.0.1:{port}/a.jpg?x=%20y,\"z\"");
    let server = relay(&url("geheim").replace('"', "%22"), &["--every", "50ms"]);
    let mut viewer = server.view("/stream");
    // A nonce lives a second.
    for number in 0..8 {
        let colour = [RED, GREEN, BLUE][number % 3];
        folder.put("a.jpg", jpeg(colour));
        assert_eq!(viewer.part_where(|part| part.body == jpeg(colour)).media(), "image/jpeg");
        thread::sleep(Duration::from_millis(500));
    }
    expect_live(&server, "image/jpeg");
    assert_eq!(server.source()["connects"], 1);
    let wrong = relay(&url("wrong").replace('"', "%22"), &["--always"]);
    wrong.wait_for_loss("the server refuses the user or password");
    assert_eq!(wrong.state()["feeds"][0]["published"], 0);
    assert!(!wrong.stderr().contains("wrong@"), "{}", wrong.stderr());
}

/// What ffmpeg draws: each picture is another one.
const TEST_PICTURES: &str = "testsrc=size=64x48:rate=20";

/// The same pictures as files.
fn drawn(ffmpeg: &Path, folder: &Folder) -> Vec<Vec<u8>> {
    let mut command = Command::new(ffmpeg);
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", TEST_PICTURES, "-frames:v", "1000", "-f", "image2"]);
    assert!(command.arg(folder.file("%d.jpg")).stdin(Stdio::null()).status().unwrap().success());
    (1..=1000).map(|number| fs::read(folder.file(&format!("{number}.jpg"))).unwrap()).collect()
}

/// Encodes the test pictures for the first reader that comes, and ends when that leaves.
fn listening_ffmpeg(ffmpeg: &Path, folder: &Folder, port: u16, options: &[&str]) -> Program {
    let mut command = Command::new(ffmpeg);
    command.args(["-v", "error", "-re", "-f", "lavfi", "-i", TEST_PICTURES, "-f", "mpjpeg", "-listen", "1"]).args(options);
    Program::start(command.arg(format!("http://127.0.0.1:{port}/")), folder)
}

#[test]
fn ffmpeg_that_listens_for_one_reader_is_read_by_all_viewers_whatever_type_it_names() {
    let Some(ffmpeg) = tool(&["ffmpeg"]) else { return };
    for options in [&[][..], &["-content_type", "multipart/x-mixed-replace;boundary=ffmpeg"]] {
        let folder = Folder::new();
        let pictures = drawn(&ffmpeg, &folder);
        let port = free_port();
        let server = relay(&format!("http://127.0.0.1:{port}/"), &["--linger", "0.5"]);
        let mut viewers: Vec<_> = (0..20).map(|_| server.view("/stream")).collect();
        server.wait_for_loss("Connection refused");
        let mut program = listening_ffmpeg(&ffmpeg, &folder, port, options);
        for viewer in &mut viewers {
            let mut next = 0;
            for _ in 0..15 {
                let part = viewer.part();
                // A part that was shown already may come again, as a sign of life.
                let found = pictures.iter().position(|picture| *picture == part.body);
                let found = found.unwrap_or_else(|| panic!("{} bytes are none of the pictures", part.body.len()));
                assert!(found + 1 >= next, "{found} after {next}");
                next = found + 1;
            }
        }
        assert_eq!(server.source()["state"], "live", "{options:?}");
        // It has one connection to give.
        assert_eq!(program.said(), "");
        program.end();
        server.wait_for_loss("");
        let published = server.state()["feeds"][0]["published"].as_u64().unwrap();
        let _again = listening_ffmpeg(&ffmpeg, &folder, port, options);
        wait_until("there are new pictures", SOON * 2, || {
            server.state()["feeds"][0]["published"].as_u64().unwrap() > published + 5
        });
        for viewer in &mut viewers {
            assert!(pictures.contains(&viewer.part().body));
        }
    }
}

#[test]
fn pictures_of_gstreamer_behind_an_http_head_are_passed_on_byte_for_byte() {
    let Some(gstreamer) = tool(&["gst-launch-1.0"]) else { return };
    let folder = Folder::new();
    let files = folder.file("%d.jpg").display().to_string();
    let upstream = Upstream::serve(move |mut asked| {
        asked.begin("multipart/x-mixed-replace;boundary=gst boundary");
        let words = "videotestsrc is-live=true pattern=ball num-buffers=60 ! video/x-raw,width=64,height=48,framerate=20/1 ! jpegenc \
                     ! tee name=t t. ! queue ! multipartmux boundary=gst ! fdsink fd=1 t. ! queue ! multifilesink";
        let mut command = Command::new(&gstreamer);
        command.arg("-q").args(words.split_whitespace()).arg(format!("location={files}"));
        command.stdin(Stdio::null()).stdout(OwnedFd::from(asked.socket.try_clone().unwrap()));
        let _ = command.status();
    });
    let server = relay(&upstream.url("/stream"), &[]);
    let mut viewer = server.view("/stream");
    let mut parts: Vec<_> = (0..30).map(|_| viewer.part()).collect();
    parts.dedup_by_key(|part| part.sequence());
    wait_until("the files are written", SOON, || fs::exists(folder.file("59.jpg")).unwrap());
    let files: Vec<_> = (0..60).map(|number| fs::read(folder.file(&format!("{number}.jpg"))).unwrap()).collect();
    let mut last = None;
    for part in &parts {
        let found = files.iter().position(|file| *file == part.body).expect("a picture of GStreamer");
        assert!(Some(found) > last, "{found} after {last:?}");
        last = Some(found);
    }
    assert!(parts.len() > 10, "{} pictures", parts.len());
}

#[test]
fn a_gstreamer_that_speaks_no_http_is_a_loss_with_a_reason() {
    let Some(gstreamer) = tool(&["gst-launch-1.0"]) else { return };
    let (folder, port) = (Folder::new(), free_port());
    let words = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=20/1 ! jpegenc ! multipartmux boundary=gst \
                 ! tcpserversink host=127.0.0.1";
    let mut command = Command::new(gstreamer);
    command.arg("-q").args(words.split_whitespace()).arg(format!("port={port}"));
    let mut program = Program::start(&mut command, &folder);
    assert!(program.listens(port), "{}", program.said());
    let server = relay(&format!("http://127.0.0.1:{port}/stream"), &["--always"]);
    server.wait_for_loss("it begins with \"--gst\"");
    assert_eq!(server.state()["feeds"][0]["published"], 0);
}

/// motion with a film in place of a camera: red and green in turns, behind a digest password. `None` if it is not installed.
fn motion(folder: &Folder) -> Option<(Program, u16)> {
    let (ffmpeg, motion) = (tool(&["ffmpeg"])?, tool(&["motion"])?);
    let film = "color=0xdc1414:size=160x120:rate=10,drawbox=color=0x14b414:t=fill:enable='mod(floor(t),2)'";
    let mut command = Command::new(ffmpeg);
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", film, "-t", "120", "-c:v", "mpeg4", "-q:v", "2"]);
    assert!(command.arg(folder.file("film.mkv")).stdin(Stdio::null()).status().unwrap().success());
    for _ in 0..5 {
        let (port, root) = (free_port(), folder.path());
        let root = root.display();
        folder.put(
            "motion.conf",
            format!(
                "daemon off\nsetup_mode off\ntarget_dir {root}\nwidth 160\nheight 120\nframerate 10\nnetcam_url file://{root}/film.mkv
picture_output off\nmovie_output off\nwebcontrol_port 0\nstream_port {port}\nstream_localhost on\nstream_maxrate 10
stream_auth_method 2\nstream_authentication user:geheim\nlog_file {root}/motion.log\n"
            ),
        );
        let mut command = Command::new(&motion);
        command.arg("-n").arg("-c").arg(folder.file("motion.conf"));
        let mut program = Program::start(&mut command, folder);
        // It goes on without a port that it could not have.
        if program.listens(port) && !fs::read_to_string(folder.file("motion.log")).unwrap().contains("Unable to start stream") {
            // It closes connections for as long as it has no picture.
            let asks_for_a_password = || {
                let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let mut answer = [0; 12];
                let _ = socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                socket.read_exact(&mut answer).is_ok() && answer == *b"HTTP/1.1 401"
            };
            wait_until("motion serves", BEGINS, asks_for_a_password);
            return Some((program, port));
        }
    }
    panic!("motion finds no free port");
}

#[test]
fn the_stream_of_motion_is_passed_on_and_its_current_picture_is_asked_for() {
    let folder = Folder::new();
    let Some((mut program, port)) = motion(&folder) else { return };
    let server = relay(&format!("http://user:geheim@127.0.0.1:{port}/"), &[]);
    let mut viewers = [server.view("/stream"), server.view("/stream")];
    let is = |colour, picture: &[u8]| near(middle(picture), colour);
    for viewer in &mut viewers {
        // Before the film begins, motion sends a grey picture.
        for colour in [GREEN, RED, GREEN] {
            viewer.part_where(|part| is(colour, &part.body));
        }
    }
    expect_live(&server, "image/jpeg");
    let polled = relay(&format!("http://user:geheim@127.0.0.1:{port}/current"), &["--every", "100ms"]);
    let mut viewer = polled.view("/stream");
    for colour in [GREEN, RED] {
        viewer.part_where(|part| is(colour, &part.body));
    }
    expect_live(&polled, "image/jpeg");
    program.end();
    server.wait_for_loss("");
    assert_eq!(server.get("/snapshot").head.status, 200, "the last one stays");
}

#[test]
fn another_mxr_is_read_over_https_with_a_token() {
    let (ca, folder) = (Ca::new(), Folder::new());
    ca.sign("origin");
    folder.put("a.png", png(RED));
    folder.put("b.log", "one\ntwo\n");
    folder.put(
        "mxr.toml",
        "[server]\ntoken = 'T0ken-T0ken-T0ken'\n[feed.\"a.png\"]\nwatch = 'a.png'\n[feed.\"b.log\"]\nwatch = 'b.log'\n",
    );
    let origin = mxr(["up", "--tls-cert"]).arg(ca.cert()).arg("--tls-key").arg(ca.key()).current_dir(&folder.path());
    let origin = origin.start();
    let ca_file = ca.ca().display().to_string();
    let url = |path: &str| format!("https://localhost:{}{path}?token=T0ken-T0ken-T0ken", origin.port());
    for options in [&["--upstream-ca", &ca_file][..], &["--upstream-insecure"]] {
        let edge = relay(&url("/"), options);
        wait_until("it has both feeds", SOON * 2, || edge.state()["feeds"].as_array().unwrap().len() == 2);
        let mut viewer = edge.view("/stream/a.png");
        folder.put("a.png", png(RED));
        viewer.part_where(|part| part.body == png(RED));
        folder.put("a.png", png(GREEN));
        viewer.part_where(|part| part.body == png(GREEN));
        let mut lines = edge.view("/stream/b.log?history=9");
        assert_eq!([lines.part().text(), lines.part().text()], ["one", "two"]);
        expect_live(&edge, "image/png");
        assert!(!edge.stderr().contains("T0ken"), "{}", edge.stderr());
    }
    let stranger = relay(&url("/stream/a.png"), &["--always"]);
    stranger.wait_for_loss("the certificate is of no authority that this machine knows");
    assert!(stranger.stderr().contains("--upstream-ca"), "{}", stranger.stderr());
    let wrong = relay(&url("/stream/a.png").replace("T0ken-", "wrong-"), &["--linger", "0", "--upstream-ca", &ca_file]);
    for _ in 0..20 {
        drop(wrong.view("/stream"));
        thread::sleep(Duration::from_millis(50));
    }
    wrong.wait_for_loss("403 Forbidden");
    assert_eq!((&wrong.state()["feeds"][0]["published"], &wrong.source()["connects"]), (&0.into(), &1.into()));
    let without = relay(&format!("https://localhost:{}/stream/a.png", origin.port()), &["--always", "--upstream-insecure"]);
    without.wait_for_loss("the server asks for a token, or refuses the one that it got");
    assert!(without.stderr().contains("--upstream-header"), "{}", without.stderr());
    assert_eq!(without.state()["feeds"][0]["published"], 0);
}
