//! What systemd wants to hear of a service of `Type=notify`: that it is ready, that it stops, and, where it has a
//! watchdog, that it lives. Elsewhere all of it does nothing (sd_notify(3)).

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Says that connections are taken, and from then on what is to be said.
pub fn tell_ready(shutdown: &CancellationToken) {
    tell(NotifyState::Ready);
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => tell(NotifyState::Stopping),
            () = feed_watchdog() => {}
        }
    });
}

/// On the thread that serves: where that hangs, the watchdog notices.
async fn feed_watchdog() {
    let Some(patience) = watchdog_enabled().filter(|patience| !patience.is_zero()) else { return std::future::pending().await };
    let mut clock = interval(patience / 2);
    loop {
        clock.tick().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = notify(&[state]) {
        warn!(%error, "cannot tell systemd");
    }
}
