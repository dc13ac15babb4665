//! Whether a writer has a file open, as far as this machine can know. It decides nothing.

use std::fs::File;

use super::{context::Context, file_systems::is_on_a_network};
use crate::lease::{Leases, Writers};

/// Asks which files have writers, where the system tells.
#[derive(Debug, Default)]
pub(super) struct FileWriters {
    leases: Option<Leases>,
}

impl FileWriters {
    /// Asks the kernel. Tests that ask for what macOS gets do without.
    pub(super) fn new(context: &Context) -> Self {
        #[cfg(target_os = "linux")]
        if super::fs_events::is_wanted_by_a_test() {
            return Self::default();
        }
        let _runtime = context.runtime.enter();
        Self { leases: Leases::new() }
    }

    /// Whether a writer has this file open, which is open for reading alone. Those of other machines are never known.
    pub(super) fn of(&self, file: &File) -> Writers {
        match self.leases.as_ref().map_or(Writers::Unknown, |leases| leases.writers(file)) {
            Writers::None if is_on_a_network(file) => Writers::Unknown,
            writers => writers,
        }
    }
}
