//! The seam between the HTTP server, which reads the requests of pushers, and the source that makes feeds of them: what a request asks
//! for, where its bytes go, and why it is refused. It holds no state, and words no reply.

use std::fmt;

use hyper::header::HeaderMap;
use tokio_util::sync::CancellationToken;

/// What somebody wants to push.
#[derive(Debug)]
pub struct PushHead {
    /// The name of the feed, decoded.
    pub name: String,
    /// Whether the body is one part.
    pub shape: PushShape,
    /// The headers of the request, which may say what the body is.
    pub headers: HeaderMap,
    /// The length of the body in bytes, if it is known.
    pub length: Option<u64>,
}

/// What somebody wants to push whose parts name their feeds.
pub struct SeveralHead {
    /// The headers of the request.
    pub headers: HeaderMap,
    /// The length of the body in bytes, if it is known.
    pub length: Option<u64>,
    /// Whether this pusher has the right to a feed of this name.
    pub may_push: Box<dyn Fn(&str) -> bool + Send>,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRun {
    /// The name of this process in `Via`.
    pub process: String,
    /// The largest part that is taken, in bytes.
    pub part_bytes: usize,
    /// The feeds that it has, each with the sequence of its last part.
    pub feeds: Vec<(String, u64)>,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushShape {
    /// One part.
    Part,
    /// Parts one after the other, as they are made.
    Stream,
}

/// Takes in what others push. Its calls do not wait.
pub trait Intake: fmt::Debug + Send + Sync {
    /// Begins to take a body. The feed is opened, or taken over from another pusher, with the first bytes.
    ///
    /// # Errors
    /// Why the body is refused, before a byte of it is read.
    fn begin(&self, head: PushHead) -> Result<Box<dyn Push>, PushRefusal>;

    /// Begins to take a body of parts that name their feeds (`X-Feed`). The first part of each opens the feed, or takes it over.
    ///
    /// # Errors
    /// The same.
    fn begin_several(&self, head: SeveralHead) -> Result<Box<dyn Push>, PushRefusal>;

    /// How far the parts of a run have come that is pushed so.
    ///
    /// # Errors
    /// Why they would be refused.
    fn received(&self, run: &str, headers: &HeaderMap) -> Result<ReceivedRun, PushRefusal>;

    /// Ends a feed and removes it.
    ///
    /// # Errors
    /// `PushRefusal::NoFeed`.
    fn remove(&self, name: &str) -> Result<(), PushRefusal>;
}

/// A body that is taken in. Dropped before `finish`, it was cut off: what is not whole is thrown away.
pub trait Push: Send {
    /// Notes why it will be cut off, in a few words about the pusher.
    fn note_end(&mut self, reason: &'static str);

    /// Takes bytes of the body. Returns how many whole parts they complete.
    ///
    /// # Errors
    /// Why no more is taken.
    fn push(&mut self, bytes: &[u8]) -> Result<usize, PushRefusal>;

    /// Takes the end of the body.
    ///
    /// # Errors
    /// Why it was nothing.
    fn finish(self: Box<Self>) -> Result<PushOutcome, PushRefusal>;

    /// Cancelled when another pusher has taken a feed of it over, or one was removed. `push` then says which.
    fn replaced(&self) -> CancellationToken;
}

/// What came of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushOutcome {
    /// Its whole parts.
    pub parts: u64,
    /// Whether the feed did not exist before.
    pub is_new_feed: bool,
}

/// Why something is not taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushRefusal {
    /// The name cannot be that of a feed, for this reason.
    Name(&'static str),
    /// No feed of this name may be made.
    NotAllowed,
    /// There are this many feeds, and no more are made.
    TooManyFeeds(usize),
    /// There is no such feed.
    NoFeed,
    /// It is nothing that can be shown, for this reason.
    Type(String),
    /// A part has more bytes than this.
    TooLarge(usize),
    /// There is nothing in it.
    Empty,
    /// There is no whole part among so many bytes.
    NoPart(u64),
    /// The token is for feeds of other names.
    OtherFeeds,
    /// The feed comes from this process.
    Loop,
    /// One of several feeds is refused.
    OfFeed(String, Box<Self>),
    /// Another pusher has taken the feed over, or it was removed.
    Replaced,
    /// Too many bodies are being read at once.
    Busy,
    /// The server is about to end.
    Ending,
}
