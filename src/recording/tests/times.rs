//! Parts by their time, and when they are due, whatever clocks do.

use std::sync::Arc;

use super::*;

/// A recording of parts with these times, in seconds.
fn recording_at(times: &[f64]) -> (TempDir, Arc<Archive>) {
    let (folder, path) = recording_of(&[]);
    let (mut appender, _) = Appender::open(OpenOptions::new().read(true).write(true).open(&path).unwrap()).unwrap();
    for (time, sequence) in times.iter().zip(1..) {
        let part = RecordedPart { time: at(*time), ..recorded(sequence, "a") };
        appender.append(&part, ClockReading { name: 1, at: Duration::from_secs(sequence) }).unwrap();
    }
    let archive = Arc::new(Archive::open(path));
    while archive.refresh().is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    (folder, archive)
}

fn sequence_of(part: &ArchivePart) -> Option<u64> {
    FoundReader::default().head(part).unwrap().headers.sequence
}

fn sequence_at(archive: &Archive, time: f64) -> Option<u64> {
    sequence_of(&archive.find("a", Seek::At(at(time))).unwrap()?)
}

#[test]
fn a_time_finds_the_newest_part_at_or_before_it() {
    let (_folder, archive) = recording_at(&[1.0, 2.0, 2.0, 5.0]);
    let found = [0.5, 1.0, 1.9, 2.0, 4.9, 5.0, 99.0].map(|time| sequence_at(&archive, time));
    assert_eq!(found, [None, Some(1), Some(1), Some(3), Some(3), Some(4), Some(4)]);
    assert_eq!(archive.find("b", Seek::At(at(1.0))).unwrap(), None, "of that feed alone");
    assert_eq!(archive.span("a").unwrap(), ArchiveSpan { first: at(1.0), last: at(5.0), count: 4 });
}

#[test]
fn both_sides_of_a_clock_that_jumps_are_found() {
    const DAY: f64 = 86_400.0;
    // Forward for good, back by an hour, and a day ahead for a moment.
    let (_folder, archive) = recording_at(&[1.0, 2.0, DAY, DAY + 1.0]);
    assert_eq!([1.5, 3.0, DAY + 0.5, DAY * 2.0].map(|time| sequence_at(&archive, time)), [Some(1), Some(2), Some(3), Some(4)]);
    let (_folder, archive) = recording_at(&[3600.0, 3601.0, 1.0, 2.0, 3600.5]);
    assert_eq!([1.5, 3600.2, 3600.7, 3601.0].map(|time| sequence_at(&archive, time)), [Some(3), Some(1), Some(5), Some(5)]);
    let (_folder, archive) = recording_at(&[1.0, DAY, DAY + 1.0, 4.0, 5.0]);
    assert_eq!([1.0, 4.9, DAY + 0.5, DAY + 9.0].map(|time| sequence_at(&archive, time)), [Some(1), Some(4), Some(2), Some(5)]);
}

#[test]
fn a_range_is_thinned_out_evenly() {
    let times: Vec<f64> = (0..101).map(f64::from).collect();
    let (_folder, archive) = recording_at(&times);
    let between = |from, to, max| -> Vec<u64> {
        let range = (at(from), at(to));
        let parts = archive.spread("a", range, &[], max).into_iter();
        let recorded = parts.filter_map(|part| if let SpreadPart::Recorded(found) = part { Some(found) } else { None });
        recorded.filter_map(|found| sequence_of(&found)).collect()
    };
    assert_eq!(between(0.0, 100.0, 5), [1, 26, 51, 76, 101]);
    assert_eq!(between(10.0, 12.0, 5), [11, 12, 13]);
    assert_eq!((between(10.0, 12.0, 1), between(10.0, 12.0, 0), between(200.0, 300.0, 9)), (vec![13], vec![], vec![]));
}

fn head(clock: Option<(u32, f64)>, time: Option<f64>) -> PartHead {
    let mut head =
        PartHead { clock: clock.map(|(name, at)| ClockReading { name, at: Duration::from_secs_f64(at) }), ..PartHead::default() };
    head.headers.time = time.map(at);
    head
}

fn due(pacing: &mut Pacing, heads: &[PartHead]) -> Vec<f64> {
    heads.iter().map(|head| pacing.due(head).as_secs_f64()).collect()
}

#[test]
fn pacing_follows_the_clock_that_never_jumps() {
    let mut pacing = Pacing::new(1.0, None, Duration::ZERO);
    let heads = [
        head(Some((1, 10.0)), Some(0.0)),
        head(Some((1, 11.0)), Some(86_400.0)),
        head(Some((1, 12.0)), Some(2.0)),
        // Another run: the times tell how long nothing was recorded.
        head(Some((2, 0.5)), Some(9.0)),
        head(Some((2, 1.5)), Some(9.0)),
        // And again, on a machine whose clock is behind.
        head(Some((3, 0.0)), Some(1.0)),
        head(None, Some(3.0)),
    ];
    assert_eq!(due(&mut pacing, &heads), [0.0, 1.0, 2.0, 9.0, 10.0, 10.0, 12.0]);
}

#[test]
fn pauses_are_limited_before_the_speed_applies() {
    let heads = [0.0, 1.0, 61.0, 62.0].map(|clock| head(Some((1, clock)), None));
    let played = |speed, limit: Option<u64>| due(&mut Pacing::new(speed, limit.map(Duration::from_secs), Duration::ZERO), &heads);
    assert_eq!(played(2.0, Some(2)), [0.0, 0.5, 1.5, 2.0]);
    assert_eq!(played(1.0, None), [0.0, 1.0, 61.0, 62.0]);
    assert_eq!(played(1.0, Some(0)), [0.0; 4], "0 leaves out all pauses");
}

#[test]
fn a_thousand_pauses_add_up_to_what_they_are() {
    let mut pacing = Pacing::new(1.0, None, Duration::ZERO);
    let heads: Vec<PartHead> = (0..=1000).map(|part| head(Some((1, f64::from(part) * 0.01)), None)).collect();
    assert!((due(&mut pacing, &heads)[1000] - 10.0).abs() < 0.001);
}
