//! `--publish` where something on the way is not as it should be: each mistake is told in words that help, and no hub and no proxy is asked
//! again and again.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    process::Stdio,
    thread,
};

use crate::{
    publish::{folder, publish, raw_hub, watch},
    support::{A_WHILE, SOON, Upstream, free_port, mxr, wait_until},
};

#[test]
fn a_refusal_of_a_feed_that_nobody_publishes_is_one_of_the_whole() {
    let folder = folder();
    let hub = raw_hub(|socket| {
        let _ = write!(socket, "HTTP/1.1 409 Conflict\r\nX-Feed: other\r\nContent-Length: 8\r\nConnection: close\r\n\r\nmxr: no\n");
        let _ = socket.shutdown(Shutdown::Both);
    });
    let server = watch(&folder, &hub.url("/"), &[]).start();
    server.expect_log("not publishing: the hub answers 409: no");
    thread::sleep(A_WHILE * 3);
    assert_eq!(hub.requests().len(), 2, "a question and a body");
    assert_eq!(publish(&server)["state"], "lost");
}

#[test]
fn a_hub_may_ask_for_a_pause_of_minutes_and_no_more() {
    let folder = folder();
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let hub = Upstream::serve(move |mut asked| {
            asked.reply_with(status, &["Retry-After: 99999999999"], "");
        });
        let server = watch(&folder, &hub.url("/"), &[]).start();
        server.expect_log("pause=900s");
    }
}

#[test]
fn what_a_proxy_answers_is_told_at_once() {
    let folder = folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    // Its body follows, and the connection stays open.
    let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nhello";
    thread::spawn(move || {
        let mut open = Vec::new();
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer.as_bytes());
            open.push(client);
        }
    });
    for (url, variable) in [("https://hub.test/", "https_proxy"), ("http://hub.test/", "http_proxy")] {
        let server = watch(&folder, url, &[]).env(variable, &proxy).start();
        server.expect_log("answers 407");
        assert!(server.stderr().contains("it asks for user and password"), "{}", server.stderr());
    }
    let none = format!("http://127.0.0.1:{}", free_port());
    let server = watch(&folder, "http://hub.test/", &[]).env("http_proxy", &none).start();
    server.expect_log(&format!("no connection to the proxy {none}"));
}

#[test]
fn a_redirect_is_told_with_the_url_that_it_leads_to() {
    let folder = folder();
    let redirecting = Upstream::serve(|mut asked| {
        let location = format!("Location: https://hub.example{}", asked.path());
        asked.reply_with("308 Permanent Redirect", &[&location], "");
    });
    let server = watch(&folder, &redirecting.url("/lab"), &[]).start();
    server.expect_log("give that URL, https://hub.example/lab/ ");
}

#[test]
fn a_question_says_that_it_has_no_body() {
    // Load balancers refuse a POST without a length.
    let (folder, hub) = (folder(), Upstream::serve(|mut asked| _ = asked.reply("503 Soon", "text/plain", "")));
    let _server = watch(&folder, &hub.url("/"), &[]).start();
    hub.expect_requests(1);
    let head = hub.requests()[0].to_ascii_lowercase();
    assert!(head.contains("content-length: 0\r\n"), "{head}");
}

#[test]
fn a_url_that_is_no_root_is_told() {
    let (folder, hub) = (folder(), mxr(["hub"]).start());
    let server = watch(&folder, &hub.url("/stream/cam"), &[]).start();
    server.expect_log("it takes the URL of a `mxr hub`");
    assert_eq!(hub.state()["feeds"], serde_json::json!([]));
}

#[test]
fn a_mistake_in_the_environment_counts_where_it_is_on_the_way() {
    let folder = folder();
    let at = |url: &str, variable: &str| watch(&folder, url, &[]).env(variable, "socks5://proxy:1080");
    for (url, variable) in [("http://127.0.0.1:1/", "HTTPS_PROXY"), ("https://127.0.0.1:1/", "http_proxy")] {
        at(url, variable).start().expect_log("not publishing: no connection to");
    }
    at("https://hub/", "HTTPS_PROXY").run().usage_error().stderr("its scheme is socks5, and only proxies of http can be used");
    let wrong = mxr(["watch", ".", "--publish", "http://any:s3cret/@hub/"]).run();
    wrong.usage_error().stderr("--publish-token-file").no_stderr("upstream").no_stderr("s3cret");
}

#[test]
fn the_last_parts_that_nobody_has_taken_are_told_at_the_end() {
    let url = format!("http://127.0.0.1:{}/", free_port());
    let mut server = mxr(["stdin", "--exit-on-eof", "--publish", &url]).stdin(Stdio::piped()).start();
    server.write("one\n");
    wait_until("it is lost", SOON, || publish(&server)["state"] == "lost");
    drop(server.take_stdin());
    server.expect_log("the last parts may not be there: no connection to");
    server.finish().success();
}
