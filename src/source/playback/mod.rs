//! A recording as a source: its parts come again at the times at which they came, in a loop that all viewers share, or once. Each feed
//! in it is a feed again, all on one clock. It does not know how a recording is written.

mod feeds;
mod file_reader;
mod files;
mod player;
mod schedule;
mod settings;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{feeds::PlayedFeeds, file_reader::Unplayable, files::RecordedFiles, player::RecordingPlayer};
use super::context::{Context, Work, name_of};
use crate::{
    error::{Error, Result},
    format::Media,
    recording::{Archive, PlayedTime, Recording},
};

pub use self::settings::{PlayTime, PlaybackSettings};

/// Whether a path is a recording: a file of any kind, or a directory with segments of one.
///
/// # Errors
/// For a directory that has frames as well, or recordings that are no segments.
pub fn is_recording(path: &Path) -> Result<bool> {
    if !path.is_dir() {
        return Ok(path.exists());
    }
    let (is_recorded, names) = (files::has_segments(path), visible_names(path));
    let is_picture = |name: &PathBuf| Media::guess(name, b"").is_image();
    if is_recorded && names.iter().any(is_picture) {
        let why = Unplayable::new("it holds both frames and the segments of a recording");
        return Err(cannot_serve(path, why.hint("move one of them elsewhere; --glob '*.png' or the like plays the frames")));
    }
    let is_of_recordings = || names.iter().all(|name| files::is_ours(&path.join(name)));
    match names.first() {
        Some(first) if !is_recorded && is_of_recordings() => {
            let why = Unplayable::new("its recordings are not named as the segments of one are");
            Err(cannot_serve(path, why.hint(format!("name one of them: mxr serve {}", path.join(first).display()))))
        }
        _ => Ok(is_recorded),
    }
}

/// The names in a directory that are not hidden.
fn visible_names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name()).filter(|name| !name.as_encoded_bytes().starts_with(b"."));
    names.map(PathBuf::from).collect()
}

/// The archive of a recording, in which parts are found by their times; none of a stream that can only be read from its beginning.
pub fn archive_of(path: &Path) -> Option<Arc<Archive>> {
    let is_walked = || Recording::open(path).is_ok_and(|mut recording| recording.is_walkable().unwrap_or(false));
    let has_archive = path.is_dir() || is_walked();
    has_archive.then(|| Arc::new(Archive::open_played(path)))
}

/// A recording as a source, which tells the time that plays.
///
/// # Errors
/// Where it cannot be read, or has no part to play.
pub fn source(settings: PlaybackSettings, playing: Arc<PlayedTime>, context: &Context) -> Result<Work> {
    let path = settings.path.clone();
    let files = RecordedFiles::new(path.clone(), context.part_bytes());
    let feeds = PlayedFeeds::new(context, stem_of(&path), playing);
    let player = RecordingPlayer::begin(settings, files, feeds).map_err(|why| cannot_serve(&path, why))?;
    Ok(Box::pin(async move {
        player.play().await;
        Ok(())
    }))
}

fn cannot_serve(path: &Path, why: Unplayable) -> Error {
    let error = Error::new(format!("serve {}", path.display()), why.cause);
    why.hint.into_iter().fold(error, Error::hint)
}

/// The name of a file without its ending.
fn stem_of(path: &Path) -> String {
    let name = name_of(path);
    Path::new(&name).file_stem().map_or(name.clone(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
