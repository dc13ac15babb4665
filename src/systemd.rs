//! Notifies systemd, for a service of `Type=notify`: ready, stopping, and alive if the unit has a watchdog. Without systemd
//! nothing happens (sd_notify(3)).

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Reports that connections are accepted; from then on it feeds the watchdog and reports the shutdown.
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

/// Runs on the thread that serves, so that the watchdog notices when that hangs.
async fn feed_watchdog() {
    let Some(timeout) = watchdog_enabled().filter(|timeout| !timeout.is_zero()) else { return std::future::pending().await };
    let mut clock = interval(timeout / 2);
    loop {
        clock.tick().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = notify(&[state]) {
        warn!(%error, "cannot notify systemd");
    }
}
