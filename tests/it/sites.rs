//! Pages of other sites may show the pictures of a feed, and nothing else; and no name in a URL leads to a file.

use serde_json::json;

use crate::support::{A_WHILE, Browser, CHROMIUM_IMAGE, Folder, Kind, Page, RED, SOON, Server, mxr, near, padded_png, wait_until};

fn watched(args: &[&str]) -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.png", padded_png(RED, 2000, 1));
    let server = mxr(["watch"]).arg(folder.file("a.png")).args(args).start();
    server.view("/stream").part();
    server.wait_for_viewers(0);
    (folder, server)
}

/// The server under a name that differs from the page's, so that the browser treats it as another site.
fn elsewhere(server: &Server, path: &str) -> String {
    format!("http://localhost:{}{path}", server.port())
}

/// A page of another site that tries every access; `document.title` has the result of its script.
fn page(server: &Server) -> Page {
    let (picture, view, state) = (elsewhere(server, "/stream"), elsewhere(server, "/view"), elsewhere(server, "/state"));
    Page::serve(&format!(
        "<!doctype html><title>tries</title><img src='{picture}' width=200><iframe src='{view}'></iframe>
         <script>fetch('{state}').then(reply => reply.json()).then(state => document.title = state.feeds[0].name,
             () => document.title = 'nothing')</script>"
    ))
}

#[test]
fn another_site_may_only_show_pictures() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let (_folder, server) = watched(&[]);
        browser.go(&page(&server).url);
        wait_until("the picture is on the screen", SOON, || browser.screenshot().pixels().any(|pixel| near(pixel.0, RED)));
        wait_until("the script has tried", SOON, || browser.run("return document.title", json!([])) == json!("nothing"));
        // The page in the frame would be a second viewer.
        std::thread::sleep(A_WHILE);
        assert_eq!(server.viewers().len(), 1, "{kind:?}");
    }
}

#[test]
fn another_site_may_do_more_if_it_is_allowed_to() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let (_folder, server) = watched(&["--allow-embed", "--allow-origin", "*"]);
        browser.go(&page(&server).url);
        wait_until("the script has read", SOON, || browser.run("return document.title", json!([])) == json!("a.png"));
        server.wait_for_viewers(2);
    }
}

#[test]
fn a_frame_on_another_site_uses_the_token_in_its_url() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let folder = Folder::new();
        folder.put("a.png", padded_png(RED, 2000, 1));
        let server = mxr(["watch"]).arg(folder.file("a.png")).args(["--token", "T0ken", "--allow-embed"]).start();
        let page = Page::serve(&format!("<!doctype html><iframe src='{}'></iframe>", elsewhere(&server, "/view?token=T0ken")));
        browser.go(&page.url);
        wait_until("the page in the frame watches", SOON, || {
            let state = server.request("GET", "/state", &["Authorization: Bearer T0ken"]).json();
            state["viewers"][0]["sent"].as_u64().is_some_and(|sent| sent > 0)
        });
    }
}

#[test]
fn the_headers_of_the_browser_decide_about_another_site() {
    let (_folder, server) = watched(&[]);
    let status = |path: &str, dest: &str, site: &str| {
        let lines = [format!("Sec-Fetch-Dest: {dest}"), format!("Sec-Fetch-Site: {site}")];
        server.request("HEAD", path, &[&lines[0], &lines[1]]).head.status
    };
    for (path, dest, expected) in [
        ("/stream", "image", 200),
        ("/snapshot", "image", 200),
        ("/?action=snapshot", "image", 200),
        ("/state", "image", 403),
        ("/view", "document", 200),
        ("/view", "iframe", 403),
        ("/stream", "iframe", 403),
        ("/snapshot", "empty", 403),
        ("/stream", "video", 403),
        ("/state", "script", 403),
        ("/nothing", "script", 403),
    ] {
        assert_eq!(status(path, dest, "cross-site"), expected, "{path} as {dest}");
        for site in ["same-origin", "same-site", "none"] {
            assert_ne!(status(path, dest, site), 403, "{path} as {dest} from {site}");
        }
    }
}

#[test]
fn replies_tell_browsers_what_to_allow() {
    let (_folder, server) = watched(&["--allow-embed=https://a.example"]);
    let head = |path: &str, lines: &[&str]| server.request("HEAD", path, lines).head;
    for path in ["/", "/stream", "/snapshot", "/view", "/state", "/nothing"] {
        let head = head(path, &[]);
        assert_eq!(head.want("X-Content-Type-Options"), "nosniff", "{path}");
        assert_eq!(head.want("Referrer-Policy"), "no-referrer", "{path}");
        assert_eq!(head.want("Cross-Origin-Resource-Policy"), "same-site", "{path}");
        let policy = head.want("Content-Security-Policy");
        let frames = "frame-ancestors 'self' http://127.0.0.1:* https://127.0.0.1:* https://a.example";
        assert!(policy.ends_with(frames), "{path}: {policy}");
        let sandboxed = ["/", "/stream", "/snapshot"].contains(&path);
        assert_eq!(policy.starts_with("sandbox; "), sandboxed, "{path}: {policy}");
    }
    for path in ["/stream", "/snapshot"] {
        assert_eq!(head(path, CHROMIUM_IMAGE).want("Cross-Origin-Resource-Policy"), "cross-origin", "{path}");
    }
}

#[test]
fn a_name_never_becomes_a_path() {
    let folder = Folder::new();
    folder.put("a.png", padded_png(RED, 100, 1));
    folder.put("secret", "hunter2");
    let outside = folder.beside("outside");
    std::fs::write(&outside, "hunter2").unwrap();
    for source in [folder.file("a.png"), folder.path()] {
        let picks: &[&str] = if source.is_dir() { &["--glob", "*.png"] } else { &[] };
        let server = mxr(["watch"]).arg(source).args(picks).start();
        server.view("/stream").part();
        for name in [
            "secret",
            "../outside",
            "..%2foutside",
            "%2e%2e%2foutside",
            "..%5coutside",
            "a.png/../secret",
            "a.png%00",
            "./secret",
            "%2fetc%2fpasswd",
            "/etc/passwd",
            &outside.display().to_string(),
            "%252e%252e/outside",
            "..%c0%afoutside",
            "%ff",
        ] {
            // Under go2rtc's path any name leads to the only feed.
            let aliased = server.get(&format!("/api/frame.jpeg?src={name}"));
            assert_eq!((aliased.head.status, &aliased.body), (200, &server.get("/snapshot").body), "{name}");
            for path in [format!("/snapshot/{name}"), format!("/stream/{name}"), format!("/{name}")] {
                let reply = server.get(&path);
                assert!([400, 404].contains(&reply.head.status), "{path}: {}", reply.head.status);
                assert!(!reply.text().contains("hunter2") && !reply.text().contains("root:"), "{path}");
            }
        }
    }
}
