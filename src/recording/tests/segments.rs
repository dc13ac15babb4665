//! Files by time: their names, parts in all of them, and what is deleted.

use std::os::unix::fs::symlink;

use super::*;
use crate::recording::place::{SegmentPlace, first_free};

fn segment(folder: &Path, start: SystemTime, body: &str) -> PathBuf {
    let mut opened = SegmentPlace::new(folder.to_owned(), None, None).open(start).unwrap();
    let part = RecordedPart { time: start, ..recorded(1, body.to_owned()) };
    opened.appender.append(&part, RunClock::start().read(part.at)).unwrap();
    std::fs::File::options().write(true).open(&opened.path).unwrap().set_modified(start).unwrap();
    opened.path
}

fn ago(hours: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(hours * 3600)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn names_are_utc_and_no_file_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [at(0.123), at(0.123), at(0.1234)].map(|start| segment(folder.path(), start, "a"));
    let expected = ["20251124T160000.123Z.mxr", "20251124T160000.123Z-1.mxr", "20251124T160000.123Z-2.mxr"];
    assert_eq!(paths.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()), expected);
    let listed = segments_of(folder.path()).unwrap();
    assert_eq!(listed.iter().map(|segment| segment.number).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(listed.iter().all(|segment| segment.start == at(0.123)));
}

#[test]
fn other_names_are_no_segments() {
    let folder = tempfile::tempdir().unwrap();
    for name in
        ["a.mxr", "20251124T160000.123Z.mxr.bak", "20251124T160000Z.mxr", "20251324T160000.123Z.mxr", "20251124T160000.123Z-0.mxr"]
    {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    std::fs::create_dir(folder.path().join("20251124T160000.123Z.mxr")).unwrap();
    assert_eq!(segments_of(folder.path()).unwrap(), []);
}

#[test]
fn old_segments_are_deleted_and_the_newest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let [_, _, newest] = [72, 48, 30].map(|hours| segment(folder.path(), ago(hours), "a"));
    let mut day = Retention::new(Keep::Age(Duration::from_secs(86_400)));
    assert_eq!(day.tidy(folder.path(), None), 2, "at once, without a part");
    assert_eq!(names(folder.path()), [newest.file_name().unwrap().to_str().unwrap()]);
    let current = segment(folder.path(), ago(0), "b");
    assert_eq!(day.tidy(folder.path(), Some(&current)), 1);
    assert_eq!(names(folder.path()), [current.file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn the_oldest_go_where_bytes_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [4, 3, 2, 1].map(|hours| segment(folder.path(), ago(hours), "a"));
    let size = std::fs::metadata(&paths[0]).unwrap().len();
    assert_eq!(Retention::new(Keep::Bytes(size * 2 + 1)).tidy(folder.path(), None), 2);
    assert!(paths[2].exists() && paths[3].exists());
    assert_eq!(Retention::new(Keep::Bytes(0)).tidy(folder.path(), None), 1);
    assert!(paths[3].exists());
}

#[test]
fn the_oldest_go_first_however_many_segments_are_closed_between_two_looks() {
    let folder = tempfile::tempdir().unwrap();
    let (start, wall) = (Instant::now(), SystemTime::now());
    let begun = |millis: u64| wall - Duration::from_millis(90_000 - millis);
    let first = segment(folder.path(), begun(0), "a");
    let size = std::fs::metadata(&first).unwrap().len();
    let [mut by_size, mut by_age] = [Keep::Bytes(size * 3 + 1), Keep::Age(Duration::from_secs(65))].map(Retention::new);
    for retention in [&mut by_size, &mut by_age] {
        assert_eq!(retention.tidy_at(folder.path(), Some(&first), (start, begun(100))), 0, "it is written");
    }
    // Until the next look the first one gets a part more, and nine others are begun and closed, some within a millisecond.
    let later = |seconds: u64| (start + Duration::from_secs(seconds), begun(100) + Duration::from_secs(seconds));
    let mut all: Vec<_> = (1..10).map(|number| segment(folder.path(), begun(1000 * (number / 2 * 2)), "a")).collect();
    all.insert(0, first);
    let touched = std::fs::File::options().write(true).open(&all[0]).unwrap();
    touched.set_modified(begun(500)).unwrap();
    by_age.tidy_at(folder.path(), all.last().map(PathBuf::as_path), later(10));
    assert!(all.iter().all(|path| path.exists()));
    // The oldest are 65 seconds old, and the younger ones are not.
    by_age.tidy_at(folder.path(), all.last().map(PathBuf::as_path), later(67));
    let left = |all: &[PathBuf]| all.iter().map(|path| path.exists()).collect::<Vec<_>>();
    let kept = left(&all);
    assert!(kept.is_sorted() && !kept[0] && kept[9], "{kept:?}");
    by_size.tidy_at(folder.path(), all.last().map(PathBuf::as_path), later(68));
    assert_eq!(left(&all), [vec![false; 7], vec![true; 3]].concat());
}

#[test]
fn the_file_that_is_written_counts_first_whatever_its_name_says() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [4, 3, 2, 1].map(|hours| segment(folder.path(), ago(hours), "a"));
    let size = std::fs::metadata(&paths[0]).unwrap().len();
    // The clock was set back.
    assert_eq!(Retention::new(Keep::Bytes(size * 2 + 1)).tidy(folder.path(), Some(&paths[1])), 2);
    assert_eq!(paths.map(|path| path.exists()), [false, true, false, true]);
}

#[test]
fn no_more_is_kept_than_is_asked_for_and_one_file_however_fast_parts_come() {
    let folder = tempfile::tempdir().unwrap();
    let (limit, keep) = (SegmentLimit::Bytes(20_000), Keep::Bytes(100_000));
    let place = SegmentPlace::new(folder.path().to_owned(), Some(limit), Some(Retention::new(keep)));
    let settings = RecorderSettings { tidy: Duration::from_secs(3600), ..RecorderSettings::default() };
    let recorder = Recorder::start(Box::new(place), settings).unwrap();
    (1..=200).for_each(|sequence| assert!(recorder.push(recorded(sequence, vec![b'x'; 9000]))));
    recorder.finish();
    let segments = segments_of(folder.path()).unwrap();
    let bytes: u64 = segments.iter().map(|segment| std::fs::metadata(&segment.path).unwrap().len()).sum();
    assert!((60_000..=120_000).contains(&bytes), "{bytes} of 1,800,000 recorded");
    let newest = heads_of(&mut Recording::open(&segments.last().unwrap().path).unwrap());
    assert_eq!(newest.last().unwrap().headers.sequence, Some(200));
    let first = heads_of(&mut Recording::open(&segments[0].path).unwrap())[0].headers.sequence.unwrap();
    let all = segments.iter().map(|segment| heads_of(&mut Recording::open(&segment.path).unwrap()).len() as u64).sum::<u64>();
    assert_eq!(first + all - 1, 200, "none is missing in between");
}

#[test]
fn files_of_others_are_never_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let name = |hours| folder.path().join(segment_name(ago(hours), 0));
    // Our name without our head, a link, a directory, our head under another name.
    std::fs::write(name(100), "Content-Type: multipart/mixed; boundary=B\r\n\r\n--B--\r\n").unwrap();
    symlink(segment(elsewhere.path(), ago(101), "a"), name(101)).unwrap();
    std::fs::create_dir(name(102)).unwrap();
    std::fs::rename(segment(folder.path(), ago(103), "a"), folder.path().join("holiday.mxr")).unwrap();
    segment(folder.path(), ago(0), "a");
    let before = names(folder.path());
    for keep in [Keep::Age(Duration::ZERO), Keep::Bytes(0)] {
        assert_eq!(Retention::new(keep).tidy(folder.path(), None), 0);
    }
    assert_eq!(names(folder.path()), before);
    assert_eq!(names(elsewhere.path()).len(), 1);
}

#[test]
fn a_segment_of_a_clock_that_was_not_set_ages_from_when_it_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let unset = segment(folder.path(), SystemTime::UNIX_EPOCH + Duration::from_secs(60), "a");
    let current = segment(folder.path(), ago(0), "b");
    let mut day = Retention::new(Keep::Age(Duration::from_secs(86_400)));
    let (start, wall) = (Instant::now(), SystemTime::now());
    assert_eq!(day.tidy_at(folder.path(), Some(&current), (start, wall)), 0);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    assert_eq!(day.tidy_at(folder.path(), Some(&current), (start + hours(23), wall)), 0);
    assert_eq!(day.tidy_at(folder.path(), Some(&current), (start + hours(25), wall)), 1);
    assert!(!unset.exists() && current.exists());
}

#[test]
fn the_age_of_a_segment_counts_from_its_last_part() {
    let folder = tempfile::tempdir().unwrap();
    // Another program records to the first one.
    let [theirs, ours] = [segment(folder.path(), ago(30), "a"), segment(folder.path(), ago(0), "b")];
    let mut two_days = Retention::new(Keep::Age(Duration::from_secs(2 * 86_400)));
    let (start, wall) = (Instant::now(), SystemTime::now());
    let mut tidy = |hours: u64| two_days.tidy_at(folder.path(), Some(&ours), (start + Duration::from_secs(hours * 3600), wall));
    assert_eq!(tidy(0), 0);
    std::fs::File::options().write(true).open(&theirs).unwrap().set_modified(wall).unwrap();
    assert_eq!([tidy(17), tidy(60)], [0, 0]);
    assert_eq!(tidy(66), 1);
}

#[test]
fn a_clock_that_jumps_ahead_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    segment(folder.path(), ago(1), "a");
    let current = segment(folder.path(), ago(0), "b");
    let mut day = Retention::new(Keep::Age(Duration::from_secs(86_400)));
    let start = Instant::now();
    for jump in [0, 400 * 86_400] {
        assert_eq!(day.tidy_at(folder.path(), Some(&current), (start, SystemTime::now() + Duration::from_secs(jump))), 0);
    }
}

#[test]
fn parts_become_files_whatever_their_feed_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let frames = FrameFolder(folder.path().to_owned());
    let part = RecordedPart { feed: "../../etc/passwd\0\n".into(), media: Media::from_known("image/jpeg"), ..recorded(1, "x") };
    for _ in 0..2 {
        frames.write(&part).unwrap();
    }
    frames.write(&RecordedPart { media: Media::from_known("image/png"), ..recorded(2, "") }).unwrap();
    frames.write(&RecordedPart { media: Media::from_known("x/y"), feed: "ü".repeat(500).into(), ..recorded(3, "") }).unwrap();
    assert_eq!(
        names(folder.path()),
        [
            "20251124T160001.000Z-______etc_passwd__-1-1.jpg".to_owned(),
            "20251124T160001.000Z-______etc_passwd__-1.jpg".to_owned(),
            "20251124T160002.000Z-a-2.png".to_owned(),
            format!("20251124T160003.000Z-{}-3.bin", "_".repeat(100)),
        ]
    );
}

#[test]
fn a_segment_that_another_program_records_to_is_not_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = SegmentPlace::new(folder.path().to_owned(), None, None).open(ago(100)).unwrap();
    std::fs::File::options().write(true).open(&theirs.path).unwrap().set_modified(ago(100)).unwrap();
    let ours = segment(folder.path(), ago(0), "b");
    for (keep, is_written, deleted) in
        [(Keep::Age(Duration::from_secs(60)), true, 0), (Keep::Bytes(0), true, 0), (Keep::Bytes(0), false, 1)]
    {
        if !is_written {
            // Its program has ended.
            std::fs::rename(&theirs.path, folder.path().join("aside")).unwrap();
            std::fs::copy(folder.path().join("aside"), &theirs.path).unwrap();
        }
        assert_eq!(Retention::new(keep).tidy(folder.path(), Some(&ours)), deleted, "{keep:?}");
        assert_eq!(theirs.path.exists(), deleted == 0);
    }
}

#[test]
fn any_number_of_files_may_have_the_same_time() {
    for taken in [0, 1, 2, 3, 100, 10_000, 5_000_000, u32::MAX] {
        let looks = std::cell::Cell::new(0);
        let found = first_free(1, |number| {
            looks.set(looks.get() + 1);
            number < taken
        });
        assert_eq!(found, taken.max(1));
        assert!(looks.get() <= 64, "{taken}");
    }
    let folder = tempfile::tempdir().unwrap();
    let numbers = (0..40).map(|_| segment(folder.path(), at(0.0), "a"));
    let expected: Vec<_> = (0..40).map(|number| folder.path().join(segment_name(at(0.0), number))).collect();
    assert_eq!(numbers.collect::<Vec<_>>(), expected);
    let nowhere = folder.path().join("none/deeper");
    let error = SegmentPlace::new(nowhere.clone(), None, None).open(at(0.0)).unwrap_err();
    assert!(error.to_string().contains(&nowhere.display().to_string()), "{error}");
}
