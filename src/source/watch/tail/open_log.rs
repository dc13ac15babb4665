//! One log that is held open, so that it is read to its end whatever becomes of its path. It reads at most one buffer at a time,
//! and never decides what is read next.

use std::{
    borrow::Cow,
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    time::{Duration, SystemTime},
};

use super::{
    encoding::{Encoding, TextDecoder},
    last_lines::{LastLines, MOST_BYTES},
    position::{Position, Progress},
};
use crate::file::Signature;

/// New bytes of one read, and so the most that is published in one block.
const READ_BYTES: usize = 64 * 1024;

/// A log that is held open.
#[derive(Debug)]
pub(in crate::source::watch) struct OpenLog {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    position: Position,
    /// Present once the first bytes have told the encoding.
    decoder: Option<TextDecoder>,
    /// Whether all bytes so far were NUL: a writer that keeps its place in a truncated file leaves a hole before its next line.
    is_hole: bool,
    /// The state in which it was read to its end.
    at_end: Option<Signature>,
}

/// What one read gave.
#[derive(Debug)]
pub(in crate::source::watch) enum Chunk<'a> {
    /// Text, maybe none of it yet.
    Text(Cow<'a, [u8]>),
    /// There is no more for now.
    End,
    /// What was read before is gone; tells whether the file is shorter now. The next read begins anew.
    WrittenAnew(bool),
}

impl OpenLog {
    /// A file, to be read from its beginning.
    pub(in crate::source::watch) fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let identity = identity(&metadata);
        Ok(Self { file, identity, position: Position::default(), decoder: None, is_hole: true, at_end: None })
    }

    /// Whether it is the file of these metadata.
    pub(in crate::source::watch) fn is(&self, metadata: &Metadata) -> bool {
        self.identity == identity(metadata)
    }

    /// Its device and inode.
    pub(in crate::source::watch) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Whether it has no name any more.
    pub(in crate::source::watch) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// When it was written to, by the clock of its file system; now, if that lies in the future.
    pub(in crate::source::watch) fn modified(&self) -> SystemTime {
        let modified = self.file.metadata().and_then(|metadata| metadata.modified());
        modified.unwrap_or_else(|_| SystemTime::now()).min(SystemTime::now())
    }

    /// How long ago it was written to.
    pub(in crate::source::watch) fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.modified()).unwrap_or_default()
    }

    /// Whether it may have more than at the end of the last read, as far as its metadata tell.
    pub(in crate::source::watch) fn has_changed(&self) -> bool {
        let now = self.file.metadata().map(|metadata| Signature::of(&metadata));
        // Files of /proc say that they are empty.
        !now.is_ok_and(|now| self.at_end == Some(now) && now.size > 0)
    }

    /// Skips to the last lines, if the file is so large that it was not written since the last look. `since`: when that was.
    /// Returns whether it did.
    pub(in crate::source::watch) fn skip_if_old(&mut self, since: Option<SystemTime>, lines: usize) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        let is_new = since.zip(metadata.created().ok()).is_some_and(|(since, born)| born >= since);
        if is_new || metadata.size() <= MOST_BYTES {
            return Ok(false);
        }
        self.skip_to_last_lines(lines).map(|()| true)
    }

    /// Skips to this many last lines.
    pub(in crate::source::watch) fn skip_to_last_lines(&mut self, lines: usize) -> io::Result<()> {
        let Some(encoding) = self.begin()? else { return Ok(()) };
        let mut search = LastLines::before(self.file.metadata()?.size(), lines, encoding);
        let mut buffer = Vec::new();
        while let Some((from, length)) = search.wanted() {
            buffer.resize(length, 0);
            let read = read_at(&self.file, &mut buffer, from)?;
            search.take(from, &buffer[..read]);
        }
        if search.start() > self.position.offset() {
            self.position = Position::at(search.start());
        }
        Ok(())
    }

    /// Goes on where the reading of another file stands, if this one has the same text up to there and maybe more.
    pub(in crate::source::watch) fn continue_from(&mut self, other: &mut Self) -> io::Result<bool> {
        let mut buffer = vec![0; other.position.read_bytes(0)];
        let read = read_at(&self.file, &mut buffer, other.position.read_from())?;
        let continues = other.position.is_continued_by(&buffer[..read]);
        if continues {
            self.position = other.position.clone();
            (self.decoder, self.is_hole) = (other.decoder.take(), other.is_hole);
        }
        Ok(continues)
    }

    /// Reads on.
    pub(in crate::source::watch) fn read<'a>(&mut self, buffer: &'a mut Vec<u8>) -> io::Result<Chunk<'a>> {
        if self.decoder.is_none() && self.begin()?.is_none() {
            return Ok(Chunk::End);
        }
        let metadata = self.file.metadata()?;
        buffer.resize(self.position.read_bytes(READ_BYTES), 0);
        let read = read_at(&self.file, buffer, self.position.read_from())?;
        match self.position.advance(&buffer[..read]) {
            Progress::WrittenAnew => {
                let is_shorter = self.position.read_from() + (read as u64) < self.position.offset();
                (self.position, self.decoder, self.is_hole, self.at_end) = (Position::default(), None, true, None);
                Ok(Chunk::WrittenAnew(is_shorter))
            }
            Progress::Bytes([]) => {
                self.at_end = Some(Signature::of(&metadata));
                Ok(Chunk::End)
            }
            Progress::Bytes(new) => {
                let text = if self.is_hole { behind_hole(new) } else { new };
                self.is_hole &= text.is_empty();
                let decoder = self.decoder.as_mut();
                Ok(Chunk::Text(decoder.map_or(Cow::Borrowed(text), |decoder| decoder.decode(text))))
            }
        }
    }

    /// Goes to the first character, and learns the encoding; `None` while there are too few bytes.
    fn begin(&mut self) -> io::Result<Option<Encoding>> {
        let mut first = [0; 3];
        let read = read_at(&self.file, &mut first, 0)?;
        let Some((encoding, mark)) = Encoding::of(&first[..read]) else { return Ok(None) };
        self.decoder = Some(TextDecoder::new(encoding));
        self.is_hole = encoding == Encoding::Utf8;
        self.position = Position::at((mark as u64).max(data_start(&self.file)));
        Ok(Some(encoding))
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What a file of /proc has not got yet.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Where the first bytes of a file are that begins with a hole.
fn data_start(file: &File) -> u64 {
    #[cfg(target_os = "linux")]
    if let Ok(offset) = rustix::fs::seek(file, rustix::fs::SeekFrom::Data(0)) {
        return offset;
    }
    let _ = file;
    0
}

/// The bytes behind a hole.
fn behind_hole(bytes: &[u8]) -> &[u8] {
    let hole = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[hole..]
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn file(&self) -> PathBuf {
            self.0.path().join("app.log")
        }

        fn open(&self) -> OpenLog {
            OpenLog::new(File::open(self.file()).unwrap()).unwrap()
        }

        fn append(&self, bytes: impl AsRef<[u8]>) {
            use std::io::Write;
            fs::OpenOptions::new().append(true).create(true).open(self.file()).unwrap().write_all(bytes.as_ref()).unwrap();
        }
    }

    fn folder(bytes: impl AsRef<[u8]>) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.append(bytes);
        folder
    }

    fn rest(log: &mut OpenLog) -> String {
        let (mut buffer, mut text) = (Vec::new(), Vec::new());
        loop {
            match log.read(&mut buffer).unwrap() {
                Chunk::Text(more) => text.extend_from_slice(&more),
                Chunk::End => return String::from_utf8(text).unwrap(),
                Chunk::WrittenAnew(is_shorter) => text.extend_from_slice(if is_shorter { b"<shorter>" } else { b"<anew>" }),
            }
        }
    }

    #[test]
    fn a_log_is_read_from_its_last_lines_on_to_what_is_appended() {
        let folder = folder("one\ntwo\nthree\n");
        let mut log = folder.open();
        log.skip_to_last_lines(2).unwrap();
        assert_eq!(rest(&mut log), "two\nthree\n");
        assert!(!log.has_changed());
        folder.append("four\n");
        assert!(log.has_changed());
        assert_eq!(rest(&mut log), "four\n");
    }

    #[test]
    fn a_truncated_log_is_read_from_its_new_beginning_without_the_hole_that_its_writer_leaves() {
        let folder = folder("one\ntwo\n".repeat(20_000));
        let mut log = folder.open();
        rest(&mut log);
        fs::write(folder.file(), "").unwrap();
        assert_eq!(rest(&mut log), "<shorter>");
        let file = fs::OpenOptions::new().write(true).open(folder.file()).unwrap();
        file.write_all_at(b"three\n", 160_000).unwrap();
        assert_eq!(rest(&mut log), "three\n");
    }

    #[test]
    fn a_file_with_the_same_text_and_more_is_read_on_where_the_other_stands() {
        let folder = folder("a line of a log\n".repeat(100));
        let mut old = folder.open();
        rest(&mut old);
        fs::remove_file(folder.file()).unwrap();
        folder.append("a line of a log\n".repeat(100) + "new\n");
        let mut new = folder.open();
        assert!(old.is_deleted() && new.continue_from(&mut old).unwrap());
        assert_eq!(rest(&mut new), "new\n");
        let mut other = OpenLog::new(File::open(folder.file()).unwrap()).unwrap();
        fs::write(folder.file(), "other").unwrap();
        assert!(!other.continue_from(&mut new).unwrap());
    }

    #[test]
    fn utf16_is_read_as_utf8_from_the_last_lines_on() {
        let bytes = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let folder = folder(bytes("\u{feff}one\ntwo\n"));
        let mut log = folder.open();
        log.skip_to_last_lines(1).unwrap();
        assert_eq!(rest(&mut log), "two\n");
        folder.append(bytes("drei\u{df}ig\n"));
        assert_eq!(rest(&mut log), "drei\u{df}ig\n");
        assert_eq!(rest(&mut folder.open()), "one\ntwo\ndrei\u{df}ig\n");
    }
}
