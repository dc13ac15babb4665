//! The guarantees of a feed, tested without a socket.

use bytes::Bytes;

use std::time::Duration;
use std::{sync::Arc, task::Waker};

use super::*;
use crate::{
    format::Media,
    part::Part,
    wire::{Boundary, Layout},
};

thread_local! {
    /// The locks of shards that this thread has taken.
    pub(crate) static LOCKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn settings(held: usize) -> Settings {
    let hold = Hold { history: held, parts: held, bytes: 1 << 20, asked: 0 };
    Settings::new(Boundary::parse("B").unwrap(), Limits { newest: hold, lines: hold, part_bytes: 1000, keep_same: false })
}

fn feed(kind: Kind, held: usize) -> (Publisher, Arc<Feed>) {
    Feed::new("test", kind, &settings(held))
}

fn text(body: impl Into<Bytes>) -> Part {
    Part::now(Media::from_known("text/plain"), body)
}

fn bodies(batch: &Batch) -> Vec<String> {
    batch.parts.parts().map(|part| String::from_utf8(part.body().to_vec()).unwrap()).collect()
}

fn take(cursor: &mut Subscription) -> Option<Batch> {
    cursor.take(TakeLimit::ALL)
}

#[test]
fn a_viewer_takes_the_newest_part_and_the_number_of_dropped_ones() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    let mut cursor = feed.subscribe(0, None);
    for n in 1..=5 {
        publisher.publish(text(format!("{n}"))).unwrap();
    }
    let batch = take(&mut cursor).unwrap();
    assert_eq!((bodies(&batch), batch.dropped), (vec!["5".to_owned()], 4));
    assert!(take(&mut cursor).is_none());
}

#[test]
fn every_line_is_taken_in_order_and_lines_of_a_batch_together() {
    let (publisher, feed) = feed(Kind::Lines, 100);
    let mut cursor = feed.subscribe(0, None);
    publisher.publish_all((1..=3).map(|n| text(format!("{n}"))).collect());
    publisher.publish_all((4..=6).map(|n| text(format!("{n}"))).collect());
    let (first, second) = (take(&mut cursor).unwrap(), take(&mut cursor).unwrap());
    assert_eq!(
        (bodies(&first), bodies(&second)),
        (vec!["1".into(), "2".into(), "3".into()], vec!["4".into(), "5".into(), "6".into()])
    );
    assert_eq!((first.parts.count(), first.dropped), (3, 0));
}

#[test]
fn a_reader_that_lags_behind_the_oldest_part_held_skips_ahead() {
    let (publisher, feed) = feed(Kind::Lines, 2);
    let mut cursor = feed.subscribe(0, None);
    publisher.publish_all((1..=5).map(|n| text(format!("{n}"))).collect());
    let batch = take(&mut cursor).unwrap();
    assert_eq!((bodies(&batch), batch.dropped), (vec!["4".to_owned(), "5".to_owned()], 3));
}

#[test]
fn a_late_viewer_begins_with_the_newest_part_or_the_history_it_asks_for() {
    let (publisher, feed) = feed(Kind::Lines, 10);
    publisher.publish_all((1..=5).map(|n| text(format!("{n}"))).collect());
    assert_eq!(bodies(&take(&mut feed.subscribe(0, None)).unwrap()), ["5"]);
    assert_eq!(bodies(&take(&mut feed.subscribe(0, Some(2))).unwrap()), ["4", "5"]);
    assert_eq!(take(&mut feed.subscribe(0, Some(99))).unwrap().parts.count(), 5);
    drop(publisher);
    assert_eq!(take(&mut feed.subscribe(0, None)).unwrap().parts.count(), 5, "a feed that has ended is read from the start");
}

#[test]
fn a_batch_has_ended_only_if_no_part_follows() {
    let (publisher, feed) = feed(Kind::Lines, 10);
    let mut early = feed.subscribe(0, None);
    publisher.publish(text("1")).unwrap();
    assert!(!take(&mut early).unwrap().ended);
    let mut late = feed.subscribe(0, None);
    publisher.publish_last(text("2")).unwrap();
    assert!(take(&mut early).unwrap().ended);
    assert!(!take(&mut late).unwrap().ended, "two blocks: the first is not the last");
    let batch = take(&mut late).unwrap();
    assert_eq!((batch.ended, bodies(&batch)), (true, vec!["2".to_owned()]));
    assert!(early.is_over() && late.is_over());
    let [_, again] = early.newest_taken().unwrap().pieces(Layout::Plain, false, true);
    assert!(again.bytes().ends_with(b"X-Sequence: 2\r\n\r\n2"));
}

#[test]
fn identical_bytes_are_pushed_again_only_where_wanted() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    publisher.publish(text("same")).unwrap();
    assert_eq!(publisher.publish(text("same")), Err(Refused::Same));
    assert_eq!(feed.newest().unwrap().sequence(), 1);
}

#[test]
fn a_part_that_would_break_readers_is_refused_and_the_feed_is_unchanged() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    publisher.publish(text("good")).unwrap();
    assert_eq!(publisher.publish(text("")), Err(Refused::Empty));
    assert_eq!(publisher.publish(text(vec![b'x'; 1001])), Err(Refused::TooLarge));
    assert_eq!(publisher.publish(Part::now(Media::from_known("image/png"), "a B b")), Err(Refused::HasBoundary));
    assert_eq!(feed.newest().unwrap().body(), b"good");
}

#[test]
fn text_that_contains_the_boundary_is_published_with_the_boundary_broken_up() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    publisher.publish(text("a B b")).unwrap();
    assert_eq!(feed.newest().unwrap().body(), b"a ? b");
    assert_eq!(publisher.publish(text("a B b")), Err(Refused::Same), "the same text is the same part");
    let (publisher, feed) = self::feed(Kind::Lines, 10);
    publisher.publish_all(["one", "B", "three"].map(text).to_vec());
    assert_eq!((feed.newest().unwrap().body(), feed.state().published, feed.state().refused), (&b"three"[..], 3, 0));
}

#[test]
fn no_part_follows_the_end_of_a_feed() {
    for _ in 0..5 {
        let hold = Hold { history: 9, parts: 9, bytes: 1 << 30, asked: 0 };
        let limits = Limits { newest: hold, lines: hold, part_bytes: 1 << 30, keep_same: true };
        let (publisher, feed) = Feed::new("test", Kind::Newest, &Settings::new(Boundary::parse("b0undary").unwrap(), limits));
        // The encoding of a body of this size takes some time, in which the program ends the feed.
        let body = Bytes::from(vec![b'x'; 8 << 20]);
        let publishing = std::thread::spawn(move || (0..20).try_for_each(|_| publisher.publish(text(body.clone()))));
        while feed.newest().is_none() {
            std::thread::yield_now();
        }
        feed.end();
        let mut cursor = feed.subscribe(0, None);
        let last = take(&mut cursor).unwrap();
        publishing.join().unwrap().unwrap();
        assert!(last.ended && take(&mut cursor).is_none());
        assert_eq!(feed.newest().unwrap().sequence(), last.parts.last().sequence());
    }
}

#[test]
fn held_bytes_are_limited_independently_of_the_counts() {
    let (publisher, feed) = feed(Kind::Lines, 100_000);
    for _ in 0..3000 {
        publisher.publish(text(vec![b'x'; 900])).unwrap();
    }
    let state = feed.shard(0).lock();
    assert!(state.bytes() <= 1 << 20 && state.len() > 900);
}

#[test]
fn the_history_that_the_user_asked_for_is_not_cut_by_the_bound_for_lagging_readers() {
    let hold = Hold { history: 2000, parts: 100_000, bytes: 1 << 20, asked: 2000 };
    let limits = Limits { newest: hold, lines: hold, part_bytes: 1000, keep_same: false };
    let (publisher, feed) = Feed::new("test", Kind::Lines, &Settings::new(Boundary::parse("B").unwrap(), limits));
    for _ in 0..3000 {
        publisher.publish(text(vec![b'x'; 900])).unwrap();
    }
    assert_eq!((feed.state().held, feed.state().published), (2000, 3000));
}

/// The settings of feeds that hold up to 100 parts each, and all together this many bytes of past ones.
fn bounded(bytes: usize) -> Settings {
    Settings { history: Arc::new(History::new(bytes)), ..settings(100) }
}

#[test]
fn a_thousand_feeds_keep_past_parts_within_one_bound() {
    let settings = bounded(100_000);
    let (opener, registry) = Registry::new(Settings { shards: 2, ..settings.clone() });
    let publishers: Vec<_> = (0..1000).map(|n| opener.open(format!("{n}"), Kind::Newest)).collect();
    for round in 0..5 {
        for publisher in &publishers {
            publisher.publish(text(format!("{round}{}", "x".repeat(800)))).unwrap();
            assert!(settings.history.state().bytes <= 100_000);
        }
    }
    let states: Vec<_> = registry.list().iter().map(|mounted| mounted.mount.state()).collect();
    let newest: usize = publishers.iter().map(|publisher| publisher.feed().newest().unwrap().charge().bytes()).sum();
    let held: usize = states.iter().map(|state| state.held_bytes).sum();
    assert_eq!(held - newest, settings.history.state().bytes, "it is counted exactly");
    assert!(held - newest > 98_000, "and used");
    assert_eq!(settings.memory.alive(), held);
    let counts: Vec<_> = states.iter().map(|state| state.held).collect();
    assert!(counts[..880].iter().all(|held| *held == 1), "of the others the newest part alone is left: {counts:?}");
    assert!(counts[905..].iter().all(|held| *held == 2), "the feeds that published last have the newest past parts: {counts:?}");
    for number in 0..1000 {
        opener.remove(&number.to_string());
    }
    drop((publishers, states));
    assert_eq!((settings.history.state().bytes, settings.memory.alive()), (0, 0), "a feed that is gone holds nothing");
}

#[test]
fn the_oldest_parts_go_first_whichever_feed_holds_them() {
    let settings = bounded(4000);
    let [(quiet, quiet_feed), (busy, busy_feed)] = [(); 2].map(|()| Feed::new("test", Kind::Lines, &settings));
    let line = |n: usize| text(format!("{n}{}", "x".repeat(700)));
    (1..=3).for_each(|n| quiet.publish(line(n)).unwrap());
    assert_eq!(quiet_feed.state().held, 3);
    (1..=50).for_each(|n| busy.publish(line(n)).unwrap());
    assert_eq!((quiet_feed.state().held, busy_feed.state().held), (1, 5), "older than those of the busy one");
    assert_eq!(bodies(&take(&mut quiet_feed.subscribe(0, Some(9))).unwrap())[0][..1], *"3");
    quiet.publish(line(4)).unwrap();
    assert_eq!((quiet_feed.state().held, busy_feed.state().held), (1, 5), "the part before it is the oldest of all past ones");
    quiet.publish(line(5)).unwrap();
    assert_eq!((quiet_feed.state().held, busy_feed.state().held), (2, 4));
}

#[tokio::test]
async fn a_run_waits_for_its_viewer_and_ends_when_it_leaves() {
    let (publisher, feed) = feed(Kind::Run, 1);
    let mut cursor = feed.subscribe(0, None);
    assert!(publisher.room().await);
    publisher.publish(text("1")).unwrap();
    let waiting = tokio::spawn(async move { (publisher.room().await, publisher.room().await, publisher) });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    take(&mut cursor).unwrap();
    drop(cursor);
    assert!(!waiting.await.unwrap().1);
}

#[test]
fn each_loop_has_every_part_in_a_shard_of_its_own() {
    let (publisher, feed) = Feed::new("test", Kind::Newest, &Settings { shards: 2, ..settings(10) });
    let mut cursors = [0, 1, 7].map(|shard| feed.subscribe(shard, None));
    (1..=3).for_each(|n| publisher.publish(text(format!("{n}"))).unwrap());
    for cursor in &mut cursors {
        let batch = take(cursor).unwrap();
        assert_eq!((bodies(&batch), batch.dropped), (vec!["3".to_owned()], 2));
    }
    let state = serde_json::to_value(feed.state()).unwrap();
    assert_eq!((&state["viewers"], &state["dropped"]), (&3.into(), &6.into()));
}

#[test]
fn memory_is_charged_to_readers_once_the_feed_releases_it() {
    let settings = settings(1);
    let (publisher, feed) = Feed::new("test", Kind::Newest, &settings);
    let mut cursor = feed.subscribe(0, None);
    publisher.publish(text("one")).unwrap();
    let batch = take(&mut cursor).unwrap();
    assert_eq!(settings.memory.bytes(), 0, "the feed holds it as well");
    publisher.publish(text("two")).unwrap();
    assert!(settings.memory.bytes() > 3);
    drop(batch);
    assert_eq!(settings.memory.bytes(), 0);
    let newest = feed.newest();
    drop((publisher, cursor, feed));
    assert!(settings.memory.bytes() > 3, "the feed is gone, its newest part is not");
    drop(newest);
    assert_eq!(settings.memory.bytes(), 0);
}

#[test]
fn runs_share_a_prepared_part_under_numbers_of_their_own() {
    let settings = settings(1);
    let [(first, first_feed), (second, second_feed)] = [(); 2].map(|()| Feed::new("run", Kind::Run, &settings));
    let part = first.prepare(text("shared")).unwrap();
    let size = settings.memory.alive();
    first.publish_prepared(&part, false);
    second.publish(text("own")).unwrap();
    second.publish_prepared(&part, true);
    let [one, two] = [&first_feed, &second_feed].map(|feed| feed.newest().unwrap());
    assert_eq!((one.body(), two.body(), one.sequence(), two.sequence()), (&b"shared"[..], &b"shared"[..], 1, 2));
    assert!(second_feed.has_ended() && !first_feed.has_ended());
    assert_eq!((settings.memory.alive(), settings.memory.bytes()), (size, 0), "the source holds it");
    part.release();
    let weak = part.downgrade();
    drop((part, first, second, second_feed, two));
    assert_eq!(settings.memory.bytes(), size, "only readers keep it");
    assert!(weak.upgrade().is_some());
    let mut viewer = first_feed.subscribe(0, None);
    first_feed.forget_taken();
    take(&mut viewer).unwrap();
    first_feed.forget_taken();
    drop(one);
    assert!(weak.upgrade().is_none() && settings.memory.alive() == 0, "nor is it kept for repeats, where memory is short");
}

#[test]
fn what_the_runs_of_a_mount_refuse_counts_together() {
    let (opener, registry) = Registry::new(settings(1));
    opener.mount_runs("runs", |publisher| {
        assert_eq!(publisher.prepare(text("")).unwrap_err(), Refused::Empty);
        publisher.count_refused(1);
    });
    let mount = registry.find("runs").unwrap();
    drop([mount.open(), mount.open()]);
    assert_eq!(mount.state().refused, 4);
}

#[tokio::test]
async fn demand_counts_readers_and_those_that_wait_for_the_first_part() {
    let (publisher, feed) = Feed::new("test", Kind::Newest, &Settings { shards: 2, ..settings(1) });
    let mut demand = publisher.demand();
    demand.unwanted().await;
    let viewers = [0, 1].map(|shard| feed.subscribe(shard, None));
    assert!(demand.wanted().await && demand.count() == 2);
    drop(viewers);
    demand.unwanted().await;
    let waiting = tokio::spawn({
        let feed = feed.clone();
        async move { feed.newer_than(0).await }
    });
    assert!(demand.wanted().await, "a waiting snapshot counts as demand");
    publisher.publish(text("one")).unwrap();
    assert!(waiting.await.unwrap().is_some());
    demand.unwanted().await;
    assert!(!demand.is_wanted());
    drop(feed.subscribe(0, None));
    assert!(demand.is_wanted() && demand.wanted().await && !demand.is_wanted(), "a reader that has gone again was demand");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_and_goes_starts_the_lingering_anew() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    let mut demand = publisher.demand();
    let (linger, start) = (Duration::from_secs(3), tokio::time::Instant::now());
    let visits = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(feed.subscribe(0, None));
        }
        std::future::pending().await
    };
    tokio::select! {
        () = demand.unwanted_for(linger) => {}
        () = visits => {}
    }
    assert_eq!(start.elapsed().as_secs(), 13);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_a_source_that_rests_waits_for_its_next_part_and_any_other_does_not() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    let body = || async { feed.current(Duration::from_secs(10)).await.map(|part| part.body().to_vec()) };
    assert_eq!(body().await, None, "a source that starts of itself");
    publisher.publish(text("old")).unwrap();
    assert_eq!(body().await.as_deref(), Some(&b"old"[..]));
    publisher.set_source(SourceState::Idle);
    let source = async {
        publisher.demand().wanted().await;
        publisher.set_source(SourceState::Starting);
        publisher.publish(text("new")).unwrap();
        publisher.set_source(SourceState::Live);
    };
    assert_eq!(tokio::join!(body(), source).0.as_deref(), Some(&b"new"[..]));
    publisher.set_source(SourceState::Idle);
    assert_eq!(body().await.as_deref(), Some(&b"new"[..]), "what there is, if nothing comes");
}

#[test]
fn a_source_is_starting_then_live_then_lost_then_ended() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    let state = || serde_json::to_value(feed.state()).unwrap()["source"].clone();
    assert_eq!(state()["state"], "starting");
    publisher.publish(text("one")).unwrap();
    assert_eq!(state()["state"], "live");
    publisher.set_source(SourceState::Lost { reason: "refused".to_owned() });
    assert_eq!((state()["state"].as_str(), state()["reason"].as_str()), (Some("lost"), Some("refused")));
    assert!(state()["since"].as_f64().unwrap() > 1e9);
    drop(publisher);
    assert_eq!((state()["state"].as_str(), state().get("reason")), (Some("ended"), None));
}

#[test]
fn feeds_come_and_go_and_have_unique_names() {
    let (opener, registry) = Registry::new(settings(1));
    let woken = Arc::new(Woken::default());
    let key = registry.register_waker(0, Waker::from(woken.clone()));
    let publishers = ["plot.png", "plot.png", "log", "plot.png"].map(|name| opener.open(name, Kind::Newest));
    assert_eq!(publishers.each_ref().map(|publisher| publisher.name()), ["plot.png", "plot.png-2", "log", "plot.png-3"]);
    assert_eq!(woken.take(), 4);
    publishers[2].publish(text("line")).unwrap();
    assert_eq!(woken.take(), 1, "every feed wakes the loop");
    let log = registry.find("log").unwrap().open();
    assert!(opener.remove("log") && !opener.remove("log"));
    assert!(log.has_ended() && registry.find("log").is_none() && woken.take() > 0);
    let numbers: Vec<u64> = registry.list().iter().map(|mounted| mounted.number).collect();
    assert_eq!(numbers, [1, 2, 4]);
    let version = registry.version();
    drop(opener.clone());
    assert!(!registry.is_sealed() && registry.version() == version);
    woken.take();
    drop(opener);
    assert!(registry.is_sealed() && woken.take() == 1);
    registry.remove_waker(0, key);
    publishers[0].publish(text("line")).unwrap();
    assert_eq!(woken.take(), 0);
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicUsize);

impl Woken {
    fn take(&self) -> usize {
        self.0.swap(0, std::sync::atomic::Ordering::Relaxed)
    }
}

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}
