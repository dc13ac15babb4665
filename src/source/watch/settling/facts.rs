//! What is known of a file that settles: what its bytes prove, and how long it has rested. It decides nothing.

use std::time::Duration;

use crate::{file::Signature, format::Completeness};

/// How long a file may be missing, or kept open, before that is reported; and how long one that is truncated must have rested,
/// its writer gone, before it is shown as it is.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How long a file may change without a rest before it is read all the same, and the least time between two parts of text that
/// a writer keeps open: a little under the second in which mxr shows every change.
pub(super) const BUSY: Duration = Duration::from_millis(900);

/// How the bytes of a body belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source::watch) enum Moment {
    /// They were there at one moment.
    One,
    /// The file grew while it was read; these are the bytes up to its size before.
    Grown,
    /// The file changed while it was read.
    Several,
}

/// What a look at a body told.
#[derive(Debug, Clone, Copy)]
pub(in crate::source::watch) struct Evidence {
    /// The state of the file before its bytes were read.
    pub(in crate::source::watch) signature: Signature,
    /// Whether the bytes are of one moment.
    pub(in crate::source::watch) moment: Moment,
    /// What the format tells of the end.
    pub(in crate::source::watch) completeness: Completeness,
    /// Whether checksums prove that bytes with an end mark belong together.
    pub(in crate::source::watch) is_checksummed: bool,
    /// Whether its last bytes are those of the part before, at the same place: a writer that began to write over that part has not
    /// come to them yet.
    pub(in crate::source::watch) keeps_end: bool,
    /// Whether it is a text document: bytes of two states, one over the other, are still text.
    pub(in crate::source::watch) is_text: bool,
    /// Whether there are bytes at all.
    pub(in crate::source::watch) content: Content,
}

/// Whether there is something to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source::watch) enum Content {
    Bytes,
    /// A text that had bytes before and is empty now: that is a state like others, if it lasts.
    Emptied,
    /// No bytes, and never any before.
    Nothing,
}

impl Evidence {
    /// Whether the bytes make sense together: a beginning does, of what can be shown before its end.
    pub(super) fn is_usable(&self) -> bool {
        match self.moment {
            Moment::One => true,
            Moment::Grown => matches!(self.completeness, Completeness::Complete | Completeness::Readable),
            Moment::Several => false,
        }
    }
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(in crate::source::watch) struct SettleTimes {
    /// How long a file must have rested whose writer was not seen to close it.
    pub(in crate::source::watch) settle: Duration,
    /// The same where it was seen: a next writer may have begun within a tick of the file system's clock.
    pub(in crate::source::watch) settle_after_close: Duration,
    /// The least time between two parts: what would only be thinned out is not read.
    pub(in crate::source::watch) interval: Option<Duration>,
}

/// How long a file has not changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    /// By our own clock, or by the file's time where that is long past: the clock of a network mount may be off.
    pub(super) either: Duration,
    /// By our own clock.
    pub(super) seen: Duration,
}

impl Rest {
    pub(super) const NONE: Self = Self { either: Duration::ZERO, seen: Duration::ZERO };
}
