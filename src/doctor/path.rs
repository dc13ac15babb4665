//! Why a file is not shown: it asks what `mxr watch` asks, of the same functions, once.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    facts::{Facts, FileFacts},
    finding::Finding,
    kinds,
    report::Report,
};
use crate::{
    error::Error,
    file::{self, OpenFile, Reading},
    format::{Completeness, Media, inspect},
    lease::{Leases, Writers},
    recording::FileHead,
    source::{events_refused, silent_file_system, watch::newest_file},
};

/// The largest file, as `mxr watch` takes it unless told otherwise.
const PART_BYTES: usize = 64 << 20;

/// Looks at a path.
pub(super) fn look(path: &Path) -> Report {
    let subject = path.display().to_string();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut look = PathLook::default();
    match path.metadata() {
        Ok(found) if found.is_dir() => look.directory(&path),
        Ok(found) if found.is_file() => look.file(&path, None),
        // A socket cannot be opened at all.
        Ok(_) => look.add(&kinds::SPECIAL_FILE, kind_of(&path)),
        Err(error) => {
            if !look.failed(&path, &error) {
                return Report::not_looked(subject.clone(), &Error::new(format!("look at {subject}"), error));
            }
        }
    }
    look.surroundings(&path);
    Report::new(subject, Facts { file: look.facts, ..Facts::default() }, look.findings, Vec::new())
}

#[derive(Default)]
struct PathLook {
    facts: Option<FileFacts>,
    findings: Vec<Finding>,
}

impl PathLook {
    fn add(&mut self, kind: &'static kinds::FindingKind, what: impl std::fmt::Display) {
        self.findings.push(Finding::of(kind, what));
    }

    /// Notes an error that has a finding; false for one that has none.
    fn failed(&mut self, path: &Path, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                let existing = path.ancestors().skip(1).find(|path| path.exists()).unwrap_or(Path::new("/"));
                let is_link = path.is_symlink();
                let what =
                    if is_link { "it is a link that leads nowhere".to_owned() } else { format!("{} is there", existing.display()) };
                self.add(&kinds::MISSING, what);
            }
            io::ErrorKind::PermissionDenied => self.add(&kinds::NOT_PERMITTED, format!("{}: {error}", path.display())),
            _ => return false,
        }
        true
    }

    /// The newest file, which is what would be shown.
    fn directory(&mut self, directory: &Path) {
        match newest_file(directory) {
            Ok((Some(newest), files)) => self.file(&newest, Some((directory, files))),
            Ok((None, _)) => self.add(&kinds::NO_FILES, ""),
            Err(error) => {
                if !self.failed(directory, &error) {
                    self.add(&kinds::NOT_PERMITTED, error);
                }
            }
        }
    }

    fn file(&mut self, path: &Path, inside: Option<(&Path, usize)>) {
        let opened = match inside {
            Some((directory, _)) => directory.canonicalize().and_then(|root| file::open_inside(&root, path)),
            None => file::open(path, true),
        };
        match opened {
            Ok(Some(open)) => self.open_file(path, &open, inside.map(|(_, files)| files)),
            Ok(None) => self.add(&kinds::SPECIAL_FILE, kind_of(path)),
            Err(error) => {
                if !self.failed(path, &error) {
                    self.add(&kinds::NOT_PERMITTED, error);
                }
            }
        }
    }

    fn open_file(&mut self, path: &Path, open: &OpenFile, files: Option<usize>) {
        let writers = Leases::new().map_or(Writers::Unknown, |leases| leases.writers(&open.file));
        let mut facts = FileFacts {
            path: path.display().to_string(),
            content_type: String::new(),
            bytes: open.signature.size,
            completeness: "unknown",
            writers: match writers {
                Writers::None => "none",
                Writers::Some => "some",
                Writers::Unknown => "unknown",
            },
            files,
            file_system: silent_file_system(path),
        };
        match open.read(PART_BYTES) {
            Ok(Reading::Whole(body, _) | Reading::Grown(body, _) | Reading::Changed(body, _)) => {
                self.content(path, &body, &mut facts)
            }
            Ok(Reading::TooLarge(bytes)) => {
                facts.content_type = Media::guess(path, b"").to_string();
                self.add(&kinds::FILE_TOO_LARGE, format!("{bytes} bytes"));
            }
            Ok(Reading::NotAFile) => self.add(&kinds::SPECIAL_FILE, kind_of(path)),
            Err(error) => self.add(&kinds::NOT_PERMITTED, error),
        }
        if writers == Writers::Some {
            self.add(&kinds::WRITER, "");
        }
        self.facts = Some(facts);
    }

    fn content(&mut self, path: &Path, body: &[u8], facts: &mut FileFacts) {
        let media = Media::guess(path, body);
        (facts.content_type, facts.bytes) = (media.to_string(), body.len() as u64);
        if body.is_empty() {
            return self.add(&kinds::EMPTY, "");
        }
        if let Some(head) = FileHead::of_mxr(body) {
            facts.content_type = format!("multipart/mixed; boundary={}", head.boundary);
            let cure = format!("Play it with mxr serve {}.", path.display());
            self.findings.push(Finding::of(&kinds::RECORDING, "").cured_by(Some(&cure)));
            return;
        }
        let inspection = inspect(&media, body);
        facts.completeness = match inspection.completeness {
            Completeness::Complete => "complete",
            Completeness::Readable => "readable",
            Completeness::Unknown => "unknown",
            Completeness::Truncated => "truncated",
        };
        match inspection.unlike {
            Some(name) => self.add(&kinds::FILE_UNLIKE, format!("{media}, and it does not look like {name}")),
            None if inspection.completeness == Completeness::Truncated => {
                self.add(&kinds::TORN, format!("{media}: its end is missing after byte {}", body.len()));
            }
            None => {}
        }
    }

    /// What decides when changes are seen.
    fn surroundings(&mut self, path: &Path) {
        let existing = path.ancestors().find(|path| path.exists()).unwrap_or(path);
        if let Some(name) = silent_file_system(existing) {
            self.add(&kinds::SILENT_FILE_SYSTEM, name);
        }
        let directory: PathBuf =
            if existing.is_dir() { existing.to_owned() } else { existing.parent().unwrap_or(existing).to_owned() };
        if let Some((error, hint)) = events_refused(&directory) {
            let cure = format!("{}{}.", hint[..1].to_uppercase(), &hint[1..]);
            self.findings.push(Finding::of(&kinds::NO_EVENTS, error).cured_by(Some(&cure)));
        }
    }
}

fn kind_of(path: &Path) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match path.metadata().map(|found| found.file_type()) {
        Ok(kind) if kind.is_fifo() => "a FIFO",
        Ok(kind) if kind.is_socket() => "a socket",
        Ok(kind) if kind.is_char_device() || kind.is_block_device() => "a device",
        Ok(kind) if kind.is_dir() => "a directory",
        _ => "it lies outside the directory",
    }
}
