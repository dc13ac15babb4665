//! The root of another mxr: all its feeds, those that come and go too. It asks what there is, and each feed is an upstream of its own.
//!
//! It reads `/state` from time to time: `/streams` tells of feeds too, but who reads it is a viewer of all of them, and their sources
//! would never rest.

use std::time::Duration;

use serde::Deserialize;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};
use tracing::info;

use super::{polling::request_headers, settings::RelaySettings, upstream::Upstream, visit::UpstreamVisits};
use crate::{
    client::{Awaited, Client, ClientError, Response, StatusCode, Target, header},
    error::Result,
    feed::{Hops, Kind, SourceState, url_name},
    loss::{Loss, Losses, SHORTEST_PAUSE},
    panic::{PanicScope, catch_async},
    source::{
        Context,
        incoming::{Announced, RemoteFeed},
        wanted::Wanted,
    },
};

/// The time from one look at the feeds to the next.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a feed has to be missing before it is removed: a mxr that was just started may not have found all of its feeds.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// The most feeds of one upstream, and the most bytes of their list.
const MOST: (usize, usize) = (1000, 8 << 20);

/// What may be the root of another mxr.
pub(super) struct Root {
    /// The root.
    target: Target,
    /// The URL itself.
    asked: Target,
    client: Client,
    settings: RelaySettings,
    context: Context,
    /// The feed of those who come before it is known what this is.
    waiting: Option<RemoteFeed>,
    feeds: Vec<RootFeed>,
    tasks: JoinSet<()>,
}

/// A feed of it.
struct RootFeed {
    /// Its name there.
    name: String,
    /// Its name here.
    own_name: String,
    task: AbortHandle,
    missing_since: Option<Instant>,
}

/// What was answered in place of `/state`, or as that.
enum StateAnswer {
    Feeds(ListedState),
    /// It is no mxr. A stream is kept: `ffmpeg -listen 1` has one connection to give, and takes no heed of the path.
    Other(Option<Box<Response>>),
}

/// What `/state` says, as far as it is needed.
#[derive(Debug, Deserialize)]
struct ListedState {
    #[serde(rename = "version")]
    _version: String,
    /// Its name in `Via`; an older mxr has none.
    process: Option<String>,
    feeds: Vec<ListedFeed>,
}

#[derive(Debug, Deserialize)]
struct ListedFeed {
    name: String,
    kind: String,
    #[serde(default)]
    history: usize,
    /// The processes that it has passed before that one.
    #[serde(default)]
    via: Vec<String>,
}

/// The root of another mxr, if this URL may be one: it ends as one, or with the route of all feeds, and asks for nothing special.
pub(super) fn root_of(target: &Target) -> Option<Target> {
    let is_token = |pair: &str| pair.is_empty() || pair.starts_with("token=");
    if !target.query().is_none_or(|query| query.split('&').all(is_token)) {
        return None;
    }
    let path = target.path();
    if path.ends_with('/') {
        return Some(target.clone());
    }
    let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
    target.with_path(&format!("{}{query}", path.strip_suffix("streams").filter(|root| root.ends_with('/'))?)).ok()
}

impl Root {
    pub(super) fn new(asked: Target, target: Target, name: String, settings: &RelaySettings, context: &Context) -> Result<Self> {
        let client = Client::new(settings.client.clone())?;
        let waiting = RemoteFeed::new(context.open(name, Kind::Lines), context.media.clone(), None);
        // Before anybody can ask: a snapshot waits for a source that rests or begins.
        [SourceState::Idle, SourceState::Starting].into_iter().for_each(|state| waiting.publisher().set_source(state));
        let (settings, context) = (settings.clone(), context.clone());
        Ok(Self { target, asked, client, settings, context, waiting: Some(waiting), feeds: Vec::new(), tasks: JoinSet::new() })
    }

    /// Relays its feeds, or, if it is no mxr, what it answers itself.
    pub(super) async fn work(mut self) {
        let mut losses = Losses::new(self.target.to_string());
        loop {
            let pause = match self.look().await {
                Ok(StateAnswer::Feeds(listed)) => {
                    losses = Losses::new(self.target.to_string());
                    self.follow(&listed);
                    LOOK_EVERY
                }
                Ok(StateAnswer::Other(first)) if self.feeds.is_empty() => return self.relay_itself(first).await,
                Ok(StateAnswer::Other(_)) => LOOK_EVERY,
                Err(loss) => {
                    let state = SourceState::Lost { reason: loss.reason.clone() };
                    self.waiting.iter().for_each(|feed| feed.publisher().set_source(state.clone()));
                    losses.pause_after(loss)
                }
            };
            let newcomer = self.waiting.as_ref().map(|feed| Wanted::of(feed.publisher(), None, None).newcomer());
            let somebody = async {
                match newcomer {
                    Some(newcomer) if !losses.is_refusal() => newcomer.await,
                    _ => std::future::pending().await,
                }
                sleep(SHORTEST_PAUSE).await;
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = somebody => {}
            }
            // One that has panicked has ended its feed.
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// Asks for the feeds.
    async fn look(&mut self) -> std::result::Result<StateAnswer, Loss> {
        let query = self.target.query().map(|query| format!("{query}&")).unwrap_or_default();
        let target = self.target.with_path(&format!("{}state?{query}viewers=0", self.target.path()));
        let target = target.map_err(|error| Loss::new(error.to_string()))?;
        let via = Hops::default().with(self.context.opener.registry().process());
        let response = self.client.get(&target, &request_headers(&via)).await;
        let mut response = match response {
            Ok(response) => response,
            // It is there, and what it does with such a request is nothing that mxr does.
            Err(ClientError::Timeout { waiting_for: Awaited::ResponseHead, .. })
            | Err(ClientError::Closed | ClientError::Head { .. } | ClientError::Redirect { .. })
                if self.feeds.is_empty() =>
            {
                return Ok(StateAnswer::Other(None));
            }
            Err(error) => return Err(error.into()),
        };
        let is_json = response.header(header::CONTENT_TYPE).is_some_and(|media| media.starts_with("application/json"));
        match response.status {
            StatusCode::OK if is_json => {
                let body = response.body.read_to_end(MOST.1, self.settings.timeout).await?;
                Ok(serde_json::from_slice(&body).map_or(StateAnswer::Other(None), StateAnswer::Feeds))
            }
            // A mxr that is asked in a circle, or a proxy before one that is down.
            status if status == StatusCode::LOOP_DETECTED || status.is_server_error() => Err(Loss::of_status(&response)),
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Err(Loss::of_status(&response)),
            StatusCode::OK if Announced::of(&response.headers).may_be_pictures() => {
                Ok(StateAnswer::Other(Some(Box::new(response))))
            }
            _ => Ok(StateAnswer::Other(None)),
        }
    }

    /// Relays what the URL itself gives.
    async fn relay_itself(mut self, first: Option<Box<Response>>) {
        self.client.disconnect();
        let Self { asked, client, settings, waiting, .. } = self;
        if let Some(feed) = waiting {
            let visits = UpstreamVisits { first, ..UpstreamVisits::new(asked, client, &settings) };
            Upstream::new(visits, feed, settings.linger).work().await;
        }
    }

    /// Opens feeds that are new, and removes those that are gone.
    fn follow(&mut self, listed: &ListedState) {
        let own = self.context.opener.registry().process();
        let is_from_here = |feed: &ListedFeed| feed.via.iter().any(|name| name == own) || listed.process.as_deref() == Some(own);
        // Without a name there is no URL to ask for it, there and here.
        let is_other = |feed: &&ListedFeed| !feed.name.is_empty() && !is_from_here(feed);
        let others: Vec<&ListedFeed> = listed.feeds.iter().filter(is_other).take(MOST.0).collect();
        let now = Instant::now();
        for feed in &mut self.feeds {
            let is_there = others.iter().any(|other| other.name == feed.name);
            feed.missing_since = (!is_there).then(|| feed.missing_since.unwrap_or(now));
        }
        let is_gone = |feed: &RootFeed| feed.missing_since.is_some_and(|since| since.elapsed() >= GONE_AFTER);
        let (gone, there) = std::mem::take(&mut self.feeds).into_iter().partition(is_gone);
        self.feeds = there;
        for RootFeed { own_name, task, .. } in gone {
            info!(feed = own_name, upstream = %self.target, "the feed is gone there, and is removed");
            self.context.opener.remove(&own_name);
            task.abort();
        }
        if others.is_empty() {
            let state = SourceState::Lost { reason: "the upstream has no feed, or none but from here".to_owned() };
            self.waiting.iter().for_each(|feed| feed.publisher().set_source(state.clone()));
        }
        // Its name may be that of the first feed.
        if let Some(feed) = self.waiting.take_if(|_| self.context.name.is_none() && !others.is_empty()) {
            self.context.opener.remove(feed.name());
        }
        for feed in others {
            if !self.feeds.iter().any(|known| known.name == feed.name) {
                self.open(feed, listed.process.as_deref());
            }
        }
    }

    fn open(&mut self, listed: &ListedFeed, process: Option<&str>) {
        let kind = if listed.kind == "lines" { Kind::Lines } else { Kind::Newest };
        let query = self.target.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}stream/{}{query}", self.target.path(), url_name(&listed.name));
        let (Ok(target), Ok(client)) = (self.target.with_path(&path), Client::new(self.settings.client.clone())) else { return };
        let context = Context { name: None, ..self.context.clone() };
        // The name that the user gave is that of the first feed.
        let feed = self.waiting.take().unwrap_or_else(|| {
            let publisher = context.open(self.own_name(&listed.name), kind);
            RemoteFeed::new(publisher, context.media.clone(), Some(kind))
        });
        feed.publisher().set_hops(Hops::of_names(listed.via.iter().map(String::as_str).chain(process)));
        let own_name = feed.name().to_owned();
        let held = context.opener.settings().limits.lines.history;
        let history = (kind == Kind::Lines).then(|| listed.history.min(held)).filter(|history| *history > 0);
        let visits = UpstreamVisits { history, ..UpstreamVisits::new(target, client, &self.settings) };
        let work = Upstream::new(visits, feed, self.settings.linger).work();
        let task = self.tasks.spawn(async move { drop(catch_async(PanicScope::Source, work).await) });
        self.feeds.push(RootFeed { name: listed.name.clone(), own_name, task, missing_since: None });
    }

    /// What a feed is called here, but the first one under a name that the user gave: the others come below it.
    fn own_name(&self, name: &str) -> String {
        self.context.name.as_ref().map_or_else(|| name.to_owned(), |given| format!("{given}/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_ends_with_a_slash_and_asks_for_nothing_special() {
        let root = |url: &str| {
            let root = root_of(&url.parse().unwrap())?;
            Some(root.path().to_owned() + root.query().unwrap_or_default())
        };
        for (url, expected) in [
            ("http://a", Some("/")),
            ("http://a:1/cam/", Some("/cam/")),
            ("http://a/?token=x", Some("/token=x")),
            ("http://a/cam/streams?token=x", Some("/cam/token=x")),
            ("http://a/stream", None),
            ("http://a/upstreams", None),
            ("http://a/?action=stream", None),
            ("http://a/?token=x&action=stream", None),
        ] {
            assert_eq!(root(url).as_deref(), expected, "{url}");
        }
    }
}
