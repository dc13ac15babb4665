//! The processes that a feed passes on its way, by the names that stand in `Via` (RFC 9110, section 7.6.3), so that no feed is relayed
//! in a circle. It knows no requests.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use serde::Serialize;
use slab::Slab;

use crate::sync::Mutex;

/// The most names that are kept: a tree of relays is not so deep, and a head has to stay short.
const MOST: usize = 50;
/// The beginning of a process's name.
const NAME: &str = "mxr-";
/// The longest name in bytes.
const LONGEST_NAME: usize = 100;

/// Names of processes, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hops(Vec<String>);

impl Hops {
    /// A name for a process, which no other has.
    pub fn new_name() -> Arc<str> {
        format!("{NAME}{:016x}", rand::random::<u64>()).into()
    }

    /// The processes of mxr in the values of `Via`: `1.1 name (comment), HTTP/1.0 name`. Other proxies change nothing.
    pub fn of_via<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let members = values.into_iter().flat_map(|value| value.split(','));
        let names = members.filter_map(|member| member.split_ascii_whitespace().nth(1));
        Self::of_names(names.filter(|name| name.starts_with(NAME)))
    }

    /// These names, in this order.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hops = Self::default();
        names.into_iter().for_each(|name| hops.add(name));
        hops
    }

    /// Whether this process is among them.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a process is among both.
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().any(|name| other.has(name))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there are several: the last of them is an edge, and the first the origin.
    pub fn pass_an_edge(&self) -> bool {
        self.0.len() > 1
    }

    /// The same, and last this one.
    #[must_use]
    pub fn with(mut self, name: &str) -> Self {
        self.0.truncate(MOST - 1);
        self.add(name);
        self
    }

    fn add(&mut self, name: &str) {
        if !self.has(name) && self.0.len() < MOST && name.len() <= LONGEST_NAME {
            self.0.push(name.to_owned());
        }
    }
}

/// As the value of `Via`.
impl fmt::Display for Hops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, name)| write!(f, "{}1.1 {name}", if at == 0 { "" } else { ", " }))
    }
}

/// The readers of a feed that are relays, with the processes that their requests have passed.
#[derive(Debug, Clone, Default)]
pub(super) struct RelayReaders(Arc<Mutex<Slab<RelayReader>>>);

#[derive(Debug)]
struct RelayReader {
    hops: Hops,
    is_circle: Arc<AtomicBool>,
}

/// A reader that is a relay, until it is dropped.
#[derive(Debug)]
pub struct HopsGuard {
    readers: RelayReaders,
    key: usize,
    is_circle: Arc<AtomicBool>,
}

impl RelayReaders {
    pub(super) fn enter(&self, hops: Hops) -> HopsGuard {
        let is_circle = Arc::<AtomicBool>::default();
        let key = self.0.lock().insert(RelayReader { hops, is_circle: is_circle.clone() });
        HopsGuard { readers: self.clone(), key, is_circle }
    }

    /// Has those end that the feed comes from.
    pub(super) fn end_circles(&self, path: &Hops) {
        let readers = self.0.lock();
        readers.iter().filter(|(_, reader)| reader.hops.meets(path)).for_each(|(_, reader)| reader.is_circle.store(true, Relaxed));
    }
}

impl HopsGuard {
    /// Whether it turned out that the feed comes from this reader.
    pub(super) fn is_circle(&self) -> bool {
        self.is_circle.load(Relaxed)
    }
}

impl Drop for HopsGuard {
    fn drop(&mut self) {
        self.readers.0.lock().try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn via_is_read_in_any_spelling_and_written_in_one() {
        let hops = Hops::of_via(["1.1 mxr-a, HTTP/1.0 proxy.local:80 (Squid)", "1.1  mxr-b", "nonsense", ",, 1.1 mxr-a"]);
        assert_eq!(hops.to_string(), "1.1 mxr-a, 1.1 mxr-b");
        assert!(hops.has("mxr-b") && !hops.has("mxr"));
        let long = (0..200).map(|number| format!("1.1 mxr-{number}")).collect::<Vec<_>>().join(",");
        let hops = Hops::of_via([long.as_str()]).with("mxr-c");
        assert_eq!((hops.0.len(), hops.has("mxr-c"), hops.has("mxr-0")), (MOST, true, true));
    }

    #[test]
    fn a_reader_that_the_feed_comes_from_is_told_to_end() {
        let readers = RelayReaders::default();
        let (a, b) = (readers.enter(Hops::of_names(["a"])), readers.enter(Hops::of_names(["b", "c"])));
        readers.end_circles(&Hops::of_names(["d", "c"]));
        assert_eq!((a.is_circle(), b.is_circle()), (false, true));
        drop((a, b));
        assert!(readers.0.lock().is_empty());
    }
}
