//! mxr's own feed and server, with a source that publishes on a clock, so that the measurement covers only the fan-out.

use std::{os::fd::OwnedFd, time::Duration};

use mxr::{
    conn::listen::{self, Listener},
    feed::{Kind, Limits, Registry, Settings},
    format::Media,
    http,
    part::Part,
    stats::Viewers,
    wire::Boundary,
};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

use crate::{process::pin, stamp, work::Work};

pub(crate) fn serve(work: Work) {
    if work.threads == 1 {
        pin(0);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let listener = listen::tcp(([0, 0, 0, 0], 0).into()).expect("listen");
        let clock = Clock::new(work.interval());
        println!("{}", listener.local_addr().expect("address").port());
        let (kind, media) = if work.is_text() { (Kind::Lines, Media::TEXT) } else { (Kind::Newest, "image/x-bench") };
        let settings = Settings::new(Boundary::random(), Limits::new(Some(1), 1 << 30, true));
        let (opener, registry) = Registry::new(Settings { shards: work.threads, ..settings });
        let publisher = opener.open("bench", kind);
        let options = http::Options { threads: work.threads, ..http::Options::default() };
        tokio::spawn(async move {
            let media = Media::from_known(media);
            loop {
                clock.tick().await;
                publisher.publish(Part::now(media.clone(), stamp::body(work.size))).expect("publish");
            }
        });
        http::serve(vec![Listener::Tcp(listener)], registry, Viewers::new(100_000), options, CancellationToken::new())
            .await
            .expect("serve");
    });
}

/// A timer of the kernel: tokio's wakes the thread twice when its wheel turns, which is not a cost of the fan-out.
struct Clock(AsyncFd<OwnedFd>);

impl Clock {
    #[allow(deprecated, reason = "the replacement is unsafe (tokio #8587); an OwnedFd fulfils its requirements")]
    fn new(interval: Duration) -> Self {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).expect("timer");
        let every = Timespec { tv_sec: interval.as_secs() as i64, tv_nsec: interval.subsec_nanos().into() };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: every, it_value: every }).expect("set");
        Self(AsyncFd::new(timer).expect("watch"))
    }

    async fn tick(&self) {
        let mut ready = self.0.readable().await.expect("timer");
        rustix::io::read(&self.0, &mut [0; 8]).expect("read");
        ready.clear_ready();
    }
}
