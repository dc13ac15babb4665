//! How often a viewer gets parts, and what that costs: rates, dropped parts, repeats, and the work of the loop in counts.

use super::*;
use crate::{feed::tests::LOCKS, format::ImageClass, wire::Layout};

fn fps(fps: u32) -> StreamOptions {
    StreamOptions { interval: Some(Duration::from_secs(1) / fps), ..StreamOptions::default() }
}

fn picture(n: u32) -> Part {
    Part { class: ImageClass::Svg, ..Part::now(Media::from_known("image/svg+xml"), format!("<svg>{n}</svg>")) }
}

/// The sum of the dropped parts that a stream reports.
fn reported(stream: &str) -> u64 {
    stream.lines().filter_map(|line| line.strip_prefix("X-Dropped: ")?.parse::<u64>().ok()).sum()
}

#[tokio::test(start_paused = true)]
async fn fps_thins_lines_to_the_newest_and_tells_the_dropped_ones() {
    let (publisher, setup) = setup(Kind::Lines);
    let mut viewer = setup.enter(1 << 16, fps(2));
    for n in 1..=200 {
        publisher.publish(text(format!("line {n}"))).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut seen = vec![0; 1 << 16];
    let count = viewer.read(&mut seen).await.unwrap();
    let stream = String::from_utf8(seen[..count].to_vec()).unwrap();
    let newest: u64 = stream.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).max().unwrap();
    assert!((185..=200).contains(&newest), "after ten seconds it sees line {newest} of 200");
    let parts = stream.matches("X-Sequence").count() as u64;
    assert!((19..=22).contains(&parts), "{parts} parts in ten seconds");
    assert_eq!(parts + reported(&stream), newest, "each line is sent or reported");
    drop(publisher);
    assert!(read_all(viewer).await.contains("line 200"), "the last line is sent");
}

#[tokio::test(start_paused = true)]
async fn fps_plays_the_history_that_was_asked_for_and_then_the_newest() {
    let (publisher, setup) = setup(Kind::Lines);
    publisher.publish_all((1..=5).map(|n| text(format!("line {n}"))).collect());
    let cursor = Cursor::new(setup.feed.subscribe(0, Some(3)), Accepts::All);
    let (ours, theirs) = duplex(1 << 16);
    let permit = setup.viewers.enter(None).unwrap();
    setup.fanout.admit(Viewer::new(theirs, vec![cursor], setup.feed.boundary().clone(), fps(10), permit));
    publisher.publish_all((6..=9).map(|n| text(format!("line {n}"))).collect());
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(publisher);
    let stream = read_all(ours).await;
    let mut lines: Vec<_> = stream.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    lines.dedup();
    assert_eq!((lines, reported(&stream)), (vec!["3", "4", "5", "9"], 3));
}

#[tokio::test(start_paused = true)]
async fn each_feed_of_a_browser_that_watches_all_has_the_full_rate() {
    let (publisher, setup) = setup(Kind::Newest);
    let publishers = [publisher, setup.opener.open("two", Kind::Newest), setup.opener.open("three", Kind::Newest)];
    let all = Some(AllFeeds::new(setup.opener.registry().clone(), 0, None, Accepts::All));
    let picture_interval = Some(Duration::from_secs(1) / 60);
    let viewer = setup.enter(1 << 20, StreamOptions { all, picture_interval, ..StreamOptions::default() });
    for n in 0..600 {
        publishers.iter().for_each(|publisher| publisher.publish(picture(n)).unwrap());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop((publishers, setup.opener));
    let stream = read_all(viewer).await;
    for name in ["test", "two", "three"] {
        let parts = stream.matches(&format!("X-Feed: {name}\r\n")).count();
        assert!((170..=200).contains(&parts), "{name}: {parts} pictures in three seconds");
    }
}

#[tokio::test(start_paused = true)]
async fn pictures_that_a_viewer_of_all_feeds_missed_while_it_was_busy_are_reported() {
    let (publisher, setup) = setup(Kind::Newest);
    let mut viewer = setup.enter_all(8);
    for n in 0..10 {
        publisher.publish(picture(n)).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stream = read_until(&mut viewer, "<svg>9</svg>\r\n--b0undary\r\n").await;
    assert_eq!((stream.matches("X-Sequence").count(), reported(&stream)), (2, 8), "{stream}");
    assert_eq!(setup.feed.state().dropped, 8);
}

#[tokio::test(start_paused = true)]
async fn a_small_first_picture_is_repeated_until_a_browser_has_1024_bytes() {
    let (publisher, setup) = setup(Kind::Newest);
    publisher.publish(picture(1)).unwrap();
    let mut chromium = setup.enter_as(Accepts::Pictures(Layout::EarlyHeaders), 1 << 16, StreamOptions::default());
    let mut firefox = setup.enter_as(Accepts::Pictures(Layout::Plain), 1 << 16, StreamOptions::default());
    let mut once = setup.enter_as(
        Accepts::Pictures(Layout::EarlyHeaders),
        1 << 16,
        StreamOptions { parts: Some(1), ..StreamOptions::default() },
    );
    let read = async |viewer: &mut DuplexStream| {
        let mut bytes = vec![0; 1 << 16];
        let count = viewer.read(&mut bytes).await.unwrap();
        without_times(std::str::from_utf8(&bytes[..count]).unwrap())
    };
    let head = "Content-Type: image/svg+xml\r\nContent-Length: 12\r\nX-Sequence: 1\r\n\r\n";
    let next = "<svg>1</svg>\r\n--b0undary\r\nContent-Type: image/svg+xml\r\n\r\n";
    let first = read(&mut chromium).await;
    let repeats = first.matches(next).count();
    assert_eq!(first, format!("--b0undary\r\n{head}{}", next.repeat(repeats)));
    let bytes = first.len() + "X-Timestamp: 1764000000.123456\r\n".len();
    assert!((1024..1024 + next.len()).contains(&bytes), "{bytes} bytes in {repeats} pictures");
    assert_eq!(read(&mut firefox).await, format!("--b0undary\r\n{head}<svg>1</svg>\r\n--b0undary\r\n"));
    assert_eq!(read(&mut once).await, format!("--b0undary\r\n{head}<svg>1</svg>\r\n--b0undary--\r\n"));
    publisher.publish(picture(2)).unwrap();
    assert_eq!(read(&mut chromium).await, next.replace('1', "2"), "never while pictures flow");
}

#[tokio::test(start_paused = true)]
async fn repeats_cost_a_look_at_each_viewer_that_is_due_and_at_no_other() {
    let (publisher, setup) = setup(Kind::Newest);
    publisher.publish(text("part")).unwrap();
    let mut viewers = Vec::new();
    for _ in 0..100 {
        viewers.push(setup.enter(1 << 16, StreamOptions::default()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = LOOKS.get();
    tokio::time::sleep(Duration::from_secs(50)).await;
    let looks = LOOKS.get() - before;
    // Ten repeats for each, and none of the others is looked at in between.
    assert!((950..=1050).contains(&looks), "{looks} looks for 1000 repeats");
}

#[tokio::test(start_paused = true)]
async fn a_part_costs_a_viewer_of_many_feeds_a_few_locks_of_each() {
    const FEEDS: usize = 200;
    let (publisher, setup) = setup(Kind::Newest);
    let publishers: Vec<_> = (1..FEEDS).map(|n| setup.opener.open(format!("feed {n}"), Kind::Newest)).collect();
    for publisher in publishers.iter().chain([&publisher]) {
        publisher.publish(picture(0)).unwrap();
    }
    let all = Some(AllFeeds::new(setup.opener.registry().clone(), 0, None, Accepts::All));
    let picture_interval = Some(Duration::from_secs(1) / 60);
    let before = LOCKS.get();
    let mut viewer = setup.enter(1 << 20, StreamOptions { all, picture_interval, ..StreamOptions::default() });
    let mut bytes = vec![0; 1 << 20];
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = viewer.read(&mut bytes).await.unwrap();
    assert_eq!(bytes[..read].windows(6).filter(|six| six == b"X-Feed").count(), FEEDS);
    let first = LOCKS.get() - before;
    assert!(first <= 12 * FEEDS, "{first} locks for the first part of each of {FEEDS} feeds");
    let before = LOCKS.get();
    for n in 1..=10 {
        publisher.publish(picture(n)).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let later = LOCKS.get() - before;
    // With io-uring every viewer is looked at once more, before the sends that are submitted together.
    let looks = if cfg!(all(feature = "io-uring", target_os = "linux")) { 5 } else { 3 };
    assert!(later <= 10 * looks * FEEDS, "{later} locks for ten parts");
}
