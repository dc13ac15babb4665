//! What is found in a recording that grows, of one file or of many, and what a copy of a stretch has.

use std::sync::Arc;

use super::*;
use crate::recording::place::SegmentPlace;

fn ever() -> (SystemTime, SystemTime) {
    (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(250_000_000_000))
}

/// A file or a segment with parts of these feeds and times, which are counted through.
fn write(appender: &mut Appender, parts: &[(&str, f64)]) {
    for ((feed, time), sequence) in parts.iter().zip(1..) {
        let body = format!("{feed} {time}");
        let part = RecordedPart { feed: (*feed).into(), time: at(*time), ..recorded(sequence, body) };
        appender.append(&part, ClockReading { name: 1, at: Duration::from_secs(sequence) }).unwrap();
    }
}

fn append(path: &Path, parts: &[(&str, f64)]) {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    write(&mut Appender::open(file).unwrap().0, parts);
}

fn segment(folder: &Path, parts: &[(&str, f64)]) -> PathBuf {
    let mut opened = SegmentPlace::new(folder.to_owned(), None, None).open(at(parts[0].1)).unwrap();
    write(&mut opened.appender, parts);
    opened.path
}

fn archive(path: &Path) -> Arc<Archive> {
    let archive = Arc::new(Archive::open(path));
    refresh(&archive);
    archive
}

/// Brings the index up to date, however slow the machine is.
fn refresh(archive: &Arc<Archive>) {
    while archive.refresh().is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn body_of(found: &ArchivePart) -> String {
    let mut reader = FoundReader::default();
    let head = reader.head(found).unwrap();
    String::from_utf8(reader.into_recording().unwrap().body(&head, 1 << 20).unwrap().to_vec()).unwrap()
}

/// How many parts have times in this range.
fn count(archive: &Archive, range: (SystemTime, SystemTime)) -> usize {
    archive.newest(Some("a"), range, &[], usize::MAX).count
}

/// The body of the part that is found, without the feed before it.
fn find(archive: &Arc<Archive>, seek: Seek) -> String {
    refresh(archive);
    let found = archive.find("a", seek).unwrap();
    found.map_or_else(|| "none".to_owned(), |found| body_of(&found)[2..].to_owned())
}

fn exported(archive: &Archive, feed: Option<&str>, range: (SystemTime, SystemTime), newest: Option<usize>) -> Vec<u8> {
    let NewestParts { from, without, .. } = archive.newest(feed, range, &[], newest.unwrap_or(usize::MAX));
    let extents = archive.extents(feed, (from, range.1));
    let (feed, unnamed) = (feed.map(str::to_owned), archive.unnamed().to_owned());
    let stretch = ArchiveStretch { feed, from, to: range.1, without, unnamed };
    let mut export = Export::new(stretch, Vec::new(), extents, Vec::new());
    std::iter::from_fn(|| export.next_chunk().unwrap()).collect::<Vec<_>>().concat()
}

/// The bodies in the copy of a stretch, which is a recording itself.
fn bodies_in(bytes: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.mxr");
    std::fs::write(&path, bytes).unwrap();
    bodies_of(&path).iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect()
}

#[test]
fn a_recording_that_is_not_there_yet_is_empty_until_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    let archive = archive(&path);
    assert_eq!((archive.span("a"), archive.feeds().len(), archive.has("a")), (None, 0, false));
    assert_eq!(find(&archive, Seek::At(at(9.0))), "none");
    append(&path, &[("a", 1.0)]);
    assert_eq!(find(&archive, Seek::At(at(9.0))), "1");
}

#[test]
fn a_part_that_was_recorded_a_moment_ago_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    append(&path, &[]);
    let (archive, file) = (archive(&path), OpenOptions::new().read(true).write(true).open(&path).unwrap());
    let mut appender = Appender::open(file).unwrap().0;
    for second in 1..100 {
        write(&mut appender, &[("a", f64::from(second))]);
        assert_eq!(find(&archive, Seek::At(at(1e6))), second.to_string());
    }
    assert_eq!(archive.span("a").unwrap(), ArchiveSpan { first: at(1.0), last: at(99.0), count: 99 });
}

#[test]
fn so_is_one_in_a_new_segment_also_where_the_clock_was_set_back() {
    let folder = tempfile::tempdir().unwrap();
    for second in 0..20 {
        segment(folder.path(), &[("a", f64::from(second) * 10.0)]);
    }
    let archive = archive(folder.path());
    assert_eq!(find(&archive, Seek::At(at(1e6))), "190");
    // Sorted by its name it is among the others.
    let back = segment(folder.path(), &[("a", 55.0)]);
    assert_eq!(find(&archive, Seek::At(at(56.0))), "55");
    append(&back, &[("a", 56.0)]);
    assert_eq!(find(&archive, Seek::At(at(59.0))), "56");
    assert_eq!(archive.span("a").map(|span| span.count), Some(22));
}

#[test]
fn both_sides_of_a_jump_are_found_in_one_file_and_in_several() {
    const DAY: f64 = 86_400.0;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    let times = [1.0, 2.0, DAY, DAY + 1.0, 3.0, 4.0, 4.0];
    append(&path, &times.map(|time| ("a", time)));
    let segments = tempfile::tempdir().unwrap();
    for times in times.chunks(2) {
        segment(segments.path(), &times.iter().map(|time| ("a", *time)).collect::<Vec<_>>());
    }
    for path in [&path, segments.path()] {
        let archive = archive(path);
        let seek = |seek: fn(SystemTime) -> Seek, time: f64| find(&archive, seek(at(time)));
        assert_eq!(
            [0.5, 1.5, 2.0, 3.5, 4.0, DAY - 1.0, DAY].map(|time| seek(Seek::At, time)),
            ["none", "1", "2", "3", "4", "4", "86400"]
        );
        assert_eq!([1.0, 3.0, DAY].map(|time| seek(Seek::Before, time)), ["none", "2", "4"]);
        assert_eq!(
            [0.0, 2.0, 3.0, 4.0, DAY, DAY + 1.0].map(|time| seek(Seek::After, time)),
            ["1", "3", "4", "86400", "86401", "none"]
        );
        assert_eq!(archive.span("a").unwrap(), ArchiveSpan { first: at(1.0), last: at(DAY + 1.0), count: 7 });
        assert_eq!((count(&archive, (at(2.0), at(4.0))), count(&archive, (at(5.0), at(6.0)))), (4, 0));
    }
    assert_eq!(find(&archive(&path), Seek::At(at(DAY * 2.0))), "4", "after all times the last that was recorded");
}

#[test]
fn of_equal_times_the_last_is_one_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    append(&path, &[("a", 1.0), ("a", 2.0), ("b", 2.0), ("a", 2.0), ("a", 3.0)]);
    let archive = archive(&path);
    let sequence = |seek| {
        let found = archive.find("a", seek).unwrap().unwrap();
        FoundReader::default().head(&found).unwrap().headers.sequence.unwrap()
    };
    assert_eq!([Seek::At(at(2.5)), Seek::After(at(1.0)), Seek::Before(at(3.0)), Seek::After(at(2.0))].map(sequence), [4, 4, 4, 5]);
    assert_eq!(archive.lacks("a", &[at(1.0), at(1.5), at(2.0), at(9.0)]), [false, true, false, true]);
    assert_eq!((archive.lacks("a", &[]), archive.lacks("x", &[at(1.0)])), (vec![], vec![true]));
}

#[test]
fn a_list_is_thinned_over_what_is_recorded_and_what_is_not_in_the_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    for second in 0..5 {
        segment(folder.path(), &[("a", f64::from(second) * 10.0), ("b", 0.0), ("a", f64::from(second) * 10.0 + 1.0)]);
    }
    let archive = archive(folder.path());
    let picked = |range, others: &[f64], max| -> Vec<String> {
        let others: Vec<SystemTime> = others.iter().map(|time| at(*time)).collect();
        let places = archive.spread("a", range, &others, max).into_iter();
        let shown = |place| match place {
            SpreadPart::Recorded(found) => body_of(&found)[2..].to_owned(),
            SpreadPart::Other(position) => format!("other {position}"),
        };
        places.map(shown).collect()
    };
    assert_eq!(picked(ever(), &[], 4), ["0", "11", "30", "41"]);
    assert_eq!(picked((at(11.0), at(31.0)), &[], 2), ["11", "31"]);
    assert_eq!(picked((at(100.0), at(200.0)), &[], 9), Vec::<String>::new());
    assert_eq!(picked((at(20.0), at(31.0)), &[19.0, 20.5, 99.0], 9), ["other 0", "20", "other 1", "21", "30", "31", "other 2"]);
    assert_eq!(picked(ever(), &[-3.0, -2.0, -1.0], 1), ["41"]);
}

#[test]
fn the_newest_are_counted_over_what_is_recorded_and_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    segment(folder.path(), &[("a", 10.0), ("b", 11.0), ("a", 11.0), ("a", 11.0), ("a", 12.0)]);
    let archive = archive(folder.path());
    let newest = |feed, others: &[f64], newest| {
        let others: Vec<SystemTime> = others.iter().map(|time| at(*time)).collect();
        let NewestParts { count, from, without } = archive.newest(feed, ever(), &others, newest);
        (count, from, without)
    };
    assert_eq!(newest(Some("a"), &[1.0, 2.0], 3), (3, at(11.0), 0), "what is in memory alone may be older");
    assert_eq!(newest(Some("a"), &[1.0, 2.0], 5), (5, at(2.0), 0));
    assert_eq!(newest(Some("a"), &[1.0, 99.0], 2), (2, at(12.0), 0));
    assert_eq!(newest(None, &[], 2), (2, at(11.0), 2), "of equal times some are left out");
    assert_eq!(newest(None, &[1.0], 99), (6, ever().0, 0));
}

#[test]
fn a_stretch_is_a_recording_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for second in [0.0, 10.0, 20.0] {
        segment(folder.path(), &[("a", second), ("b", second + 1.0), ("a", second + 2.0)]);
    }
    let archive = archive(folder.path());
    let copy = |feed, range, newest| bodies_in(&exported(&archive, feed, range, newest));
    assert_eq!(copy(None, ever(), None), ["a 0", "b 1", "a 2", "a 10", "b 11", "a 12", "a 20", "b 21", "a 22"]);
    assert_eq!(copy(Some("a"), (at(2.0), at(12.0)), None), ["a 2", "a 10", "a 12"]);
    assert_eq!(copy(None, (at(2.0), at(20.0)), Some(3)), ["b 11", "a 12", "a 20"]);
    assert_eq!(copy(Some("b"), ever(), Some(2)), ["b 11", "b 21"]);
    assert_eq!(copy(Some("b"), ever(), Some(99)), ["b 1", "b 11", "b 21"]);
    assert!(archive.extents(Some("x"), ever()).is_empty());
    // The heads are those of the parts, on whichever clock.
    let path = folder.path().join("copy");
    std::fs::write(&path, exported(&archive, Some("b"), ever(), Some(1))).unwrap();
    let head = heads_of(&mut Recording::open(&path).unwrap()).remove(0);
    assert_eq!((head.headers.time, head.headers.sequence, head.feed.as_deref()), (Some(at(21.0)), Some(2), Some("b")));
    assert_eq!(head.clock, Some(ClockReading { name: 1, at: Duration::from_secs(2) }));
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(text.find("--mxr-"), Some(100), "as in each recording");
}

#[test]
fn an_empty_body_and_one_with_the_boundary_are_copied_as_they_are() {
    let (_folder, path) = recording_of(&[b"first"]);
    let boundary = Recording::open(&path).unwrap().head().boundary.clone();
    let nasty = format!("x\r\n--{boundary}\r\n\r\n--{boundary}--\r\n");
    append_to(&path, &[b"", nasty.as_bytes(), b"last"]);
    let archive = archive(&path);
    assert_eq!(bodies_in(&exported(&archive, None, ever(), None)), ["first", "", &nasty, "last"]);
    assert_eq!(count(&archive, ever()), 4);
}

#[test]
fn a_large_body_is_copied_in_pieces() {
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (_folder, path) = recording_of(&[b"small", &large, b"small"]);
    let archive = archive(&path);
    let extents = archive.extents(None, ever());
    let stretch = ArchiveStretch { feed: None, from: ever().0, to: ever().1, without: 0, unnamed: "a".to_owned() };
    let mut export = Export::new(stretch, Vec::new(), extents, vec![recorded(9, "in memory")]);
    let chunks: Vec<Bytes> = std::iter::from_fn(|| export.next_chunk().unwrap()).collect();
    assert!(chunks.len() > 10 && chunks.iter().all(|chunk| chunk.len() < 300 << 10), "{}", chunks.len());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("copy"), chunks.concat()).unwrap();
    let bodies = bodies_of_large(&folder.path().join("copy"));
    assert_eq!(bodies, [&b"small"[..], &large, b"small", b"in memory"]);
}

fn bodies_of_large(path: &Path) -> Vec<Bytes> {
    let mut recording = Recording::open(path).unwrap();
    heads_of(&mut recording).iter().map(|part| recording.body(part, 1 << 30).unwrap()).collect()
}

#[test]
fn segments_that_are_deleted_while_they_are_copied_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [0.0, 10.0, 20.0].map(|second| segment(folder.path(), &[("a", second)]));
    let archive = archive(folder.path());
    let (extents, found) = (archive.extents(None, ever()), archive.find("a", Seek::At(at(10.0))).unwrap().unwrap());
    let stretch = ArchiveStretch { feed: None, from: ever().0, to: ever().1, without: 0, unnamed: String::new() };
    let mut export = Export::new(stretch, Vec::new(), extents, Vec::new());
    std::fs::remove_file(&paths[1]).unwrap();
    let copied = std::iter::from_fn(|| export.next_chunk().unwrap()).collect::<Vec<_>>().concat();
    assert_eq!(bodies_in(&copied), ["a 0", "a 20"]);
    assert_eq!(FoundReader::default().head(&found).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(find(&archive, Seek::At(at(15.0))), "0");
    assert_eq!(archive.span("a").map(|span| span.count), Some(2));
}

#[test]
fn a_file_that_is_replaced_or_cut_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    append(&path, &[("a", 1.0), ("a", 2.0)]);
    let archive = archive(&path);
    let found = archive.find("a", Seek::At(at(2.0))).unwrap().unwrap();
    let other = folder.path().join("other");
    append(&other, &[("a", 5.0), ("a", 6.0), ("a", 7.0)]);
    std::fs::rename(&other, &path).unwrap();
    assert!(FoundReader::default().head(&found).is_err(), "another part is there");
    assert_eq!(find(&archive, Seek::At(at(6.0))), "6");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(150).unwrap();
    assert_eq!(find(&archive, Seek::At(at(6.0))), "none");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(find(&archive, Seek::At(at(6.0))), "none");
}

#[test]
fn a_file_that_a_longer_one_is_copied_over_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.mxr"), folder.path().join("other"));
    append(&path, &[("a", 1.0), ("a", 2.0)]);
    append(&other, &[("b", 4.0), ("a", 5.0), ("a", 6.0), ("a", 7.0)]);
    let archive = archive(&path);
    assert_eq!(find(&archive, Seek::At(at(9.0))), "2");
    std::fs::write(&path, std::fs::read(&other).unwrap()).unwrap();
    assert_eq!(["6", "none"], [at(6.5), at(4.5)].map(|time| find(&archive, Seek::At(time))));
    assert_eq!((archive.span("a").map(|span| span.count), archive.has("b")), (Some(3), true));
    // Other parts below the same head.
    let stamped = |times: &[u64]| -> String {
        let parts = times.iter().map(|time| format!("--B\r\nX-Timestamp: {time}\r\nContent-Length: 1\r\n\r\nx\r\n"));
        parts.chain(["--B--\r\n".to_owned()]).collect()
    };
    let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    for (times, count) in [(&[1, 2][..], 2), (&[3, 4, 5], 3), (&[3, 4, 5, 6], 4), (&[3, 9, 9, 9], 4)] {
        std::fs::write(&path, stamped(times)).unwrap();
        archive.refresh().unwrap();
        let last = time(*times.last().unwrap());
        assert_eq!(archive.span("a").map(|span| (span.count, span.last)), Some((count, last)));
    }
}

#[test]
fn what_is_no_recording_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    segment(folder.path(), &[("a", 1.0)]);
    for (second, content) in [(2.0, "no recording"), (3.0, ""), (4.0, "Content-Type: multipart/mixed; bound")] {
        std::fs::write(folder.path().join(segment_name(at(second), 0)), content).unwrap();
    }
    std::os::unix::fs::symlink("/dev/zero", folder.path().join(segment_name(at(5.0), 0))).unwrap();
    let newer = "Content-Type: multipart/mixed; boundary=B\r\nX-Recording: mxr 2\r\n\r\n--B--\r\n";
    std::fs::write(folder.path().join(segment_name(at(6.0), 0)), newer).unwrap();
    assert_eq!(find(&archive(folder.path()), Seek::At(at(9.0))), "1");
    assert_eq!(find(&archive(&folder.path().join(segment_name(at(2.0), 0))), Seek::At(at(9.0))), "none");
    assert_eq!(find(&archive(Path::new("/dev/zero")), Seek::At(at(9.0))), "none");
}

#[test]
fn parts_without_a_feed_belong_to_the_one_that_is_called_after_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("door.mjpg");
    std::fs::write(&path, "--B\r\nContent-Length: 1\r\n\r\nx\r\n--B\r\nX-Timestamp: 5\r\nContent-Length: 1\r\n\r\ny\r\n--B--\r\n")
        .unwrap();
    let archive = archive(&path);
    assert_eq!(archive.feeds().into_iter().collect::<Vec<_>>(), ["door"]);
    let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    assert_eq!(body_of(&archive.find("door", Seek::At(time(9))).unwrap().unwrap()), "y");
    assert_eq!(archive.span("door").unwrap().first, time(0), "without a time");
    let copy = exported(&archive, None, ever(), None);
    assert_eq!(bodies_in(&copy), ["x", "y"]);
    assert_eq!(String::from_utf8(copy).unwrap().matches("X-Feed: door\r\n").count(), 2);
}

#[test]
fn a_first_look_at_much_tells_that_it_is_not_done_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    let times: Vec<_> = (0..60_000).map(|part| ("a", f64::from(part))).collect();
    append(&path, &times);
    let archive = Arc::new(Archive::open(&path));
    let mut refused = 0;
    while let Err(indexing) = archive.refresh() {
        assert!(indexing.read < indexing.of);
        // What is before the place that is read is found already, and nothing is taken for the last that is not.
        assert!(archive.find("a", Seek::At(at(0.0))).is_ok(), "{indexing}");
        let last = archive.find("a", Seek::At(at(1e6)));
        assert!(last.is_err() || last.is_ok_and(|last| last.is_some_and(|last| last.time == at(59_999.0))), "{indexing}");
        refused += 1;
        std::thread::sleep(Duration::from_millis(5));
        assert!(refused < 10_000);
    }
    assert!(refused > 0, "too little for a test");
    assert_eq!(archive.span("a").map(|span| span.count), Some(60_000));
}

#[test]
fn a_time_long_ago_is_found_before_all_segments_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for second in 0..2000 {
        append(&folder.path().join(segment_name(at(f64::from(second)), 0)), &[("a", f64::from(second))]);
    }
    let archive = Arc::new(Archive::open(folder.path()));
    let _ = archive.refresh_near(Some(at(3.5)));
    assert_eq!(body_of(&archive.find("a", Seek::At(at(3.5))).unwrap().unwrap()), "a 3");
    refresh(&archive);
    assert_eq!(body_of(&archive.find("a", Seek::After(at(1998.0))).unwrap().unwrap()), "a 1999");
}
