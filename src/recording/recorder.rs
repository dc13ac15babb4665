//! The thread that records: parts wait for it in a bounded queue, and what has no room there is counted and not recorded, so that
//! no disk ever holds up a feed. It writes each part at once, syncs once a second, and tries again after a failure. It knows no
//! feed.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    appender::{Appender, RecordedPart},
    head::RunClock,
    place::Place,
};

/// The bounds and intervals of a recorder.
#[derive(Debug, Clone, Copy)]
pub struct RecorderSettings {
    /// Bytes of bodies that may wait. One part may always wait, whatever its size.
    pub queue_bytes: usize,
    /// Parts that may wait.
    pub queue_parts: usize,
    /// How often what was written is made to reach the disk.
    pub sync: Duration,
    /// How long it rests after a failure.
    pub retry: Duration,
    /// How often it looks for what is not kept, whether parts come or not.
    pub tidy: Duration,
}

impl Default for RecorderSettings {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { queue_bytes: 64 << 20, queue_parts: 4096, sync: second, retry: second, tidy: 10 * second }
    }
}

/// What a recorder has done.
#[derive(Debug, Default)]
pub struct RecorderCounters {
    recorded: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    is_failing: AtomicBool,
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

    /// Whether the last part that was tried could not be written.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Relaxed)
    }
}

/// A thread that records.
#[derive(Debug)]
pub struct Recorder {
    queue: SyncSender<RecordedPart>,
    counters: Arc<RecorderCounters>,
    settings: RecorderSettings,
    thread: JoinHandle<()>,
}

impl Recorder {
    /// Starts the thread. The first file is opened at the first part.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn start(place: Box<dyn Place>, settings: RecorderSettings) -> io::Result<Self> {
        let (queue, parts) = sync_channel(settings.queue_parts);
        let counters = Arc::new(RecorderCounters::default());
        let work =
            RecorderLoop { place, settings, counters: counters.clone(), clock: RunClock::start(), file: None, failing: None };
        let thread = Builder::new().name("recorder".to_owned()).spawn(move || work.run(&parts))?;
        Ok(Self { queue, counters, settings, thread })
    }

    /// Hands a part over, without waiting. Returns whether it found room.
    pub fn push(&self, part: RecordedPart) -> bool {
        let bytes = part.body.len();
        let before = self.counters.queued.fetch_add(bytes, Relaxed);
        let has_room = before == 0 || before.saturating_add(bytes) <= self.settings.queue_bytes;
        let is_taken = has_room && self.queue.try_send(part).is_ok();
        if !is_taken {
            self.counters.queued.fetch_sub(bytes, Relaxed);
            self.counters.lost.fetch_add(1, Relaxed);
        }
        is_taken
    }

    /// What it has done so far.
    pub fn counters(&self) -> Arc<RecorderCounters> {
        self.counters.clone()
    }

    /// Writes what waits, and returns once it is on the disk. A recorder that is dropped instead does so on its own.
    pub fn finish(self) {
        drop(self.queue);
        let _ = self.thread.join();
    }
}

/// The file that is written.
#[derive(Debug)]
struct OpenRecording {
    appender: Appender,
    path: PathBuf,
    first: Instant,
}

/// A failure that lasts.
#[derive(Debug)]
struct Failing {
    lost: u64,
    next_try: Instant,
}

#[derive(Debug)]
struct RecorderLoop {
    place: Box<dyn Place>,
    settings: RecorderSettings,
    counters: Arc<RecorderCounters>,
    clock: RunClock,
    file: Option<OpenRecording>,
    failing: Option<Failing>,
}

impl RecorderLoop {
    fn run(mut self, parts: &Receiver<RecordedPart>) {
        let (mut next_sync, mut next_tidy) = (None, Instant::now());
        loop {
            let now = Instant::now();
            if now >= next_tidy {
                self.tidy();
                next_tidy = Instant::now() + self.settings.tidy;
            }
            if next_sync.is_some_and(|next| now >= next) {
                self.sync();
                next_sync = None;
            }
            let until = next_sync.map_or(next_tidy, |next| next_tidy.min(next));
            match parts.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(part) => {
                    self.counters.queued.fetch_sub(part.body.len(), Relaxed);
                    self.record(&part);
                    next_sync.get_or_insert_with(|| Instant::now() + self.settings.sync);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            }
        }
    }

    fn record(&mut self, part: &RecordedPart) {
        let outcome = match &self.failing {
            Some(failing) if Instant::now() < failing.next_try => None,
            _ => Some(self.append(part)),
        };
        match outcome {
            Some(Ok(())) => self.succeeded(part),
            Some(Err(why)) => self.failed(Some(&why)),
            None => self.failed(None),
        }
    }

    fn append(&mut self, part: &RecordedPart) -> io::Result<()> {
        // The most that a head takes, with a name that is percent-encoded.
        let more = (part.body.len() + part.media.as_str().len() + 3 * part.feed.len() + 300) as u64;
        let full = self.file.take_if(|file| {
            let age = part.at.saturating_duration_since(file.first);
            file.appender.parts() > 0 && self.place.is_full(file.appender.size(), age, more)
        });
        if let Some(mut full) = full {
            let _ = full.appender.sync();
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let opened = self.place.open(part.time)?;
                if let Some(cut) = opened.cut {
                    warn!(file = %opened.path.display(), bytes = cut.bytes, "cut off a part that was not whole");
                }
                none.insert(OpenRecording { appender: opened.appender, path: opened.path, first: part.at })
            }
        };
        file.appender.append(part, self.clock.read(part.at))
    }

    fn succeeded(&mut self, part: &RecordedPart) {
        self.counters.recorded.fetch_add(1, Relaxed);
        self.counters.bytes.fetch_add(part.body.len() as u64, Relaxed);
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

    fn sync(&mut self) {
        let synced = self.file.as_mut().map_or(Ok(()), |file| file.appender.sync());
        if let Err(why) = synced {
            warn!("cannot make the recording reach the disk: {why}");
        }
    }

    fn tidy(&mut self) {
        // Somebody has deleted or moved it: what is written there would be lost.
        if self.file.take_if(|file| !file.path.exists()).is_some() {
            warn!("the file that was recorded to is gone; the next part begins another");
        }
        self.place.tidy(self.file.as_ref().map(|file| file.path.as_path()));
    }
}
