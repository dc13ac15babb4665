//! The threads that serve: each has a fan-out loop and answers the requests on its connections. `conn::accept` distributes the
//! connections round robin, and `server` handles one connection. This file does not look inside a request.

use std::{io, sync::Arc, thread};

use tokio::{
    runtime,
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    handler::{RequestHandler, WarnPause},
    options::Options,
    reads::Reads,
    server::connection,
};
use crate::{
    conn::{
        accept::{Accepted, Acceptor, pending_conns},
        listen::{Listener, Socket, into_this_runtime},
        pending::PendingConns,
        transport::Transport,
    },
    fanout::{Fanout, Times},
    feed::Registry,
    panic::{PanicScope, Panicked, catch_async},
    stats::Viewers,
};

/// Serves the feeds of the registry on the listeners until `shutdown`, then ends the viewers' streams; or until all feeds have ended
/// and every viewer has taken the rest.
///
/// Connections are distributed over `options.threads` fan-out loops. The first runs on the caller's runtime, each other one on its
/// own thread.
///
/// # Errors
/// If a loop or an acceptor panicked, which also shuts the server down.
pub async fn serve(
    listeners: Vec<Listener>,
    registry: Arc<Registry>,
    viewers: Arc<Viewers>,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), Panicked> {
    let shared =
        Shared { registry, viewers, options: Arc::new(options), pending: pending_conns(), reads: Arc::default(), shutdown };
    // Each loop reports its panic; the channel closes with the last of them.
    let (errors, mut first_error) = mpsc::channel(shared.options.threads + listeners.len());
    let mut tasks = JoinSet::new();
    let Worker { server, fanout } = shared.worker(0);
    let (conn_sender, arrivals) = mpsc::unbounded_channel();
    tasks.spawn(serve_arrivals(arrivals, server, Ok));
    let start = |shard| shared.worker(shard).start(shard, errors.clone());
    let workers: Vec<_> = std::iter::once(conn_sender).chain((1..shared.options.threads).filter_map(start)).collect();
    for listener in listeners {
        let (accept, registry) = (shared.acceptor(listener, workers.clone()).run(), shared.registry.clone());
        // After the end of all feeds nobody else is let in: the program ends when those that are there have been served.
        let accept = async move {
            tokio::select! {
                () = accept => {}
                () = registry.ended() => {}
            }
        };
        let (errors, shutdown) = (errors.clone(), shared.shutdown.clone());
        tasks.spawn(async move { report_panic(catch_async(PanicScope::Server, accept).await, &errors, &shutdown) });
    }
    if let Some(tls) = &shared.options.tls {
        tasks.spawn(tls.clone().keep_fresh());
    }
    report_panic(run(fanout, shared.shutdown.clone()).await, &errors, &shared.shutdown);
    tasks.shutdown().await;
    drop(errors);
    first_error.recv().await.map_or(Ok(()), Err)
}

/// Runs a loop to its end, as a separate task: waking the future of `block_on` costs a system call each time.
async fn run(fanout: Fanout<Transport>, shutdown: CancellationToken) -> Result<(), Panicked> {
    let ended = tokio::spawn(catch_async(PanicScope::Server, fanout.run(shutdown))).await;
    // Only the end of the runtime cancels the task.
    ended.unwrap_or(Ok(()))
}

/// Reports a panic and shuts the server down: the viewers of the loop that panicked would wait for ever.
fn report_panic(ended: Result<(), Panicked>, errors: &mpsc::Sender<Panicked>, shutdown: &CancellationToken) {
    if let Err(panicked) = ended {
        // The channel has room for an error of each sender.
        let _ = errors.try_send(panicked);
        shutdown.cancel();
    }
}

/// Serves each connection that arrives, in its own task. `adopt` registers the socket with this thread's runtime.
async fn serve_arrivals(
    mut arrivals: UnboundedReceiver<Accepted>,
    server: Arc<RequestHandler>,
    adopt: impl Fn(Socket) -> io::Result<Socket>,
) {
    while let Some(Accepted { socket, peer, conn }) = arrivals.recv().await {
        match adopt(socket) {
            Ok(socket) => {
                let served = connection(socket, peer, conn, server.clone());
                tokio::spawn(catch_async(PanicScope::Connection, served));
            }
            Err(error) => warn!(%error, "cannot take a connection over"),
        }
    }
}

/// State that all threads share.
struct Shared {
    registry: Arc<Registry>,
    viewers: Arc<Viewers>,
    options: Arc<Options>,
    pending: Arc<PendingConns>,
    reads: Arc<Reads>,
    shutdown: CancellationToken,
}

impl Shared {
    fn worker(&self, shard: usize) -> Worker {
        let times = Times { keepalive: self.options.keepalive, stall: self.options.stall };
        let (handle, fanout) = Fanout::new(self.registry.clone(), self.pending.clone(), shard, times);
        let (registry, viewers, options) = (self.registry.clone(), self.viewers.clone(), self.options.clone());
        let (pending, reads, shutdown) = (self.pending.clone(), self.reads.clone(), self.shutdown.clone());
        let head_warning = WarnPause::default();
        let server = RequestHandler { registry, viewers, options, pending, shard, fanout: handle, shutdown, reads, head_warning };
        Worker { server: Arc::new(server), fanout }
    }

    fn acceptor(&self, listener: Listener, workers: Vec<UnboundedSender<Accepted>>) -> Acceptor {
        let (pending, viewers) = (self.pending.clone(), self.viewers.clone());
        Acceptor { listener, pending, viewers, stall: self.options.stall, workers }
    }
}

/// One fan-out loop, and the handler of requests on the same thread.
struct Worker {
    server: Arc<RequestHandler>,
    fanout: Fanout<Transport>,
}

impl Worker {
    /// Starts it on its own thread, and returns the sender for its connections. The thread holds `errors` until it ends.
    fn start(self, shard: usize, errors: mpsc::Sender<Panicked>) -> Option<UnboundedSender<Accepted>> {
        let (conn_sender, arrivals) = mpsc::unbounded_channel();
        let shutdown = self.server.shutdown.clone();
        let started = runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            let body = move || report_panic(runtime.block_on(self.run(arrivals)), &errors, &shutdown);
            thread::Builder::new().name(format!("fanout-{shard}")).spawn(body)
        });
        started.inspect_err(|error| warn!(%error, "cannot start more threads; those that run have to do")).ok()?;
        Some(conn_sender)
    }

    async fn run(self, arrivals: UnboundedReceiver<Accepted>) -> Result<(), Panicked> {
        let shutdown = self.server.shutdown.clone();
        tokio::spawn(serve_arrivals(arrivals, self.server, into_this_runtime));
        run(self.fanout, shutdown).await
    }
}
