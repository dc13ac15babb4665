//! The client against small servers that write bytes as they are told.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// Reads one request, to its empty line.
async fn request_of(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(request).unwrap()
}

/// A server that gives these responses, each on a connection of its own, and then returns the requests.
async fn server<const N: usize>(responses: [&'static str; N]) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let mut requests = Vec::new();
        for response in responses {
            let (mut socket, _) = listener.accept().await.unwrap();
            requests.push(request_of(&mut socket).await);
            socket.write_all(response.as_bytes()).await.unwrap();
        }
        requests
    });
    (port, serving)
}

fn target(port: u16, path: &str) -> Target {
    format!("http://127.0.0.1:{port}{path}").parse().unwrap()
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_read_whole_and_the_head_is_kept_as_it_was() {
    const HEAD: &str = "HTTP/1.0 200 Fine\nContent-Type:  image/png \nX-ODD:1\r\n\r\n";
    let (port, serving) = server(["HTTP/1.0 200 Fine\nContent-Type:  image/png \nX-ODD:1\r\n\r\nbody"]).await;
    let mut client = Client::new(ClientSettings::default()).unwrap();
    let mut response = client.get(&target(port, "/a?key=1"), &HeaderMap::new()).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("image/png"));
    assert_eq!(response.raw_head, HEAD);
    assert_eq!(response.body.read_to_end(100, SOON).await.unwrap(), "body");
    let requests = serving.await.unwrap();
    assert!(requests[0].starts_with("GET /a?key=1 HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[0].contains(&format!("\r\nHost: 127.0.0.1:{port}\r\n")), "{}", requests[0]);
}
