//! A connection to a broker, with what has come on it and is not yet looked at: that is bounded by what was subscribed to, however much
//! the broker sends meanwhile. It knows no feed, and no meaning of a message.

use std::{
    collections::{HashSet, VecDeque},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::timeout;
use tracing::debug;

use crate::{
    loss::{Loss, Retry},
    mqtt::{BrokerConnection, Message, TopicPrefix},
};

/// How long a broker has for an answer: what was sent before may be large, and on its way.
const ANSWER: Duration = Duration::from_secs(120);

/// A connection, with what has come and is not yet looked at.
pub(super) struct BrokerLink {
    pub(super) connection: BrokerConnection,
    pub(super) inbox: Inbox,
}

/// Messages of the topics that are subscribed to: of each the last one that was retained, and the last one that was not.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    topics: HashSet<String>,
    messages: VecDeque<Message>,
}

impl Inbox {
    /// Puts a message in, if its topic is subscribed to.
    pub(super) fn put(&mut self, message: Message) {
        if !self.topics.contains(&message.topic) {
            return;
        }
        let is_same = |known: &Message| known.topic == message.topic && known.is_retained == message.is_retained;
        self.messages.retain(|known| !is_same(known));
        self.messages.push_back(message);
    }

    /// All messages, in order.
    pub(super) fn take(&mut self) -> VecDeque<Message> {
        std::mem::take(&mut self.messages)
    }
}

impl BrokerLink {
    pub(super) fn new(connection: BrokerConnection) -> Self {
        Self { connection, inbox: Inbox::default() }
    }

    /// Waits for this, and takes what comes meanwhile.
    async fn until<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Loss> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                message = self.connection.next() => self.inbox.put(message?),
            }
        }
    }

    /// The same, for what the broker has to answer.
    async fn until_answered<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Loss> {
        let answered = timeout(ANSWER, self.until(work)).await;
        answered.unwrap_or_else(|_| Err(Loss::new("the broker does not answer a subscription")))
    }

    pub(super) async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>, is_retained: bool) -> Result<(), Loss> {
        let published = self.connection.publish(topic.to_owned(), payload.into(), is_retained);
        self.until(published).await
    }

    /// Returns whether the broker allows it.
    pub(super) async fn subscribe(&mut self, topic: &str) -> Result<bool, Loss> {
        self.inbox.topics.insert(topic.to_owned());
        let subscribed = self.connection.subscribe(vec![topic.to_owned()]);
        match self.until_answered(subscribed).await? {
            Ok(()) => Ok(true),
            Err(loss) if loss.retry == Retry::Refused => {
                debug!("{}", loss.reason);
                Ok(false)
            }
            Err(loss) => Err(loss),
        }
    }

    /// Waits until the broker has taken all that was published before: it answers in order, and where there was no subscription, too.
    pub(super) async fn settle(&mut self, prefix: &TopicPrefix) -> Result<(), Loss> {
        self.unsubscribe(&format!("{}/none", prefix.status())).await
    }

    pub(super) async fn unsubscribe(&mut self, topic: &str) -> Result<(), Loss> {
        self.inbox.topics.remove(topic);
        let unsubscribed = self.connection.unsubscribe(topic.to_owned());
        self.until_answered(unsubscribed).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_sends_unasked_or_again_and_again_is_not_held() {
        let mut inbox = Inbox::default();
        inbox.topics.extend(["status".to_owned(), "a".to_owned()]);
        let message = |topic: &str, payload: &'static str, is_retained| Message {
            topic: topic.to_owned(),
            payload: Bytes::from_static(payload.as_bytes()),
            is_retained,
        };
        inbox.put(message("a", "retained", true));
        for _ in 0..1000 {
            inbox.put(message("other", "x", false));
            inbox.put(message("a", "live", false));
            inbox.put(message("status", "offline", false));
        }
        inbox.put(message("status", "online", false));
        let taken: Vec<_> = inbox.take().into_iter().map(|message| message.payload).collect();
        assert_eq!(taken, ["retained", "live", "online"]);
        assert!(inbox.take().is_empty());
    }
}
