//! Reading a disk for replies, beside the loops that serve: on threads for that, a few at a time, however many ask. It does not know
//! what is read.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::stats::{Lease, Retained};

/// The most bytes of a piece.
pub(super) const PIECE: usize = 256 << 10;
/// Reads at a time: a disk does not become faster by more, and each takes a thread.
const AT_ONCE: usize = 4;
/// Requests that may wait for their turn.
const WAITING: usize = 256;
/// The longest that one waits.
const TURN_WAIT: Duration = Duration::from_secs(10);
/// Downloads at a time: each keeps a piece in memory for as long as its client takes.
const DOWNLOADS: usize = 16;

/// There are too many readers at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowded;

/// The places for those that read.
#[derive(Debug)]
pub(super) struct Reads {
    running: Arc<Semaphore>,
    waiting: Semaphore,
    downloads: Arc<Semaphore>,
}

impl Default for Reads {
    fn default() -> Self {
        let [running, downloads] = [AT_ONCE, DOWNLOADS].map(|places| Arc::new(Semaphore::new(places)));
        Self { running, waiting: Semaphore::new(WAITING), downloads }
    }
}

impl Reads {
    /// Runs this on a thread that may block, once it has its turn.
    pub(super) async fn run<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, Crowded> {
        let waiting = self.waiting.try_acquire().map_err(|_| Crowded)?;
        let turn = timeout(TURN_WAIT, self.turn()).await.map_err(|_| Crowded)?;
        drop(waiting);
        in_turn(turn.map_err(|_| Crowded)?, read).await.map_err(|_| Crowded)
    }

    async fn turn(&self) -> io::Result<OwnedSemaphorePermit> {
        self.running.clone().acquire_owned().await.map_err(io::Error::other)
    }

    /// A place for a download, until it is dropped.
    pub(super) fn download(&self) -> Result<OwnedSemaphorePermit, Crowded> {
        self.downloads.clone().try_acquire_owned().map_err(|_| Crowded)
    }
}

/// Runs this on a thread that may block. It counts until it is done, also if nobody waits for it any more.
async fn in_turn<T: Send + 'static>(turn: OwnedSemaphorePermit, read: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let reading = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        read()
    });
    reading.await.map_err(io::Error::other)
}

/// Bytes that are read a piece at a time.
pub(super) trait Pieces: Send + 'static {
    /// The next piece; `None` at the end.
    fn next_piece(&mut self) -> io::Result<Option<Bytes>>;
}

/// Counts bytes as those of a reader alone, from which slow ones are told.
pub(super) fn counted(memory: &Arc<Retained>, bytes: usize) -> Lease {
    let charge = memory.charge(bytes);
    charge.release();
    Lease::new(charge)
}

/// Bytes that count as long as they are being sent.
struct CountedBytes(Bytes, #[expect(dead_code, reason = "it counts until it is dropped")] Arc<Lease>);

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The same bytes, which count until they are sent, and the handle by which a slow reader of them is found.
pub(super) fn counted_bytes(memory: &Arc<Retained>, bytes: Bytes) -> (Bytes, Weak<Lease>) {
    let lease = Arc::new(counted(memory, bytes.len()));
    let handle = Arc::downgrade(&lease);
    (Bytes::from_owner(CountedBytes(bytes, lease)), handle)
}

type Read = (Box<dyn Pieces>, io::Result<Option<Bytes>>);

/// The body of a reply that is read while it is sent: the next piece when the client has taken the one before. An error ends the
/// connection, so that the client sees that the rest is missing.
pub(super) struct ReadBody {
    reads: Arc<Reads>,
    stage: ReadStage,
    /// Bytes that will follow, where that is known.
    left: Option<u64>,
    _place: Option<OwnedSemaphorePermit>,
    /// Of the piece that it has in memory.
    lease: Arc<Lease>,
}

enum ReadStage {
    Resting(Box<dyn Pieces>),
    Reading(Pin<Box<dyn Future<Output = io::Result<Read>> + Send>>),
    Done,
}

impl ReadBody {
    /// Reads these pieces, of so many bytes together if that is known. `place` is free again at the end. The lease is that of a piece.
    pub(super) fn new(
        reads: Arc<Reads>,
        pieces: impl Pieces,
        length: Option<u64>,
        place: Option<OwnedSemaphorePermit>,
        lease: Lease,
    ) -> Self {
        Self { reads, stage: ReadStage::Resting(Box::new(pieces)), left: length, _place: place, lease: Arc::new(lease) }
    }

    /// The handle by which a slow reader is found.
    pub(super) fn lease(&self) -> Weak<Lease> {
        Arc::downgrade(&self.lease)
    }
}

impl std::fmt::Debug for ReadBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadBody").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Body for ReadBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut reading = match std::mem::replace(&mut self.stage, ReadStage::Done) {
            ReadStage::Done => return Poll::Ready(None),
            ReadStage::Reading(reading) => reading,
            ReadStage::Resting(mut pieces) => {
                let reads = self.reads.clone();
                Box::pin(async move {
                    let turn = reads.turn().await?;
                    let read = move || {
                        let read = pieces.next_piece();
                        (pieces, read)
                    };
                    in_turn(turn, read).await
                })
            }
        };
        let Poll::Ready(read) = reading.as_mut().poll(cx) else {
            self.stage = ReadStage::Reading(reading);
            return Poll::Pending;
        };
        let (pieces, piece) = match read {
            Ok((pieces, Ok(piece))) => (pieces, piece),
            Ok((_, Err(error))) | Err(error) => return Poll::Ready(Some(Err(error))),
        };
        let Some(piece) = piece else { return Poll::Ready(None) };
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        if self.left != Some(0) {
            self.stage = ReadStage::Resting(pieces);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, ReadStage::Done)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
