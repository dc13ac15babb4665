//! A recording that goes on: what it has is not recorded again, and nothing else is left out.

use super::*;

/// Records these parts in a run of its own, and returns how many of them were there already.
fn run(place: Box<dyn Place>, parts: impl IntoIterator<Item = RecordedPart>) -> u64 {
    let recorder = Recorder::start(place, RecorderSettings::default()).unwrap();
    let counters = recorder.counters();
    parts.into_iter().for_each(|part| assert!(recorder.push(part)));
    recorder.finish();
    counters.repeated()
}

fn line(sequence: u64, second: f64, body: &str) -> RecordedPart {
    RecordedPart { time: at(second), ..recorded(sequence, body.to_owned()) }
}

fn texts(path: &Path) -> Vec<String> {
    bodies_of(path).iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect()
}

#[test]
fn what_an_upstream_still_holds_is_recorded_once_however_often_a_recording_goes_on() {
    let (_folder, path) = recording_of(&[]);
    let file = || Box::new(SingleFile(path.clone()));
    let held = |until: u64| (1..=until).map(|number| line(number, number as f64, &format!("{number}")));
    assert_eq!([run(file(), held(3)), run(file(), held(3)), run(file(), held(5))], [0, 3, 3]);
    // The upstream has dropped two lines, and the next run counts anew.
    assert_eq!(run(file(), (3..=6).map(|number| line(number - 2, number as f64, &format!("{number}")))), 3);
    assert_eq!(texts(&path), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn of_parts_with_one_time_as_many_are_left_out_as_there_are() {
    let (_folder, path) = recording_of(&[]);
    let file = || Box::new(SingleFile(path.clone()));
    run(file(), [line(1, 1.0, "a"), line(2, 1.0, "b")]);
    // The run before ended in the middle of them.
    assert_eq!(run(file(), [line(1, 1.0, "a"), line(2, 1.0, "b"), line(3, 1.0, "c")]), 2);
    assert_eq!(run(file(), [line(1, 1.0, "longer"), line(2, 0.5, "set back"), line(3, 2.0, "d"), line(4, 1.0, "a")]), 0);
    assert_eq!(texts(&path), ["a", "b", "c", "longer", "set back", "d", "a"], "a clock that was set back loses nothing");
}

#[test]
fn feeds_are_told_apart_when_a_recording_goes_on() {
    let (_folder, path) = recording_of(&[]);
    let of = |feed: &str| RecordedPart { feed: feed.into(), ..line(1, 1.0, feed) };
    for feeds in [&["one"][..], &["one", "two"], &["one", "two", "three"]] {
        run(Box::new(SingleFile(path.clone())), feeds.iter().map(|feed| of(feed)));
    }
    assert_eq!(texts(&path), ["one", "two", "three"]);
}

#[test]
fn a_directory_that_goes_on_knows_what_its_segments_have() {
    let folder = tempfile::tempdir().unwrap();
    let place = || Box::new(SegmentPlace::new(folder.path().to_owned(), Some(SegmentLimit::Bytes(700)), None));
    let slow = || RecordedPart { feed: "slow".into(), ..line(1, 0.0, "picture") };
    let held = |until: u64| std::iter::once(slow()).chain((1..=until).map(|number| line(number, number as f64, "x")));
    assert_eq!([run(place(), held(6)), run(place(), held(6)), run(place(), held(8))], [0, 7, 7]);
    let segments = segments_of(folder.path()).unwrap();
    let bodies: Vec<String> = segments.iter().flat_map(|segment| texts(&segment.path)).collect();
    assert_eq!(bodies.iter().filter(|body| *body == "x").count(), 8, "{bodies:?}");
    assert_eq!(bodies.iter().filter(|body| *body == "picture").count(), 1, "the segment with its part is not the newest");
    assert!(segments.len() > 2);
}

#[test]
fn the_end_of_a_large_file_is_enough_to_go_on() {
    let (_folder, path) = recording_of(&[]);
    let file = || Box::new(SingleFile(path.clone()));
    let large = |number: u64| RecordedPart { body: vec![b'x'; 9 << 20].into(), ..line(number, number as f64, "") };
    run(file(), (1..=3).map(large));
    // The whole of the last part is longer than the end that is looked at.
    run(file(), [RecordedPart { body: vec![b'x'; 20 << 20].into(), ..line(4, 4.0, "") }]);
    assert_eq!(run(file(), [RecordedPart { body: vec![b'x'; 20 << 20].into(), ..line(1, 4.0, "") }]), 1);
}

#[test]
fn a_recording_without_a_part_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    run(Box::new(SingleFile(path.clone())), []);
    assert!(!path.exists());
    run(Box::new(SingleFile(path.clone())), [recorded(1, "a")]);
    assert_eq!(texts(&path), ["a"]);
    let missing = Recorder::start(Box::new(SingleFile(folder.path().join("none/a.mxr"))), RecorderSettings::default());
    assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound, "it is told at the start");
}

#[test]
fn a_directory_in_which_one_deletes_has_one_recorder() {
    let folder = tempfile::tempdir().unwrap();
    let start = |keep: Option<Keep>| {
        let place = SegmentPlace::new(folder.path().to_owned(), None, keep.map(Retention::new));
        Recorder::start(Box::new(place), RecorderSettings::default())
    };
    let keep = Some(Keep::Bytes(1 << 20));
    let deletes = start(keep).unwrap();
    for other in [None, keep] {
        assert!(start(other).unwrap_err().to_string().contains("another program records to it"));
    }
    deletes.finish();
    let (one, two) = (start(None).unwrap(), start(None).unwrap());
    assert!(start(keep).unwrap_err().to_string().contains("would be deleted"), "what they record is not deleted");
    one.finish();
    two.finish();
    start(keep).unwrap().finish();
}
