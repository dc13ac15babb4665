//! Redirects: where they lead, and what goes along.

use super::*;

fn to(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\ngone")
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_connection_and_told() {
    let server = Scripted::once([&to("/b/c?d"), &to("../e"), &to("?f=1"), &ok("there")]).await;
    let mut response = get(&mut client(), &server.target("/a?key=1")).await.unwrap();
    let passed: Vec<_> = response.redirects.iter().map(|target| (target.path(), target.query())).collect();
    assert_eq!(passed, [("/a", Some("key=1")), ("/b/c", Some("d")), ("/e", None)]);
    assert_eq!((response.target.path(), response.target.query()), ("/e", Some("f=1")));
    assert_eq!(response.body.read_to_end(9, LONG).await.unwrap(), "there");
}

#[tokio::test]
async fn a_redirect_in_a_circle_is_told_with_where_it_leads() {
    let server = Scripted::once([&to("/b"), &to("/a?key=hidden")]).await;
    let error = get(&mut client(), &server.target("/a?key=hidden")).await.unwrap_err();
    let place = format!("http://127.0.0.1:{}", server.port);
    assert_eq!(error.to_string(), format!("{place}/b redirects in a circle, back to {place}/a?key=…"));
}

#[tokio::test]
async fn the_sixth_redirect_is_one_too_many_and_others_lead_nowhere() {
    let steps = [to("/1"), to("/2"), to("/3"), to("/4"), to("/5"), to("/6")];
    let server = Scripted::once(steps.each_ref().map(String::as_str)).await;
    let error = get(&mut client(), &server.target("/")).await.unwrap_err();
    assert!(error.to_string().ends_with("/5 redirects once more, after 5 redirects"), "{error}");
    let server = Scripted::once([&steps[0], &steps[1], &steps[2], &steps[3], &steps[4], &ok("5")]).await;
    assert_eq!(body(&mut client(), &server.target("/")).await.unwrap(), "5");
    for (response, words) in [
        ("HTTP/1.1 301 Moved\r\n\r\n".to_owned(), "redirects nowhere: it gives no Location"),
        (to("rtsp://camera/h264"), "redirects to a place that cannot be used: its scheme is rtsp, not http or https"),
        (to("http://a:b:c/"), "redirects to a place that cannot be used: its port is no number from 1 to 65535"),
    ] {
        let server = Scripted::once([&response]).await;
        let error = get(&mut client(), &server.target("/")).await.unwrap_err();
        assert!(error.to_string().ends_with(words), "{error}");
    }
}

#[tokio::test]
async fn secrets_go_to_the_server_that_they_are_for_and_to_no_other() {
    let challenge = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n";
    let other = Scripted::once([&ok("there")]).await;
    // User and password that a server writes into its Location are not sent either.
    let elsewhere = to(&format!("http://user:secret@127.0.0.1:{}/x", other.port));
    let server = Scripted::once([challenge, &elsewhere]).await;
    let headers = HeaderMap::from_iter([(header::HeaderName::from_static("x-key"), header::HeaderValue::from_static("secret"))]);
    let mut client = Client::new(ClientSettings { headers, ..ClientSettings::default() }).unwrap();
    assert_eq!(body(&mut client, &server.target_with_password("/")).await.unwrap(), "there");
    let (sent, not_sent) = (server.requests().await, other.requests().await);
    assert!(sent[1].contains("Authorization: Basic") && sent[1].contains("X-Key: secret"), "{}", sent[1]);
    assert!(!not_sent[0].contains("Authorization") && !not_sent[0].contains("X-Key"), "{}", not_sent[0]);

    let other = Scripted::once([&ok("there")]).await;
    let server = Scripted::once([&to(&format!("http://127.0.0.1:{}/x", other.port))]).await;
    let own = [header::AUTHORIZATION, header::COOKIE, header::RANGE].map(|name| (name, header::HeaderValue::from_static("v")));
    client.get(&server.target("/"), &HeaderMap::from_iter(own)).await.unwrap();
    let (sent, not_sent) = (server.requests().await, other.requests().await);
    assert_eq!(["Authorization", "Cookie", "Range"].map(|name| header_of(&sent[0], name)), [Some("v"); 3]);
    assert_eq!(["Authorization", "Cookie", "Range"].map(|name| header_of(&not_sent[0], name)), [None, None, Some("v")]);

    let other = Scripted::once([challenge]).await;
    let server = Scripted::once([&to(&format!("//127.0.0.1:{}/x", other.port))]).await;
    let error = get(&mut client, &server.target_with_password("/")).await.unwrap_err();
    assert_eq!(error.to_string(), "the server that a redirect leads to asks for a password (Basic)");
    assert_eq!(other.requests().await.len(), 1);
}
