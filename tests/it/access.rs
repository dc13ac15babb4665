//! Access control: a server with a password or a token shows nothing without it on any route, and secrets stay secret.

use std::{os::unix::fs::PermissionsExt, process::Command};

use crate::support::{
    Browser, CHROMIUM_IMAGE, Connection, Folder, GREEN, Kind, NAVIGATION, Page, RED, SOON, Server, jpeg, mxr, near, padded_png,
    png, printed_by, tool, wait_until,
};

/// Every route that shows something.
const ROUTES: [&str; 11] = [
    "/",
    "/stream",
    "/stream/a.png",
    "/streams",
    "/snapshot",
    "/snapshot/a.png",
    "/view",
    "/state",
    "/?action=stream",
    "/?action=snapshot",
    "/api/frame.jpeg",
];

/// One watched red picture, and a check that it needs this key (a header line).
pub(crate) fn watched(args: &[&str], key: &str) -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(args).start();
    wait_until("the picture is there", SOON, || status(&server, "/snapshot", &[key]) == 200);
    (folder, server)
}

pub(crate) fn status(server: &Server, path: &str, lines: &[&str]) -> u16 {
    let mut connection = Connection::open(&server.host);
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n", server.host));
    connection.head().status
}

/// `me:secret`, as RFC 7617 writes it.
pub(crate) const RIGHT: &str = "Authorization: Basic bWU6c2VjcmV0";
/// The token of most tests, as RFC 6750 writes it.
pub(crate) const BEARER: &str = "Authorization: Bearer T0ken";
/// `me:wrong`.
pub(crate) const WRONG: &str = "Authorization: Basic bWU6d3Jvbmc=";

#[test]
fn without_the_password_nothing_is_shown() {
    let (_folder, server) = watched(&["--auth", "me:secret"], RIGHT);
    for path in ROUTES.iter().chain(&["/nothing", "/quit", "/healthz/x"]) {
        let reply = server.request("GET", path, &[NAVIGATION]);
        assert_eq!(reply.head.status, 401, "{path}");
        assert!(reply.head.want("WWW-Authenticate").starts_with("Basic realm="));
        assert!(!reply.text().contains("a.png"), "{}", reply.text());
    }
    for path in ROUTES {
        assert_eq!(status(&server, path, &[RIGHT]), 200, "{path}");
    }
    assert_eq!(status(&server, "/snapshot", &[WRONG]), 401);
    assert_eq!(status(&server, "/snapshot?token=secret", &[]), 401);
    assert_eq!(server.view_with("/stream", &[RIGHT]).part().body, png(RED));
}

#[test]
fn health_needs_no_password_and_reveals_nothing() {
    let (_folder, server) = watched(&["--auth", "me:secret", "--token", "T0ken"], BEARER);
    let reply = server.get("/healthz");
    assert_eq!((reply.head.status, reply.text().trim()), (200, "ok"));
}

#[test]
fn curl_logs_in_with_the_password() {
    let Some(curl) = tool(&["curl"]) else { return };
    let (_folder, server) = watched(&["--auth", "me:pass:word with, all", "--token", "T0ken"], BEARER);
    let snapshot = |user: &str| Command::new(&curl).args(["-sf", "-u", user]).arg(server.url("/snapshot")).output().unwrap();
    assert_eq!(snapshot("me:pass:word with, all").stdout, png(RED));
    assert_eq!(snapshot("me:pass").status.code(), Some(22), "an error of HTTP");
    let stream = printed_by(Command::new(&curl).args(["-sf", "-u", "me:pass:word with, all"]).arg(server.url("/stream?parts=1")));
    assert!(stream.windows(png(RED).len()).any(|window| window == png(RED)));
}

#[test]
fn password_files_of_htpasswd_are_read() {
    let Some(htpasswd) = tool(&["htpasswd"]) else { return };
    let folder = Folder::new();
    let path = folder.file("users");
    let add = |flags: &str, name: &str, password: &str| {
        printed_by(Command::new(&htpasswd).arg(flags).arg(&path).args([name, password]));
    };
    add("-cbB", "ann", "her secret");
    add("-bB", "bob", "his secret");
    let (_pictures, server) = watched(&["--auth-file", path.to_str().unwrap(), "--token", "T0ken"], BEARER);
    // `ann:her secret`, `bob:his secret`, `ann:his secret`
    for (pair, expected) in [("YW5uOmhlciBzZWNyZXQ=", 200), ("Ym9iOmhpcyBzZWNyZXQ=", 200), ("YW5uOmhpcyBzZWNyZXQ=", 401)] {
        for _ in 0..2 {
            assert_eq!(status(&server, "/snapshot", &[&format!("Authorization: Basic {pair}")]), expected, "{pair}");
        }
    }
    add("-bm", "carl", "md5");
    let run = mxr(["serve", "--demo", "--port", "0", "--auth-file"]).arg(&path).run();
    run.failure().stderr("line 3").stderr("htpasswd -B").no_stderr("carl");
}

#[test]
fn the_token_gives_access_by_url_by_header_and_by_cookie() {
    let (_folder, server) = watched(&["--token", "T0ken-_.~"], "Authorization: Bearer T0ken-_.~");
    for path in ROUTES {
        let query = if path.contains('?') { '&' } else { '?' };
        assert_eq!(status(&server, path, &[]), 401, "{path}");
        assert_eq!(status(&server, path, &["Authorization: Bearer T0ken-_.~"]), 200, "{path}");
        let by_url = status(&server, &format!("{path}{query}token=T0ken-_.~"), CHROMIUM_IMAGE);
        assert_eq!(by_url, if path == "/view" { 307 } else { 200 }, "{path}");
    }
    assert_eq!(status(&server, "/snapshot?token=t0ken-_.~", &[]), 403);
    let refused = server.get("/snapshot");
    assert_eq!(refused.head.want("WWW-Authenticate"), "Bearer realm=\"mxr\"");
    assert!(refused.text().contains("or that was chosen"), "mxr did not print this one: {}", refused.text());
    assert_eq!(server.view("/stream?token=T0ken-_.~").part().body, png(RED));
}

#[test]
fn the_page_removes_the_token_from_the_address_bar() {
    let (_folder, server) = watched(&["--token", "T0ken"], BEARER);
    for (path, location) in [("/?token=T0ken", "./"), ("/view?token=T0ken&a=1", "view?a=1")] {
        let head = server.request("GET", path, &[NAVIGATION]).head;
        assert_eq!((head.status, head.want("Location")), (307, location));
        let cookie = head.want("Set-Cookie");
        assert!(cookie.contains("; HttpOnly; SameSite=Lax; Max-Age="), "{cookie}");
        let cookie = format!("Cookie: other=1; {}", cookie.split(';').next().unwrap());
        for path in ["/", "/view", "/state", "/snapshot"] {
            assert_eq!(status(&server, path, &[NAVIGATION, &cookie]), 200, "{path}");
        }
    }
    assert_eq!(status(&server, "/?token=wrong", &[NAVIGATION]), 403);
    assert_eq!(status(&server, "/", &[NAVIGATION]), 401);
    let framed = server.request("GET", "/view?token=T0ken", &["Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: same-site"]);
    assert_eq!(framed.head.status, 200, "a frame may have no cookies");
}

#[test]
fn a_url_logs_a_browser_in_and_it_stays_logged_in() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let (folder, server) = watched(&["--token", "T0ken"], BEARER);
        browser.go_by_way_of(&server.url("/view?token=T0ken"), &server.url("/view"));
        wait_until("the picture is on the screen", SOON, || browser.screenshot().pixels().any(|pixel| near(pixel.0, RED)));
        assert_eq!(browser.run("return document.cookie", serde_json::json!([])), serde_json::json!(""), "no script sees it");
        browser.go(&server.url("/"));
        folder.put("a.png", png(GREEN));
        wait_until("the next picture is on the screen", SOON, || browser.screenshot().pixels().any(|pixel| near(pixel.0, GREEN)));
    }
}

#[test]
fn a_page_with_an_old_token_shows_that() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let (folder, server) = watched(&["--token", "T0ken"], BEARER);
        let (port, page) = (server.port(), server.url("/"));
        browser.go_by_way_of(&server.url("/?token=T0ken"), &page);
        wait_until("the picture is on the screen", SOON, || browser.screenshot().pixels().any(|pixel| near(pixel.0, RED)));
        drop(server);
        let _again = mxr(["watch", "--token", "An0ther"]).arg(folder.file("a.png")).start_at(port);
        wait_until("it says what to do", SOON, || browser.text().contains("open the URL that mxr prints"));
    }
}

#[test]
fn a_picture_with_its_token_is_shown_on_another_site() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let (folder, server) = watched(&["--token", "T0ken"], BEARER);
        // Chromium holds back the first 1024 bytes from another site, to see what they are.
        folder.put("a.png", padded_png(GREEN, 2000, 1));
        let source = format!("http://localhost:{}/stream", server.port());
        let page = Page::serve(&format!("<img src='{source}' id=without><img src='{source}?token=T0ken' width=300>"));
        browser.go(&page.url);
        wait_until("the picture is on the screen", SOON, || browser.screenshot().pixels().any(|pixel| near(pixel.0, GREEN)));
        let width = browser.run("return document.getElementById('without').naturalWidth", serde_json::json!([]));
        assert_eq!(width, serde_json::json!(0), "{kind:?}");
    }
}

#[test]
fn an_exposed_server_generates_and_prints_a_token() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch", "--host", "0.0.0.0", "-vv"]).arg(folder.file("a.png")).start();
    let urls = String::from_utf8(server.stdout()).unwrap();
    let token = urls.lines().next().unwrap().split_once("/?token=").expect(&urls).1.to_owned();
    server.view(&format!("/stream?token={token}")).part();
    assert!(token.len() >= 20, "{token}");
    assert_eq!(status(&server, "/snapshot", &[]), 401);
    assert_eq!(status(&server, &format!("/snapshot?token={token}"), &[]), 200);
    let urls = server.stop().no_stderr(&token).printed();
    assert!(urls.lines().all(|url| url.ends_with(&format!("/?token={token}"))), "{urls}");
    let again = mxr(["serve", "--demo", "--host", "0.0.0.0"]).start();
    assert!(!again.stdout().windows(token.len()).any(|window| window == token.as_bytes()), "another start draws another");
}

#[test]
fn the_qr_code_contains_the_url_with_the_token() {
    let server = mxr(["serve", "--demo", "--host", "0.0.0.0", "--token", "T0ken", "--qr"]).start();
    // The text below the code is its content.
    wait_until("the code is drawn", SOON, || server.stderr().contains("/?token=T0ken"));
    assert!(server.stderr().contains('█'));
    assert!(!String::from_utf8(server.stdout()).unwrap().contains("T0ken"), "who chose it knows it");
}

#[test]
fn public_and_loopback_servers_need_no_token() {
    for args in [&["--host", "0.0.0.0", "--public"][..], &["--host", "127.0.0.2"]] {
        let (_folder, server) = watched(args, "Accept: */*");
        assert!(!String::from_utf8(server.stdout()).unwrap().contains("token"));
        assert_eq!(status(&server, "/snapshot", &[]), 200, "{args:?}");
    }
}

#[test]
fn secrets_are_in_no_log_and_in_no_state() {
    let (_folder, server) = watched(&["--auth", "me:s3cret", "--token", "T0ken", "-vv", "--log-format", "json"], BEARER);
    // `me:s3cret`, `me:gu3ss`
    for lines in [&["Authorization: Basic bWU6czNjcmV0"][..], &["Authorization: Basic bWU6Z3Uzc3M="], &[]] {
        server.request("GET", "/state?token=T0ken&x=1", lines);
        server.request("GET", "/state?a=1&tok%65n=gu3ss", lines);
        // Wherever a client has put them.
        for target in ["/T0ken", "/stream/T0ken?x=%540ken", "/view?key=T0ken&password=s3cret", "/state?url=%2F%3Ftoken%3DT0ken"] {
            server.request("GET", target, lines);
        }
    }
    let state = server.request("GET", "/state", &["Authorization: Bearer T0ken"]).text();
    let mut finished = server.stop().stderr("token=…&x=1");
    for secret in ["s3cret", "T0ken", "%540ken", "gu3ss", "bWU6"] {
        finished = finished.no_stderr(secret).no_stdout(secret);
        assert!(!state.contains(secret), "{secret}: {state}");
    }
    let help = mxr(["serve", "--help"]).env("MXR_AUTH", "me:s3cret").env("MXR_TOKEN", "T0ken").run();
    help.success().stdout("MXR_AUTH").no_stdout("s3cret").no_stdout("T0ken");
}

#[test]
fn secrets_come_from_files_and_from_the_environment() {
    let folder = Folder::new();
    folder.put("token", "T0ken\n");
    folder.put("users", "# the house\n\nme:secret\r\n");
    let by_file = mxr(["serve", "--demo", "--token-file"]).arg(folder.file("token")).arg("--auth-file").arg(folder.file("users"));
    let by_environment = mxr(["serve", "--demo"]).env("MXR_TOKEN", "T0ken").env("MXR_AUTH", "me:secret");
    for server in [by_file.start(), by_environment.start()] {
        assert_eq!(status(&server, "/state", &[]), 401);
        assert_eq!(status(&server, "/state?token=T0ken", &[]), 200);
        assert_eq!(status(&server, "/state", &[RIGHT]), 200);
    }
}

#[test]
fn secret_files_of_other_systems_are_read() {
    let folder = Folder::new();
    folder.put("token", "\u{feff}T0ken\r\n");
    folder.put("users", "\u{feff}me:secret\r\n");
    let files = mxr(["serve", "--demo", "--token-file"]).arg(folder.file("token")).arg("--auth-file").arg(folder.file("users"));
    let server = files.start();
    assert_eq!(status(&server, "/state?token=T0ken", &[]), 200);
    assert_eq!(status(&server, "/state", &[RIGHT]), 200);
}

#[test]
fn a_secret_that_others_can_read_causes_a_warning() {
    let folder = Folder::new();
    let set_mode = |name: &str, mode: u32| {
        std::fs::set_permissions(folder.file(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    folder.put("token", "T0ken\n");
    folder.put("users", "me:secret\n");
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 2)] {
        ["token", "users"].iter().for_each(|name| set_mode(name, mode));
        let files = mxr(["serve", "--demo", "--token-file"]).arg(folder.file("token")).arg("--auth-file").arg(folder.file("users"));
        let output = files.start().stop().stderr;
        assert_eq!(output.matches("every user of this machine can read it").count(), warnings, "{mode:o}: {output}");
        assert_eq!(output.matches("chmod o= ").count(), warnings, "{mode:o}: {output}");
    }
    // The form of `--auth-file <(…)`.
    let fifo = folder.file("fifo");
    printed_by(Command::new("mkfifo").args(["-m", "644"]).arg(&fifo));
    let server = mxr(["serve", "--demo", "--port", "0", "--auth-file"]).arg(&fifo).spawn();
    std::fs::write(&fifo, "me:secret\n").unwrap();
    let server = server.listening();
    assert_eq!(status(&server, "/state", &[RIGHT]), 200);
    server.stop().no_stderr("WARN");
}

#[test]
fn an_error_about_a_secret_does_not_show_it() {
    let folder = Folder::new();
    folder.put("users", "me:secret\nhunter2\n");
    folder.put("token", "hunter 2\n");
    folder.put("latin", b"me:hunter1\nyou:hunter\xe9\n");
    folder.put("foreign", "me:hunter1\n\nyou:{SSHA}hunter2\n");
    folder.put("empty", "\n");
    folder.put("twice", "me:a\nyou:b\nme:hunter2\n");
    let file = |name: &str| folder.file(name).to_str().unwrap().to_owned();
    for (args, code, named) in [
        (&["--auth", "hunter2"][..], 2, "USER:PASSWORD"),
        (&["--token", "hunter 2"], 2, "--token"),
        (&["--token="], 2, "--token"),
        (&["--token", "a", "--token-file", "b"], 2, "--token-file"),
        (&["--token", &file("users")], 2, "a file here"),
        (&["--auth-file", &file("latin")], 1, "line 2"),
        (&["--token-file", &file("latin")], 1, "line 2"),
        (&["--auth-file", &file("foreign")], 1, "line 3"),
        (&["--auth-file", &file("users")], 1, "line 2"),
        (&["--auth-file", &file("empty")], 1, "empty"),
        (&["--auth-file", &file("twice")], 1, "line 3"),
        (&["--auth", "me:hunter2", "--auth", "me:hunter3"], 2, "already"),
        (&["--auth-file", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (&["--token-file", &file("token")], 1, "token"),
        (&["--token-file", &file("empty")], 1, "empty"),
        (&["--route-prefix", "cam"], 2, "--route-prefix"),
        (&["--route-prefix", "/a/../b"], 2, "--route-prefix"),
        (&["--allow-embed=evil;script-src"], 2, "--allow-embed"),
    ] {
        let run = mxr(["serve", "--demo", "--port", "0"]).args(args).run();
        run.code(code).stderr("mxr: cannot ").stderr(named).no_stderr("hunter");
    }
}

#[test]
fn ffmpeg_reads_a_feed_with_its_token() {
    let Some(ffmpeg) = tool(&["ffmpeg"]) else { return };
    let folder = Folder::new();
    folder.put("a.jpg", jpeg(RED));
    let server = mxr(["watch", "--keepalive", "0.2", "--token", "T0ken"]).arg(folder.file("a.jpg")).start();
    let url = server.url("/stream?token=T0ken");
    let mut command = Command::new(ffmpeg);
    command.args(["-v", "error", "-f", "mpjpeg", "-i", &url, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
    let pixels = printed_by(&mut command);
    assert!(pixels.len() > 3 && pixels[0] > 200 && pixels[1] < 60, "{:?}", &pixels[..3]);
}

#[test]
fn a_password_in_latin_1_opens_as_its_utf_8_does() {
    // requests and aiohttp send Latin-1, and so do Home Assistant and OctoPrint.
    let utf_8 = "Authorization: Basic bWU6w6k=";
    let (_folder, server) = watched(&["--auth", "me:é"], utf_8);
    assert_eq!(status(&server, "/snapshot", &["Authorization: Basic bWU66Q=="]), 200);
    assert_eq!(status(&server, "/snapshot", &["Authorization: Basic bWU66A=="]), 401, "another letter");
}

#[test]
fn a_token_that_may_be_guessed_causes_a_warning() {
    for (token, warnings) in [("T0ken", 1), ("a-phrase-that-is-long-enough", 0), ("random", 0)] {
        let output = mxr(["serve", "--demo", "--token", token]).start().stop().stderr;
        assert_eq!(output.matches("may be guessed").count(), warnings, "{token}: {output}");
    }
}

#[test]
fn what_bcrypt_leaves_out_of_a_password_is_logged() {
    let folder = Folder::new();
    let (long, other) = ("x".repeat(72) + "tail", "x".repeat(72) + "else");
    folder.put("users", format!("me:{}\n", bcrypt::hash(&long, 4).unwrap()));
    let Some(curl) = tool(&["curl"]) else { return };
    let server = mxr(["serve", "--demo", "--auth-file"]).arg(folder.file("users")).start();
    for password in [&long, &other] {
        printed_by(Command::new(&curl).args(["-sf", "-u", &format!("me:{password}")]).arg(server.url("/state")));
    }
    server.stop().stderr("the first 72").no_stderr("tail");
}
