//! What is kept of a key, and for how long it answers.

use std::time::Duration;

use kv_api::{Entry, Fields, Timestamp, Value};

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) ttl: Duration,
    pub(crate) negative_ttl: Duration,
    pub(crate) stale: Duration,
    /// By how much of itself a time is shortened at most, in hundredths.
    pub(crate) jitter_percent: u8,
}

/// What was found under a key.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Entry {
        entry: Entry,
        /// All parts of it are known, so that it answers `get_entry`.
        is_complete: bool,
    },
    /// There is no entry.
    Nothing,
    /// There is no value. A read of many values does not say if there is something that is none (VAL-7).
    NoValue,
}

/// The last moment of an entry, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Never,
    At(Timestamp),
}

/// What is kept of a key.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    found: Found,
    /// Before the backend was asked. A clock that shows an earlier time was set back, and then nothing is known.
    asked_at: Timestamp,
    fresh_until: Timestamp,
    stale_until: Timestamp,
}

/// An answer from what is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Fresh(Option<Entry>),
    /// To be loaded again, and good enough while that is under way.
    Stale(Option<Entry>),
}

impl Lifetimes {
    /// What to keep of what was found when the backend was asked at `asked_at`; `None` when it is not to be kept.
    pub(crate) fn keep(&self, found: Found, end: End, asked_at: Timestamp) -> Option<Kept> {
        let (ttl, stale) = match found {
            Found::Entry { .. } => (self.ttl, self.stale),
            Found::Nothing | Found::NoValue => (self.negative_ttl, self.stale_of_missing()),
        };
        let fresh_until = end.or_before(later(asked_at, self.shortened(ttl)));
        let stale_until = end.or_before(later(fresh_until, stale));
        (asked_at < fresh_until).then_some(Kept { found, asked_at, fresh_until, stale_until })
    }

    /// For how long anything answers at most.
    pub(crate) fn longest(&self) -> Duration {
        let missing = self.negative_ttl.saturating_add(self.stale_of_missing());
        self.ttl.saturating_add(self.stale).max(missing)
    }

    /// Nothing is kept longer for being stale than it is for being fresh.
    fn stale_of_missing(&self) -> Duration {
        self.stale.min(self.negative_ttl)
    }

    fn shortened(&self, time: Duration) -> Duration {
        let most = time / 100 * u32::from(self.jitter_percent.min(100));
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        time - Duration::from_micros(fastrand::u64(0..=micros)).min(most)
    }
}

impl End {
    fn or_before(self, time: Timestamp) -> Timestamp {
        match self {
            Self::Never => time,
            Self::At(at) => at.min(time),
        }
    }
}

impl Kept {
    /// The answer to a read of one key at `now`.
    pub(crate) fn answer(&self, fields: Fields, now: Timestamp) -> Option<Answer> {
        match self.found {
            Found::NoValue => None,
            _ => self.answer_of_many(fields, now),
        }
    }

    /// The answer for one key of a read of many.
    pub(crate) fn answer_of_many(&self, fields: Fields, now: Timestamp) -> Option<Answer> {
        if now < self.asked_at || now >= self.stale_until {
            return None;
        }
        let found = match &self.found {
            Found::NoValue if fields == Fields::Existence => return None,
            Found::Nothing | Found::NoValue => None,
            Found::Entry { is_complete: false, .. } if fields == Fields::All => return None,
            Found::Entry { entry, .. } => Some(reduced(entry, fields)),
        };
        Some(if now < self.fresh_until { Answer::Fresh(found) } else { Answer::Stale(found) })
    }

    /// About how many bytes it takes beside the key.
    pub(crate) fn bytes(&self) -> usize {
        match &self.found {
            Found::Entry { entry, .. } => {
                entry.value().as_bytes().len() + entry.metadata().map_or(0, |metadata| metadata.as_bytes().len())
            }
            Found::Nothing | Found::NoValue => 0,
        }
    }
}

/// What was asked for of an entry of which more is known.
pub(crate) fn reduced(entry: &Entry, fields: Fields) -> Entry {
    match fields {
        Fields::All => entry.clone(),
        Fields::Existence => Entry::new(Value::from("")),
        _ => Entry::new(entry.value().clone()),
    }
}

/// The time so much before `time`.
pub(crate) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(time.as_unix_micros().saturating_sub(by))
}

/// `time` and `by` after it, or the last time there is.
pub(crate) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::from_unix_micros(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::EntryExpiry;

    const LIFETIMES: Lifetimes = Lifetimes {
        ttl: Duration::from_secs(60),
        negative_ttl: Duration::from_secs(5),
        stale: Duration::from_secs(10),
        jitter_percent: 0,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_000 + seconds)
    }

    fn entry() -> Found {
        Found::Entry { entry: Entry::new(Value::from("v")), is_complete: false }
    }

    /// How the answers of what is kept change: fresh before the first time, stale before the second.
    fn expect(kept: &Kept, fresh: i64, stale: i64) {
        let micro = Duration::from_micros(1);
        let before = |seconds| earlier(at(seconds), micro);
        for (now, expected) in [
            (before(0), "none"),
            (at(0), "fresh"),
            (before(fresh), "fresh"),
            (at(fresh), if stale > fresh { "stale" } else { "none" }),
            (at(stale), "none"),
            (later(at(stale), micro), "none"),
        ] {
            let found = match kept.answer(Fields::Value, now) {
                None => "none",
                Some(Answer::Fresh(_)) => "fresh",
                Some(Answer::Stale(_)) => "stale",
            };
            assert_eq!(found, expected, "at {now}");
        }
    }

    #[test]
    fn exp_7_nothing_is_kept_beyond_its_end() {
        for (end, fresh, stale) in [(End::Never, 60, 70), (End::At(at(65)), 60, 65), (End::At(at(1)), 1, 1)] {
            expect(&LIFETIMES.keep(entry(), end, at(0)).unwrap(), fresh, stale);
        }
        for end in [at(0), at(-1)] {
            assert!(LIFETIMES.keep(entry(), End::At(end), at(0)).is_none());
        }
        // Far away is not a moment ago.
        let longest = Lifetimes { ttl: Duration::MAX, stale: Duration::MAX, ..LIFETIMES };
        expect(&longest.keep(entry(), End::At(at(9)), at(0)).unwrap(), 9, 9);
    }

    #[test]
    fn what_is_missing_has_a_ttl_of_its_own() {
        expect(&LIFETIMES.keep(Found::Nothing, End::Never, at(0)).unwrap(), 5, 10);
        let none = Lifetimes { negative_ttl: Duration::ZERO, ..LIFETIMES };
        assert!(none.keep(Found::Nothing, End::Never, at(0)).is_none());
        assert!(none.keep(entry(), End::Never, at(0)).is_some());
    }

    #[test]
    fn jitter_shortens_and_never_prolongs() {
        let jittered = Lifetimes { jitter_percent: 10, ..LIFETIMES };
        let ends: Vec<_> = (0..1000).map(|_| jittered.keep(entry(), End::Never, at(0)).unwrap().fresh_until).collect();
        assert!(ends.iter().all(|end| (at(54)..=at(60)).contains(end)));
        assert!(ends.iter().any(|end| *end < at(56)) && ends.iter().any(|end| *end > at(58)));
    }

    #[test]
    fn get_1_only_what_is_known_in_full_answers_get_entry() {
        let kept = LIFETIMES.keep(entry(), End::Never, at(0)).unwrap();
        assert_eq!(kept.answer(Fields::All, at(0)), None);
        let complete = Entry::with_details(Value::from("v"), None, EntryExpiry::Never, None);
        let found = Found::Entry { entry: complete.clone(), is_complete: true };
        let kept = LIFETIMES.keep(found, End::Never, at(0)).unwrap();
        assert_eq!(kept.answer(Fields::All, at(0)), Some(Answer::Fresh(Some(complete))));
        assert_eq!(kept.answer(Fields::Value, at(0)), Some(Answer::Fresh(Some(Entry::new(Value::from("v"))))));
    }

    #[test]
    fn val_7_what_a_read_of_many_leaves_out_may_be_there() {
        let kept = LIFETIMES.keep(Found::NoValue, End::Never, at(0)).unwrap();
        assert_eq!(kept.answer(Fields::Existence, at(0)), None);
        assert_eq!(kept.answer_of_many(Fields::Existence, at(0)), None);
        assert_eq!(kept.answer_of_many(Fields::Value, at(0)), Some(Answer::Fresh(None)));
    }
}
