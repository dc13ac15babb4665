//! The fan-out over pipes of a few bytes, so that every partial write happens, and with paused clocks.

mod ends;
mod rates;
mod resume;

use std::{
    cell::Cell,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf, duplex},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Accepts, AllFeeds, Cursor, Fanout, FanoutHandle, StreamOptions, Times, Viewer};
use crate::{
    conn::{pending::PendingConns, transport::Connection},
    feed::{Feed, Hold, Kind, Limits, Opener, Publisher, Registry, Settings},
    format::Media,
    part::Part,
    source::demo,
    stats::{Disconnect, Lease, Reason, Viewers},
    wire::Boundary,
};

thread_local! {
    /// The viewers that a loop of this thread has looked at because their time had come.
    pub(super) static LOOKS: Cell<usize> = const { Cell::new(0) };
}

const TIMES: Times = Times { keepalive: Some(Duration::from_secs(5)), stall: Duration::from_secs(30) };

struct Setup {
    feed: Arc<Feed>,
    opener: Opener,
    pending: Arc<PendingConns>,
    fanout: FanoutHandle<DuplexStream>,
    viewers: Arc<Viewers>,
    shutdown: CancellationToken,
}

fn setup(kind: Kind) -> (Publisher, Setup) {
    let hold = Hold { history: 1000, parts: 1000, bytes: 1 << 24, asked: 0 };
    let limits = Limits { newest: Hold { history: 1, parts: 1, ..hold }, lines: hold, part_bytes: 1 << 20, keep_same: false };
    let (opener, registry) = Registry::new(Settings::new(Boundary::parse("b0undary").unwrap(), limits));
    let (publisher, feed) = match kind {
        Kind::Run => Feed::new("test", kind, registry.settings()),
        _ => {
            let publisher = opener.open("test", kind);
            (publisher, registry.find("test").unwrap().open())
        }
    };
    let pending = PendingConns::new(100, 100);
    let (handle, fanout) = Fanout::new(registry, pending.clone(), 0, TIMES);
    let shutdown = CancellationToken::new();
    tokio::spawn(fanout.run(shutdown.clone()));
    (publisher, Setup { feed, opener, pending, fanout: handle, viewers: Viewers::new(100), shutdown })
}

impl Setup {
    fn enter(&self, pipe: usize, options: StreamOptions) -> DuplexStream {
        self.enter_as(Accepts::All, pipe, options)
    }

    fn enter_as(&self, accepts: Accepts, pipe: usize, options: StreamOptions) -> DuplexStream {
        let (ours, theirs) = duplex(pipe);
        let subscription = self.feed.subscribe(0, None);
        let cursors = if options.all.is_some() { vec![] } else { vec![Cursor::new(subscription, accepts)] };
        let permit = self.viewers.enter(None).unwrap();
        self.fanout.admit(Viewer::new(theirs, cursors, self.feed.boundary().clone(), options, permit));
        ours
    }
}

#[tokio::test(start_paused = true)]
async fn the_slowest_viewers_are_disconnected_when_old_parts_fill_the_memory() {
    let (publisher, setup) = setup(Kind::Newest);
    let body = |number: u8| Part::now(Media::from_known("image/x-test"), vec![number; (1 << 20) - 1]);
    let mut slow = Vec::new();
    for number in 0..80 {
        publisher.publish(body(number)).unwrap();
        slow.push(setup.enter(64, StreamOptions::default()));
        // It takes a little of the newest part.
        slow.last_mut().unwrap().read_exact(&mut [0; 100]).await.unwrap();
        tokio::time::advance(Duration::from_millis(300)).await;
    }
    publisher.publish(body(99)).unwrap();
    let mut quick = setup.enter(1 << 20, StreamOptions::default());
    quick.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
    let crowded = setup.viewers.gone.iter().find(|(name, _)| *name == Disconnect::Crowded.name()).unwrap().1;
    assert!((14..=20).contains(&crowded), "{crowded} of 80 that keep a MiB each were disconnected");
    for (number, viewer) in slow.iter_mut().enumerate() {
        let is_disconnected = viewer.read_exact(&mut [0; 1000]).await.is_err();
        assert_eq!(is_disconnected, number < crowded as usize, "the slowest are disconnected");
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_does_not_pay_for_replies_that_began_before_it() {
    let (publisher, setup) = setup(Kind::Newest);
    let memory = setup.opener.registry().settings().memory.clone();
    let replies: Vec<_> = (0..25)
        .map(|_| {
            let (conn, charge) = (setup.pending.enter(0), memory.charge(3 << 20));
            charge.release();
            let lease = Arc::new(Lease::new(charge));
            conn.count_reply([Arc::downgrade(&lease)]);
            (conn, lease)
        })
        .collect();
    tokio::time::advance(Duration::from_secs(1)).await;
    publisher.publish(text("one ".repeat(100))).unwrap();
    let mut viewer = setup.enter(64, StreamOptions::default());
    viewer.read_exact(&mut [0; 50]).await.unwrap();
    for part in ["two", "three"] {
        publisher.publish(text(part)).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(setup.viewers.count(), 1, "it is younger than the replies");
    let mut evicted = 0;
    for (conn, _) in &replies {
        evicted += usize::from(tokio::time::timeout(Duration::from_millis(1), conn.evicted()).await.is_ok());
    }
    assert_eq!(evicted, 4, "75 MiB are at most 64 again");
    // Once too few bytes are the replies' that began before it, the viewer goes.
    let later: Vec<_> = replies.iter().map(|_| memory.charge(3 << 20)).collect();
    later.iter().for_each(|charge| charge.release());
    publisher.publish(text("four")).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(setup.viewers.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn runs_that_wait_for_their_next_frame_lose_repeats_before_anybody_is_disconnected() {
    let (first, mut setup) = setup(Kind::Run);
    let settings = setup.opener.registry().settings().clone();
    let mut viewers = Vec::new();
    for number in 0..100 {
        let (publisher, feed) = Feed::new("run", Kind::Run, &settings);
        let body = Part::now(Media::from_known("image/x-test"), vec![number; (1 << 20) - 1]);
        setup.feed = feed;
        let mut viewer = setup.enter(1 << 16, StreamOptions::default());
        publisher.publish(body).unwrap();
        viewer.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
        read_until(&mut viewer, "--b0undary\r\n").await;
        viewers.push((viewer, publisher));
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(setup.viewers.count(), 100, "all have what there was");
    assert!(!settings.memory.is_exceeded(0), "{} bytes", settings.memory.bytes());
    for (viewer, publisher) in &mut viewers {
        publisher.publish(text("next")).unwrap();
        read_until(viewer, "next\r\n--b0undary\r\n").await;
    }
    drop(first);
}

fn text(body: impl Into<bytes::Bytes>) -> Part {
    Part::now(Media::from_known("text/plain"), body)
}

async fn read_all(mut pipe: DuplexStream) -> String {
    let mut all = Vec::new();
    pipe.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}

/// Reads until the text has come; the clock is paused, so that a text that never comes fails at once.
async fn read_until(pipe: &mut DuplexStream, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let byte = tokio::time::timeout(Duration::from_secs(3600), pipe.read_u8()).await;
        let byte = byte.ok().and_then(Result::ok);
        all.push(byte.unwrap_or_else(|| panic!("{end:?} is not in {:?}", String::from_utf8_lossy(&all))));
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Removes timestamps, which are of the wall clock; everything else is golden.
fn without_times(stream: &str) -> String {
    stream.split_inclusive("\r\n").filter(|line| !line.starts_with("X-Timestamp")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_the_same_bytes_through_a_pipe_of_eight() {
    let (publisher, setup) = setup(Kind::Lines);
    let (narrow, wide) = (setup.enter(8, StreamOptions::default()), setup.enter(1 << 16, StreamOptions::default()));
    publisher.publish_all((0..100).map(|n| text(format!("line {n}"))).collect());
    drop(publisher);
    let (narrow, wide) = tokio::join!(read_all(narrow), read_all(wide));
    assert_eq!(narrow, wide);
    assert!(wide.starts_with("--b0undary\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n"));
    assert!(wide.ends_with("X-Sequence: 100\r\n\r\nline 99\r\n--b0undary--\r\n"));
}

#[tokio::test(start_paused = true)]
async fn the_end_after_a_delimiter_repeats_the_newest_part() {
    let (publisher, setup) = setup(Kind::Newest);
    let mut viewer = setup.enter(1 << 16, StreamOptions::default());
    publisher.publish(text("one")).unwrap();
    read_until(&mut viewer, "one\r\n--b0undary\r\n").await;
    drop(publisher);
    let rest = read_all(viewer).await;
    assert_eq!(
        without_times(&rest),
        "Content-Type: text/plain\r\nContent-Length: 3\r\nX-Sequence: 1\r\n\r\none\r\n--b0undary--\r\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_feed_without_a_part_ends_with_only_the_close_delimiter() {
    let (publisher, setup) = setup(Kind::Newest);
    let viewer = setup.enter(1 << 16, StreamOptions::default());
    drop(publisher);
    assert_eq!(read_all(viewer).await, "--b0undary--\r\n");
}

#[tokio::test(start_paused = true)]
async fn the_newest_part_is_repeated_while_nothing_changes() {
    let (publisher, setup) = setup(Kind::Newest);
    let mut viewer = setup.enter(1 << 16, StreamOptions::default());
    publisher.publish(text("one")).unwrap();
    let first = read_until(&mut viewer, "one\r\n--b0undary\r\n").await;
    let begin = Instant::now();
    for _ in 0..3 {
        let again = read_until(&mut viewer, "one\r\n--b0undary\r\n").await;
        assert_eq!(format!("--b0undary\r\n{again}"), first);
    }
    assert_eq!(begin.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_takes_nothing_is_disconnected_and_delays_no_other() {
    let (publisher, setup) = setup(Kind::Newest);
    let stuck = setup.enter(8, StreamOptions::default());
    let mut healthy = setup.enter(1 << 16, StreamOptions::default());
    for n in 0..100 {
        publisher.publish(text(format!("part {n}"))).unwrap();
        read_until(&mut healthy, &format!("part {n}\r\n--b0undary\r\n")).await;
    }
    let begin = Instant::now();
    while setup.viewers.count() > 1 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(begin.elapsed().as_secs(), TIMES.stall.as_secs());
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_leaves_is_detected_behind_unread_bytes() {
    use tokio::io::AsyncWriteExt;
    let (_publisher, setup) = setup(Kind::Newest);
    let mut viewer = setup.enter(1 << 16, StreamOptions::default());
    viewer.write_all(b"GET /half a pipelined requ").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.viewers.count(), 1);
    drop(viewer);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.viewers.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn fps_thins_a_stream_to_the_newest_of_each_interval_and_the_last() {
    let (publisher, setup) = setup(Kind::Newest);
    let options = StreamOptions { interval: Some(Duration::from_millis(100)), ..StreamOptions::default() };
    let viewer = setup.enter(1 << 16, options);
    for n in 0..100 {
        publisher.publish(text(format!("part {n}"))).unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(publisher);
    let stream = read_all(viewer).await;
    let parts = stream.matches("X-Sequence").count();
    assert!((9..=14).contains(&parts), "{parts} parts");
    assert!(stream.contains("part 99"));
}

#[tokio::test(start_paused = true)]
async fn a_number_of_parts_ends_the_stream_with_the_close_delimiter() {
    let (publisher, setup) = setup(Kind::Lines);
    let viewer = setup.enter(1 << 16, StreamOptions { parts: Some(3), ..StreamOptions::default() });
    publisher.publish_all((1..=9).map(|n| text(format!("line {n}"))).collect());
    let stream = read_all(viewer).await;
    assert_eq!(stream.matches("X-Sequence").count(), 3);
    assert!(stream.ends_with("line 3\r\n--b0undary--\r\n"));
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_every_viewer_gets_the_close_delimiter_within_a_limited_time() {
    let (publisher, setup) = setup(Kind::Newest);
    let (viewer, stuck) = (setup.enter(1 << 16, StreamOptions::default()), setup.enter(8, StreamOptions::default()));
    publisher.publish(text("part")).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let begin = Instant::now();
    setup.shutdown.cancel();
    setup.feed.end();
    assert!(read_all(viewer).await.ends_with("\r\n--b0undary--\r\n"));
    while setup.viewers.count() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(2));
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn the_demo_plays_its_fifteen_parts_at_their_times() {
    let (publisher, setup) = setup(Kind::Run);
    let mut viewer = setup.enter(1 << 16, StreamOptions::default());
    let begin = Instant::now();
    tokio::spawn(demo::play(Arc::default(), publisher));
    let mut times = Vec::new();
    let mut types = Vec::new();
    for n in 1..=15 {
        let headers = read_until(&mut viewer, &format!("X-Sequence: {n}\r\n\r\n")).await;
        types.push(headers.split("Content-Type: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned());
        times.push(begin.elapsed().as_millis());
    }
    assert!(read_all(viewer).await.ends_with("\">\r\n--b0undary--\r\n"));
    let pauses: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [500, 500, 500, 500, 500, 500, 1000, 300, 300, 300, 300, 300, 300, 300]);
    assert_eq!(types, [vec!["text/plain"; 6], vec!["image/png"], vec!["text/html"; 8]].concat());
}

impl Connection for DuplexStream {}

/// A connection whose writes panic after a number of them, and that has room, even to be shut down, only when the test allows it.
struct TestConn {
    io: DuplexStream,
    writes_left: usize,
    room: Arc<Mutex<TrapRoom>>,
}

#[derive(Default)]
struct TrapRoom {
    is_free: bool,
    waker: Option<Waker>,
}

impl Connection for TestConn {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = self.room.lock().unwrap();
        room.waker = Some(cx.waker().clone());
        if room.is_free { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Setup {
    /// A loop for test connections.
    fn test_conn_loop(&self) -> FanoutHandle<TestConn> {
        let (handle, fanout) = Fanout::new(self.opener.registry().clone(), self.pending.clone(), 0, TIMES);
        tokio::spawn(fanout.run(self.shutdown.clone()));
        handle
    }

    fn enter_test_conn(
        &self,
        fanout: &FanoutHandle<TestConn>,
        pipe: usize,
        writes_left: usize,
    ) -> (DuplexStream, Arc<Mutex<TrapRoom>>) {
        let (ours, io) = duplex(pipe);
        let room = Arc::new(Mutex::new(TrapRoom::default()));
        let cursors = vec![Cursor::new(self.feed.subscribe(0, None), Accepts::All)];
        let (permit, boundary) = (self.viewers.enter(None).unwrap(), self.feed.boundary().clone());
        fanout.admit(Viewer::new(
            TestConn { io, writes_left, room: room.clone() },
            cursors,
            boundary,
            StreamOptions::default(),
            permit,
        ));
        (ours, room)
    }
}

impl AsyncRead for TestConn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for TestConn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes_left = self.writes_left.checked_sub(1).expect("a write is left");
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.poll_write(cx, &bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_room(cx));
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_one_viewer_is_served_ends_only_that_viewer() {
    let (publisher, setup) = setup(Kind::Newest);
    let fanout = setup.test_conn_loop();
    let mut healthy = [(); 2].map(|()| setup.enter_test_conn(&fanout, 1 << 16, usize::MAX).0);
    let mut panicking = setup.enter_test_conn(&fanout, 1 << 16, 1).0;
    publisher.publish(text("part 1")).unwrap();
    for viewer in healthy.iter_mut().chain([&mut panicking]) {
        read_until(viewer, "part 1\r\n--b0undary\r\n").await;
    }
    for n in 2..=3 {
        publisher.publish(text(format!("part {n}"))).unwrap();
        for viewer in &mut healthy {
            read_until(viewer, &format!("part {n}\r\n--b0undary\r\n")).await;
        }
    }
    assert_eq!(panicking.read(&mut [0; 10]).await.unwrap(), 0, "its connection is closed");
    assert_eq!((setup.viewers.count(), setup.feed.state().viewers), (2, 2));
    assert_eq!(setup.viewers.gone.iter().find(|(_, count)| *count > 0), Some((Disconnect::Panicked.name(), 1)));
}

#[tokio::test(start_paused = true)]
async fn the_next_part_of_a_slow_viewer_is_chosen_when_there_is_room() {
    let (publisher, setup) = setup(Kind::Newest);
    let fanout = setup.test_conn_loop();
    let (mut viewer, room) = setup.enter_test_conn(&fanout, 8, usize::MAX);
    publisher.publish(text("part 1")).unwrap();
    read_until(&mut viewer, "part 1\r\n--b0undary\r\n").await;
    publisher.publish(text("part 2")).unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    publisher.publish(text("part 3")).unwrap();
    let nothing = tokio::time::timeout(Duration::from_secs(1), viewer.read_u8()).await;
    assert!(nothing.is_err(), "nothing is sent before there is room");
    let waker = { std::mem::replace(&mut *room.lock().unwrap(), TrapRoom { is_free: true, waker: None }).waker };
    waker.expect("the loop waits for room").wake();
    let rest = read_until(&mut viewer, "part 3\r\n--b0undary\r\n").await;
    assert!(!rest.contains("part 2"), "{rest}");
    assert_eq!(setup.feed.state().dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_the_close_delimiter_and_a_viewer_that_does_not_take_the_end_has_stalled() {
    let (publisher, setup) = setup(Kind::Newest);
    let (mut viewer, _room) = setup.enter_test_conn(&setup.test_conn_loop(), 1 << 16, usize::MAX);
    publisher.publish(text("part 1")).unwrap();
    read_until(&mut viewer, "part 1\r\n--b0undary\r\n").await;
    let begin = Instant::now();
    drop(publisher);
    read_until(&mut viewer, "part 1\r\n--b0undary--\r\n").await;
    assert_eq!(read_all(viewer).await, "");
    assert_eq!(begin.elapsed().as_secs(), TIMES.stall.as_secs());
    assert_eq!(setup.viewers.gone.iter().find(|(_, count)| *count > 0), Some((Disconnect::Stalled.name(), 1)));
}

impl Setup {
    /// A viewer of all feeds.
    fn enter_all(&self, pipe: usize) -> DuplexStream {
        let all = Some(AllFeeds::new(self.opener.registry().clone(), 0, None, Accepts::All));
        self.enter(pipe, StreamOptions { all, ..StreamOptions::default() })
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_all_feeds_sees_them_come_and_go() {
    let (publisher, setup) = setup(Kind::Newest);
    let mut viewer = setup.enter_all(1 << 16);
    publisher.publish(text("first")).unwrap();
    let first = read_until(&mut viewer, "first\r\n--b0undary\r\n").await;
    assert!(first.contains("X-Feed: test\r\n"), "{first}");
    let later = setup.opener.open("later", Kind::Newest);
    later.publish(text("second")).unwrap();
    assert!(read_until(&mut viewer, "second\r\n--b0undary\r\n").await.contains("X-Feed: later\r\n"));
    let demand = later.demand();
    assert!(setup.opener.remove("later"));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((demand.count(), setup.viewers.count()), (0, 1), "it has left the feed that is over, and waits for more");
    drop(publisher);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.viewers.count(), 1, "no feed is live, and more may come");
    let last = setup.opener.open("last", Kind::Newest);
    last.publish(text("third")).unwrap();
    read_until(&mut viewer, "third\r\n--b0undary\r\n").await;
    drop((last, setup.opener));
    let end = read_all(viewer).await;
    assert!(without_times(&end).ends_with("X-Sequence: 1\r\n\r\nthird\r\n--b0undary--\r\n"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn lines_of_a_feed_that_comes_later_are_sent_from_the_first() {
    let (publisher, setup) = setup(Kind::Lines);
    for line in ["old 1", "old 2"] {
        publisher.publish(text(line)).unwrap();
    }
    let mut viewer = setup.enter_all(1 << 16);
    let there = read_until(&mut viewer, "old 2\r\n--b0undary\r\n").await;
    assert!(!there.contains("old 1"), "{there}");
    let later = setup.opener.open("later", Kind::Lines);
    for line in ["new 1", "new 2", "new 3"] {
        later.publish(text(line)).unwrap();
    }
    let come = read_until(&mut viewer, "new 3\r\n--b0undary\r\n").await;
    assert!(come.contains("new 1\r\n") && come.contains("new 2\r\n") && !come.contains("X-Dropped"), "{come}");
}

#[tokio::test(start_paused = true)]
async fn a_removed_feed_ends_only_for_its_own_viewers() {
    let (publisher, setup) = setup(Kind::Newest);
    let mut stays = setup.enter(1 << 16, StreamOptions::default());
    let other = setup.opener.open("other", Kind::Newest);
    let (ours, theirs) = duplex(1 << 16);
    let cursors = vec![Cursor::new(other.feed().subscribe(0, None), Accepts::All)];
    let permit = setup.viewers.enter(None).unwrap();
    setup.fanout.admit(Viewer::new(theirs, cursors, setup.feed.boundary().clone(), StreamOptions::default(), permit));
    other.publish(text("part")).unwrap();
    assert!(setup.opener.remove("other"));
    assert!(read_all(ours).await.ends_with("part\r\n--b0undary--\r\n"));
    publisher.publish(text("goes on")).unwrap();
    read_until(&mut stays, "goes on\r\n--b0undary\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_feeds_come_and_go_while_viewers_watch() {
    let (publisher, setup) = setup(Kind::Newest);
    let mut viewers = [(); 3].map(|()| setup.enter_all(1 << 20));
    let mut open = Vec::new();
    for number in 0..1000 {
        let name = format!("feed{number}");
        let feed = setup.opener.open(&name, Kind::Lines);
        feed.publish(text(format!("part {number}"))).unwrap();
        open.push((name, feed));
        for viewer in &mut viewers {
            let part = read_until(viewer, &format!("part {number}\r\n--b0undary\r\n")).await;
            assert!(part.contains(&format!("X-Feed: feed{number}\r\n")), "{part}");
        }
        if open.len() > 10 {
            let (name, _feed) = open.remove(0);
            assert!(setup.opener.remove(&name));
        }
    }
    assert_eq!(setup.opener.registry().list().len(), 11);
    assert!(open.iter().all(|(_, feed)| feed.demand().count() == 3));
    for (name, _) in &open {
        assert!(setup.opener.remove(name));
    }
    publisher.publish(text("last")).unwrap();
    for viewer in &mut viewers {
        read_until(viewer, "last\r\n--b0undary\r\n").await;
    }
    assert!(open.iter().all(|(_, feed)| feed.demand().count() == 0));
    assert_eq!(setup.viewers.count(), 3);
}
