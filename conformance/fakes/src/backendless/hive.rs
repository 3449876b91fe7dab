//! One hive's key-value bucket: entries that expire, in an order of their own.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::time::Duration;

use kv_api::Timestamp;

use super::refusal::Refusal;
use super::switches::Fractions;
use crate::json::{Dialect, Number, Value, parse};

/// Whether a key named twice in exist or touch counts twice, as in Redis. Not documented.
const REPEATED_KEYS_COUNT_AGAIN: bool = true;

/// Whether reading a value is an operation that "seconds since last operation" counts from, as Redis' idle time does.
/// Not documented.
const READS_ARE_OPERATIONS: bool = true;

/// What a missing key counts from. Not documented; zero in Redis.
const COUNTERS_START_AT: i64 = 0;

/// When a set happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    IfExists,
    IfNotExists,
}

/// When an entry ends, as a request says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    Never,
    After(Duration),
    At(Timestamp),
}

impl Expiry {
    /// The instant, for a request carried out at `now`.
    fn instant(self, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        match self {
            Self::Never => Ok(None),
            Self::At(time) => Ok(Some(time)),
            Self::After(ttl) => match now.checked_add(ttl) {
                Some(time) => Ok(Some(time)),
                None => Err(Refusal::bad_request("the expiration is too far away")),
            },
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    value: Value,
    expires: Option<Timestamp>,
    last_operation: Timestamp,
}

/// Where a name stands in the order of a listing: by a hash, so that the order looks like none. The names of one place
/// are always listed together, so a place is all a cursor needs to hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    place: u64,
    key: String,
}

/// No name has a smaller place: 0 is where a listing starts, and there are some more that stand before all names.
pub(super) const FIRST_PLACE: u64 = 1 << 10;

/// Places are below this, so that a double holds them.
const PLACES: u64 = 1 << 52;

fn place(key: &str) -> u64 {
    // Its keys are fixed, so one key has one place for as long as the program runs.
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    FIRST_PLACE + hasher.finish() % (PLACES - FIRST_PLACE)
}

impl Slot {
    fn of(key: &str) -> Self {
        Self { place: place(key), key: key.to_owned() }
    }
}

/// A hive. An entry at or after its expiry does not exist for any operation; it is removed when next met.
#[derive(Clone, Debug, Default)]
pub(super) struct Hive {
    entries: BTreeMap<Slot, Entry>,
    /// What stood, before the last request that changed values or expiries, where it changed them.
    before: BTreeMap<Slot, Option<Entry>>,
}

impl Hive {
    /// Carries out one request that may change something.
    pub(super) fn changing<T>(&mut self, request: impl FnOnce(&mut Self) -> T) -> T {
        let earlier = std::mem::take(&mut self.before);
        let done = request(self);
        if self.before.is_empty() {
            self.before = earlier;
        }
        done
    }

    /// Carries out one request that changes nothing, on the state before the last one that did.
    pub(super) fn before_last_change<T>(&mut self, request: impl FnOnce(&mut Self) -> T) -> T {
        self.swap_before();
        let done = request(self);
        self.swap_before();
        done
    }

    fn swap_before(&mut self) {
        for (slot, other) in &mut self.before {
            let own = self.entries.remove(slot);
            if let Some(entry) = std::mem::replace(other, own) {
                self.entries.insert(slot.clone(), entry);
            }
        }
    }

    /// Whether the value was written. Over an old value the old expiry goes too.
    pub(super) fn set(
        &mut self,
        key: &str,
        value: Value,
        expiry: Expiry,
        condition: Condition,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        let expires = expiry.instant(now)?;
        let exists = self.live(key, now).is_some();
        let met = match condition {
            Condition::Always => true,
            Condition::IfExists => exists,
            Condition::IfNotExists => !exists,
        };
        if met {
            self.put(key, Some(Entry { value, expires, last_operation: now }));
        }
        Ok(met)
    }

    pub(super) fn get(&mut self, key: &str, now: Timestamp) -> Option<Value> {
        let entry = self.live(key, now)?;
        if READS_ARE_OPERATIONS {
            entry.last_operation = now;
        }
        Some(entry.value.clone())
    }

    /// How many there were.
    pub(super) fn delete(&mut self, keys: &[String], now: Timestamp) -> usize {
        keys.iter().filter(|key| self.live(key, now).is_some() && self.put(key, None).is_some()).count()
    }

    /// How many there are.
    pub(super) fn exist(&mut self, keys: &[String], now: Timestamp) -> usize {
        counted(keys).filter(|key| self.live(key, now).is_some()).count()
    }

    /// How many were touched.
    pub(super) fn touch(&mut self, keys: &[String], now: Timestamp) -> usize {
        counted(keys)
            .filter(|key| match self.live(key, now) {
                Some(entry) => {
                    entry.last_operation = now;
                    true
                }
                None => false,
            })
            .count()
    }

    /// The sum. An existing entry keeps its expiry; an error changes nothing.
    pub(super) fn increment(
        &mut self,
        key: &str,
        by: Step,
        fractions: Fractions,
        now: Timestamp,
    ) -> Result<Number, Refusal> {
        let (old, expires) = match self.live(key, now) {
            Some(Entry { value: Value::Number(number), expires, .. }) => (*number, *expires),
            Some(_) => return Err(Refusal::not_a_number()),
            None => (Number::from(COUNTERS_START_AT), None),
        };
        let new = by.added_to(old, fractions)?;
        self.put(key, Some(Entry { value: Value::Number(new), expires, last_operation: now }));
        Ok(new)
    }

    pub(super) fn expire(&mut self, key: &str, expiry: Expiry, now: Timestamp) -> Result<(), Refusal> {
        let expires = expiry.instant(now)?;
        let entry = self.live(key, now).ok_or_else(Refusal::no_such_key)?;
        let value = entry.value.clone();
        self.put(key, Some(Entry { value, expires, last_operation: now }));
        Ok(())
    }

    /// The time left.
    pub(super) fn expiration(&mut self, key: &str, now: Timestamp) -> Result<Duration, Refusal> {
        let entry = self.live(key, now).ok_or_else(Refusal::no_such_key)?;
        entry.expires.map(|expires| expires.saturating_since(now)).ok_or_else(Refusal::no_expiration)
    }

    /// The time since the last operation; asking for it does not count as one. `None` for a missing key.
    pub(super) fn since_last_operation(&mut self, key: &str, now: Timestamp) -> Option<Duration> {
        self.live(key, now).map(|entry| now.saturating_since(entry.last_operation))
    }

    /// Whether it was renamed: not onto an existing entry without `overwrite`. The expiry moves along, as in Redis.
    pub(super) fn rename(&mut self, key: &str, to: &str, overwrite: bool, now: Timestamp) -> Result<bool, Refusal> {
        let mut entry = self.live(key, now).ok_or_else(Refusal::no_such_key)?.clone();
        if !overwrite && self.live(to, now).is_some() {
            return Ok(false);
        }
        entry.last_operation = now;
        self.put(key, None);
        self.put(to, Some(entry));
        Ok(true)
    }

    /// Place and name of the live entries from this place on, in the order of a listing.
    pub(super) fn names_from(&self, place: u64, now: Timestamp) -> impl Iterator<Item = (u64, &str)> {
        let start = Slot { place, key: String::new() };
        self.entries
            .range((Bound::Included(start), Bound::Unbounded))
            .filter(move |(_, entry)| entry.lives(now))
            .map(|(slot, _)| (slot.place, slot.key.as_str()))
    }

    /// The live name before this place, if there is one.
    pub(super) fn name_before(&self, place: u64, now: Timestamp) -> Option<&str> {
        let end = Slot { place, key: String::new() };
        let mut before = self.entries.range((Bound::Unbounded, Bound::Excluded(end))).rev();
        before.find(|(_, entry)| entry.lives(now)).map(|(slot, _)| slot.key.as_str())
    }

    /// Puts an entry, or nothing, in the place of another, which is answered and remembered.
    fn put(&mut self, key: &str, entry: Option<Entry>) -> Option<Entry> {
        let slot = Slot::of(key);
        let old = match entry {
            Some(entry) => self.entries.insert(slot.clone(), entry),
            None => self.entries.remove(&slot),
        };
        self.before.entry(slot).or_insert_with(|| old.clone());
        old
    }

    /// The live entry of a key; one that has expired is removed.
    fn live(&mut self, key: &str, now: Timestamp) -> Option<&mut Entry> {
        let slot = Slot::of(key);
        if self.entries.get(&slot).is_some_and(|entry| !entry.lives(now)) {
            self.entries.remove(&slot);
        }
        self.entries.get_mut(&slot)
    }
}

impl Entry {
    fn lives(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

fn counted(keys: &[String]) -> impl Iterator<Item = &String> {
    keys.iter()
        .enumerate()
        .filter(|(index, key)| REPEATED_KEYS_COUNT_AGAIN || !keys[..*index].contains(key))
        .map(|(_, key)| key)
}

/// What an increment adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Wider than 64 bits, so that a decrement by the smallest integer is a step too.
    Integer(i128),
    Fraction(f64),
}

impl Step {
    /// The sum; only with [`Fractions::Taken`] may anything be a fraction.
    fn added_to(self, old: Number, fractions: Fractions) -> Result<Number, Refusal> {
        match (self, old.as_i64(), fractions) {
            (Self::Integer(by), Some(old), _) => {
                let sum = i128::from(old) + by;
                i64::try_from(sum).map(Number::from).map_err(|_| Refusal::out_of_range())
            }
            (_, _, Fractions::Refused) => Err(Refusal::not_a_number()),
            (by, _, Fractions::Taken) => {
                let sum = Number::from_f64(old.as_f64() + by.as_double());
                sum.map(through_double).ok_or_else(Refusal::out_of_range)
            }
        }
    }

    pub(super) fn negated(self) -> Self {
        match self {
            Self::Integer(by) => Self::Integer(-by),
            Self::Fraction(by) => Self::Fraction(-by),
        }
    }

    fn as_double(self) -> f64 {
        match self {
            #[allow(clippy::cast_precision_loss, reason = "a sum with a fraction is one of doubles")]
            Self::Integer(by) => by as f64,
            Self::Fraction(by) => by,
        }
    }
}

/// The number as a program that knows doubles alone would hand it back: rounded, and without decimals when it is whole.
pub(super) fn through_double(number: Number) -> Number {
    let rounded = Number::Double(number.as_f64());
    // Without its `.0` a whole double reads as an integer, as long as 64 bits hold it.
    match rounded.to_string().strip_suffix(".0").map(|whole| parse(whole, Dialect::Exact)) {
        Some(Ok(Value::Number(integer))) => integer,
        _ => rounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;

    #[test]
    fn a_double_loses_what_it_cannot_hold() {
        let check = |number: Value, expected: &str| {
            let Value::Number(number) = number else { panic!("{number} is no number") };
            assert_eq!(through_double(number).to_string(), expected);
        };
        check(json!(1.0), "1");
        check(json!(1.5), "1.5");
        check(json!(-0.0), "-0.0");
        check(json!(42), "42");
        check(json!(9_007_199_254_740_993_i64), "9007199254740992");
        check(json!(u64::MAX), "1.8446744073709552e+19");
    }

    #[test]
    fn a_sum_is_an_integer_or_an_error() {
        let old = Number::from(i64::MAX - 1);
        let check = |by: Step, fractions, expected| assert_eq!(by.added_to(old, fractions), expected);
        check(Step::Integer(1), Fractions::Refused, Ok(Number::from(i64::MAX)));
        check(Step::Integer(2), Fractions::Refused, Err(Refusal::out_of_range()));
        check(Step::Integer(2), Fractions::Taken, Err(Refusal::out_of_range()));
        check(Step::Integer(-i128::from(i64::MIN)), Fractions::Refused, Err(Refusal::out_of_range()));
        check(Step::Fraction(0.5), Fractions::Refused, Err(Refusal::not_a_number()));
        let old = Number::from(1);
        assert_eq!(Step::Fraction(0.5).added_to(old, Fractions::Taken), Ok(Number::from_f64(1.5).unwrap()));
    }
}
