//! Publishes all feeds of this process to a hub or a broker: connection after connection, with pauses after losses, until all feeds have
//! ended. What happens on a connection is in a file for each.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

#[cfg(feature = "mqtt")]
use super::broker_publisher::{BrokerAccess, BrokerPublisher};
use super::{
    hub_client::HubAccess,
    hub_publisher::HubPublisher,
    outgoing::{Outgoing, PublishNames},
    publish_progress::{EndOfVisit, PublishProgress},
    publish_status::{PublishState, PublishStatus},
};
use crate::{
    error::Result,
    feed::Registry,
    loss::Losses,
    panic::{PanicScope, catch_async},
};

/// How long nothing may be taken when this process ends, and how long the rest may take.
const LAST: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// The pause before another connection that no loss has made necessary.
const SHORT: Duration = Duration::from_millis(200);

/// Where feeds are published, and under which names.
#[derive(Debug, Clone)]
pub struct PublishSettings {
    /// The hub or broker.
    pub to: PublishTo,
    /// What the first feed is called there, if the user gave a name; it comes before the names of the others.
    pub name: Option<String>,
    /// Whether it comes before all names.
    pub are_several: bool,
    /// The silence after which a part is repeated, where a sign of life is one.
    pub keepalive: Duration,
}

/// Where feeds are published.
#[derive(Debug, Clone)]
pub enum PublishTo {
    /// A `mxr hub`.
    Hub(HubAccess),
    /// A broker for MQTT.
    #[cfg(feature = "mqtt")]
    Broker(BrokerAccess),
}

/// Publishes the feeds of a registry.
#[derive(Debug)]
pub struct FeedPublisher {
    progress: PublishProgress,
    to: PublishRoute,
}

#[derive(Debug)]
enum PublishRoute {
    Hub(Box<HubPublisher>),
    #[cfg(feature = "mqtt")]
    Broker(Box<BrokerPublisher>),
}

impl FeedPublisher {
    /// A publisher of these feeds, which it reads from now on.
    ///
    /// # Errors
    /// If the certificates for the hub or broker cannot be used.
    pub fn new(settings: PublishSettings, registry: &Arc<Registry>) -> Result<Self> {
        let PublishSettings { to, name, are_several, keepalive } = settings;
        let (url, to) = match to {
            PublishTo::Hub(hub) => {
                let url = hub.root.to_string();
                (url, PublishRoute::Hub(Box::new(HubPublisher::new(hub, keepalive, registry)?)))
            }
            #[cfg(feature = "mqtt")]
            PublishTo::Broker(broker) => (broker.to_string(), PublishRoute::Broker(Box::new(BrokerPublisher::new(broker)?))),
        };
        let status = Arc::new(PublishStatus::new(url));
        let names = PublishNames { given: name, are_several };
        let outgoing = Arc::new(Outgoing::new(registry.clone(), names, status.clone()));
        Ok(Self { progress: PublishProgress::new(outgoing, status), to })
    }

    /// How it goes.
    pub fn status(&self) -> Arc<PublishStatus> {
        self.progress.status.clone()
    }

    /// Publishes until all feeds have ended and the rest is taken, for which it has a limited time.
    pub async fn run(mut self) {
        let (outgoing, status) = (self.progress.outgoing.clone(), self.status());
        let work = async {
            // A panic has been logged.
            while catch_async(PanicScope::Publisher, self.work()).await.is_err() {
                sleep(LAST.0).await;
            }
        };
        let mut work = pin!(work);
        tokio::select! {
            () = &mut work => return,
            () = outgoing.ended() => {}
        }
        let deadline = Instant::now() + LAST.1;
        let mut sent = status.published();
        while timeout(LAST.0, &mut work).await.is_err() {
            let before = std::mem::replace(&mut sent, status.published());
            if sent == before || Instant::now() >= deadline {
                let to = status.url();
                warn!(to, "the last parts are not taken");
                return;
            }
        }
    }

    async fn work(&mut self) {
        let mut losses = Losses::new(self.progress.url().to_owned());
        loop {
            let was_ended = self.progress.outgoing.has_ended();
            self.progress.status.set(PublishState::Connecting);
            let ended = match &mut self.to {
                PublishRoute::Hub(hub) => hub.visit(&mut self.progress).await,
                #[cfg(feature = "mqtt")]
                PublishRoute::Broker(broker) => broker.visit(&mut self.progress).await,
            };
            self.progress.end_visit(&mut losses);
            match ended {
                Ok(EndOfVisit::Over) => return,
                Ok(EndOfVisit::Again) => sleep(SHORT).await,
                Err(loss) if was_ended => {
                    let to = self.progress.url();
                    return warn!(to, "the last parts may not be there: {}", loss.reason);
                }
                Err(loss) => {
                    let (pause, is_new) = losses.note(&loss);
                    self.progress.say_lost(&loss, pause, is_new);
                    tokio::select! {
                        () = sleep(pause) => {}
                        // One more attempt is made then.
                        () = self.progress.outgoing.ended() => {}
                    }
                }
            }
        }
    }
}
