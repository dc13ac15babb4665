//! Heads and bodies as servers write them.

use super::*;

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_read_whole_and_the_head_is_kept_as_it_was() {
    const HEAD: &str = "HTTP/1.0 200 Fine\nContent-Type:  image/png \nX-ODD:1\nX-Odd : 2\r\nX-Folded: a\r\n b\n\n";
    let server = Scripted::once([&format!("{HEAD}body\n\nmore")]).await;
    let mut response = get(&mut client(), &server.target("/a?key=1")).await.unwrap();
    assert_eq!((response.status.as_u16(), response.version), (200, hyper::Version::HTTP_10));
    assert_eq!(response.header("content-type"), Some("image/png"));
    assert_eq!(response.header("x-folded"), Some("a b"));
    assert_eq!(response.raw_head, HEAD);
    assert_eq!(response.body.read_to_end(100, LONG).await.unwrap(), "body\n\nmore");
    assert_eq!(response.peer.unwrap().port(), server.port);
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_kept_and_what_is_informational_is_not_a_part_of_it() {
    const INFORMATIONAL: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        request_of(&mut socket).await;
        for byte in format!("{INFORMATIONAL}\r\n{HEAD}body").bytes() {
            socket.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let target = format!("http://127.0.0.1:{port}/").parse().unwrap();
    let mut response = get(&mut client(), &target).await.unwrap();
    assert_eq!(response.raw_head, format!("\r\n{HEAD}"));
    assert_eq!(response.body.read_to_end(4, LONG).await.unwrap(), "body");
    serving.await.unwrap();
}

#[tokio::test]
async fn names_of_headers_are_in_title_case_and_the_callers_win() {
    let server = Scripted::once([&ok("")]).await;
    let mut headers = HeaderMap::new();
    headers.insert("if-none-match", header::HeaderValue::from_static("\"1\""));
    headers.insert("accept", header::HeaderValue::from_static("multipart/*"));
    let settings = ClientSettings {
        headers: HeaderMap::from_iter([(header::HeaderName::from_static("x-api-key"), header::HeaderValue::from_static("k"))]),
        ..ClientSettings::default()
    };
    Client::new(settings).unwrap().get(&server.target("/a?b=c d"), &headers).await.unwrap();
    let port = server.port;
    let requests = server.requests().await;
    assert!(requests[0].starts_with("0 GET /a?b=c%20d HTTP/1.1\r\n"), "{}", requests[0]);
    assert_eq!(header_of(&requests[0], "If-None-Match"), Some("\"1\""));
    assert_eq!(header_of(&requests[0], "Accept"), Some("multipart/*"));
    assert_eq!(header_of(&requests[0], "X-Api-Key"), Some("k"));
    assert_eq!(header_of(&requests[0], "Host"), Some(format!("127.0.0.1:{port}").as_str()));
    assert!(header_of(&requests[0], "User-Agent").unwrap().starts_with("mxr/"));
}

#[tokio::test]
async fn chunks_of_any_size_give_the_same_body() {
    let body: String = (0..3000).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
    for size in [1, 7, 1460] {
        let chunks =
            body.as_bytes().chunks(size).map(|chunk| format!("{:X}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)));
        let chunked =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\nX-Trailer: 1\r\n\r\n", chunks.collect::<String>());
        let server = Scripted::once([&chunked, &ok("next")]).await;
        let mut client = client();
        assert_eq!(super::body(&mut client, &server.target("/")).await.unwrap(), body);
        // The end of the chunks is the end of the response, and the connection goes on.
        assert_eq!(super::body(&mut client, &server.target("/")).await.unwrap(), "next");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_where_the_server_has_closed_it() {
    let server = Scripted::new(vec![vec![ok("1"), ok("2")], vec![ok("3")]]).await;
    let (mut client, target) = (client(), server.target("/"));
    for expected in ["1", "2", "3"] {
        assert_eq!(body(&mut client, &target).await.unwrap(), expected);
    }
    let connections: Vec<_> = server.requests().await.iter().map(|request| request.as_bytes()[0]).collect();
    assert_eq!(connections, b"001");
}

#[tokio::test]
async fn what_is_wrong_with_a_head_is_named() {
    let line = "x".repeat(100);
    for (response, fault, words) in [
        ("ICY 200 OK\r\nicy-name: x\r\n\r\n", HeadFault::Icy, "Shoutcast"),
        ("RTSP/1.0 400 Bad Request\r\n\r\n", HeadFault::Rtsp, "RTSP"),
        ("\x15\x03\x01\0\x02\x02\x46", HeadFault::Tls, "TLS"),
        ("SSH-2.0-OpenSSH\r\n", HeadFault::NotHttp("SSH-2.0-OpenSSH".into()), "begins with \"SSH-2.0-OpenSSH\""),
        ("<html>\u{1b}[2J</html>", HeadFault::NotHttp("<html>\u{1b}[2J</html>".into()), r"<html>\u{1b}[2J</html>"),
        (line.as_str(), HeadFault::NotHttp(line[..60].into()), "begins with \"xxx"),
        ("HTTP/2 200 OK\r\n\r\n", HeadFault::NotHttp("HTTP/2 200 OK".into()), "not HTTP/1"),
        ("HTTP/1.1 OK\r\n\r\n", HeadFault::Status("HTTP/1.1 OK".into()), "no valid status"),
        ("HTTP/1.1 20x OK\r\n\r\n", HeadFault::Status("HTTP/1.1 20x OK".into()), "no valid status"),
        ("HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nx", HeadFault::ContentLength("abc".into()), "Content-Length of \"abc\""),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", HeadFault::ContentLength("-1".into()), "Content-Length of \"-1\""),
        (
            "HTTP/1.1 200 OK\nContent-Length: 1\ncontent-length: 2\n\nx",
            HeadFault::ContentLength("1, 2".into()),
            "Content-Length of \"1, 2\"",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
            HeadFault::ContentLength("99999999999999999999999".into()),
            "Content-Length",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            HeadFault::TransferEncoding("chunked".into()),
            "Transfer-Encoding of \"chunked\"",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Type: ima", HeadFault::CutOff, "in the middle"),
        ("HTTP/1", HeadFault::CutOff, "in the middle"),
    ] {
        let server = Scripted::once([response]).await;
        let error = get(&mut client(), &server.target("/")).await.unwrap_err();
        let ClientError::Head { fault: found, head } = &error else { panic!("{response:?} gives {error:?}") };
        assert_eq!(*found, fault, "{response:?}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(response.as_bytes().starts_with(head) && !head.is_empty(), "{head:?}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_before_it_is_asked_is_told_as_that_and_asked_anew_on_a_connection_that_was_used() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let late = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        request_of(&mut socket).await;
        socket.write_all(format!("{}{late}", ok("1")).as_bytes()).await.unwrap();
        let (next, _) = listener.accept().await.unwrap();
        answer(next, &[&ok("2")]).await
    });
    let mut client = client();
    assert_eq!(body(&mut client, &target).await.unwrap(), "1");
    assert_eq!(body(&mut client, &target).await.unwrap(), "2");
    serving.await.unwrap();
}

#[tokio::test]
async fn a_line_that_is_no_header_is_passed_over_and_so_are_equal_lengths() {
    let server =
        Scripted::once(["HTTP/1.1 200\r\nno header here\r\n: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"]).await;
    assert_eq!(body(&mut client(), &server.target("/")).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_line_with_a_control_character_is_the_one_that_is_told() {
    let server = Scripted::once(["HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n"]).await;
    let error = get(&mut client(), &server.target("/")).await.unwrap_err();
    assert_eq!(error.to_string(), r#"the response has a line that is no header: "X-A: a\u{0}b""#);
}

#[tokio::test]
async fn a_server_that_closes_without_a_word_is_told_as_that() {
    let server = Scripted::once([""]).await;
    let error = get(&mut client(), &server.target("/")).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed), "{error:?}");
    assert_eq!(error.to_string(), "the server closed the connection without a response");
}

/// Writes for as long as the peer takes it; how much that was.
async fn flood(begin: &'static str, repeated: &'static str) -> (u16, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        request_of(&mut socket).await;
        let mut written = 0;
        let repeated = repeated.repeat(1024);
        let mut next = begin.as_bytes();
        while socket.write_all(next).await.is_ok() {
            written += next.len();
            next = repeated.as_bytes();
        }
        written
    });
    (port, serving)
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    const LINES: &str = "X-Grows: 0123456789\r\n";
    for (begin, repeated) in [
        ("HTTP/1.1 200 OK\r\nX-Grows: ", "01234567"),
        ("HTTP/1.1 200 OK\r\n", LINES),
        ("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", "0"),
    ] {
        let (port, serving) = flood(begin, repeated).await;
        let target = format!("http://127.0.0.1:{port}/").parse().unwrap();
        let error = get(&mut client(), &target).await.unwrap_err();
        let ClientError::Head { fault, head } = &error else { panic!("{error:?}") };
        // Some of it is no HTTP from its first byte on, or has too many headers before it has too many bytes.
        let is_told = matches!(fault, HeadFault::TooLarge | HeadFault::TooManyHeaders | HeadFault::NotHttp(_));
        assert!(is_told && head.len() <= super::super::head::MAX_HEAD, "{fault:?}");
        if begin.ends_with("Grows: ") {
            assert_eq!(*fault, HeadFault::TooLarge);
            assert_eq!(error.to_string(), "the head of the response has not ended after 64 KiB");
        }
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_too_large_is_an_error_of_its_own() {
    let server = Scripted::once(["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"]).await;
    let error = body(&mut client(), &server.target("/")).await.unwrap_err();
    assert_eq!(error.to_string(), "the body broke off: the server closed the connection early");
    let server = Scripted::once(["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]).await;
    let error = body(&mut client(), &server.target("/")).await.unwrap_err();
    assert!(matches!(error, ClientError::Body { .. }), "{error:?}");
    let server = Scripted::once([&ok("12345")]).await;
    let mut response = get(&mut client(), &server.target("/")).await.unwrap();
    let error = response.body.read_to_end(4, LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "the body is larger than 4 bytes");
}

#[test]
fn retry_after_is_in_seconds_or_a_date() {
    let now = std::time::UNIX_EPOCH + Duration::from_secs(784_111_777);
    for (value, pause) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("99999999999999999999999", Some(u64::MAX)),
    ] {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
        assert_eq!(response::retry_after(&headers, now), pause.map(Duration::from_secs), "{value}");
    }
}
