//! A stream that another program saved and that cannot be walked through: with delimiters, lengths or line ends as cameras write them.
//! It is decoded from its beginning, a part after the other, as if it came from the camera. There is no going back and no index.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Seek, SeekFrom},
};

use super::{
    head::{FileHead, MAX_HEAD},
    walk::read_at,
};
use crate::{
    file::read_some,
    wire::{Bounds, Decoded, Decoder},
};

/// Bytes of one read.
const READ: usize = 64 << 10;

/// A saved stream, read from its beginning to its end.
#[derive(Debug)]
pub struct SavedStream {
    file: File,
    decoder: Decoder,
    parts: VecDeque<Decoded>,
    is_end: bool,
}

impl SavedStream {
    /// Reads an open file of multipart; bodies of at most `limit` bytes. Without a head or a first delimiter that can be read, the first
    /// line that looks like a delimiter is one.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn of(mut file: File, limit: usize) -> io::Result<Self> {
        let head = FileHead::read(&read_at(&file, 0, MAX_HEAD)?);
        file.seek(SeekFrom::Start(head.as_ref().map_or(0, |head| head.end)))?;
        let decoder = Decoder::new(head.as_ref().map(|head| head.boundary.as_str()), Bounds::bodies(limit));
        Ok(Self { file, decoder, parts: VecDeque::new(), is_end: false })
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn next_part(&mut self) -> io::Result<Option<Decoded>> {
        let mut buffer = vec![0; READ];
        while self.parts.is_empty() && !self.is_end {
            let mut parts = Vec::new();
            match read_some(&mut self.file, &mut buffer)? {
                0 => {
                    self.decoder.finish(&mut parts);
                    self.is_end = true;
                }
                read => self.decoder.push(&buffer[..read], &mut parts),
            }
            self.parts.extend(parts);
        }
        Ok(self.parts.pop_front())
    }

    /// Parts that were too large, or cut off.
    pub fn refused(&self) -> u64 {
        self.decoder.refused()
    }
}
