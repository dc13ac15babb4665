//! The client against small servers that write bytes as they are told.

mod heads;
mod passwords;
mod redirects;
mod targets;
mod tls;
mod waits;

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// Long enough for any test.
const LONG: Duration = Duration::from_secs(60);

/// Reads one request, to its empty line; what there is of it, where the peer leaves.
async fn request_of(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(request).unwrap()
}

/// Answers the requests of one connection, then closes it; returns them.
async fn answer(mut socket: impl AsyncRead + AsyncWrite + Unpin, responses: &[&str]) -> Vec<String> {
    let mut requests = Vec::new();
    for response in responses {
        requests.push(request_of(&mut socket).await);
        socket.write_all(response.as_bytes()).await.unwrap();
    }
    let _ = socket.shutdown().await;
    requests
}

/// A server and the requests that it has got when it ends, with the number of their connection before each.
struct Scripted {
    port: u16,
    serving: JoinHandle<Vec<String>>,
}

impl Scripted {
    /// For each connection, one after the other, its responses.
    async fn new(connections: Vec<Vec<String>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let mut requests = Vec::new();
            for (at, responses) in connections.into_iter().enumerate() {
                let (socket, _) = listener.accept().await.unwrap();
                let responses: Vec<&str> = responses.iter().map(String::as_str).collect();
                requests.extend(answer(socket, &responses).await.into_iter().map(|request| format!("{at} {request}")));
            }
            requests
        });
        Self { port, serving }
    }

    /// One connection with these responses.
    async fn once<const N: usize>(responses: [&str; N]) -> Self {
        Self::new(vec![responses.map(str::to_owned).to_vec()]).await
    }

    fn target(&self, path: &str) -> Target {
        format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap()
    }

    /// Both `user` and `secret` in the URL.
    fn target_with_password(&self, path: &str) -> Target {
        format!("http://user:secret@127.0.0.1:{}{path}", self.port).parse().unwrap()
    }

    async fn requests(self) -> Vec<String> {
        self.serving.await.unwrap()
    }
}

fn client() -> Client {
    Client::new(ClientSettings::default()).unwrap()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn get(client: &mut Client, target: &Target) -> Result<Response, ClientError> {
    client.get(target, &HeaderMap::new()).await
}

/// The body of a response.
async fn body(client: &mut Client, target: &Target) -> Result<String, ClientError> {
    let mut response = get(client, target).await?;
    let bytes = response.body.read_to_end(1 << 20, LONG).await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// The lines of a request that have this header.
fn header_of<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Sources move between threads with what they wait for.
#[test]
fn a_request_and_its_response_can_be_moved_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    let (mut client, headers) = (client(), HeaderMap::new());
    let target = "http://camera/".parse().unwrap();
    is_send(&client);
    is_send(&async move {
        let mut response = client.get(&target, &headers).await?;
        response.body.chunk(LONG).await
    });
}
