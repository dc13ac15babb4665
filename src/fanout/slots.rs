//! A dense list whose entries keep their keys: walking it costs as much as there are entries, however many there were before. It
//! does not know what it holds.

use slab::Slab;

/// The least capacity that is given back.
const LEAST: usize = 64;

/// The entries, in no particular order.
#[derive(Debug)]
pub(super) struct Slots<S> {
    entries: Vec<(usize, S)>,
    /// The place of each key's entry.
    places: Slab<usize>,
}

impl<S> Slots<S> {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), places: Slab::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds the entry that `make` returns for its key. The key is that of an entry that is gone, if there was one.
    pub(super) fn insert(&mut self, make: impl FnOnce(usize) -> S) -> usize {
        let key = self.places.insert(self.entries.len());
        self.entries.push((key, make(key)));
        key
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut S> {
        let place = *self.places.get(key)?;
        self.entries.get_mut(place).map(|(_, entry)| entry)
    }

    /// The key at a place below `len`. Walked from the last place to the first, each entry is met once even if the one that was met
    /// last is removed.
    pub(super) fn key_at(&self, place: usize) -> Option<usize> {
        self.entries.get(place).map(|(key, _)| *key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(usize, S)> {
        self.entries.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (usize, S)> {
        self.entries.iter_mut()
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<S> {
        let place = self.places.try_remove(key)?;
        let (_, entry) = self.entries.swap_remove(place);
        if let Some((moved, _)) = self.entries.get(place) {
            self.places[*moved] = place;
        }
        if self.entries.capacity() > LEAST.max(4 * self.entries.len()) {
            self.entries.shrink_to(LEAST.max(2 * self.entries.len()));
        }
        if self.entries.is_empty() {
            self.places.shrink_to_fit();
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_that_left_is_not_walked_and_not_kept() {
        let mut slots = Slots::new();
        let keys: Vec<usize> = (0..10_000).map(|number| slots.insert(|_| number)).collect();
        for key in keys.iter().filter(|key| **key % 1000 != 7) {
            assert_eq!(slots.remove(*key), Some(*key));
        }
        let mut left: Vec<_> = slots.iter().map(|(key, number)| (*key, *number)).collect();
        left.sort_unstable();
        let expected: Vec<_> = (0..10).map(|thousand| thousand * 1000 + 7).map(|number| (number, number)).collect();
        assert_eq!(left, expected);
        assert!(slots.len() == 10 && slots.entries.capacity() <= LEAST, "{}", slots.entries.capacity());
        assert_eq!((slots.get_mut(1007).copied(), slots.get_mut(1008).copied(), slots.remove(3)), (Some(1007), None, None));
    }

    #[test]
    fn each_entry_is_met_once_though_some_are_removed_on_the_way() {
        let mut slots = Slots::new();
        for number in 0..10 {
            slots.insert(|_| number);
        }
        let mut met = Vec::new();
        for place in (0..slots.len()).rev() {
            let key = slots.key_at(place).unwrap();
            met.push(key);
            if key % 3 == 0 {
                slots.remove(key);
            }
        }
        met.sort_unstable();
        assert_eq!((met, slots.len()), ((0..10).collect(), 6));
    }
}
