//! When the entries of a shard are to be looked at because they may have expired.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Places in the order of their times. Every entry that expires has one, at its expiry or before; so what is due is
/// found whatever became of the places.
///
/// A place is looked at only when its time has come. Until then it stays where it is, whether its entry is overwritten,
/// given a later expiry, or removed, so that none of that costs anything here. Then an entry that lives on is given a
/// place at its expiry. What piles up meanwhile is counted, and tidied away when it outnumbers what is needed.
#[derive(Default)]
pub(crate) struct ExpiryQueue {
    places: BinaryHeap<Reverse<Place>>,
    /// How many bits of a place are the slot.
    slot_bits: u32,
}

/// A time, and below it the slot in the shard's table, in one word: half the memory of two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

/// What the time takes: milliseconds from 1970 to beyond the year 9999. A time outside of that counts as its end.
const TIME_BITS: u32 = 48;
/// How many stale places are nothing to tidy.
const STALE_MAX: usize = 64;
/// Below this much room memory is kept.
const ROOM_KEPT: usize = 64;

impl ExpiryQueue {
    /// Gives the entry at `slot` a place at `at`, in milliseconds since the epoch.
    pub(crate) fn push(&mut self, at: i64, slot: usize) {
        let place = self.place(at, slot);
        self.places.push(Reverse(place));
    }

    /// The time of the first place.
    pub(crate) fn first_at(&self) -> Option<i64> {
        let Reverse(Place(first)) = self.places.peek()?;
        i64::try_from((first >> self.slot_bits) << self.lost_bits()).ok()
    }

    /// Takes the first place if its time has come, and answers its slot.
    pub(crate) fn pop_due(&mut self, now: i64) -> Option<usize> {
        if self.first_at()? > now {
            return None;
        }
        self.places.pop().map(|Reverse(place)| self.slot(place))
    }

    /// Whether the places of what is gone or elsewhere outnumber those of the entries that expire.
    pub(crate) fn is_outgrown(&self, expiring: usize) -> bool {
        self.places.len() > 2 * expiring + STALE_MAX
    }

    /// Leaves each entry that expires one place, at its expiry.
    pub(crate) fn tidy(&mut self, expires_at: impl Fn(usize) -> Option<i64>) {
        let mut slots: Vec<usize> = self.places.iter().map(|Reverse(place)| self.slot(*place)).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut places = self.take_room(slots.len());
        places.extend(slots.into_iter().filter_map(|slot| Some(Reverse(self.place(expires_at(slot)?, slot)))));
        self.places = places.into();
    }

    /// Begins anew with these entries, after the table has moved them: it has so many slots now.
    pub(crate) fn rebuild(&mut self, slots: usize, entries: impl Iterator<Item = (i64, usize)>) {
        self.slot_bits = slots.next_power_of_two().trailing_zeros();
        let mut places = self.take_room(self.places.len());
        places.extend(entries.map(|(at, slot)| Reverse(self.place(at, slot))));
        self.places = places.into();
    }

    /// Nothing expires any more.
    pub(crate) fn clear(&mut self) {
        self.places = self.take_room(0).into();
    }

    /// The memory of the places without the places, and not much more of it than `wanted` places need.
    fn take_room(&mut self, wanted: usize) -> Vec<Reverse<Place>> {
        let mut places = std::mem::take(&mut self.places).into_vec();
        places.clear();
        places.shrink_to(ROOM_KEPT.max(2 * wanted));
        places
    }

    /// With so many slots that time and slot do not fit, the time is rounded up: what expires is found a little later.
    fn place(&self, at: i64, slot: usize) -> Place {
        let lost_bits = self.lost_bits();
        let time = u64::try_from(at).unwrap_or(0).div_ceil(1 << lost_bits).min((1 << (TIME_BITS - lost_bits)) - 1);
        Place(time << self.slot_bits | slot as u64)
    }

    fn slot(&self, place: Place) -> usize {
        // What was a `usize` before is one again.
        usize::try_from(place.0 & ((1 << self.slot_bits) - 1)).unwrap_or(usize::MAX)
    }

    fn lost_bits(&self) -> u32 {
        (TIME_BITS + self.slot_bits).saturating_sub(u64::BITS)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The places as times and slots.
    #[cfg(test)]
    pub(crate) fn places(&self) -> impl Iterator<Item = (i64, usize)> {
        self.places.iter().map(|Reverse(place)| {
            let time = (place.0 >> self.slot_bits) << self.lost_bits();
            (i64::try_from(time).unwrap(), self.slot(*place))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// With so many slots a place has no room for single milliseconds.
    const HUGE: u32 = 40;

    #[derive(Clone, Debug)]
    enum Step {
        Set { slot: usize, at: i64 },
        Remove { slot: usize },
        Look { now: i64 },
        Tidy,
        Rebuild { slot_bits: u32 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..8_usize, 0..40_i64).prop_map(|(slot, at)| Step::Set { slot, at }),
            2 => (0..8_usize).prop_map(|slot| Step::Remove { slot }),
            3 => (0..40_i64).prop_map(|now| Step::Look { now }),
            1 => Just(Step::Tidy),
            1 => (3..HUGE).prop_map(|slot_bits| Step::Rebuild { slot_bits }),
        ];
        proptest::collection::vec(step, 1..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn exp_7_all_that_has_expired_is_found_and_nothing_else(steps in steps()) {
            let (mut queue, mut entries) = (ExpiryQueue::default(), BTreeMap::<usize, i64>::new());
            queue.rebuild(8, std::iter::empty());
            let mut step_millis = 1;
            for step in steps {
                match step {
                    Step::Set { slot, at } => {
                        // As a shard does: a later expiry changes nothing here.
                        if entries.insert(slot, at).is_none_or(|old| at < old) {
                            queue.push(at, slot);
                        }
                    }
                    Step::Remove { slot } => drop(entries.remove(&slot)),
                    Step::Look { now } => {
                        for looks in 0.. {
                            prop_assert!(looks < 1000, "it never ends");
                            let Some(slot) = queue.pop_due(now) else { break };
                            match entries.get(&slot) {
                                Some(at) if *at > now => queue.push(*at, slot),
                                _ => drop(entries.remove(&slot)),
                            }
                        }
                        let missed = entries.values().filter(|at| **at + step_millis <= now).count();
                        prop_assert_eq!(missed, 0);
                        prop_assert!(queue.first_at().is_none_or(|at| at > now));
                    }
                    Step::Tidy => {
                        queue.tidy(|slot| entries.get(&slot).copied());
                        prop_assert_eq!(queue.len(), entries.len());
                    }
                    Step::Rebuild { slot_bits } => {
                        queue.rebuild(1 << slot_bits, entries.iter().map(|(slot, at)| (*at, *slot)));
                        prop_assert_eq!(queue.len(), entries.len());
                        // Below this no time is told from another.
                        step_millis = if slot_bits <= 16 { 0 } else { 1 << (slot_bits - 16) };
                    }
                }
            }
        }
    }

    #[test]
    fn a_place_holds_any_time_beside_any_slot() {
        let year_9999_end = 253_402_300_799_999;
        for slot_bits in [0, 2, 15, 16, 17, 24, HUGE] {
            let mut queue = ExpiryQueue::default();
            queue.rebuild(1 << slot_bits, std::iter::empty());
            let last = (1_usize << slot_bits) - 1;
            let step = 1_i64 << slot_bits.max(16) >> 16;
            for (at, slot) in [(0, 0), (1_795_161_822_123, last), (year_9999_end, last), (year_9999_end, 0)] {
                queue.push(at, slot);
                let place = queue.first_at().unwrap();
                assert!((at..at + step).contains(&place), "{at} became {place} with {slot_bits} bits of slot");
                assert_eq!((queue.pop_due(place - 1), queue.pop_due(place)), (None, Some(slot)));
            }
            // Out of range, but never lost.
            queue.push(-5, 0);
            queue.push(i64::MAX, last);
            assert_eq!((queue.pop_due(0), queue.pop_due(i64::MAX)), (Some(0), Some(last)));
        }
    }

    #[test]
    fn memory_of_places_that_went_is_given_back() {
        let mut queue = ExpiryQueue::default();
        queue.rebuild(1 << 16, (0..10_000).map(|slot| (5, slot)));
        queue.tidy(|slot| (slot < 10).then_some(7));
        assert_eq!(queue.len(), 10);
        assert!(queue.places.capacity() <= 2 * 10_000);
        queue.tidy(|_| None);
        queue.clear();
        assert!(queue.places.capacity() <= ROOM_KEPT);
    }
}
