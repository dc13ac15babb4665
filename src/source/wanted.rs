//! The demand for something of which one or two feeds are made: it works while one of them has a reader. It knows no command and no
//! upstream.

use std::time::Duration;

use crate::feed::{Demand, Publisher};

/// The demand for the feeds of one command or one upstream.
#[derive(Debug)]
pub(super) struct Wanted {
    output: Demand,
    messages: Option<Demand>,
    /// The time for which it is wanted after the last reader; `None`: it always is.
    linger: Option<Duration>,
}

impl Wanted {
    /// The demand for these feeds.
    pub(super) fn of(output: &Publisher, messages: Option<&Publisher>, linger: Option<Duration>) -> Self {
        Self { output: output.demand(), messages: messages.map(Publisher::demand), linger }
    }

    /// Whether there is a reader, or one has come since the last call of `wait`.
    pub(super) fn is_there(&self) -> bool {
        self.linger.is_none() || self.output.is_wanted() || self.messages.as_ref().is_some_and(Demand::is_wanted)
    }

    /// Waits until `is_there`.
    pub(super) async fn wait(&mut self) {
        if self.linger.is_none() {
            return;
        }
        match &mut self.messages {
            None => drop(self.output.wanted().await),
            Some(messages) => tokio::select! {
                _ = self.output.wanted() => {}
                _ = messages.wanted() => {}
            },
        }
    }

    /// Waits for one more reader than there are now.
    pub(super) fn newcomer(&self) -> impl Future<Output = ()> + use<> {
        let mut output = self.output.from_now();
        async move { output.another().await }
    }

    /// Waits until there has been no reader for long enough.
    pub(super) async fn is_over(&mut self) {
        let Some(linger) = self.linger else { return std::future::pending().await };
        let Some(messages) = &mut self.messages else { return self.output.unwanted_for(linger).await };
        loop {
            tokio::join!(self.output.unwanted_for(linger), messages.unwanted_for(linger));
            // The first of them may have had a reader since.
            if !self.output.is_wanted() && !messages.is_wanted() {
                return;
            }
        }
    }
}
