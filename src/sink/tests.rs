//! What a recorder promises to feeds, on a disk of which the test decides when it stands still.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant, SystemTime},
};

use super::{FeedRecorder, RecordOutputs};
use crate::{
    feed::{Feed, Kind, Limits, Opener, Publisher, Registry, Settings, StartAt, TakeLimit},
    format::Media,
    part::Part,
    recording::{Appender, Medium, Opened, PartHead, Place, Recorder, RecorderSettings, Recording},
    wire::Boundary,
};

/// A disk that stands still while it is told to.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<(Mutex<bool>, Condvar)>);

impl Disk {
    fn stall(&self, is_stalled: bool) {
        *self.0.0.lock().unwrap() = is_stalled;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |stalled| *stalled).unwrap());
    }
}

#[derive(Debug)]
struct SlowFile(Disk, std::fs::File);

impl Medium for SlowFile {
    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.wait();
        Medium::write(&mut self.1, bytes, at)
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.1.cut(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.wait();
        self.1.sync()
    }
}

#[derive(Debug)]
struct SlowPlace(Disk, PathBuf);

impl Place for SlowPlace {
    fn open(&mut self, _: SystemTime) -> io::Result<Opened> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&self.1)?;
        let appender = Appender::begin(Box::new(SlowFile(self.0.clone(), file)))?;
        Ok(Opened { appender, path: self.1.clone(), cut: None })
    }
}

/// Feeds that are recorded to such a disk.
struct Recorded {
    folder: tempfile::TempDir,
    disk: Disk,
    opener: Opener,
    recorder: FeedRecorder,
}

impl Recorded {
    fn start(queue_bytes: usize) -> Self {
        let settings = Settings::new(Boundary::random(), Limits::new(None, 1 << 20, true));
        let (opener, registry) = Registry::new(Settings { shards: 2, has_recorder: true, ..settings });
        let (folder, disk) = (tempfile::tempdir().unwrap(), Disk::default());
        let place = SlowPlace(disk.clone(), folder.path().join("a.mxr"));
        let settings = RecorderSettings { queue_bytes, ..RecorderSettings::default() };
        let recorder = Recorder::start(Box::new(place), settings).unwrap();
        let recorder = FeedRecorder::start(registry, RecordOutputs::new(recorder)).unwrap();
        Self { folder, disk, opener, recorder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.mxr")
    }

    fn counts(&self) -> (u64, u64) {
        let counters = self.recorder.counters().recording.clone().unwrap();
        (counters.recorded(), counters.lost())
    }

    /// Ends the feeds, and returns the heads of the parts in the file.
    fn finish(self) -> Vec<PartHead> {
        let path = self.path();
        self.opener.registry().end();
        self.recorder.finish().unwrap();
        if path.exists() { heads_of(&path) } else { Vec::new() }
    }
}

fn heads_of(path: &Path) -> Vec<PartHead> {
    let mut recording = Recording::open(path).unwrap();
    let mut cursor = recording.start();
    std::iter::from_fn(|| recording.next_part(&mut cursor).unwrap()).collect()
}

fn sequences(heads: &[PartHead], feed: &str) -> Vec<u64> {
    heads.iter().filter(|head| head.feed.as_deref() == Some(feed)).filter_map(|head| head.headers.sequence).collect()
}

fn part(bytes: usize) -> Part {
    Part::now(Media::from_known(Media::TEXT), vec![b'x'; bytes])
}

fn publish(publisher: &Publisher, parts: usize, bytes: usize) {
    (0..parts).for_each(|_| publisher.publish(part(bytes)).unwrap());
}

fn wait_for(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_part_of_a_feed_of_pictures_is_recorded_however_fast_they_come() {
    let recorded = Recorded::start(64 << 20);
    let pictures = recorded.opener.open("pictures", Kind::Newest);
    publish(&pictures, 500, 1000);
    pictures.publish_all((0..500).map(|_| part(1000)).collect());
    let lines = recorded.opener.open("later", Kind::Lines);
    publish(&lines, 100, 10);
    recorded.opener.remove("later");
    publish(&pictures, 1, 1000);
    // A feed that comes again goes on with its numbers.
    publish(&recorded.opener.open("later", Kind::Lines), 100, 10);
    let heads = recorded.finish();
    assert_eq!(sequences(&heads, "pictures"), (1..=1001).collect::<Vec<_>>());
    assert_eq!(sequences(&heads, "later"), (1..=200).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_stands_still_takes_nothing_from_viewers() {
    let recorded = Recorded::start(50_000);
    let lines = recorded.opener.open("lines", Kind::Lines);
    let memory = recorded.opener.settings().memory.clone();
    let mut viewer = lines.feed().subscribe_from(0, StartAt::default());
    let mut taken = 0;
    let mut watch = |parts: usize| {
        for _ in 0..parts {
            publish(&lines, 1, 1000);
            let batch = viewer.take(TakeLimit::ALL).expect("each part is there at once");
            assert_eq!((batch.parts.count(), batch.dropped), (1, 0));
            taken += 1;
        }
    };
    watch(10);
    wait_for(|| recorded.counts() == (10, 0));
    recorded.disk.stall(true);
    watch(1000);
    // One group of parts is being written and one waits, each of up to 256 KiB.
    wait_for(|| recorded.counts().1 > 400);
    // What waits for the disk is no memory of viewers, who would be disconnected for it.
    wait_for(|| memory.bytes() == 0);
    recorded.disk.stall(false);
    wait_for(|| recorded.counts().0 + recorded.counts().1 == 1010);
    watch(10);
    wait_for(|| recorded.counts().0 + recorded.counts().1 == 1020);
    let (parts, lost) = recorded.counts();
    let heads = recorded.finish();
    assert_eq!(heads.len() as u64, parts);
    assert_eq!(sequences(&heads, "lines")[parts as usize - 10..], (1011..=1020).collect::<Vec<_>>(), "{lost} are lost");
    assert_eq!(taken, 1020);
}

#[test]
fn a_disk_that_never_takes_the_end_is_not_waited_for() {
    let recorded = Recorded::start(50_000);
    let lines = recorded.opener.open("lines", Kind::Lines);
    recorded.disk.stall(true);
    publish(&lines, 3, 10);
    let disk = recorded.disk.clone();
    recorded.opener.registry().end();
    let error = recorded.recorder.finish().unwrap_err();
    assert_eq!(error.to_string(), "mxr: cannot finish the recording: the disk does not take what is left");
    disk.stall(false);
}

#[test]
fn a_recorder_keeps_a_source_awake_and_is_no_viewer() {
    let recorded = Recorded::start(50_000);
    let publisher = recorded.opener.open("lines", Kind::Lines);
    let demand = publisher.demand();
    wait_for(|| demand.count() == 1);
    assert_eq!(publisher.feed().state().viewers, 0);
    recorded.finish();
    assert_eq!(demand.count(), 0);
}

#[test]
fn parts_that_find_no_reader_in_time_are_dropped_and_counted() {
    let settings = Settings { has_recorder: true, ..Settings::new(Boundary::random(), Limits::new(None, 8 << 20, true)) };
    let (opener, registry) = Registry::new(settings);
    let publisher = opener.open("pictures", Kind::Newest);
    let feed: &Arc<Feed> = publisher.feed();
    let mut reader = feed.subscribe_to_all(registry.recorder_shard().unwrap());
    // There is room for 32 MiB and the largest part.
    publish(&publisher, 10, 5 << 20);
    let (mut parts, mut dropped) = (0, 0);
    while let Some(batch) = reader.take(TakeLimit::ALL) {
        parts += batch.parts.count() as u64;
        dropped += batch.dropped;
    }
    assert_eq!((parts, dropped), (7, 3));
    assert_eq!((feed.state().held, feed.state().dropped), (1, 0), "viewers have their own count");
}

#[test]
fn the_largest_part_waits_for_its_reader_beside_small_ones() {
    let settings = Settings { has_recorder: true, ..Settings::new(Boundary::random(), Limits::new(None, 40 << 20, true)) };
    let (opener, registry) = Registry::new(settings);
    let publisher = opener.open("pictures", Kind::Newest);
    let mut reader = publisher.feed().subscribe_to_all(registry.recorder_shard().unwrap());
    for bytes in [1000, 40 << 20, 1000, 1000] {
        publish(&publisher, 1, bytes);
    }
    let batches: Vec<_> = std::iter::from_fn(|| reader.take(TakeLimit::ALL)).collect();
    assert_eq!(
        batches
            .iter()
            .map(|batch| (batch.parts.count() as u64, batch.dropped))
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)),
        (4, 0)
    );
}
