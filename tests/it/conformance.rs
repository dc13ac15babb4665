//! Requests that RFC 9112 and RFC 9110 forbid, or allow a server to refuse, each with its reply. After each of them the server
//! answers a valid request: bytes from one peer never affect another.

use std::{io::Read, time::Duration};

use crate::support::{Connection, Folder, Server, mxr};

/// A request, and its correct status codes; 0 means that the server may close the connection without a reply.
type Case = (&'static str, &'static [u16]);

const BAD: &[u16] = &[400];
const VERSION: &[u16] = &[400, 505];
const METHOD: &[u16] = &[405, 501];
const NOWHERE: &[u16] = &[404];
const LONG: &[u16] = &[400, 414, 431];
const CODING: &[u16] = &[400, 501];

/// RFC 9112, section 3: the request line. `H` stands for a good Host and the end of the head.
const LINES: &[Case] = &[
    (" /healthz HTTP/1.1H", BAD),
    ("GET  /healthz HTTP/1.1H", BAD),
    ("GET /healthz  HTTP/1.1H", BAD),
    ("GET\t/healthz\tHTTP/1.1H", BAD),
    ("GET /healthz HTTP/1.1 H", BAD),
    ("GET /healthzH", BAD),
    ("GET HTTP/1.1H", BAD),
    ("GETH", BAD),
    ("H", BAD),
    ("GET /healthz HTTP/0.9H", VERSION),
    ("GET /healthz HTTP/2.0H", VERSION),
    ("GET /healthz HTTP/3H", VERSION),
    ("GET /healthz HTTP/1H", VERSION),
    ("GET /healthz HTTP/11H", VERSION),
    ("GET /healthz HTTP/1.1.1H", VERSION),
    ("GET /healthz HTTP/-1.1H", VERSION),
    ("GET /healthz HTTP/ 1.1H", VERSION),
    ("GET /healthz http/1.1H", VERSION),
    ("GET /healthz HTTPS/1.1H", VERSION),
    ("GET /healthz HTTP1.1H", VERSION),
    ("HTTP/1.1 200 OKH", BAD),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 400, 505]),
    ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\r\n\r\n", BAD),
    ("\0\0\0\0\r\n\r\n", BAD),
    ("G(T /healthz HTTP/1.1H", BAD),
    ("GET, /healthz HTTP/1.1H", BAD),
    ("\"GET\" /healthz HTTP/1.1H", BAD),
    ("G\0T /healthz HTTP/1.1H", BAD),
];

/// RFC 9112, section 3.2, and RFC 9110, sections 4.2 and 9.1: targets and methods.
const TARGETS: &[Case] = &[
    ("GET /healthz# HTTP/1.1H", BAD),
    ("GET /healthz#fragment HTTP/1.1H", BAD),
    ("GET /healthz?a#b HTTP/1.1H", BAD),
    ("GET /#/healthz HTTP/1.2H", BAD),
    ("GET /snapshot/\u{e4}.txt HTTP/1.1H", BAD),
    ("GET /snapshot/\u{c3}\u{a4}.txt HTTP/1.1H", BAD),
    ("GET /snapshot?\u{ff} HTTP/1.1H", BAD),
    ("GET https://localhost/healthz HTTP/1.1H", &[400, 421]),
    ("GET ftp://localhost/healthz HTTP/1.1H", BAD),
    ("GET /he\0althz HTTP/1.1H", BAD),
    ("GET /he\u{7f}althz HTTP/1.1H", BAD),
    ("GET /healthz\u{1} HTTP/1.1H", BAD),
    ("GET /he althz HTTP/1.1H", BAD),
    ("GET healthz HTTP/1.1H", BAD),
    ("GET ../healthz HTTP/1.1H", BAD),
    ("GET ?fps=1 HTTP/1.1H", BAD),
    ("GET * HTTP/1.1H", BAD),
    ("GET localhost:80 HTTP/1.1H", BAD),
    ("GET http:// HTTP/1.1H", BAD),
    ("GET http:///healthz HTTP/1.1H", BAD),
    ("GET http://user@localhost/healthz HTTP/1.1H", BAD),
    ("GET http://[::1/healthz HTTP/1.1H", BAD),
    ("GET http://evil.example/healthz HTTP/1.1H", &[403, 421]),
    ("GET //evil.example/healthz HTTP/1.1H", NOWHERE),
    ("GET /../../etc/passwd HTTP/1.1H", NOWHERE),
    ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1H", NOWHERE),
    ("GET /stream/..%2f..%2fetc%2fpasswd HTTP/1.1H", NOWHERE),
    ("GET /stream/%00 HTTP/1.1H", NOWHERE),
    ("GET /stream/%ff%fe HTTP/1.1H", NOWHERE),
    ("GET /stream/%zz HTTP/1.1H", NOWHERE),
    ("GET /healthz/ HTTP/1.1H", NOWHERE),
    ("GET /HEALTHZ HTTP/1.1H", NOWHERE),
    ("get /healthz HTTP/1.1H", METHOD),
    ("POST /healthz HTTP/1.1H", METHOD),
    ("PUT /stream HTTP/1.1H", METHOD),
    ("DELETE /stream HTTP/1.1H", METHOD),
    ("PATCH /stream HTTP/1.1H", METHOD),
    ("TRACE / HTTP/1.1H", METHOD),
    ("OPTIONS * HTTP/1.1H", METHOD),
    ("CONNECT localhost:80 HTTP/1.1H", METHOD),
    ("BREW /pot HTTP/1.1H", METHOD),
];

/// RFC 9110, section 7.2, and RFC 9112, section 5: Host and the shape of header lines. `L` is a good request line.
const HEADERS: &[Case] = &[
    ("L\r\n\r\n", BAD),
    ("LHost: localhost\r\nHost: localhost\r\n\r\n", BAD),
    ("LHost: localhost\r\nhost: evil.example\r\n\r\n", BAD),
    ("LHost:\r\n\r\n", BAD),
    ("LHost: localhost/path\r\n\r\n", BAD),
    ("LHost: http://localhost\r\n\r\n", BAD),
    ("LHost: user@localhost\r\n\r\n", BAD),
    ("LHost: :80\r\n\r\n", BAD),
    ("LHost: [::1\r\n\r\n", BAD),
    ("LHost: ::1]\r\n\r\n", BAD),
    ("LHost: localhost:http\r\n\r\n", BAD),
    ("LHost: localhost:99999\r\n\r\n", BAD),
    ("LHost: localhost:80:80\r\n\r\n", BAD),
    ("LHost: local host\r\n\r\n", BAD),
    ("LHost: local\thost\r\n\r\n", BAD),
    ("LHost: localhost?\r\n\r\n", BAD),
    ("LHost: localhost#\r\n\r\n", BAD),
    ("LHost: <localhost>\r\n\r\n", BAD),
    ("LHost: evil.example\r\n\r\n", &[403, 421]),
    ("LHost : localhost\r\n\r\n", BAD),
    ("L Host: localhost\r\n\r\n", BAD),
    ("LHost: localhost\r\nX: a\r\n b\r\n\r\n", BAD),
    ("LHost: localhost\r\nX: a\r\n\tb\r\n\r\n", BAD),
    ("LHost: localhost\r\nnonsense\r\n\r\n", BAD),
    ("LHost: localhost\r\n: nameless\r\n\r\n", BAD),
    ("LHost: localhost\r\nX Y: z\r\n\r\n", BAD),
    ("LHost: localhost\r\nX(Y): z\r\n\r\n", BAD),
    ("LHost: localhost\r\nX\0: z\r\n\r\n", BAD),
    ("LHost: localhost\r\nX\u{fc}: z\r\n\r\n", BAD),
    ("LHost: localhost\r\nX: a\0b\r\n\r\n", BAD),
    ("LHost: localhost\r\nX: a\rb\r\n\r\n", BAD),
    ("LHost: localhost\r\nX: a\u{1}b\r\n\r\n", BAD),
    ("LHost: localhost\r\nX: a\u{7f}b\r\n\r\n", BAD),
    ("GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
];

/// RFC 9112, section 6: where a body ends. A request that two readers read in two ways is the start of smuggling.
const BODIES: &[Case] = &[
    ("LHost: localhost\r\nContent-Length: a\r\n\r\n", BAD),
    ("LHost: localhost\r\nContent-Length: -1\r\n\r\n", BAD),
    ("LHost: localhost\r\nContent-Length: +1\r\n\r\na", BAD),
    ("LHost: localhost\r\nContent-Length: 0x1\r\n\r\na", BAD),
    ("LHost: localhost\r\nContent-Length: 1 1\r\n\r\na", BAD),
    ("LHost: localhost\r\nContent-Length: 1.0\r\n\r\na", BAD),
    ("LHost: localhost\r\nContent-Length:\r\n\r\n", BAD),
    ("LHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", BAD),
    ("LHost: localhost\r\nContent-Length: 1, 2\r\n\r\na", BAD),
    ("LHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n", &[400, 413]),
    ("LHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n", CODING),
    ("LHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", CODING),
    ("LHost: localhost\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", CODING),
    ("LHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", CODING),
    ("LHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n", CODING),
    ("LHost: localhost\r\nTransfer-Encoding:\r\n\r\n", CODING),
    ("LHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", BAD),
    ("GET /healthz HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", CODING),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", METHOD),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", METHOD),
];

/// Invalid values in mxr's own queries.
const QUERIES: &[Case] = &[
    ("GET /stream?fps=fast HTTP/1.1H", BAD),
    ("GET /stream?fps=0 HTTP/1.1H", BAD),
    ("GET /stream?fps=-1 HTTP/1.1H", BAD),
    ("GET /stream?fps=1e-19 HTTP/1.1H", BAD),
    ("GET /stream?fps=NaN HTTP/1.1H", BAD),
    ("GET /stream?fps=1e-300 HTTP/1.1H", BAD),
    ("GET /stream?fps=inf HTTP/1.1H", BAD),
    ("GET /stream?fps=infinity HTTP/1.1H", BAD),
    ("GET /stream?fps=1e999 HTTP/1.1H", BAD),
    ("GET /stream?fps=nan HTTP/1.1H", BAD),
    ("GET /?action=stream&fps=inf HTTP/1.1H", BAD),
    ("GET /?action=snapshot_9?x HTTP/1.1H", NOWHERE),
    ("GET /stream?parts=0 HTTP/1.1H", BAD),
    ("GET /stream?parts=99999999999999999999999 HTTP/1.1H", BAD),
    ("GET /stream?history=-1 HTTP/1.1H", BAD),
    ("GET /snapshot?after=now HTTP/1.1H", BAD),
    ("GET /stream/nobody HTTP/1.1H", NOWHERE),
    ("GET /?action=stream_9 HTTP/1.1H", NOWHERE),
];

fn server() -> (Folder, Server) {
    let folder = Folder::new();
    folder.put("a.txt", "text");
    let server = mxr(["watch"]).arg(folder.file("a.txt")).start();
    server.view("/stream").part();
    (folder, server)
}

/// The bytes of a case: each character is one byte.
fn bytes_of(case: &str) -> Vec<u8> {
    let (line, rest) = case.strip_prefix('L').map_or(("", case), |rest| ("GET /healthz HTTP/1.1\r\n", rest));
    let rest = rest.strip_suffix('H').map_or_else(|| rest.to_owned(), |start| format!("{start}\r\nHost: localhost\r\n\r\n"));
    [line, &rest].concat().chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}

/// The status, or 0 if the connection was closed without a reply.
fn status_of(server: &Server, request: &[u8]) -> u16 {
    let mut connection = Connection::open(&server.host);
    connection.send(request);
    connection.stream().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (mut reply, mut byte) = (Vec::new(), [0]);
    while reply.len() < 12 && connection.stream().read(&mut byte).expect("an answer, or the end") == 1 {
        reply.push(byte[0]);
    }
    let status = reply.get(9..12).map_or("0", |status| std::str::from_utf8(status).expect("a status"));
    status.parse().expect("a status")
}

fn expect_refused(cases: &[Case]) {
    let (_folder, server) = server();
    let mut wrong = Vec::new();
    for (case, right) in cases {
        let status = status_of(&server, &bytes_of(case));
        if !right.contains(&status) {
            wrong.push(format!("{case:?}: {status}, not {right:?}"));
        }
        assert_eq!(server.get("/snapshot").text(), "text", "a good request after {case:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn malformed_request_lines() {
    expect_refused(LINES);
}

#[test]
fn targets_and_methods_that_are_not_served() {
    expect_refused(TARGETS);
}

#[test]
fn malformed_header_lines() {
    expect_refused(HEADERS);
}

#[test]
fn bodies_with_an_ambiguous_end() {
    expect_refused(BODIES);
}

#[test]
fn invalid_queries() {
    expect_refused(QUERIES);
}

/// RFC 9112, section 6.1: a request with both lengths gets at most one reply, and the bytes after it get none.
#[test]
fn a_request_smuggled_after_a_body_is_not_answered() {
    let (_folder, server) = server();
    for body in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5", "Content-Length: 5"]
    {
        let mut connection = Connection::open(&server.host);
        connection.send(format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n{body}\r\n\r\n0\r\n\r\nGET /state HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        assert!([200, 400].contains(&connection.reply("GET").head.status));
        connection.expect_end();
    }
}

#[test]
fn requests_that_are_too_long_are_refused() {
    let (_folder, server) = server();
    let long = "x".repeat(33_000);
    for request in [
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /?{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("{long} / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{long}: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(256)),
        long,
    ] {
        let status = status_of(&server, request.as_bytes());
        assert!(LONG.contains(&status), "{status} for {:?}…", &request[..20]);
        assert_eq!(server.get("/snapshot").text(), "text");
    }
}

/// RFC 9110, section 2.5: a newer minor version is served as the newest that the server knows.
#[test]
fn a_newer_minor_version_of_http_is_served() {
    let (_folder, server) = server();
    let mut connection = Connection::open(&server.host);
    for version in ["1.2", "1.1", "1.9"] {
        connection.send(format!("GET /snapshot HTTP/{version}\r\nHost: localhost\r\n\r\n"));
        let reply = connection.reply("GET");
        assert_eq!((reply.head.version.as_str(), reply.head.status, reply.text()), ("HTTP/1.1", 200, "text".to_owned()));
    }
    connection.send("GET /stream?parts=1 HTTP/1.2\r\nHost: localhost\r\n\r\n");
    assert_eq!(connection.head().status, 200);
}

/// RFC 3986, section 6.2.2, for encoded letters; doubled slashes come from URLs that are put together.
#[test]
fn equivalent_targets_lead_to_the_same_reply_and_never_to_another_host() {
    let (_folder, server) = server();
    for target in
        ["/%73napshot", "//snapshot", "///snapshot//a.txt", "/snapshot/%61.txt", "/%2F/snapshot", "http://localhost//snapshot"]
    {
        let status = status_of(&server, format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        assert_eq!(status, if target.contains("%2F") { 404 } else { 200 }, "{target}");
    }
    for path in ["//evil.example", "//evil.example/view?token=T", "//evil.example/%2e%2e", "/%2F/evil.example/view"] {
        let reply = server.get(path);
        assert_eq!((reply.head.status, reply.head.get("Location")), (404, None), "{path}");
    }
    let folder = Folder::new();
    folder.put("a.txt", "text");
    let server = mxr(["watch", "--token", "T", "--route-prefix", "/cam"]).arg(folder.file("a.txt")).start();
    for path in ["//cam", "//cam//view?token=T", "//cam/?token=T"] {
        let reply = server.request("GET", path, &["Accept: text/html", "Authorization: Bearer T"]);
        let location = reply.head.want("Location");
        assert!(!location.starts_with('/') && !location.contains(':'), "{path} leads to {location}");
    }
}

#[test]
fn there_are_more_than_a_hundred_cases_and_no_two_are_the_same() {
    let cases: Vec<_> = [LINES, TARGETS, HEADERS, BODIES, QUERIES].concat();
    let different: std::collections::BTreeSet<_> = cases.iter().map(|(case, _)| bytes_of(case)).collect();
    assert_eq!(different.len(), cases.len());
    assert!(cases.len() > 100, "{}", cases.len());
}
