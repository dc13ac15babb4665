//! The ends of streams: every viewer that the server ends gets the rest and the close-delimiter.

use tokio::io::AsyncWriteExt;

use super::*;

const CLOSE: &str = "\r\n--b0undary--\r\n";

fn lines(count: u32) -> Vec<Part> {
    (1..=count).map(|n| text(format!("line {n}"))).collect()
}

/// The numbers of the lines in a stream.
fn numbers(stream: &str) -> Vec<u32> {
    stream.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_still_takes_bytes_gets_every_line_after_the_end_of_all_feeds() {
    let (publisher, setup) = setup(Kind::Lines);
    let (mut slow, stuck) = (setup.enter(64, StreamOptions::default()), setup.enter(64, StreamOptions::default()));
    publisher.publish_all(lines(500));
    drop(publisher);
    let begin = Instant::now();
    setup.opener.registry().end();
    let mut all = Vec::new();
    while slow.read_buf(&mut all).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let all = String::from_utf8(all).unwrap();
    assert_eq!(numbers(&all), (1..=500).collect::<Vec<_>>());
    assert!(all.ends_with(&format!("line 500{CLOSE}")) && begin.elapsed() > TIMES.stall, "{:?}", begin.elapsed());
    drop(slow);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(setup.viewers.count(), 0, "a viewer that takes nothing is gone after the stall time");
    assert_eq!(setup.viewers.gone.iter().find(|(name, _)| *name == "stalled"), Some(("stalled", 1)));
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn the_loop_ends_when_all_feeds_have_ended_and_its_viewers_have_left() {
    let (publisher, setup) = setup(Kind::Newest);
    let (handle, fanout) = Fanout::<DuplexStream>::new(setup.opener.registry().clone(), setup.pending.clone(), 0, TIMES);
    let serving = tokio::spawn(fanout.run(CancellationToken::new()));
    publisher.publish(text("part")).unwrap();
    let setup = Setup { fanout: handle, ..setup };
    let viewer = setup.enter(1 << 16, StreamOptions::default());
    setup.opener.registry().end();
    assert!(read_all(viewer).await.ends_with(&format!("part{CLOSE}")));
    let begin = Instant::now();
    serving.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn the_loop_ends_though_all_feeds_had_ended_before_it_began() {
    let (publisher, setup) = setup(Kind::Lines);
    publisher.publish_last(text("part")).unwrap();
    setup.opener.registry().end();
    let (_handle, fanout) = Fanout::<DuplexStream>::new(setup.opener.registry().clone(), setup.pending.clone(), 0, TIMES);
    let serving = tokio::spawn(fanout.run(CancellationToken::new()));
    tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_part_that_waits_for_its_time_is_sent_at_shutdown() {
    let (publisher, setup) = setup(Kind::Newest);
    let viewer = setup.enter(1 << 16, StreamOptions { interval: Some(Duration::from_secs(60)), ..StreamOptions::default() });
    for part in ["one", "two"] {
        publisher.publish(text(part)).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begin = Instant::now();
    setup.shutdown.cancel();
    setup.opener.registry().end();
    let stream = read_all(viewer).await;
    assert!(stream.contains("one") && stream.ends_with(&format!("two{CLOSE}")), "{stream}");
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_closes_its_sending_side_gets_the_parts_that_it_asked_for_and_the_end() {
    let (publisher, setup) = setup(Kind::Newest);
    let mut viewer = setup.enter(1 << 16, StreamOptions { parts: Some(3), ..StreamOptions::default() });
    viewer.shutdown().await.unwrap();
    for n in 1..=3 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        publisher.publish(text(format!("line {n}"))).unwrap();
    }
    let mut stream = read_all(viewer).await;
    assert!(stream.ends_with(&format!("line 3{CLOSE}")), "{stream}");
    stream = without_times(&stream);
    assert!((1..=3).all(|n| stream.contains(&format!("X-Sequence: {n}\r\n\r\nline {n}\r\n"))), "{stream}");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.viewers.gone.iter().find(|(_, count)| *count > 0), Some(("finished", 1)));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_closes_its_sending_side_gets_what_is_there_and_the_end() {
    let (publisher, setup) = setup(Kind::Lines);
    let early = setup.enter(1 << 16, StreamOptions::default());
    let (mut with_request, mut later) = (setup.enter(64, StreamOptions::default()), setup.enter(1 << 16, StreamOptions::default()));
    with_request.shutdown().await.unwrap();
    publisher.publish_all(lines(50));
    read_until(&mut later, "line 50\r\n--b0undary\r\n").await;
    later.shutdown().await.unwrap();
    let stream = read_all(with_request).await;
    assert!(numbers(&stream) == [numbers(&stream)[0]] || stream.ends_with(CLOSE), "{stream}");
    let rest = without_times(&read_all(later).await);
    assert_eq!(
        rest,
        format!("Content-Type: text/plain\r\nContent-Length: 7\r\nX-Sequence: 50\r\n\r\nline 50{CLOSE}"),
        "the delimiter was out already"
    );
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.viewers.count(), 1);
    assert_eq!(setup.viewers.gone.iter().find(|(_, count)| *count > 0), Some(("left", 2)));
    drop(early);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_left_though_it_asked_for_more_parts_is_gone_in_a_limited_time() {
    for keepalive in [TIMES.keepalive, None] {
        let (publisher, setup) = setup(Kind::Newest);
        let times = Times { keepalive, ..TIMES };
        let (handle, fanout) = Fanout::new(setup.opener.registry().clone(), setup.pending.clone(), 0, times);
        tokio::spawn(fanout.run(setup.shutdown.clone()));
        let setup = Setup { fanout: handle, ..setup };
        for has_part in [false, true] {
            drop(setup.enter(1 << 16, StreamOptions { parts: Some(3), ..StreamOptions::default() }));
            tokio::time::sleep(TIMES.stall + Duration::from_secs(1)).await;
            assert_eq!(setup.viewers.count(), 0, "{keepalive:?} {has_part}");
            publisher.publish(text(format!("part, {has_part}"))).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_part_of_a_removed_feed_is_repeated_at_the_end_of_all_feeds() {
    let (publisher, setup) = setup(Kind::Newest);
    let mut viewer = setup.enter_all(1 << 16);
    publisher.publish(text("part")).unwrap();
    read_until(&mut viewer, "part\r\n--b0undary\r\n").await;
    let silent = setup.opener.open("silent", Kind::Newest);
    assert!(setup.opener.remove("test"));
    tokio::time::sleep(Duration::from_millis(1)).await;
    setup.opener.registry().end();
    let end = without_times(&read_all(viewer).await);
    assert!(end.ends_with(&format!("X-Sequence: 1\r\n\r\npart{CLOSE}")), "{end}");
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn viewers_of_all_feeds_get_the_end_at_shutdown_though_the_source_still_works() {
    let (publisher, setup) = setup(Kind::Newest);
    let viewer = setup.enter_all(1 << 16);
    publisher.publish(text("part")).unwrap();
    setup.shutdown.cancel();
    setup.opener.registry().end();
    assert!(read_all(viewer).await.ends_with(&format!("part{CLOSE}")));
    let late = setup.opener.open("late", Kind::Newest);
    assert!(late.feed().has_ended(), "no feed begins after the end");
}
