//! The frames of runs: each is read and encoded once, and shared by all runs that are at it. The last ones read are kept within a
//! bound; any other stays in memory for as long as a viewer keeps it. When a frame is played is not decided here.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
};

use super::frame_cache::{CACHE_BYTES, FrameCache};
use crate::{
    feed::{Prepared, Publisher, WeakPrepared},
    file::Signature,
    sync::Mutex,
};

/// Entries of frames that are no longer in memory, which may be as many as the others.
const DEAD_ENTRIES: usize = 64;

/// The frames of a directory, for runs.
#[derive(Debug)]
pub(super) struct RunFrames {
    pub(super) frames: FrameCache,
    encoded: Mutex<EncodedFrames>,
}

#[derive(Debug, Default)]
struct EncodedFrames {
    known: HashMap<PathBuf, (Signature, WeakPrepared)>,
    /// Entries from which the next search for dead ones begins.
    purge_at: usize,
    /// The last ones read, the oldest first.
    recent: VecDeque<Prepared>,
    recent_bytes: usize,
}

impl RunFrames {
    pub(super) fn new(frames: FrameCache) -> Self {
        Self { frames, encoded: Mutex::default() }
    }

    /// A complete frame that the feeds accept, encoded; `None` for any other. This run counts it, if it is refused.
    pub(super) fn get(&self, path: &Path, publisher: &Publisher) -> Option<Prepared> {
        let signature = Signature::of(&path.metadata().ok()?);
        if let Some(known) = self.encoded.lock().find(path, signature) {
            return Some(known);
        }
        let frame = self.frames.read(path, publisher)?;
        let (signature, part) = (frame.signature, frame.part);
        match publisher.prepare(part) {
            Ok(prepared) => {
                self.frames.was_accepted(path);
                self.encoded.lock().keep(path, signature, &prepared);
                Some(prepared)
            }
            Err(why) => {
                self.frames.leave_out(path, Some(signature), &why.to_string());
                None
            }
        }
    }
}

impl EncodedFrames {
    fn find(&self, path: &Path, signature: Signature) -> Option<Prepared> {
        let (of, prepared) = self.known.get(path)?;
        if *of == signature { prepared.upgrade() } else { None }
    }

    fn keep(&mut self, path: &Path, signature: Signature, prepared: &Prepared) {
        if self.known.len() >= self.purge_at {
            self.known.retain(|_, (_, prepared)| prepared.upgrade().is_some());
            self.purge_at = 2 * self.known.len() + DEAD_ENTRIES;
        }
        self.known.insert(path.to_owned(), (signature, prepared.downgrade()));
        self.recent_bytes += prepared.size();
        self.recent.push_back(prepared.clone());
        // A run reads its next frame ahead, so that one is kept in any case.
        while self.recent.len() > 1 && self.recent_bytes > CACHE_BYTES {
            let Some(old) = self.recent.pop_front() else { break };
            self.recent_bytes -= old.size();
            old.release();
        }
    }
}
