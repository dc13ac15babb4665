//! Standard error: log lines and, on a terminal, one status line below them. A thread of its own writes them, since a paused
//! terminal (Ctrl-S) or a pipe that nobody reads must not delay a viewer: lines that do not fit are dropped and counted. Standard
//! output is for URLs and not written here.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use bytesize::ByteSize;
use tracing::{field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    field::MakeExt,
    fmt::{
        MakeWriter,
        format::{self, Writer},
    },
};

use crate::{
    escape::Escaped,
    feed::{FeedState, Registry, SourceState},
    recording::RecorderCounters,
    sink::RecordedCounters,
    stats::Viewers,
};

/// Moves to the beginning of the line and erases it.
const ERASE: &str = "\r\x1b[K";
/// Around the status line: a line that is too long is cut at the edge; wrapped, it would be two lines, of which one is erased.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// How often the status line is redrawn.
const REDRAW: Duration = Duration::from_millis(500);
/// How much output may wait to be written.
const QUEUED: usize = 1024;
/// How long the end waits for the queue to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// How much is logged, and in which form.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOptions {
    /// From -2 (nothing) over 0 (the default) to 2 (everything).
    pub level: i8,
    /// JSON instead of text.
    pub is_json: bool,
}

/// Standard error, with a status line if it is a terminal.
#[derive(Debug, Clone)]
pub struct Terminal {
    output: SyncSender<Output>,
    lost: Arc<AtomicUsize>,
    has_status: bool,
}

#[derive(Debug)]
enum Output {
    /// Complete lines.
    Lines(Vec<u8>),
    /// The status line from now on.
    Status(String),
    /// The last message; the sender waits for an answer.
    End(SyncSender<()>),
}

impl Terminal {
    /// Starts the log.
    pub fn start(log: LogOptions) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let knows_escapes = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let has_status = is_terminal && knows_escapes && log.level >= 0 && !log.is_json;
        let (output, receiver) = sync_channel(QUEUED);
        let terminal = Self { output, lost: Arc::default(), has_status };
        let lost = terminal.lost.clone();
        // Without the thread nothing is logged, which is no reason not to serve.
        let _ = thread::Builder::new().name("terminal".to_owned()).spawn(move || write(&receiver, &lost, has_status));
        let level = match log.level {
            ..=-2 => LevelFilter::OFF,
            -1 => LevelFilter::WARN,
            0 => LevelFilter::INFO,
            1 => LevelFilter::DEBUG,
            2.. => LevelFilter::TRACE,
        };
        let builder = tracing_subscriber::fmt().with_max_level(level).with_target(false).with_writer(terminal.clone());
        let builder = builder.fmt_fields(format::debug_fn(write_field).delimited(" "));
        // A second start in one process (tests) keeps the first log.
        let _ = if log.is_json {
            builder.json().flatten_event(true).try_init()
        } else if is_terminal {
            builder.without_time().with_ansi(std::env::var_os("NO_COLOR").is_none()).try_init()
        } else {
            builder.with_ansi(false).try_init()
        };
        terminal
    }

    /// Draws the status line until the program ends.
    pub fn show(
        &self,
        registry: Arc<Registry>,
        viewers: Option<Arc<Viewers>>,
        recorded: RecordedCounters,
    ) -> impl Future<Output = ()> + Send + use<> {
        let terminal = self.clone();
        async move {
            if terminal.has_status {
                terminal.draw(registry, viewers, recorded).await;
            }
        }
    }

    async fn draw(self, registry: Arc<Registry>, viewers: Option<Arc<Viewers>>, recorded: RecordedCounters) {
        let mut before = None;
        loop {
            let states: Vec<_> = registry.list().iter().map(|mounted| mounted.mount.state()).collect();
            let published: u64 = states.iter().map(|state| state.published).sum();
            let rate =
                before.replace(published).map_or(0.0, |before| published.saturating_sub(before) as f64 / REDRAW.as_secs_f64());
            let age = states.iter().filter_map(|state| state.age()).min();
            let viewers = viewers.as_ref().map(|viewers| match viewers.count() {
                1 => "1 viewer · ".to_owned(),
                count => format!("{count} viewers · "),
            });
            let viewers = viewers.unwrap_or_default();
            let recorded: String =
                recorded.recording.iter().chain(&recorded.frames).map(|counters| recorded_in_words(counters)).collect();
            let age = age.map_or_else(String::new, |age| format!(" · newest part {} old", in_words(age)));
            let lost: String = states.iter().filter_map(lost_in_words).collect();
            // If the queue is full, the next one comes soon.
            let _ = self.output.try_send(Output::Status(format!("{viewers}{rate:.0} parts/s{age}{recorded}{lost}")));
            tokio::time::sleep(REDRAW).await;
        }
    }

    /// Writes these lines among those of the log.
    pub fn say(&self, lines: impl Into<Vec<u8>>) {
        if self.output.try_send(Output::Lines(lines.into())).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Removes the status line for good, and waits a moment for the queue to be written.
    pub fn end(&self) {
        let (sender, written) = sync_channel(1);
        if self.output.try_send(Output::End(sender)).is_ok() {
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

fn write(receiver: &Receiver<Output>, lost: &AtomicUsize, has_status: bool) {
    let erase = if has_status { ERASE } else { "" };
    let mut status = String::new();
    while let Ok(output) = receiver.recv() {
        let (mut lines, mut ended) = (Vec::new(), None);
        match output {
            Output::Lines(text) => lines = text,
            Output::Status(text) => status = format!("{NO_WRAP}{text}{WRAP}"),
            Output::End(written) => (status, ended) = (String::new(), Some(written)),
        }
        match lost.swap(0, Relaxed) {
            0 => {}
            lost => lines.extend_from_slice(format!("({lost} log lines were dropped: nobody was reading)\n").as_bytes()),
        }
        // A log that cannot be written (closed, full disk) is no reason to stop.
        let _ = io::stderr().write_all(&[erase.as_bytes(), &lines, status.as_bytes()].concat());
        if let Some(written) = ended {
            let _ = written.send(());
        }
    }
}

/// Writes a field as the library does, but with control characters as escapes.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = Escaped(value);
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        name if writer.has_ansi_escapes() => write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value:?}"),
        name => write!(writer, "{name}={value:?}"),
    }
}

/// What the line says of a recording.
fn recorded_in_words(counters: &RecorderCounters) -> String {
    let lost = match counters.lost() {
        0 => String::new(),
        lost => format!(", {lost} lost"),
    };
    let failing = if counters.is_failing() { ", stopped" } else { "" };
    format!(" · {} parts recorded, {}{lost}{failing}", counters.recorded(), ByteSize(counters.bytes()).display().si())
}

/// What the line says of a feed whose source is gone for now.
fn lost_in_words(feed: &FeedState) -> Option<String> {
    match feed.source() {
        SourceState::Lost { reason } => Some(format!(" · {} lost: {}", Escaped(&feed.name), Escaped(reason))),
        _ => None,
    }
}

fn in_words(age: Duration) -> String {
    match age.as_secs() {
        0..10 => format!("{:.1} s", age.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// One log line.
#[derive(Debug)]
pub struct LogLine<'a> {
    bytes: Vec<u8>,
    terminal: &'a Terminal,
}

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine<'_> {
    fn drop(&mut self) {
        self.terminal.say(std::mem::take(&mut self.bytes));
    }
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine { bytes: Vec::new(), terminal: self }
    }
}
