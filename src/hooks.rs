//! Hooks: commands of the user that run when a feed becomes stale, and when it is live again. One task for each feed decides, another
//! runs one command at a time. They know feeds and processes, and nothing of requests and parts.

use std::{collections::VecDeque, io, os::fd::AsFd, process::Stdio, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    select,
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    feed::{Feed, SourceState},
    panic::{PanicScope, catch_async},
    process::{Exit, Spawn, Streams},
};

/// How long a hook may run, and how long it may while another waits, which is about the present.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);
const TIMEOUT_BEFORE_NEXT: Duration = Duration::from_secs(10);
/// The time between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(2);
/// Hooks that run at once, since a thousand logs may become stale in one moment.
static AT_ONCE: Semaphore = Semaphore::const_new(32);
/// How long nothing is looked at that no event and no time makes due.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// The hooks of a feed.
#[derive(Debug, Clone, Default)]
pub struct HookSettings {
    /// Runs when the feed becomes stale.
    pub on_stale: Option<String>,
    /// Runs when it is live again.
    pub on_live: Option<String>,
    /// The time without a new part after which a feed is stale.
    pub stale_after: Duration,
    /// The time between two parts, where it is known. Where it is longer than `stale_after`, that counts from its end.
    pub interval: Option<Duration>,
}

impl HookSettings {
    /// Whether there is a hook at all.
    pub fn is_empty(&self) -> bool {
        self.on_stale.is_none() && self.on_live.is_none()
    }

    /// The time without a new part that makes the feed stale.
    fn limit(&self) -> Duration {
        let longer = self.interval.filter(|interval| *interval > self.stale_after);
        self.stale_after + longer.unwrap_or_default()
    }
}

/// The hooks of a source's feeds, and the runtime that watches them: not that of the source, which may be blocked.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// What runs when.
    pub settings: HookSettings,
    /// Where feeds are watched.
    pub runtime: Handle,
}

impl Hooks {
    /// Those of a feed that may be quiet: none.
    #[must_use]
    pub fn none(&self) -> Self {
        Self { settings: HookSettings::default(), runtime: self.runtime.clone() }
    }

    /// Watches a feed until `end` is cancelled, if there is a hook. It counts as demand: a source does not rest that is watched.
    pub fn watch(&self, feed: Arc<Feed>, end: CancellationToken) {
        if !self.settings.is_empty() {
            self.runtime.spawn(watch_feed(feed, self.settings.clone(), end));
        }
    }
}

/// What a hook is told, beside the feed's name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    is_stale: bool,
    reason: String,
    /// How long there was no new part.
    age: Duration,
}

async fn watch_feed(feed: Arc<Feed>, settings: HookSettings, end: CancellationToken) {
    let (sender, receiver) = unbounded_channel();
    let decide = catch_async(PanicScope::Source, decide(&feed, settings.limit(), sender));
    let run = catch_async(PanicScope::Source, run_hooks(&feed.name, &settings, receiver));
    // Both end with the feed's source, and a hook that runs then is dropped, which ends it.
    select! {
        _ = async { tokio::join!(decide, run) } => {}
        () = end.cancelled() => {}
    }
}

/// Tells whenever the feed becomes stale or live; returns once nothing will change.
async fn decide(feed: &Feed, limit: Duration, sender: UnboundedSender<Told>) {
    let _demand = feed.want();
    let opened = Instant::now();
    // Since when parts were expected: a source that rested has its time to produce one.
    let (mut is_stale, mut stale_from, mut expected_since) = (false, opened, opened);
    loop {
        let changed = feed.source_changed();
        let (activity, now) = (feed.activity(), Instant::now());
        let newest = activity.newest_at.unwrap_or(opened);
        let liveness = Liveness::of(&activity.source, if is_stale { newest } else { newest.max(expected_since) }, limit, now);
        match &liveness {
            Liveness::Stale(reason) if !is_stale => {
                (is_stale, stale_from) = (true, newest);
                let _ = sender.send(Told { is_stale, reason: reason.clone(), age: now - newest });
            }
            Liveness::Live(_) if is_stale => {
                is_stale = false;
                let reason = if newest > stale_from { "a new part" } else { "the source is back" };
                let _ = sender.send(Told { is_stale, reason: reason.to_owned(), age: now - stale_from });
            }
            Liveness::Resting | Liveness::Stale(_) | Liveness::Live(_) => {}
        }
        let has_ended = matches!(activity.source, SourceState::Ended { .. });
        if has_ended && is_stale {
            return;
        }
        let due = if let Liveness::Live(due) = liveness { due } else { now + A_DAY };
        select! {
            () = changed => {}
            () = sleep_until(due) => {}
            _ = feed.newer_than(activity.published), if is_stale && !has_ended => {}
        }
        // After a rest parts are expected from now on.
        if liveness == Liveness::Resting {
            expected_since = Instant::now();
        }
    }
}

/// How a feed is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Liveness {
    /// Live, until then if nothing comes.
    Live(Instant),
    /// Stale, for this reason.
    Stale(String),
    /// Its source rests; it is neither.
    Resting,
}

impl Liveness {
    /// `last` is when the newest part came, or when one was first expected.
    fn of(source: &SourceState, last: Instant, limit: Duration, now: Instant) -> Self {
        let due = last + limit;
        match source {
            SourceState::Idle => Self::Resting,
            SourceState::Lost { reason } => Self::Stale(format!("lost: {reason}")),
            _ if now < due => Self::Live(due),
            SourceState::Ended { reason: Some(reason) } => Self::Stale(format!("ended: {reason}")),
            SourceState::Ended { reason: None } => Self::Stale("ended".to_owned()),
            _ => Self::Stale(format!("no new part for {}", humantime::format_duration(limit))),
        }
    }
}

/// Runs the hook of each state that is told, one at a time, in their order.
async fn run_hooks(feed: &str, settings: &HookSettings, told: UnboundedReceiver<Told>) {
    let mut queue = HookQueue { told: Some(told), waiting: VecDeque::new() };
    while let Some(next) = queue.next().await {
        let (flag, state, command) = match next.is_stale {
            true => ("--on-stale", "stale", &settings.on_stale),
            false => ("--on-live", "live again", &settings.on_live),
        };
        info!(feed, reason = next.reason, "the feed is {state}");
        let Some(command) = command else { continue };
        match run_hook(feed, command, &next, &mut queue).await {
            Ok(Some(exit)) if exit.is_success() => debug!(feed, "the hook {flag} has run"),
            Ok(Some(exit)) => warn!(feed, "the hook {flag} failed: {exit}"),
            Ok(None) => warn!(feed, "the hook {flag} took too long and was ended"),
            Err(error) => warn!(feed, %error, "cannot run the hook {flag}"),
        }
    }
}

/// States that wait for their hooks: stale and live by turns, the present one last.
struct HookQueue {
    /// `None` once no more are told.
    told: Option<UnboundedReceiver<Told>>,
    waiting: VecDeque<Told>,
}

impl HookQueue {
    /// The next state; `None` once there will be none.
    async fn next(&mut self) -> Option<Told> {
        while self.waiting.is_empty() && self.told.is_some() {
            self.grow().await;
        }
        self.waiting.pop_front()
    }

    /// Waits until another state is told. A feed that changes faster than its hooks run skips a pair of states.
    async fn grow(&mut self) {
        match &mut self.told {
            None => std::future::pending().await,
            Some(told) => match told.recv().await {
                None => self.told = None,
                Some(next) => {
                    if self.waiting.len() == 2 {
                        self.waiting.clear();
                    }
                    self.waiting.push_back(next);
                }
            },
        }
    }
}

/// Runs a hook to its end; `None` if it had to be ended.
async fn run_hook(feed: &str, command: &str, told: &Told, queue: &mut HookQueue) -> io::Result<Option<Exit>> {
    let spawn = spawn_of(feed, command, told)?;
    let _permit = loop {
        select! {
            permit = AT_ONCE.acquire() => break permit,
            () = queue.grow() => {}
        }
    };
    // The fork holds no viewer up.
    let mut running = spawn_blocking(|| spawn.start()).await.map_err(io::Error::other)??;
    let start = Instant::now();
    loop {
        let deadline = start + if queue.waiting.is_empty() { RUN_TIMEOUT } else { TIMEOUT_BEFORE_NEXT };
        select! {
            exit = running.exit() => return Ok(Some(exit)),
            () = sleep_until(deadline) => break,
            () = queue.grow() => {}
        }
    }
    running.stop();
    running.gone().await;
    Ok(None)
}

fn spawn_of(feed: &str, command: &str, told: &Told) -> io::Result<Spawn> {
    let stderr = || io::stderr().as_fd().try_clone_to_owned().map(Stdio::from);
    let variable = |name: &str, value: String| (name.into(), value.replace('\0', " ").into());
    Ok(Spawn {
        command: ["/bin/sh", "-c", command].map(Into::into).into(),
        // Standard output is for URLs.
        streams: Streams::Files { stdout: stderr()?, stderr: stderr()? },
        env: vec![
            variable("MXR_FEED", feed.to_owned()),
            variable("MXR_AGE", told.age.as_secs().to_string()),
            variable("MXR_REASON", told.reason.clone()),
        ],
        without: Vec::new(),
        kill_after: KILL_AFTER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        feed::{Kind, Limits, Publisher, Settings},
        format::Media,
        part::Part,
        wire::Boundary,
    };

    const LIMIT: Duration = Duration::from_secs(30);

    fn feed() -> (Publisher, Arc<Feed>) {
        Feed::new("test", Kind::Newest, &Settings::new(Boundary::random(), Limits::new(None, 1000, true)))
    }

    fn publish(publisher: &Publisher) {
        publisher.publish(Part::now(Media::from_known(Media::TEXT), "part")).unwrap();
    }

    /// The states that are told of a feed, as they come.
    fn watched(feed: &Arc<Feed>) -> UnboundedReceiver<Told> {
        let (sender, receiver) = unbounded_channel();
        let feed = feed.clone();
        tokio::spawn(async move { decide(&feed, LIMIT, sender).await });
        receiver
    }

    async fn next(told: &mut UnboundedReceiver<Told>) -> (bool, String, u64) {
        let told = told.recv().await.unwrap();
        (told.is_stale, told.reason, told.age.as_secs())
    }

    async fn is_told_nothing(told: &mut UnboundedReceiver<Told>, time: Duration) -> bool {
        tokio::time::timeout(time, told.recv()).await.is_err()
    }

    #[tokio::test]
    async fn a_state_that_waits_keeps_its_hook_and_the_present_one_is_last() {
        let (sender, receiver) = unbounded_channel();
        let mut queue = HookQueue { told: Some(receiver), waiting: VecDeque::new() };
        for number in 0..5 {
            let age = Duration::from_secs(number);
            sender.send(Told { is_stale: number % 2 == 0, reason: String::new(), age }).unwrap();
            queue.grow().await;
        }
        drop(sender);
        assert_eq!(queue.next().await.map(|told| (told.is_stale, told.age.as_secs())), Some((true, 4)));
        assert_eq!(queue.next().await, None);
    }

    #[test]
    fn an_interval_that_is_longer_than_the_limit_counts_from_its_end() {
        for (interval, limit) in [(None, 30), (Some(10), 30), (Some(60), 90)] {
            let interval = interval.map(Duration::from_secs);
            let settings = HookSettings { stale_after: LIMIT, interval, ..HookSettings::default() };
            assert_eq!(settings.limit().as_secs(), limit, "{interval:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_without_a_new_part_is_stale_until_the_next_one() {
        let (publisher, feed) = feed();
        let mut told = watched(&feed);
        tokio::time::sleep(Duration::from_secs(20)).await;
        publish(&publisher);
        assert!(is_told_nothing(&mut told, Duration::from_secs(29)).await);
        assert_eq!(next(&mut told).await, (true, "no new part for 30s".to_owned(), 30));
        assert!(is_told_nothing(&mut told, Duration::from_secs(100)).await);
        publish(&publisher);
        assert_eq!(next(&mut told).await, (false, "a new part".to_owned(), 130));
        assert_eq!(next(&mut told).await, (true, "no new part for 30s".to_owned(), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_source_is_stale_at_once_and_a_resting_one_never() {
        let (publisher, feed) = feed();
        let mut told = watched(&feed);
        publish(&publisher);
        tokio::task::yield_now().await;
        publisher.set_source(SourceState::Idle);
        assert!(is_told_nothing(&mut told, Duration::from_secs(1000)).await);
        publisher.set_source(SourceState::Starting);
        assert!(is_told_nothing(&mut told, Duration::from_secs(29)).await, "it has its time to begin");
        publish(&publisher);
        tokio::task::yield_now().await;
        publisher.set_source(SourceState::Lost { reason: "refused".to_owned() });
        assert_eq!(next(&mut told).await, (true, "lost: refused".to_owned(), 0));
        publisher.set_source(SourceState::Live);
        assert_eq!(next(&mut told).await, (false, "the source is back".to_owned(), 0));
        publisher.set_source(SourceState::Lost { reason: "gone".to_owned() });
        assert!(next(&mut told).await.0);
        tokio::time::sleep(LIMIT).await;
        publisher.set_source(SourceState::Idle);
        publisher.set_source(SourceState::Starting);
        assert!(is_told_nothing(&mut told, LIMIT * 2).await, "it is back with its next part");
        publish(&publisher);
        assert!(!next(&mut told).await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_feed_is_stale_in_its_time_and_then_let_go() {
        let (publisher, feed) = feed();
        let mut told = watched(&feed);
        assert_eq!(publisher.demand().count(), 0);
        tokio::task::yield_now().await;
        assert_eq!(publisher.demand().count(), 1, "a source that is watched does not rest");
        publish(&publisher);
        drop(publisher);
        assert_eq!(next(&mut told).await, (true, "ended".to_owned(), 30));
        assert!(told.recv().await.is_none());
        assert_eq!(Arc::strong_count(&feed), 1);
    }
}
