//! The meaning of the flags about recordings: whether a path is a file or a directory of them, and what goes with which. It opens
//! nothing.

use std::{
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    cli::{RecordingArgs, Stretch, TimeOrSize, Typed},
    error::{Error, Result},
    recording::{Keep, SegmentLimit},
    sink::RecordTo,
};

/// The shortest and the smallest segment.
const LEAST: (Duration, u64) = (Duration::from_secs(1), 64 << 10);
/// Into how many segments that which is kept is cut, unless the user says it.
const SEGMENTS: u32 = 24;

/// What is recorded to, if to anything.
pub(super) fn record_to(args: RecordingArgs, typed: &Typed) -> Result<Option<RecordTo>> {
    let RecordingArgs { record, segment, keep, frames } = args;
    // An empty variable counts as unset.
    let [record, frames] = [record, frames].map(|path| path.filter(|path| !path.as_os_str().is_empty()));
    let Some(path) = record else {
        check_unused(typed, frames.is_some())?;
        return Ok(frames.map(|frames| RecordTo { frames: Some(frames), ..RecordTo::default() }));
    };
    if path.as_os_str() == "-" {
        let error = Error::usage("use --record -", "a recording is written into a file, which is read meanwhile");
        return Err(error.hint("curl URL/streams gives the same parts as a stream; ./- is a file of that name"));
    }
    let is_file = is_file(&path, segment.is_some() || keep.is_some());
    if is_file {
        check_file(&path, typed)?;
        return Ok(Some(RecordTo { file: Some(path), folder: None, frames, tells_feeds: false }));
    }
    let folder = (path, segment_limit(segment.as_ref(), keep.as_ref())?, keep.as_ref().map(kept));
    Ok(Some(RecordTo { file: None, folder: Some(folder), frames, tells_feeds: false }))
}

fn check_unused(typed: &Typed, has_frames: bool) -> Result<()> {
    match ["segment", "keep"].into_iter().find(|option| typed.has(option)) {
        Some(option) if has_frames => {
            let error = Error::usage(format!("use --{option} with --frames alone"), "it is about the files of a recording");
            Err(error.hint("--record DIR makes one; nothing deletes the files of --frames"))
        }
        Some(option) => Err(Error::usage(format!("use --{option}"), "nothing is recorded").hint("--record DIR says where to")),
        None => Ok(()),
    }
}

/// Whether a path is that of a file: what is there decides, then how it is written.
fn is_file(path: &Path, is_cut: bool) -> bool {
    if path.is_dir() || path.as_os_str().as_bytes().ends_with(b"/") {
        return false;
    }
    path.exists() || path.extension().is_some_and(|ending| ending == "mxr") || !is_cut
}

/// A variable is for the recordings that can use it.
fn check_file(path: &Path, typed: &Typed) -> Result<()> {
    let Some(option) = ["segment", "keep"].into_iter().find(|option| typed.has(option)) else { return Ok(()) };
    let why = if option == "keep" { "one file keeps everything" } else { "it is one file" };
    let error = Error::usage(format!("use --{option} with --record {}", path.display()), why);
    Err(error.hint(format!("name a directory, such as --record {}/", path.with_extension("").display())))
}

fn segment_limit(segment: Option<&Stretch>, keep: Option<&Stretch>) -> Result<Option<SegmentLimit>> {
    [("keep", keep, ""), ("segment", segment, ": each is a file")]
        .into_iter()
        .try_for_each(|(option, stretch, why)| stretch.map_or(Ok(()), |stretch| check_least(option, stretch, why)))?;
    if let Some((segment, keep)) = segment.zip(keep).filter(|(segment, keep)| is_larger(segment.amount, keep.amount)) {
        let what = format!("use --segment {} with --keep {}", segment.text, keep.text);
        return Err(Error::usage(what, "one segment is more than what is kept, and only whole segments are deleted"));
    }
    Ok(match (segment.map(|segment| segment.amount), keep.map(|keep| keep.amount)) {
        (Some(TimeOrSize::Time(time)), _) => Some(SegmentLimit::Time(time)),
        (Some(TimeOrSize::Size(bytes)), _) => Some(SegmentLimit::Bytes(bytes)),
        // Only whole segments are deleted.
        (None, Some(TimeOrSize::Time(keep))) => Some(SegmentLimit::Time((keep / SEGMENTS).max(LEAST.0))),
        (None, Some(TimeOrSize::Size(keep))) => Some(SegmentLimit::Bytes((keep / u64::from(SEGMENTS)).max(LEAST.1))),
        (None, None) => None,
    })
}

fn check_least(option: &str, stretch: &Stretch, why: &str) -> Result<()> {
    let least = match stretch.amount {
        TimeOrSize::Time(time) if time < LEAST.0 => "1s",
        TimeOrSize::Size(bytes) if bytes < LEAST.1 => "64K",
        _ => return Ok(()),
    };
    Err(Error::usage(format!("use --{option} {}", stretch.text), format!("the least is {least}{why}")))
}

fn is_larger(segment: TimeOrSize, keep: TimeOrSize) -> bool {
    match (segment, keep) {
        (TimeOrSize::Time(segment), TimeOrSize::Time(keep)) => segment > keep,
        (TimeOrSize::Size(segment), TimeOrSize::Size(keep)) => segment > keep,
        _ => false,
    }
}

fn kept(keep: &Stretch) -> Keep {
    match keep.amount {
        TimeOrSize::Time(time) => Keep::Age(time),
        TimeOrSize::Size(bytes) => Keep::Bytes(bytes),
    }
}

/// A source that reads a directory or a recording would read what is recorded into it, and that again.
pub(super) fn check_not_read(to: Option<&RecordTo>, read: &[PathBuf]) -> Result<()> {
    let Some(to) = to else { return Ok(()) };
    // A link may lead into another directory.
    let of_file = to.file.as_ref().map(|file| file.canonicalize().unwrap_or_else(|_| file.clone()));
    let of_parent = of_file.as_ref().and_then(|file| file.parent()).map(|folder| ("--record", folder.to_owned()));
    let of_itself = to.file.as_ref().map(|file| ("--record", file.clone()));
    let of_folder = to.folder.as_ref().map(|(folder, ..)| ("--record", folder.clone()));
    let of_frames = to.frames.as_ref().map(|folder| ("--frames", folder.clone()));
    let is_read = |path: &Path| identity(path).is_some_and(|own| read.iter().any(|read| is_or_holds(read, own)));
    match [of_parent, of_itself, of_folder, of_frames].into_iter().flatten().find(|(_, path)| is_read(path)) {
        Some((option, path)) => {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
            let why = format!("{} is what is pushed, so each recorded part would become one", path.display());
            Err(Error::usage(format!("use {option} here"), why).hint("record to another directory"))
        }
        None => Ok(()),
    }
}

/// A file or directory under whatever name: its device, its number, and how many names it has.
fn identity(path: &Path) -> Option<(u64, u64, u64)> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    path.metadata().ok().map(|found| (found.dev(), found.ino(), if found.is_file() { found.nlink() } else { 1 }))
}

/// Whether this is what is read, or a directory with another name of a file.
fn is_or_holds(read: &Path, own: (u64, u64, u64)) -> bool {
    let is_own = |path: &Path| identity(path) == Some(own);
    let holds = || read.read_dir().is_ok_and(|entries| entries.flatten().any(|entry| is_own(&entry.path())));
    is_own(read) || own.2 > 1 && holds()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(record: &str, segment: Option<TimeOrSize>, keep: Option<TimeOrSize>) -> std::result::Result<RecordTo, String> {
        let stretch = |amount| Stretch { text: "TYPED".to_owned(), amount };
        let (segment, keep) = (segment.map(stretch), keep.map(stretch));
        let typed = Typed::of_names([segment.as_ref().map(|_| "segment"), keep.as_ref().map(|_| "keep")].into_iter().flatten());
        let args = RecordingArgs { record: Some(record.into()), segment, keep, frames: None };
        record_to(args, &typed).map(Option::unwrap).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_is_a_directory_if_it_is_one_or_is_said_to_be() {
        let there = tempfile::tempdir().unwrap();
        let path = |name: &str| there.path().join(name).display().to_string();
        std::fs::write(path("file"), "").unwrap();
        let (hour, size) = (Some(TimeOrSize::Time(Duration::from_secs(3600))), Some(TimeOrSize::Size(1 << 20)));
        for (name, segment, keep, is_folder) in [
            ("new", None, None, false),
            ("new.mxr", None, None, false),
            ("new/", None, None, true),
            ("", None, None, true),
            ("new", hour, None, true),
            ("new", None, size, true),
            ("new.mxr/", hour, size, true),
        ] {
            let to = to(&path(name), segment, keep).unwrap();
            assert_eq!(to.folder.is_some(), is_folder, "{name}");
            assert_eq!(to.file.is_some(), !is_folder, "{name}");
        }
        for name in ["file", "new.mxr"] {
            let error = to(&path(name), None, hour).unwrap_err();
            assert!(error.contains("use --keep with --record") && error.contains("hint: name a directory"), "{error}");
        }
    }

    #[test]
    fn what_is_kept_is_cut_into_segments_that_can_go() {
        let (time, size) = (|seconds| Some(TimeOrSize::Time(Duration::from_secs(seconds))), |bytes| Some(TimeOrSize::Size(bytes)));
        let limit = |segment, keep| to("x/", segment, keep).map(|to| to.folder.unwrap().1);
        assert_eq!(limit(None, None), Ok(None));
        assert_eq!(limit(None, time(86_400)), Ok(Some(SegmentLimit::Time(Duration::from_secs(3600)))));
        assert_eq!(limit(None, time(2)), Ok(Some(SegmentLimit::Time(Duration::from_secs(1)))));
        assert_eq!(limit(None, size(24 << 20)), Ok(Some(SegmentLimit::Bytes(1 << 20))));
        assert_eq!(limit(time(60), size(1 << 20)), Ok(Some(SegmentLimit::Time(Duration::from_secs(60)))));
        for (segment, keep) in [
            (time(60), time(59)),
            (size(2 << 20), size(1 << 20)),
            (time(0), None),
            (size(1), None),
            (None, time(0)),
            (None, size(0)),
        ] {
            assert!(limit(segment, keep).is_err(), "{segment:?} {keep:?}");
        }
    }

    #[test]
    fn a_recording_under_another_name_of_what_is_read_is_refused() {
        let there = tempfile::tempdir().unwrap();
        let path = |name: &str| there.path().join(name);
        for folder in ["played", "mine"] {
            std::fs::create_dir(path(folder)).unwrap();
        }
        std::fs::write(path("played/a.mxr"), "").unwrap();
        std::fs::hard_link(path("played/a.mxr"), path("mine/hard.mxr")).unwrap();
        std::os::unix::fs::symlink(path("played/a.mxr"), path("mine/link.mxr")).unwrap();
        std::fs::write(path("played/b.mxr"), "").unwrap();
        std::os::unix::fs::symlink(path("played/b.mxr"), path("mine/beside.mxr")).unwrap();
        std::fs::write(path("mine/own.mxr"), "").unwrap();
        std::fs::hard_link(path("mine/own.mxr"), path("mine/own2.mxr")).unwrap();
        let is_refused = |file: &str, read: &str| {
            let to = RecordTo { file: Some(path(file)), ..RecordTo::default() };
            check_not_read(Some(&to), &[path(read)]).is_err()
        };
        for (file, read, expected) in [
            ("mine/hard.mxr", "played/a.mxr", true),
            ("mine/hard.mxr", "played", true),
            ("mine/link.mxr", "played/a.mxr", true),
            ("mine/beside.mxr", "played", true),
            ("mine/own.mxr", "played", false),
            ("mine/own.mxr", "played/a.mxr", false),
            ("mine/new.mxr", "played", false),
        ] {
            assert_eq!(is_refused(file, read), expected, "{file} {read}");
        }
    }
}
