//! The transports of connections: TCP, a Unix socket or TLS. The rest of the program reads and writes bytes, whichever it is.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::event::PollFlags;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::{
    listen::{Socket, descriptor, is_ready},
    tls::Tls,
};

/// The send buffer of a Unix socket, which has no `TCP_NOTSENT_LOWAT`.
const UNIX_BUFFER: usize = 64 * 1024;

/// The first byte of TLS (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// The answer to a request in plain HTTP.
const NO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 49\r\n\
    Connection: close\r\n\r\nmxr: this port speaks HTTPS: use an https:// URL\n";

/// A connection as the fan-out uses it.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin {
    /// Ready when the kernel holds little for this viewer, so that the next write leaves (nearly) at once. It asks the kernel each
    /// time, since one write may have filled the socket.
    fn poll_room(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Whether the peer has closed its sending side, even where bytes of it are unread.
    fn has_left(&self) -> bool {
        false
    }

    /// The socket, unless the transport changes the bytes that are sent (TLS).
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// An open connection.
pub(crate) type Transport = Either<Socket, Box<TlsConnection>>;

/// A TLS connection. It holds what it has encrypted until the socket takes it.
#[derive(Debug)]
pub(crate) struct TlsConnection {
    stream: TlsStream<TcpStream>,
    is_flushed: bool,
}

/// Makes a connection out of a socket; where TLS is spoken, after its handshake. It calls `heard` when the peer has begun the
/// handshake, and when it is complete: a peer that speaks is not silent.
pub(crate) async fn open(socket: Socket, tls: Option<&Tls>, heard: impl Fn()) -> io::Result<Transport> {
    match (socket, tls) {
        (Socket::Left(tcp), Some(tls)) => {
            let mut first = [0];
            if tcp.peek(&mut first).await? > 0 && first != [HANDSHAKE] {
                return Err(turn_away(tcp).await);
            }
            heard();
            let stream = tls.accept(tcp).await?;
            heard();
            Ok(Transport::Right(Box::new(TlsConnection { stream, is_flushed: true })))
        }
        (socket, _) => {
            if let Socket::Right(unix) = &socket {
                let _ = SockRef::from(unix).set_send_buffer_size(UNIX_BUFFER);
            }
            Ok(Transport::Left(socket))
        }
    }
}

pub(crate) fn is_tls(transport: &Transport) -> bool {
    matches!(transport, Transport::Right(_))
}

/// Closes without a reset, which could overtake the reply: shuts our side down, then reads for a moment what the peer still sends.
pub(crate) async fn linger_close(mut transport: Transport) {
    use tokio::io::AsyncReadExt;
    let drain = async {
        transport.shutdown().await?;
        let mut scratch = [0; 1024];
        while transport.read(&mut scratch).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), drain).await;
}

async fn turn_away(mut socket: TcpStream) -> io::Error {
    let _ = socket.write_all(NO_TLS).await;
    linger_close(Transport::Left(Socket::Left(socket))).await;
    io::Error::new(io::ErrorKind::InvalidData, "it does not speak TLS")
}

/// tokio believes that a socket is writable until a write fails, so this asks the kernel as well.
macro_rules! poll_room {
    ($cx:expr, $socket:expr) => {{
        let socket = $socket;
        let _ = ready!(socket.poll_write_ready($cx));
        match socket.try_io(Interest::WRITABLE, || has_room(socket.as_fd())) {
            Ok(()) => Poll::Ready(()),
            Err(_) => socket.poll_write_ready($cx).map(drop),
        }
    }};
}

fn has_room(socket: BorrowedFd<'_>) -> io::Result<()> {
    if is_ready(socket, PollFlags::OUT) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

impl Connection for Transport {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Left(Socket::Left(tcp)) => poll_room!(cx, tcp),
            Self::Left(Socket::Right(unix)) => poll_room!(cx, unix),
            Self::Right(tls) => {
                // Where this fails, so does the write that follows.
                let _ = ready!(tls.poll_flush_rest(cx));
                poll_room!(cx, tls.socket())
            }
        }
    }

    fn has_left(&self) -> bool {
        // macOS reports only that both sides are closed.
        #[cfg(target_os = "linux")]
        const LEFT: PollFlags = PollFlags::RDHUP;
        #[cfg(not(target_os = "linux"))]
        const LEFT: PollFlags = PollFlags::HUP;
        let socket = match self {
            Self::Left(socket) => descriptor(socket),
            Self::Right(tls) => tls.socket().as_fd(),
        };
        is_ready(socket, LEFT)
    }

    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    fn plain_socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Left(socket) => Some(descriptor(socket)),
            Self::Right(_) => None,
        }
    }
}

impl TlsConnection {
    fn socket(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    fn poll_flush_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_flushed {
            let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
            self.is_flushed = true;
            flushed?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsConnection {
    /// A task that is woken because the socket has room reads first, and may have nothing to write: what waits leaves here.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(flushed) = self.poll_flush_rest(cx) {
            flushed?;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_flushed = false;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.is_flushed = false;
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, future::poll_fn, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpSocket, UnixStream},
        time::timeout,
    };
    use tokio_rustls::{
        TlsConnector,
        rustls::{ClientConfig, RootCertStore, crypto::ring},
    };

    use super::*;

    /// A server's end and a client's that hold little.
    async fn ends() -> (Transport, tokio_rustls::client::TlsStream<TcpStream>) {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let CertifiedKey { cert: own, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&cert, own.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let tls = Tls::load(cert, key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(own.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        SockRef::from(&listener).set_send_buffer_size(4096).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let client = connector.connect("localhost".try_into().unwrap(), client);
        let (server, client) = tokio::join!(open(Socket::Left(server), Some(&tls), || {}), client);
        (server.unwrap(), client.unwrap())
    }

    #[tokio::test]
    async fn a_tls_connection_sends_what_it_holds_though_nothing_more_is_written() {
        let (mut server, mut client) = ends().await;
        let mut taken = 0;
        poll_fn(|cx| {
            while let Poll::Ready(written) = Pin::new(&mut server).poll_write(cx, &[7; 1000]) {
                taken += written.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        let reading = tokio::spawn(async move {
            let mut all = vec![0; taken];
            client.read_exact(&mut all).await.map(|_| all)
        });
        // The server only reads, to see the viewer leave.
        let mut scratch = [0; 16];
        let heard = async { while server.read(&mut scratch).await.is_ok_and(|count| count > 0) {} };
        let all = timeout(Duration::from_secs(20), async { tokio::join!(reading, heard).0 }).await;
        assert!(all.unwrap().unwrap().unwrap().iter().all(|byte| *byte == 7));
    }

    /// Fills a connection until it takes nothing more, empties it, and waits until it has room.
    async fn fill_and_empty(mut server: impl Connection, mut client: impl AsyncRead + Unpin) {
        let mut taken = 0;
        poll_fn(|cx| {
            // The kernel sends meanwhile.
            while server.poll_room(cx).is_ready() {
                while let Poll::Ready(written) = Pin::new(&mut server).poll_write(cx, &[7; 1000]) {
                    taken += written.unwrap();
                }
            }
            Poll::Ready(())
        })
        .await;
        let mut all = vec![0; taken];
        let (room, read) = tokio::join!(
            timeout(Duration::from_secs(20), poll_fn(|cx| server.poll_room(cx))),
            timeout(Duration::from_secs(20), client.read_exact(&mut all))
        );
        room.expect("there is room again");
        read.expect("all of it arrives").unwrap();
    }

    #[tokio::test]
    async fn a_full_connection_wakes_its_task_when_it_has_room_again() {
        let (server, client) = ends().await;
        fill_and_empty(server, client).await;
        let (server, client) = UnixStream::pair().unwrap();
        fill_and_empty(Transport::Left(Socket::Right(server)), client).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        fill_and_empty(Transport::Left(Socket::Left(server.unwrap().0)), client.unwrap()).await;
    }
}
