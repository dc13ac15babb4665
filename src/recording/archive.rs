//! Everything that is recorded at a path, a file or a directory of segments, while it grows: parts are found by their times. It keeps
//! an index of 16 bytes a part, and no file open. It knows no feeds and no HTTP.

use std::path::{Path, PathBuf};

/// The recording at a path, which need not be there yet. Its functions read the disk and block.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
}

impl Archive {
    /// The recording at this path. Nothing is read before somebody asks.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
