//! What a recorder writes with: files of recordings, or a file for each part. It knows neither.

use std::{fmt::Debug, io};

use super::appender::RecordedPart;

/// What writes parts. All of it may take as long as a disk takes.
pub trait PartWriter: Debug + Send {
    /// Writes a part. Returns `false` if it is there already.
    ///
    /// # Errors
    /// Those of the disk; nothing of the part is left.
    fn write(&mut self, part: &RecordedPart) -> io::Result<bool>;
    /// Returns once all parts are on the disk.
    fn sync(&mut self) {}
    /// Deletes what is not kept.
    fn tidy(&mut self) {}
}
