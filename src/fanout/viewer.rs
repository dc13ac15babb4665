//! One viewer: its socket, its cursors, its unsent bytes. It never waits; it tells the fan-out loop when its next turn is due. It
//! does not know the other viewers.

use std::{
    io,
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::{io::ReadBuf, time::Instant};

use super::{
    cursor::Cursor,
    options::{AllFeeds, StreamOptions, Times},
    outbox::Outbox,
};
use crate::{
    conn::transport::Connection,
    feed::TakeLimit,
    stats::{Charge, Disconnect, ViewerPermit},
    wire::{Boundary, Piece},
};

/// Bytes that a viewer is sent before others have their turn.
const TURN_BYTES: usize = 1024 * 1024;
/// The time that a viewer has to close its side after the close-delimiter.
const LINGER: Duration = Duration::from_secs(1);
/// The largest repeat that is sent to a viewer that has closed its sending side: nearly always it has left.
const PARTING_BYTES: usize = 256 * 1024;
/// Chromium shows the `<img>` of another origin, and WebKit any, only once it has this many bytes of the stream (docs/field.md,
/// Browsers).
const SNIFFED_BYTES: usize = 1024;

/// The result of a viewer's turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has everything, or its socket is full: its waker or the feed's starts its next turn.
    Idle,
    /// It has sent its share and has more to send.
    WantsMore,
    /// It is over, for this reason.
    Over(Disconnect),
}

/// The progress of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first delimiter has not been queued.
    Fresh,
    /// Parts are sent.
    Live,
    /// The close-delimiter has been queued, and nothing follows it.
    Draining,
    /// Our side of the connection is closed.
    Closed,
}

/// Whether the socket has room for a part, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// It took the last part at once.
    Likely,
    /// It was full at the last part, so it is polled before the next is chosen.
    Unknown,
    /// It was polled, and has none.
    None,
}

#[derive(Debug)]
pub(crate) struct Viewer<T> {
    io: T,
    /// Nearly always one: it is stored inline, as is its piece, since memory elsewhere costs a fetch for each part.
    cursors: SmallVec<[Cursor; 1]>,
    next_cursor: usize,
    boundary: Boundary,
    options: StreamOptions,
    pub(super) permit: ViewerPermit,
    out: Outbox,
    phase: Phase,
    room: Room,
    /// When the unsent parts were chosen.
    chosen: Instant,
    /// When the socket last took bytes.
    moved: Instant,
    /// Until when a part that has come has to wait, if there is an interval.
    early_until: Option<Instant>,
    /// Whether one of the cursors is on a feed that is over, for its last part.
    keeps_over: bool,
    /// When the viewer closed its sending side. It has left, or takes what it asked for: only sending shows which.
    closed: Option<Instant>,
}

impl<T: Connection> Viewer<T> {
    /// A viewer whose response head has been sent, and whose first delimiter has not.
    pub(crate) fn new(io: T, cursors: Vec<Cursor>, boundary: Boundary, mut options: StreamOptions, permit: ViewerPermit) -> Self {
        let now = Instant::now();
        let joined = options.all.as_mut().map(AllFeeds::join).unwrap_or_default();
        Self {
            io,
            cursors: cursors.into_iter().chain(joined).collect(),
            next_cursor: 0,
            boundary,
            options,
            permit,
            out: Outbox::default(),
            phase: Phase::Fresh,
            room: Room::Likely,
            chosen: now,
            moved: now,
            early_until: None,
            keeps_over: false,
            closed: None,
        }
    }

    /// Its cursors.
    pub(super) fn cursors(&self) -> &[Cursor] {
        &self.cursors
    }

    /// Whether it waits for its socket, with a part or with the end: its waker wakes it when there is room.
    pub(super) fn is_blocked(&self) -> bool {
        !self.out.is_empty() || self.is_ending() || self.room == Room::None
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Draining | Phase::Closed)
    }

    /// Whether it can be given a part now.
    fn is_free(&self) -> bool {
        self.out.is_empty() && !self.is_ending()
    }

    /// Reads, to detect that the viewer leaves, and sends.
    pub(super) fn read_and_push(&mut self, now: Instant, cx: &mut Context<'_>) -> Turn {
        match self.read(cx) {
            Turn::Over(why) => Turn::Over(why),
            Turn::WantsMore => match self.push(now, cx) {
                Turn::Idle => Turn::WantsMore,
                turn => turn,
            },
            Turn::Idle => self.push(now, cx),
        }
    }

    /// Whether the stream ends as soon as the viewer has what is there: it has closed its sending side, and asked for no number of
    /// parts that may still come.
    fn is_leaving(&self) -> bool {
        self.closed.is_some() && self.options.parts.is_none()
    }

    /// Has the stream end soon, since the program does: no part waits for its time any more.
    pub(super) fn hurry(&mut self) {
        let StreamOptions { interval, picture_interval, .. } = &mut self.options;
        [interval, picture_interval].into_iter().flatten().for_each(|interval| *interval = Duration::ZERO);
    }

    /// Reads and discards the viewer's bytes, to detect that it leaves (docs/field.md, hyper).
    fn read(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut scratch = [0; 4096];
        for _ in 0..16 {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Pending => return Turn::Idle,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) if self.phase == Phase::Closed => return Turn::Over(self.end_reason()),
                Poll::Ready(Ok(())) => {
                    self.closed.get_or_insert_with(Instant::now);
                    return Turn::Idle;
                }
                Poll::Ready(Err(error)) => return Turn::Over(self.reason(&error)),
            }
        }
        Turn::WantsMore
    }

    /// Sends parts until the viewer has all of them or its socket is full.
    pub(super) fn push(&mut self, now: Instant, cx: &mut Context<'_>) -> Turn {
        let mut sent = 0;
        while self.phase != Phase::Closed {
            if self.is_free() {
                if !self.has_room(cx) {
                    return Turn::Idle;
                }
                self.fill(now, cx);
                if self.is_free() {
                    return Turn::Idle;
                }
            }
            match self.write(now, cx) {
                Poll::Pending => {
                    self.room = Room::Unknown;
                    return Turn::Idle;
                }
                Poll::Ready(Err(error)) => return Turn::Over(self.reason(&error)),
                Poll::Ready(Ok(bytes)) => sent += bytes,
            }
            if sent >= TURN_BYTES {
                return Turn::WantsMore;
            }
        }
        // A viewer that has closed its side as well needs no time for it.
        if self.closed.is_some() { Turn::Over(self.end_reason()) } else { Turn::Idle }
    }

    fn end_reason(&self) -> Disconnect {
        if self.is_leaving() { Disconnect::Left } else { Disconnect::Finished }
    }

    /// The reason for an error of the socket.
    fn reason(&self, error: &io::Error) -> Disconnect {
        if self.closed.is_some() { Disconnect::Left } else { disconnect(error) }
    }

    /// Polls for room before a part is chosen: one chosen earlier would be old when it is sent.
    fn has_room(&mut self, cx: &mut Context<'_>) -> bool {
        if self.room != Room::Likely {
            self.room = if self.io.poll_room(cx).is_pending() { Room::None } else { Room::Likely };
        }
        self.room == Room::Likely
    }

    /// The connection, if there is something to send, and its bytes, if one write can take all of them. The caller passes the number
    /// of bytes sent to `advance`; `push` sends the rest.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    pub(super) fn next(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<(&T, Option<&[u8]>)> {
        if self.is_free() && self.room == Room::Likely {
            self.fill(now, cx);
        }
        (!self.out.is_empty()).then(|| (&self.io, self.out.only()))
    }

    /// When the unsent parts were chosen, and the bytes of the largest that only readers keep in memory; 0 without one.
    pub(super) fn retained(&self) -> (Instant, usize) {
        let unsent = self.out.charges().map(Charge::retained);
        (self.chosen, unsent.chain(self.cursors.iter().map(Cursor::retained)).max().unwrap_or(0))
    }

    /// Forgets what is kept for repeats alone, if all else has been sent.
    pub(super) fn forget_repeats(&mut self) {
        if self.is_free() {
            self.cursors.iter_mut().for_each(Cursor::forget);
        }
    }

    /// Counts the parts that were replaced while the socket is full.
    pub(super) fn skip_to_newest(&mut self) {
        if !self.is_ending() {
            let dropped = self.cursors.iter_mut().map(Cursor::skip_to_newest).sum();
            self.permit.stats.dropped.fetch_add(dropped, Relaxed);
        }
    }

    /// When this viewer needs a turn even if nothing happens.
    pub(super) fn deadline(&self, times: Times) -> Option<Instant> {
        match self.phase {
            Phase::Closed => Some(self.moved + LINGER),
            _ if self.is_blocked() => Some(self.moved + times.stall),
            // Without repeats nothing shows that a viewer has left that has closed its side, and it gets its end.
            _ if self.closed.is_some() => self.early_until.or(Some(self.moved + times.keepalive.unwrap_or(times.stall))),
            _ => self.early_until.or(times.keepalive.map(|keepalive| self.moved + keepalive)),
        }
    }

    /// The turn at the deadline: disconnects, repeats or sends.
    pub(super) fn at_deadline(&mut self, now: Instant, times: Times, cx: &mut Context<'_>) -> Turn {
        match self.phase {
            Phase::Closed => return Turn::Over(Disconnect::Finished),
            _ if self.is_blocked() => return Turn::Over(Disconnect::Stalled),
            _ if self.early_until.is_some() => {}
            _ if times.keepalive.is_some_and(|keepalive| self.moved + keepalive <= now) => self.keep_alive(now, times.stall),
            _ if self.closed.is_some() => self.end(),
            _ => {}
        }
        self.push(now, cx)
    }

    /// Repeats the newest part, the smallest if there are several feeds: one is enough to keep the connection alive.
    fn keep_alive(&mut self, now: Instant, stall: Duration) {
        let is_named = self.options.all.is_some();
        let again = self.cursors.iter().filter_map(|cursor| Some((cursor.repeat(false)?, cursor.repeat_prefix(is_named))));
        match again.min_by_key(|(again, _)| bytes(again)) {
            Some(([head, rest], prefix)) => self.out.push([prefix.into(), head, rest]),
            None if self.closed.is_some_and(|closed| closed + stall <= now) => self.end(),
            None => {}
        }
        // A feed without a part has nothing to repeat; the next check is one interval away.
        self.moved = now;
    }

    /// The least time between two parts of the feed. This reads its kind every time, since its first bytes may have decided it only
    /// now.
    fn interval(&self, cursor: &Cursor) -> Option<Duration> {
        self.options.interval.max(self.options.picture_interval.filter(|_| cursor.is_of_pictures()))
    }

    /// Queues the next parts, if there are any and they are due.
    fn fill(&mut self, now: Instant, cx: &mut Context<'_>) {
        self.join_feeds(cx);
        self.early_until = None;
        self.chosen = now;
        // Round robin over the feeds, so that a busy one does not starve the others.
        let mut tried = 0;
        while tried < self.cursors.len() && !self.is_ending() && !self.out.is_full() && self.out.bytes() < TURN_BYTES / 4 {
            tried = if self.take_from_next_cursor(now) { 0 } else { tried + 1 };
            self.next_cursor = (self.next_cursor + 1) % self.cursors.len();
        }
        if self.is_free() && (self.is_leaving() || self.is_over()) {
            self.end();
        }
        if self.is_free() && self.phase == Phase::Fresh && self.cursors.iter().any(Cursor::has_begun) {
            // It resumes, and has all that there is. Firefox tells a script only of a body's first byte that it is connected
            // (docs/field.md, Browsers).
            self.out.push([self.boundary.first_delimiter().into()]);
            self.phase = Phase::Live;
        }
        self.permit.stats.backlog.store(self.out.bytes(), Relaxed);
    }

    /// Whether the next feed's part has to wait for its time, and notes until when.
    fn is_early(&mut self, interval: Option<Duration>, now: Instant) -> bool {
        let Some(interval) = interval.filter(|interval| !interval.is_zero() && !self.is_leaving()) else { return false };
        let until = self.cursors[self.next_cursor].early_until(interval, now);
        self.early_until = [self.early_until, until].into_iter().flatten().min();
        until.is_some()
    }

    /// Whether all feeds are over and none will be added.
    fn is_over(&self) -> bool {
        let may_end = self.options.all.as_ref().is_none_or(|all| all.registry.is_sealed());
        may_end && self.cursors.iter().all(|cursor| cursor.subscription().is_over())
    }

    /// Joins new feeds and leaves those that are over, except the last that has sent a part, which can be repeated at the end.
    fn join_feeds(&mut self, cx: &mut Context<'_>) {
        if let Some(all) = self.options.all.as_mut().filter(|all| all.has_changed()) {
            let mut begun = self.cursors.iter().filter(|cursor| cursor.has_begun()).count();
            let mut keeps_one = false;
            self.cursors.retain(|cursor| {
                let (is_over, is_last_begun) = (cursor.subscription().is_over(), cursor.has_begun() && begun == 1);
                begun -= usize::from(is_over && cursor.has_begun());
                keeps_one |= is_over && is_last_begun;
                !is_over || is_last_begun
            });
            self.keeps_over = keeps_one;
            self.cursors.extend(all.join());
            self.next_cursor = 0;
        } else if self.phase != Phase::Fresh {
            return;
        }
        self.cursors.iter_mut().for_each(|cursor| cursor.register(cx.waker()));
    }

    /// Queues the next parts of one feed. Returns whether there were any.
    fn take_from_next_cursor(&mut self, now: Instant) -> bool {
        let (is_named, interval) = (self.options.all.is_some(), self.interval(&self.cursors[self.next_cursor]));
        if self.is_early(interval, now) {
            return false;
        }
        let parts = if is_named || interval.is_some() { 1 } else { u64::MAX };
        let parts = parts.min(self.options.parts.unwrap_or(u64::MAX));
        let limit = TakeLimit { parts, thins_lines: self.options.interval.is_some() };
        let Some(taken) = self.cursors[self.next_cursor].take(limit) else { return false };
        let stats = &self.permit.stats;
        stats.dropped.fetch_add(taken.dropped, Relaxed);
        stats.left_out.fetch_add(taken.left_out, Relaxed);
        let Some(run) = taken.run else { return true };
        let count = run.count() as u64;
        stats.sent.fetch_add(count, Relaxed);
        let is_last = self.options.parts == Some(count) || taken.ended && self.is_over() || self.is_leaving() && !self.has_news();
        let cursor = &mut self.cursors[self.next_cursor];
        let first = if self.phase == Phase::Fresh { self.boundary.first_delimiter() } else { Bytes::new() };
        let close = if is_last { self.boundary.close_delimiter() } else { Bytes::new() };
        if self.keeps_over && !cursor.has_begun() {
            // From now on this feed's part can be repeated instead.
            self.options.all.iter_mut().for_each(AllFeeds::check_again);
        }
        let (prefix, [head, rest]) = (cursor.prefix(is_named), cursor.choose(run, is_last));
        self.out.push([first.into(), prefix.into(), head, rest, close.into()]);
        // Never while pictures flow: only the first, and only a small one.
        while self.phase == Phase::Fresh && !is_last && self.out.bytes() < SNIFFED_BYTES {
            let Some(again) = cursor.repeat_for_sniffing() else { break };
            self.out.push(again);
        }
        self.phase = if is_last { Phase::Draining } else { Phase::Live };
        if let Some(parts) = &mut self.options.parts {
            *parts -= count;
        }
        if let Some(interval) = interval {
            cursor.keep_interval(interval, now);
        }
        true
    }

    fn has_news(&self) -> bool {
        self.cursors.iter().any(|cursor| cursor.subscription().has_news())
    }

    /// Queues the end: the newest part again, then the close-delimiter. The delimiter after the newest part has been sent already,
    /// and an empty part would break readers (docs/field.md, Browsers).
    fn end(&mut self) {
        let is_named = self.options.all.is_some();
        let again = |cursor: &Cursor| Some((cursor.repeat(true)?, cursor.repeat_prefix(is_named)));
        // A viewer that resumes, and has all, gets no first delimiter either.
        let last = if self.phase == Phase::Fresh { None } else { self.cursors.iter().rev().find_map(again) };
        self.phase = Phase::Draining;
        match last {
            Some((again, _)) if self.is_leaving() && bytes(&again) > PARTING_BYTES => {}
            Some(([head, rest], prefix)) => self.out.push([prefix.into(), head, rest, self.boundary.close_delimiter().into()]),
            None => self.out.push([self.boundary.close_delimiter_alone().into()]),
        }
    }

    fn write(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.out.is_empty() {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            (self.phase, self.moved) = (Phase::Closed, now);
            return Poll::Ready(Ok(0));
        }
        let written = ready!(self.out.write(&mut self.io, cx))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written, now);
        Poll::Ready(Ok(written))
    }

    /// Removes bytes that the socket has taken.
    pub(super) fn advance(&mut self, written: usize, now: Instant) {
        self.moved = now;
        self.out.advance(written);
        self.permit.stats.bytes.fetch_add(written as u64, Relaxed);
        self.permit.stats.backlog.store(self.out.bytes(), Relaxed);
    }
}

/// The number of bytes of a part.
fn bytes(pieces: &[Piece; 2]) -> usize {
    pieces.iter().map(Piece::len).sum()
}

/// The reason for an error of the socket. The kernel gives up after the stall time (`TCP_USER_TIMEOUT`) if the peer has vanished.
pub(super) fn disconnect(error: &io::Error) -> Disconnect {
    if error.kind() == io::ErrorKind::TimedOut { Disconnect::Stalled } else { Disconnect::Broken }
}
