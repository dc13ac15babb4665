//! Deadlines, addresses and sockets.

use std::{net::SocketAddr, time::Instant};

use tokio::net::UnixListener;

use super::{
    super::connection::{dial, in_turns},
    *,
};

const SHORT: Duration = Duration::from_millis(50);

/// Accepts connections, writes this to each once it has said something, and holds them.
async fn silent(begin: &'static str) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.peek(&mut [0]).await;
            socket.write_all(begin.as_bytes()).await.unwrap();
            held.push(socket);
        }
    });
    (port, serving)
}

#[tokio::test]
async fn each_deadline_says_what_did_not_come() {
    let settings = ClientSettings { head_timeout: SHORT, ..ClientSettings::default() };
    for begin in ["", "HTTP/1.1 200 OK\r\nX-Drips: "] {
        let (port, serving) = silent(begin).await;
        let target = format!("http://127.0.0.1:{port}/").parse().unwrap();
        let error = get(&mut Client::new(settings.clone()).unwrap(), &target).await.unwrap_err();
        assert!(matches!(error, ClientError::Timeout { waiting_for: Awaited::ResponseHead, .. }), "{error:?}");
        assert_eq!(error.to_string(), "no response within 50ms");
        serving.abort();
    }

    let (port, serving) = silent("HTTP/1.1 200 OK\r\n\r\nbegin").await;
    let mut response = get(&mut client(), &format!("http://127.0.0.1:{port}/").parse().unwrap()).await.unwrap();
    assert_eq!(response.body.chunk(LONG).await.unwrap().unwrap(), "begin");
    let error = response.body.chunk(SHORT).await.unwrap_err();
    assert_eq!(error.to_string(), "no data within 50ms");
    let error = response.body.read_to_end(100, SHORT).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { waiting_for: Awaited::ResponseBody, .. }), "{error:?}");
    serving.abort();

    let (port, serving) = silent("").await;
    let settings = ClientSettings { connect_timeout: SHORT, insecure: true, ..ClientSettings::default() };
    let error = get(&mut Client::new(settings).unwrap(), &format!("https://127.0.0.1:{port}/").parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { waiting_for: Awaited::Handshake | Awaited::Connection, .. }), "{error:?}");
    serving.abort();
}

/// A port that nothing listens on.
async fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_connection_that_is_refused_is_told_with_its_address() {
    let address = closed().await;
    let error = get(&mut client(), &format!("http://{address}/").parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("no connection to http://{address}: Connection refused")), "{error}");
    let error = get(&mut client(), &"http://no-such-host.invalid/".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ClientError::Resolve { .. } | ClientError::Timeout { waiting_for: Awaited::Address, .. }), "{error:?}");
}

#[test]
fn families_of_addresses_take_turns() {
    let addresses = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(|text| text.parse::<SocketAddr>().unwrap());
    let [a, b, c, d, e] = addresses;
    assert_eq!(in_turns(addresses.into_iter()), [a, d, b, e, c]);
    assert_eq!(in_turns([d, e, a].into_iter()), [d, a, e]);
    assert!(in_turns([].into_iter()).is_empty());
}

#[tokio::test]
async fn the_next_address_is_tried_as_soon_as_one_fails_and_beside_one_that_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap();
    let begin = Instant::now();
    let socket = dial([closed().await, open].into(), LONG).await.unwrap();
    assert_eq!(socket.peer_addr().unwrap(), open);
    // TEST-NET-1 of RFC 5737: no machine has it.
    let nowhere: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let socket = dial([nowhere, open].into(), SHORT).await.unwrap();
    assert_eq!(socket.peer_addr().unwrap(), open);
    assert!(begin.elapsed() < LONG);
    let error = dial([closed().await, closed().await].into(), LONG).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(dial([].into(), LONG).await.unwrap_err().kind(), std::io::ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn a_unix_socket_takes_the_place_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("camera.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        answer(socket, &[&ok("by a socket")]).await
    });
    let mut client = Client::new(ClientSettings { unix: Some(path), ..ClientSettings::default() }).unwrap();
    let mut response = get(&mut client, &"http://no-such-host.invalid:81/x".parse().unwrap()).await.unwrap();
    assert_eq!((response.peer, response.tls.clone()), (None, None));
    assert_eq!(response.body.read_to_end(100, LONG).await.unwrap(), "by a socket");
    assert_eq!(header_of(&serving.await.unwrap()[0], "Host"), Some("no-such-host.invalid:81"));
    let path = folder.path().join("none.sock");
    let mut client = Client::new(ClientSettings { unix: Some(path), ..ClientSettings::default() }).unwrap();
    let error = get(&mut client, &"http://camera/".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("none.sock: No such file"), "{error}");
}

#[tokio::test]
async fn a_response_that_is_dropped_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        request_of(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nendless").await.unwrap();
        socket.read(&mut [0]).await
    });
    let mut client = client();
    let response = get(&mut client, &target).await.unwrap();
    drop(response);
    assert!(matches!(tokio::time::timeout(LONG, serving).await.unwrap().unwrap(), Ok(0) | Err(_)));
}
