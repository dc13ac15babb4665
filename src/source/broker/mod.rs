//! Topics of a broker as feeds: one connection reads all of them all the time, since a broker skips nothing for a reader that is slow,
//! and the newest parts are held for viewers here. It decides when the broker is connected to; `topics` decides what becomes of messages.

mod offline;
mod opener;
mod topic_feed;
mod topics;

use std::{future::pending, pin::pin, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use self::topics::Topics;
use super::context::Context;
use crate::{
    loss::{GOOD_VISIT, Loss, Losses},
    mqtt::{BrokerConnection, BrokerSettings, TopicFilter},
};

/// How long a broker has at least for its answer to a subscription, after each message.
const LATE: Duration = Duration::from_secs(120);

/// The topics of one broker as a source.
pub(super) struct BrokerTopics {
    settings: BrokerSettings,
    filter: TopicFilter,
    topics: Topics,
}

impl BrokerTopics {
    /// Opens a feed for those who come before it is known which topics there are.
    pub(super) fn new(settings: BrokerSettings, filter: TopicFilter, context: &Context) -> Self {
        let topics = Topics::new(&settings.broker, filter.clone(), context.clone());
        Self { settings, filter, topics }
    }

    /// Reads them for ever.
    pub(super) async fn work(mut self) {
        let mut losses = Losses::new(self.settings.broker.to_string());
        loop {
            let loss = self.visit(&mut losses).await;
            self.topics.lose(&loss.reason);
            sleep(losses.pause_after(loss)).await;
        }
    }

    /// One connection, from its beginning to its end. Subscriptions are those of a connection.
    async fn visit(&mut self, losses: &mut Losses) -> Loss {
        let Self { settings, filter, topics } = self;
        topics.begin();
        let mut connection = match BrokerConnection::open(settings, None).await {
            Ok(connection) => connection,
            Err(loss) => return loss,
        };
        let good = Instant::now() + GOOD_VISIT;
        let (mut is_subscribed, mut is_good) = (false, false);
        // A large retained message may come slowly before the answer.
        let mut late = Instant::now() + settings.client.connect_timeout.max(LATE);
        let mut subscribing = pin!(connection.subscribe(filter.subscriptions()));
        loop {
            let due = topics.due();
            tokio::select! {
                message = connection.next() => match message {
                    Ok(message) => {
                        late = Instant::now() + settings.client.connect_timeout.max(LATE);
                        topics.take(message);
                    }
                    Err(loss) => return loss,
                },
                accepted = &mut subscribing, if !is_subscribed => match accepted {
                    Ok(()) => {
                        info!(broker = %settings.broker, topics = filter.as_str(), "subscribed");
                        is_subscribed = true;
                        topics.note_subscribed();
                    }
                    Err(loss) => return loss,
                },
                () = sleep_until(late), if !is_subscribed => return Loss::new("the broker does not answer a subscription"),
                () = sleep_until(good), if !is_good => {
                    is_good = true;
                    losses.note_live(true);
                }
                () = async { match due { Some(due) => sleep_until(due).await, None => pending().await } } => topics.tick(),
            }
        }
    }
}
