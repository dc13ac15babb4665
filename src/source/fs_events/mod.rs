//! File-system events: which entries of the watched directories changed, and which of these are finished. An event is a hint
//! where to look, never a fact: its receiver looks at the file itself. Nothing here knows what a file is for.

mod batch;
#[cfg(target_os = "linux")]
mod inotify;
mod notify;
mod watcher;

#[cfg(target_os = "linux")]
pub(super) use self::notify::is_wanted_by_a_test;
pub(crate) use self::watcher::events_refused;
pub(super) use self::{
    batch::{Change, EventBatch, PathEvents},
    watcher::Watcher,
};
