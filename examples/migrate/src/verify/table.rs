//! The keys of one part of all keys, in bounded memory.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use super::candidate::{Candidate, Known};

/// How much a table holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most bytes, about. One key is held in any case.
    pub(super) bytes_max: usize,
    /// The most keys.
    pub(super) keys_max: u64,
}

/// Where a key stands in an order that has nothing to do with the keys: by a hash with a random seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    hash: u64,
    key: Box<str>,
}

/// The first keys, by their [`Place`], of those from some place on. What has no room is left to a later table: so each
/// is as full as it may be, without counting the keys before. As the order is a random one, the first keys are also a
/// fair sample.
#[derive(Debug)]
pub(super) struct Table<'s> {
    seed: &'s RandomState,
    /// Keys before it were in an earlier table.
    from: Option<Place>,
    /// Keys from it on have no room.
    until: Option<Place>,
    limits: Limits,
    bytes: usize,
    keys: BTreeMap<Place, Known>,
}

impl<'s> Table<'s> {
    pub(super) const fn new(seed: &'s RandomState, from: Option<Place>, limits: Limits) -> Self {
        Self { seed, from, until: None, limits, bytes: 0, keys: BTreeMap::new() }
    }

    /// From now on as many keys as the bytes allow.
    pub(super) const fn lift_keys_max(&mut self) {
        self.limits.keys_max = u64::MAX;
    }

    /// What is known of a key, if it is in this part.
    pub(super) fn get(&mut self, key: String) -> Option<&mut Known> {
        let place = self.place(key)?;
        self.keys.get_mut(&place)
    }

    /// What is known of a key, `blank` when it is new; `None` where it is not in this part, or has no room.
    pub(super) fn entry(&mut self, key: String, blank: Known) -> Option<&mut Known> {
        let place = self.place(key)?;
        if !self.keys.contains_key(&place) {
            self.bytes += bytes(&place);
            self.keys.insert(place.clone(), blank);
            self.evict();
        }
        self.keys.get_mut(&place)
    }

    fn place(&self, key: String) -> Option<Place> {
        let hash = self.seed.hash_one(key.as_str());
        // Most keys of other parts are known by the hash alone.
        if self.from.as_ref().is_some_and(|from| hash < from.hash)
            || self.until.as_ref().is_some_and(|until| hash > until.hash)
        {
            return None;
        }
        let place = Place { hash, key: key.into_boxed_str() };
        let is_within = self.from.as_ref().is_none_or(|from| place >= *from)
            && self.until.as_ref().is_none_or(|until| place < *until);
        is_within.then_some(place)
    }

    fn evict(&mut self) {
        while self.keys.len() > 1
            && (self.bytes > self.limits.bytes_max || self.keys.len() as u64 > self.limits.keys_max)
        {
            let Some((place, _)) = self.keys.pop_last() else { break };
            self.bytes -= bytes(&place);
            self.until = Some(place);
        }
    }

    /// The keys, and where the next table begins; `None` where there is nothing left.
    pub(super) fn into_candidates(self) -> (impl Iterator<Item = Candidate>, Option<Place>) {
        let candidates = self.keys.into_iter().map(|(place, known)| Candidate { key: place.key.into_string(), known });
        (candidates, self.until)
    }

    /// How many keys the source has named.
    pub(super) fn of_source(&self) -> u64 {
        self.keys.values().filter(|known| known.source_names_it).count() as u64
    }
}

/// About what a key takes: the nodes of the tree are two thirds full, and each key is an allocation.
const fn bytes(place: &Place) -> usize {
    const ALLOCATION: usize = 16;
    size_of::<(Place, Known)>() * 3 / 2 + ALLOCATION + place.key.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::candidate::{Size, State};
    use super::*;

    const BLANK: Known = Known {
        source: State::Absent,
        target: State::Absent,
        source_names_it: true,
        target_names_it: false,
        line: None,
        size: Size::UNKNOWN,
        passed_over: 0,
    };

    proptest! {
        #[test]
        fn each_key_is_in_exactly_one_table_and_none_is_too_full(
            keys in proptest::collection::btree_set("[a-z]{0,30}", 1..60),
            keys_max in 1_u64..20,
            bytes_max in 0_usize..4000,
        ) {
            let seed = RandomState::new();
            let (mut from, mut met) = (None, Vec::new());
            for round in 0.. {
                prop_assert!(round < keys.len(), "no way on");
                let mut table = Table::new(&seed, from, Limits { bytes_max, keys_max });
                for key in keys.iter().chain(&keys) {
                    if let Some(known) = table.entry(key.clone(), BLANK) {
                        known.passed_over += 1;
                    }
                }
                prop_assert!(table.bytes <= bytes_max || table.keys.len() == 1);
                prop_assert!(table.of_source() <= keys_max);
                prop_assert!(table.keys.values().all(|known| known.passed_over == 2));
                for key in &keys {
                    let is_there = table.keys.keys().any(|place| &*place.key == key);
                    prop_assert_eq!(table.get(key.clone()).is_some(), is_there);
                }
                let (candidates, until) = table.into_candidates();
                met.extend(candidates.map(|candidate| candidate.key));
                from = until;
                if from.is_none() {
                    break;
                }
            }
            met.sort_unstable();
            prop_assert_eq!(met, keys.into_iter().collect::<Vec<_>>());
        }
    }
}
