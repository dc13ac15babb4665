//! Challenges and what is sent to whom.

use super::*;

const BASIC: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 6\r\n\r\nlog in";
const BARE: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
/// `user:secret`.
const BASIC_ANSWER: &str = "Basic dXNlcjpzZWNyZXQ=";

fn digest(params: &str) -> String {
    format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", {params}\r\nContent-Length: 0\r\n\r\n")
}

fn authorizations(requests: &[String]) -> Vec<Option<&str>> {
    requests.iter().map(|request| header_of(request, "Authorization")).collect()
}

#[tokio::test]
async fn a_password_is_sent_after_the_challenge_alone_on_the_same_connection_and_in_advance_later() {
    let server = Scripted::once([BASIC, &ok("1"), &ok("2")]).await;
    let (mut client, target) = (client(), server.target_with_password("/"));
    let mut response = get(&mut client, &target).await.unwrap();
    assert_eq!(response.authenticated_by, Some("Basic"));
    assert_eq!(response.body.read_to_end(9, LONG).await.unwrap(), "1");
    assert_eq!(body(&mut client, &target).await.unwrap(), "2");
    assert_eq!(authorizations(&server.requests().await), [None, Some(BASIC_ANSWER), Some(BASIC_ANSWER)]);
}

#[tokio::test]
async fn credentials_of_the_settings_are_used_where_the_url_has_none() {
    let server = Scripted::once([BASIC, &ok("1")]).await;
    let settings = ClientSettings { credentials: Credentials::new("user", "secret"), ..ClientSettings::default() };
    assert_eq!(body(&mut Client::new(settings).unwrap(), &server.target("/")).await.unwrap(), "1");
    assert_eq!(authorizations(&server.requests().await)[1], Some(BASIC_ANSWER));
}

#[tokio::test]
async fn a_digest_challenge_is_answered_counted_and_renewed_when_it_is_stale() {
    let server = Scripted::new(vec![
        vec![digest("nonce=\"a\", qop=\"auth\""), ok("1"), ok("2"), digest("nonce=\"b\", qop=\"auth\", stale=TRUE")],
        vec![ok("3")],
    ])
    .await;
    let (mut client, target) = (client(), server.target_with_password("/x?y=1"));
    for expected in ["1", "2", "3"] {
        let mut response = get(&mut client, &target).await.unwrap();
        assert_eq!(response.authenticated_by, Some("Digest MD5"));
        assert_eq!(response.body.read_to_end(9, LONG).await.unwrap(), expected);
    }
    let requests = server.requests().await;
    let answers = authorizations(&requests);
    assert_eq!(answers[0], None);
    for (answer, nonce, count) in [(1, "a", 1), (2, "a", 2), (3, "a", 3), (4, "b", 1)] {
        let answer = answers[answer].unwrap();
        assert!(answer.contains(&format!("nonce=\"{nonce}\", uri=\"/x?y=1\"")), "{answer}");
        assert!(answer.contains(&format!("nc=0000000{count}, qop=auth")), "{answer}");
    }
}

#[tokio::test]
async fn a_nonce_that_was_stale_in_the_same_request_is_renewed_too() {
    let stale = digest("nonce=\"b\", stale=true");
    let server = Scripted::once([&digest("nonce=\"a\""), &stale, &ok("1")]).await;
    assert_eq!(body(&mut client(), &server.target_with_password("/")).await.unwrap(), "1");
    // But not for ever.
    let server = Scripted::once([&digest("nonce=\"a\""), &stale, &stale, &stale]).await;
    let error = get(&mut client(), &server.target_with_password("/")).await.unwrap_err();
    assert!(matches!(error, ClientError::PasswordRefused), "{error:?}");
    assert_eq!(server.requests().await.len(), 4);
}

#[tokio::test]
async fn a_wrong_password_is_sent_once() {
    for challenge in [BASIC.to_owned(), digest("nonce=\"a\", qop=\"auth\"")] {
        // The second may come without a challenge.
        for second in [challenge.as_str(), BARE] {
            let server = Scripted::once([&challenge, second]).await;
            let error = get(&mut client(), &server.target_with_password("/")).await.unwrap_err();
            assert!(matches!(error, ClientError::PasswordRefused), "{error:?}");
            assert_eq!(server.requests().await.len(), 2);
        }
    }
}

#[tokio::test]
async fn a_password_that_is_wrong_by_now_is_not_sent_again_for_basic_and_once_for_digest() {
    let server = Scripted::once([BASIC, &ok("1"), BASIC]).await;
    let (mut client, target) = (client(), server.target_with_password("/"));
    assert_eq!(body(&mut client, &target).await.unwrap(), "1");
    assert!(matches!(get(&mut client, &target).await, Err(ClientError::PasswordRefused)));
    assert_eq!(server.requests().await.len(), 3);

    let (first, second) = (digest("nonce=\"a\""), digest("nonce=\"b\""));
    let server = Scripted::once([&first, &ok("1"), &second, &second]).await;
    let target = server.target_with_password("/");
    assert_eq!(body(&mut client, &target).await.unwrap(), "1");
    assert!(matches!(get(&mut client, &target).await, Err(ClientError::PasswordRefused)));
    assert_eq!(server.requests().await.len(), 4);
}

#[tokio::test]
async fn a_401_without_a_challenge_says_nothing_about_the_password() {
    let odd = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
    for bare in [BARE, odd] {
        let server = Scripted::new(vec![vec![BASIC.to_owned(), ok("1"), bare.to_owned()], vec![BASIC.to_owned(), ok("2")]]).await;
        let (mut client, target) = (client(), server.target_with_password("/"));
        assert_eq!(body(&mut client, &target).await.unwrap(), "1");
        assert!(matches!(get(&mut client, &target).await, Err(ClientError::NoChallenge)));
        assert_eq!(body(&mut client, &target).await.unwrap(), "2");
    }
}

#[tokio::test]
async fn without_a_password_a_401_says_what_is_asked_for() {
    let server =
        Scripted::once(["HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", Basic realm=\"r\"\r\n\r\n"]).await;
    let error = get(&mut client(), &server.target("/")).await.unwrap_err();
    assert_eq!(error.to_string(), "the server asks for a password (Digest, Basic)");
    assert!(error.hint().unwrap().contains("--upstream-auth-file"));
    let server = Scripted::once([&digest("nonce=\"n\", qop=\"auth-int\"")]).await;
    let error = get(&mut client(), &server.target_with_password("/")).await.unwrap_err();
    assert_eq!(error.to_string(), "the server asks for Digest with qop auth-int, which is not supported");
}

#[tokio::test]
async fn a_header_that_the_user_wrote_is_the_password() {
    let server = Scripted::once([BASIC]).await;
    let bearer = header::HeaderValue::from_static("Bearer token");
    let settings = ClientSettings { headers: HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]), ..ClientSettings::default() };
    let error = get(&mut Client::new(settings).unwrap(), &server.target_with_password("/")).await.unwrap_err();
    assert!(matches!(error, ClientError::PasswordRefused), "{error:?}");
    assert_eq!(authorizations(&server.requests().await), [Some("Bearer token")]);
}

#[tokio::test]
async fn the_strongest_of_several_challenges_is_answered() {
    let several = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"r\", Digest realm=\"r\",nonce=\"m\",algorithm=MD5\r\n\
                   WWW-Authenticate: Digest realm=\"r\",nonce=\"s\",algorithm=SHA-256\r\nContent-Length: 0\r\n\r\n";
    let server = Scripted::once([several, &ok("1")]).await;
    let response = get(&mut client(), &server.target_with_password("/")).await.unwrap();
    assert_eq!(response.authenticated_by, Some("Digest SHA-256"));
    let requests = server.requests().await;
    assert!(header_of(&requests[1], "Authorization").unwrap().contains("nonce=\"s\""));
}

#[tokio::test]
async fn nothing_that_is_printed_shows_a_secret() {
    let server = Scripted::once(["HTTP/1.1 302 Found\r\nLocation: /b?key=hidden1\r\n\r\n"]).await;
    let target: Target = format!("http://hidden2:hidden3@127.0.0.1:{}/b?key=hidden1&hidden4", server.port).parse().unwrap();
    let settings = ClientSettings {
        credentials: Credentials::new("hidden5", "hidden6"),
        headers: HeaderMap::from_iter([(header::COOKIE, header::HeaderValue::from_static("hidden7"))]),
        ..ClientSettings::default()
    };
    let mut client = Client::new(settings.clone()).unwrap();
    let error = get(&mut client, &target).await.unwrap_err();
    let printed = format!("{target} {target:?} {error} {error:?} {client:?} {:?} {:?}", settings, target.credentials());
    assert!(!printed.contains("hidden"), "{printed}");
    assert!(printed.contains("/b?key=…&…"), "{printed}");
}
