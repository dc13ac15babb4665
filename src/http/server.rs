//! One connection: hyper parses its requests, `handler` answers them, and a connection whose request is for a stream goes from hyper
//! to the fan-out (docs/field.md, hyper).

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tracing::{debug, warn};

use super::{
    handler::{Caller, Handover, RequestHandler},
    head::{self, HeadError, HeadReader},
    headers, response,
};
use crate::{
    conn::{
        listen::Socket,
        local::SocketPair,
        pending::PendingConn,
        transport::{self, Transport, linger_close},
        write_timeout::WriteTimeout,
    },
    fanout::Viewer,
    stats::ConnError,
    sync::Mutex,
};

/// The time that a client has for the head of a request, and for a TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Serves one connection, until it is evicted or the server has shut down. Whatever it waits for meanwhile (a handshake, a
/// request, a peer that does not read) ends with it.
pub(super) async fn connection(socket: Socket, peer: Option<SocketAddr>, conn: PendingConn, server: Arc<RequestHandler>) {
    // Leaves time for a reply that is being sent, such as the one to /quit.
    let shut_down = async {
        server.shutdown.cancelled().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    tokio::select! {
        () = serve_requests(socket, peer, &conn, &server) => {}
        () = conn.evicted() => server.viewers.conn_errors.count(ConnError::Crowded),
        () = shut_down => {}
    }
}

/// Serves requests with hyper until one is for a stream, then hands the transport over to the fan-out.
async fn serve_requests(socket: Socket, peer: Option<SocketAddr>, conn: &PendingConn, server: &Arc<RequestHandler>) {
    let ends = match (&socket, peer) {
        (Socket::Left(tcp), Some(peer)) => tcp.local_addr().ok().map(|local| SocketPair { local, peer }),
        _ => None,
    };
    let opened = transport::open(socket, server.options.tls.as_ref(), || conn.mark_active());
    let opened = tokio::time::timeout(HEAD_TIMEOUT, opened).await;
    let transport = match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(transport) => transport,
        Err(error) => return debug!(peer = peer.map(display), %error, "no handshake"),
    };
    let (is_tls, transport) = (transport::is_tls(&transport), Mutex::new(transport));
    let caller = Caller { peer, ends, is_tls, transport: &transport, conn };
    let handover = Mutex::new(None);
    let (refused, is_closing) = (OnceLock::new(), AtomicBool::new(false));
    let service = service_fn(|request| {
        let (handover, is_closing) = (&handover, &is_closing);
        conn.mark_active();
        async move {
            let is_last = headers::is_last(&request);
            let reply = server.answer(request, caller, handover).await;
            is_closing.store(is_last || reply.headers().contains_key(header::CONNECTION), Relaxed);
            Ok::<_, Infallible>(reply)
        }
    });
    let io = HeadReader::new(WriteTimeout::new(&transport, server.options.stall), conn, &refused);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        // Longer heads do not reach it.
        .max_buf_size(head::MAX_BYTES + 1)
        .max_headers(head::MAX_LINES)
        .title_case_headers(true)
        // A client that closes its sending side right after its request still gets its reply.
        .half_close(true)
        .serve_connection(TokioIo::new(io), service)
        .without_shutdown();
    let failed = connection.await.err();
    let handover = handover.lock().take();
    // Bytes behind the last request of a connection are nobody's head.
    let refused = refused.get().copied().filter(|_| handover.is_none() && !is_closing.load(Relaxed));
    if let (Some(error), None) = (failed, refused) {
        server.viewers.conn_errors.count(conn_error(&error));
        return debug!(peer = peer.map(display), %error, "connection ended");
    }
    let mut transport = transport.into_inner();
    if let Some(error) = refused {
        refuse_head(server, error, peer, &mut transport).await;
    }
    match handover {
        Some(Handover { cursors, options, permit }) => {
            let boundary = server.registry.boundary().clone();
            server.fanout.admit(Viewer::new(transport, cursors, boundary, options, permit));
        }
        _ => linger_close(transport).await,
    }
}

fn conn_error(error: &hyper::Error) -> ConnError {
    if error.is_parse() {
        ConnError::Malformed
    } else if error.is_timeout() {
        ConnError::TimedOut
    } else {
        ConnError::Broken
    }
}

/// Answers a head that hyper does not get, on a connection that ends with this reply.
async fn refuse_head(server: &RequestHandler, error: HeadError, peer: Option<SocketAddr>, transport: &mut Transport) {
    let (status, message) = response::head_refusal(error);
    server.viewers.replies.count(status.as_u16());
    debug!(peer = peer.map(display), status = status.as_u16(), "a head refused");
    if matches!(error, HeadError::TooLong | HeadError::TooManyLines) && server.head_warning.is_over() {
        warn!(peer = peer.map(display), hint = response::COOKIES_HINT, "the head of a request was too long, and refused");
    }
    let reply = response::unframed(status, &message);
    let sent = async {
        transport.write_all(&reply).await?;
        transport.flush().await
    };
    let _ = tokio::time::timeout(HEAD_TIMEOUT, sent).await;
}
