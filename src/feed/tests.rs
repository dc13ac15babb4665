//! What a feed promises, without a socket.

use bytes::Bytes;

use super::*;
use crate::{format::Media, wire::Layout};

fn feed(kind: Kind, held: usize) -> (Publisher, Arc<Feed>) {
    let limits = Limits { history: held, held, held_bytes: 1 << 20, part_bytes: 1000, keep_same: false };
    Feed::new("test", kind, Boundary::parse("B").unwrap(), limits, 1)
}

fn text(body: impl Into<Bytes>) -> Part {
    Part::now(Media::from_known("text/plain"), body)
}

/// Bodies of the plain bytes of a stream.
fn bodies(taken: &Batch) -> Vec<String> {
    let text = String::from_utf8(taken.bytes.to_vec()).unwrap();
    let parts = text.split("\r\n--B\r\n").filter(|part| !part.is_empty());
    parts.map(|part| part.split_once("\r\n\r\n").unwrap().1.to_owned()).collect()
}

fn take(cursor: &mut Subscription) -> Option<Batch> {
    cursor.take(TakeLimit::ALL)
}

#[test]
fn a_viewer_takes_the_newest_and_is_told_what_it_dropped() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    let mut cursor = feed.subscribe(0, None, Accepts::All);
    for n in 1..=5 {
        publisher.publish(text(format!("{n}"))).unwrap();
    }
    let taken = take(&mut cursor).unwrap();
    assert_eq!((bodies(&taken), taken.dropped), (vec!["5".to_owned()], 4));
    assert!(take(&mut cursor).is_none());
}

#[test]
fn every_line_is_taken_in_order_and_lines_of_a_batch_together() {
    let (publisher, feed) = feed(Kind::Lines, 100);
    let mut cursor = feed.subscribe(0, None, Accepts::All);
    publisher.publish_all((1..=3).map(|n| text(format!("{n}"))).collect());
    publisher.publish_all((4..=6).map(|n| text(format!("{n}"))).collect());
    let (first, second) = (take(&mut cursor).unwrap(), take(&mut cursor).unwrap());
    assert_eq!(
        (bodies(&first), bodies(&second)),
        (vec!["1".into(), "2".into(), "3".into()], vec!["4".into(), "5".into(), "6".into()])
    );
    assert_eq!((first.parts, first.dropped), (3, 0));
}

#[test]
fn who_falls_behind_what_is_held_skips_ahead_and_is_told() {
    let (publisher, feed) = feed(Kind::Lines, 2);
    let mut cursor = feed.subscribe(0, None, Accepts::All);
    publisher.publish_all((1..=5).map(|n| text(format!("{n}"))).collect());
    let taken = take(&mut cursor).unwrap();
    assert_eq!((bodies(&taken), taken.dropped), (vec!["4".to_owned(), "5".to_owned()], 3));
}

#[test]
fn a_late_viewer_begins_with_the_newest_or_with_the_history_that_it_asks_for() {
    let (publisher, feed) = feed(Kind::Lines, 10);
    publisher.publish_all((1..=5).map(|n| text(format!("{n}"))).collect());
    assert_eq!(bodies(&take(&mut feed.subscribe(0, None, Accepts::All)).unwrap()), ["5"]);
    assert_eq!(bodies(&take(&mut feed.subscribe(0, Some(2), Accepts::All)).unwrap()), ["4", "5"]);
    assert_eq!(take(&mut feed.subscribe(0, Some(99), Accepts::All)).unwrap().parts, 5);
    drop(publisher);
    assert_eq!(take(&mut feed.subscribe(0, None, Accepts::All)).unwrap().parts, 5, "after the end nothing newer comes: all of it");
}

#[test]
fn the_last_part_is_known_as_the_last_only_if_nothing_follows() {
    let (publisher, feed) = feed(Kind::Lines, 10);
    let mut early = feed.subscribe(0, None, Accepts::All);
    publisher.publish(text("1")).unwrap();
    assert!(!take(&mut early).unwrap().last);
    let mut late = feed.subscribe(0, None, Accepts::All);
    publisher.publish_last(text("2")).unwrap();
    assert!(take(&mut early).unwrap().last);
    assert!(!take(&mut late).unwrap().last, "two blocks: the first is not the last");
    let taken = take(&mut late).unwrap();
    assert!(taken.last && taken.bytes.ends_with(b"\r\n\r\n2"), "the close-delimiter is to follow directly");
    assert!(early.is_over() && late.is_over());
    assert!(early.repeat(true).unwrap().ends_with(b"X-Sequence: 2\r\n\r\n2"));
}

#[test]
fn identical_bytes_are_pushed_again_only_where_wanted() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    publisher.publish(text("same")).unwrap();
    assert_eq!(publisher.publish(text("same")), Err(Refused::Same));
    assert_eq!(feed.newest().unwrap().sequence, 1);
}

#[test]
fn what_would_break_readers_is_refused_and_the_feed_stays_as_it_was() {
    let (publisher, feed) = feed(Kind::Newest, 1);
    publisher.publish(text("good")).unwrap();
    assert_eq!(publisher.publish(text("")), Err(Refused::Empty));
    assert_eq!(publisher.publish(text(vec![b'x'; 1001])), Err(Refused::TooLarge));
    assert_eq!(publisher.publish(text("a B b")), Err(Refused::HasBoundary));
    assert_eq!(feed.newest().unwrap().body(), "good");
}

#[test]
fn an_img_gets_pictures_of_one_family_with_the_next_headers_early() {
    let svg = || Part::now(Media::from_known("image/svg+xml"), "<svg/>");
    let (publisher, feed) = feed(Kind::Lines, 10);
    let mut cursor = feed.subscribe(0, None, Accepts::Pictures(Layout::EarlyHeaders));
    publisher.publish_all(vec![text("no"), svg(), text("no"), svg()]);
    let first = take(&mut cursor).unwrap();
    assert_eq!((first.left_out, first.parts), (1, 1));
    assert!(first.bytes.starts_with(b"Content-Type: image/svg+xml\r\nContent-Length: 6"));
    assert!(first.bytes.ends_with(b"<svg/>\r\n--B\r\nContent-Type: image/svg+xml\r\n\r\n"));
    let second = take(&mut cursor).unwrap();
    assert_eq!(second.bytes, "<svg/>\r\n--B\r\nContent-Type: image/svg+xml\r\n\r\n");
    assert_eq!(cursor.repeat(true).unwrap(), "<svg/>");
}

#[test]
fn held_bytes_are_bounded_whatever_the_counts_say() {
    let (publisher, feed) = feed(Kind::Lines, 100_000);
    for _ in 0..3000 {
        publisher.publish(text(vec![b'x'; 900])).unwrap();
    }
    assert!(feed.first().held_bytes <= 1 << 20);
    assert!(feed.first().held.len() > 900);
}

#[tokio::test]
async fn a_run_waits_for_its_viewer_and_ends_when_it_leaves() {
    let (publisher, feed) = feed(Kind::Run, 1);
    let mut cursor = feed.subscribe(0, None, Accepts::All);
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
fn each_loop_has_every_part_in_a_lane_of_its_own() {
    let limits = Limits { history: 10, held: 10, held_bytes: 1 << 20, part_bytes: 1000, keep_same: false };
    let (publisher, feed) = Feed::new("test", Kind::Newest, Boundary::parse("B").unwrap(), limits, 2);
    let mut cursors = [0, 1, 7].map(|shard| feed.subscribe(shard, None, Accepts::All));
    (1..=3).for_each(|n| publisher.publish(text(format!("{n}"))).unwrap());
    for cursor in &mut cursors {
        let taken = take(cursor).unwrap();
        assert_eq!((bodies(&taken), taken.dropped), (vec!["3".to_owned()], 2));
    }
    let state = serde_json::to_value(feed.state()).unwrap();
    assert_eq!((&state["viewers"], &state["dropped"]), (&3.into(), &6.into()));
}
