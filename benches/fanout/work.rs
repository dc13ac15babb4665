//! A workload: the size of parts, their rate, the number of viewers. It measures nothing.

use std::{process::Command, time::Duration};

use crate::process::Running;

/// One workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Bytes of a body.
    pub(crate) size: usize,
    /// Parts a second.
    pub(crate) rate: u32,
    /// Viewers.
    pub(crate) viewers: usize,
    /// The duration of the measurement.
    pub(crate) time: Duration,
    /// mxr's fan-out threads.
    pub(crate) threads: usize,
}

impl Work {
    pub(crate) fn args(&self) -> Vec<String> {
        [self.size, self.rate as usize, self.viewers, self.time.as_millis() as usize, self.threads].map(|n| n.to_string()).to_vec()
    }

    pub(crate) fn parse(args: &[String]) -> Option<Self> {
        let number = |at: usize| args.get(at)?.parse::<u64>().ok();
        Some(Self {
            size: number(0)? as usize,
            rate: number(1)? as u32,
            viewers: number(2)? as usize,
            time: Duration::from_millis(number(3)?),
            threads: number(4)? as usize,
        })
    }

    /// The time between two parts.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.rate
    }

    /// Whether the parts are lines of a log, of which each counts: small parts are, large ones are pictures.
    pub(crate) fn is_text(&self) -> bool {
        self.size <= 1000
    }
}

impl Running {
    /// Starts this bench again, in another role.
    pub(crate) fn role(role: &str, work: Work, args: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command.arg(role).args(work.args()).args(args);
        Self::start(&mut command)
    }
}
