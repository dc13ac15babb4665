//! mxr behind a real nginx: no part is delayed, the page works below a path, and a trusted proxy identifies the visitor.

use serde_json::json;

use crate::support::{
    A_WHILE, Browser, Connection, Folder, GREEN, Kind, NAVIGATION, Nginx, RED, Reply, SOON, Server, Viewer, mxr, near, png,
    wait_until,
};

/// A watched red picture, never repeated, since a repeat would push out the bytes that a proxy buffers.
fn watched(args: &[&str]) -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--keepalive", "0", "-v"]).args(args).start();
    (folder, server)
}

/// A viewer behind nginx. It uses HTTP/1.0, since otherwise nginx would send chunks.
fn view(nginx: &Nginx, path: &str) -> Viewer {
    let mut connection = Connection::open(&nginx.host);
    connection.send(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", nginx.host));
    Viewer::answered(connection)
}

fn get(nginx: &Nginx, path: &str, lines: &[&str]) -> Reply {
    let mut connection = Connection::open(&nginx.host);
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    connection.send(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n{lines}\r\n", nginx.host));
    connection.reply("GET")
}

#[test]
fn nginx_delays_no_part() {
    let (folder, server) = watched(&[]);
    let locations = format!("location /cam/ {{ proxy_pass http://{}/; }}", server.host);
    let Some(nginx) = Nginx::start(&locations) else { return };
    let mut viewer = view(&nginx, "/cam/stream");
    assert_eq!(viewer.part().body, png(RED));
    for colour in [GREEN, RED, GREEN] {
        folder.put("a.png", png(colour));
        assert_eq!(viewer.part().body, png(colour), "though nothing follows");
    }
    viewer.expect_silence(A_WHILE);
    assert_eq!(get(&nginx, "/cam/snapshot", &[]).body, png(GREEN));
    drop(viewer);
    server.wait_for_viewers(0);
    let mut last = view(&nginx, "/cam/stream");
    last.part();
    server.terminate();
    last.part();
    last.expect_end();
}

#[test]
fn the_page_works_below_a_path_that_nginx_strips() {
    let (folder, server) = watched(&["--token", "T0ken"]);
    let locations = format!("location /house/cam/ {{ proxy_pass http://{}/; }}", server.host);
    let Some(nginx) = Nginx::start(&locations) else { return };
    expect_page(&folder, &nginx, "/house/cam/");
    assert_eq!(get(&nginx, "/house/cam/", &[NAVIGATION]).head.status, 401);
    let head = get(&nginx, "/house/cam/view?token=T0ken", &[NAVIGATION]).head;
    assert_eq!(head.want("Location"), "view");
}

#[test]
fn the_page_works_below_a_path_that_nginx_passes_on() {
    let (folder, server) = watched(&["--token", "T0ken", "--route-prefix", "/house/cam/"]);
    assert_eq!(server.stdout(), format!("http://{}/house/cam/\n", server.host).into_bytes());
    let locations = format!("location /house/ {{ proxy_pass http://{}; }}", server.host);
    let Some(nginx) = Nginx::start(&locations) else { return };
    expect_page(&folder, &nginx, "/house/cam/");
    for (path, status) in [("/house/state", 404), ("/house/cam/nothing", 404), ("/house/cam/healthz", 200), ("/house/healthz", 404)]
    {
        let path = format!("{path}?token=T0ken");
        assert_eq!(get(&nginx, &path, &[]).head.status, status, "{path}");
    }
    let bare = get(&nginx, "/house/cam?token=T0ken", &[NAVIGATION]).head;
    assert_eq!((bare.status, bare.want("Location")), (307, "cam/?token=T0ken"));
}

/// Tests the page in both browsers, starting with the URL with the token.
fn expect_page(folder: &Folder, nginx: &Nginx, path: &str) {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        folder.put("a.png", png(RED));
        let sees = |colour| browser.screenshot().pixels().any(|pixel| near(pixel.0, colour));
        browser.go_by_way_of(&nginx.url(&format!("{path}?token=T0ken")), &nginx.url(path));
        wait_until("the picture is on the screen", SOON, || sees(RED));
        browser.go(&nginx.url(&format!("{path}view")));
        wait_until("the picture is on the screen", SOON, || sees(RED));
        folder.put("a.png", png(GREEN));
        wait_until("the next picture is on the screen", SOON, || sees(GREEN));
        assert_eq!(browser.run("return location.search", json!([])), json!(""));
    }
}

#[test]
fn nginx_reaches_it_by_a_unix_socket() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let path = folder.beside("mxr.sock");
    let _server = mxr(["watch"]).arg(folder.file("a.png")).arg("--unix").arg(&path).spawn().listening();
    let locations = format!("location / {{ proxy_pass http://unix:{}:/; proxy_set_header Host $http_host; }}", path.display());
    let Some(nginx) = Nginx::start(&locations) else { return };
    let mut viewer = view(&nginx, "/stream");
    assert_eq!(viewer.part().body, png(RED));
    folder.put("a.png", png(GREEN));
    assert_eq!(viewer.part().body, png(GREEN));
}

#[test]
fn headers_of_a_trusted_nginx_describe_the_visitor() {
    let headers = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto https;
                   proxy_set_header X-Forwarded-Host $host;";
    for trusted in [false, true] {
        let args = ["--token", "T0ken", "--trust-proxy"];
        let (_folder, server) = watched(&args[..if trusted { 3 } else { 2 }]);
        let Some(nginx) = Nginx::start(&format!("location / {{ proxy_pass http://{}; {headers} }}", server.host)) else { return };
        let ask = |lines: &[&str]| get(&nginx, "/state?token=T0ken", lines);
        assert_eq!(ask(&[]).head.status, 200);
        let mut viewer = view(&nginx, "/stream?token=T0ken");
        viewer.part();
        let peer = ask(&["X-Forwarded-For: 6.6.6.6"]).json()["viewers"][0]["peer"].as_str().unwrap().to_owned();
        assert_eq!(peer == "127.0.0.1:0", trusted, "{peer}: the last word, and no port");
        let cookie = get(&nginx, "/view?token=T0ken", &[NAVIGATION]).head.want("Set-Cookie").to_owned();
        assert_eq!(cookie.ends_with("; Secure"), trusted, "{cookie}");
    }
}

#[test]
fn visitors_of_a_trusted_proxy_are_throttled_separately() {
    let (_folder, server) = watched(&["--token", "T0ken", "--trust-proxy"]);
    let headers = "proxy_set_header X-Forwarded-For $arg_from;";
    let Some(nginx) = Nginx::start(&format!("location / {{ proxy_pass http://{}; {headers} }}", server.host)) else { return };
    let mut guesses: Vec<_> = (0..10).map(|_| Connection::open(&nginx.host)).collect();
    for guess in &mut guesses {
        guess.send("GET /state?from=192.0.2.66&token=guess HTTP/1.0\r\nHost: localhost\r\n\r\n");
    }
    wait_until("the free ones are denied", SOON, || {
        let reply = get(&nginx, "/state?from=192.0.2.1&token=T0ken", &[]);
        reply.head.status == 200 && reply.json()["denied"] == json!(5)
    });
    assert_eq!(get(&nginx, "/state?from=192.0.2.1&token=T0ken", &[]).head.status, 200);
}

#[test]
fn the_host_that_nginx_passes_on_has_to_be_allowed() {
    let (_folder, server) = watched(&["--trust-proxy", "--allow-host", "cam.example"]);
    for (name, status) in [("cam.example", 200), ("evil.example", 403), ("localhost", 200)] {
        let headers = format!("proxy_set_header X-Forwarded-Host {name};");
        let Some(nginx) = Nginx::start(&format!("location / {{ proxy_pass http://{}; {headers} }}", server.host)) else { return };
        assert_eq!(get(&nginx, "/state", &[]).head.status, status, "{name}");
    }
    let (_folder, doubting) = watched(&[]);
    let headers = "proxy_set_header X-Forwarded-Host evil.example;";
    let Some(nginx) = Nginx::start(&format!("location / {{ proxy_pass http://{}; {headers} }}", doubting.host)) else { return };
    assert_eq!(get(&nginx, "/state", &[]).head.status, 200, "it is Host that counts");
}
