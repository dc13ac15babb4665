//! The body of a request that goes on: it is asked for more when the connection has room, and only then a part is taken, so that what is
//! sent is new. While nothing changes, a part is repeated.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{outgoing::Outgoing, outgoing_feed::OutgoingBatch};
use crate::{
    feed::{Hops, Kind, url_name},
    wire::{Boundary, Layout},
};

/// Writes the parts of one body. A feed is told of with its first part, and when its way changes.
#[derive(Debug)]
pub(super) struct PartsWriter {
    process: String,
    told: HashMap<Arc<str>, (Kind, Hops)>,
}

impl PartsWriter {
    pub(super) fn new(process: &str) -> Self {
        Self { process: process.to_owned(), told: HashMap::new() }
    }

    /// These parts with their headers, and the delimiter behind each.
    pub(super) fn write(&mut self, batch: &OutgoingBatch) -> Vec<u8> {
        let OutgoingBatch { name, kind, hops, parts, .. } = batch;
        let name_line = format!("X-Feed: {}\r\n", url_name(name));
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(name_line.as_bytes());
            if self.told.get(name).is_none_or(|(known, way)| (known, way) != (kind, hops)) {
                let value = kind.header_value().or(Kind::Newest.header_value()).unwrap_or_default();
                let line = format!("X-Feed-Kind: {value}\r\nX-Feed-Via: {}\r\n", hops.clone().with(&self.process));
                bytes.extend_from_slice(line.as_bytes());
                self.told.insert(name.clone(), (*kind, hops.clone()));
            }
            part.pieces(Layout::Plain, false, false).iter().for_each(|piece| bytes.extend_from_slice(piece.bytes()));
        }
        bytes
    }
}

/// The parts of all feeds as a body.
pub(super) struct PartsBody {
    next: Pin<Box<dyn Future<Output = (Option<Bytes>, PartsFeeder)> + Send>>,
}

/// Where the parts come from.
pub(super) struct PartsFeeder {
    outgoing: Arc<Outgoing>,
    writer: PartsWriter,
    generation: u64,
    boundary: Boundary,
    keepalive: Duration,
    /// Told of the first part once it is on its way.
    progress: watch::Sender<UploadProgress>,
    last: Instant,
    has_ended: bool,
}

/// How far the body is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UploadProgress {
    /// Whether it is sent.
    pub(super) has_begun: bool,
    /// The first part that has left, with its feed, and when.
    pub(super) first: Option<(String, u64, Instant)>,
}

impl PartsFeeder {
    pub(super) fn new(outgoing: Arc<Outgoing>, generation: u64, boundary: Boundary, keepalive: Duration) -> Self {
        let (progress, last) = (watch::Sender::default(), Instant::now());
        let writer = PartsWriter::new(outgoing.process());
        Self { outgoing, writer, generation, boundary, keepalive, progress, last, has_ended: false }
    }

    pub(super) fn progress(&self) -> watch::Receiver<UploadProgress> {
        self.progress.subscribe()
    }

    async fn next(mut self) -> (Option<Bytes>, Self) {
        if self.has_ended {
            return (None, self);
        }
        let is_first = !self.progress.borrow().has_begun;
        if is_first {
            self.progress.send_modify(|progress| progress.has_begun = true);
            let delimiter = self.boundary.first_delimiter();
            return (Some(delimiter), self);
        }
        // The part before has left: there is room again.
        if self.progress.borrow().first.is_none()
            && let Some((feed, sequence)) = self.outgoing.latest()
        {
            self.progress.send_modify(|progress| progress.first = Some((feed, sequence, Instant::now())));
        }
        let bytes = self.wait().await;
        self.last = Instant::now();
        (Some(bytes), self)
    }

    /// The next parts, or what ends the body.
    async fn wait(&mut self) -> Bytes {
        loop {
            if let Some(batch) = self.outgoing.take(self.generation) {
                return self.writer.write(&batch).into();
            }
            if self.outgoing.is_outdated(self.generation) {
                std::future::pending::<()>().await;
            }
            if self.outgoing.has_ended() {
                self.has_ended = true;
                return self.boundary.close_delimiter_alone();
            }
            tokio::select! {
                () = self.outgoing.changed() => {}
                () = sleep_until(self.last + self.keepalive) => {
                    if let Some(batch) = self.outgoing.repeat(self.generation) {
                        return self.writer.write(&batch).into();
                    }
                    self.last = Instant::now();
                }
            }
        }
    }
}

impl PartsBody {
    pub(super) fn new(feeder: PartsFeeder) -> Self {
        Self { next: Box::pin(feeder.next()) }
    }
}

impl Body for PartsBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let (bytes, feeder) = ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(feeder.next());
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
