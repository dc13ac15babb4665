//! The thread, on disks that are full, slow or gone.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::*;

/// A disk with so much room, of which a test decides when it stands still.
#[derive(Debug, Clone, Default)]
struct Disk {
    room: Arc<AtomicU64>,
    stalled: Arc<(Mutex<bool>, Condvar)>,
}

impl Disk {
    fn with_room(bytes: u64) -> Self {
        let disk = Self::default();
        disk.room.store(bytes, Relaxed);
        disk
    }

    fn stall(&self, is_stalled: bool) {
        *self.stalled.0.lock().unwrap() = is_stalled;
        self.stalled.1.notify_all();
    }

    fn wait(&self) {
        let stalled = self.stalled.0.lock().unwrap();
        drop(self.stalled.1.wait_while(stalled, |stalled| *stalled).unwrap());
    }
}

#[derive(Debug)]
struct LimitedFile {
    disk: Disk,
    file: std::fs::File,
}

impl Medium for LimitedFile {
    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.wait();
        let fits = self.disk.room.load(Relaxed).saturating_sub(at).min(bytes.len() as u64) as usize;
        Medium::write(&mut self.file, &bytes[..fits], at)?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.file.cut(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.wait();
        self.file.sync()
    }
}

#[derive(Debug)]
struct LimitedPlace(Disk, PathBuf);

impl Place for LimitedPlace {
    fn open(&mut self, _: SystemTime) -> io::Result<Opened> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&self.1)?;
        let appender = Appender::begin(Box::new(LimitedFile { disk: self.0.clone(), file }));
        let appender = appender.inspect_err(|_| std::fs::remove_file(&self.1).unwrap())?;
        Ok(Opened { appender, path: self.1.clone(), cut: None })
    }
}

fn wait_for(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn sequences(path: &Path) -> Vec<u64> {
    heads_of(&mut Recording::open(path).unwrap()).iter().filter_map(|head| head.headers.sequence).collect()
}

const EAGER: RecorderSettings = RecorderSettings {
    queue_bytes: 5 * (200 + size_of::<RecordedPart>()),
    sync: Duration::from_millis(1),
    retry: Duration::ZERO,
    tidy: Duration::from_millis(1),
    tells_feeds: false,
};

#[test]
fn a_full_disk_stops_the_recording_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    let disk = Disk::with_room(50);
    let recorder = Recorder::start(Box::new(LimitedPlace(disk.clone(), path.clone())), EAGER).unwrap();
    let counters = recorder.counters();
    let done = || counters.recorded() + counters.lost();
    let push = |sequences: std::ops::Range<u64>| {
        for sequence in sequences {
            assert!(recorder.push(recorded(sequence, vec![b'x'; 200])));
            wait_for(|| done() == sequence);
        }
    };
    push(1..3);
    assert!(counters.is_failing() && !path.exists(), "no room for a head");
    disk.room.store(1500, Relaxed);
    push(3..10);
    assert!(counters.is_failing());
    let (on_disk, recorded) = (sequences(&path), counters.recorded());
    assert_eq!(on_disk, (3..3 + recorded).collect::<Vec<_>>(), "what fits is there, whole");
    disk.room.store(1 << 20, Relaxed);
    push(10..13);
    assert!(!counters.is_failing());
    recorder.finish();
    assert_eq!(sequences(&path), [on_disk, vec![10, 11, 12]].concat());
    let mut recording = Recording::open(&path).unwrap();
    heads_of(&mut recording);
    assert_eq!((recording.damaged(), recording.torn()), (0, 0));
    assert_eq!(counters.lost(), 12 - counters.recorded());
}

#[test]
fn a_disk_that_stands_still_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    let disk = Disk::with_room(1 << 20);
    let recorder = Recorder::start(Box::new(LimitedPlace(disk.clone(), path.clone())), EAGER).unwrap();
    let counters = recorder.counters();
    disk.stall(true);
    // More than the queue holds: what has no room is refused at once.
    let taken: Vec<u64> = (1..=100).filter(|sequence| recorder.push(recorded(*sequence, vec![b'x'; 200]))).collect();
    assert!((4..=6).contains(&taken.len()), "{taken:?}");
    assert_eq!(counters.lost(), 100 - taken.len() as u64);
    disk.stall(false);
    recorder.finish();
    assert_eq!(sequences(&path), taken, "the sequences tell what is missing");
}

#[test]
fn a_part_larger_than_the_queue_is_recorded() {
    let (_folder, path) = recording_of(&[]);
    let recorder = Recorder::start(Box::new(SingleFile(path.clone())), EAGER).unwrap();
    assert!(recorder.push(recorded(1, vec![b'x'; 5000])));
    recorder.finish();
    assert_eq!(bodies_of(&path)[0].len(), 5000);
}

#[test]
fn two_runs_in_one_file_are_told_apart() {
    let (_folder, path) = recording_of(&[]);
    for run in 0..2 {
        let recorder = Recorder::start(Box::new(SingleFile(path.clone())), EAGER).unwrap();
        let part = |sequence| RecordedPart { time: at((run * 10 + sequence) as f64), ..recorded(sequence, "a") };
        assert!((1..=3).all(|sequence| recorder.push(part(sequence))));
        recorder.finish();
    }
    assert_eq!(sequences(&path), [1, 2, 3, 1, 2, 3]);
    let clocks = heads_of(&mut Recording::open(&path).unwrap()).into_iter().map(|head| head.clock.unwrap().name);
    let mut clocks: Vec<u32> = clocks.collect();
    clocks.dedup();
    assert_eq!(clocks.len(), 2);
}

#[test]
fn one_file_has_one_recorder() {
    let (_folder, path) = recording_of(&[]);
    let first = SingleFile(path.clone()).open(at(0.0)).unwrap();
    assert!(SingleFile(path.clone()).open(at(0.0)).unwrap_err().to_string().contains("another program"));
    drop(first);
    assert!(SingleFile(path).open(at(0.0)).is_ok());
}

#[test]
fn segments_end_by_size_and_by_time() {
    for (limit, expected) in [(SegmentLimit::Bytes(900), 3), (SegmentLimit::Time(Duration::from_secs(20)), 3)] {
        let folder = tempfile::tempdir().unwrap();
        let place = SegmentPlace::new(folder.path().to_owned(), Some(limit), None);
        let recorder = Recorder::start(Box::new(place), RecorderSettings::default()).unwrap();
        let start = Instant::now();
        for sequence in 1..=6 {
            let part = RecordedPart { at: start + Duration::from_secs(sequence * 10), ..recorded(sequence, vec![b'x'; 50]) };
            assert!(recorder.push(part));
        }
        recorder.finish();
        let segments = segments_of(folder.path()).unwrap();
        assert_eq!(segments.len(), expected, "{limit:?}");
        let all: Vec<u64> = segments.iter().flat_map(|segment| sequences(&segment.path)).collect();
        assert_eq!(all, [1, 2, 3, 4, 5, 6]);
    }
}

#[test]
fn old_segments_go_while_no_part_comes() {
    let folder = tempfile::tempdir().unwrap();
    let old = |days: u64| SystemTime::now() - Duration::from_secs(days * 86_400);
    for days in [3, 5] {
        drop(SegmentPlace::new(folder.path().to_owned(), None, None).open(old(days)).unwrap());
    }
    let path = segments_of(folder.path()).unwrap()[0].path.clone();
    for segment in segments_of(folder.path()).unwrap() {
        std::fs::File::options().write(true).open(&segment.path).unwrap().set_modified(segment.start).unwrap();
    }
    let retention = Retention::new(Keep::Age(Duration::from_secs(86_400)));
    let place = SegmentPlace::new(folder.path().to_owned(), None, Some(retention));
    let recorder = Recorder::start(Box::new(place), EAGER).unwrap();
    wait_for(|| !path.exists());
    recorder.finish();
    assert_eq!(segments_of(folder.path()).unwrap().len(), 1, "the newest stays");
}

#[test]
fn a_file_that_is_deleted_meanwhile_is_followed_by_another() {
    let (_folder, path) = recording_of(&[]);
    let recorder = Recorder::start(Box::new(SingleFile(path.clone())), EAGER).unwrap();
    let counters = recorder.counters();
    recorder.push(recorded(1, "a"));
    wait_for(|| counters.recorded() == 1);
    std::fs::remove_file(&path).unwrap();
    wait_for(|| {
        std::thread::sleep(Duration::from_millis(2));
        recorder.push(recorded(2, "b"));
        path.exists()
    });
    recorder.finish();
    assert_eq!(sequences(&path)[0], 2);
}

#[test]
fn no_part_is_lost_in_a_file_that_was_deleted_cut_or_overwritten() {
    let (_other, other) = recording_of(&[b"of another recording", &[b'y'; 5000]]);
    type Change = fn(&Path, &Path);
    let changes: [(&str, Change, &[u64]); 6] = [
        ("deleted", |path, _| std::fs::remove_file(path).unwrap(), &[2, 3, 4]),
        ("emptied", |path, _| set_size(path, |_| 0), &[2, 3, 4]),
        ("cut in its part", |path, _| set_size(path, |size| size - 50), &[2, 3, 4]),
        ("cut behind its part", |path, _| set_size(path, |size| size - 1), &[1, 2, 3, 4]),
        ("overwritten", |path, other| _ = std::fs::copy(other, path).unwrap(), &[1, 2, 2, 3, 4]),
        (
            "deleted and copied back",
            |path, _| {
                let bytes = std::fs::read(path).unwrap();
                std::fs::remove_file(path).unwrap();
                std::fs::write(path, bytes).unwrap();
            },
            &[1, 2, 3, 4],
        ),
    ];
    for (name, change, expected) in changes {
        let (_folder, path) = recording_of(&[]);
        let recorder = Recorder::start(Box::new(SingleFile(path.clone())), RecorderSettings::default()).unwrap();
        let counters = recorder.counters();
        recorder.push(recorded(1, "a"));
        wait_for(|| counters.recorded() == 1);
        change(&path, &other);
        assert!((2..5).all(|sequence| recorder.push(recorded(sequence, "b"))));
        recorder.finish();
        assert_eq!((sequences(&path), counters.lost()), (expected.to_vec(), 0), "{name}");
    }
}

fn set_size(path: &Path, size: impl Fn(u64) -> u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(size(file.metadata().unwrap().len())).unwrap();
}

#[test]
fn what_was_moved_is_recorded_to_until_another_file_can_be_begun() {
    let elsewhere = tempfile::tempdir().unwrap();
    let nowhere = elsewhere.path().join("target");
    let obstacles: [fn(&Path, &Path); 4] = [
        |path, _| std::fs::write(path, "of another program").unwrap(),
        |path, _| std::fs::create_dir(path).unwrap(),
        |path, _| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()),
        |path, nowhere| std::os::unix::fs::symlink(nowhere, path).unwrap(),
    ];
    for obstacle in obstacles {
        let (folder, path) = recording_of(&[]);
        let moved = folder.path().join("moved.mxr");
        let recorder = Recorder::start(Box::new(SingleFile(path.clone())), EAGER).unwrap();
        let counters = recorder.counters();
        let mut pushed = 0;
        let mut push = || {
            pushed += 1;
            recorder.push(recorded(pushed, "a"));
            wait_for(|| counters.recorded() == pushed);
            pushed
        };
        push();
        std::fs::rename(&path, &moved).unwrap();
        obstacle(&path, &nowhere);
        (0..20).for_each(|_| {
            push();
            std::thread::sleep(EAGER.tidy);
        });
        assert_eq!(sequences(&moved), (1..=21).collect::<Vec<_>>());
        std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path)).unwrap();
        wait_for(|| push() > 0 && path.exists());
        let last = push();
        recorder.finish();
        assert_eq!([sequences(&moved), sequences(&path)].concat(), (1..=last).collect::<Vec<_>>());
        assert_eq!(counters.lost(), 0);
    }
    assert!(!nowhere.exists(), "no link makes a file");
}

#[test]
fn a_directory_that_is_deleted_is_made_again() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("days");
    let place = SegmentPlace::new(folder.clone(), None, Some(Retention::new(Keep::Age(Duration::from_secs(60)))));
    let segments = Recorder::start(Box::new(place), RecorderSettings::default()).unwrap();
    let frames = FrameFolder::prepare(folder.clone()).unwrap();
    let frames = Recorder::of_writer(Box::new(frames), RecorderSettings::default()).unwrap();
    for recorder in [segments, frames] {
        let counters = recorder.counters();
        recorder.push(recorded(1, "a"));
        wait_for(|| counters.recorded() == 1);
        std::fs::remove_dir_all(&folder).unwrap();
        recorder.push(recorded(2, "b"));
        recorder.finish();
        assert_eq!((counters.recorded(), counters.lost()), (2, 0));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}

#[test]
fn small_parts_find_room_behind_a_large_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    let disk = Disk::with_room(1 << 20);
    let recorder = Recorder::start(Box::new(LimitedPlace(disk.clone(), path.clone())), EAGER).unwrap();
    disk.stall(true);
    for (sequence, bytes) in [(1, 10), (2, 10_000), (3, 10)] {
        assert!(recorder.push(recorded(sequence, vec![b'x'; bytes])));
    }
    disk.stall(false);
    recorder.finish();
    assert_eq!(sequences(&path), [1, 2, 3]);
}
