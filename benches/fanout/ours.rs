//! mxr's own feed and server, with a source that publishes on a clock: what is measured is the fan-out.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use mxr::{
    feed::{Feed, Kind, Limits, Offer},
    http::{self, Access, Hosts, Sites},
    listen::{self, Listener},
    part::{Media, Part},
    stats::Viewers,
    wire::Boundary,
};
use tokio_util::sync::CancellationToken;

use crate::Work;

pub(crate) fn serve(work: Work) {
    crate::pin(0);
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let listener = listen::tcp(([127, 0, 0, 1], 0).into()).expect("listen");
        println!("{}", listener.local_addr().expect("address").port());
        let limits = Limits { history: 1, held: 1, held_bytes: 1 << 30, part_bytes: 1 << 30, keep_same: true };
        let (publisher, feed) = Feed::new("bench", Kind::Newest, Boundary::random(), limits);
        let options = http::Options {
            access: Access::default(),
            tls: None,
            hosts: Hosts::default(),
            sites: Sites::default(),
            prefix: String::new(),
            trust_proxy: false,
            keepalive: Some(Duration::from_secs(5)),
            stall: Duration::from_secs(30),
            may_quit: false,
        };
        tokio::spawn(async move {
            let body = bytes::Bytes::from(crate::body(work.size));
            let media = Media::from_known("image/x-bench");
            let mut clock = tokio::time::interval(Duration::from_secs(1) / work.rate);
            loop {
                clock.tick().await;
                let part = Part { media: media.clone(), body: body.clone(), time: SystemTime::now() };
                publisher.publish(part).expect("publish");
            }
        });
        let offers = Arc::new(vec![Offer::Live(feed)]);
        http::serve(vec![Listener::Tcp(listener)], offers, Viewers::new(100_000), options, CancellationToken::new()).await;
    });
}
