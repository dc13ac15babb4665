//! The numbers: `/metrics` for Prometheus and `/state` for people and the page. Each request reads the counters of feeds and
//! viewers; nothing is counted here.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabel, EncodeMetric, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use serde_json::json;

use super::{
    options::Options,
    response::{self, Reply},
};
use crate::{
    feed::{self, FeedState, HistoryState},
    panic,
    part::unix_time,
    recording::RecorderCounters,
    sink::{PublishState, PublishStatus, RecordedCounters},
    stats::Viewers,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `/state` tells of each viewer.
#[derive(Debug, Clone, Copy)]
pub(super) enum ViewerDetail {
    /// Nothing: with thousands of viewers the list is long.
    None,
    /// All but the address, which the visitor may not see.
    WithoutAddress,
    /// All.
    Whole,
}

/// The JSON of `/state`.
pub(super) fn state(feeds: &feed::Registry, viewers: &Viewers, options: &Options, detail: ViewerDetail) -> serde_json::Value {
    let (uptime, started) = viewers.uptime();
    let (came, sent) = viewers.sent();
    json!({
        "version": VERSION,
        "process": feeds.process(),
        "uptime": uptime,
        "started": started,
        "keepalive": options.keepalive.map(|keepalive| keepalive.as_secs_f64()),
        "denied": options.access.denied(),
        "history": feeds.settings().history.state(),
        "recording": match &options.recorded.recording {
            Some(counters) => recorded(counters),
            // One that is served, too, has a past.
            None => options.archive.is_some().into(),
        },
        "frames": options.recorded.frames.as_deref().map(recorded),
        "hub": options.push.is_some(),
        "publish": options.published.as_deref().map(published),
        "left_out_feeds": feeds.left_out(),
        "feeds": feeds.list().iter().map(|mounted| mounted.mount.state()).collect::<Vec<_>>(),
        "refused": viewers.rejected.sum(),
        "refused_by_cause": viewers.rejected,
        "came": came,
        "gone": viewers.gone,
        "sent": sent,
        "faults": viewers.conn_errors,
        "panics": panic::panics().collect::<std::collections::BTreeMap<_, _>>(),
        "max_viewers": viewers.limit(),
        "viewers": match detail {
            ViewerDetail::None => None,
            ViewerDetail::WithoutAddress => Some(viewers.states(false)),
            ViewerDetail::Whole => Some(viewers.states(true)),
        },
    })
}

fn recorded(counters: &RecorderCounters) -> serde_json::Value {
    json!({
        "parts": counters.recorded(),
        "bytes": counters.bytes(),
        "lost": counters.lost(),
        "failing": counters.is_failing(),
    })
}

fn published(status: &PublishStatus) -> serde_json::Value {
    let (state, reason) = status.state();
    json!({
        "url": status.url(),
        "state": state.name(),
        "reason": reason,
        "published": status.published(),
        "connects": status.connects(),
    })
}

/// The reply to `/metrics`.
pub(super) fn reply(feeds: &feed::Registry, viewers: &Arc<Viewers>, options: &Options) -> Reply {
    let mut registry = Registry::default();
    let (list, of_runs) = (feeds.list(), |mount: &feed::Mount| mount.shared().is_none());
    let states =
        |runs: bool| list.iter().filter(move |mounted| of_runs(&mounted.mount) == runs).map(|mounted| mounted.mount.state());
    let (history, left_out) = (feeds.settings().history.state(), feeds.left_out());
    let (feeds, runs) = (states(false).collect(), states(true).collect());
    registry.register_collector(Box::new(Scrape {
        feeds,
        runs,
        left_out,
        history,
        recorded: options.recorded.clone(),
        published: options.published.clone(),
        viewers: viewers.clone(),
        denied: options.access.denied(),
    }));
    let mut text = String::new();
    match prometheus_text::encode(&mut text, &registry) {
        Ok(()) => response::metrics(text),
        Err(error) => response::text(hyper::StatusCode::INTERNAL_SERVER_ERROR, &format!("mxr: {error}")),
    }
}

/// All numbers at one moment.
#[derive(Debug)]
struct Scrape {
    feeds: Vec<FeedState>,
    /// Runs have no number but that of refused parts: each belongs to one viewer.
    runs: Vec<FeedState>,
    /// Feeds that sources have not opened.
    left_out: u64,
    history: HistoryState,
    recorded: RecordedCounters,
    published: Option<Arc<PublishStatus>>,
    viewers: Arc<Viewers>,
    /// Wrong or missing passwords and tokens.
    denied: u64,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut table = Table(encoder);
        self.feeds(&mut table)?;
        self.recorded(&mut table)?;
        self.published(&mut table)?;
        self.viewers(&mut table)?;
        self.process(&mut table)
    }
}

impl Scrape {
    fn feeds(&self, table: &mut Table<'_>) -> fmt::Result {
        let all = |number: fn(&FeedState) -> u64| self.feeds.iter().map(move |feed| (("feed", feed.name.as_str()), number(feed)));
        table.counters("mxr_feed_published", "Parts published", all(|feed| feed.published))?;
        table.counters(
            "mxr_feed_published_bytes",
            "Bytes of the bodies of the parts published",
            all(|feed| feed.published_bytes),
        )?;
        let runs = self.runs.iter().map(|feed| (("feed", feed.name.as_str()), feed.refused));
        let refused = all(|feed| feed.refused).chain(runs);
        table.counters("mxr_feed_refused", "Parts not taken: empty, too large, not whole", refused)?;
        let dropped = all(|feed| feed.dropped);
        table.counters("mxr_feed_dropped", "Parts replaced before a viewer took them, counted for each viewer", dropped)?;
        table.gauges("mxr_feed_viewers", "Viewers of the feed", all(|feed| feed.viewers as u64).map(as_gauge))?;
        table.gauges("mxr_feed_ended", "1 where no part will follow", all(|feed| feed.ended.into()).map(as_gauge))?;
        table.gauges("mxr_feed_held", "Parts in memory, with the newest", all(|feed| feed.held as u64).map(as_gauge))?;
        let held_bytes = all(|feed| feed.held_bytes as u64).map(as_gauge);
        table.gauges("mxr_feed_held_bytes", "Memory that they take", held_bytes)?;
        table.gauge(
            "mxr_history_bytes",
            "Memory of past parts of all feeds, without the newest of each",
            self.history.bytes as f64,
        )?;
        table.gauge("mxr_history_bytes_limit", "The most that it may be (--history-bytes)", self.history.limit as f64)?;
        table.counter("mxr_feeds_left_out", "Feeds that were not opened, since there were too many", self.left_out)?;
        self.commands(table)?;
        self.upstreams(table)?;
        let ages = self.feeds.iter().filter_map(|feed| Some((("feed", feed.name.as_str()), feed.age()?.as_secs_f64())));
        table.gauges("mxr_feed_newest_age_seconds", "Age of the newest part, by the clock of this machine", ages)
    }

    /// Of feeds whose source is a command.
    fn commands(&self, table: &mut Table<'_>) -> fmt::Result {
        let all = || self.feeds.iter().filter_map(|feed| Some((("feed", feed.name.as_str()), feed.runs()?)));
        table.counters("mxr_command_runs", "Runs of the feed's command", all().map(|(feed, runs)| (feed, runs.runs)))?;
        let failed = all().map(|(feed, runs)| (feed, runs.failed_runs));
        table.counters("mxr_command_failed_runs", "Runs that did not end with the exit status 0", failed)?;
        let statuses = all().filter_map(|(feed, runs)| Some((feed, f64::from(runs.exit_status?))));
        table.gauges("mxr_command_exit_status", "Exit status of the last run; 128 and its number for a signal", statuses)
    }

    /// Of feeds whose source is an upstream.
    fn upstreams(&self, table: &mut Table<'_>) -> fmt::Result {
        let all = || self.feeds.iter().filter_map(|feed| Some((("feed", feed.name.as_str()), feed.upstream()?)));
        table.counters(
            "mxr_upstream_connects",
            "Times the upstream was asked",
            all().map(|(feed, counts)| (feed, counts.connects)),
        )?;
        let failures = all().map(|(feed, counts)| (feed, counts.connect_failures));
        table.counters("mxr_upstream_failures", "Times it could not be read, or was lost", failures)
    }

    /// Of recordings, and of files for single parts.
    fn recorded(&self, table: &mut Table<'_>) -> fmt::Result {
        let RecordedCounters { recording, frames } = &self.recorded;
        let all = || {
            [("recording", recording), ("frames", frames)]
                .into_iter()
                .filter_map(|(to, counters)| Some((("to", to), counters.as_ref()?)))
        };
        let counted = |number: fn(&RecorderCounters) -> u64| all().map(move |(to, counters)| (to, number(counters)));
        table.counters("mxr_recorded_parts", "Parts recorded", counted(RecorderCounters::recorded))?;
        table.counters("mxr_recorded_bytes", "Bytes of their bodies", counted(RecorderCounters::bytes))?;
        let lost = counted(RecorderCounters::lost);
        table.counters("mxr_recorded_lost_parts", "Parts not recorded, since the disk was slow, full or broken", lost)?;
        let failing = counted(|counters| counters.is_failing().into()).map(as_gauge);
        table.gauges("mxr_recorded_failing", "1 while parts cannot be recorded", failing)
    }

    /// Of publishing.
    fn published(&self, table: &mut Table<'_>) -> fmt::Result {
        let Some(status) = &self.published else { return Ok(()) };
        table.counter("mxr_publish_parts", "Parts sent by --publish, without repeats", status.published())?;
        table.counter("mxr_publish_connects", "Times that publishing was begun", status.connects())?;
        let is_live = status.state().0 == PublishState::Live;
        table.gauge("mxr_publish_live", "1 while parts are published", f64::from(u8::from(is_live)))
    }

    fn viewers(&self, table: &mut Table<'_>) -> fmt::Result {
        let viewers = &self.viewers;
        let (came, sent) = viewers.sent();
        table.gauge("mxr_viewers", "Viewers connected", viewers.count() as f64)?;
        table.gauge("mxr_viewers_limit", "Viewers that may be connected at once", viewers.limit() as f64)?;
        table.counter("mxr_viewers_came", "Viewers that have come", came)?;
        table.counters("mxr_viewers_gone", "Viewers that are gone; those that stalled were cut", by_cause(viewers.gone.iter()))?;
        table.counters("mxr_viewers_refused", "Viewers turned away with 503", by_cause(viewers.rejected.iter()))?;
        table.counter("mxr_viewers_sent_parts", "Parts handed to viewers", sent.parts)?;
        table.counter("mxr_viewers_sent_bytes", "Bytes handed to viewers", sent.bytes)?;
        table.counter("mxr_viewers_dropped_parts", "Parts replaced before their viewer took them", sent.dropped)?;
        table.counter("mxr_viewers_unfit_parts", "Parts left out for an <img> that cannot show them", sent.left_out)
    }

    fn process(&self, table: &mut Table<'_>) -> fmt::Result {
        let codes = self.viewers.replies.counts();
        let codes = codes.iter().map(|(code, count)| (("code", *code), *count));
        table.counters("mxr_http_requests", "Requests answered, by status code", codes)?;
        table.counter("mxr_http_denied", "Requests with a wrong password or token, or none", self.denied)?;
        table.counters("mxr_errors", "Connections that came to nothing", by_cause(self.viewers.conn_errors.iter()))?;
        let panics = panic::panics().map(|(scope, count)| (("place", scope), count));
        table.counters("mxr_panics", "Bugs of mxr that were contained, by what they cost", panics)?;
        let started = unix_time(self.viewers.started_at());
        table.gauge("mxr_start_time_seconds", "When this process began to serve, since 1970", started.as_secs_f64())?;
        table.gauges("mxr_build_info", "1, with the version as a label", [(("version", VERSION), 1.0)])
    }
}

fn by_cause(counts: impl Iterator<Item = (&'static str, u64)>) -> impl Iterator<Item = ((&'static str, &'static str), u64)> {
    counts.map(|(cause, count)| (("cause", cause), count))
}

fn as_gauge<L>((label, number): (L, u64)) -> (L, f64) {
    (label, number as f64)
}

/// The text that is being encoded.
struct Table<'a>(DescriptorEncoder<'a>);

impl Table<'_> {
    /// Counters; the encoder appends `_total` to their name.
    fn counters<L: EncodeLabel>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (L, u64)>) -> fmt::Result {
        let rows = rows.into_iter().map(|(label, count)| (label, ConstCounter::new(count)));
        self.family(name, help, MetricType::Counter, rows)
    }

    fn gauges<L: EncodeLabel>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (L, f64)>) -> fmt::Result {
        let rows = rows.into_iter().map(|(label, value)| (label, ConstGauge::new(value)));
        self.family(name, help, MetricType::Gauge, rows)
    }

    fn family<L: EncodeLabel, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        rows: impl Iterator<Item = (L, M)>,
    ) -> fmt::Result {
        let mut rows = rows.peekable();
        // Prometheus expects no family without rows.
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        rows.try_for_each(|(label, metric)| metric.encode(family.encode_family(&[label])?))
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        ConstCounter::new(count).encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }
}
