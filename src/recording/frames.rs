//! Writes each part to a file of its own, named by time, feed and type. A name from the wire never becomes a path, and no file is
//! overwritten. It knows nothing of recordings.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    time::SystemTime,
};

use super::{
    appender::RecordedPart,
    part_writer::PartWriter,
    place::{create_new, of_path, prepare_folder},
    segments::utc,
};
use crate::format::Media;

/// The most characters of a feed's name in the name of a file.
const MAX_NAME: usize = 100;

/// A directory with a file for each part.
#[derive(Debug)]
pub struct FrameFolder(pub PathBuf);

impl FrameFolder {
    /// Makes the directory, and looks whether files can be made in it.
    ///
    /// # Errors
    /// The reason why they cannot.
    pub fn prepare(folder: PathBuf) -> io::Result<Self> {
        prepare_folder(&folder)?;
        Ok(Self(folder))
    }

    /// Writes a part, and returns the path of its file.
    ///
    /// # Errors
    /// Those of creating and writing the file, which is then removed.
    pub fn write(&self, part: &RecordedPart) -> io::Result<PathBuf> {
        let (stem, ending) = (stem(part), ending(&part.media));
        let (mut file, path) = create_new(&self.0, |number| match number {
            0 => format!("{stem}.{ending}"),
            _ => format!("{stem}-{number}.{ending}"),
        })?;
        file.write_all(&part.body).map_err(|why| {
            let _ = fs::remove_file(&path);
            of_path(&path, &why)
        })?;
        Ok(path)
    }
}

impl PartWriter for FrameFolder {
    fn write(&mut self, part: &RecordedPart) -> io::Result<bool> {
        // What an upstream still holds comes again in each run.
        let path = self.0.join(format!("{}.{}", stem(part), ending(&part.media)));
        let has_length = fs::symlink_metadata(&path).is_ok_and(|there| there.is_file() && there.len() == part.body.len() as u64);
        if has_length && fs::read(&path).is_ok_and(|there| there == part.body) {
            return Ok(false);
        }
        Self::write(self, part).map(|_| true)
    }
}

/// The name of a part's file without its ending.
fn stem(part: &RecordedPart) -> String {
    format!("{}-{}-{}", utc(part.time), file_name(&part.feed), part.sequence)
}

/// The name for a recording that somebody downloads, of one feed or of several, which begins at this time.
pub fn download_name(feed: Option<&str>, start: SystemTime) -> String {
    format!("{}-{}.mxr", feed.map_or_else(|| "mxr".to_owned(), file_name), utc(start))
}

/// A feed's name with nothing in it that means something in a path.
fn file_name(feed: &str) -> String {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' };
    feed.chars().take(MAX_NAME).map(safe).collect::<String>().replace("..", "__")
}

/// The usual ending of the name of a file of this type.
fn ending(media: &Media) -> &str {
    match media.essence() {
        "image/jpeg" => "jpg",
        "image/svg+xml" => "svg",
        "image/tiff" => "tiff",
        "text/plain" => "txt",
        "text/html" => "html",
        "text/markdown" => "md",
        "application/json" => "json",
        essence => mime_guess::get_mime_extensions_str(essence).and_then(|endings| endings.first().copied()).unwrap_or("bin"),
    }
}
