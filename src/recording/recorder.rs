//! The thread that records: parts wait for it in a bounded queue, and what has no room there is counted and not recorded, so that
//! no disk ever holds up a feed. It writes each part at once, syncs once a second, and tries again after a failure. It knows no
//! feed and no file.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::Builder,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{appender::RecordedPart, files::RecordingFiles, part_writer::PartWriter, place::Place};

/// The bounds and intervals of a recorder.
#[derive(Debug, Clone, Copy)]
pub struct RecorderSettings {
    /// Bytes that may wait: bodies, and what stands beside each. One part may always wait, whatever its size, and
    /// counts as half of them at most.
    pub queue_bytes: usize,
    /// How often what was written is made to reach the disk.
    pub sync: Duration,
    /// How long it rests after a failure.
    pub retry: Duration,
    /// How often it looks for what is not kept, whether parts come or not.
    pub tidy: Duration,
    /// Whether it logs the first part of each feed.
    pub tells_feeds: bool,
}

impl Default for RecorderSettings {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { queue_bytes: 64 << 20, sync: second, retry: second, tidy: 10 * second, tells_feeds: false }
    }
}

/// What a recorder has done.
#[derive(Debug, Default)]
pub struct RecorderCounters {
    recorded: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    repeated: AtomicU64,
    feeds: AtomicUsize,
    is_failing: AtomicBool,
    is_behind: AtomicBool,
    queued: AtomicUsize,
}

impl RecorderCounters {
    /// Parts in files.
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    /// Bytes of their bodies.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Parts that were not recorded, since the disk was too slow, full or broken.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Parts that were not recorded, since a recording that goes on has them.
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Relaxed)
    }

    /// Feeds of which parts were recorded.
    pub fn feeds(&self) -> usize {
        self.feeds.load(Relaxed)
    }

    /// Whether the last part that was tried could not be written, or parts find no room in the queue.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Relaxed) || self.is_behind.load(Relaxed)
    }

    /// Counts parts that never came to the recorder.
    pub fn count_lost(&self, parts: u64) {
        self.lost.fetch_add(parts, Relaxed);
    }

    fn done(&self) -> u64 {
        self.recorded().wrapping_add(self.lost()).wrapping_add(self.repeated())
    }
}

/// A thread that records.
#[derive(Debug)]
pub struct Recorder {
    queue: Sender<Vec<RecordedPart>>,
    counters: Arc<RecorderCounters>,
    settings: RecorderSettings,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

impl Recorder {
    /// Records to this place. A file whose name does not depend on the first part is opened at once, all others at their first part.
    ///
    /// # Errors
    /// Those of opening that file, or of looking whether the place can be used, and of starting a thread.
    pub fn start(place: Box<dyn Place>, settings: RecorderSettings) -> io::Result<Self> {
        Self::of_writer(Box::new(RecordingFiles::prepare(place)?), settings)
    }

    /// Starts the thread, which writes with this.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn of_writer(writer: Box<dyn PartWriter>, settings: RecorderSettings) -> io::Result<Self> {
        let (queue, parts) = channel();
        let (at_end, ended) = channel();
        let counters = Arc::new(RecorderCounters::default());
        let work =
            RecorderLoop { writer, settings, counters: counters.clone(), failing: None, feeds: HashSet::new(), _at_end: at_end };
        Builder::new().name("recorder".to_owned()).spawn(move || work.run(&parts))?;
        Ok(Self { queue, counters, settings, ended })
    }

    /// Hands a part over, without waiting. Returns whether it found room.
    pub fn push(&self, part: RecordedPart) -> bool {
        self.push_all(vec![part])
    }

    /// Hands parts over that came together; all of them find room, or none.
    pub fn push_all(&self, parts: Vec<RecordedPart>) -> bool {
        let (count, bytes) = (parts.len() as u64, self.settings.charge(&parts));
        let before = self.counters.queued.fetch_add(bytes, Relaxed);
        let has_room = before == 0 || before.saturating_add(bytes) <= self.settings.queue_bytes;
        let is_taken = has_room && self.queue.send(parts).is_ok();
        let counters = &self.counters;
        if !is_taken {
            counters.queued.fetch_sub(bytes, Relaxed);
            counters.count_lost(count);
            if !counters.is_behind.swap(true, Relaxed) {
                warn!("the disk is too slow for the recording: parts are lost");
            }
        } else if before == 0 && counters.is_behind.swap(false, Relaxed) {
            info!(lost = counters.lost(), "the recording has caught up with the feeds");
        }
        is_taken
    }

    /// What it has done so far.
    pub fn counters(&self) -> Arc<RecorderCounters> {
        self.counters.clone()
    }

    /// Writes what waits, and returns once it is on the disk. A recorder that is dropped instead does so on its own.
    pub fn finish(self) {
        self.finish_within(Duration::MAX, None);
    }

    /// The same, but gives up, and returns `false`, when nothing was written for this time, or after the deadline.
    pub fn finish_within(self, patience: Duration, deadline: Option<Instant>) -> bool {
        let Self { queue, counters, ended, .. } = self;
        drop(queue);
        let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        loop {
            let before = counters.done();
            match ended.recv_timeout(patience) {
                Err(RecvTimeoutError::Timeout) if counters.done() == before || is_late() => return false,
                Err(RecvTimeoutError::Timeout) | Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }
}

impl RecorderSettings {
    /// The room in the queue that parts take. One alone takes half of it at most, so that small ones find room behind a large one.
    fn charge(&self, parts: &[RecordedPart]) -> usize {
        let most = if parts.len() == 1 { self.queue_bytes / 2 } else { usize::MAX };
        let bytes = |part: &RecordedPart| part.body.len().saturating_add(size_of::<RecordedPart>());
        parts.iter().map(bytes).fold(0, usize::saturating_add).min(most)
    }
}

/// A failure that lasts.
#[derive(Debug)]
struct Failing {
    lost: u64,
    next_try: Instant,
}

#[derive(Debug)]
struct RecorderLoop {
    writer: Box<dyn PartWriter>,
    settings: RecorderSettings,
    counters: Arc<RecorderCounters>,
    failing: Option<Failing>,
    /// Those of which a part was recorded.
    feeds: HashSet<Arc<str>>,
    _at_end: Sender<()>,
}

impl RecorderLoop {
    fn run(mut self, queue: &Receiver<Vec<RecordedPart>>) {
        let (mut next_sync, mut next_tidy) = (None, Instant::now());
        loop {
            let now = Instant::now();
            if now >= next_tidy {
                self.writer.tidy();
                next_tidy = Instant::now() + self.settings.tidy;
            }
            if next_sync.is_some_and(|next| now >= next) {
                self.writer.sync();
                next_sync = None;
            }
            let until = next_sync.map_or(next_tidy, |next| next_tidy.min(next));
            match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(parts) => {
                    self.counters.queued.fetch_sub(self.settings.charge(&parts), Relaxed);
                    parts.iter().for_each(|part| self.record(part));
                    next_sync.get_or_insert_with(|| Instant::now() + self.settings.sync);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.writer.sync(),
            }
        }
    }

    fn record(&mut self, part: &RecordedPart) {
        let outcome = match &self.failing {
            Some(failing) if Instant::now() < failing.next_try => None,
            _ => Some(self.writer.write(part)),
        };
        match outcome {
            Some(Ok(true)) => self.succeeded(part),
            Some(Ok(false)) => _ = self.counters.repeated.fetch_add(1, Relaxed),
            Some(Err(why)) => self.failed(Some(&why)),
            None => self.failed(None),
        }
    }

    fn succeeded(&mut self, part: &RecordedPart) {
        self.counters.recorded.fetch_add(1, Relaxed);
        self.counters.bytes.fetch_add(part.body.len() as u64, Relaxed);
        if !self.feeds.contains(&part.feed) {
            self.feeds.insert(part.feed.clone());
            self.counters.feeds.store(self.feeds.len(), Relaxed);
            if self.settings.tells_feeds {
                info!(feed = %part.feed, media = part.media.as_str(), "the first part is recorded");
            }
        }
        if let Some(failing) = self.failing.take() {
            self.counters.is_failing.store(false, Relaxed);
            info!(lost = failing.lost, "the recording goes on");
        }
    }

    /// Counts a part that is not recorded. The reason is told once, however long it lasts.
    fn failed(&mut self, why: Option<&io::Error>) {
        self.counters.lost.fetch_add(1, Relaxed);
        if let (None, Some(why)) = (&self.failing, why) {
            self.counters.is_failing.store(true, Relaxed);
            warn!("the recording has stopped: {why}; it goes on as soon as it can");
        }
        let failing = self.failing.get_or_insert_with(|| Failing { lost: 0, next_try: Instant::now() });
        failing.lost += 1;
        if why.is_some() {
            failing.next_try = Instant::now() + self.settings.retry;
        }
    }
}
