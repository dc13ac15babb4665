//! A folder of files to serve, and the ways in which programs put files there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// An empty folder that goes away with the test.
pub struct Folder {
    temp: TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let temp = tempfile::Builder::new().prefix("mxr-test-").tempdir().unwrap();
        fs::create_dir(temp.path().join("feed")).unwrap();
        fs::create_dir(temp.path().join("beside")).unwrap();
        Self { temp }
    }

    /// The folder itself.
    pub fn path(&self) -> PathBuf {
        self.temp.path().join("feed")
    }

    /// The path of a file in it, which need not exist.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A path in the same file system that is not served.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.temp.path().join("beside").join(name)
    }

    /// Writes the file under another path and renames it into place.
    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let written = self.beside(name);
        fs::write(&written, bytes).unwrap();
        fs::rename(written, self.file(name)).unwrap();
    }

    /// Truncates the file, writes it and closes it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        self.temp.path()
    }
}
