//! Viewers that go on where an earlier connection of theirs broke off: the bytes that they get.

use super::*;
use crate::feed::StartAt;

/// A viewer that has the parts up to `after`.
fn resume(setup: &Setup, after: u64) -> DuplexStream {
    let (ours, theirs) = duplex(1 << 16);
    let subscription = setup.feed.subscribe_from(0, StartAt { history: None, after: Some(after) });
    let cursors = vec![Cursor::new(subscription, Accepts::All)];
    let permit = setup.viewers.enter(None).unwrap();
    let options = StreamOptions::default();
    setup.fanout.admit(Viewer::new(theirs, cursors, setup.feed.boundary().clone(), options, permit));
    ours
}

/// The bytes of the part of this sequence, up to the delimiter after it.
fn part(sequence: u64, dropped: Option<u64>) -> String {
    let body = format!("part {sequence}");
    let dropped = dropped.map_or_else(String::new, |dropped| format!("X-Dropped: {dropped}\r\n"));
    format!(
        "{dropped}Content-Type: text/plain\r\nContent-Length: {}\r\nX-Sequence: {sequence}\r\n\r\n{body}\r\n--b0undary",
        body.len()
    )
}

fn publish(publisher: &Publisher, sequences: std::ops::RangeInclusive<u64>) {
    sequences.for_each(|sequence| publisher.publish(text(format!("part {sequence}"))).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_resumes_gets_the_lines_behind_those_that_it_has() {
    let (publisher, setup) = setup(Kind::Lines);
    publish(&publisher, 1..=5);
    let mut viewer = resume(&setup, 3);
    let begin = read_until(&mut viewer, "part 5\r\n--b0undary\r\n").await;
    assert_eq!(without_times(&begin), format!("--b0undary\r\n{}\r\n{}\r\n", part(4, None), part(5, None)));
    drop(publisher);
    assert_eq!(without_times(&read_all(viewer).await), part(5, None) + "--\r\n");
    let ended = read_all(resume(&setup, 3)).await;
    assert_eq!(
        without_times(&ended),
        format!("--b0undary\r\n{}\r\n{}--\r\n", part(4, None), part(5, None)),
        "also of an ended feed"
    );
    assert_eq!(read_all(resume(&setup, 5)).await, "--b0undary--\r\n", "it has all");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_has_the_newest_part_gets_a_delimiter_at_once_and_the_part_only_to_keep_it_alive() {
    for kind in [Kind::Lines, Kind::Newest] {
        let (publisher, setup) = setup(kind);
        publish(&publisher, 1..=2);
        let mut viewer = resume(&setup, 2);
        let start = Instant::now();
        read_until(&mut viewer, "--b0undary\r\n").await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let again = read_until(&mut viewer, "\r\n--b0undary\r\n").await;
        assert_eq!((without_times(&again), start.elapsed().as_secs()), (part(2, None) + "\r\n", 5), "{kind:?}");
        publish(&publisher, 3..=3);
        assert_eq!(without_times(&read_until(&mut viewer, "\r\n--b0undary\r\n").await), part(3, None) + "\r\n");
        drop(publisher);
        assert_eq!(without_times(&read_all(viewer).await), part(3, None) + "--\r\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_was_away_for_too_long_is_told_exactly_how_many_parts_it_missed() {
    let (publisher, lines) = setup(Kind::Lines);
    publish(&publisher, 1..=1500);
    let mut viewer = resume(&lines, 100);
    let begin = read_until(&mut viewer, "\r\n--b0undary\r\n").await;
    assert_eq!(without_times(&begin), format!("--b0undary\r\n{}\r\n", part(501, Some(400))), "1,000 are held");
    let rest = read_until(&mut viewer, "part 1500\r\n--b0undary\r\n").await;
    assert_eq!(without_times(&rest), (502..=1500).map(|sequence| part(sequence, None) + "\r\n").collect::<String>());
    assert_eq!(lines.feed.state().dropped, 0, "it was away, not slow");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_pictures_resumes_with_the_newest_one() {
    let (publisher, setup) = setup(Kind::Newest);
    publish(&publisher, 1..=9);
    let begin = read_until(&mut resume(&setup, 5), "\r\n--b0undary\r\n").await;
    assert_eq!(without_times(&begin), format!("--b0undary\r\n{}\r\n", part(9, Some(3))));
    let begin = read_until(&mut resume(&setup, 8), "\r\n--b0undary\r\n").await;
    assert_eq!(without_times(&begin), format!("--b0undary\r\n{}\r\n", part(9, None)));
    assert_eq!(setup.feed.state().dropped, 0, "it was away, not slow");
}

#[tokio::test(start_paused = true)]
async fn a_sequence_that_the_feed_has_not_reached_is_of_no_use() {
    for kind in [Kind::Lines, Kind::Newest] {
        let (publisher, setup) = setup(kind);
        // Without a part there is nothing to repeat.
        let mut early = resume(&setup, 0);
        publish(&publisher, 1..=3);
        for after in [4, u64::MAX] {
            let begin = read_until(&mut resume(&setup, after), "\r\n--b0undary\r\n").await;
            assert_eq!(without_times(&begin), format!("--b0undary\r\n{}\r\n", part(3, None)), "{kind:?}, {after}");
        }
        let first = read_until(&mut early, "\r\n--b0undary\r\n").await;
        let expected = if kind == Kind::Lines { part(1, None) } else { part(3, Some(2)) };
        assert_eq!(without_times(&first), format!("--b0undary\r\n{expected}\r\n"), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_all_feeds_resumes_in_each_that_it_names() {
    let (publisher, setup) = setup(Kind::Lines);
    let other = setup.opener.open("an: other", Kind::Lines);
    publish(&publisher, 1..=3);
    publish(&other, 1..=3);
    let (mut ours, theirs) = duplex(1 << 16);
    let after = [("test".to_owned(), 3), ("an: other".to_owned(), 1), ("gone".to_owned(), 1)].into();
    let all = AllFeeds::new(setup.opener.registry().clone(), 0, None, Accepts::All).after(after);
    let (boundary, permit) = (setup.feed.boundary().clone(), setup.viewers.enter(None).unwrap());
    let options = StreamOptions { all: Some(all), ..StreamOptions::default() };
    setup.fanout.admit(Viewer::new(theirs, vec![], boundary, options, permit));
    let named = |name: &str, sequence| format!("X-Feed: {name}\r\n{}\r\n", part(sequence, None));
    let begin = read_until(&mut ours, "part 3\r\n--b0undary\r\n").await;
    assert_eq!(without_times(&begin), format!("--b0undary\r\n{}{}", named("an%3A%20other", 2), named("an%3A%20other", 3)));
    publish(&publisher, 4..=4);
    assert_eq!(without_times(&read_until(&mut ours, "\r\n--b0undary\r\n").await), named("test", 4));
}
