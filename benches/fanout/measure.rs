//! Runs one server under one load, and measures the CPU time of a part, its latency, and the memory of a viewer.

use std::time::Duration;

use crate::{
    peers::{self, Peer},
    process::{Running, cpu, memory},
    work::Work,
};

/// A server of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Bare,
    Ours,
    Peer(Peer),
}

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare `send`",
            Self::Ours => "mxr",
            Self::Peer(peer) => peer.name(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Microseconds of CPU per delivered part.
    pub(crate) cost: f64,
    /// The share of parts delivered, of those published for all viewers.
    pub(crate) delivered: f64,
    /// Microseconds from publishing to the last byte.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// KiB of the server's memory per viewer, beyond its memory without viewers.
    pub(crate) memory: f64,
}

/// One measured row of the table: the medians of its rounds.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) server: Server,
    pub(crate) work: Work,
    pub(crate) figures: Figures,
}

pub(crate) fn figures(server: Server, work: Work) -> Figures {
    match server {
        Server::Bare | Server::Ours => {
            let role = if server == Server::Bare { "bare" } else { "ours" };
            let mut server = Running::role(role, work, &[]);
            let port = server.line();
            under_load(work, &port, "/stream", &[server.child.id()])
        }
        Server::Peer(peer) => {
            let running = peers::start(peer, work);
            under_load(work, &running.port.to_string(), running.target, &running.processes())
        }
    }
}

fn under_load(work: Work, port: &str, target: &str, servers: &[u32]) -> Figures {
    let memory_before: i64 = servers.iter().copied().map(memory).sum();
    let mut load = Running::role("load", work, &[port, target]);
    load.line();
    let memory_after: i64 = servers.iter().copied().map(memory).sum();
    let before: Duration = servers.iter().copied().map(cpu).sum();
    load.go();
    let results = load.numbers();
    let spent = servers.iter().copied().map(cpu).sum::<Duration>() - before;
    let [parts, micros, p50, p99] = results[..] else { panic!("the load printed {results:?}") };
    let published = micros / 1e6 * f64::from(work.rate) * work.viewers as f64;
    Figures {
        cost: spent.as_secs_f64() * 1e6 / parts.max(1.0),
        delivered: parts / published,
        p50,
        p99,
        memory: (memory_after - memory_before) as f64 / work.viewers as f64,
    }
}
