//! What people see on standard error: log lines, and on a terminal one live line below them that says how the
//! feed is doing. Standard output is for URLs and not written here.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::{config::LogConfig, feed::Offer, stats::Viewers};

/// How often the live line is drawn anew.
const REDRAW: Duration = Duration::from_millis(500);

/// Standard error, with a live line where it is a terminal.
#[derive(Debug, Clone)]
pub struct Terminal {
    line: Option<ProgressBar>,
}

impl Terminal {
    /// Starts the log.
    pub fn start(log: LogConfig) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let line = (is_terminal && log.level >= 0 && !log.is_json).then(|| {
            let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            line.with_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        let terminal = Self { line };
        let level = match log.level {
            ..=-2 => LevelFilter::OFF,
            -1 => LevelFilter::WARN,
            0 => LevelFilter::INFO,
            1 => LevelFilter::DEBUG,
            2.. => LevelFilter::TRACE,
        };
        let builder = tracing_subscriber::fmt().with_max_level(level).with_target(false).with_writer(terminal.clone());
        // A second start in one process (tests) keeps the first log.
        let _ = match log.is_json {
            true => builder.json().flatten_event(true).try_init(),
            false if is_terminal => builder.without_time().with_ansi(std::env::var_os("NO_COLOR").is_none()).try_init(),
            false => builder.with_ansi(false).try_init(),
        };
        terminal
    }

    /// Draws the live line until the program ends.
    pub async fn show(self, offers: Arc<Vec<Offer>>, viewers: Arc<Viewers>) {
        let Some(line) = self.line else { return };
        let mut before = None;
        loop {
            let states: Vec<_> = offers.iter().map(Offer::state).collect();
            let published: u64 = states.iter().map(|state| state.published).sum();
            let rate = before.replace(published).map_or(0.0, |before| (published - before) as f64 / REDRAW.as_secs_f64());
            let age = states.iter().filter_map(|state| state.age()).min();
            let viewers = match viewers.count() {
                1 => "1 viewer".to_owned(),
                count => format!("{count} viewers"),
            };
            let age = age.map_or_else(String::new, |age| format!(" · newest part {} old", in_words(age)));
            line.set_message(format!("{viewers} · {rate:.0} parts/s{age}"));
            line.tick();
            tokio::time::sleep(REDRAW).await;
        }
    }

    /// Takes the live line away, for good.
    pub fn clear(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
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
pub struct LogLine {
    bytes: Vec<u8>,
    line: Option<ProgressBar>,
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        // A log that cannot be written (closed, full disk) is no reason to stop serving.
        let write = || drop(io::stderr().lock().write_all(&self.bytes));
        match &self.line {
            Some(line) => line.suspend(write),
            None => write(),
        }
    }
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine { bytes: Vec::new(), line: self.line.clone() }
    }
}
