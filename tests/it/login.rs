//! Logging a browser in: by the URL with the token, by `--open`, by the form; and the cookie that it keeps.

use std::{os::unix::fs::PermissionsExt, process::Command};

use serde_json::json;

use crate::{
    access::{BEARER, status, watched},
    support::{
        Browser, Connection, Folder, Kind, NAVIGATION, RED, Reply, SOON, Server, mxr, near, png, tool, wait_for, wait_until,
    },
};

/// The `Set-Cookie` line for this token.
fn cookie_of(server: &Server, target: &str) -> String {
    server.request("GET", target, &[NAVIGATION]).head.want("Set-Cookie").to_owned()
}

/// The line that a browser sends back.
fn sent_back(cookie: &str) -> String {
    format!("Cookie: {}", cookie.split(';').next().unwrap())
}

#[test]
fn the_cookie_is_no_token_and_is_valid_after_a_restart() {
    let server = mxr(["serve", "--demo", "--token", "T0ken"]).start();
    let (port, cookie) = (server.port(), cookie_of(&server, "/view?token=T0ken"));
    let value = cookie.split([';', '=']).nth(1).unwrap().to_owned();
    assert!(!cookie.contains("T0ken") && value.len() >= 32, "{cookie}");
    assert_eq!(status(&server, &format!("/state?token={value}"), &[]), 403);
    assert_eq!(status(&server, "/state", &[&format!("Authorization: Bearer {value}")]), 403);
    drop(server);
    let server = mxr(["serve", "--demo", "--token", "T0ken"]).start_at(port);
    // Cookies of other programs on the same host may hold any bytes.
    assert_eq!(status(&server, "/state", &["Cookie: name=José", &sent_back(&cookie)]), 200);
    drop(server);
    let server = mxr(["serve", "--demo", "--token", "An0ther"]).start_at(port);
    for _ in 0..30 {
        assert_eq!(status(&server, "/state", &[&sent_back(&cookie)]), 401, "a page of an earlier start is no guess");
    }
    server.stop().no_stderr("wrong password or token");
}

#[test]
fn two_servers_on_one_host_do_not_overwrite_each_others_cookies() {
    let servers = [(); 2].map(|()| mxr(["serve", "--demo", "--token", "T0ken"]).start());
    let names = servers.each_ref().map(|server| cookie_of(server, "/view?token=T0ken").split('=').next().unwrap().to_owned());
    assert_eq!(names, servers.each_ref().map(|server| format!("mxr-{}", server.port())));
}

/// The answer to the form with this content.
fn post(server: &Server, target: &str, form: &str) -> Reply {
    let mut connection = Connection::open(&server.host);
    connection.send(format!(
        "POST {target} HTTP/1.1\r\nHost: {}\r\n{NAVIGATION}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        server.host,
        form.len()
    ));
    connection.reply("POST")
}

#[test]
fn a_navigation_gets_a_form_and_a_program_gets_a_sentence() {
    let (_folder, server) = watched(&["--token", "T0ken"], BEARER);
    for (target, status) in [("/", 401), ("/view", 401), ("/snapshot", 401), ("/?token=wrong", 403)] {
        let page = server.request("GET", target, &[NAVIGATION]);
        assert_eq!(page.head.status, status, "{target}");
        assert!(page.head.want("Content-Type").starts_with("text/html"), "{target}");
        assert!(page.text().contains("<form method=post>") && !page.text().contains("<script"), "{}", page.text());
        let policy = page.head.want("Content-Security-Policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("frame-ancestors"), "{policy}");
        let sentence = server.request("GET", target, &["Accept: */*"]);
        assert_eq!(sentence.head.status, status, "{target}");
        assert!(sentence.text().starts_with("mxr: "), "{}", sentence.text());
    }
    let with_password = mxr(["serve", "--demo", "--auth", "me:secret"]).start();
    assert!(with_password.request("GET", "/", &[NAVIGATION]).text().starts_with("mxr: "), "the browser asks by itself");
}

#[test]
fn the_form_logs_in_and_leaves_no_token_in_a_url() {
    let server = mxr(["serve", "--demo", "--token", "T0ken", "--route-prefix", "/cam"]).start();
    for (target, location) in [("/cam/", "./"), ("/cam/view?a=1&token=old", "view?a=1")] {
        let right = post(&server, target, "token=T0ken");
        assert_eq!((right.head.status, right.head.want("Location")), (303, location));
        assert_eq!(status(&server, "/cam/state", &[&sent_back(right.head.want("Set-Cookie"))]), 200);
        let wrong = post(&server, target, "token=guess");
        assert_eq!(wrong.head.status, 403);
        assert!(wrong.text().contains("That is not the token") && wrong.head.get("Set-Cookie").is_none(), "{}", wrong.text());
    }
    let long = "x".repeat(5000);
    for (target, form, status) in [("/elsewhere", "token=T0ken", 405), ("/cam/", &long, 400), ("/cam/", "", 403)] {
        assert_eq!(post(&server, target, form).head.status, status, "{target}");
    }
    let open = mxr(["serve", "--demo"]).start();
    assert_eq!(post(&open, "/", "token=T0ken").head.status, 405, "there is no token");
}

#[test]
fn a_browser_logs_in_with_the_form() {
    for (kind, prefix) in [(Kind::Chromium, "/cam"), (Kind::Firefox, "")] {
        let Some(browser) = Browser::start(kind) else { continue };
        let folder = Folder::new();
        folder.put("a.png", png(RED));
        let server = mxr(["watch", "--token", "T0ken", "--route-prefix", prefix]).arg(folder.file("a.png")).start();
        let page = server.url(&format!("{prefix}/"));
        browser.go(&page);
        wait_until("the form is there", SOON, || browser.text().contains("This feed has a token"));
        browser.keep_screenshot(&format!("login-form-{kind:?}"));
        let type_in = |token: &str| {
            let script = "document.querySelector('input').value = arguments[0]; document.querySelector('button').click()";
            browser.run(script, json!([token]));
        };
        type_in("guess");
        wait_until("it says that it is wrong", SOON, || browser.text().contains("That is not the token"));
        browser.keep_screenshot(&format!("login-form-wrong-{kind:?}"));
        type_in("T0ken");
        wait_until("the picture is on the screen", SOON, || browser.screenshot().pixels().any(|pixel| near(pixel.0, RED)));
        assert_eq!(browser.run("return location.href", json!([])), json!(page), "{kind:?}");
    }
}

/// A server that opened a browser, which is a script that notes its command line, and the URL on that.
fn opened(args: &[&str]) -> (Folder, Server, String) {
    let folder = Folder::new();
    let (browser, noted) = (folder.file("xdg-open"), folder.file("noted"));
    folder.put("xdg-open", format!("#!/bin/sh\nprintf %s \"$*\" > {0}.new && mv {0}.new {0}\n", noted.display()));
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", browser.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mxr = mxr(["serve", "--demo", "--open", "-vv"]).args(args).env("PATH", &path).env("DISPLAY", ":0");
    let server = mxr.without("SSH_CONNECTION").without("SSH_TTY").start();
    let url = wait_for("the browser is opened", SOON, || std::fs::read_to_string(&noted).ok());
    (folder, server, url)
}

#[test]
fn the_url_that_open_opens_is_no_secret_once_it_is_used() {
    let (_folder, server, url) = opened(&["--token", "T0ken", "--route-prefix", "/cam"]);
    assert!(url.starts_with(&server.url("/cam/")) && !url.contains("T0ken"), "{url}");
    let target = url.strip_prefix(&server.url("")).unwrap();
    for _ in 0..3 {
        assert_eq!(status(&server, &format!("{target}x"), &[NAVIGATION]), 401);
    }
    let first = server.request("GET", target, &[NAVIGATION]).head;
    assert_eq!((first.status, first.want("Location")), (303, "./"));
    assert_eq!(status(&server, "/cam/state", &[&sent_back(first.want("Set-Cookie"))]), 200);
    assert_eq!(status(&server, target, &[NAVIGATION]), 401, "once");
    let secret = target.split_once('=').unwrap().1.to_owned();
    server.stop().no_stderr(&secret).no_stdout(&secret);
}

#[test]
fn another_user_who_sees_the_url_that_open_opens_cannot_use_it() {
    let (Some(setpriv), Some(curl)) = (tool(&["setpriv"]), tool(&["curl"])) else { return };
    if !rustix::process::getuid().is_root() {
        return eprintln!("skipped: only root can become another user");
    }
    let (_folder, server, url) = opened(&["--token", "T0ken"]);
    let mut command = Command::new(&setpriv);
    command.args(["--reuid", "65534", "--clear-groups"]).arg(&curl).args(["-s", "-o", "/dev/null", "-w", "%{http_code}", &url]);
    assert_eq!(String::from_utf8(command.output().unwrap().stdout).unwrap(), "401");
    let target = url.strip_prefix(&server.url("")).unwrap();
    assert_eq!(status(&server, target, &[NAVIGATION]), 303, "its own user still can");
}

#[test]
fn without_a_token_open_opens_the_plain_url() {
    let (_folder, server, url) = opened(&[]);
    assert_eq!(url, server.url("/"));
}
