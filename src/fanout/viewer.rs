//! One viewer of a feed: its socket, its cursors, the bytes on their way. It never waits; it tells the
//! fan-out loop when it has to be asked again.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use smallvec::SmallVec;
use tokio::{io::ReadBuf, time::Instant};

use crate::conn::{
    evict::{self, Span},
    transport::Connection,
};
use crate::{
    feed::{Kind, Subscription, TakeLimit},
    stats::{Disconnect, ViewerPermit},
    wire::{Boundary, Prefix},
};

/// Pieces that one write takes at most (the kernel's own limit is 1024).
const PIECES: usize = 64;
/// Bytes a viewer is sent before others have their turn.
const TURN_BYTES: usize = 1024 * 1024;
/// How long a viewer may take to close after the close-delimiter.
const LINGER: Duration = Duration::from_secs(1);

/// What a viewer asked for beside the feeds themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StreamOptions {
    /// The least time between two parts.
    pub(crate) interval: Option<Duration>,
    /// Parts after which the stream ends.
    pub(crate) parts: Option<u64>,
    /// Whether each part names its feed.
    pub(crate) named: bool,
    /// The least time between two pictures; lines come as they come.
    pub(crate) picture_interval: Option<Duration>,
}

/// Times that apply to every viewer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// After this silence the newest part is repeated.
    pub(crate) keepalive: Option<Duration>,
    /// After this time without taking a byte a viewer is cut.
    pub(crate) stall: Duration,
}

/// What a viewer's turn came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has what there is, or its socket is full: it will ring, or the feed will.
    Resting,
    /// It has had its share for now and wants more at once.
    WantsMore,
    /// It is over; why stands with it.
    Over(Disconnect),
}

#[derive(Debug)]
pub(crate) struct Viewer<T> {
    io: T,
    /// One, nearly always: it and its piece lie in here, since what is elsewhere in memory is fetched for each part.
    cursors: SmallVec<[Subscription; 1]>,
    next_cursor: usize,
    boundary: Boundary,
    options: StreamOptions,
    pub(crate) permit: ViewerPermit,
    out: SmallVec<[Bytes; 1]>,
    out_bytes: usize,
    /// Bytes of the first piece that have left.
    gone: usize,
    /// When what is on its way was chosen.
    chosen: Instant,
    started: bool,
    ending: bool,
    closed: bool,
    /// The socket was full when the last part left.
    is_slow: bool,
    /// The socket has to have room before the next part is chosen.
    waits: bool,
    /// When bytes last moved.
    moved: Instant,
    /// When the next part is due where an interval is kept.
    due: Instant,
}

impl<T: Connection> Viewer<T> {
    /// A viewer whose response head has left and whose first delimiter has not. There is at least one cursor.
    pub(crate) fn new(io: T, cursors: Vec<Subscription>, boundary: Boundary, options: StreamOptions, permit: ViewerPermit) -> Self {
        let now = Instant::now();
        Self {
            io,
            cursors: cursors.into_iter().collect(),
            next_cursor: 0,
            boundary,
            options,
            permit,
            out: SmallVec::new(),
            out_bytes: 0,
            gone: 0,
            chosen: now,
            started: false,
            ending: false,
            closed: false,
            is_slow: false,
            waits: false,
            moved: now,
            due: now,
        }
    }

    /// Its cursors.
    pub(crate) fn cursors(&self) -> &[Subscription] {
        &self.cursors
    }

    /// Whether its socket is full, or was when the end had to be told: its bell rings when there is room.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.out.is_empty() || self.ending || self.waits
    }

    /// Sends what is there, and hears whether the viewer leaves: one that asked and closed its sending side at once is told
    /// what can be told at once.
    pub(crate) fn attend(&mut self, now: Instant, cx: &mut Context<'_>) -> Turn {
        match (self.push(now, cx), self.hear(cx)) {
            (_, Turn::Over(why)) | (Turn::Over(why), _) => Turn::Over(why),
            (Turn::WantsMore, _) | (_, Turn::WantsMore) => Turn::WantsMore,
            _ => Turn::Resting,
        }
    }

    /// Reads away whatever a viewer sends, to notice when it leaves.
    fn hear(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut scratch = [0; 4096];
        for _ in 0..16 {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending => return Turn::Resting,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) if self.closed => return Turn::Over(Disconnect::Finished),
                Poll::Ready(Ok(())) => return Turn::Over(Disconnect::Left),
                Poll::Ready(Err(error)) => return Turn::Over(end_by(&error)),
            }
        }
        Turn::WantsMore
    }

    /// Sends what is there for this viewer, until it has all of it or its socket is full.
    pub(crate) fn push(&mut self, now: Instant, cx: &mut Context<'_>) -> Turn {
        let mut sent = 0;
        loop {
            if self.closed {
                return Turn::Resting;
            }
            if self.out.is_empty() && !self.ending {
                // What is chosen before it can leave is not the newest any more when it does.
                self.waits = self.is_slow && self.io.poll_room(cx).is_pending();
                if self.waits {
                    return Turn::Resting;
                }
                self.fill(now);
            }
            if self.out.is_empty() && !self.ending {
                return Turn::Resting;
            }
            match self.write(now, cx) {
                Poll::Pending => {
                    self.is_slow = true;
                    return Turn::Resting;
                }
                Poll::Ready(Err(error)) => return Turn::Over(end_by(&error)),
                Poll::Ready(Ok(bytes)) => sent += bytes,
            }
            if sent >= TURN_BYTES {
                return Turn::WantsMore;
            }
        }
    }

    /// The connection, where there is something to be sent on it now, and what, where one write can take all of it.
    /// `advance` has to be told how much was sent, and `push` sends the rest.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    pub(crate) fn next(&mut self, now: Instant) -> Option<(&T, Option<&[u8]>)> {
        if self.out.is_empty() && !self.ending && !self.is_slow {
            self.fill(now);
        }
        let first = self.out.first()?;
        Some((&self.io, (self.out.len() == 1).then_some(first)))
    }

    /// What is on its way, and since when.
    pub(crate) fn keeps(&self) -> (Instant, impl Iterator<Item = Span>) {
        let gone = std::iter::once(self.gone).chain(std::iter::repeat(0));
        (self.chosen, self.out.iter().zip(gone).map(|(piece, gone)| evict::span(piece, gone)))
    }

    /// Bytes that stay in memory for this viewer and perhaps for others.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.out_bytes + self.gone
    }

    /// Takes note of news while the socket is full.
    pub(crate) fn skip_to_newest(&mut self) {
        if self.ending {
            return;
        }
        let dropped = self.cursors.iter_mut().map(Subscription::skip_to_newest).sum();
        self.permit.stats.dropped.fetch_add(dropped, Relaxed);
    }

    /// When this viewer needs the loop though nothing happens.
    pub(crate) fn deadline(&self, times: Times) -> Option<Instant> {
        match () {
            () if self.closed => Some(self.moved + LINGER),
            () if self.is_blocked() => Some(self.moved + times.stall),
            () => self.early_until().or(times.keepalive.map(|keepalive| self.moved + keepalive)),
        }
    }

    /// Does what the deadline is for.
    pub(crate) fn at_deadline(&mut self, now: Instant, times: Times, cx: &mut Context<'_>) -> Turn {
        match () {
            () if self.closed => return Turn::Over(Disconnect::Finished),
            () if self.is_blocked() => return Turn::Over(Disconnect::Stalled),
            () if self.early_until().is_some() => {}
            () if times.keepalive.is_some_and(|keepalive| self.moved + keepalive <= now) => self.keep_alive(now),
            () => {}
        }
        self.push(now, cx)
    }

    /// Repeats the newest part, of several feeds the smallest: one is enough to show that the connection lives.
    fn keep_alive(&mut self, now: Instant) {
        let named = self.options.named;
        let again = self.cursors.iter_mut().filter_map(|cursor| Some((cursor.repeat(false)?, prefix_of(cursor, named, 0))));
        if let Some((again, prefix)) = again.min_by_key(|(again, _)| again.len()) {
            self.put([prefix, again]);
        }
        // A feed without a part has nothing to repeat; the next look is one interval away.
        self.moved = now;
    }

    /// The kind of a feed is asked each time: its first bytes may have told it since this viewer came.
    fn interval(&self) -> Option<Duration> {
        let shows_pictures = || self.cursors.iter().all(|cursor| cursor.feed().kind() == Kind::Newest);
        self.options.interval.max(self.options.picture_interval.filter(|_| shows_pictures()))
    }

    /// Until when the next part has to wait, where one is there. Half an interval of slack: a source that keeps just the
    /// wished-for rate, a little unevenly, loses nothing.
    fn early_until(&self) -> Option<Instant> {
        let interval = self.interval()?;
        self.cursors.iter().any(Subscription::has_news).then(|| self.due - interval / 2)
    }

    fn fill(&mut self, now: Instant) {
        if self.early_until().is_some_and(|until| now < until) {
            return;
        }
        self.is_slow = false;
        self.chosen = now;
        // Round and round over the feeds, so that a busy one does not starve the others.
        let mut tried = 0;
        while tried < self.cursors.len() && !self.ending && self.out.len() < PIECES {
            tried = if self.take(now) { 0 } else { tried + 1 };
            self.next_cursor = (self.next_cursor + 1) % self.cursors.len();
            if self.out_bytes >= TURN_BYTES / 4 || self.early_until().is_some_and(|until| now < until) {
                break;
            }
        }
        if self.out.is_empty() && !self.ending && self.all_over() {
            self.end();
        }
        self.permit.stats.backlog.store(self.out_bytes, Relaxed);
    }

    fn all_over(&self) -> bool {
        self.cursors.iter().all(Subscription::is_over)
    }

    /// Takes the next of one feed. Gives whether there was one.
    fn take(&mut self, now: Instant) -> bool {
        let named = self.options.named;
        let others = (0..self.cursors.len()).filter(|other| *other != self.next_cursor);
        let may_end = others.map(|other| &self.cursors[other]).all(Subscription::is_over);
        let interval = self.interval();
        let parts = if named || interval.is_some() { 1 } else { u64::MAX };
        let parts = parts.min(self.options.parts.unwrap_or(u64::MAX));
        let most = TakeLimit { parts, is_all: self.options.parts == Some(parts), may_end };
        let cursor = &mut self.cursors[self.next_cursor];
        let Some(taken) = cursor.take(most) else { return false };
        let stats = &self.permit.stats;
        stats.dropped.fetch_add(taken.dropped, Relaxed);
        stats.left_out.fetch_add(taken.left_out, Relaxed);
        if taken.parts == 0 {
            return true;
        }
        stats.sent.fetch_add(taken.parts, Relaxed);
        let first = if self.started { Bytes::new() } else { self.boundary.first_delimiter() };
        self.started = true;
        let prefix = prefix_of(cursor, named, taken.dropped);
        let close = if taken.last { self.boundary.close_delimiter() } else { Bytes::new() };
        self.put([first, prefix, taken.bytes, close]);
        self.ending = taken.last;
        if let Some(parts) = &mut self.options.parts {
            *parts -= taken.parts;
        }
        if let Some(interval) = interval {
            self.due = self.due.max(now) + interval;
        }
        true
    }

    /// The delimiter behind the newest part has left already, and an empty part breaks readers: the newest part once more,
    /// then the close-delimiter.
    fn end(&mut self) {
        let last =
            self.cursors.iter_mut().rev().find_map(|cursor| Some((cursor.repeat(true)?, prefix_of(cursor, self.options.named, 0))));
        match last {
            Some((again, prefix)) => self.put([prefix, again, self.boundary.close_delimiter()]),
            None => self.put([self.boundary.close_delimiter_alone()]),
        }
        self.ending = true;
    }

    fn put<const N: usize>(&mut self, pieces: [Bytes; N]) {
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            self.out_bytes += piece.len();
            self.out.push(piece);
        }
    }

    fn write(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.out.is_empty() {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            (self.closed, self.moved) = (true, now);
            return Poll::Ready(Ok(0));
        }
        let written = ready!(self.write_out(cx))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written, now);
        Poll::Ready(Ok(written))
    }

    /// Takes note of bytes that the socket has taken.
    pub(crate) fn advance(&mut self, written: usize, now: Instant) {
        self.moved = now;
        self.out_bytes -= written;
        let (mut whole, mut rest) = (0, written);
        while self.out.get(whole).is_some_and(|piece| piece.len() <= rest) {
            rest -= self.out[whole].len();
            whole += 1;
        }
        if whole > 0 {
            self.out.drain(..whole);
            self.gone = 0;
        }
        if let Some(piece) = self.out.first_mut() {
            piece.advance(rest);
            self.gone += rest;
        }
        self.permit.stats.bytes.fetch_add(written as u64, Relaxed);
        self.permit.stats.backlog.store(self.out_bytes, Relaxed);
    }

    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        if self.out.len() == 1 {
            return io.poll_write(cx, &self.out[0]);
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.out) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        io.poll_write_vectored(cx, &slices[..count])
    }
}

/// The kernel gives up after the stall time (`TCP_USER_TIMEOUT`) where the peer is silent: it vanished without a word.
pub(crate) fn end_by(error: &io::Error) -> Disconnect {
    if error.kind() == io::ErrorKind::TimedOut { Disconnect::Stalled } else { Disconnect::Broken }
}

/// Header lines for this viewer alone. Dropped parts are told where lines were promised, and where there are such lines anyway.
fn prefix_of(cursor: &Subscription, named: bool, dropped: u64) -> Bytes {
    let feed = cursor.feed();
    let dropped = if named || feed.kind() == Kind::Lines { dropped } else { 0 };
    Prefix { feed: named.then_some(feed.url_name.as_str()), dropped }.bytes()
}
